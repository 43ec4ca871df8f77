"""Tasks and their data: what a task file says, whether the data are in order and apart, and a file made of a table.

``task_description`` puts a task in words, ``task_contents`` is what the data of a task hold, ``task_checks`` proves that they and a checkpoint go together, ``task_audits`` looks for leaks, ``task_proposals``
makes a task file of a user's table: ``task_questions`` are what it asks, ``task_labels`` how labels are read, ``task_text`` writes its words.
"""

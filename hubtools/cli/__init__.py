"""The command ``bench``: one module a command, imported when called. A command parses, calls and prints.

``main`` knows the commands; ``shared`` is what all of them need (options of where and how to compute, one look of tables, guarded
streams, what no command expected); ``run_report`` is what commands that run say of it. ``tasks`` holds the commands below
``bench tasks``.
"""

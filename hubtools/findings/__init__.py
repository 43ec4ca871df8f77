"""What several runs say.

``naming`` finds the runs that a user names; ``arms`` puts runs together that differ in their seed alone. ``arm_comparison``
compares two arms, ``pairing`` says which, ``changes`` what differs in how they were made; ``side_by_side``, ``gate``,
``frozen_baseline`` with ``baseline_update``, ``reproduction`` with ``replication`` of published numbers, and ``verification`` of
others' results are what it is done for, and ``beaten`` says whether baselines are. ``board`` is of many arms. ``wording`` has the words for all of it, ``glossary`` what they mean.
"""

"""Trackers: who watches runs while they learn, and sees the record at the end.

``trackers`` are those that are known by a name, and what each is told; ``following`` tells one of a command's runs, so that nothing that goes
wrong there is the run's.
"""

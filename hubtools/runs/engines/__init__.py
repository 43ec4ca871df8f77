"""Who does the jobs of a plan: the interface (``job_engine``), those that there are (``known_engines``), and what a job says (``job_events``).

``workers`` are processes of this machine, ``capacity`` counts how many of them it takes.
"""

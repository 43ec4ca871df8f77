"""Runs that other processes do: ``dispatch`` says who and gives them what they need, ``engine_job`` is what they do."""

"""Comparisons in words and files: terminal, Markdown, JSON, JUnit, GitHub.

``comparison_text`` for compare, ``check_report`` with ``junit`` and ``ci_outputs`` for check, ``reproduction_report`` for reproduce.
"""

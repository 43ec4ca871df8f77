"""The command ``bench``: one module a command, imported when called. A command parses, calls and prints.

``main`` knows the commands, and ``commands`` refuses options that are taken once and given twice. ``execution_options`` are where and how to compute, ``terminal`` one look of tables, both the same
for all; ``run_report`` is what commands that run say of it. ``tasks`` holds the commands below ``bench tasks``.
"""

"""Where files of specs are, how one is read, and how pins are written into one.

``content``: the user's folder, then what ships. ``task_packages`` and ``source_packages``: tasks, and sources of data, that
installed packages bring. ``spec_files``: YAML into specs, each mistake one line. ``pinning``: a few lines more in a task
file, and nothing else in it changed. ``trusted``: what whoever verifies holds to be right.
"""

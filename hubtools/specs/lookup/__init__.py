"""Where files of specs are, and how one is read.

``content``: the user's folder, then what ships. ``task_packages``: tasks that installed packages bring. ``spec_files``: YAML
into specs, each mistake one line. ``trusted``: what whoever verifies holds to be right.
"""

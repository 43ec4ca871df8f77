"""What every room may use: the error that is one line, atomic files, hashes, texts that may be shown and how, bounds, the Hub's client.

``errors`` (a user's mistake, the nearest name), ``files`` (written under another name, then renamed), ``hashing``
(canonical), ``inside`` (a name that stays in its folder), ``texts`` (what a terminal, a page or a program would act on is refused), ``escaping`` (free text as each target takes it),
``secrets`` (passwords and tokens, found and taken out), ``bounds`` (of resources, and the readers of JSON and YAML), ``readers`` (the list of what reads what others
wrote), ``hub`` (the client and its errors), ``cache_folder``, ``registry`` (what bench ships and what packages add, by name),
``notebook`` (small tables for notebooks), ``telling`` (progress and warnings: the caller's), ``garbage`` (when a command looks for it), ``version``.
"""

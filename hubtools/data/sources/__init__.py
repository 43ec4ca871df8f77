"""Where rows come from, and the one reader of each form.

``known_sources`` finds the class of a task's source, one for each kind in ``kinds``, and says what it is at this moment;
``source_rows`` joins what it reads. ``recognised`` tells what a user's file is; ``streams`` (bytes to lines), ``archives``, ``separated``, ``spreadsheet``, ``fasta``, ``swissprot`` and
``table_files`` read files, ``annotated_rows`` those whose labels are annotation; ``uniprot``, ``uniprot_answers`` ask
UniProt and keep what it said; ``download`` and ``file_cache`` fetch once; ``task_repositories`` are tasks on the Hub.
"""

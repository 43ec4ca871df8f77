"""Where rows come from, and the one reader of each form.

``source_rows`` fetches, reads and joins. ``streams`` (bytes to lines), ``separated``, ``fasta``, ``swissprot`` and
``table_files`` read files; ``uniprot``, ``uniprot_answers`` ask UniProt and keep what it said; ``download`` and
``file_cache`` fetch once; ``pins`` say what is read at this moment; ``task_repositories`` are tasks on the Hub.
"""

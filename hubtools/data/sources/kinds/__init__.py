"""One class for each kind of source: what it is at this moment, its digest, its rows, and what the record says of it.

``source`` says what such a class has. ``url_source``, ``local_source``, ``package_source``, ``hub_source``,
``uniprot_source`` and ``structures_source`` are bench's own.
"""

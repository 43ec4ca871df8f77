"""Commands around engines: ``run_job`` is what they start, ``cancel`` stops what they have."""

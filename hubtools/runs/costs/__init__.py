"""What runs took: ``attempts``, those of one run and their sum; ``energy``, measured or estimated; ``environment``, where.
And what they will take beside the model: ``room`` in memory and on the disk, ``contact_costs`` of contacts.
"""

"""What runs took: ``attempts``, those of one run and their sum; ``energy``, measured or estimated; ``environment``, where;
``contact_costs``, what contacts will take beside the model.
"""

"""What runs took: ``attempts``, those of one run and their sum; ``energy``, measured or estimated; ``environment``, where."""

"""A sweep: ``search_space`` says what may be chosen, ``trials`` try it and choose on validation."""

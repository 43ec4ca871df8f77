"""A sweep: ``search_space`` says what may be chosen, ``trials`` try it and choose on validation.

``budget`` fits what a suite allows every checkpoint to a task, ``tuned`` makes an ordinary run of what was chosen by it, and
``choices`` keeps what that was for whoever looks at the plan.
"""

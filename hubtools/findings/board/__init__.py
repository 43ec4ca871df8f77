"""Many arms on many tasks.

``leaderboard`` puts ``board_rows`` together, ``arms_apart`` what was tuned and what was not, ``best_rows`` marks those that may be the best, ``overall`` ranks over tasks,
``learning_curve`` looks along the amount of training data.
"""

"""How sure a number is: intervals, differences, verdicts, ranks.

``resampling`` draws, ``resampled`` is a metric under the same draws, ``arm_interval`` the interval of an arm.
``difference`` compares two arms, ``by_class`` where it comes from, ``agreement`` and ``same_predictions`` row by row, ``cost``
what they took; ``verdicts`` and ``equivalence`` judge; ``power`` says beforehand what could be shown. ``best_set`` and
``mean_ranks`` are of many arms.
"""

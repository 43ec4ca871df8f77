"""The Python door: what ``import hubtools`` gives. A command parses, calls one of these and prints.

``plans`` and ``running`` plan and do runs, ``engines`` have others do them; ``found_runs`` finds those that are there, ``boards`` puts them side by side,
``comparing`` compares and checks them; ``predicting`` asks a trained model, ``releasing`` publishes it; ``listings`` says what there is.
``estimating`` and ``sweeping`` are what the commands of those names do, ``reproducing`` and ``freezing`` (baselines), ``submitting`` and ``documents`` (cards, curves) the
rest. ``tasks`` is about task files and their data, ``stored`` about what is kept on this machine, ``proteins`` about proteins of one's own. ``computing`` is where and how
to compute, ``asked`` what may be written in more than one way. Nothing here prints: functions take callbacks, and what they return shows itself.
"""

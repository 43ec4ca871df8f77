"""From a run to the Hub: what goes there, the proof that it is what was measured, one commit.

``contents`` lays out, ``reload`` predicts with it as a stranger would and has ``card_lines`` run what the card says, ``access`` and ``earlier`` look at what is there,
``commit`` sends, ``patience`` waits for the Hub, ``push`` does all of it. ``suites`` and ``tags`` group models; ``demo_space``,
``board_space`` and ``results_repository`` are what else is published.
"""

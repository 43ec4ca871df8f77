"""The model card of a run, and the metadata that the Hub reads.

``model_card`` puts together ``card_results``, ``card_comparison``, ``card_leakage``, ``card_procedure``, ``card_figures``,
``citation``, ``snippet`` and ``tried_versions``; ``card_edits`` keeps what people wrote; ``card_shown`` is its text for a notebook; ``card_metadata``, ``licence`` and ``eval_results`` are for the
Hub; ``card_lint`` says what it lacks.
"""

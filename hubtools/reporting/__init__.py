"""Results for people: tables, pages, cards, figures. No torch.

``board_tables`` is a board as text, ``site_data`` and ``site`` as a page; ``run_matrix`` is how far many runs are; ``audit_page``; ``answer_style`` is how answers look; ``templates`` renders in a sandbox.
``card`` is the model card, ``comparison`` what compare, check and reproduce say, ``figures`` the plots, ``structures`` a page of them,
``paper`` what a paper takes: tables in LaTeX, methods, references.
"""

"""What a paper takes from runs: ``latex_board`` as tables, ``methods`` as a paragraph, ``literature`` as BibTeX."""

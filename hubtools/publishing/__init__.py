"""From a run folder to a repository on the Hub: what was measured, checked, in one commit."""

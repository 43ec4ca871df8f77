"""Runs: what is to be done (plan), doing one (unit), where it is kept (store)."""

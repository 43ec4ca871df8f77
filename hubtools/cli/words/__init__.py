"""``bench explain``."""

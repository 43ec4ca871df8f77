"""The version of bench, which records, user agents and cards name."""

__version__ = "0.1.0"

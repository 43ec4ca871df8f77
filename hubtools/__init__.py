"""bench: standardised fine-tuning and evaluation of protein language models.

Rooms, in the order that data flows: ``common``, ``specs``, ``data``, ``models``, ``evaluation``, ``training``, ``runs``,
``results``, ``reporting``, ``publishing``, ``inference``, and ``cli`` on top. A room imports only from
rooms before it in this list (a test holds them to it).
"""

__version__ = "0.1.0"

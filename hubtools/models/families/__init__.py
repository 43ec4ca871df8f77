"""What cannot be measured on a checkpoint: one object a family (``family``), which everything else asks.

``esm`` (with ``esm_operators``), ``esmc``, ``bert``, ``t5``, ``modernbert``, ``prottrans``, ``decoder_types`` and ``own_code`` (asked in a ``dialect``) are bench's own; ``known_families``
finds the family of a configuration and takes in what packages and users bring. ``spelling`` writes residues, ``canonical_form`` whole
proteins, ``token_pairs`` residues with structure, for a tokenizer and on a card; ``paper`` is what is cited; ``published`` are kinds of checkpoints that people use. Without torch: cards ask too. How to add one: docs/extending.md.
"""

from __future__ import annotations

from hubtools.models.families.canonical_form import CanonicalForm
from hubtools.models.families.dialect import Dialect
from hubtools.models.families.family import Family
from hubtools.models.families.known_families import (
    bringer,
    family_named,
    family_of,
    identity_of,
    name_file,
    papers,
    published_as,
    published_kinds,
    register,
    spelling_named,
)
from hubtools.models.families.paper import Paper
from hubtools.models.families.published.published_kind import Pretraining, Published
from hubtools.models.families.spelling import PIECES, PLAIN, SPACED, ProtocolTokens, Spelling

__all__ = [
    "PIECES",
    "PLAIN",
    "SPACED",
    "CanonicalForm",
    "Dialect",
    "Family",
    "Paper",
    "Pretraining",
    "ProtocolTokens",
    "Published",
    "Spelling",
    "bringer",
    "family_named",
    "family_of",
    "identity_of",
    "name_file",
    "papers",
    "published_as",
    "published_kinds",
    "register",
    "spelling_named",
]

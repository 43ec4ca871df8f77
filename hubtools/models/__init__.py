"""Any checkpoint -> residue-aligned tokens, encoder, head.

``checkpoint`` resolves, ``tokenisation`` (with ``own_tokenizer``, ``windows``, ``longest_input``) reads, ``families`` hold what cannot be
measured, one object each;
``encoder``, ``masked_lm``, ``decoders`` and ``task_model`` build, ``modeling_protein_task`` is the file that ships; ``adapters`` (with ``layers``,
``four_bits``) puts small trainable parts in; ``execution`` is how encoders compute the same otherwise; ``folding`` is of those that predict structures, ``saved`` writes and reads, ``encoder_note`` says whose
encoder is left out, ``assembling`` puts it back; ``foreign`` looks at files that anybody may have written. Imported on first use (PEP 562), since most of this room needs torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_WHERE = {
    "Checkpoint": "checkpoint",
    "ResidueTokeniser": "tokenisation",
    "build_model": "task_model",
    "load_model": "saved",
    "resolve_checkpoint": "checkpoint",
    "save_model": "saved",
}
__all__ = list(_WHERE)


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(f"hubtools.models.{_WHERE[name]}"), name)
    raise AttributeError(name)

"""How sure a predicted structure is of where residues stand to each other: the predicted aligned error (PAE), in Å."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from hubtools.common.bounds import LONGEST_CHAIN
from hubtools.common.errors import UserError
from hubtools.common.readers import reads
from hubtools.data.structures.contact_matrices import square_array

_ENTRY = "pae.npy"


@reads("predicted aligned error")
def read_aligned_error(path: Path) -> np.ndarray:
    """The error of each residue (column) where the structure is laid onto another (row), (L, L) float32 in Å.

    Args:
        path: NumPy archive with the array ``pae``.

    Raises:
        UserError: it is none.
    """
    where = str(path)
    # Beyond this a header would have refused it.
    most = 8 * LONGEST_CHAIN**2 + 4096
    try:
        with zipfile.ZipFile(path) as archive, archive.open(_ENTRY) as stream:
            content = stream.read(most)
    # What a damaged archive is found by is of many kinds, and always the same finding.
    except (MemoryError, Exception):
        raise UserError("it is no NumPy archive with an array pae", where=where, fix="Fold again.") from None
    found = square_array(content, where).astype(np.float32)
    if not np.isfinite(found).all() or (found < 0).any():
        raise UserError("it holds what is no distance", where=where, fix="Fold again, or remove it.")
    return found

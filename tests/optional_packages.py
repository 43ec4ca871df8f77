"""What the tests of an extra need, and what is said where it is not there."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

needs_bitsandbytes = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None,
    reason='bitsandbytes is not installed: pip install "plm-hubtools[qlora]"',
)


def four_bits(*values: Any) -> Any:
    """Parameters of a test that need weights of four bits."""
    return pytest.param(*values, marks=needs_bitsandbytes)


needs_biotite = pytest.mark.skipif(
    importlib.util.find_spec("biotite") is None,
    reason='biotite is not installed: pip install "plm-hubtools[structure]"',
)

needs_h5py = pytest.mark.skipif(
    importlib.util.find_spec("h5py") is None,
    reason='h5py is not installed: pip install "plm-hubtools[hdf5]"',
)

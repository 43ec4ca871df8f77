"""Where this user's cache is: data, embeddings, what was measured on this machine, tracebacks."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from hubtools.common.errors import UserError

VARIABLE = "BENCH_CACHE"


def cache_folder() -> Path:
    """The folder that the variable names, else ``~/.cache/plm-hubtools``; it need not be there."""
    return Path(os.environ.get(VARIABLE) or "~/.cache/plm-hubtools").expanduser()


def usable_cache_folder() -> Path:
    """The same, for who keeps something there.

    Raises:
        UserError: no folder can be called so, or be there.
    """
    try:
        folder = cache_folder()
        folder.stat()
    except OSError as error:
        # What is not there can be made, and what may not be read is said where it is.
        if error.errno not in {errno.ENOENT, errno.EACCES}:
            raise UserError(
                f"nothing can be kept there ({error.strerror})", where=str(folder), fix=f"Correct {VARIABLE}."
            ) from None
    except RuntimeError:  # of a home that nobody knows
        raise UserError("there is no home folder", fix=f"Name the folder of the cache in {VARIABLE}.") from None
    return folder

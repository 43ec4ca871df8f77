"""The content-addressed cache: a file with the right sha256 is used, wherever it came from."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubtools.common import telling
from hubtools.common.bounds import json_values
from hubtools.common.cache_folder import VARIABLE, usable_cache_folder
from hubtools.common.errors import UserError
from hubtools.common.files import clear, file_lock, is_folder, move_whole, replacing, write_atomic
from hubtools.common.hashing import digest, file_sha256, is_sha256
from hubtools.common.readers import reads
from hubtools.data.sources.download import download
from hubtools.specs.data_sources import UrlFile

if TYPE_CHECKING:
    import numpy as np

MIRROR_VARIABLE = "BENCH_DATA_MIRROR"
# Smaller files are hashed each time; only where it takes seconds is a file with unchanged size and time trusted.
REMEMBERED_ABOVE = 64 * 2**20


@dataclass(frozen=True)
class FirstContent:
    """What an address gave first.

    Attributes:
        url, sha256: the address and its content.
        fetched: day, as 2026-01-31.
    """

    url: str
    sha256: str
    fetched: str


class DataCache:
    """Source files by their sha256.

    Args:
        root: folder of the cache; by default that of this user.
        mirrors: read-only folders that hold files under their sha256, looked at before any network.

    Raises:
        UserError: a mirror is not a folder.
    """

    def __init__(self, root: Path | None = None, mirrors: Sequence[Path] = ()) -> None:
        self.root = Path(root) if root else usable_cache_folder()
        self.mirrors = [Path(mirror).expanduser() for mirror in mirrors]
        for mirror in self.mirrors:
            if not is_folder(mirror):
                raise UserError(f"there is no data mirror {mirror}", fix=f"Correct --data-mirror or {MIRROR_VARIABLE}.")
        self._verified: set[tuple[str, int, int, str]] = set()
        self._once: dict[Hashable, Any] = {}

    @classmethod
    def default(cls, mirrors: Sequence[Path] = ()) -> DataCache:
        """The cache of this user: root and further mirrors from the environment."""
        listed = [Path(entry) for entry in os.environ.get(MIRROR_VARIABLE, "").split(os.pathsep) if entry]
        return cls(None, [*mirrors, *listed])

    def fetch(self, file: UrlFile) -> Path:
        """A local path to a file at an address, its content verified.

        Raises:
            UserError: it cannot be had, or its content is not what the task file pins.
        """
        sha256 = file.sha256 or self.first_content(file).sha256
        return self.held(sha256) or self._from_network(file.model_copy(update={"sha256": sha256}))

    def held(self, sha256: str) -> Path | None:
        """A file of that content from cache or mirrors; None where neither has it.

        Raises:
            UserError: a mirror's file is damaged.
        """
        return self._cached(sha256) or self._from_mirror(sha256)

    def size_of(self, sha256: str) -> int | None:
        """Bytes of a file of that content that lies in cache or mirrors, which is not read; None where neither has it."""
        for path in (self.root / "files" / sha256, *(folder / sha256 for folder in self.mirrors)):
            with contextlib.suppress(OSError):
                return path.stat().st_size
        return None

    def first_content(self, file: UrlFile) -> FirstContent:
        """What this machine got first from an address that no checksum pins; fetched now if it has nothing.

        Raises:
            UserError: it cannot be had.
        """
        name = digest({"url": file.url})
        note, part = self.root / "unpinned" / f"{name}.json", self.root / "partial" / f"url-{name}"
        with self.locked(f"url-{name}"):
            first = self._noted(note)
            if first is not None and self.held(first.sha256) is not None:
                return first
            # Nothing says that what an earlier process left here is of the same content.
            clear(part)
            part.parent.mkdir(parents=True, exist_ok=True)
            download(file.url, part)
            first = FirstContent(file.url, self.adopt(part), datetime.now(UTC).date().isoformat())
            write_atomic(note, json.dumps(asdict(first)))
            return first

    @reads("note of the data cache", refuses=())
    def _noted(self, note: Path) -> FirstContent | None:
        try:
            first = FirstContent(**json_values(note.read_text()))
            if not all(isinstance(value, str) for value in asdict(first).values()) or not is_sha256(first.sha256):
                raise ValueError
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError):
            telling.warn(f"{note}: damaged; what the address gives now is taken for its first content")
            clear(note)
            return None
        return first

    def forget(self, file: UrlFile) -> None:
        """Let the next fetch of an address that no checksum pins be a new one."""
        (self.root / "unpinned" / f"{digest({'url': file.url})}.json").unlink(missing_ok=True)

    def verify(self, path: Path, sha256: str, fix: str | None = None) -> None:
        """Make sure that a file, wherever it is, has a content; one that did not change is read once.

        Raises:
            UserError: it has another.
        """
        stat = path.stat()
        seen = (str(path), stat.st_size, stat.st_mtime_ns, sha256)
        if seen in self._verified:
            return
        if (got := file_sha256(path)) != sha256:
            raise UserError(f"wrong checksum: expected sha256 {sha256}, got {got}", where=str(path), fix=fix)
        self._verified.add(seen)

    def adopt(self, path: Path) -> str:
        """Move a whole file into the cache, under its sha256, which is returned."""
        sha256 = file_sha256(path)
        move_whole(self.root / "files" / sha256, path)
        return sha256

    @contextlib.contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """One process at a time.

        Raises:
            UserError: the cache cannot be written, also by what is done meanwhile.
        """
        try:
            lock = self.root / "locks" / name
            lock.parent.mkdir(parents=True, exist_ok=True)
            with file_lock(lock):
                yield
        except OSError as error:
            raise self._not_writable(error) from None

    def once(self, key: Hashable, find: Callable[[], Any]) -> Any:
        """What was found for a key first, as long as this object lives: one command sees one state of the world."""
        if key not in self._once:
            self._once[key] = find()
        return self._once[key]

    @reads("array of the data cache", refuses=())
    def array(self, name: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
        """An array that takes seconds to compute, kept under a name that determines its content."""
        import numpy as np

        path = self.root / "arrays" / f"{name}.npy"
        try:
            values = np.load(path, allow_pickle=False)
            if isinstance(values, np.ndarray):
                return values
        except FileNotFoundError:
            pass
        except Exception:
            # What numpy raises depends on where the file is cut.
            telling.warn(f"{path}: damaged; it is computed again")
            clear(path)
        values = compute()
        # It can always be computed again: a cache that cannot be written costs time, not the run.
        with contextlib.suppress(UserError), replacing(path) as temporary, temporary.open("wb") as stream:
            np.save(stream, values, allow_pickle=False)
        return values

    def _cached(self, sha256: str) -> Path | None:
        path = self.root / "files" / sha256
        if not path.exists():
            return None
        with contextlib.suppress(UserError, OSError):
            self.verify(path, sha256)
            return path
        self.once(("damaged", path), lambda: telling.warn(f"{path}: damaged since it came; it is fetched again"))
        return None

    def _from_mirror(self, sha256: str) -> Path | None:
        for folder in self.mirrors:
            path = folder / sha256
            if path.is_file():
                self.verify(path, sha256, fix="Delete it from the mirror, or copy it there again.")
                return path
        return None

    def _from_network(self, file: UrlFile) -> Path:
        assert file.sha256 is not None
        path, part = self.root / "files" / file.sha256, self.root / "partial" / file.sha256
        # Another process may be fetching the same file: then it is here when the lock is ours.
        with self.locked(file.sha256):
            for folder in (path.parent, part.parent):
                folder.mkdir(parents=True, exist_ok=True)
            if self._cached(file.sha256):
                return path
            if part.is_dir() or (part.exists() and not os.access(part, os.R_OK | os.W_OK)):
                clear(part)
            resumed = part.exists()
            download(file.url, part)
            if resumed and file_sha256(part) != file.sha256:
                # What an earlier process left may have been of another content.
                part.unlink()
                download(file.url, part)
            if (got := file_sha256(part)) != file.sha256:
                part.unlink()
                raise UserError(
                    f"wrong checksum: expected sha256 {file.sha256}, got {got}",
                    where=file.url,
                    fix="The file at the address is not the one the task pins: nothing was kept.",
                )
            move_whole(path, part)
        return path

    def _not_writable(self, error: OSError) -> UserError:
        return UserError(
            f"cannot write the data cache ({error.strerror or error})",
            where=str(error.filename or self.root),
            fix=f"Name a folder that you may write to in {VARIABLE}.",
        )


def remembered_sha256(path: Path) -> str:
    """sha256 of a file; a large one whose size and time have not changed since this user's cache noted it is not read again."""
    status = path.stat()
    if status.st_size < REMEMBERED_ABOVE:
        return file_sha256(path)
    key = digest([str(path.resolve()), status.st_size, status.st_mtime_ns])
    note = DataCache.default().root / "checksums" / key
    try:
        # A note that was damaged would be another file.
        if is_sha256(noted := note.read_text(errors="replace")):
            return noted
    except FileNotFoundError:
        pass
    except OSError:
        clear(note)
    sha256 = file_sha256(path)
    # A cache that cannot be written costs time next time, and nothing else.
    with contextlib.suppress(UserError):
        write_atomic(note, sha256)
    return sha256

"""Which sequences have relatives: by MMseqs2 where it is installed, else by a bundled method for high identities.

One definition everywhere. The identity of two sequences is the share of identical columns among all columns of their
local alignment, gaps included (MMseqs2's ``--seq-id-mode 0``). It counts only where the alignment covers at least
``coverage`` of both sequences (``--cov-mode 0``). Equal sequences always have identity 1.

The bundled method aligns (Smith and Waterman 1981, affine gaps, BLOSUM50; pyopal) pairs that share enough words of
four residues. With mutations spread evenly a pair of identity t shares about t⁴ of its words; pairs with half of that
are aligned, for each query at most the thirty that share most. Below an identity of 0.5 that says nothing.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hubtools.data.clusters import component_merge, shared_words
from hubtools.specs.errors import UserError

COVERAGE = 0.8
LOWEST_BUNDLED = 0.5  # below it, only MMseqs2 can tell
_PER_QUERY = 30
_MMSEQS_PER_QUERY = 1000
_WORD = 4
INSTALL = "Install MMseqs2 (apt install mmseqs2, brew install mmseqs2, or conda install -c bioconda mmseqs2)"


def engine() -> str:
    """How relatives are looked for on this machine, with version.

    Raises:
        UserError: the program does not run.
    """
    program = shutil.which("mmseqs")
    if program is None:
        import importlib.metadata

        return f"bundled alignment (pyopal {importlib.metadata.version('pyopal')})"
    return f"MMseqs2 {_run([program, 'version']).strip()}"


def can_tell(identity: float) -> bool:
    """Whether this machine can find relatives of that identity."""
    return identity >= LOWEST_BUNDLED or shutil.which("mmseqs") is not None


def best_identities(
    queries: Sequence[str], targets: Sequence[str], identity: float, coverage: float = COVERAGE
) -> npt.NDArray[np.float64] | None:
    """For each query the identity of its nearest target, 0 where none of at least ``identity`` was found.

    Args:
        queries, targets: canonical sequences.
        identity: lowest identity of interest.
        coverage: share of both sequences that is aligned.

    Returns:
        Shape (queries,); None where this machine cannot tell.

    Raises:
        UserError: MMseqs2 fails.
    """
    if not can_tell(identity):
        return None
    known = set(targets)
    best = {sequence: 1.0 for sequence in queries if sequence in known}
    asked = [sequence for sequence in dict.fromkeys(queries) if sequence not in best]
    for query, _, value in _hits(asked, list(dict.fromkeys(targets)), identity, coverage):
        best[asked[query]] = max(best.get(asked[query], 0.0), value)
    return np.array([best.get(sequence, 0.0) for sequence in queries])


def identity_clusters(sequences: Sequence[str], identity: float, coverage: float) -> npt.NDArray[np.int64]:
    """Connected components of the pairs found: no two clusters share a pair of that identity that was found.

    Returns:
        For each sequence the number of its cluster, from 0; shape (n,).

    Raises:
        UserError: this machine cannot tell, or MMseqs2 fails.
    """
    if not can_tell(identity):
        raise UserError(
            f"clusters of identity {identity:g} need MMseqs2, which is not on PATH",
            fix=f"{INSTALL}, or raise identity to {LOWEST_BUNDLED:g} or more.",
        )
    distinct = list(dict.fromkeys(sequences))
    number = {sequence: index for index, sequence in enumerate(distinct)}
    pairs = [(first, second) for first, second, _ in _hits(distinct, distinct, identity, coverage)]
    ends = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    cluster = component_merge(np.arange(len(distinct)), ends[:, 0], ends[:, 1])
    return cluster[[number[sequence] for sequence in sequences]].astype(np.int64)


def _hits(queries: list[str], targets: list[str], identity: float, coverage: float) -> Iterator[tuple[int, int, float]]:
    """Query, target and identity of the pairs found."""
    if not queries or not targets:
        return
    program = shutil.which("mmseqs")
    find = _aligned if program is None else _by_mmseqs
    yield from find(queries, targets, identity, coverage)


def _by_mmseqs(
    queries: list[str], targets: list[str], identity: float, coverage: float
) -> Iterator[tuple[int, int, float]]:
    program = shutil.which("mmseqs")
    assert program is not None
    with tempfile.TemporaryDirectory(prefix="bench-mmseqs-") as name:
        folder = Path(name)
        for part, sequences in (("queries", queries), ("targets", targets)):
            lines = "".join(f">{number}\n{sequence}\n" for number, sequence in enumerate(sequences))
            (folder / f"{part}.fasta").write_text(lines)
        # Fast where relatives are close, as sensitive as it gets where they are not.
        sensitivity = "4" if identity >= LOWEST_BUNDLED else "7.5"
        found = folder / "hits.tsv"
        options = {
            "--min-seq-id": f"{identity:g}",
            "-c": f"{coverage:g}",
            "--cov-mode": "0",
            "--seq-id-mode": "0",
            "--alignment-mode": "3",
            "-s": sensitivity,
            "-e": "0.1",
            "--mask": "0",
            "--max-seqs": str(_MMSEQS_PER_QUERY),
            "--format-output": "query,target,fident",
            "-v": "1",
        }
        paths = [str(folder / "queries.fasta"), str(folder / "targets.fasta"), str(found), str(folder / "tmp")]
        _run([program, "easy-search", *paths, *(word for option in options.items() for word in option)])
        try:
            for line in found.read_text().splitlines():
                query, target, value = line.split("\t")
                yield int(query), int(target), float(value)
        except (OSError, ValueError):
            raise UserError("MMseqs2 left no table of hits that can be read", fix=f"{INSTALL} anew.") from None


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise UserError(f"MMseqs2 cannot be run ({error.strerror})", where=command[0], fix=f"{INSTALL} anew.") from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[-1]
        fix = "Check memory and the space for temporary files, or take it off PATH."
        raise UserError(f"MMseqs2 failed: {said:.200}", where=command[0], fix=fix)
    return done.stdout


def _aligned(
    queries: list[str], targets: list[str], identity: float, coverage: float
) -> Iterator[tuple[int, int, float]]:
    import pyopal

    threshold = 0.5 * identity**_WORD
    for query, candidates in shared_words(queries, targets, _WORD, threshold, _PER_QUERY):
        text = queries[query]
        near = [
            int(c) for c in candidates if coverage <= len(targets[c]) / len(text) <= 1 / coverage
        ]  # Of other lengths, one of the two cannot be covered.
        if not near:
            continue
        results = pyopal.align(
            _letters(text), [_letters(targets[c]) for c in near], algorithm="sw", mode="full", threads=1
        )
        for target, result in zip(near, results, strict=True):
            columns = result.alignment
            spans = (result.query_end - result.query_start + 1, result.target_end - result.target_start + 1)
            covered = min(spans[0] / len(text), spans[1] / len(targets[target]))
            value = columns.count("M") / max(len(columns), 1)
            if value >= identity - 1e-9 and covered >= coverage - 1e-9:
                yield query, target, value


def _letters(sequence: str) -> str:
    """Rare letters as X: the substitution matrix does not have them."""
    return sequence.translate(str.maketrans("JOU", "XXX"))

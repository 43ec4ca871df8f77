"""Which sequences have relatives: close ones by a bundled method, others and clusters by MMseqs2 where installed.

One definition everywhere. The identity of two sequences is the share of identical columns among all columns of their
local alignment, gaps included (MMseqs2's ``--seq-id-mode 0``). It counts only where the alignment covers at least
``coverage`` of both sequences (``--cov-mode 0``). Equal sequences always have identity 1. The chains of a protein of several are
aligned as one sequence, joined by an X, in their order.

The bundled method aligns (Smith and Waterman 1981, BLOSUM62, gaps 11 and 1; pyopal) pairs that share enough words of
four residues. With mutations spread evenly a pair of identity t shares about t⁴ of its words; pairs with half of that
are aligned, for each query at most the thirty that share most (five where only the nearest is wanted). Below an identity of 0.5 that says nothing.
Queries of fewer than thirty residues are always aligned in this way: MMseqs2 needs two seeds on one diagonal.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hubtools.common.errors import UserError
from hubtools.common.files import write_atomic
from hubtools.common.telling import bar, step
from hubtools.data.rows.chain_breaks import chains_joined
from hubtools.data.splits.clusters import component_merge, shared_words

COVERAGE = 0.8
LOWEST_BUNDLED = 0.5  # below it, only MMseqs2 can tell
_PER_QUERY = 30
_MMSEQS_PER_QUERY = 1000
_WORD = 4
_SHORT = 30
_NEAREST = 5  # candidates aligned where only the nearest is wanted
_CLOSE = 0.9
INSTALL = "Install MMseqs2 (apt install mmseqs2, brew install mmseqs2, or conda install -c bioconda mmseqs2)"


def engine(identity: float, clusters: bool = False) -> str:
    """How relatives of that identity are looked for on this machine, with version.

    Nearest relatives of high identity are always aligned by the bundled method, so that every machine says the same.

    Raises:
        UserError: the program does not run.
    """
    program = shutil.which("mmseqs")
    if program is None or (identity >= LOWEST_BUNDLED and not clusters):
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
    distinct = list(dict.fromkeys(targets))
    shown = chains_joined(asked), chains_joined(distinct)
    if identity >= LOWEST_BUNDLED:
        hits = _aligned(*shown, identity, coverage, nearest_only=True)
    else:
        hits = _hits(*shown, identity, coverage)
    for query, _, value in hits:
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
    shown = chains_joined(distinct)
    pairs = [(first, second) for first, second, _ in _hits(shown, shown, identity, coverage)]
    ends = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    cluster = component_merge(np.arange(len(distinct)), ends[:, 0], ends[:, 1])
    return cluster[[number[sequence] for sequence in sequences]].astype(np.int64)


def close_pairs(sequences: Sequence[str], identity: float) -> npt.NDArray[np.int64]:
    """Pairs of distinct sequences of at least that identity (0.5 or more), by the bundled method on every machine.

    Args:
        sequences: distinct.
        identity: lowest identity of interest.

    Returns:
        Numbers of the two, each pair once, the smaller first; shape (pairs, 2).
    """
    given = chains_joined(sequences)
    found = {
        (min(pair), max(pair))
        for *pair, _ in _aligned(given, given, max(identity, LOWEST_BUNDLED), COVERAGE)
        if pair[0] != pair[1]
    }
    return np.array(sorted(found), dtype=np.int64).reshape(-1, 2)


def _hits(queries: list[str], targets: list[str], identity: float, coverage: float) -> Iterator[tuple[int, int, float]]:
    """Query, target and identity of the pairs found."""
    if not queries or not targets:
        return
    if shutil.which("mmseqs") is None:
        yield from _aligned(queries, targets, identity, coverage)
        return
    short = [number for number, sequence in enumerate(queries) if _known(sequence) < _SHORT]
    yield from (
        (short[query], target, value)
        for query, target, value in _aligned([queries[number] for number in short], targets, identity, coverage)
    )
    long = [number for number, sequence in enumerate(queries) if _known(sequence) >= _SHORT]
    alike = [number for number, sequence in enumerate(targets) if _known(sequence) >= _SHORT * min(coverage, 0.8)]
    if long and alike:
        parts = [queries[number] for number in long], [targets[number] for number in alike]
        for query, target, value in _by_mmseqs(*parts, identity, coverage):
            yield long[query], alike[target], value


def _known(sequence: str) -> int:
    """Residues that are not X."""
    return len(sequence) - sequence.count("X")


def _by_mmseqs(
    queries: list[str], targets: list[str], identity: float, coverage: float
) -> Iterator[tuple[int, int, float]]:
    program = shutil.which("mmseqs")
    assert program is not None
    with tempfile.TemporaryDirectory(prefix="bench-mmseqs-") as name:
        folder = Path(name)
        for part, sequences in (("queries", queries), ("targets", targets)):
            lines = "".join(f">{number}\n{sequence}\n" for number, sequence in enumerate(sequences))
            write_atomic(folder / f"{part}.fasta", lines)
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
        with step(f"MMseqs2: {len(queries):,} proteins against {len(targets):,}"):
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
    queries: list[str], targets: list[str], identity: float, coverage: float, nearest_only: bool = False
) -> Iterator[tuple[int, int, float]]:
    import pyopal
    from scoring_matrices import ScoringMatrix

    if not queries:
        return
    # As MMseqs2 and BLAST: cheap gaps would look for identity where there is none.
    matrix = ScoringMatrix.from_name("BLOSUM62")
    threshold = 0.5 * identity**_WORD
    for query, candidates in _counted(shared_words(queries, targets, _WORD, threshold, _PER_QUERY), len(queries)):
        text = queries[query]
        near = [
            int(c) for c in candidates if coverage <= len(targets[c]) / len(text) <= 1 / coverage
        ]  # Of other lengths, one of the two cannot be covered.
        if not near:
            continue
        if nearest_only:
            # Of equal length and nearly equal place by place: nothing that an alignment could add.
            close = max((_same_places(text, targets[c]), c) for c in near)
            if close[0] >= _CLOSE:
                yield query, close[1], close[0]
                continue
            near = near[:_NEAREST]
        results = pyopal.align(
            _letters(text),
            [_letters(targets[c]) for c in near],
            scoring_matrix=matrix,
            gap_open=11,
            gap_extend=1,
            algorithm="sw",
            mode="full",
            threads=1,
        )
        for target, result in zip(near, results, strict=True):
            columns = result.alignment
            spans = (result.query_end - result.query_start + 1, result.target_end - result.target_start + 1)
            covered = min(spans[0] / len(text), spans[1] / len(targets[target]))
            value = columns.count("M") / max(len(columns), 1)
            if value >= identity - 1e-9 and covered >= coverage - 1e-9:
                yield query, target, value


def _counted(
    found: Iterator[tuple[int, npt.NDArray[np.int64]]], total: int
) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    """The same, while a person sees at which query of so many it is; the numbers rise."""
    with contextlib.closing(bar("looking for relatives", total, unit=" proteins")) as shown:
        for one in found:
            yield one
            shown.update(one[0] + 1 - shown.n)


def _same_places(first: str, second: str) -> float:
    """Share of positions with the same residue, of sequences of equal length; else 0."""
    if len(first) != len(second):
        return 0.0
    letters = [np.frombuffer(sequence.encode("ascii"), dtype=np.uint8) for sequence in (first, second)]
    return float((letters[0] == letters[1]).mean())


def _letters(sequence: str) -> str:
    """Rare letters as X: the substitution matrix does not have them."""
    return sequence.translate(str.maketrans("JOU", "XXX"))

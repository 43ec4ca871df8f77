"""Embeddings of proteins of one's own: in a notebook, or from a file into a file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hubtools.api.computing import ExecutionOptions, quiet
from hubtools.api.proteins.given import Sifted, dna_note, given_proteins, good_proteins
from hubtools.common.errors import UserError
from hubtools.common.notebook import line_html, lines_html, table_html

if TYPE_CHECKING:
    import numpy as np
    import pandas

    from hubtools.inference.checkpoints.embedder import EmbeddedProtein, EmbeddingRun

# Proteins that a notebook shows.
_SHOWN = 10


@dataclass(frozen=True)
class ProteinEmbeddings(Sequence["EmbeddedProtein"]):
    """Embeddings in the order of the proteins.

    Attributes:
        embedded: one a protein: ``.protein`` (``.id``, ``.sequence``), ``.values`` of shape (width,), or (residues, width)
            where each residue was asked for, ``.windows``. Empty where they went into a file.
        run: how proteins were read: layer, width, what was proven, what was kept from before.
        about: how embeddings were made.
        proteins, residues: how many were read.
        notes: what the reader should know of them.
        left_out: what was no protein, a line each.
    """

    embedded: tuple[EmbeddedProtein, ...]
    run: EmbeddingRun
    about: dict[str, str]
    proteins: int
    residues: int
    notes: tuple[str, ...]
    left_out: tuple[str, ...] = field(default=())

    def __getitem__(self, place: Any) -> Any:
        """One protein by its place or its id, or some in a slice.

        Raises:
            KeyError: no protein has this id.
        """
        if isinstance(place, str):
            found = next((one for one in self.embedded if one.protein.id == place), None)
            if found is None:
                raise KeyError(place)
            return found
        return self.embedded[place]

    def __len__(self) -> int:
        return len(self.embedded)

    def __iter__(self) -> Iterator[EmbeddedProtein]:
        return iter(self.embedded)

    @property
    def ids(self) -> list[str]:
        """Of the proteins, in their order."""
        return [one.protein.id for one in self.embedded]

    def numpy(self) -> np.ndarray:
        """All rows: (proteins, width) float32; where each residue was asked for (residues of all proteins, width)."""
        import numpy as np

        if not self.embedded:
            return np.empty((0, self.run.width), dtype=np.float32)
        rows = [one.values.reshape(-1, self.run.width) for one in self.embedded]
        return np.concatenate(rows)

    def to_pandas(self) -> pandas.DataFrame:
        """A row a row of :meth:`numpy`, its columns numbered; the index is id, or id and position (from 1) of residues."""
        import pandas as pd

        if self.embedded and self.embedded[0].values.ndim == 2:
            keys = [(one.protein.id, place) for one in self.embedded for place in range(1, len(one.values) + 1)]
            return pd.DataFrame(self.numpy(), index=pd.MultiIndex.from_tuples(keys, names=["id", "position"]))
        return pd.DataFrame(self.numpy(), index=pd.Index(self.ids, name="id"))

    def __repr__(self) -> str:
        from hubtools.findings.wording import plural

        read = f"{plural(self.proteins, 'protein')}, {plural(self.residues, 'residue')}"
        return f"{read}: {self.about['row']}, layer {self.about['layer']} of {self.about['checkpoint']}, width {self.run.width:,}"

    def _repr_html_(self) -> str:
        rows = [
            (one.protein.id, len(one.protein.sequence), " × ".join(map(str, one.values.shape)))
            for one in self.embedded[:_SHOWN]
        ]
        more = f"and {len(self) - _SHOWN:,} more" if len(self) > _SHOWN else ""
        table = table_html(("id", "length", "shape"), rows, numbers=["length"]) if rows else ""
        said = [line_html(repr(self), strong=True), table, line_html(more)]
        return "".join([*said, lines_html("Notes", self.notes), lines_html("Left out", self.left_out)])


def embed(
    proteins: Any,
    checkpoint: str | PathLike[str],
    *,
    per: Literal["protein", "residue"] = "protein",
    pooling: Literal["mean", "max", "last", "cls"] = "mean",
    layer: int = -1,
    out: str | PathLike[str] | None = None,
    dtype: Literal["float32", "float16"] = "float32",
    precision: Literal["float32", "bf16"] = "float32",
    structures: str | PathLike[str] | None = None,
    skip_bad: bool = False,
    execution: ExecutionOptions | None = None,
) -> ProteinEmbeddings:
    """Embeddings of proteins, as a probe reads them: nothing cut off, the same whatever stands beside a protein.

    That token i is residue i is proven, and that batches change nothing is measured, before anything is computed. What is computed is
    kept for the next time, and for probes, beside the data cache: what was stopped goes on.

    Args:
        proteins: as for :func:`hubtools.predict`.
        checkpoint: a folder, or a name on the Hub as ``owner/name[@revision]``, or ``embedded``.
        per: whether a protein has one row, or one for each residue.
        pooling: how one row is made: the ``mean`` or ``max`` over its residues, its ``last`` residue, or ``cls``, the first special
            token. Special tokens and padding are in no mean. Of a protein of several windows ``cls`` is the mean of theirs.
        layer: 0 is the embedding, -1 the last.
        out: written here: .parquet, or .h5, .safetensors, .npz with an array a protein. Embeddings are then not kept in
            memory. Beside the file, ``OUT.json`` says how it was made.
        dtype: of the numbers in the file.
        precision: in which they are computed. ``bf16``: products are of bfloat16, and the weights of linear layers are held in it,
            which takes half the memory.
        structures: folder with a structure file for each protein, for a checkpoint that reads structure.
        skip_bad: leave out what is no protein and go on; it is listed in ``left_out``.
        execution: where and how to compute.

    Returns:
        The embeddings, with ``numpy()`` and ``to_pandas()``.

    Raises:
        UserError: there is no such checkpoint, layer or row, or something is no protein; or the device has no bfloat16.

    >>> import hubtools
    >>> found = hubtools.embed({"one": "MKTAYIAKQR", "two": "VIYVFVTWYV"}, "embedded",
    ...     execution=hubtools.ExecutionOptions(device="cpu", embedding_cache=False))
    >>> found.ids, found.numpy().shape, found["two"].values.shape
    (['one', 'two'], (2, 128), (128,))
    """
    from hubtools.inference.checkpoints.embedder import POOLINGS, Embedder, Wanted
    from hubtools.inference.checkpoints.embedding_files import DTYPES, embedding_file, embedding_format

    _refuse_other("per", per, ("protein", "residue"))
    _refuse_other("pooling", pooling, POOLINGS)
    _refuse_other("dtype", dtype, tuple(DTYPES))
    _refuse_other("precision", precision, ("float32", "bf16"))
    by_residue = per == "residue"
    if by_residue and pooling != "mean":
        raise UserError(
            "each residue has a row of its own, so that nothing is pooled", where="pooling", fix="Leave it out."
        )
    target = None if out is None else Path(fspath(out))
    if target is not None:
        embedding_format(str(target))
    with quiet():
        session = (execution or ExecutionOptions()).session(Path())
        found = session.checkpoint(fspath(checkpoint))
        tokeniser = session.tokeniser(found)
        sifted = Sifted()
        good = good_proteins(given_proteins(proteins, False), skip_bad, sifted)
        if structures is not None:
            from hubtools.inference.structures_beside import with_structures

            good = with_structures(good, Path(structures), tokeniser)
        # All are read and proven before the first is computed: a mistake in the last line is said at once.
        read = list(good)
        if not read:
            raise UserError("there is no protein to embed", fix="Give at least one.")
        wanted = Wanted(by_residue, pooling, layer)
        embedder = Embedder(found, tokeniser, session.execution, wanted, session.embeddings, bf16=precision == "bf16")
        run, split = embedder.prepare(read)
        about = embedder.about() | {"made": datetime.now(UTC).isoformat(timespec="seconds")}
        kept: list[EmbeddedProtein] = []
        if target is None:
            kept += embedder.read(read, run, split)
        else:
            with embedding_file(target, read, run.width, by_residue, dtype, about) as add:
                for one in embedder.read(read, run, split):
                    add(one, one.values)
    residues = sum(len(protein.sequence) for protein in read)
    if target is not None:
        from hubtools.common.files import write_atomic

        told: dict[str, Any] = about | {"width": run.width, "dtype": dtype, "proteins": len(read), "residues": residues}
        told |= {"alignment": str(run.alignment) if run.alignment else None}
        told |= {"together": str(run.together) if run.together else None}
        write_atomic(target.with_name(f"{target.name}.json"), json.dumps(told, indent=2) + "\n")
    notes = tuple(_notes(run, sifted))
    return ProteinEmbeddings(tuple(kept), run, about, len(read), residues, notes, tuple(sifted.left_out))


def _refuse_other(name: str, given: object, known: Sequence[str]) -> None:
    if given not in known:
        raise UserError(f"{given!r} is none of {', '.join(known)}", where=name)


def _notes(run: EmbeddingRun, sifted: Sifted) -> Iterator[str]:
    """What a reader of the embeddings should know."""
    yield from dna_note(sifted.dna)
    if sifted.repeated:
        yield f"{sifted.repeated:,} ids occur again: all are kept, in the order of the file"
    if run.alignment is not None and run.alignment.replaced:
        letters = ", ".join(f"{letter} ({n:,})" for letter, n in run.alignment.replaced.items())
        yield f"read as X, which is what the checkpoint has in their place: {letters}"
    if run.tokens.unknown:
        yield f"{run.tokens.unknown:,} of {run.tokens.total:,} tokens are unknown to the vocabulary"

"""Labels from the annotation of UniProt entries, whichever form it came in.

An entry, from an answer of UniProt's REST service or from a Swiss-Prot flat file, is a sequence, the texts of its
comments and its features. The rules of a task's ``annotation`` read those; what they leave out is counted.

Certainty is said in words in files before 2014 (``By similarity``, ``Potential``, ``Probable``) and by evidence codes
since (ECO:0000250, ECO:0000255, ECO:0000305 in that order); both are read.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hubtools.common.errors import UserError
from hubtools.common.readers import reads
from hubtools.specs.annotation_rules import Annotation, FeatureRule
from hubtools.specs.task import Task

NOT_SCORED = -100
# Bonds: the two numbers are the residues they join, not the first and last of a stretch.
_BONDS = {"ft_disulfid", "ft_crosslnk"}
_UNCERTAIN = {"ECO:0000250", "ECO:0000255", "ECO:0000305"}
_HEDGE = re.compile(r"\s*\((?:By similarity|Potential|Probable)\)")
_EVIDENCE = re.compile(r"\s*\{([^{}]*)\}")
_CODE = re.compile(r"ECO:\d{7}")
_FEATURE = re.compile(r"\s*([A-Z][A-Z0-9_]*)\s+([^\s;/]+)\s*(?:;|$)")
_QUALIFIER = re.compile(r'\s*/(\w+)(?:="((?:[^"]|"")*)")?\s*(?:;|$)')
# A number of more digits is no residue's.
_POSITION = re.compile(r"(?:([A-Z0-9]+-\d+):)?([<>?]?\d{0,9}|\?)(?:\.\.([<>?]?\d{0,9}|\?))?")
_STATEMENT = re.compile(r"[^.;{}]*(?:[.;](?!\s|$)[^.;{}]*)*(?:\{[^{}]*\})?[.;]?")


@dataclass(frozen=True)
class Feature:
    """One feature of an entry.

    Attributes:
        start, end: first and last residue, from 1; None where the entry is not certain about it.
        note: its description.
        evidence: codes, such as ECO:0000269.
        hedged: the words By similarity, Potential or Probable stood with it.
        isoform: of which other isoform the positions are, if so.
    """

    start: int | None
    end: int | None
    note: str = ""
    evidence: frozenset[str] = frozenset()
    hedged: bool = False
    isoform: str | None = None


@dataclass(frozen=True)
class UniProtEntry:
    """One protein of UniProt.

    Attributes:
        accession: the primary one.
        sequence: of the canonical isoform.
        comments: texts by UniProt's field, such as ``cc_subcellular_location``.
        features: by field, such as ``ft_mod_res``, in the order of the entry.
        name: such as ZAP70_HUMAN, where known.
        organism_id: of the NCBI taxonomy, where known.
        dates: by field, ``date_created`` and ``date_sequence_modified``, where a file says them.
    """

    accession: str
    sequence: str
    comments: Mapping[str, str] = field(default_factory=dict)
    features: Mapping[str, list[Feature]] = field(default_factory=dict)
    name: str = ""
    organism_id: str = ""
    dates: Mapping[str, str] = field(default_factory=dict)


def entry_of_row(row: Mapping[str, Any], fields: list[str], where: str) -> UniProtEntry:
    """The entry behind a row of a UniProt answer, with the fields that rules read.

    Raises:
        UserError: a feature cell cannot be read.
    """
    accession = str(row["accession"])
    return UniProtEntry(
        accession=accession,
        sequence=str(row["sequence"]),
        comments={name: str(row[name] or "") for name in fields if not name.startswith("ft_")},
        features={
            name: features_of_cell(str(row[name] or ""), name, f"{where}, {accession}")
            for name in fields
            if name.startswith("ft_")
        },
    )


@reads("cell of UniProt features")
def features_of_cell(cell: str, field_name: str, where: str) -> list[Feature]:
    """The features in a cell such as ``MOD_RES 114; /note="Phosphoserine"; /evidence="ECO:0000269"; MOD_RES 120;``.

    Raises:
        UserError: the cell is not of this form.
    """
    features, at, end = [], 0, len(cell.rstrip())
    while at < end:
        head = _FEATURE.match(cell, at)
        if head is None or f"ft_{head[1].lower()}" != field_name:
            raise UserError(
                f"cannot read {field_name} at {cell[at : at + 40].strip()!r}",
                where=where,
                fix='A feature reads KIND START..END; /note="..."; /evidence="...".',
            )
        at, qualifiers = head.end(), dict[str, str]()
        while found := _QUALIFIER.match(cell, at):
            qualifiers.setdefault(found[1], (found[2] or "").replace('""', '"'))
            at = found.end()
        features.append(feature(head[2], qualifiers.get("note", ""), qualifiers.get("evidence", ""), where))
    return features


def feature(position: str, note: str, evidence: str, where: str) -> Feature:
    """A feature from its parts as entries write them.

    Args:
        position: ``114``, ``5..12``, ``<1..20``, ``?..30``, ``P12345-2:5``.
        note: its description; evidence in braces and words of doubt in it are understood.
        evidence: what stands under ``/evidence``.
        where: the entry, for messages.

    Raises:
        UserError: the position cannot be read.
    """
    found = _POSITION.fullmatch(position)
    if found is None or not found[2]:
        raise UserError(f"cannot read the position {position!r} of a feature", where=where)
    start, end = found[2], found[3] if found[3] is not None else found[2]
    codes = frozenset(
        _CODE.findall(evidence) + [code for part in _EVIDENCE.findall(note) for code in _CODE.findall(part)]
    )
    note = _EVIDENCE.sub("", note)
    hedged = bool(_HEDGE.search(note))
    return Feature(
        start=int(start) if start.isdigit() else None,
        end=int(end) if end.isdigit() else None,
        note=_HEDGE.sub("", note).strip().removesuffix("."),
        evidence=codes,
        hedged=hedged,
        isoform=found[1],
    )


class Annotator:
    """Labels entries by the rules of a task, and counts what the rules leave out.

    Attributes:
        removed: proteins left out, by reason.
        unused: features or statements of kept and removed proteins that were not used, by reason.
    """

    def __init__(self, task: Task) -> None:
        rules = task.data.annotation
        assert rules is not None
        self.task, self.rules = task, rules
        self.index = {value: task.label_names.index(name) for value, name in task.labels.items()}
        self.removed: Counter[str] = Counter()
        self.unused: Counter[str] = Counter()

    def label(self, entry: UniProtEntry) -> Any:
        """The label of an entry, as ``hubtools.data.rows.labels`` takes it; None where it is left out, which is counted.

        Returns:
            For proteins the value of the label (several: a list of them). For residues int16 (n,) indices of labels,
            or int8 (n, labels) of 0 and 1; -100 where nothing can be said.

        Raises:
            UserError: a feature lies beyond the sequence.
        """
        if self.rules.comment:
            return self._protein(entry)
        return self._residues(entry)

    def findings(self) -> list[str]:
        """Lines for the record."""
        lines = [f"{count:,} proteins left out: {reason}" for reason, count in self.removed.items()]
        return lines + [f"{count:,} annotations not used: {reason}" for reason, count in self.unused.items()]

    def _protein(self, entry: UniProtEntry) -> str | list[str] | None:
        text = entry.comments.get(self.rules.field or "", "")
        if not text.strip():
            self.removed[f"no {self.rules.field}"] += 1
            return None
        text = self._read(text)
        labels = [
            label
            for label, rule in self.rules.comment.items()
            if any(word in text for word in rule.contains) and not any(word in text for word in rule.without)
        ]
        if not labels:
            self.removed["no label applies"] += 1
            return None
        if len(labels) > 1 and self.rules.several == "drop":
            self.removed["several labels apply"] += 1
            return None
        return labels if self.task.problem.kind == "multilabel" else labels[0]

    def _read(self, text: str) -> str:
        """The part of a comment that the rules read."""
        rules = self.rules
        if not (rules.evidence or rules.only_certain or rules.without_notes):
            return text
        read = []
        for statement in statements(text):
            if statement.startswith("Note=") and rules.without_notes:
                continue
            codes = frozenset(_CODE.findall(statement))
            reason = _reason_against(rules, codes, bool(_HEDGE.search(statement)))
            if reason:
                self.unused[reason] += 1
            else:
                read.append(statement)
        return " ".join(read)

    def _residues(self, entry: UniProtEntry) -> np.ndarray | None:
        several = self.task.problem.kind == "multilabel"
        length, width = len(entry.sequence), self.task.n_outputs
        labels = np.zeros((length, width), dtype=np.int8) if several else np.full(length, -1, dtype=np.int16)
        doubtful = np.zeros((length, width if several else 1), dtype=bool)
        used = np.zeros(length, dtype=bool)
        for rule in self.rules.features:
            column = self.index[rule.label]
            for found, reason in self._matching(entry, rule):
                at = _positions(found, rule.field, length, entry.accession, self.task.name)
                if reason:
                    # Somebody says that there is something, if not as surely as the task wants it: no example of none.
                    doubtful[at, column if several else 0] = True
                    continue
                used[at] = True
                if several:
                    labels[at, column] = 1
                else:
                    labels[at] = column
        if not used.any() and self.rules.require == "any":
            self.removed["no feature of the kinds asked for"] += 1
            return None
        if several:
            labels[doubtful & (labels == 0)] = NOT_SCORED
            return labels
        free = labels == -1
        assert self.rules.otherwise is not None
        labels[free] = self.index[self.rules.otherwise]
        labels[free & (doubtful[:, 0] | self._unknown(used))] = NOT_SCORED
        return labels

    def _matching(self, entry: UniProtEntry, rule: FeatureRule) -> list[tuple[Feature, str | None]]:
        """Features with sure positions that a rule is about, and why one does not count as the label, if so."""
        found = []
        for each in entry.features.get(rule.field, []):
            if rule.note is not None and not each.note.startswith(rule.note):
                continue
            if each.isoform is not None:
                self.unused["positions of another isoform"] += 1
            elif each.start is None or each.end is None:
                self.unused["uncertain position"] += 1
            else:
                reason = _reason_against(self.rules, each.evidence, each.hedged)
                if reason:
                    self.unused[reason] += 1
                found.append((each, reason))
        return found

    def _unknown(self, used: np.ndarray) -> np.ndarray:
        """Residues that are too far from any feature for the absence of one to mean something."""
        unknown = np.zeros(len(used), dtype=bool)
        if self.rules.longest_gap is None or not used.any():
            return unknown
        places = np.flatnonzero(used)
        unknown[: places[0]] = unknown[places[-1] + 1 :] = True
        for before, after in itertools.pairwise(places):
            if after - before - 1 > self.rules.longest_gap:
                unknown[before + 1 : after] = True
        return unknown


def statements(text: str) -> list[str]:
    """A comment in its statements, each with its evidence: ``Nucleus {ECO:0000269}.``; a note is one statement.

    A comment that has several parts (``SUBCELLULAR LOCATION: [Isoform 2]: …``) gives the statements of all of them.
    """
    found = []
    for part in re.split(r"(?:^|(?<=[.;]))\s*(?=[A-Z][A-Z ]+: )", text):
        body = re.sub(r"^[A-Z][A-Z ]+: ", "", part.strip())
        body, marker, note = body.partition("Note=")
        found += [piece.strip() for piece in _STATEMENT.findall(body) if piece.strip(" .;")]
        if marker:
            found.append(f"Note={note.strip()}")
    return found


def _reason_against(rules: Annotation, codes: frozenset[str], hedged: bool) -> str | None:
    """Why an annotation is left out; None where it is not."""
    if rules.evidence and not codes & set(rules.evidence):
        return f"evidence is not {' or '.join(rules.evidence)}"
    if rules.only_certain and (hedged or (codes and codes <= _UNCERTAIN)):
        return "probable, potential or by similarity"
    return None


def _positions(found: Feature, field_name: str, length: int, accession: str, task: str) -> slice | list[int]:
    """The residues of a feature, from 0."""
    assert found.start is not None and found.end is not None
    if not 1 <= found.start <= found.end <= length:
        raise UserError(
            f"{field_name} {found.start}..{found.end} is not within the sequence of {length:,} residues",
            where=f"task {task}, {accession}",
            fix="Sequence and features must be of one release. Fetch both again, or leave the protein out.",
        )
    if field_name in _BONDS:
        return [found.start - 1, found.end - 1]
    return slice(found.start - 1, found.end)

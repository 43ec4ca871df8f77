"""Every substitution of a protein, scored: by a language model as variant-effect tasks score, or by a trained model against the wild type."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from hubtools.common.errors import UserError, near
from hubtools.common.readers import reads
from hubtools.data.rows.variants import STANDARD
from hubtools.inference.asking import Protein, structures_of
from hubtools.models.masked_lm import load_masked_lm, require_mask
from hubtools.runs.preparation import Questions, answering
from hubtools.specs.recipe import Window
from hubtools.training.encoding import effective_window
from hubtools.training.variant_scores import LETTER, substitution_effects

if TYPE_CHECKING:
    from hubtools.inference.predictor import Predictor
    from hubtools.models.checkpoint import Checkpoint
    from hubtools.models.tokenisation import ResidueTokeniser
    from hubtools.training.compute.device import Execution

SCORINGS = ("masked-marginals", "wildtype-marginals")
COLUMNS = ("id", "position", "wildtype", "mutant", "mutation", "score")


class Region(tuple[int, int]):
    """The first residue, from 1, and the last."""

    __slots__ = ()

    def __str__(self) -> str:
        return f"{self[0]}-{self[1]}"


@reads("region of a protein")
def region_of(text: str) -> Region:
    """A region as ``20-80``, or one residue as ``20``.

    Raises:
        UserError: it is none.
    """
    match = re.fullmatch(r"([0-9]{1,7})(?:-([0-9]{1,7}))?", text.strip())
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 1 <= first <= last:
        raise UserError(f"{text!r} is no region", where="--region", fix="Residues count from 1: --region 20-80.")
    return Region((first, last))


@dataclass(frozen=True)
class ScannedProtein:
    """The scores of a protein's substitutions.

    Attributes:
        protein: the wild type.
        first: number of the first residue that was asked for, from 1.
        scores: (residues asked for, 20) float64, amino acids in the order of ``ACDEFGHIKLMNPQRSTVWY``. 0 for the wild type's own;
            NaN where a residue is none of the 20 and so has no score of its own.
        wild_type: what a trained model says of the protein itself; None of a language model.
    """

    protein: Protein
    first: int
    scores: np.ndarray
    wild_type: float | None = None

    @property
    def letters(self) -> str:
        """The wild type's residues that were asked for."""
        return self.protein.sequence[self.first - 1 : self.first - 1 + len(self.scores)]

    def rows(self) -> list[list[Any]]:
        """A row a substitution, by position and amino acid; cells by :data:`COLUMNS`."""
        found: list[list[Any]] = []
        for place, (letter, scores) in enumerate(zip(self.letters, self.scores.tolist(), strict=True), self.first):
            found += [
                [self.protein.id, place, letter, mutant, f"{letter}{place}{mutant}", score]
                for mutant, score in zip(STANDARD, scores, strict=True)
                if mutant != letter and letter in LETTER
            ]
        return found


class ScanRows:
    """A table of scans, as writers of tables take it."""

    columns = list(COLUMNS)

    def rows(self, scanned: ScannedProtein) -> list[list[Any]]:
        """Of one protein."""
        return scanned.rows()


class Scanner(Protocol):
    """What scores the substitutions of proteins.

    Attributes:
        meaning: of a score, in words.
    """

    meaning: str

    def about(self) -> dict[str, str]:
        """How scores are made."""

    def scan(self, proteins: Sequence[Protein], region: Region | None) -> Iterator[ScannedProtein]:
        """Scores in the order of the proteins."""


def places_of(protein: Protein, region: Region | None) -> range:
    """The residues (from 0) that are asked of a protein.

    Raises:
        UserError: the region ends behind it.
    """
    if region is None:
        return range(len(protein.sequence))
    if region[1] > len(protein.sequence):
        raise UserError(f"the region {region} ends behind its {len(protein.sequence):,} residues", where=protein.id)
    return range(region[0] - 1, region[1])


class CheckpointScanner:
    """A masked language model asked as variant-effect tasks ask it.

    Args:
        checkpoint, tokeniser: that answer.
        execution: where and how it computes.
        scoring: ``masked-marginals`` hides each position, ``wildtype-marginals`` reads the protein once as it is.

    Raises:
        UserError: the checkpoint has no trained head of masked language modelling, or no mask.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        tokeniser: ResidueTokeniser,
        execution: Execution,
        scoring: Literal["masked-marginals", "wildtype-marginals"] = "masked-marginals",
    ) -> None:
        self.checkpoint, self.tokeniser, self.execution, self.scoring = checkpoint, tokeniser, execution, scoring
        self.masked = scoring == "masked-marginals"
        if self.masked:
            require_mask(tokeniser, checkpoint.name)
        self.window = effective_window(Window(), checkpoint, tokeniser)
        self.model = load_masked_lm(checkpoint).to(execution.device)
        self.meaning = "log p(mutant) − log p(wild type)"
        self.aligned = ""

    def about(self) -> dict[str, str]:
        """How scores are made."""
        return {
            **self.checkpoint.pinned(),
            "scoring": self.scoring,
            "score": self.meaning,
        }

    def scan(self, proteins: Sequence[Protein], region: Region | None) -> Iterator[ScannedProtein]:
        """Scores in the order of the proteins; all are read together.

        Raises:
            UserError: the region is not in one, or the checkpoint does not read it one token a residue.
        """
        asked = [places_of(protein, region) for protein in proteins]
        wild = list(dict.fromkeys(protein.sequence for protein in proteins))
        known = structures_of(proteins) if self.tokeniser.reads_structure else None
        structures = dict(zip([protein.sequence for protein in proteins], known or [], strict=False))
        letters = [structures[sequence] for sequence in wild] if structures else None
        alignment = self.tokeniser.prove(wild, letters)
        self.aligned = str(alignment)
        tokens = self.tokeniser.count_unknown(self.tokeniser.encode_all(wild, letters))
        positions: dict[str, np.ndarray] = {}
        for protein, places in zip(proteins, asked, strict=True):
            # Only where the wild type's residue is one of the 20 is there something to compare with.
            positions[protein.sequence] = np.array(
                [place for place in places if protein.sequence[place] in LETTER], dtype=np.int64
            )
        questions = Questions(
            self.checkpoint, self.tokeniser, alignment, tokens, positions, self.window, self.masked, structures, None
        )
        with answering(self.model, questions, self.execution):
            tables = questions.answers(self.model, questions.units, self.execution, shown=True)
        for protein, places in zip(proteins, asked, strict=True):
            effects = substitution_effects(protein.sequence, tables[protein.sequence])
            yield ScannedProtein(protein, places.start + 1, effects[places.start : places.stop])


class ModelScanner:
    """A trained model asked about every mutant: what it says of it less what it says of the wild type.

    Args:
        predictor: of a task about proteins.
        label: whose probability counts; of two, the positive or second one by default.

    Raises:
        UserError: the model is not about proteins, or it is not said which label counts.
    """

    def __init__(self, predictor: Predictor, label: str | None = None) -> None:
        self.predictor, problem, labels = predictor, predictor.problem, predictor.labels
        task = predictor.task
        if task.chains > 1:
            raise UserError(
                f"a protein of its task is {task.chains} chains, and one chain is scanned",
                where=task.name,
                fix="Use --checkpoint, or bench predict for variants of a chain beside the others.",
            )
        if problem.level.by_residue or problem.level.proteins > 1:
            raise UserError(
                f"it predicts something for each {problem.level.row}, and a substitution is scored for the protein",
                where=task.name,
                fix="Name a model of a task about whole proteins, or use --checkpoint.",
            )
        if problem.kind == "regression":
            if label is not None:
                raise UserError("the model predicts a value, and has no labels", where="--label", fix="Leave it out.")
            self.output, unit = 0, f" ({task.unit})" if task.unit else ""
            self.meaning = f"predicted value{unit}, mutant − wild type"
            return
        if label is None:
            if len(labels) != 2 or problem.kind == "multilabel":
                raise UserError(
                    f"it has {len(labels):,} labels, and one must be said",
                    where=task.name,
                    fix=f"--label NAME: {', '.join(labels[:8])}{', …' if len(labels) > 8 else ''}.",
                )
            label = task.metrics.positive or labels[1]
        if label not in labels:
            raise UserError(f"it has no label {label!r}", where=task.name, fix=near(label, labels))
        self.output = labels.index(label)
        self.meaning = f"p({label}), mutant − wild type"

    def about(self) -> dict[str, str]:
        """How scores are made."""
        return self.predictor.about("a trained model") | {"score": self.meaning}

    def scan(self, proteins: Sequence[Protein], region: Region | None) -> Iterator[ScannedProtein]:
        """Scores in the order of the proteins; of each, 19 mutants a residue are read.

        Raises:
            UserError: the region is not in one.
        """
        asked = [places_of(protein, region) for protein in proteins]
        for protein, places in zip(proteins, asked, strict=True):
            answers = self.predictor.predict(_mutants(protein, places), many=True)
            said = np.array([answer.scores.ravel()[self.output] for answer in answers], dtype=np.float64)
            scores = np.full((len(places), len(STANDARD)), np.nan)
            own = float(said[0])
            rest = iter((said[1:] - own).tolist())
            for row, place in enumerate(places):
                letter = protein.sequence[place]
                for column, mutant in enumerate(STANDARD):
                    scores[row, column] = 0.0 if mutant == letter else next(rest)
            scores[[protein.sequence[place] not in LETTER for place in places]] = np.nan
            yield ScannedProtein(protein, places.start + 1, scores, own)


def _mutants(protein: Protein, places: range) -> Iterator[Protein]:
    """The wild type, then each substitution by position and amino acid."""
    yield protein
    sequence = protein.sequence
    for place in places:
        for mutant in STANDARD:
            if mutant != sequence[place]:
                yield Protein(
                    f"{sequence[place]}{place + 1}{mutant}",
                    f"{sequence[:place]}{mutant}{sequence[place + 1 :]}",
                    structure=protein.structure,
                )

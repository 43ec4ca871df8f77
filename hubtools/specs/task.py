"""The task: what to predict from a protein, on which data and splits, scored how."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from hubtools.common.bounds import MOST_LABELS
from hubtools.common.hashing import digest
from hubtools.common.notebook import facts_html, line_html
from hubtools.common.registry import code_digest
from hubtools.specs.annotation_rules import Annotation
from hubtools.specs.base import Spec, SpecError
from hubtools.specs.data_sources import Data
from hubtools.specs.level import LEVELS, PROTEIN, VARIANT
from hubtools.specs.metric_names import METRICS
from hubtools.specs.names import HUB_ID, Name, Sha256
from hubtools.specs.problem import Problem

# Three numbers and a serial, which may be preliminary (n1); what is not known is a dash, and then all after it.
_EC_NUMBER = re.compile(r"[1-9]\d*(\.\d+(\.\d+(\.(n?\d+|-))?|(\.-){1,2})?|(\.-){1,3})?")


class MetricChoice(Spec):
    """What is reported, and by which one number runs are selected and ranked."""

    primary: str
    also: list[str] = []
    positive: str | None = Field(
        default=None,
        description="The class to be detected, for two-class tasks: its decision threshold is then chosen on "
        "validation (largest F1), and F1, AUROC and AUPRC are about it. Of more than two classes AUROC and AUPRC are the "
        "mean over classes, each against the rest.",
    )
    cleaved: list[str] = Field(
        default=[],
        description="residue-classification: the labels of what is cut off at the beginning of a protein, such as those of "
        "signal peptides. cleavage_precision and cleavage_recall are about where the longest stretch of them ends.",
    )
    cutoff: float | Literal["median"] | None = Field(
        default=None,
        description="variant-effect: the measured value from which a variant counts as functional, for AUROC; median "
        "of each assay, or a number. Not needed where `columns.active` says it.",
    )

    @property
    def names(self) -> list[str]:
        """Primary metric first."""
        return [self.primary, *[name for name in self.also if name != self.primary]]


class Ontology(Spec):
    """Labels are terms of an ontology, such as the Gene Ontology; needs the extra ``ontology``."""

    obo: Path = Field(
        description="The ontology's file in OBO; of relations, is_a and part_of within a namespace count."
    )
    sha256: Sha256


def ec_numbers(label: str) -> list[str]:
    """The parts of a number of the Enzyme Commission that are given: of ``1.1.1.-`` three; empty where it is none."""
    return label.rstrip(".-").split(".") if _EC_NUMBER.fullmatch(label) else []


class Trust(Spec):
    """How far the task's test score can be trusted as a measure of generalisation."""

    colour: Literal["green", "amber", "red"] = Field(
        description="green: a held-out score means what it says. amber: with a reservation. red: not for ranking."
    )
    reason: str = Field(min_length=10)


class PublishedScore(Spec):
    """One number from the literature, to be read beside one's own."""

    what: str = Field(description="Checkpoint or method.")
    how: str = Field(description="Adaptation: frozen with a small head, full fine-tuning, ...")
    metric: str = Field(description="One of bench's metric names where it is the same, else in words.")
    value: float
    spread: str | None = Field(default=None, description="As the source gives it, such as ±0.3 (SD of 3 seeds).")
    split: str = "test"
    source: str
    note: str | None = Field(default=None, description="What keeps the number from being comparable, if anything.")


class HubBenchmark(Spec):
    """The benchmark of the Hub that a task is: where results in ``.eval_results/`` are shown and ranked."""

    dataset: str = Field(
        pattern=rf"^{HUB_ID}$", description="Id of the data set on the Hub that is registered as a benchmark."
    )
    task_id: str = Field(description="Which task of that data set's eval.yaml this is.")
    split: str = Field(default="test", description="Test split whose score is reported.")
    metric: str | None = Field(default=None, description="By default the primary one. Higher must be better.")


def _fitting(kind: str, level: str) -> str:
    """The metrics of a kind of problem at the level of this name."""
    return ", ".join(
        sorted(name for name, metric in METRICS.items() if metric.fits(kind, level) and not metric.needs_cleaved)
    )


class Task(Spec):
    """One task file."""

    name: Name
    version: int = Field(ge=1, description="Bump when data, labels or metric change.")
    supersedes: str | None = None
    title: str
    problem: Problem
    summary: str
    template: str | None = Field(
        default=None,
        min_length=10,
        description="Why the task has never been loaded by whoever made the file: it is a template then, which lists and counts "
        "leave out. Remove it once `bench tasks check` has loaded the data. It is no part of the task's identity.",
    )
    data: Data
    labels: dict[str, str] = Field(
        default={},
        description="Value in the data -> name of the label, in the order of the model's outputs. Several values may "
        "have the same name: they are one label. {range: N, prefix: 'fold '} stands for the values 0 to N - 1.",
    )
    hierarchy: Literal["ec"] | Ontology | None = Field(
        default=None,
        description="Labels that lie below one another: ec (numbers of the Enzyme Commission, by their dots), or {obo: FILE, "
        "sha256: ...}. Who has a label has all above it, and metrics that read scores (Fmax, AUPRC) are of all of them.",
    )
    unit: str | None = Field(default=None, description="Unit of a regression target.")
    metrics: MetricChoice
    margin: float = Field(default=0.01, gt=0, description="Loss in the primary metric that counts as worse.")
    licence: str = Field(description="Licence of the data: an SPDX identifier such as CC-BY-4.0, or 'unknown'.")
    homepage: str | None = Field(default=None, pattern=r"^https?://", description="Address of the data's own page.")
    citation: str = Field(description="BibTeX, or a plain reference.")
    notes: list[str] = Field(default=[], description="What a reader of the result should know about the data.")
    trust: Trust | None = Field(default=None, description="How far the split can be trusted.")
    published: list[PublishedScore] = Field(default=[], description="Known results, to compare with.")
    hub_benchmark: HubBenchmark | None = Field(
        default=None, description="Where the Hub ranks results of this task; cards then carry them for it."
    )

    @model_validator(mode="before")
    @classmethod
    def _earlier_name(cls, given: Any) -> Any:
        """What older files and records call ``semaphore``."""
        if isinstance(given, dict) and "semaphore" in given and "trust" not in given:
            return {"trust" if key == "semaphore" else key: value for key, value in given.items()}
        return given

    @field_validator("labels", mode="before")
    @classmethod
    def _label_mapping(cls, labels: Any) -> Any:
        """Accept a list of names too, where the values in the data are the names; or numbers by their range.

        ``{range: 1195, prefix: "fold "}`` stands for ``{"0": fold 0, "1": fold 1, ...}``.
        """
        if isinstance(labels, dict) and isinstance(labels.get("range"), int) and set(labels) <= {"range", "prefix"}:
            if labels["range"] > MOST_LABELS:
                raise ValueError(f"more than {MOST_LABELS:,} labels. Predict fewer")
            return {str(n): f"{labels.get('prefix', '')}{n}" for n in range(labels["range"])}
        if isinstance(labels, (list, dict)) and any(isinstance(label, bool) or label is None for label in labels):
            raise ValueError("YAML reads yes, no, on, off, true, false and null as no text. Put the label in quotes")
        if isinstance(labels, list):
            if len({str(label) for label in labels}) != len(labels):
                raise ValueError("a label is listed twice")
            return {str(label): str(label) for label in labels}
        return {str(k): str(v) for k, v in labels.items()} if isinstance(labels, dict) else labels

    @model_validator(mode="after")
    def _consistent(self) -> Task:
        self._labels_fit()
        self._data_fit()
        self._metrics_fit()
        self._benchmark_fits()
        return self

    def _labels_fit(self) -> None:
        kind = self.problem.kind
        if kind == "regression":
            if self.labels:
                raise SpecError(f"labels are given, but {self.problem.value} has none. Remove labels", "labels")
        elif len(self.label_names) < (1 if kind == "multilabel" else 2):
            raise SpecError(f"{self.problem.value} needs labels. List them under labels", "labels")
        if self.hierarchy is not None and kind != "multilabel":
            raise SpecError(f"this is for several labels, not for {self.problem.value}. Remove it", "hierarchy")
        if self.hierarchy == "ec" and (other := [name for name in self.label_names if not ec_numbers(name)]):
            what = f"{other[0]!r} is no number of the Enzyme Commission, such as 1.1.1.1 or 1.1.1.-. Correct it"
            raise SpecError(what, "labels")

    def _splits_fit(self) -> None:
        data, level = self.data, self.problem.level
        if missing := level.needed_splits - set(data.split_names):
            what = "A task needs train and test" if level.trained else f"A {self.problem.value} task needs test"
            key = "splits" if data.splits else "split"
            raise SpecError(f"no {' and no '.join(sorted(missing))} split. {what}", "data", key)
        trained = {"train", "validation"} & set(data.split_names)
        if trained and not level.trained and not level.may_train:
            raise SpecError(
                f"nothing is trained in {self.problem.value}. Remove {sorted(trained)[0]}", "data", "splits"
            )
        if trained == {"validation"}:
            raise SpecError("there is nothing to learn from. Add train, or remove validation", "data", "splits")

    def _folds_fit(self) -> None:
        level = self.problem.level
        if self.data.folds is None:
            return
        if not level.trained or level.proteins > 1:
            what = "nothing is trained" if not level.trained else "a protein would be in several folds"
            raise SpecError(f"{what} in {self.problem.value}. Remove it", "data", "folds")
        if self.problem.kind == "multilabel" or self.metrics.positive is not None:
            what = "a decision threshold would be another in each fold, so that folds are not for"
            of = self.problem.value if self.problem.kind == "multilabel" else "tasks with metrics.positive"
            raise SpecError(f"{what} {of}. Use split", "data", "folds")

    def _columns_fit(self) -> None:
        level, columns = self.problem.level, self.data.columns
        lookup = [file.name for file in self.data.files if file.lookup]
        given = {key for known in LEVELS.values() for key in known.takes if getattr(columns, key)}
        if other := [key for known in LEVELS.values() for key in known.takes if key in given - set(level.takes)]:
            raise SpecError(f"this is not for {self.problem.value}. Remove it", "data", "columns", other[0])
        if self.data.structures is not None and "structure" not in level.takes:
            raise SpecError(f"this is not for {self.problem.value}. Remove it", "data", "structures")
        if self.data.structures is not None and level is VARIANT and columns.structure is None:
            raise SpecError("the wild type's file is not named. Add structure", "data", "columns")
        if data_chains := self.data.chain_names:
            said = ["columns", "sequence"] if columns.chains else ["chains"]
            if level is not PROTEIN:
                raise SpecError(f"several chains with one label are not for {self.problem.value}", "data", *said)
            if columns.structure or self.data.structures:
                raise SpecError(f"structures are of one chain, not of {len(data_chains)}. Remove them", "data", *said)
        given |= {"lookup"} if lookup else set()
        if not all(given & set(group) for group in level.needs):
            raise SpecError(*level.lacking)
        for key, found in (("cluster", columns.cluster), ("clusters", self.data.clusters)):
            if found and key in level.no_clusters:
                raise SpecError(*level.no_clusters[key])
        if lookup and not level.lookup:
            raise SpecError("lookup is for pairs, variants and contacts. Remove it", "data", "files")
        for split, rule in (self.data.splits or {}).items():
            if rule.by_date and not columns.date:
                what = "nothing says when a protein became public. Name its column under columns.date"
                raise SpecError(what, "data", "splits", split, "before" if rule.before else "since")
        if len(lookup) == len(self.data.files):
            raise SpecError("every file is lookup. One needs to hold the rows", "data", "files")

    def _data_fit(self) -> None:
        data, kind, by_residue = self.data, self.problem.kind, self.problem.level.by_residue
        self._folds_fit()
        self._splits_fit()
        self._columns_fit()
        for key in ("site_marker", "candidates", "masked_value", "label_sets", "label_shift"):
            if getattr(data, key) not in (None, [], 0) and not by_residue:
                raise SpecError(f"this is for residue tasks, not for {self.problem.value}. Remove it", "data", key)
        if data.label_sets is not None:
            if kind != "multilabel":
                raise SpecError(f"this is for residue-multilabel, not for {self.problem.value}", "data", "label_sets")
            if unknown := [name for names in data.label_sets.values() for name in names if name not in self.labels]:
                raise SpecError(f"{unknown[0]!r} is not a label. List it under labels", "data", "label_sets")
        if data.annotation is not None:
            self._annotation_fits(data.annotation)
        if data.stratified and (self.problem.level.proteins > 1 or not self.problem.level.trained):
            raise SpecError(f"this is not for {self.problem.value}. Remove it", "data", "stratified")
        if data.stratified and "validation" in (data.splits or {}):
            raise SpecError("the data declare all splits, and none is drawn. Remove it", "data", "stratified")
        if data.site_marker and kind != "classification":
            raise SpecError(f"this is for residue-classification, not for {self.problem.value}", "data", "site_marker")
        if data.site_marker and list(self.labels) != ["0", "1"]:
            raise SpecError('a site_marker needs two labels. Write labels: {"0": not marked, "1": marked}', "labels")
        if data.masked_labels and (known := set(data.masked_labels) & set(self.labels)):
            raise SpecError(f"{sorted(known)[0]!r} is one of labels, too. Say one of both", "data", "masked_labels")
        if data.label_separator and (kind != ("classification" if by_residue else "multilabel")):
            raise SpecError(
                f"this is for several labels in one cell, not for {self.problem.value}. Remove it",
                "data",
                "label_separator",
            )
        names = [file.name for file in data.files]
        if repeated := [name for name in names if names.count(name) > 1]:
            raise SpecError(f"two files are called {repeated[0]!r}. Give each its own name", "data", "files")
        for split, rule in (data.splits or {}).items():
            if unknown := [name for name in rule.files if name not in names]:
                raise SpecError(
                    f"there is no file {unknown[0]!r}. The files are: {', '.join(names)}", "data", "splits", split
                )

    def _annotation_fits(self, annotation: Annotation) -> None:
        by_residue, kind = self.problem.level.by_residue, self.problem.kind
        formats = {file.table_format for file in self.data.files}
        if not formats & {"uniprot", "swissprot"}:
            raise SpecError("it reads UniProt answers and Swiss-Prot files only. Remove it", "data", "annotation")
        if bool(annotation.features) != by_residue:
            key = "features" if by_residue else "comment"
            raise SpecError(f"{self.problem.value} needs {key}. Correct it", "data", "annotation")
        if annotation.comment and annotation.several == "keep" and kind != "multilabel":
            raise SpecError("a protein has one label here. Write several: drop", "data", "annotation", "several")
        if unknown := [label for label in annotation.labels if label not in self.labels]:
            raise SpecError(f"{unknown[0]!r} is not a label. List it under labels", "data", "annotation")
        if by_residue and kind == "classification" and annotation.otherwise is None:
            raise SpecError("residues without a feature need a label. Add otherwise", "data", "annotation")

    def _metrics_fit(self) -> None:
        kind, level, positive = self.problem.kind, self.problem.level, self.metrics.positive
        if positive is not None:
            if kind != "classification" or self.n_outputs != 2:
                raise SpecError("positive is for tasks with two classes. Remove it", "metrics", "positive")
            if positive not in self.label_names:
                known = ", ".join(self.label_names)
                raise SpecError(f"{positive!r} is not a label. The labels are: {known}", "metrics", "positive")
        self._cleaved_fits()
        for name in self.metrics.names:
            key = ("metrics", "primary" if name == self.metrics.primary else "also")
            metric = METRICS.get(name)
            if metric is None:
                close = difflib.get_close_matches(name, METRICS, n=1)
                hint = f"Did you mean {close[0]}?" if close else f"Use one of: {_fitting(kind, level.name)}"
                raise SpecError(f"there is no metric {name!r}. {hint}", *key)
            if not metric.fits(kind, level.name):
                what = self.problem.value if level.within == "protein" or metric.level else kind
                raise SpecError(f"metric {name!r} is not for {what}. Use one of: {_fitting(kind, level.name)}", *key)
            if metric.informed and name == self.metrics.primary:
                raise SpecError(f"{name} is not for choosing by. List it under metrics.also", *key)
            trained = self.problem.level.trained
            if metric.zero_shot_only and trained and kind == "regression":
                raise SpecError(
                    f"metric {name!r} is not for {self.problem.value}. Use one of: {_fitting(kind, level.name)}", *key
                )
            told = self.metrics.cutoff is not None or self.data.columns.active
            if metric.zero_shot_only and not trained and not told:
                raise SpecError(f"{name} needs to know what is functional. Give metrics.cutoff: median, say", *key)
            if metric.needs_cleaved and not self.metrics.cleaved:
                raise SpecError(f"{name} needs to know what is cut off. Name the labels under metrics.cleaved", *key)
            if metric.needs_positive and kind == "classification" and positive is None:
                self._without_positive(name, key)

    def _cleaved_fits(self) -> None:
        cleaved = self.metrics.cleaved
        if cleaved and not (self.problem.level.by_residue and self.problem.kind == "classification"):
            what = f"this is for residue-classification, not for {self.problem.value}. Remove it"
            raise SpecError(what, "metrics", "cleaved")
        if unknown := [name for name in cleaved if name not in self.label_names]:
            known = ", ".join(self.label_names)
            raise SpecError(f"{unknown[0]!r} is not a label. The labels are: {known}", "metrics", "cleaved")

    def _without_positive(self, name: str, key: tuple[str, str]) -> None:
        if self.n_outputs == 2:
            raise SpecError(f"metric {name!r} is about one class of two. Name it under metrics.positive", *key)
        if not METRICS[name].averaged:
            others = ", ".join(
                known
                for known, metric in METRICS.items()
                if "classification" in metric.kinds
                and (metric.averaged or not metric.needs_positive)
                and not (metric.needs_cleaved or metric.level)
            )
            raise SpecError(
                f"metric {name!r} is of two classes, and here are {self.n_outputs}. Use one of: {others}", *key
            )

    def _benchmark_fits(self) -> None:
        asked = self.hub_benchmark
        if asked is None:
            return
        metric = asked.metric or self.metrics.primary
        if metric not in self.metrics.names:
            raise SpecError(f"{metric!r} is not measured. List it under metrics", "hub_benchmark", "metric")
        if not METRICS[metric].higher_is_better:
            raise SpecError(
                f"the Hub ranks by the highest, and of {metric} the lowest is best. Name another",
                "hub_benchmark",
                "metric",
            )
        if asked.split not in self.data.test_splits:
            raise SpecError(f"there is no test split {asked.split!r}", "hub_benchmark", "split")

    @property
    def label_names(self) -> list[str]:
        """Names of the model's outputs, in order; empty for regression."""
        return list(dict.fromkeys(self.labels.values()))

    @property
    def n_outputs(self) -> int:
        """Width of the head: one per label, or one value."""
        return len(self.label_names) or 1

    @property
    def positive_index(self) -> int | None:
        """Index of the class to be detected, where there is one."""
        return None if self.metrics.positive is None else self.label_names.index(self.metrics.positive)

    @property
    def template_told(self) -> str:
        """What a template is, in one line; empty where the task is none."""
        return f"{self.name} is a template, a task that has never been loaded. {self.template}" if self.template else ""

    @property
    def cleaved_indices(self) -> tuple[int, ...]:
        """Indices of the labels whose stretch is cut off."""
        return tuple(map(self.label_names.index, self.metrics.cleaved))

    @property
    def hash(self) -> str:
        """sha256 of everything in the file that can change a number: not titles, notes or citations.

        Of a metric that a package brings the formula's file counts too.
        """
        prose = {"title", "summary", "notes", "citation", "homepage", "licence", "margin", "supersedes", "template"}
        prose |= {"trust", "published", "hub_benchmark"}
        content = self.model_dump(mode="json", exclude=prose, exclude_defaults=True)
        content["data"] = self.data.question()
        if isinstance(self.hierarchy, Ontology):
            content["hierarchy"] = {"sha256": self.hierarchy.sha256}
        # The order of labels is that of the outputs; JSON with sorted keys would lose it.
        content["labels"] = list(self.labels.items())
        if code := {n: found for n in self.metrics.names if (found := code_digest(METRICS[n].formula)) is not None}:
            content["metrics"]["code"] = code
        return digest(content)

    def _repr_html_(self) -> str:
        facts = {
            "problem": self.problem.value,
            "labels": ", ".join(self.label_names) or f"a number{f' ({self.unit})' if self.unit else ''}",
            "splits": ", ".join(["train, validation", *self.data.test_splits][not self.learns :]),
            "scored by": ", ".join(METRICS[name].title for name in self.metrics.names),
            "worse means": f"a loss of more than {self.margin:g} in {METRICS[self.metrics.primary].title}",
            "trust": f"{self.trust.colour}: {self.trust.reason}" if self.trust else "",
            "notes": "\n".join(self.notes),
            "licence": self.licence,
            "citation": self.citation.rstrip(),
        }
        said = line_html(f"{self.title} ({self.name}, version {self.version})", strong=True) + line_html(self.summary)
        return said + facts_html((name, text) for name, text in facts.items() if text)

    @property
    def learns(self) -> bool:
        """Whether it has a training split."""
        return self.problem.level.trained or (self.problem.level.may_train and "train" in self.data.split_names)

    @property
    def chains(self) -> int:
        """How many chains a protein is, each read alone."""
        return len(self.data.chain_names) or 1

    @property
    def chains_told(self) -> str:
        """How several chains are read, in words; empty where a protein is one."""
        if self.chains == 1:
            return ""
        named = f" ({', '.join(self.data.columns.chains)})" if self.data.columns.chains else ""
        return f"{self.chains} chains a protein{named}, each read alone; the mean is over the residues of all"

    @property
    def local_files(self) -> list[Path]:
        """Files and folders beside the task file that it names."""
        ontology = [self.hierarchy.obo] if isinstance(self.hierarchy, Ontology) else []
        return [*self.data.local_files, *ontology]

    def located_at(self, folder: Path) -> Task:
        """A copy whose relative local paths start at that folder."""
        changed: dict[str, Any] = {"data": self.data.with_paths(lambda path: folder / path)}
        if isinstance(self.hierarchy, Ontology):
            changed["hierarchy"] = self.hierarchy.model_copy(update={"obo": folder / self.hierarchy.obo})
        return self.model_copy(update=changed)

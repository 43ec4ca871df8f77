"""Invented run records that look like real ones: for tests of board and card, and for looking at them.

    python tests/sample_records.py OUT [--rows 1000 | --groups]

writes folders that ``bench board OUT/board`` and ``bench card OUT/cards/RUN`` read.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from hubtools.common.hashing import digest, file_sha256
from hubtools.evaluation.predictions import Predictions, read_predictions, write_predictions
from hubtools.evaluation.statistics.resampled import KEPT_REPLICATES, Units, write_replicates
from hubtools.runs.store import (
    PLACES,
    PREDICTIONS,
    RECORD,
    REPLICATES,
    TRAINING_LOG,
    OpenRun,
    read_record,
    run_folder,
    write_record,
)
from hubtools.specs.metric_names import METRICS
from hubtools.specs.recipe import Recipe
from hubtools.specs.record import (
    AlignmentFacts,
    CheckpointFacts,
    CheckpointIdentity,
    Cost,
    DataFacts,
    Energy,
    Environment,
    Failure,
    Identity,
    OutputFile,
    RecipeIdentity,
    RunRecord,
    Score,
    SourceFile,
    SplitFacts,
    SplitOverlap,
    SplitResult,
    Stratum,
    SweepFacts,
    TaskIdentity,
    TrainingFacts,
    WindowFacts,
)
from hubtools.specs.task import Task

Found = OpenRun
START = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
COMPARTMENTS = [
    "Cytoplasm",
    "Nucleus",
    "Extracellular",
    "Cell membrane",
    "Mitochondrion",
    "Plastid",
    "Endoplasmic reticulum",
    "Lysosome/Vacuole",
    "Golgi apparatus",
    "Peroxisome",
]


def _task(name: str, title: str, problem: str, summary: str, primary: str, also: list[str], **more: Any) -> Task:
    file = {"url": f"https://example.org/{'a' * 40}/{name}.csv", "sha256": digest(name)}
    splits = {split: {"where": {"set": [split]}} for split in ["train", "test", *more.pop("further", [])]}
    metrics = {"primary": primary, "also": also, "positive": more.pop("positive", None)}
    values = {
        "name": name,
        "version": more.pop("version", 1),
        "title": title,
        "problem": problem,
        "summary": summary,
        "data": {"source": "url", "files": [file], "splits": splits},
        "metrics": metrics,
        "licence": more.pop("licence", "CC-BY-4.0"),
        "citation": "@article{invented2024,\n  title = {An invented reference},\n  year = {2024}\n}",
        "homepage": "https://example.org/data",
    }
    return Task.model_validate(values | more)


LOCALISATION = _task(
    "localisation",
    "Subcellular localisation",
    "sequence-multilabel",
    "In which compartments of a eukaryotic cell does the protein act?",
    "macro_f1",
    ["mcc", "jaccard", "micro_f1"],
    labels=COMPARTMENTS,
    further=["hpa"],
)
STRUCTURE = _task(
    "secondary-structure",
    "Secondary structure, three states",
    "residue-classification",
    "Is each residue part of a helix, a strand or neither?",
    "accuracy",
    ["macro_f1", "mcc"],
    labels={"H": "Helix", "E": "Strand", "C": "Coil"},
    version=2,
)
OLD_STRUCTURE = STRUCTURE.model_copy(update={"version": 1})
PHOSPHO = _task(
    "phosphotyrosine",
    "Phosphotyrosine sites",
    "residue-classification",
    "Which tyrosines are phosphorylated?",
    "auprc",
    ["auroc", "mcc", "f1"],
    labels={"0": "Not phosphorylated", "1": "Phosphorylated"},
    positive="Phosphorylated",
    licence="CC-BY-NC-SA-4.0",
)
FITNESS = _task(
    "gb1-fitness",
    "GB1 fitness, three against rest",
    "sequence-regression",
    "How well do variants of protein G domain B1 bind, from at most three mutations to four?",
    "spearman",
    ["pearson", "rmse", "r2"],
)
PEPTIDES = _task(
    "antimicrobial-peptide",
    "Antimicrobial peptides",
    "sequence-classification",
    "Does the peptide kill microbes?",
    "mcc",
    ["auroc", "accuracy"],
    labels={"0": "Other", "1": "Antimicrobial"},
    positive="Antimicrobial",
)
TASKS = {task.name: task for task in (LOCALISATION, STRUCTURE, PHOSPHO, FITNESS, PEPTIDES)}

FULL = Recipe(name="full", adaptation="full", learning_rate=1e-4)
PROBE = Recipe(name="probe", adaptation="probe", learning_rate=1e-3, epochs=50)
SCRATCH = Recipe(name="scratch", adaptation="full", weights="random")
NATIVE = Recipe.model_validate({"name": "native", "adaptation": "full", "head": {"kind": "native"}})
BASELINES = {n: Recipe.model_validate({"name": n, "adaptation": "baseline", "baseline": n}) for n in
             ("majority", "composition", "onehot-window", "nearest-neighbour")}  # fmt: skip

# name, commit, family, parameters, licence
CHECKPOINTS: dict[str, tuple[str, str, int, str | None]] = {
    "facebook/esm2_t6_8M_UR50D": ("c731040fcd8d73dceaa04b0a8e6329b345b0f5df", "esm", 7_511_801, "mit"),
    "facebook/esm2_t33_650M_UR50D": ("08e4846e537177426273712802403f7ba8261b6c", "esm", 651_043_254, "mit"),
    "Rostlab/prot_bert": ("7a894481acdc12202f0a415dd567f6cfdb698908", "bert", 419_931_166, "cc-by-nc-sa-4.0"),
    "Rostlab/prot_t5_xl_uniref50": ("973be27c52ee6474de9c945952a8008aeb2a1a73", "t5", 1_208_141_824, None),
    "ElnaggarLab/ankh-base": ("e3b1d2c4a5f60718293a4b5c6d7e8f9012345678", "t5", 453_316_608, "cc-by-nc-sa-4.0"),
}


def make_record(
    task: Task,
    recipe: Recipe,
    score: float,
    *,
    checkpoint: str | None = None,
    local: bool = False,
    seed: int = 1,
    half_width: float = 0.015,
    subset: int | None = None,
    fraction: float | None = None,
    sweep: SweepFacts | None = None,
    status: str = "complete",
    overrides: dict[str, Any] | None = None,
    results: dict[str, SplitResult] | None = None,
    minutes: float = 4.0,
    started: datetime = START,
) -> RunRecord:
    """One record whose primary metric on test is the score; the other metrics follow it."""
    identity = Identity(
        checkpoint=_checkpoint_identity(checkpoint, local) if recipe.needs_checkpoint else None,
        task=TaskIdentity(name=task.name, version=task.version, hash=task.hash),
        data=digest(["data", task.name]),
        subset=subset,
        fraction=fraction,
        recipe=RecipeIdentity(name=recipe.name, hash=recipe.hash),
        seed=seed,
    )
    complete = status == "complete"
    splits = ["validation", *task.data.test_splits]
    if results is None and complete:
        results = {split: _result(task, split, score, half_width) for split in splits}
    what = f"--checkpoint {checkpoint} " if checkpoint else ""
    more = "".join(f" --set {key}={value}" for key, value in (overrides or {}).items())
    limit = (f" --subset {subset}" if subset else "") + (f" --fraction {fraction}" if fraction else "")
    return RunRecord(
        run_id=identity.run_id,
        status=status,  # type: ignore[arg-type]
        identity=identity,
        task=task.model_dump(mode="json"),
        recipe=recipe.model_dump(mode="json"),
        overrides=overrides or {},
        command=f"bench run {what}--task {task.name} --recipe {recipe.name} --seed {seed}{more}{limit}",
        started=started,
        finished=started + timedelta(minutes=minutes) if status != "running" else None,
        checkpoint=_checkpoint_facts(checkpoint, recipe) if identity.checkpoint else None,
        data=_data_facts(task, subset, fraction),
        sweep=sweep,
        alignment=AlignmentFacts(
            proteins=10_848,
            residues=2_768_911,
            aligned=2_768_911,
            replaced={"U": 112} if checkpoint and "Rostlab" in checkpoint else {},
            method="table lookup, equal to the tokenizer on all pairs of letters and on 612 of these proteins",
            rendering="spaced" if checkpoint and "Rostlab" in checkpoint else "plain",
        )
        if identity.checkpoint and complete
        else None,
        windows=WindowFacts(
            residues_per_window=1022,
            overlap=256,
            proteins_cut=131,
            windows=11_204,
            residues_scored=2_768_911,
            residues_total=2_768_911,
        )
        if identity.checkpoint and complete
        else None,
        training=TrainingFacts(
            parameters_trained=7_600_000 if recipe.adaptation == "full" else 3_210,
            epochs_run=8,
            best_epoch=5,
            steps=2_720,
            tokens=22_100_000,
            selected_by=f"{task.metrics.primary} on validation",
            choices={"thresholds": [0.5] * n} if (n := _n_thresholds(task)) else {},
        )
        if identity.checkpoint and complete
        else None,
        results=results or {},
        environment=Environment(
            bench="0.1.0",
            git_commit="4f1c2d3e4f5a69788796a5b4c3d2e1f001122334",
            git_dirty=False,
            python="3.11.9",
            platform="Linux-6.8-x86_64",
            packages={"torch": "2.13.0", "transformers": "5.23.0", "numpy": "2.4.0"},
            device="cuda",
            device_name="NVIDIA L4",
            cpu_count=8,
            threads=8,
            precision="bf16",
            attention="sdpa",
        ),
        cost=Cost(
            wall_seconds=minutes * 60,
            train_seconds=minutes * 50,
            tokens_per_second=91_000,
            peak_memory_bytes=5 * 2**30,
        )
        if complete
        else None,
        failure=Failure(
            kind="OutOfMemoryError", message="CUDA out of memory at 2,400 residues; try --token-budget 4096"
        )
        if status == "failed"
        else None,
    )


def _n_thresholds(task: Task) -> int:
    if task.problem.kind == "multilabel":
        return task.n_outputs
    return int(task.metrics.positive is not None)


def _checkpoint_identity(name: str | None, local: bool) -> CheckpointIdentity:
    assert name is not None
    if local:
        return CheckpointIdentity(name=name, source="local", sha256=digest(["weights", name]))
    commit = CHECKPOINTS[name][0] if name in CHECKPOINTS else digest(name)[:40]
    return CheckpointIdentity(name=name, source="hub", commit=commit)


def _checkpoint_facts(name: str | None, recipe: Recipe) -> CheckpointFacts:
    _, family, parameters, licence = CHECKPOINTS.get(name or "", ("", "esm", 1_200_000, None))
    return CheckpointFacts(
        family=family,
        model_type=family,
        architecture={"esm": "EsmModel", "bert": "BertModel", "t5": "T5EncoderModel"}[family],
        parameters=parameters,
        hidden_size=320,
        layers=6,
        licence=licence,
        weights=recipe.weights,
    )


def _data_facts(task: Task, subset: int | None, fraction: float | None) -> DataFacts:
    sizes = {"train": 7_900, "validation": 880, "test": 2_068, "hpa": 1_717}
    sizes["train"] = round(sizes["train"] * (fraction or 1))
    names = ["train", "validation", *task.data.test_splits]
    label_counts = {label: 700 - 60 * i for i, label in enumerate(task.label_names)}
    return DataFacts(
        source="url",
        files=[SourceFile(name=task.name, location=f.url, sha256=f.sha256) for f in task.data.files],  # type: ignore[union-attr]
        splits={
            name: SplitFacts(
                proteins=min(sizes[name], subset or 10**9),
                residues=255 * min(sizes[name], subset or 10**9),
                labelled=min(sizes[name], subset or 10**9) * (255 if task.problem.level.by_residue else 1),
                clusters=min(sizes[name], subset or 10**9) // 3,
                rows_sha256=digest([task.name, task.version, name, subset, *([fraction] if name == "train" else [])]),
                label_counts=label_counts,
                longest=3_912,
            )
            for name in names
        },
        validation="10 % of train, whole clusters, seed 0",
        clusters="homology partition of the source",
        removed={"empty sequence": 3},
        changed={"upper-cased": 12},
        findings=["2 sequences of test are also in train (0.1 %)."],
    )


def _result(task: Task, split: str, score: float, half_width: float) -> SplitResult:
    shift = {"validation": 0.012, "test": 0.0, "hpa": -0.14}[split]
    scores = {}
    for index, name in enumerate(task.metrics.names):
        info = METRICS[name]
        value = score + shift if index == 0 else (score + shift) * (1 - 0.06 * index)
        if not info.higher_is_better:
            value = 2 * (1 - score)
        value = min(max(value, info.low), info.high)
        scores[name] = Score(
            value=value,
            low=max(value - half_width, info.low),
            high=min(value + half_width, info.high),
            higher_is_better=info.higher_is_better,
        )
    facts = {"validation": 880, "test": 2_068, "hpa": 1_717}
    return SplitResult(
        n_proteins=facts[split],
        n_labelled=facts[split] * (255 if task.problem.level.by_residue else 1),
        scores=scores,
        interval="percentile bootstrap over 689 clusters, 1,000 replicates, 95 %",
    )


def sample_runs() -> list[Found]:
    """A board's worth: five tasks, checkpoints, baselines, seeds, a failure, a subset, an older task version."""
    esm8, esm650, bert, t5, ankh = CHECKPOINTS
    rows: list[tuple[Task, Recipe, str | None, list[float], float, float]] = [
        (LOCALISATION, FULL, t5, [0.641, 0.652, 0.648], 0.016, 190),
        (LOCALISATION, FULL, esm650, [0.634, 0.647, 0.641], 0.016, 95),
        (LOCALISATION, PROBE, ankh, [0.611], 0.017, 12),
        (LOCALISATION, FULL, bert, [0.583, 0.561, 0.579], 0.018, 70),
        (LOCALISATION, PROBE, esm8, [0.498, 0.503, 0.495], 0.017, 1.4),
        (LOCALISATION, FULL, esm8, [0.531, 0.537, 0.526], 0.018, 6),
        (LOCALISATION, SCRATCH, esm8, [0.248, 0.231, 0.262], 0.014, 6),
        (LOCALISATION, BASELINES["composition"], None, [0.297], 0.013, 0.1),
        (LOCALISATION, BASELINES["nearest-neighbour"], None, [0.402], 0.019, 1.2),
        (LOCALISATION, BASELINES["majority"], None, [0.096], 0.006, 0.02),
        (STRUCTURE, FULL, esm650, [0.855, 0.8553, 0.8548], 0.006, 48),
        (STRUCTURE, PROBE, esm650, [0.847, 0.8474, 0.8465], 0.006, 9),
        (STRUCTURE, FULL, t5, [0.849], 0.006, 130),
        (STRUCTURE, FULL, esm8, [0.761, 0.7605, 0.7622], 0.007, 3.1),
        (STRUCTURE, PROBE, esm8, [0.753, 0.7526, 0.7533], 0.007, 0.6),
        (STRUCTURE, BASELINES["onehot-window"], None, [0.634], 0.006, 0.4),
        (STRUCTURE, BASELINES["majority"], None, [0.452], 0.008, 0.02),
        (PHOSPHO, FULL, esm650, [0.341, 0.318, 0.352], 0.028, 41),
        (PHOSPHO, FULL, esm8, [0.262, 0.271, 0.249], 0.025, 5),
        (PHOSPHO, BASELINES["onehot-window"], None, [0.219], 0.021, 0.5),
        (PHOSPHO, BASELINES["majority"], None, [0.121], 0.008, 0.02),
        (FITNESS, FULL, esm8, [0.883, 0.871, 0.889], 0.012, 2),
        (FITNESS, PROBE, esm8, [0.818, 0.82, 0.815], 0.014, 0.4),
        (FITNESS, BASELINES["composition"], None, [0.462], 0.03, 0.02),
        (PEPTIDES, FULL, "esm-mini", [0.874, 0.861, 0.869], 0.024, 0.8),
        (PEPTIDES, SCRATCH, "esm-mini", [0.761, 0.752, 0.77], 0.03, 0.8),
        (PEPTIDES, BASELINES["composition"], None, [0.742], 0.031, 0.02),
        (PEPTIDES, BASELINES["nearest-neighbour"], None, [0.803], 0.029, 0.1),
        (PEPTIDES, BASELINES["majority"], None, [0.0], 0.0, 0.01),
    ]
    records = [
        make_record(
            task,
            recipe,
            score,
            checkpoint=checkpoint,
            local=checkpoint == "esm-mini",
            seed=seed,
            half_width=half_width,
            minutes=minutes,
            started=START + timedelta(hours=index),
        )
        for index, (task, recipe, checkpoint, scores, half_width, minutes) in enumerate(rows)
        for seed, score in enumerate(scores, start=1)
    ]
    lower_rate = FULL.model_copy(update={"learning_rate": 2e-5})
    records += [
        make_record(LOCALISATION, lower_rate, 0.519, checkpoint=esm8, overrides={"learning_rate": 2e-5}),
        make_record(LOCALISATION, FULL, 0.43, checkpoint=esm8, subset=500, half_width=0.035, minutes=0.7),
        make_record(LOCALISATION, BASELINES["composition"], 0.25, subset=500, half_width=0.03),
        make_record(OLD_STRUCTURE, PROBE, 0.731, checkpoint=esm8, half_width=0.007),
        make_record(PHOSPHO, FULL, 0.0, checkpoint=t5, status="failed"),
        make_record(PHOSPHO, FULL, 0.0, checkpoint=bert, status="interrupted"),
        make_record(FITNESS, FULL, 0.0, checkpoint=esm650, status="running"),
    ]
    return [OpenRun(run_folder(Path("runs"), record.identity), record) for record in records]


def many_runs(rows: int) -> list[Found]:
    """One task with so many rows, for a look at a board of that size."""
    rng = np.random.default_rng(0)
    recipes = [FULL, PROBE]
    records = [
        make_record(
            LOCALISATION,
            recipes[index % 2],
            float(rng.uniform(0.2, 0.7)),
            checkpoint=f"lab-{index % 40}/protein-model-{index // 2}",
            half_width=float(rng.uniform(0.01, 0.03)),
        )
        for index in range(rows)
    ]
    return [OpenRun(run_folder(Path("runs"), record.identity), record) for record in records]


def ranked_runs(noise: float = 0.006) -> list[Found]:
    """Seven rows over five tasks, three seeds each, one of which lacks a task: for a look at groups and ranks."""
    rng = np.random.default_rng(7)
    esm8, esm650, bert, t5, ankh = CHECKPOINTS
    strength = {(esm650, "full"): 0.72, (t5, "full"): 0.715, (ankh, "full"): 0.705, (bert, "full"): 0.66,
                (esm650, "probe"): 0.67, (esm8, "full"): 0.61, (None, "composition"): 0.35}  # fmt: skip
    records = [
        make_record(
            task,
            {"full": FULL, "probe": PROBE}.get(recipe) or BASELINES[recipe],
            float(level + 0.1 * np.cos(index) + rng.normal(scale=noise)),
            checkpoint=checkpoint,
            seed=seed,
            half_width=0.02,
            started=START + timedelta(hours=index),
        )
        for index, task in enumerate(TASKS.values())
        for (checkpoint, recipe), level in strength.items()
        if (task, checkpoint) != (PHOSPHO, bert)
        for seed in ((1, 2, 3) if checkpoint else (1,))
    ]
    return [OpenRun(run_folder(Path("runs"), record.identity), record) for record in records]


def write_runs(root: Path, found: list[Found], replicates: bool = False) -> list[Found]:
    """Write the records as folders of runs, with resamplings that share what the test set's clusters do to all runs."""
    written = [OpenRun(run_folder(root, record.identity), record) for _, record in found]
    for folder, record in written:
        write_record(folder, record)
        if replicates and record.status == "complete":
            name = record.identity.task.name
            units = Units(400, None, "400 homology clusters", digest(["units", name, record.identity.subset]))
            shared = np.random.default_rng([len(name), 1]).normal(size=KEPT_REPLICATES)
            own = np.random.default_rng(int(record.run_id[-6:], 36)).normal(size=KEPT_REPLICATES)
            drawn = {}
            for metric, score in record.results["test"].scores.items():
                if score.value is not None and score.low is not None and score.high is not None:
                    spread = (score.high - score.low) / 2 / 1.96
                    drawn[metric] = score.value + spread * (np.sqrt(0.9) * shared + np.sqrt(0.1) * own)
            write_replicates(folder / REPLICATES, {"test": drawn}, {"test": units})
    return written


def write_full_run(
    root: Path, task: Task, recipe: Recipe = FULL, checkpoint: str = "facebook/esm2_t6_8M_UR50D", **more: Any
) -> Path:
    """A complete run folder with predictions and training log, whose record's results follow from the predictions."""
    splits = {split: _predictions(task, split) for split in ["validation", *task.data.test_splits]}
    results = {split: _scored(task, predictions) for split, predictions in splits.items()}
    record = make_record(task, recipe, 0.0, checkpoint=checkpoint, results=results, **more)
    folder = run_folder(root, record.identity)
    write_record(folder, record)
    write_predictions(folder / PREDICTIONS, splits, task.label_names)
    primary = task.metrics.primary
    top = results["validation"].scores[primary].value or 0.0
    log = [
        {
            "epoch": e,
            "train_loss": 0.9 * 0.7**e + 0.2,
            "validation": {primary: top * (1 - 0.5**e), "loss": 0.5 + 0.3 / e},
        }
        for e in range(1, 9)
    ]
    (folder / TRAINING_LOG).write_text("".join(json.dumps(line) + "\n" for line in log), encoding="utf-8")
    return folder


def enriched(folder: Path) -> Path:
    """The same run with what a record may hold besides: an audit, strata of its test splits, the energy it took."""
    record = read_record(folder)
    assert record.data is not None and record.cost is not None
    record.data.audit = [
        SplitOverlap(first=first, second="test", identical=0, similar={"0.9": 3, "0.5": 41}, shared_clusters=0)
        for first in ("train", "validation")
    ]
    record.data.audit_method = "bundled alignment (pyopal 0.7.3); identity over the columns of a local alignment"
    parts = {
        "identity": ["below 50 %", "50 to 70 %", "70 to 90 %", "90 % and more"],
        "length": ["up to 100", "101 to 250", "251 to 500", "501 to 1,000", "over 1,000"],
    }
    for split in record.test_splits:
        result = record.results[split]
        whole = result.scores[record.primary_metric]
        assert whole.value is not None
        for kind, names in parts.items():
            strata = []
            for place, name in enumerate(names):
                value = whole.value + 0.04 * (place - 1)
                score = whole.model_copy(update={"value": value, "low": value - 0.05, "high": value + 0.04})
                few = kind == "length" and place == len(names) - 1
                n = 4 if few else 300 - 60 * place
                strata.append(Stratum(name=name, n_proteins=n, n_labelled=n, score=None if few else score))
            result.strata[kind] = strata
    how = "4 min of one NVIDIA L4 at 72 W, 0.4 kg CO₂ a kWh"
    record.cost.energy = Energy(source="estimate", kwh=0.0048, co2_grams=1.92, how=how, place="Germany")
    write_record(folder, record)
    return folder


def relisted(folder: Path) -> Path:
    """The run with checksums of the files that are in it now, as it has them after it wrote them, or as a forger would."""
    record = read_record(folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name[0] != ".")
    record.outputs = [
        OutputFile(path=path.relative_to(folder).as_posix(), bytes=path.stat().st_size, sha256=file_sha256(path))
        for path in files
        if path.relative_to(folder).parts[0] not in {"card", PLACES, RECORD}
    ]
    write_record(folder, record)
    return folder


def scored_worse(folder: Path, task: Task, noise: float, seed: int = 0) -> Path:
    """The same run with predictions that are less good on every split, and results that follow from them."""
    record, rng = read_record(folder), np.random.default_rng([seed, len(task.name)])
    splits = read_predictions(folder / PREDICTIONS)
    for split, predictions in splits.items():
        blurred = predictions.scores + rng.normal(scale=noise, size=predictions.scores.shape)
        if task.problem.kind == "classification":
            blurred = np.exp(3 * blurred) / np.exp(3 * blurred).sum(1, keepdims=True)
        splits[split] = replace(predictions, scores=blurred)
        record.results[split] = _scored(task, splits[split])
    write_record(folder, record)
    write_predictions(folder / PREDICTIONS, splits, task.label_names)
    return folder


def _predictions(task: Task, split: str) -> Predictions:
    rng = np.random.default_rng([len(split), len(task.name)])
    proteins, per = (60, 25) if task.problem.level.by_residue else (600, 1)
    n, width, kind = proteins * per, task.n_outputs, task.problem.kind
    if kind == "regression":
        truth = rng.normal(size=n)
        scores = 0.8 * truth + rng.normal(scale=0.5, size=n)
    elif kind == "multilabel":
        rates = np.linspace(0.45, 0.04, width)
        truth = (rng.random((n, width)) < rates).astype(int)
        logits = 2.2 * truth - 1.5 + rng.normal(size=(n, width))
        scores = 1 / (1 + np.exp(-logits))
    else:
        weights = np.arange(width, 0, -1.0) ** 1.5
        truth = rng.choice(width, size=n, p=weights / weights.sum())
        logits = 1.8 * np.eye(width)[truth] + rng.normal(size=(n, width))
        scores = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return Predictions(
        problem=task.problem,
        ids=np.repeat([f"P{i:05d}" for i in range(proteins)], per),
        positions=np.tile(np.arange(1, per + 1), proteins) if task.problem.level.by_residue else None,
        clusters=None,
        truth=truth,
        scores=scores,
    )


def _scored(task: Task, predictions: Predictions) -> SplitResult:
    """The scores of a split by scikit-learn and scipy."""
    from scipy import stats
    from sklearn import metrics as sk

    truth, scores, kind = predictions.truth, predictions.scores, task.problem.kind
    per_class, confusion = [], None
    if kind == "regression":
        values = {
            "spearman": stats.spearmanr(truth, scores).statistic,
            "pearson": stats.pearsonr(truth, scores).statistic,
            "rmse": sk.root_mean_squared_error(truth, scores),
            "r2": sk.r2_score(truth, scores),
        }
    else:
        decided = (scores > 0.5).astype(int) if kind == "multilabel" else scores.argmax(1)
        positive = task.positive_index
        values = {
            "accuracy": sk.accuracy_score(truth, decided),
            "macro_f1": sk.f1_score(truth, decided, average="macro"),
            "micro_f1": sk.f1_score(truth, decided, average="micro"),
        }
        if kind == "multilabel":
            values["jaccard"] = sk.jaccard_score(truth, decided, average="samples", zero_division=1)
            values["mcc"] = np.mean([sk.matthews_corrcoef(t, d) for t, d in zip(truth.T, decided.T, strict=True)])
        else:
            values["mcc"] = sk.matthews_corrcoef(truth, decided)
            confusion = sk.confusion_matrix(truth, decided).tolist()
        if positive is not None:
            values["auroc"] = sk.roc_auc_score(truth == positive, scores[:, positive])
            values["auprc"] = sk.average_precision_score(truth == positive, scores[:, positive])
            values["f1"] = sk.f1_score(truth, decided, pos_label=positive)
        precision, recall, f1, support = sk.precision_recall_fscore_support(truth, decided, zero_division=0)
        per_class = [
            {"name": n, "support": int(s), "precision": float(p), "recall": float(r), "f1": float(f)}
            for n, p, r, f, s in zip(task.label_names, precision, recall, f1, support, strict=True)
        ]
    return SplitResult(
        n_proteins=len(set(predictions.ids)),
        n_labelled=len(predictions),
        scores={
            name: Score(
                value=float(values[name]),
                low=max(float(values[name]) - 0.02, METRICS[name].low),
                high=min(float(values[name]) + 0.02, METRICS[name].high),
                higher_is_better=METRICS[name].higher_is_better,
            )
            for name in task.metrics.names
        },
        per_class=per_class,
        confusion=confusion,
        interval="percentile bootstrap over 60 clusters, 1,000 replicates, 95 %",
    )


if __name__ == "__main__":
    out = Path(sys.argv[1])
    if "--rows" in sys.argv:
        write_runs(out, many_runs(int(sys.argv[3])))
    elif "--groups" in sys.argv:
        write_runs(out, ranked_runs(), replicates=True)
    else:
        write_runs(out / "board", sample_runs())
        for sample_task in TASKS.values():
            print(enriched(write_full_run(out / "cards", sample_task)))
            for seed in (2, 3):
                scored_worse(write_full_run(out / "cards", sample_task, seed=seed), sample_task, 0.05, seed)
            scored_worse(write_full_run(out / "cards", sample_task, PROBE), sample_task, 0.3)
            scored_worse(write_full_run(out / "cards", sample_task, BASELINES["composition"]), sample_task, 0.8)

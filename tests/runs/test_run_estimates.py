"""The arithmetic of an estimate, by hand on a tiny project, and once against what a run records."""

from __future__ import annotations

import contextlib
import csv
import importlib.util
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_checkpoints import write_checkpoint
from tiny_decoders import write_decoder
from tiny_project import write_project

from hubtools.data import DataCache
from hubtools.models import resolve_checkpoint
from hubtools.models.encoder import load_encoder
from hubtools.runs.execute import execute
from hubtools.runs.plan import PlannedRun
from hubtools.runs.run_estimate import Estimator, RunEstimate
from hubtools.runs.session import Session
from hubtools.runs.workload import ASSUMED_UTILISATION, StatedDevice
from hubtools.specs.lookup.spec_files import load_recipe, load_task
from hubtools.specs.recipe import Window
from hubtools.training.compute.device import Execution
from hubtools.training.compute.engine import Engine

# The checkpoint: two layers of this width, their feed-forward layers twice as wide.
WIDTH, LAYERS = 16, 2
# Weights of a layer's products: query, key, value and output, then up and down.
PRODUCTS = 4 * WIDTH**2 + 2 * WIDTH * 2 * WIDTH
LAYER = PRODUCTS + 5 * WIDTH + 2 * WIDTH + 2 * 2 * WIDTH
HEAD = 2 * WIDTH + 2
# ESM's own head for contacts, which nothing reads: a weight for each head of each layer, and a bias.
CONTACTS = LAYERS * 2 + 1
TERA = StatedDevice(flops=1e12, memory=10**9)
Plan = Callable[..., PlannedRun]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_project(tmp_path_factory.mktemp("estimate"), "sequence-classification", "residue-classification")
    write_checkpoint(folder / "model", "esm", width=WIDTH)
    return folder


@pytest.fixture
def plan(project: Path) -> Plan:
    def planned(recipe: str, seed: int = 1, problem: str = "sequence-classification", **overrides: Any) -> PlannedRun:
        task = load_task(str(project / "tasks" / f"tiny-{problem}.yaml"))
        subset, fraction = overrides.pop("subset", None), overrides.pop("fraction", None)
        found = load_recipe(recipe, {key.replace("__", "."): value for key, value in overrides.items()})
        return PlannedRun(task, found, str(project / "model"), seed, subset, overrides=overrides, fraction=fraction)

    return planned


def session(root: Path, *planned: PlannedRun, kept: bool = True, **execution: Any) -> Session:
    device = Execution(torch.device("cpu"), 512, **execution)
    return Session(root / "runs", DataCache(root / "cache"), device, embedding_cache=kept, planned=planned)


def estimates(
    root: Path, *planned: PlannedRun, device: StatedDevice | None = TERA, **options: Any
) -> list[RunEstimate]:
    made = session(root, *planned, **options)
    estimator = Estimator(made, device, lambda line: None)
    return [estimator.estimate(run) for run in planned]


def lengths(project: Path, split: str, problem: str = "sequence-classification") -> list[int]:
    with (project / "tasks" / f"{problem}.csv").open() as stream:
        # A token each for the beginning and the end.
        return [len(row["sequence"]) + 2 for row in csv.DictReader(stream) if row["set"] == split]


def flops(rows: list[int], times: int = 1) -> float:
    """Two operations for each weight and token, 4 h n for attention."""
    return times * LAYERS * sum(n * 2 * PRODUCTS + 4 * WIDTH * n**2 for n in rows)


def encoder_of(project: Path) -> Any:
    return load_encoder(resolve_checkpoint(str(project / "model")))


def saved(project: Path) -> int:
    """Bytes of the weights of encoder and head."""
    return 4 * sum(p.numel() for p in encoder_of(project).parameters()) + 4 * HEAD


# Fine-tuning


def test_full_fine_tuning_on_a_stated_device(project: Path, plan: Plan, tmp_path: Path) -> None:
    (run,) = estimates(tmp_path, plan("full", batch_size=8, epochs=5, patience=1))
    train, validation, test = (lengths(project, split) for split in ("train", "validation", "test"))
    work = run.workload
    assert work is not None and run.memory is not None
    assert (work.proteins, work.tokens_per_epoch) == (len(train), sum(train))
    # It may stop after patience + 1 epochs.
    assert work.epochs == (2, 5)
    assert work.steps == (2 * math.ceil(len(train) / 8), 5 * math.ceil(len(train) / 8))
    assert work.training_flops == pytest.approx([2 * flops(train, 3), 5 * flops(train, 3)])
    # Validation after each epoch and at the end, the test split once.
    once = flops(validation) + flops(test)
    assert work.reading_flops == pytest.approx([once + n * flops(validation) for n in (2, 5)])
    # Between the assumed shares of the peak; the rest is what reading data and model took here.
    least, most = (work.training_flops[i] + work.reading_flops[i] for i in (0, 1))
    low, high = ASSUMED_UTILISATION
    assert run.seconds[1] - run.seconds[0] == pytest.approx(most / (low * 1e12) - least / (high * 1e12))
    weights = saved(project)
    tables = sum(buffer.nbytes for buffer in encoder_of(project).buffers())
    assert run.memory.gradients == weights and run.memory.optimiser == 2 * weights
    assert run.memory.weights == weights + tables
    assert run.fits is True
    # The model stays; three checkpoints of weights and two moments are there at most.
    assert run.disk[0] == weights
    assert run.disk[1] == 3 * (3 * weights + tables)


def test_an_adapter_costs_gradients_and_moments_of_what_it_trains(project: Path, plan: Plan, tmp_path: Path) -> None:
    full, lora = estimates(tmp_path, plan("full", batch_size=8), plan("lora", batch_size=8, adapter__rank=4))
    assert full.memory and lora.memory and full.workload and lora.workload
    # Rank × (in + out) of the six products of each layer.
    trained = LAYERS * 4 * (4 * 2 * WIDTH + 2 * 3 * WIDTH)
    assert lora.memory.gradients == 4 * (trained + HEAD)
    assert lora.memory.optimiser == 2 * lora.memory.gradients
    assert lora.memory.weights == full.memory.weights + 4 * trained
    # The head stays, and once more beside the adapter; the encoder is named.
    assert lora.disk[0] == 4 * HEAD + lora.memory.gradients < full.disk[0] and lora.disk[1] < full.disk[1]
    train = lengths(project, "train")
    epochs = lora.workload.epochs[1]
    # Of the frozen weights there are no gradients: reading, the gradient of the input, and the adapter's three.
    most, least = lora.workload.training_flops[1] / epochs, 2 * flops(train)
    assert least - flops(train, 1) < most < 2 * flops(train) + 3 * 2 * trained * sum(train) + flops(train)


@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is None, reason="needs bitsandbytes")
def test_weights_of_four_bits_are_counted_as_such(plan: Plan, tmp_path: Path) -> None:
    lora, qlora = estimates(tmp_path, plan("lora"), plan("qlora"))
    assert lora.memory and qlora.memory
    # Half a byte instead of four.
    assert lora.memory.weights - qlora.memory.weights == LAYERS * PRODUCTS * 3.5
    assert qlora.memory.gradients == lora.memory.gradients
    assert qlora.disk[0] == lora.disk[0]  # What is saved is whole.


def test_frozen_layers_cost_no_gradient(plan: Plan, tmp_path: Path) -> None:
    whole, top = estimates(tmp_path, plan("full", batch_size=8), plan("full", batch_size=8, freeze_layers=1))
    assert whole.memory and top.memory and whole.workload and top.workload
    norm = 2 * WIDTH  # After the last layer.
    assert top.memory.gradients == 4 * (LAYER + norm + CONTACTS + HEAD)
    assert top.workload.training_flops[1] < 0.72 * whole.workload.training_flops[1]
    assert top.memory.activations < whole.memory.activations


def test_a_share_of_the_training_data_is_read(project: Path, plan: Plan, tmp_path: Path) -> None:
    parts = [plan("full", seed, fraction=share) for share in (0.25, None) for seed in (1, 2)]
    quarter, other, whole, again = (run.workload for run in estimates(tmp_path, *parts))
    assert quarter and other and whole and again
    assert (quarter.proteins, other.proteins, whole.proteins) == (10, 10, 40)
    # The seed draws the share; of everything there is one.
    assert quarter.tokens_per_epoch != other.tokens_per_epoch
    assert whole.tokens_per_epoch == again.tokens_per_epoch == sum(lengths(project, "train"))


def test_what_does_not_fit_says_what_would(plan: Plan, tmp_path: Path) -> None:
    small = StatedDevice(1e12, 100_000)
    full, lora, probe = estimates(tmp_path, plan("full"), plan("lora"), plan("probe"), device=small)
    assert full.fits is lora.fits is probe.fits is False
    budget = "a --token-budget below 512"
    assert full.advice == f"--gradient-checkpointing, {budget}, --recipe lora, --recipe probe"
    assert lora.advice == f"--gradient-checkpointing, {budget}, --recipe probe"
    assert probe.advice == budget
    (less,) = estimates(tmp_path, plan("full"), device=small, gradient_checkpointing=True)
    assert less.memory and full.memory and less.memory.activations < full.memory.activations
    assert "--gradient-checkpointing" not in less.advice


# Probes


def test_a_probe_reads_once_and_the_first_seed_pays(project: Path, plan: Plan, tmp_path: Path) -> None:
    runs = [plan(recipe, seed) for recipe in ("probe", "random-probe") for seed in (1, 2)]
    first, second, random, other = estimates(tmp_path, *runs)
    everything = [n for split in ("train", "validation", "test") for n in lengths(project, split)]
    for paying in (first, random, other):
        # Random weights are another encoder for each seed.
        assert paying.workload and paying.memory
        assert paying.workload.training_flops == (0, 0)
        assert paying.workload.reading_flops == pytest.approx([flops(everything)] * 2)
        assert paying.cached == (0, 120)
        assert paying.memory.gradients == paying.memory.optimiser == 0
        # A row of float32 a protein, of all splits, beside the head.
        assert paying.disk[0] == 4 * HEAD + 120 * 4 * WIDTH
    assert second.workload and second.workload.reading_flops == (0, 0)
    assert second.cached == (40, 40), "the heads of all seeds are trained by the first; only test is asked for"
    assert second.disk[0] == first.disk[0] - 120 * 4 * WIDTH


def test_a_probe_that_may_choose_its_pooling_may_take_twice_as_long(plan: Plan, tmp_path: Path) -> None:
    slow, runs = StatedDevice(flops=1e3, memory=10**9), (plan("probe"), plan("probe", head__pooling="auto"))
    mean, either = estimates(tmp_path, *runs, device=slow, kept=False)
    assert either.seconds == pytest.approx((mean.seconds[0], 2 * mean.seconds[1]), rel=0.01)


def test_without_a_cache_the_other_seeds_read_the_test_split(project: Path, plan: Plan, tmp_path: Path) -> None:
    first, second = estimates(tmp_path, plan("probe", 1), plan("probe", 2), kept=False)
    assert first.cached == (0, 120) and second.cached == (0, 40)
    assert second.workload and second.workload.reading_flops[0] == pytest.approx(flops(lengths(project, "test")))


def test_shares_of_the_data_share_embeddings_but_no_heads(plan: Plan, tmp_path: Path) -> None:
    part, whole = estimates(tmp_path, plan("probe", fraction=0.25), plan("probe"))
    assert part.cached == (0, 10 + 80) and whole.cached == (90, 120)


@pytest.mark.slow
def test_what_an_earlier_run_kept_is_not_computed_again(plan: Plan, tmp_path: Path) -> None:
    run = plan("probe", epochs=2)
    made = session(tmp_path, run)
    assert execute(run, made).record.status == "complete"
    changed = plan("probe", epochs=3)
    (found,) = estimates(tmp_path, changed, device=None)
    assert found.cached == (120, 120) and found.workload and found.workload.reading_flops == (0, 0)
    # On another machine nothing is known of the store there.
    (elsewhere,) = estimates(tmp_path, changed)
    assert elsewhere.cached == (0, 120)
    again = Estimator(session(tmp_path, run), None, lambda line: None).estimate(run)
    assert (again.note, again.workload) == ("done already", None)
    forced = Estimator(session(tmp_path, run), None, lambda line: None, force=True).estimate(run)
    assert forced.workload is not None


def test_tables_of_a_probe_are_rows_of_all_layers(project: Path, plan: Plan, tmp_path: Path) -> None:
    proteins, residues = estimates(
        tmp_path,
        plan("probe", probe__layers="all", probe__learning_rates=[1e-3, 1e-2]),
        plan("probe", problem="residue-classification", probe__layers="all"),
    )
    assert proteins.memory and residues.memory
    # Values, gradients, two moments, the best values and one more of each head in training: three layers, two rates.
    assert proteins.memory.tables == 3 * 80 * WIDTH * 4 + 3 * 2 * HEAD * 4 * 6
    rows = sum(n - 2 for split in ("train", "validation") for n in lengths(project, split, "residue-classification"))
    assert residues.memory.tables == 3 * rows * WIDTH * 4 + 3 * HEAD * 4 * 6


# Against what is recorded


def narrow(window: Window, checkpoint: Any, tokeniser: Any) -> Window:
    """As if the model read no more than twelve residues at once."""
    return window.model_copy(update={"residues": 12, "overlap": 4})


@pytest.mark.parametrize("recipe", ["full", "probe"])
def test_the_estimate_sees_how_the_steps_cut_proteins(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: str
) -> None:
    run = plan(recipe, batch_size=8, epochs=1)
    (before,) = estimates(tmp_path, run)
    monkeypatch.setattr("hubtools.runs.preparation.effective_window", narrow)
    (after,) = estimates(tmp_path, run)
    record = execute(run, session(tmp_path, run)).record
    assert record.windows and record.windows.residues_per_window == 12 and record.training
    assert before.workload and after.workload
    assert before.workload.tokens_per_epoch < after.workload.tokens_per_epoch == record.training.tokens
    assert after.workload.largest_batch[1] == 12 + 2


@pytest.mark.slow
def test_the_estimate_sees_what_the_steps_pack(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextlib.contextmanager
    def nothing(*given: Any, **options: Any) -> Iterator[Engine]:
        yield Engine("eager", "padded")

    monkeypatch.setattr("hubtools.runs.preparation.engine", nothing)
    run = plan("full", batch_size=8, epochs=1)
    made = session(tmp_path, run)
    estimator = Estimator(made, None, lambda line: None)
    estimator.estimate(run)
    (known,) = estimator._calibrated.values()
    assert not known.how.made.packed and execute(run, made).record.environment.layout != "packed"


def test_the_estimate_knows_which_seeds_train_together(plan: Plan, tmp_path: Path) -> None:
    runs = [plan("probe", seed, probe__learning_rates=[1e-3, 1e-2]) for seed in (1, 2, 3)]
    together, alone = estimates(tmp_path, *runs)[0], estimates(tmp_path, runs[0])[0]
    assert together.memory and alone.memory
    assert together.memory.tables - alone.memory.tables == 2 * 2 * HEAD * 4 * 6
    assert session(tmp_path, *runs).seeds_to_come(runs[0]) == [2, 3]


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["full", "lora", "probe"])
def test_a_run_does_what_was_estimated(plan: Plan, tmp_path: Path, recipe: str) -> None:
    run = plan(recipe, batch_size=8, epochs=3, patience=1)
    (found,) = estimates(tmp_path, run, device=None)
    record = execute(run, session(tmp_path, run)).record
    work, training, cost = found.workload, record.training, record.cost
    assert record.status == "complete" and work and training and cost and found.memory
    passes = 1 if recipe == "probe" else training.epochs_run
    assert training.tokens == passes * work.tokens_per_epoch
    assert work.epochs[0] <= training.epochs_run <= work.epochs[1]
    assert work.steps[0] <= training.steps <= work.steps[1]
    assert 0 < found.seconds[0] <= found.seconds[1]
    # Of a model this small it is all Python and libraries; what pytest has loaded is in both.
    assert cost.peak_memory_bytes and 0.85 < found.memory.total / cost.peak_memory_bytes < 1.25
    low, high = found.memory.span
    assert low < found.memory.total < high and found.plain()["memory_range"] == (low, high)
    files = {item.path: item.bytes for item in record.outputs}
    kept = 120 * 4 * WIDTH if recipe == "probe" else 0
    weights = sum(
        size for name, size in files.items() if name.startswith(("model/", "adapter/")) and "safetensors" in name
    )
    # The names of the weights in the files' headers are not counted.
    assert 0 < weights - (found.disk[0] - kept) < 8192
    assert ("model/model.safetensors" in files) == (recipe == "full")


@pytest.mark.slow
def test_what_is_measured_has_the_engine_and_leaves_nothing(plan: Plan, tmp_path: Path) -> None:
    run = plan("full", batch_size=8, epochs=1)
    made = session(tmp_path, run)
    estimator = Estimator(made, None, lambda line: None)
    found = estimator.estimate(run)
    (known,) = estimator._calibrated.values()
    assert known.how.made.packed
    assert found.workload and found.workload.largest_batch[0] <= 512
    assert not (tmp_path / "runs").exists()
    padded = replace(made, execution=replace(made.execution, packing=False))
    estimator = Estimator(padded, None, lambda line: None)
    estimator.estimate(run)
    (known,) = estimator._calibrated.values()
    assert not known.how.made.packed


# Variants


def test_variants_are_read_one_row_a_position(tmp_path: Path) -> None:
    wild = "MKTAYIAKQRQISFVKSHFSRQLEERLGLI"
    (tmp_path / "v.csv").write_text(
        "mutant,fitness,of\n" + "".join(f"{wild[i]}{i + 1}W,{i / 10},one\n" for i in (0, 3, 7, 9, 11, 20, 21, 22, 25))
    )
    (tmp_path / "wt.fasta").write_text(f">one\n{wild}\n")
    task = {
        "name": "effects", "version": 1, "title": "Effects", "problem": "variant-effect", "summary": "Which survive?",
        "data": {
            "source": "file", "files": [{"path": "v.csv"}, {"path": "wt.fasta", "lookup": True}],
            "columns": {"mutant": "mutant", "label": "fitness", "reference": "of"},
            "splits": {"test": {"files": ["v"]}},
        },
        "metrics": {"primary": "spearman"}, "licence": "CC0-1.0", "citation": "none",
    }  # fmt: skip
    (tmp_path / "effects.yaml").write_text(json.dumps(task))
    write_checkpoint(tmp_path / "model", "esm", width=WIDTH)
    checkpoint, found = str(tmp_path / "model"), load_task(str(tmp_path / "effects.yaml"))
    runs = [PlannedRun(found, load_recipe(name), checkpoint, 1) for name in ("masked-marginals", "wildtype-marginals")]
    masked, plain = estimates(tmp_path, *runs)
    assert masked.workload and plain.workload and masked.memory
    assert masked.workload.tokens_per_epoch == 9 * 32 and plain.workload.tokens_per_epoch == 32
    assert masked.workload.reading_flops == pytest.approx([flops([32] * 9)] * 2)
    assert masked.workload.training_flops == (0, 0) and masked.memory.gradients == 0 and masked.disk == (0, 0)
    (measured,) = estimates(tmp_path, runs[0], device=None)
    assert measured.workload == masked.workload and measured.seconds[0] > 0
    decoder = PlannedRun(found, load_recipe("log-likelihood"), str(write_decoder(tmp_path / "gpt2")), 1)
    (likely,) = estimates(tmp_path, decoder, device=None)
    assert likely.workload and likely.workload.tokens_per_epoch == (9 + 1) * 32, "each variant, and the wild type once"

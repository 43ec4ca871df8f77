"""Fitting learns, chooses on validation, goes on after a kill, and does not depend on how memory cuts batches."""

import json
import os
import pickle
import shutil
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from optional_packages import four_bits
from safetensors.torch import load_file, save_file
from tiny_checkpoints import write_checkpoint
from tiny_tasks import PROBLEMS, tiny_data, tiny_task

from hubtools.evaluation import primary_score
from hubtools.models import ResidueTokeniser, build_model, resolve_checkpoint
from hubtools.models.task_model import scale_output
from hubtools.specs.lookup.spec_files import load_recipe
from hubtools.specs.recipe import Window
from hubtools.training.compute.device import Execution
from hubtools.training.encoding import encode
from hubtools.training.finetune import fit as fit_module
from hubtools.training.finetune.fit import fit
from hubtools.training.finetune.resume import OPTIMISER, STATE, WEIGHTS
from hubtools.training.frozen.probe import fit_probe
from hubtools.training.job import Job
from hubtools.training.loss import loss_for
from hubtools.training.prediction import predict

CPU = torch.device("cpu")
QUICK = {"epochs": 8, "batch_size": 8, "learning_rate": 3e-3, "head_learning_rate": 1e-2, "patience": None}
GENTLE = {"learning_rate": 1e-4, "head_learning_rate": 1e-3}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return resolve_checkpoint(str(write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "esm", "esm")))


class Setting:
    """Everything fit needs, on tiny data."""

    def __init__(self, checkpoint, problem, folder, token_budget=512, recipe="full", n=64, **overrides):
        self.task, self.recipe = tiny_task(problem), load_recipe(recipe, {**QUICK, **overrides})
        self.tokeniser = ResidueTokeniser.from_checkpoint(checkpoint)
        window = Window(residues=30, overlap=8)
        self.splits = {
            name: encode(split, self.task, self.tokeniser, window) for name, split in tiny_data(problem, n).items()
        }
        self.loss = loss_for(self.splits["train"], self.task.n_outputs, self.recipe.class_weights)
        self.model = build_model(checkpoint, self.task, self.recipe, self.tokeniser, 1)
        self.folder = folder
        self.job = Job(
            self.task,
            self.recipe,
            self.loss,
            1,
            Execution(CPU, token_budget),
            folder / "work",
            folder / "training.jsonl",
        )

    def fit(self, how=fit):
        self.folder.mkdir(exist_ok=True)
        return how(self.model, self.splits["train"], self.splits["validation"], self.job)

    def scores(self, split="test", loss=None):
        return predict(self.model, self.splits[split], loss or self.loss, token_budget=512, device=CPU)

    def weights(self):
        return torch.cat([p.detach().flatten() for p in self.model.parameters()])


@pytest.mark.slow
@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("recipe, how", [("full", fit), ("probe", fit_probe)])
def test_every_problem_type_is_learnt(checkpoint, problem, recipe, how, tmp_path):
    # What is the same for both proteins of a pair takes more examples to see.
    n = 500 if problem.startswith("pair-") else 160
    setting = Setting(checkpoint, problem, tmp_path, recipe=recipe, epochs=10, n=n)
    before = primary_score(setting.task, setting.scores())
    fitted = setting.fit(how)
    after = primary_score(setting.task, setting.scores())
    assert after > 0.75 and not after < before
    assert len((tmp_path / "training.jsonl").read_text().splitlines()) == fitted.epochs_run
    assert 1 <= fitted.best_epoch <= fitted.epochs_run


@pytest.mark.slow
def test_the_kept_epoch_is_the_best_on_validation(checkpoint, tmp_path):
    setting = Setting(checkpoint, "residue-classification", tmp_path, learning_rate=1e-2)
    fitted = setting.fit()
    lines = [json.loads(line) for line in (tmp_path / "training.jsonl").read_text().splitlines()]
    seen = [line["validation"]["accuracy"] for line in lines]
    assert lines[fitted.best_epoch - 1]["validation"]["accuracy"] == max(seen)
    assert primary_score(setting.task, setting.scores("validation")) == pytest.approx(max(seen), abs=1e-9)


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["full", "dora", four_bits("qlora")])
def test_a_killed_fit_goes_on_and_ends_as_an_unbroken_one(checkpoint, tmp_path, monkeypatch, recipe):
    unbroken = Setting(checkpoint, "sequence-classification", tmp_path / "unbroken", recipe=recipe, epochs=4)
    expected = unbroken.fit()
    broken = Setting(checkpoint, "sequence-classification", tmp_path / "broken", recipe=recipe, epochs=4)
    original, calls = fit_module.FairTrainer.training_step, []

    def dying(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 2 * 8 + 3:  # 8 steps an epoch: in the third epoch
            raise Killed
        return original(self, *args, **kwargs)

    monkeypatch.setattr(fit_module.FairTrainer, "training_step", dying)
    with pytest.raises(Killed):
        broken.fit()
    monkeypatch.setattr(fit_module.FairTrainer, "training_step", original)
    # A checkpoint that was cut off while it was written must not be taken for whole.
    newest = sorted((tmp_path / "broken" / "work").glob("checkpoint-*"))[-1]
    (newest.parent / "checkpoint-9999").mkdir()
    again = Setting(checkpoint, "sequence-classification", tmp_path / "broken", recipe=recipe, epochs=4)
    resumed = again.fit()
    assert (resumed.epochs_run, resumed.best_epoch, resumed.steps, resumed.tokens) == (
        expected.epochs_run,
        expected.best_epoch,
        expected.steps,
        expected.tokens,
    )
    torch.testing.assert_close(again.weights(), unbroken.weights(), atol=1e-6, rtol=1e-5)
    logs = [(tmp_path / name / "training.jsonl").read_text() for name in ("unbroken", "broken")]
    assert [json.loads(line)["epoch"] for line in logs[1].splitlines()] == [1, 2, 3, 4]
    assert json.loads(logs[0].splitlines()[-1])["validation"] == json.loads(logs[1].splitlines()[-1])["validation"]


@pytest.fixture(scope="module")
def fits(checkpoint, tmp_path_factory):
    """Of four epochs, one fit unbroken, and one broken in the fourth with the first as its best so far, the third kept."""
    place, calls = tmp_path_factory.mktemp("fits"), []
    original = fit_module.FairTrainer.training_step

    def dying(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 3 * 8 + 3:
            raise Killed
        return original(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(fit_module.FairTrainer, "evaluate", judged)
        unbroken = Setting(checkpoint, "sequence-classification", place / "unbroken", epochs=4)
        unbroken.fit()
        patched.setattr(fit_module.FairTrainer, "training_step", dying)
        with pytest.raises(Killed):
            Setting(checkpoint, "sequence-classification", place / "broken", epochs=4).fit()
    assert {path.name for path in (place / "broken" / "work").iterdir()} == {"checkpoint-8", "checkpoint-24"}
    return place, unbroken.weights()


def judged(self):
    """Stands for validation."""
    return {1: 0.8, 2: 0.1, 3: 0.2, 4: 0.9}[self.progress.epoch]


class Runs:
    """Whose pickle runs a command where it is read without restriction."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.system, (f"touch {self.trace}",)


def pickled(name):
    def damage(folder, trace):
        (folder / name).write_bytes(pickle.dumps(Runs(trace)))

    return damage


def as_torch_writes(folder, trace):
    for name in (OPTIMISER, "random.pt", "optimiser.pt"):
        torch.save([{"torch": Runs(trace)}], folder / name)
    assert zipfile.is_zipfile(folder / OPTIMISER)


def of_the_previous_version(folder, trace):
    torch.save({"state": {}, "param_groups": []}, folder / "optimiser.pt")
    torch.save([{"python": Runs(trace)}], folder / "random.pt")
    (folder / OPTIMISER).unlink()


def cut_off(name):
    def damage(folder, trace):
        (folder / name).write_bytes((folder / name).read_bytes()[:-9])

    return damage


def missing(name):
    return lambda folder, trace: (folder / name).unlink()


def a_pipe(folder, trace):
    (folder / STATE).unlink()
    os.mkfifo(folder / STATE)


def said(**lies):
    def damage(folder, trace):
        (folder / STATE).write_text(json.dumps(json.loads((folder / STATE).read_text()) | lies))

    return damage


def a_file(folder, trace):
    shutil.rmtree(folder)
    folder.write_text("")


def of_another_shape(name):
    def damage(folder, trace):
        tensors = load_file(folder / name)
        save_file({key: torch.zeros(1, 7) for key in tensors}, folder / name)

    return damage


DAMAGES = {
    "hostile": as_torch_writes,
    **{f"hostile {name}": pickled(name) for name in (WEIGHTS, OPTIMISER, STATE)},
    "previous version": of_the_previous_version,
    **{f"cut off {name}": cut_off(name) for name in (WEIGHTS, OPTIMISER, STATE)},
    **{f"without {name}": missing(name) for name in (WEIGHTS, OPTIMISER, STATE)},
    **{f"other {name}": of_another_shape(name) for name in (WEIGHTS, OPTIMISER)},
    "pipe": a_pipe,
    "file": a_file,
    "further": said(epoch=4),
    "in words": said(step="24"),
    "no best": said(best_step=None),
    "never ending": said(seconds=float("inf")),
    "nested": lambda folder, trace: (folder / STATE).write_text("[" * 100_000),
}


@pytest.mark.slow
@pytest.mark.parametrize("both", [False, True], ids=["newest", "all"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_checkpoint_that_cannot_be_trusted_runs_nothing_and_stops_nothing(
    checkpoint, fits, tmp_path, monkeypatch, capsys, damage, both
):
    place, expected = fits
    monkeypatch.setattr(fit_module.FairTrainer, "evaluate", judged)
    shutil.copytree(place / "broken", tmp_path / "run")
    work, trace = tmp_path / "run" / "work", tmp_path / "it-ran"
    for step in (24, 8) if both else (24,):
        DAMAGES[damage](work / f"checkpoint-{step}", trace)
    again = Setting(checkpoint, "sequence-classification", tmp_path / "run", epochs=4)
    capsys.readouterr()
    fitted = again.fit()
    assert not trace.exists()
    assert fitted.steps == 32 and torch.equal(again.weights(), expected)
    logs = [
        [{**json.loads(line), "seconds": None} for line in (folder / "training.jsonl").read_text().splitlines()]
        for folder in (place / "unbroken", tmp_path / "run")
    ]
    assert logs[0] == logs[1]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{work / 'checkpoint-24'}: cannot be gone on from (")
    assert line.endswith(", nor 1 before it; training starts anew" if both else "); going on from checkpoint-8")


@pytest.mark.slow
def test_a_checkpoint_whose_best_epoch_is_damaged_is_no_use(checkpoint, fits, tmp_path, monkeypatch, capsys):
    place, expected = fits
    monkeypatch.setattr(fit_module.FairTrainer, "evaluate", judged)
    shutil.copytree(place / "broken", tmp_path / "run")
    cut_off(WEIGHTS)(tmp_path / "run" / "work" / "checkpoint-8", None)
    again = Setting(checkpoint, "sequence-classification", tmp_path / "run", epochs=4)
    capsys.readouterr()
    again.fit()
    assert torch.equal(again.weights(), expected)
    assert capsys.readouterr().err.endswith("nor 1 before it; training starts anew\n")


@pytest.mark.slow
def test_what_is_whole_is_gone_on_from_to_the_last_bit(checkpoint, fits, tmp_path, monkeypatch, capsys):
    place, expected = fits
    monkeypatch.setattr(fit_module.FairTrainer, "evaluate", judged)
    shutil.copytree(place / "broken", tmp_path / "run")
    again = Setting(checkpoint, "sequence-classification", tmp_path / "run", epochs=4)
    seconds = fit_module.read_progress(tmp_path / "run" / "work" / "checkpoint-24").seconds
    capsys.readouterr()
    fitted = again.fit()
    assert torch.equal(again.weights(), expected) and fitted.seconds > seconds > 0
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_a_probe_leaves_the_encoder_as_it_was(checkpoint, tmp_path):
    setting = Setting(checkpoint, "residue-classification", tmp_path, recipe="probe")
    before = {k: v.clone() for k, v in setting.model.encoder.state_dict().items()}
    setting.fit(fit_probe)
    assert all(torch.equal(before[k], v) for k, v in setting.model.encoder.state_dict().items())


@pytest.mark.slow
def test_the_unit_of_a_target_is_folded_into_the_saved_model(checkpoint, tmp_path):
    setting = Setting(checkpoint, "sequence-regression", tmp_path, recipe="probe")
    setting.fit(fit_probe)
    before = setting.scores()
    scale_output(setting.model, setting.loss.mean, setting.loss.std)
    after = setting.scores(loss=setting.loss.folded)
    torch.testing.assert_close(torch.tensor(after.scores), torch.tensor(before.scores), atol=1e-3, rtol=1e-4)
    assert 190 < after.scores.mean() < 220


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"head.kind": "native"}, {}])
def test_recomputing_activations_changes_memory_only(checkpoint, tmp_path, settings):
    scores = []
    for name, recompute in (("kept", False), ("recomputed", True)):
        setting = Setting(checkpoint, "sequence-classification", tmp_path / name, epochs=1, **settings)
        setting.job = replace(setting.job, execution=Execution(CPU, 512, gradient_checkpointing=recompute))
        setting.fit()
        scores.append(setting.scores().scores)
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-4)


@pytest.mark.slow
def test_autocast_computes_in_bfloat16_and_keeps_float32_weights(checkpoint, tmp_path):
    setting = Setting(checkpoint, "residue-classification", tmp_path, precision="bf16", epochs=2)
    setting.fit()
    assert {p.dtype for p in setting.model.parameters()} == {torch.float32}
    exact = setting.scores().scores
    rounded = predict(
        setting.model, setting.splits["test"], setting.loss, token_budget=512, device=CPU, bf16=True
    ).scores
    assert 0 < abs(exact - rounded).max() < 0.05

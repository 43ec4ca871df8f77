"""Fitting learns, chooses on validation, goes on after a kill, and does not depend on how memory cuts batches."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from optional_packages import four_bits
from tiny_checkpoints import write_checkpoint
from tiny_tasks import PROBLEMS, tiny_data, tiny_task

from hubtools.evaluation import primary_score
from hubtools.models import ResidueTokeniser, build_model, resolve_checkpoint
from hubtools.models.task_model import scale_output
from hubtools.specs.loading import load_recipe
from hubtools.specs.recipe import Window
from hubtools.training import fit as fit_module
from hubtools.training.device import Execution
from hubtools.training.encoding import encode
from hubtools.training.fit import fit
from hubtools.training.job import Job
from hubtools.training.loss import loss_for
from hubtools.training.predict import predict
from hubtools.training.probe import fit_probe

CPU = torch.device("cpu")
QUICK = {"epochs": 8, "batch_size": 8, "learning_rate": 3e-3, "head_learning_rate": 1e-2, "patience": None}
GENTLE = {"learning_rate": 1e-4, "head_learning_rate": 1e-3, "head.dropout": 0}


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


@pytest.mark.slow
def test_how_memory_cuts_batches_changes_nothing(checkpoint, tmp_path):
    small = Setting(checkpoint, "residue-classification", tmp_path / "a", token_budget=64, epochs=2, **GENTLE)
    large = Setting(checkpoint, "residue-classification", tmp_path / "b", token_budget=4096, epochs=2, **GENTLE)
    # The tiny checkpoint has dropout of its own, which draws by shape; without it the two are one computation.
    for setting in (small, large):
        for module in setting.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        setting.model.encoder.config.attention_probs_dropout_prob = 0.0
        setting.fit()
    # Predictions, not weights: Adam turns rounding into full steps of weights that have no gradient (key biases).
    np.testing.assert_allclose(small.scores().scores, large.scores().scores, atol=1e-3)
    losses = [
        [json.loads(line)["train_loss"] for line in (tmp_path / name / "training.jsonl").read_text().splitlines()]
        for name in ("a", "b")
    ]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-3)


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

"""Memory that does not suffice: the step is done again in smaller pieces, with the same result; else one error."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from test_fit import CPU, GENTLE, Setting
from tiny_checkpoints import write_checkpoint

from hubtools.common.errors import UserError
from hubtools.models import resolve_checkpoint
from hubtools.training import prediction as predict_module
from hubtools.training.compute.memory import out_of_memory, within_memory
from hubtools.training.finetune.fit import FairTrainer
from hubtools.training.frozen import embedding as embedding_module
from hubtools.training.frozen.probe import fit_probe
from hubtools.training.prediction import predict


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return resolve_checkpoint(str(write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "esm", "esm")))


class Full:
    """An allocator that has room for so many tokens of one forward pass, counted with padding."""

    def __init__(self, model: torch.nn.Module, room: int) -> None:
        self.room, self.refused, self.largest = room, 0, 0
        model.encoder.register_forward_pre_hook(self._look, with_kwargs=True)

    def _look(self, module: Any, arguments: Any, named: Any) -> None:
        tokens = named["input_ids"].numel()
        if tokens > self.room:
            self.refused += 1
            raise RuntimeError(
                "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried"
            )
        self.largest = max(self.largest, tokens)


@pytest.mark.slow
@pytest.mark.parametrize("problem", ["residue-classification", "sequence-regression", "pair-classification"])
def test_what_does_not_fit_is_done_again_in_smaller_pieces(checkpoint, problem, tmp_path, capsys):
    settings = {"epochs": 2, "n": 24, **GENTLE}
    roomy = Setting(checkpoint, problem, tmp_path / "a", token_budget=400, **settings)
    tight = Setting(checkpoint, problem, tmp_path / "b", token_budget=400, **settings)
    allocator = Full(tight.model, room=150)
    expected, found = roomy.fit(), tight.fit()
    assert allocator.refused > 0 and 0 < allocator.largest <= 150
    assert found.token_budget == 100 and expected.token_budget == 400
    assert (found.steps, found.tokens >= expected.tokens) == (expected.steps, True)
    losses = [
        [json.loads(line) for line in (tmp_path / name / "training.jsonl").read_text().splitlines()] for name in "ab"
    ]
    for whole, cut in zip(*losses, strict=True):
        assert cut["train_loss"] == pytest.approx(whole["train_loss"], rel=1e-4)
        assert cut["token_budget"] == 100 and "token_budget" not in whole
    np.testing.assert_allclose(tight.scores().scores, roomy.scores().scores, rtol=1e-3, atol=1e-3)
    assert "out of memory in training at 400 tokens a batch; going on with 200" in capsys.readouterr().err


@pytest.mark.slow
def test_gradients_of_a_step_that_was_started_anew_are_those_of_one_attempt(checkpoint, tmp_path):
    gradients = []
    for room in (10**6, 90):
        setting = Setting(checkpoint, "residue-classification", tmp_path, token_budget=400, n=16)
        trainer = FairTrainer(setting.model, setting.splits["train"], setting.splits["validation"], setting.job)
        trainer.dropouts.train()
        allocator = Full(setting.model, room)
        step = trainer.cut(list(range(8)))
        trainer.training_step(step)
        assert (allocator.refused > 0) == (room == 90)
        gradients.append(torch.cat([p.grad.flatten() for p in setting.model.parameters() if p.grad is not None]))
    assert gradients[0].abs().max() > 0
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_where_single_rows_do_not_fit_the_error_comes_out(checkpoint, tmp_path):
    setting = Setting(checkpoint, "residue-classification", tmp_path, n=16)
    Full(setting.model, room=3)
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        setting.fit()


@pytest.mark.slow
def test_a_prediction_that_does_not_fit_is_read_in_smaller_pieces(checkpoint, tmp_path):
    setting = Setting(checkpoint, "residue-classification", tmp_path, n=16)
    whole = setting.scores()
    allocator = Full(setting.model, room=100)
    cut = predict(setting.model, setting.splits["test"], setting.loss, token_budget=512, device=CPU)
    assert allocator.refused > 0
    assert cut.ids.tolist() == whole.ids.tolist() and cut.positions.tolist() == whole.positions.tolist()
    np.testing.assert_allclose(cut.scores, whole.scores, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("problem", ["residue-classification", "sequence-regression", "pair-classification"])
def test_a_probe_reads_in_smaller_pieces_what_does_not_fit(checkpoint, problem, tmp_path, capsys):
    roomy, tight = (Setting(checkpoint, problem, tmp_path / name, recipe="probe", n=24, epochs=3) for name in "ab")
    allocator = Full(tight.model, room=100)
    expected, found = roomy.fit(fit_probe), tight.fit(fit_probe)
    assert allocator.refused > 0 and 0 < allocator.largest <= 100
    assert (expected.token_budget, found.token_budget) == (512, 64) and found.tokens == expected.tokens
    assert "out of memory in embedding at 512 tokens a batch; going on with 256" in capsys.readouterr().err
    assert expected.validation is not None and found.validation is not None
    np.testing.assert_allclose(found.validation.scores, expected.validation.scores, rtol=1e-4, atol=1e-4)


class Bar:
    """Counts as a progress bar does."""

    def __init__(self, total: int) -> None:
        self.n, self.total, self.most = 0, total, 0

    def update(self, n: int) -> None:
        self.n += n
        self.most = max(self.most, self.n)

    def close(self) -> None:
        pass


@pytest.mark.slow
@pytest.mark.parametrize("problem", ["residue-classification", "sequence-regression", "pair-classification"])
def test_what_is_done_again_is_not_counted_twice(checkpoint, problem, tmp_path, monkeypatch):
    bars = []

    def bar(description: str, total: int, **options: Any) -> Bar:
        bars.append(Bar(total))
        return bars[-1]

    for module in (predict_module, embedding_module):
        monkeypatch.setattr(module, "bar", bar)
    setting = Setting(checkpoint, problem, tmp_path, recipe="probe", n=16, token_budget=100)
    refused = []

    def look(*_: Any) -> None:
        if bars[-1].n and bars[-1] not in refused:
            refused.append(bars[-1])
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    setting.model.encoder.register_forward_pre_hook(look)
    predict(setting.model, setting.splits["test"], setting.loss, token_budget=100, device=CPU, shown="test")
    setting.fit(fit_probe)
    assert len(bars) == 3 and refused == bars, "each had counted something when it failed"
    for one in bars:
        assert one.n == one.most == one.total > 0


def test_a_fit_that_goes_on_keeps_the_budget_that_fitted_and_no_other(checkpoint, tmp_path):
    def setting(budget: int) -> Setting:
        made = Setting(checkpoint, "residue-classification", tmp_path, token_budget=budget, n=24, epochs=2)
        tmp_path.mkdir(exist_ok=True)
        return made

    def trainer(made: Setting) -> FairTrainer:
        return FairTrainer(made.model, made.splits["train"], made.splits["validation"], made.job)

    first = setting(100)
    first.fit()
    assert trainer(setting(400)).budget == 400, "only what did not fit is remembered"
    for folder in (tmp_path / "work").iterdir():
        progress = json.loads((folder / "state.json").read_text())
        assert progress["token_budget"] is None
        (folder / "state.json").write_text(json.dumps(progress | {"token_budget": 200}))
    assert [trainer(setting(budget)).budget for budget in (400, 100)] == [200, 100]


def test_a_fit_whose_loss_is_not_a_number_is_an_error(checkpoint, tmp_path):
    setting = Setting(checkpoint, "sequence-classification", tmp_path, n=16)
    with torch.no_grad():
        setting.model.head[-1].bias.fill_(float("nan"))
    with pytest.raises(UserError, match="training diverged"):
        setting.fit()
    (line,) = (tmp_path / "training.jsonl").read_text().splitlines()
    assert json.loads(line)["diverged"] is True and json.loads(line)["train_loss"] is None


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (MemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 80 bytes."), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"), True),
        (RuntimeError("shape mismatch"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_which_errors_mean_memory(error, expected):
    assert out_of_memory(error) is expected


def test_an_allocator_really_says_so():
    with pytest.raises(RuntimeError) as refused:
        torch.empty(2**61, dtype=torch.uint8)
    assert out_of_memory(refused.value)


def test_other_errors_are_not_tried_again():
    budgets = []

    def work(budget: int) -> None:
        budgets.append(budget)
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        within_memory(work, 64, CPU, "a test")
    assert budgets == [64]

"""Heads trained together become what each becomes alone, under torch's own optimiser."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_fit import CPU, Setting
from tiny_checkpoints import write_checkpoint
from tiny_tasks import METRIC, tiny_data
from torch import nn

from hubtools.common.errors import UserError
from hubtools.evaluation import primary_score
from hubtools.models import load_model, resolve_checkpoint, save_model
from hubtools.models.task_model import fresh_head
from hubtools.specs.recipe import Window
from hubtools.training.encoding import encode
from hubtools.training.frozen.embedding import FrozenEncoder, embed
from hubtools.training.frozen.examples import Examples, Scale
from hubtools.training.frozen.heads import Group, ValidationCheck, _Fleet, train_heads
from hubtools.training.frozen.probe import OtherSeeds, fit_probe
from hubtools.training.prediction import of_rows, predict

BRIEF = {"epochs": 4, "patience": 1, "weight_decay": 0.05, "max_grad_norm": 0.3, "warmup": 0.2}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory):
    return resolve_checkpoint(str(write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "esm", "esm")))


class Bench:
    """Embeddings of a setting's splits at several layers, as the probe makes them."""

    def __init__(self, setting: Setting, layers: list[int]) -> None:
        self.setting, pooled = setting, setting.model.reads_residues
        encoder = FrozenEncoder(setting.model, setting.job.execution, False, layers)
        self.features = {
            name: embed(encoder, setting.splits[name], Path("x.npy"), name, pooled=pooled)
            for name in ("train", "validation")
        }
        self.scales = {layer: Scale(self.features["train"].tables[layer]) for layer in layers}
        train, unseen = (
            Examples(part.tables, part.labels, part.owners, CPU, self.scales, pooled) for part in self.features.values()
        )
        self.train, self.check = train, ValidationCheck(unseen, self.predictions, setting.loss)

    def predictions(self, scores: np.ndarray) -> Any:
        features, split = self.features["validation"], self.setting.splits["validation"]
        if self.setting.model.reads_residues:
            return of_rows(split, np.arange(len(split)), None, features.labels, scores)
        return of_rows(split, features.owners, features.positions, features.labels, scores)

    def alone(self, group: Group, rate: float) -> tuple[dict[str, torch.Tensor], int | None, list[float]]:
        """One head, trained in the plainest way: parameters, best epoch, training loss by epoch."""
        setting, recipe, loss = self.setting, self.setting.recipe, self.setting.loss
        head = fresh_head(setting.model, group.seed)
        scale, pooled = self.scales[group.layer], setting.model.reads_residues
        data = {
            name: (
                (torch.from_numpy(part.tables[group.layer][:]) - scale.mean) / scale.std,
                torch.from_numpy(part.labels),
            )
            for name, part in self.features.items()
        }
        owners = {name: torch.from_numpy(part.owners) for name, part in self.features.items()}
        rows_of = {
            name: {int(i): torch.nonzero(own == i).flatten() for i in own.unique()} for name, own in owners.items()
        }

        def logits(name: str, chosen: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
            x, y = data[name]
            rows = [rows_of[name][item] for item in chosen]
            if pooled:
                local = torch.cat([torch.full((len(own),), i) for i, own in enumerate(rows)])
                return head(x[torch.cat(rows)], local, len(chosen)), y[chosen]
            return head(x[torch.cat(rows)]), y[torch.cat(rows)]

        items = owners["train"].unique().tolist()
        steps = math.ceil(len(items) / recipe.batch_size) * recipe.epochs
        warm = max(1, math.ceil(recipe.warmup * steps))
        optimiser = torch.optim.AdamW(head.parameters(), lr=rate, weight_decay=recipe.weight_decay)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimiser,
            lambda s: (s + 1) / warm if s < warm else 0.5 * (1 + math.cos(math.pi * (s - warm) / (steps - warm))),
        )
        rng, best, state, losses = np.random.default_rng([group.seed, 1]), (-math.inf, None), {}, []
        torch.manual_seed(group.seed)
        for epoch in range(1, recipe.epochs + 1):
            head.train()
            order, total, weight = rng.permutation(len(items)), 0.0, 0.0
            for start in range(0, len(items), recipe.batch_size):
                out, target = logits("train", [items[i] for i in order[start : start + recipe.batch_size]])
                denominator = loss.denominator(target)
                value = loss.total(out, target) / denominator
                optimiser.zero_grad()
                value.backward()
                nn.utils.clip_grad_norm_(head.parameters(), recipe.max_grad_norm)
                optimiser.step()
                schedule.step()
                total, weight = total + float(value.detach()) * denominator, weight + denominator
            losses.append(total / weight)
            head.eval()
            with torch.no_grad():
                out, _ = logits("validation", owners["validation"].unique().tolist())
            score = primary_score(setting.task, self.predictions(loss.to_scores(out)))
            if score > best[0]:
                best, state = (score, epoch), {k: v.clone() for k, v in head.named_parameters()}
            elif epoch - (best[1] or 0) >= recipe.patience:
                break
        return state, best[1], losses


@pytest.mark.parametrize(
    ("problem", "head"),
    [
        ("residue-classification", {}),
        pytest.param("residue-multilabel", {"head.hidden": 12, "head.dropout": 0.3}, marks=pytest.mark.slow),
        ("residue-regression", {"head.dropout": 0.3}),
        ("sequence-classification", {"head.hidden": 12, "head.dropout": 0.3, "class_weights": "balanced"}),
        ("sequence-regression", {}),
        pytest.param("sequence-multilabel", {"head.pooling": "attention", "head.dropout": 0.3}, marks=pytest.mark.slow),
        pytest.param("pair-classification", {"head.hidden": 12}, marks=pytest.mark.slow),
    ],
)
def test_each_head_is_what_it_is_alone(checkpoint, problem: str, head: dict[str, Any], tmp_path: Path) -> None:
    setting = Setting(checkpoint, problem, tmp_path, recipe="probe", n=20, **(BRIEF | head))
    bench, rates = Bench(setting, [0, 2]), [1e-2, 3e-4]
    groups = [Group(seed, layer) for seed in (1, 5) for layer in (2, 0)]
    together = train_heads(
        {g: fresh_head(setting.model, g.seed) for g in groups}, rates, bench.train, bench.check, setting.job
    )
    assert [(h.group, h.learning_rate) for h in together] == [(g, rate) for g in groups for rate in rates]
    for trained in together:
        state, best_epoch, losses = bench.alone(trained.group, trained.learning_rate)
        assert trained.best_epoch == best_epoch
        assert [line["train_loss"] for line in trained.lines] == pytest.approx(losses, rel=1e-4)
        for name, parameter in state.items():
            # The softmax does not feel this one, so that Adam makes steps of its rounding.
            if not name.endswith("attention.bias"):
                torch.testing.assert_close(trained.state[name], parameter, atol=2e-5, rtol=1e-3)
    if problem == "residue-classification":
        assert len({len(trained.lines) for trained in together}) > 1, "each has its own patience"


def test_heads_that_do_not_fit_together_train_one_fleet_after_the_other(checkpoint, tmp_path, monkeypatch) -> None:
    setting = Setting(checkpoint, "residue-classification", tmp_path, recipe="probe", n=30, **BRIEF)
    bench, heads = Bench(setting, [0, 2]), {Group(s, n): fresh_head(setting.model, s) for s in (1, 2) for n in (0, 2)}
    whole = train_heads(heads, [1e-3, 1e-2], bench.train, bench.check, setting.job)
    sizes: list[int] = []
    original = _Fleet.__init__
    monkeypatch.setattr(_Fleet, "__init__", lambda self, *a: (sizes.append(len(a[1])), original(self, *a))[1])
    monkeypatch.setattr("hubtools.training.frozen.heads.PARAMETERS", 1)
    split = train_heads(heads, [1e-3, 1e-2], bench.train, bench.check, setting.job)
    assert sizes == [1, 1, 1, 1]
    for a, b in zip(whole, split, strict=True):
        assert (a.group, a.learning_rate, a.best_epoch) == (b.group, b.learning_rate, b.best_epoch)
        torch.testing.assert_close(a.state, b.state, atol=1e-6, rtol=1e-5)


def test_one_rate_that_diverges_leaves_the_others_alone(checkpoint, tmp_path: Path) -> None:
    # A huge step makes outputs infinite; standardised inputs keep those of the other rate finite.
    setting = Setting(
        checkpoint, "residue-regression", tmp_path, recipe="probe", n=30, **BRIEF,
        **{"probe.learning_rates": [1e38, 1e-3]},
    )  # fmt: skip
    fitted = setting.fit(fit_probe)
    assert fitted.choices["learning_rate"] == 1e-3
    assert fitted.choices["candidates"][0]["validation"] is None
    alone = Setting(
        checkpoint, "residue-regression", tmp_path / "b", recipe="probe", n=30, **BRIEF,
        **{"probe.learning_rates": [1e38]},
    )  # fmt: skip
    with pytest.raises(UserError, match="lower learning_rate"):
        alone.fit(fit_probe)


# The choice


@pytest.mark.parametrize(
    ("problem", "options"),
    [
        ("residue-classification", {}),
        ("residue-classification", {"head.hidden": 8}),
        ("sequence-regression", {}),
        ("sequence-classification", {"head.pooling": "attention"}),
    ],
)
def test_layer_and_rate_are_chosen_on_validation_and_what_is_saved_reads_that_layer(
    checkpoint, problem: str, options: dict[str, Any], tmp_path: Path
) -> None:
    settings = {"probe.layers": [0, 1], "probe.learning_rates": [1e-6, 1e-2], "epochs": 3} | options
    setting = Setting(checkpoint, problem, tmp_path, recipe="probe", n=40, **settings)
    fitted = setting.fit(fit_probe)
    candidates = fitted.choices["candidates"]
    assert [(c["layer"], c["learning_rate"]) for c in candidates] == [(0, 1e-6), (0, 1e-2), (1, 1e-6), (1, 1e-2)]
    best = max(candidates, key=lambda c: -math.inf if c["validation"] is None else c["validation"])
    assert {k: best[k] for k in ("layer", "learning_rate")} == {
        k: fitted.choices[k] for k in ("layer", "learning_rate")
    }
    assert setting.model.config.layer == best["layer"]
    lines = [json.loads(line) for line in (tmp_path / "training.jsonl").read_text().splitlines()]
    assert lines[fitted.best_epoch - 1]["validation"][METRIC[setting.task.problem.kind]] == best["validation"]
    # The model by itself, encoder and folded head, says what was measured on the embeddings.
    whole = setting.scores("validation")
    np.testing.assert_allclose(whole.scores, fitted.validation.scores, atol=1e-4, rtol=1e-4)
    save_model(setting.model, setting.tokeniser, setting.task, tmp_path / "model")
    loaded, tokeniser = load_model(tmp_path / "model", setting.task)
    assert loaded.config.layer == best["layer"]
    test = encode(tiny_data(problem, 40)["test"], setting.task, tokeniser, Window(residues=30, overlap=8))
    again = predict(loaded, test, setting.loss, token_budget=512, device=CPU)
    np.testing.assert_allclose(again.scores, setting.scores().scores, atol=1e-5, rtol=1e-4)


def test_a_hidden_layer_per_residue_is_no_stock_class(checkpoint, tmp_path: Path) -> None:
    setting = Setting(checkpoint, "residue-classification", tmp_path, **{"head.hidden": 8})
    assert [type(layer).__name__ for layer in setting.model.head] == ["Dropout", "Linear", "GELU", "Dropout", "Linear"]
    save_model(setting.model, setting.tokeniser, setting.task, tmp_path / "model")
    assert (tmp_path / "model" / "modeling_protein_task.py").exists()
    loaded, _ = load_model(tmp_path / "model", setting.task)
    ids = torch.from_numpy(setting.tokeniser.with_special(setting.tokeniser.encode("MKTAYIAK")))[None]
    torch.testing.assert_close(loaded(ids).logits, setting.model.eval()(ids).logits)


@pytest.mark.slow
def test_a_seed_alone_is_what_it_is_in_company(checkpoint, tmp_path: Path) -> None:
    options = {"probe.layers": "all", "epochs": 3, "head.dropout": 0.2}

    def setting(name: str, seed: int) -> Setting:
        made = Setting(checkpoint, "sequence-regression", tmp_path / name, recipe="probe", n=40, **options)
        made.model.head = fresh_head(made.model, seed)
        made.job = replace(made.job, seed=seed)
        made.folder.mkdir()
        return made

    company = OtherSeeds(seeds=[2, 3])
    for seed in (1, 2, 3):
        with_others, alone = setting(f"company{seed}", seed), setting(f"alone{seed}", seed)
        splits = (with_others.splits["train"], with_others.splits["validation"])
        first = fit_probe(with_others.model, *splits, with_others.job, company)
        second = alone.fit(fit_probe)
        assert first.together == 3 and second.together == 1
        assert first.choices["layer"] == second.choices["layer"] and first.best_epoch == second.best_epoch
        np.testing.assert_allclose(with_others.scores().scores, alone.scores().scores, rtol=1e-4)
        logs = [
            [json.loads(line)["train_loss"] for line in (made.folder / "training.jsonl").read_text().splitlines()]
            for made in (with_others, alone)
        ]
        assert logs[0] == pytest.approx(logs[1], rel=1e-4)
    assert not company.heads


# Ridge


@pytest.mark.parametrize("problem", ["sequence-regression", "residue-regression", "pair-regression"])
def test_ridge_is_scikit_learns_with_the_penalty_of_the_best_validation_score(checkpoint, problem, tmp_path) -> None:
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import StandardScaler

    setting = Setting(
        checkpoint, problem, tmp_path, recipe="probe", n=40, **{"head.solver": "ridge", "probe.layers": [2, 1]}
    )
    encoder = FrozenEncoder(setting.model, setting.job.execution, False, [1, 2])
    features = {
        name: embed(encoder, setting.splits[name], tmp_path / "x.npy", name) for name in ("train", "validation", "test")
    }
    fitted = setting.fit(fit_probe)
    assert fitted.epochs_run == 0 and not (tmp_path / "training.jsonl").exists()
    expected, predicted = [], {}
    for candidate in fitted.choices["candidates"]:
        x = {name: part.tables[candidate["layer"]][:].astype(float) for name, part in features.items()}
        scaler = StandardScaler().fit(x["train"])
        ridge = Ridge(candidate["penalty"], solver="svd").fit(scaler.transform(x["train"]), features["train"].labels)
        values = ridge.predict(scaler.transform(x["validation"]))
        expected.append(np.corrcoef(values, features["validation"].labels)[0, 1])
        predicted[candidate["layer"], candidate["penalty"]] = ridge.predict(scaler.transform(x["test"]))
    got = [candidate["validation"] for candidate in fitted.choices["candidates"]]
    np.testing.assert_allclose(got, expected, atol=1e-4)
    assert max(got) - min(got) > 0.01, "the penalty makes a difference"
    chosen = fitted.choices["candidates"][int(np.argmax(got))]
    assert (fitted.choices["layer"], fitted.choices["penalty"]) == (chosen["layer"], chosen["penalty"])
    truth = predicted[chosen["layer"], chosen["penalty"]]
    np.testing.assert_allclose(setting.scores().scores, truth, atol=0.02 * truth.std())

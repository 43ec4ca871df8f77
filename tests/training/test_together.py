"""A protein in a batch is read as it is alone, proven on real lengths for the model that runs; else in groups of equal length."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_fit import Setting
from tiny_checkpoints import FAMILIES, write_checkpoint
from tiny_tasks import LETTERS, tiny_task

from hubtools.common.errors import UserError
from hubtools.models import ResidueTokeniser, build_model, load_model, resolve_checkpoint, save_model
from hubtools.models.windows import pieces
from hubtools.specs.lookup.spec_files import load_recipe
from hubtools.training.compute.device import Execution
from hubtools.training.compute.engine import engine
from hubtools.training.compute.together import APART, chosen

CPU = torch.device("cpu")
WINDOW = 500
# What an encoder does wrong with its mask.
WRONG = {
    "ignores": lambda mask: None,
    "inverts": lambda mask: 1 - mask,
    "adds": lambda mask: mask.float()[:, None, None, :].expand(-1, 1, mask.shape[1], -1),
}
# These take a mask of four dimensions as it is.
ADDING = ["esmc", "bert", "t5", "ankh", "modernbert"]
MUTANTS = [(f, w) for f in FAMILIES for w in WRONG if w != "adds" or f in ADDING]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("checkpoints")
    return {family: resolve_checkpoint(str(write_checkpoint(root / family, family))) for family in FAMILIES}


def proteins(*lengths: int) -> list[str]:
    rng = np.random.default_rng(0)
    return ["".join(rng.choice(list(LETTERS), length)) for length in lengths]


def selected(tokeniser: ResidueTokeniser, sequences: list[str], window: int = WINDOW) -> list[np.ndarray]:
    tokens = tokeniser.encode_all(sequences)
    return chosen(tokens, [pieces(len(ids), window, window // 4) for ids in tokens])


def built(checkpoint: Any, recipe: str = "full", problem: str = "residue-classification") -> tuple[Any, Any]:
    tokeniser = ResidueTokeniser.from_checkpoint(checkpoint)
    return build_model(checkpoint, tiny_task(problem), load_recipe(recipe), tokeniser, 0).eval(), tokeniser


def misreading(encoder: Any, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an encoder do something wrong with its mask, where it is given one."""
    right = encoder.forward

    def forward(input_ids: Any, attention_mask: Any = None, **options: Any) -> Any:
        mask = None if attention_mask is None else WRONG[how](attention_mask)
        return right(input_ids=input_ids, attention_mask=mask, **options)

    monkeypatch.setattr(type(encoder), "forward", lambda self, *args, **options: forward(*args, **options))


def proven(model: Any, tokeniser: Any, sequences: list[str], **options: Any) -> Any:
    defaults: dict[str, Any] = {"bf16": False, "trains": False, "proteins": selected(tokeniser, sequences)}
    return engine(model, tokeniser, Execution(CPU, 2048), **{**defaults, **options})


LENGTHS = (12, 33, 61, 140, 222, 380, 800)


@pytest.mark.parametrize("bf16", [False, True], ids=["float32", "bf16"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_reads_together_what_it_reads_alone(checkpoints, family: str, bf16: bool) -> None:
    model, tokeniser = built(checkpoints[family])
    with proven(model, tokeniser, proteins(*LENGTHS), bf16=bf16) as made:
        facts = made.together
    assert facts.layout == made.layout == ("padded" if family in {"t5", "ankh"} else "packed")
    assert (facts.proteins, facts.shortest, facts.longest) == (5, 12, WINDOW)
    assert len(set(facts.widths)) == 3 and max(facts.widths) == WINDOW + tokeniser.n_special
    assert facts.difference < APART / 100
    assert (facts.rounded is not None) is bf16
    assert "5 proteins of 12 to 500 residues" in str(facts)


@pytest.mark.parametrize(("family", "how"), MUTANTS)
def test_what_misreads_its_mask_is_read_in_groups_of_equal_length(
    checkpoints, family: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokeniser = built(checkpoints[family])
    sequences = proteins(30, 60, 30, 45)
    rows = [torch.from_numpy(tokeniser.with_special(tokeniser.encode(s))) for s in sequences]
    with torch.no_grad():
        alone = [model.encoder(input_ids=row[None], output_hidden_states=True) for row in rows]
        misreading(model.encoder, how, monkeypatch)
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=tokeniser.pad_id)
        mask = torch.arange(ids.shape[1]) < torch.tensor([[len(row)] for row in rows])
        with proven(model, tokeniser, proteins(*LENGTHS)) as made:
            out = model.encoder(input_ids=ids, attention_mask=mask.long(), output_hidden_states=True)
            assert made.layout == "grouped" and made.together.layout == "grouped"
            assert made.together.difference < APART / 100
    assert "does not ignore padding" in made.together.why and "from the same alone" in made.together.why
    for index, (single, row) in enumerate(zip(alone, rows, strict=True)):
        for got, expected in zip(out.hidden_states, single.hidden_states, strict=True):
            torch.testing.assert_close(got[index, : len(row)], expected[0], atol=2e-5, rtol=1e-4)


def test_what_shows_only_beside_long_proteins_is_found_too(checkpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    """An encoder that is right for short rows, on which the engine tests its parts, and forgets the mask of long ones."""
    model, tokeniser = built(checkpoints["esm"])
    right = type(model.encoder).forward

    def forward(self: Any, input_ids: Any, attention_mask: Any = None, **options: Any) -> Any:
        mask = attention_mask if input_ids.shape[1] < 300 else None
        return right(self, input_ids=input_ids, attention_mask=mask, **options)

    monkeypatch.setattr(type(model.encoder), "forward", forward)
    with engine(model, tokeniser, Execution(CPU, 2048, packing=False), bf16=False, trains=False) as made:
        assert made.layout == "padded", "nothing was read"
    with proven(model, tokeniser, proteins(*LENGTHS)) as made:
        assert made.layout == "grouped"
    with proven(model, tokeniser, proteins(20, 50, 120)) as made:
        assert made.layout == "padded", "these data have no long proteins"


def test_packing_that_is_wrong_for_long_rows_gives_way_to_padding(checkpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    from hubtools.models.execution import attention
    from hubtools.models.execution.attention import sdpa

    def broken(query: Any, key: Any, value: Any, boundaries: Any, options: Any) -> Any:
        out = sdpa(query, key, value, boundaries, options)
        return out if max(boundaries.lengths) < 300 else out * 1.01

    monkeypatch.setitem(attention.KERNELS, "sdpa", broken)
    model, tokeniser = built(checkpoints["esm"])
    with proven(model, tokeniser, proteins(*LENGTHS)) as made:
        assert made.layout == "padded" and not made.operators
        assert "no packing, no faster operators: in a batch a protein differs by" in made.together.why
    with proven(model, tokeniser, proteins(20, 50, 120)) as made:
        assert made.layout == "packed"


def test_what_mixes_proteins_whatever_their_length_is_refused(checkpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokeniser = built(checkpoints["esm"])
    right = type(model.encoder).forward

    def forward(self: Any, *given: Any, **options: Any) -> Any:
        out = right(self, *given, **options)
        out.last_hidden_state = out.last_hidden_state + 0.01 * len(out.last_hidden_state)
        # A group of one is mixed with nothing: what changes is what the whole call holds.
        out.last_hidden_state = out.last_hidden_state + 0.01 * forward.calls
        forward.calls += 1
        return out

    forward.calls = 0  # type: ignore[attr-defined]
    monkeypatch.setattr(type(model.encoder), "forward", forward)
    with pytest.raises(UserError, match="does not read a protein as it is alone: in a padded batch it differs by"):
        proven(model, tokeniser, proteins(*LENGTHS)).__enter__()


def test_a_protein_that_cannot_be_read_is_named_by_its_length(checkpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokeniser = built(checkpoints["esm"])
    right = type(model.encoder).forward

    def forward(self: Any, input_ids: Any, **options: Any) -> Any:
        if input_ids.shape[1] > 200:
            raise IndexError("index out of range in self")
        return right(self, input_ids=input_ids, **options)

    monkeypatch.setattr(type(model.encoder), "forward", forward)
    with pytest.raises(UserError, match=r"cannot read a protein of 500 residues\. Give"):
        proven(model, tokeniser, proteins(*LENGTHS)).__enter__()


def test_the_chosen_span_lengths_evenly_from_thirty_to_the_window(checkpoints) -> None:
    tokeniser = ResidueTokeniser.from_checkpoint(checkpoints["esm"])
    ratios = lambda found: np.diff(np.log([len(ids) for ids in found]))  # noqa: E731
    many = selected(tokeniser, proteins(*range(31, 900, 7)), 400)
    assert (len(many[0]), len(many[-1]), len(many)) == (31, 400, 5)
    assert np.ptp(ratios(many)) < 0.3
    # Variants are all of one length: first residues stand for what is shorter.
    same = selected(tokeniser, proteins(264, 264, 264))
    assert [len(ids) for ids in same] == [30, 52, 89, 153, 264]
    assert [len(ids) for ids in selected(tokeniser, proteins(9, 14))] == [9, 10, 11, 14]
    assert [len(ids) for ids in selected(tokeniser, ["M"])] == [1] and chosen([], []) == []


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["full", "lora"])
@pytest.mark.parametrize("problem", ["residue-classification", "sequence-classification", "pair-classification"])
def test_training_in_groups_ends_in_the_weights_of_training_with_a_mask(
    checkpoints, recipe: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the head's dropout, and LoRA's: what is dropped does not depend on how rows are read either."""
    overrides = {"adapter.dropout": 0.2} if recipe == "lora" else {}
    both = [
        Setting(
            checkpoints["bert"],
            problem,
            tmp_path / name,
            token_budget=512,
            recipe=recipe,
            **{"epochs": 2, "learning_rate": 1e-4, "head_learning_rate": 1e-3, **overrides},
        )
        for name in ("masked", "grouped")
    ]
    both[0].fit()
    misreading(both[1].model.encoder, "ignores", monkeypatch)
    made_of = both[1].splits["train"]
    with engine(
        both[1].model,
        both[1].tokeniser,
        Execution(CPU, 512),
        bf16=False,
        trains=True,
        proteins=chosen(made_of.tokens, made_of.windows),
    ) as made:
        assert made.layout == "grouped"
        both[1].fit()
    one, other = (setting.weights() for setting in both)
    assert float((one - other).abs().max() / other.abs().max()) < 1e-5


def test_it_is_published_so(checkpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model that ships reads groups of equal length by itself: a stranger may pad."""
    model, tokeniser = built(checkpoints["bert"])
    task = tiny_task()
    misreading(model.encoder, "ignores", monkeypatch)
    with proven(model, tokeniser, proteins(*LENGTHS)):
        save_model(model, tokeniser, task, tmp_path / "model")
    loaded, _ = load_model(tmp_path / "model", task)
    assert loaded.config.equal_lengths is True
    rows = [torch.from_numpy(tokeniser.with_special(tokeniser.encode(s))) for s in proteins(20, 50, 20)]
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=tokeniser.pad_id)
    mask = (torch.arange(ids.shape[1]) < torch.tensor([[len(row)] for row in rows])).long()
    with torch.no_grad():
        together = loaded(ids, mask).logits
        for index, row in enumerate(rows):
            torch.testing.assert_close(together[index, : len(row)], loaded(row[None]).logits[0], atol=1e-5, rtol=1e-4)

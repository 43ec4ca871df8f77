"""Remote code that speaks another dialect gives what plain calls of that code give, padded or alone, or is refused by name."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny_own_code import FILE, LIKE, module_of, write_like

from hubtools.common.errors import UserError
from hubtools.models import Checkpoint, ResidueTokeniser, resolve_checkpoint
from hubtools.models.encoder import checkpoint_facts, load_encoder, own_class
from hubtools.models.execution.grouping import Grouping
from hubtools.models.execution.translation import Translated, translated
from hubtools.models.families import Dialect, Family, family_of, known_families, register
from hubtools.models.families.own_code import AMPLIFY
from hubtools.models.longest_input import longest_input
from hubtools.models.masked_lm import load_masked_lm
from hubtools.models.saved import refuse_code_of_others
from hubtools.training.compute.device import Execution
from hubtools.training.compute.engine import engine

SEQUENCES = ["MKTAYIAKQR", "WACDE", "ACDEFGHIKLMNPQRSTVWY"]


def positions(ids: torch.Tensor, mask: torch.Tensor) -> dict[str, torch.Tensor]:
    """As E1's authors prepare one protein a row."""
    places = (mask.cumsum(1) - 1).masked_fill(mask == 0, -1)
    return {"within_seq_position_ids": places, "global_position_ids": places, "sequence_ids": mask - 1}


# What the code beside each checkpoint is called with, and which of what it gives are the hidden states (rows, tokens, width).
PLAIN: dict[str, Callable[[Any, torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "amplify": lambda model, ids, mask: model(
        ids, torch.zeros(mask.shape).masked_fill(mask == 0, -torch.inf), output_hidden_states=True
    ).hidden_states[-1],
    "glm2": lambda model, ids, mask: model.glm2(ids, mask).last_hidden_state,
    "e1": lambda model, ids, mask: model(ids, **positions(ids, mask)).last_hidden_state,
    "e1-adds": lambda model, ids, mask: model(ids, **positions(ids, mask)).last_hidden_state,
    "proteinglm": lambda model, ids, mask: model.transformer(ids, attention_mask=mask).last_hidden_state.transpose(
        0, 1
    ),
    "esmpp": lambda model, ids, mask: model(ids, mask).last_hidden_state,
    "prosst-alone": lambda model, ids, mask: model(ids, attention_mask=mask).last_hidden_state,
    "progen": lambda model, ids, mask: model.transformer(ids).last_hidden_state,
    "rita": lambda model, ids, mask: model.transformer(ids).last_hidden_state,
    "odd-blind": lambda model, ids, mask: model(ids)[0],
    "odd-wide": lambda model, ids, mask: model(ids, mask).last_hidden_state,
}
# How a protein of those that have tokens of a protocol begins and ends.
AROUND = {
    "amplify": (["<bos>"], ["<eos>"]),
    "glm2": (["<+>"], []),
    "e1": (["<bos>", "1"], ["2", "<eos>"]),
    "e1-adds": (["<bos>", "1"], ["2", "<eos>"]),
    "proteinglm": ([], ["<eos>"]),
    "esmpp": (["<cls>"], ["<eos>"]),
    "progen": (["1"], ["2"]),
    "rita": ([], ["<EOS>"]),
}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Checkpoint]:
    """A checkpoint with code of its own, which is trusted."""
    root, made = tmp_path_factory.mktemp("published"), dict[str, Checkpoint]()

    def checkpoint(kind: str) -> Checkpoint:
        if kind not in made:
            made[kind] = resolve_checkpoint(str(write_like(root / kind, kind)), trust_remote_code=True)
        return made[kind]

    return checkpoint


Published = Callable[[str], Checkpoint]


def batch(tokeniser: ResidueTokeniser) -> tuple[torch.Tensor, torch.Tensor]:
    rows = [torch.from_numpy(tokeniser.with_special(tokeniser.encode(s))) for s in SEQUENCES]
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=tokeniser.pad_id)
    lengths = torch.tensor([len(row) for row in rows])
    return ids, (torch.arange(ids.shape[1]) < lengths[:, None]).long()


def by_hand(checkpoint: Checkpoint) -> Any:
    """The code beside the checkpoint with its weights, without bench and without transformers' loaders."""
    folder = checkpoint.files()
    module, classes = module_of(folder / f"{FILE}.py"), LIKE[checkpoint.name].classes
    kind = getattr(module, classes.get("ModelForMaskedLM") or classes.get("ModelForCausalLM") or classes["Model"])
    settings = {k: v for k, v in json.loads((folder / "config.json").read_text()).items() if k != "model_type"}
    model = kind(kind.config_class(**settings))
    model.load_state_dict(load_file(folder / "model.safetensors"))
    return model.eval()


@pytest.mark.parametrize("kind", PLAIN)
@torch.no_grad()
def test_hidden_states_are_those_of_plain_calls(published: Published, kind: str) -> None:
    checkpoint = published(kind)
    encoder: Any = load_encoder(checkpoint).eval()
    tokeniser = ResidueTokeniser.from_checkpoint(checkpoint)
    ids, mask = batch(tokeniser)
    given = encoder(input_ids=ids, attention_mask=mask)
    expected, real = PLAIN[kind](by_hand(checkpoint), ids, mask), mask.bool()
    assert expected.shape == (*ids.shape, 16)
    torch.testing.assert_close(given.last_hidden_state[real], expected[real])
    facts = checkpoint_facts(checkpoint, encoder, "pretrained")
    assert (facts.hidden_size, facts.layers) == (16, 2)
    assert facts.architecture == type(by_hand(checkpoint)).__name__.removesuffix("ForMaskedLM").removesuffix(
        "ForCausalLM"
    )
    # Names of weights are those of the checkpoint, and a copy is another encoder.
    assert not any(name.startswith("_") for name, _ in encoder.named_parameters())
    other = copy.deepcopy(encoder)
    for parameter in other.parameters():
        parameter.zero_()
    torch.testing.assert_close(encoder(input_ids=ids, attention_mask=mask).last_hidden_state[real], expected[real])
    assert float(other(input_ids=ids, attention_mask=mask).last_hidden_state.abs().max()) == 0


@pytest.mark.parametrize("kind", PLAIN)
def test_it_reads_a_protein_in_a_batch_as_alone(published: Published, kind: str) -> None:
    checkpoint = published(kind)
    encoder, tokeniser = load_encoder(checkpoint), ResidueTokeniser.from_checkpoint(checkpoint)
    body, tokens = SimpleNamespace(encoder=encoder), tokeniser.encode_all(SEQUENCES)
    with engine(
        body, tokeniser, Execution.choose("cpu"), bf16=False, trains=True, proteins=tokens, faster=True
    ) as made:
        # What takes no mask reads rows of equal length together.
        assert made.layout == ("grouped" if kind == "odd-blind" else "padded")
        assert made.together is not None and made.together.difference is not None
        assert made.together.difference < 1e-5


@pytest.mark.parametrize("kind", AROUND)
def test_proteins_stand_between_the_tokens_of_their_protocol(published: Published, kind: str) -> None:
    tokeniser = ResidueTokeniser.from_checkpoint(published(kind))
    before, after = AROUND[kind]
    ids = tokeniser.with_special(tokeniser.encode("MKA")).tolist()
    assert tokeniser.tokenizer.convert_ids_to_tokens(ids) == [*before, *"MKA", *after]
    facts = tokeniser.count_unknown(tokeniser.encode_all(SEQUENCES))
    ours = {"e1-adds": (["1"], ["2"]), "amplify": ([], []), "proteinglm": ([], []), "esmpp": ([], []), "rita": ([], [])}
    assert (facts.protocol, facts.protocol_after) == ours.get(kind, (before, after))
    assert ("protocol_after" in facts.model_dump()) == bool(facts.protocol_after)
    # A trained model is asked in the very form of its record.
    proof = tokeniser.prove(SEQUENCES)
    assert proof.special == [len(before), len(after)]
    assert tokeniser.as_recorded(proof, facts).form == tokeniser.form
    # No mean runs over them.
    assert set(tokeniser.tokenizer.convert_tokens_to_ids([*before, *after])) <= set(tokeniser.special_ids)


REFUSED = {
    "odd": "odd: its forward takes src and pad_mask; bench needs input_ids and attention_mask",
    "odd-besides": "its forward needs chain_ids besides; bench gives input_ids and attention_mask",
    "odd-logits": "its forward gives logits, and no hidden states",
    "odd-shape": r"of 3 rows of 7 tokens its forward gives hidden states of the shape \(3, 16\); bench needs \(3, 7, width\)",
    "odd-fails": "its code stops at a batch of short rows, given input_ids and attention_mask of what its forward takes",
    "prosst": r"its code reads a structure token for each residue \(ss_input_ids\) beside the residues",
}


@pytest.mark.parametrize("weights", ["pretrained", "random"])
@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_missing_is_said_by_name(published: Published, kind: str, weights: str) -> None:
    with pytest.raises(UserError, match=REFUSED[kind]) as refusal:
        load_encoder(published(kind), weights=weights)
    assert refusal.value.where == kind and refusal.value.fix is not None
    assert ("docs/extending.md" in refusal.value.fix) == (kind != "prosst")


@pytest.mark.parametrize("kind", ["amplify", "glm2", "e1", "proteinglm", "progen"])
def test_random_weights_are_drawn_by_the_seed_and_asked_in_the_same_way(published: Published, kind: str) -> None:
    ids = torch.tensor([[6, 7, 8, 9]])
    one, same, other = (
        load_encoder(published(kind), weights="random", seed=seed).eval()(input_ids=ids).last_hidden_state
        for seed in (1, 1, 2)
    )
    assert one.shape == (1, 4, 16) and torch.equal(one, same) and not torch.equal(one, other)


@pytest.mark.parametrize(("kind", "longest"), [("amplify", 64), ("glm2", 64), ("proteinglm", 64), ("rita", 64)])
def test_its_longest_input_is_measured(published: Published, kind: str, longest: int) -> None:
    checkpoint = published(kind)
    assert longest_input(checkpoint, ResidueTokeniser.from_checkpoint(checkpoint), 200) == longest


def test_an_added_mask_has_the_precision_of_what_it_is_added_to(published: Published) -> None:
    encoder: Any = load_encoder(published("amplify")).eval()
    ids, mask = torch.full((2, 4), 7), torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    added = encoder.asked(ids, mask, False)["pad_mask"]
    assert added.tolist() == [[0, 0, 0, 0], [0, 0, -torch.inf, -torch.inf]] and added.dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        assert encoder.asked(ids, mask, False)["pad_mask"].dtype == torch.bfloat16
    # Without a mask it is given none.
    assert set(encoder.asked(ids, None, False)) == {"src", "output_hidden_states"}


def test_adapters_go_where_the_family_says(published: Published) -> None:
    from peft.tuners.tuners_utils import BaseTunerLayer
    from tiny_tasks import tiny_task

    from hubtools.models import build_model
    from hubtools.specs.lookup.spec_files import load_recipe

    checkpoint = published("amplify")
    tokeniser = ResidueTokeniser.from_checkpoint(checkpoint)
    model: Any = build_model(checkpoint, tiny_task(), load_recipe("lora"), tokeniser, 1)
    places = {name for name, module in model.encoder.named_modules() if isinstance(module, BaseTunerLayer)}
    assert places == {f"body.layers.{layer}.{part}" for layer in range(2) for part in ("q", "k", "v", "wo")}
    ids, mask = batch(tokeniser)
    logits = model(ids, mask).logits
    logits[mask.bool()].square().sum().backward()
    learnt = [p for n, p in model.encoder.named_parameters() if "lora_B" in n]
    assert learnt and all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in learnt)


@torch.no_grad()
def test_all_layers_are_given_in_the_order_of_rows(published: Published) -> None:
    checkpoint = published("proteinglm")
    encoder: Any = load_encoder(checkpoint).eval()
    ids, mask = batch(ResidueTokeniser.from_checkpoint(checkpoint))
    states = encoder(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
    theirs = by_hand(checkpoint).transformer(ids, attention_mask=mask, output_hidden_states=True).hidden_states
    assert len(states) == len(theirs) == 3
    for ours, one in zip(states, theirs, strict=True):
        torch.testing.assert_close(ours, one.transpose(0, 1))
    assert encoder(input_ids=ids, attention_mask=mask).hidden_states is None


@pytest.mark.parametrize("kind", ["amplify", "glm2", "proteinglm"])
@torch.no_grad()
def test_likelihoods_are_those_of_its_head(published: Published, kind: str) -> None:
    checkpoint = published(kind)
    model: Any = load_masked_lm(checkpoint)
    ids, mask = batch(ResidueTokeniser.from_checkpoint(checkpoint))
    theirs = by_hand(checkpoint)
    added = torch.zeros(mask.shape).masked_fill(mask == 0, -torch.inf)
    expected = theirs(ids, added) if kind == "amplify" else theirs(ids, attention_mask=mask)
    real = mask.bool()
    torch.testing.assert_close(model(input_ids=ids, attention_mask=mask).logits[real], expected.logits[real])
    # What is proven of its batches is asked of the same weights.
    states = model.base_model(input_ids=ids, attention_mask=mask).last_hidden_state
    torch.testing.assert_close(states[real], PLAIN[kind](theirs, ids, mask)[real])
    grouping = Grouping(model.base_model)
    grouping.attach()
    torch.testing.assert_close(model(input_ids=ids, attention_mask=mask).logits[real], expected.logits[real])
    grouping.detach()
    assert isinstance(model, Translated) == (kind != "glm2")


def test_code_that_is_not_trusted_is_not_run_and_nobody_is_told_to_upgrade(
    published: Published, tmp_path: Path
) -> None:
    checkpoint = resolve_checkpoint(str(published("progen").path))
    with pytest.raises(UserError, match="its architecture is code in its own repository") as refusal:
        load_encoder(checkpoint)
    assert "Upgrade" not in str(refusal.value) and "--trust-remote-code" in str(refusal.value)
    folder = write_like(tmp_path / "odd", "odd-wide")
    for auto_map, says in (
        (
            {"AutoConfig": f"{FILE}.OddWideConfig", "AutoModelForSeq2SeqLM": f"{FILE}.OddWide"},
            "its code brings AutoModelForSeq2SeqLM",
        ),
        ({"AutoModel": f"{FILE}.OddWide"}, "its code brings no configuration: auto_map of config.json names AutoModel"),
    ):
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "auto_map": auto_map}))
        with pytest.raises(UserError, match=says) as refusal:
            load_encoder(resolve_checkpoint(str(folder), trust_remote_code=True))
        assert "Upgrade" not in str(refusal.value)


@torch.no_grad()
def test_a_family_names_another_class_and_makes_further_inputs(
    published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_families, "_brought", [])
    monkeypatch.setattr(known_families, "_looked", [True])
    register(Family("whole", model_types=("gLM2",), dialect=Dialect(layers="depth", auto_class="AutoModelForMaskedLM")))
    ids, mask = torch.tensor([[6, 7, 8, 1], [6, 7, 8, 9]]), torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]])
    checkpoint = resolve_checkpoint(str(published("glm2").path), trust_remote_code=True)
    assert own_class(checkpoint.config, family_of(checkpoint.config), "x").__name__ == "AutoModelForMaskedLM"
    states = load_encoder(checkpoint).eval()(input_ids=ids, attention_mask=mask).last_hidden_state
    expected = by_hand(checkpoint).glm2(ids, mask).last_hidden_state
    torch.testing.assert_close(states[mask.bool()], expected[mask.bool()])

    def chains(ids: torch.Tensor, mask: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"chain_ids": torch.zeros_like(ids)}

    register(Family("chains", model_types=("odd",), dialect=Dialect(inputs=chains)))
    odd = resolve_checkpoint(str(published("odd-besides").path), trust_remote_code=True)
    encoder: Any = load_encoder(odd).eval()
    expected = by_hand(odd)(ids, None, mask).last_hidden_state
    torch.testing.assert_close(encoder(input_ids=ids, attention_mask=mask).last_hidden_state, expected)
    # A checkpoint of a type with a dialect that speaks plainly is asked plainly.
    plain: Any = translated(load_encoder(published("esmpp")), AMPLIFY, "plain")
    assert not isinstance(plain, Translated) and isinstance(encoder, Translated)


def test_weights_below_the_head_must_be_there(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    folder = write_like(tmp_path / "progen", "progen")
    weights = load_file(folder / "model.safetensors")
    for left_out, refused in (("lm_head.weight", False), ("transformer.body.embed.weight", True)):
        kept = {name: value for name, value in weights.items() if name != left_out}
        save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
        checkpoint = resolve_checkpoint(str(folder), trust_remote_code=True)
        if refused:
            with pytest.raises(UserError, match="1 weights of ProGenForCausalLM are not in it"):
                load_encoder(checkpoint)
        else:
            load_encoder(checkpoint)


def test_a_model_of_it_is_refused_to_whoever_loads_it(tmp_path: Path) -> None:
    config = {"model_type": "protein-task", "encoder": {"model_type": "AMPLIFY", "auto_map": {"AutoModel": "x.Y"}}}
    with pytest.raises(UserError, match=r"its encoder \(AMPLIFY\) is code of its checkpoint's repository"):
        refuse_code_of_others(config, tmp_path)
    refuse_code_of_others({"model_type": "protein-task", "encoder": {"model_type": "esm"}}, tmp_path)


def test_a_dialect_is_part_of_what_a_family_is() -> None:
    def one(ids: Any, mask: Any) -> dict[str, Any]:
        return {"a": ids}

    def two(ids: Any, mask: Any) -> dict[str, Any]:
        return {"b": ids}

    families = [
        Family("x"),
        Family("x", dialect=Dialect()),
        Family("x", dialect=Dialect(ids="src")),
        Family("x", dialect=Dialect(inputs=one)),
        Family("x", dialect=Dialect(inputs=two)),
    ]
    assert len({family.digest for family in families}) == len(families)
    # As it was before there were dialects: ids of runs stay.
    assert families[0].digest == "a050ca16347609c5ddb513da0f55eb5e77b72dac9d12592ed95b0dad85d0803b"

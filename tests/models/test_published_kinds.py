"""docs/checkpoints.md says of each kind of checkpoint what a tiny one of it is seen to do here, and nothing else."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from kinds_of_checkpoints import KINDS, REAL_WEIGHTS, write_kind
from safetensors import safe_open
from tiny_tasks import tiny_task

from hubtools.common.errors import UserError
from hubtools.models import Checkpoint, ResidueTokeniser, build_model, resolve_checkpoint
from hubtools.models.adapters import is_adapter
from hubtools.models.decoders.causal_lm import load_causal_lm
from hubtools.models.families import Family, Published, family_of, known_families, published_as, published_kinds
from hubtools.models.families.published import published_kind as words
from hubtools.models.families.published.without_family import WITHOUT_FAMILY
from hubtools.models.masked_lm import hidden_tokens, load_masked_lm, require_mask
from hubtools.specs.lookup.spec_files import load_recipe
from hubtools.training.compute.context import context_of

ROWS = published_kinds(own=True)
SEQUENCES = ["MKTAYIAKQRQISFVKSHFSRQ", "ACDEFG"]
ids = [row.key for row in ROWS]


@dataclass
class Seen:
    """What a checkpoint was seen to do.

    Attributes:
        works: in the words of the page.
        protocol, ending: tokens before every protein, and behind it.
        refused: the line that came, without its end; empty where it is read.
    """

    works: list[str] = field(default_factory=list)
    protocol: tuple[str, ...] = ()
    ending: tuple[str, ...] = ()
    refused: str = ""


def batch(tokeniser: ResidueTokeniser, sequences: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask of sequences, padded at the right."""
    rows = [torch.from_numpy(tokeniser.with_special(tokeniser.encode(sequence))) for sequence in sequences]
    ids = torch.full((len(rows), max(map(len, rows))), tokeniser.pad_id)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, : len(row)], mask[i, : len(row)] = row, 1
    return ids, mask


def seen(folder: Path, remote_code: bool = False) -> Seen:
    """Load a checkpoint, prove its alignment, embed two proteins, take one step of gradients under each way to adapt it."""
    try:
        checkpoint = resolve_checkpoint(str(folder), trust_remote_code=remote_code)
        tokeniser = ResidueTokeniser.from_checkpoint(checkpoint)
        found = Seen(protocol=tokeniser.form.protocol, ending=tokeniser.form.ending)
        embeds = _embeds(checkpoint, tokeniser)
    except UserError as error:
        return Seen(refused=error.what)
    if tokeniser.aligned:
        facts = tokeniser.prove(SEQUENCES)
        assert facts.aligned == facts.residues == sum(map(len, SEQUENCES))
        found.works.append(words.PER_RESIDUE)
    if embeds:
        found.works.append(words.PROBE)
    adapted = {words.FULL: "full", words.LORA: "lora", words.IA3: "ia3"}
    found.works += [word for word, recipe in adapted.items() if _learns(checkpoint, tokeniser, recipe)]
    if _tells_likelihoods(checkpoint, tokeniser):
        found.works.append(words.ZERO_SHOT)
    return found


@torch.no_grad()
def _embeds(checkpoint: Checkpoint, tokeniser: ResidueTokeniser) -> bool:
    """Whether it reads each protein beside another, longer one as alone."""
    model = build_model(checkpoint, tiny_task("sequence-classification"), load_recipe("probe"), tokeniser, 0).eval()
    together = model(*batch(tokeniser, SEQUENCES)).logits
    alone = [model(*batch(tokeniser, [sequence])).logits[0] for sequence in SEQUENCES]
    torch.testing.assert_close(together, torch.stack(alone), atol=1e-4, rtol=1e-3)
    return True


def _learns(checkpoint: Checkpoint, tokeniser: ResidueTokeniser, recipe: str) -> bool:
    """Whether a loss has gradients for what the recipe trains: all of the encoder, or the adapter and nothing else of it."""
    try:
        model = build_model(checkpoint, tiny_task("sequence-classification"), load_recipe(recipe), tokeniser, 0)
    except UserError as error:
        assert "adapter" in str(error), error
        return False
    (model.eval()(*batch(tokeniser, SEQUENCES)).logits ** 2).sum().backward()
    learns = {n for n, p in model.encoder.named_parameters() if p.grad is not None and bool(p.grad.abs().sum() > 0)}
    layers = {n for n in learns if n.endswith("weight") or is_adapter(n)}
    return bool(layers) and all(map(is_adapter, layers)) == (recipe != "full")


@torch.no_grad()
def _tells_likelihoods(checkpoint: Checkpoint, tokeniser: ResidueTokeniser) -> bool:
    """Whether the head of its pre-training tells those of a residue: one that is masked or, of a decoder, the next."""
    if not tokeniser.aligned:
        return False
    ids, attended = batch(tokeniser, SEQUENCES[:1])
    try:
        model = load_masked_lm(checkpoint)
        require_mask(tokeniser, checkpoint.name)
        ids[0, 3] = int(hidden_tokens(tokeniser, "#")[0])
    except UserError:
        try:
            model = load_causal_lm(checkpoint)
        except UserError:
            return False
        if context_of(model.base_model, tokeniser, torch.device("cpu")).follows:
            return False
    logits = model(input_ids=ids, attention_mask=attended).logits[0, 3]
    return bool(logits.isfinite().all()) and float(logits.std()) > 0


@pytest.mark.parametrize("row", ROWS, ids=ids)
def test_a_row_says_what_its_checkpoint_is_seen_to_do(row: Published, tmp_path: Path) -> None:
    assert row.key in KINDS, f"write a tiny checkpoint of {row.title} into tests/kinds_of_checkpoints.py"
    folder = write_kind(tmp_path / row.key, row.key)
    found = seen(folder, row.remote_code)
    assert (found.refused, found.protocol, found.ending) == (row.refused, row.protocol, row.ending)
    assert tuple(found.works) == row.works
    assert (row.tried == words.NOT_TRIED) == bool(row.refused)
    config = json.loads((folder / "config.json").read_text())
    assert config["model_type"] == row.model_type
    # It stands with the family that reads it, or with none.
    assert row in (*family_of(config).published, *WITHOUT_FAMILY)


def test_a_row_that_says_real_vocabulary_has_the_tokens_of_that(tmp_path: Path) -> None:
    from transformers import AutoTokenizer, EsmcTokenizer
    from transformers.models.esm.configuration_esm import get_default_vocab_list

    def in_order(vocabulary: dict[str, int]) -> list[str]:
        return sorted(vocabulary, key=vocabulary.__getitem__)

    shipped = {"esm2": list(get_default_vocab_list()), "esmc": in_order(EsmcTokenizer().get_vocab())}
    for row in ROWS:
        if row.tried not in (words.REAL_VOCABULARY, words.REAL_WEIGHTS):
            assert row.tokens is None, row.key
            continue
        vocabulary = AutoTokenizer.from_pretrained(write_kind(tmp_path / row.key, row.key)).get_vocab()
        assert len(vocabulary) == row.tokens, row.key
        if row.key in shipped:
            assert in_order(vocabulary) == shipped[row.key]


@pytest.mark.parametrize("row", [row for row in ROWS if row.tried == words.REAL_WEIGHTS], ids=lambda row: row.key)
def test_a_row_that_says_real_weights_is_seen_with_them(row: Published) -> None:
    assert row.key in REAL_WEIGHTS, f"{row.title}: say where its weights are, in tests/kinds_of_checkpoints.py"
    folder = REAL_WEIGHTS[row.key]
    if folder is None:
        pytest.skip("the weights are not here: name their folder in BENCH_REAL_ESM2")
    works = tuple(seen(folder).works)
    with safe_open(folder / "model.safetensors", framework="np") as weights:
        has_head = any("lm_head" in name for name in weights.keys())  # noqa: SIM118
    assert works == tuple(word for word in row.works if has_head or word != words.ZERO_SHOT)
    # Of an encoder alone the row says so.
    assert has_head or "real weights of the encoder" in row.notes


def test_a_name_on_the_hub_is_of_one_kind_and_says_nothing_of_what_others_trained_on() -> None:
    assert len(set(ids)) == len(ids)
    for row in ROWS:
        for name in row.names:
            assert published_as(name.replace("*", "1")) == row, name
    assert published_as("somebody/esm2_t6_8M_UR50D-finetuned") is None
    assert published_as("facebook/ESM2_t6_8m_UR50D") == published_as("facebook/esm2_t6_8M_UR50D")


def test_a_family_of_somebodys_own_brings_its_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = Published("mine", "Mine", ("lab/mine-*",), "mine", licence="MIT")
    monkeypatch.setattr(known_families, "_brought", [])
    known_families.register(Family("mine", published=(mine,)))
    assert published_kinds()[0] == mine == published_as("lab/mine-8M")
    # What a family says of its checkpoints changes no number.
    assert Family("mine", published=(mine,)).digest == Family("mine").digest

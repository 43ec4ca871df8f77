"""What a residue sees of its protein: measured on the model, not read in its configuration."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tiny_checkpoints import FAMILIES, write_checkpoint
from tiny_decoders import DECODERS, write_decoder, write_protgpt2

from hubtools.models import ResidueTokeniser, resolve_checkpoint
from hubtools.models.encoder import load_encoder
from hubtools.specs.record import ContextFacts
from hubtools.training.compute.context import context_of
from hubtools.training.compute.device import Execution
from hubtools.training.compute.engine import engine

CPU = torch.device("cpu")


def measured(folder: Path) -> ContextFacts:
    checkpoint = resolve_checkpoint(str(folder))
    return context_of(load_encoder(checkpoint), ResidueTokeniser.from_checkpoint(checkpoint), CPU)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_residue_of_an_encoder_sees_all_of_its_protein(tmp_path: Path, family: str) -> None:
    found = measured(write_checkpoint(tmp_path / family, family))
    assert found.follows and found.change and found.change > 1e-4
    assert str(found) == "a residue sees all of its protein"


@pytest.mark.parametrize("kind", DECODERS)
def test_a_residue_of_a_decoder_does_not_see_what_follows(tmp_path: Path, kind: str) -> None:
    found = measured(write_decoder(tmp_path / kind, kind))
    assert not found.follows and found.precedes and found.change == 0
    assert "nothing of what follows" in str(found)


def test_pieces_of_several_residues_are_measured_as_tokens(tmp_path: Path) -> None:
    assert not measured(write_protgpt2(tmp_path / "m")).follows


def test_what_is_said_in_the_configuration_does_not_count(tmp_path: Path) -> None:
    """A BERT that was told to be a decoder is one; a decoder whose mask is taken away is none."""
    settings = write_checkpoint(tmp_path / "bert", "bert") / "config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"is_decoder": True}))
    assert not measured(settings.parent).follows
    plain = resolve_checkpoint(str(write_decoder(tmp_path / "gpt2")))
    decoder = load_encoder(plain)

    def both_ways(input_ids: torch.Tensor, **options: object) -> SimpleNamespace:
        states = decoder(input_ids=input_ids, **options).last_hidden_state
        back = decoder(input_ids=input_ids.flip(1), **options).last_hidden_state.flip(1)
        return SimpleNamespace(last_hidden_state=states + back)

    class Both(torch.nn.Module):
        forward = staticmethod(both_ways)

    assert context_of(Both(), ResidueTokeniser.from_checkpoint(plain), CPU).follows


def test_an_encoder_that_looks_at_nothing_else_is_told_from_a_decoder(tmp_path: Path) -> None:
    plain = resolve_checkpoint(str(write_decoder(tmp_path / "gpt2")))

    class Alone(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = torch.nn.Embedding(30, 8)

        def forward(self, input_ids: torch.Tensor, **_: object) -> SimpleNamespace:
            return SimpleNamespace(last_hidden_state=self.embed(input_ids))

    found = context_of(Alone(), ResidueTokeniser.from_checkpoint(plain), CPU)
    assert (found.follows, found.precedes, str(found)) == (False, False, "a residue sees no other residue")


def test_the_engine_measures_it(tmp_path: Path) -> None:
    checkpoint = resolve_checkpoint(str(write_decoder(tmp_path / "m")))
    model, tokeniser = SimpleNamespace(encoder=load_encoder(checkpoint)), ResidueTokeniser.from_checkpoint(checkpoint)
    with engine(model, tokeniser, Execution(CPU, 512), bf16=False, trains=False) as made:
        assert made.context is not None and not made.context.follows

"""The demonstration leaderboard: weights of packages read as transformers names them, the runs that it asks for, what is committed."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

from hubtools.specs.lookup.content import shipped_root
from hubtools.specs.lookup.spec_files import load_suite

pytestmark = pytest.mark.slow
BENCHMARKS = shipped_root() / "benchmarks"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import leaderboard

    return leaderboard


def test_fairseqs_names_become_those_of_transformers(script, tmp_path: Path) -> None:
    """Against transformers itself: a model of known logits is written as fairseq would, and read back."""
    import torch
    from transformers import AutoModelForMaskedLM, AutoTokenizer, RobertaConfig, RobertaForMaskedLM

    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=25, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=20, type_vocab_size=1, layer_norm_eps=1e-5,
    )  # fmt: skip
    model = RobertaForMaskedLM(config).eval()
    with torch.no_grad():
        model.roberta.embeddings.token_type_embeddings.weight.zero_()
    names = {"roberta.embeddings.word_embeddings": "embed_tokens", "roberta.embeddings.LayerNorm": "emb_layer_norm"}
    names["roberta.embeddings.position_embeddings"] = "embed_positions"
    for layer in range(2):
        for theirs, ours in script._ROBERTA_LAYER.items():
            names[f"roberta.encoder.layer.{layer}.{ours}"] = f"layers.{layer}.{theirs}"
    theirs = {}
    for name, tensor in model.state_dict().items():
        module, _, kind = name.rpartition(".")
        if module in names:
            theirs[f"decoder.sentence_encoder.{names[module]}.{kind}"] = tensor
        elif name.startswith("lm_head") and "decoder" not in name:
            theirs[f"decoder.{name}"] = tensor
    theirs["decoder.lm_head.weight"] = model.lm_head.decoder.weight
    options = Namespace(encoder_layers=2, encoder_attention_heads=2, encoder_ffn_embed_dim=32)
    tensors, about = script._roberta({"model": theirs, "args": options})
    script.write_checkpoint(tmp_path / "made", tensors, about, script._letters, "mit")
    again = AutoModelForMaskedLM.from_pretrained(tmp_path / "made").eval()
    inputs = AutoTokenizer.from_pretrained(tmp_path / "made")("ACDWY", return_tensors="pt")
    assert inputs["input_ids"].tolist() == [[0, 4, 5, 6, 22, 23, 2]]
    with torch.no_grad():
        assert torch.equal(again(**inputs).logits, model(**inputs).logits)


def test_the_whole_catalogue_is_asked_for(script) -> None:
    wanted = script.runs_wanted(["embedded"], 50, range(1, 4))
    probes = [run for run in wanted if run.recipe.name == "probe"]
    tasks = load_suite("catalogue").tasks
    assert len(probes) == 3 * len(tasks) and {run.task.name for run in probes} == set(tasks)
    assert {run.seed for run in wanted if run.recipe.name == "random-probe"} == {1, 2}
    assert {run.subset for run in wanted} == {50}


def test_what_is_committed_says_that_it_is_a_demonstration(script) -> None:
    import hubtools

    page = (script.HERE / "site" / "index.html").read_text()
    assert script.NOTICE in page
    board = hubtools.board(str(script.HERE / "results"))
    assert {table.question.task for table in board.tables} == set(load_suite("catalogue").tasks)
    # What is listed is records: neither weights nor rows of anybody's data.
    size = sum(path.stat().st_size for path in script.HERE.rglob("*") if path.is_file())
    assert size < 8e6


def test_what_has_a_record_is_not_run_again(script) -> None:
    """Of the embedded checkpoint everything was run; another checkpoint has no record."""
    wanted = script.runs_wanted(["embedded"], 200, range(1, 11))
    assert len(wanted) > 300 and not script.without_a_record(wanted)
    assert len(script.without_a_record(script.runs_wanted(["folder/new"], 200, range(1, 3)))) > 2 * 27
    assert len(script.without_a_record(script.runs_wanted(["embedded"], 100, range(1, 3)))) > 2 * 27

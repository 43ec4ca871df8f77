"""The model under every checkpoint: complete, float32, blind to padding; saved so that a stranger can load it."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_checkpoints import FAMILIES, WITH_PROTOCOL, break_config, rounded_frequencies, write_checkpoint
from tiny_tasks import tiny_task

from hubtools.common.errors import UserError
from hubtools.models import ResidueTokeniser, build_model, load_model, resolve_checkpoint, save_model
from hubtools.models.encoder import load_encoder
from hubtools.models.modeling_protein_task import build_encoder
from hubtools.specs.lookup.spec_files import load_recipe

SEQUENCES = ["MKTAYIAKQRQISFVKSHFSRQ", "ACDEFG", "MW"]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp("families")
    return {f: resolve_checkpoint(str(write_checkpoint(folder / f, f, half=f == "t5"))) for f in FAMILIES}


def model_and_tokeniser(checkpoint, problem, **overrides):
    tokeniser = ResidueTokeniser.from_checkpoint(checkpoint)
    task = tiny_task(problem)
    return build_model(checkpoint, task, load_recipe("full", overrides), tokeniser, 0).eval(), tokeniser, task


def padded(tokeniser, sequences, extra=0):
    rows = [torch.from_numpy(tokeniser.with_special(tokeniser.encode(s))) for s in sequences]
    width = max(map(len, rows)) + extra
    ids = torch.full((len(rows), width), tokeniser.pad_id)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, : len(row)], mask[i, : len(row)] = row, 1
    return ids, mask


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_load_in_float32_even_from_a_half_precision_checkpoint(checkpoints, family):
    model, _, _ = model_and_tokeniser(checkpoints[family], "residue-classification")
    assert {p.dtype for p in model.parameters()} == {torch.float32}


@pytest.mark.parametrize("problem", ["residue-classification", "sequence-classification"])
@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_padding_and_neighbours_change_nothing(checkpoints, family, problem):
    model, tokeniser, task = model_and_tokeniser(checkpoints[family], problem)
    together = model(*padded(tokeniser, SEQUENCES, extra=5)).logits
    for i, sequence in enumerate(SEQUENCES):
        alone = model(*padded(tokeniser, [sequence])).logits[0]
        got = together[i, : len(alone)] if task.problem.level.by_residue else together[i]
        torch.testing.assert_close(got, alone, atol=2e-5, rtol=1e-4)


@torch.no_grad()
def test_a_protein_is_the_mean_over_its_residues_only(checkpoints):
    model, tokeniser, _ = model_and_tokeniser(checkpoints["bert"], "sequence-classification")
    ids, mask = padded(tokeniser, ["MKTAY"], extra=3)
    hidden = model.encoder(input_ids=ids, attention_mask=mask).last_hidden_state[0, 1:6]
    torch.testing.assert_close(model(ids, mask).logits[0], model.head(hidden.mean(0)))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("problem", ["residue-classification", "sequence-multilabel"])
@torch.no_grad()
def test_saved_model_gives_the_same_logits(checkpoints, family, problem, tmp_path):
    model, tokeniser, task = model_and_tokeniser(checkpoints[family], problem)
    save_model(model, tokeniser, task, tmp_path / "model")
    loaded, again = load_model(tmp_path / "model", task)
    ids, mask = padded(again, SEQUENCES)
    torch.testing.assert_close(loaded(ids, mask).logits, model(ids, mask).logits, atol=2e-5, rtol=1e-4)
    assert {p.suffix for p in (tmp_path / "model").iterdir()} <= {".json", ".safetensors", ".txt", ".py", ".model"}


@pytest.mark.parametrize("family", ["esm", "bert", "t5", "modernbert"])
@torch.no_grad()
def test_models_of_before_configurations_said_how_their_encoder_is_built_are_still_read(checkpoints, family, tmp_path):
    model, tokeniser, task = model_and_tokeniser(checkpoints[family], "sequence-multilabel")
    save_model(model, tokeniser, task, tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    saved = json.loads(path.read_text())
    said = (saved.pop("encoder_class"), saved.pop("encoder_pooler"))
    assert said == {"t5": ("T5EncoderModel", None), "modernbert": (None, None)}.get(family, (None, False))
    path.write_text(json.dumps(saved))
    ids, mask = padded(tokeniser, SEQUENCES)
    for shipped in (True, False):
        loaded, _ = load_model(tmp_path / "model", task, shipped_code=shipped)
        assert type(loaded.encoder) is type(model.encoder)
        assert loaded.encoder.state_dict().keys() == model.encoder.state_dict().keys()
        torch.testing.assert_close(loaded(ids, mask).logits, model(ids, mask).logits, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["pipeline", "AutoModel", "nothing"])
def test_no_name_in_a_model_calls_anything_but_a_model(checkpoints, name):
    model, _, _ = model_and_tokeniser(checkpoints["t5"], "sequence-multilabel")
    with pytest.raises(ValueError, match=f"transformers has no encoder {name}"):
        build_encoder(model.encoder.config, name)


@pytest.mark.parametrize(
    ("family", "problem"),
    [*((family, "pair-classification") for family in FAMILIES), ("esm", "pair-multilabel"), ("esm", "pair-regression")],
)
@torch.no_grad()
def test_the_order_of_two_proteins_makes_no_difference(checkpoints, family, problem, tmp_path):
    model, tokeniser, task = model_and_tokeniser(checkpoints[family], problem)
    ids, mask = padded(tokeniser, SEQUENCES)
    pairs = torch.tensor([[0, 1], [0, 2], [2, 2]])
    logits = model(ids, mask, pairs=pairs).logits
    assert torch.equal(logits, model(ids, mask, pairs=pairs.flip(1)).logits), "to the last bit"
    assert not torch.allclose(logits[0], logits[1]), "and the partner does"
    # By default the first two rows are a pair, and the next two.
    again = model(*padded(tokeniser, [SEQUENCES[0], SEQUENCES[1], SEQUENCES[2], SEQUENCES[0]])).logits
    torch.testing.assert_close(again, logits[:2], atol=2e-5, rtol=1e-4)
    save_model(model, tokeniser, task, tmp_path / "model")
    loaded, _ = load_model(tmp_path / "model", task)
    torch.testing.assert_close(loaded(ids, mask, pairs=pairs).logits, logits, atol=2e-5, rtol=1e-4)
    assert logits.shape == (3, 1 if problem == "pair-regression" else 2)


@torch.no_grad()
def test_a_pair_is_distance_product_and_sum_of_two_means(checkpoints):
    model, tokeniser, _ = model_and_tokeniser(checkpoints["bert"], "pair-classification")
    ids, mask = padded(tokeniser, ["MKTAY", "ACDEFG"], extra=3)
    hidden = model.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
    u, v = hidden[0, 1:6].mean(0), hidden[1, 1:7].mean(0)
    expected = model.head(torch.cat([(u - v).abs(), u * v, u + v]))
    torch.testing.assert_close(model(ids, mask).logits[0], expected)


@pytest.mark.parametrize("family", ["esm", "esm1b", "esmc", "bert", "t5", "ankh"])
def test_residue_models_are_saved_as_stock_transformers_classes(checkpoints, family, tmp_path):
    model, tokeniser, task = model_and_tokeniser(checkpoints[family], "residue-classification")
    save_model(model, tokeniser, task, tmp_path / "model")
    assert not (tmp_path / "model" / "modeling_protein_task.py").exists()
    from transformers import AutoModelForTokenClassification

    plain = AutoModelForTokenClassification.from_pretrained(tmp_path / "model")
    assert plain.config.id2label == {0: "other", 1: "aromatic"}


def test_missing_weights_are_refused(tmp_path):
    folder = write_checkpoint(tmp_path / "esm", "esm")
    weights = load_file(folder / "model.safetensors")
    weights.pop(next(k for k in weights if "layer.1.attention.self.query.weight" in k))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"1 weights of EsmModel are not in it.*query"):
        load_encoder(resolve_checkpoint(str(folder)))


def test_unknown_architecture_is_refused_with_the_reason(tmp_path):
    folder = write_checkpoint(tmp_path / "esm", "esm")
    break_config(folder, model_type="protein-transformer-9000")
    with pytest.raises(UserError, match="does not know the architecture 'protein-transformer-9000'"):
        load_encoder(resolve_checkpoint(str(folder)))


def test_random_weights_differ_from_the_checkpoint_and_follow_the_seed(checkpoints):
    name = "encoder.layer.0.attention.self.query.weight"

    def weight(**options):
        return load_encoder(checkpoints["esm"], **options).state_dict()[name]

    assert not torch.equal(weight(weights="random", seed=1), weight())
    assert torch.equal(weight(weights="random", seed=1), weight(weights="random", seed=1))
    assert not torch.equal(weight(weights="random", seed=1), weight(weights="random", seed=2))


def test_native_head_is_the_architectures_own(checkpoints):
    model, _, _ = model_and_tokeniser(checkpoints["esm"], "sequence-classification", **{"head.kind": "native"})
    assert type(model.model).__name__ == "EsmForSequenceClassification"


def test_native_head_that_would_leave_a_random_decoder_is_refused(checkpoints):
    with pytest.raises(UserError, match="weights of the model itself untrained"):
        model_and_tokeniser(checkpoints["t5"], "sequence-classification", **{"head.kind": "native"})


@pytest.mark.parametrize("family", [*FAMILIES, WITH_PROTOCOL])
def test_a_saved_tokenizer_has_names_that_transformers_4_knows_and_reads_as_before(family, tmp_path):
    checkpoint = resolve_checkpoint(str(write_checkpoint(tmp_path / family, family)))
    model, tokeniser, task = model_and_tokeniser(checkpoint, "residue-classification")
    save_model(model, tokeniser, task, tmp_path / "model")
    said = json.loads((tmp_path / "model" / "tokenizer_config.json").read_text())
    # transformers 4.57 has classes of these names (but no ESM C), takes extra_special_tokens for a dictionary, and has
    # the last one make token_type_ids, which T5 and ModernBERT refuse, unless it is told what to make.
    names = {"esm": "EsmTokenizer", "esm1b": "EsmTokenizer", "bert": "BertTokenizer", "esmc": "EsmcTokenizer"}
    assert said["tokenizer_class"] == names.get(family, "PreTrainedTokenizerFast")
    if said["tokenizer_class"] == "PreTrainedTokenizerFast":
        assert said["model_input_names"] == ["input_ids", "attention_mask"]
    assert "extra_special_tokens" not in said
    assert (said.get("additional_special_tokens") == ["<fold2AA>", "<AA2fold>"]) == (family == WITH_PROTOCOL)
    from transformers import AutoTokenizer

    before, again = (AutoTokenizer.from_pretrained(folder) for folder in (tmp_path / family, tmp_path / "model"))
    assert (type(again), again.all_special_ids) == (type(before), before.all_special_ids)
    for text in ("MKTAYU", "M K T A Y U", "<AA2fold> M K", "mkt J"):
        assert again(text)["input_ids"] == before(text)["input_ids"]


@pytest.mark.parametrize("problem", ["residue-classification", "sequence-classification"])
@torch.no_grad()
def test_rotary_positions_that_are_not_the_defaults_are_said_as_transformers_4_reads_them(problem, tmp_path):
    from transformers import ModernBertConfig, ModernBertForMaskedLM

    settings = {"global_rope_theta": 700.0, "local_rope_theta": 30.0, "global_attn_every_n_layers": 2}
    folder = write_checkpoint(tmp_path / "modernbert", "modernbert")
    config = ModernBertConfig(
        vocab_size=26, hidden_size=16, intermediate_size=32, num_hidden_layers=5, num_attention_heads=2,
        pad_token_id=0, bos_token_id=2, eos_token_id=3, cls_token_id=2, sep_token_id=3, **settings,
    )  # fmt: skip
    ModernBertForMaskedLM(config).save_pretrained(folder)
    for overrides in ({}, {"head.kind": "native"}):
        model, tokeniser, task = model_and_tokeniser(resolve_checkpoint(str(folder)), problem, **overrides)
        saved = tmp_path / f"model{len(overrides)}"
        save_model(model, tokeniser, task, saved)
        said = json.loads((saved / "config.json").read_text())
        said = said.get("encoder", said)
        assert {name: said[name] for name in settings} == settings
        loaded, again = load_model(saved, task)
        ids, mask = padded(again, SEQUENCES)
        torch.testing.assert_close(loaded(ids, mask).logits, model(ids, mask).logits, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("problem", "before"), [("residue-classification", "esm"), ("sequence-classification", "encoder")]
)
@torch.no_grad()
def test_the_rounded_rotary_frequencies_of_esm2_are_saved_once_a_layer_as_its_authors_do(problem, before, tmp_path):
    folder = rounded_frequencies(write_checkpoint(tmp_path / "esm", "esm", width=32))
    name = "encoder.layer.{}.attention.self.rotary_embeddings.inv_freq"
    authors = load_file(folder / "model.safetensors")[f"esm.{name.format(0)}"]
    exact = 1 / 10000 ** (torch.arange(0, 16, 2) / 16)
    assert not torch.equal(authors, exact)
    model, tokeniser, task = model_and_tokeniser(resolve_checkpoint(str(folder)), problem)
    save_model(model, tokeniser, task, tmp_path / "model")
    saved = load_file(tmp_path / "model" / "model.safetensors")
    # transformers 4 and the classes for Keras look there, and compute exact ones where they find nothing.
    assert {key for key in saved if "inv_freq" in key} == {f"{before}.{name.format(layer)}" for layer in (0, 1)}
    assert all(torch.equal(value, authors) for key, value in saved.items() if "inv_freq" in key)
    for shipped in (True, False):
        loaded, again = load_model(tmp_path / "model", task, shipped_code=shipped)
        assert torch.equal(loaded.encoder.rotary_embeddings.inv_freq, authors)
        ids, mask = padded(again, SEQUENCES)
        assert torch.equal(loaded(ids, mask).logits, model(ids, mask).logits)

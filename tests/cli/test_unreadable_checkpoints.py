"""What a checkpoint cannot read is refused in one line, before anything is trained or predicted."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sample_records import relisted
from tiny_checkpoints import write_checkpoint, write_own_code
from tiny_decoders import write_decoder, write_protgpt2
from tiny_project import write_project
from tiny_runs import made
from transformers import EsmModel

from hubtools.common.errors import UserError
from hubtools.inference.named_model import open_predictor
from hubtools.inference.predictor import Protein
from hubtools.runs.store import find_records

pytestmark = pytest.mark.slow
RESIDUES, PROTEINS = "residue-classification", "sequence-classification"
GROUPS = "groups of equal length: its encoder does not ignore padding, in a batch a protein differs by "
VARIANTS = """\
name: effects
version: 1
title: Effects
problem: variant-effect
summary: Which survive?
data:
  source: file
  files: [{path: v.csv}]
  columns: {mutant: mutant, label: fitness, reference: wild}
  splits: {test: {where: {set: test}}}
metrics: {primary: spearman}
licence: CC0-1.0
citation: none
"""
Bench = Callable[..., tuple[int, str, str]]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("BENCH_DATA_MIRROR", raising=False)
    folder = write_project(tmp_path / "project", RESIDUES, PROTEINS)
    monkeypatch.chdir(folder)
    return folder


def mistakes(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(("error: ", "failed: "))]


def run(bench: Bench, checkpoint: str, task: str, recipe: str, *more: str) -> tuple[int, list[str]]:
    code, _, err = bench(
        "run", "--checkpoint", checkpoint, "--task", task, "--recipe", recipe, "--seed", "1", "--device", "cpu", *more
    )
    return code, mistakes(err)


@pytest.mark.parametrize("recipe", ["full", "probe"])
@pytest.mark.parametrize("task", [RESIDUES, PROTEINS])
def test_an_encoder_that_attends_to_padding_reads_groups_of_equal_length_and_says_so(
    project: Path, bench: Bench, recipe: str, task: str
) -> None:
    write_own_code(project / "blind", reads_mask=False)
    code, _, err = bench(
        *("run", "--checkpoint", "./blind", "--task", f"tiny-{task}", "--recipe", recipe, "--seed", "1"),
        *("--device", "cpu", "--trust-remote-code", "--set", "epochs=1"),
    )
    assert (code, mistakes(err)) == (0, [])
    assert GROUPS in " ".join(err.split())
    [(folder, record)], _ = find_records([project / "runs"])
    assert record.environment.layout == "grouped" and record.together is not None
    assert record.together.layout == "grouped" and GROUPS in record.together.why
    card = (folder / "card" / "README.md").read_text()
    assert "in groups of equal length: at most" in card and "Padding does change what this encoder computes" in card


def test_the_same_architecture_runs_where_it_leaves_padding_out(project: Path, bench: Bench) -> None:
    write_own_code(project / "sees", reads_mask=True)
    assert run(bench, "./sees", f"tiny-{RESIDUES}", "probe", "--trust-remote-code", "--set", "epochs=1") == (0, [])


def test_variants_are_scored_in_groups_where_padding_is_read(project: Path, bench: Bench) -> None:
    (project / "tasks" / "effects.yaml").write_text(VARIANTS)
    rows = ["mutant,fitness,wild,set", *(f"K2{letter},0.{i},MKTAYIAKQR,test" for i, letter in enumerate("ACDEFG"))]
    (project / "tasks" / "v.csv").write_text("\n".join(rows) + "\n")
    layouts = {}
    for name, reads_mask in (("blind", False), ("sees", True)):
        write_own_code(project / name, reads_mask=reads_mask)
        assert run(bench, f"./{name}", "effects", "wildtype-marginals", "--trust-remote-code") == (0, [])
        found, _ = find_records([project / "runs"])
        record = next(record for _, record in found if record.subject == name)
        assert record.tokens is not None and (record.tokens.total, record.tokens.unknown) == (10, 0)
        layouts[name] = record.environment.layout
    assert layouts == {"blind": "grouped", "sees": "padded"}


def test_the_check_of_a_task_says_it_too(project: Path, bench: Bench) -> None:
    for name, reads_mask in (("blind", False), ("sees", True)):
        write_own_code(project / name, reads_mask=reads_mask)
    check = ("tasks", "check", f"tiny-{PROTEINS}", "--trust-remote-code", "--checkpoint")
    code, out, _ = bench(*check, "./blind")
    assert code == 0 and "in groups of equal length: at most" in out and GROUPS in " ".join(out.split())
    code, out, _ = bench(*check, "./sees")
    assert code == 0 and "residues padded: at most" in " ".join(out.split()) and "is in order" in out


@pytest.mark.parametrize("many", [False, True], ids=["the page", "bench predict"])
def test_a_model_that_reads_padding_predicts_in_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, many: bool
) -> None:
    """As one would that was trained before padding was looked at."""
    folder = made(tmp_path, RESIDUES)
    [expected] = open_predictor(str(folder)).predict([Protein("p", "MKTAY")])
    right = EsmModel.forward

    def blind(self: Any, input_ids: Any = None, attention_mask: Any = None, **options: Any) -> Any:
        return right(self, input_ids=input_ids, attention_mask=None, **options)

    monkeypatch.setattr(EsmModel, "forward", blind)
    asked = [Protein("p", "MKTAY"), Protein("q", "MKTAYIAKQRQISFVKSHFSRQ")]
    predictor = open_predictor(str(folder))
    for _ in range(2):
        [first, _] = predictor.predict(asked, many=many)
        assert first.scores == pytest.approx(expected.scores, abs=1e-5)


def break_weight(folder: Path, end: str) -> str:
    """Make a number of a weight NaN; its name."""
    import torch
    from safetensors.torch import load_file, save_file

    state = load_file(folder / "model.safetensors")
    name = next(key for key in state if key.endswith(end))
    state[name].view(-1)[0] = torch.nan
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    return name


def test_weights_that_are_not_numbers_are_named(project: Path, bench: Bench) -> None:
    name = break_weight(write_checkpoint(project / "esm", "esm"), "layer.0.output.dense.weight")
    code, [line] = run(bench, "./esm", f"tiny-{PROTEINS}", "full")
    assert code == 2 and "its weights hold NaN" in line and name.removeprefix("esm.") in line
    assert "learning_rate" not in line
    code, out, err = bench("tasks", "check", f"tiny-{PROTEINS}", "--checkpoint", "./esm")
    assert (code, mistakes(err)) == (2, [line]) and "in order" not in out


def test_weights_of_the_language_model_are_looked_at_where_it_is_asked(project: Path, bench: Bench) -> None:
    (project / "tasks" / "effects.yaml").write_text(VARIANTS)
    rows = ["mutant,fitness,wild,set", *(f"K2{letter},0.{i},MKTAYIAKQR,test" for i, letter in enumerate("ACDEFG"))]
    (project / "tasks" / "v.csv").write_text("\n".join(rows) + "\n")
    write_checkpoint(project / "esm", "esm")
    code, out, _ = bench("tasks", "check", "effects", "--checkpoint", "./esm")
    assert code == 0 and "effects is in order" in out
    break_weight(project / "esm", "lm_head.dense.weight")
    code, [line] = run(bench, "./esm", "effects", "masked-marginals")
    assert code == 2 and line.startswith("error: esm: its weights hold NaN (first: lm_head.dense.weight")
    code, out, err = bench("tasks", "check", "effects", "--checkpoint", "./esm")
    assert (code, mistakes(err)) == (2, [line]) and "in order" not in out


def test_a_decoder_is_told_by_what_it_can_be_asked(project: Path, bench: Bench) -> None:
    (project / "tasks" / "effects.yaml").write_text(VARIANTS)
    (project / "tasks" / "v.csv").write_text(
        "mutant,fitness,wild,set\nK2A,0.1,MKTAYIAKQR,test\nK2C,0.2,MKTAYIAKQR,test\n"
    )
    write_decoder(project / "gpt2")
    code, out, err = bench("tasks", "check", "effects", "--checkpoint", "./gpt2")
    text = " ".join(out.split())
    assert code == 0, err
    assert "not to be had (the architecture gpt2 has no masked-language-model head); log-likelihoods are" in text
    assert "context with gpt2: a residue sees what comes before it, and nothing of what follows" in text
    code, [line] = run(bench, "./gpt2", "effects", "wildtype-marginals")
    assert code == 2 and line.endswith("use --recipe log-likelihood, if it is a decoder.")
    write_protgpt2(project / "pieces")
    code, [line] = run(bench, "./pieces", "effects", "log-likelihood")
    assert (
        code == 2
        and "its tokenizer is not one token per residue (its vocabulary has pieces of several residues" in line
    )


def test_a_padding_token_without_an_embedding_is_none(project: Path, bench: Bench) -> None:
    from transformers import AutoTokenizer

    folder = write_checkpoint(project / "esm", "esm")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    tokenizer.save_pretrained(folder)
    assert run(bench, "./esm", f"tiny-{PROTEINS}", "probe", "--set", "epochs=1") == (0, [])
    code, out, err = bench("tasks", "check", f"tiny-{PROTEINS}", "--checkpoint", "./esm")
    assert code == 0 and "batches of esm: " in out and "is in order" in out
    assert "padding token [PAD] (33) is none of the 33 that its weights have embeddings of: <pad> is used" in err


# Vocabularies


def with_vocabulary(folder: Path, tokenizer: Any) -> None:
    """A BERT whose tokenizer is this one."""
    from transformers import BertConfig, BertForMaskedLM

    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=512,
    )
    BertForMaskedLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def letters(known: str, *special: str) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces, unknown = ["<pad>", *special, *known], "<unk>" if "<unk>" in special else None
    tokenizer = Tokenizer(models.WordLevel({piece: i for i, piece in enumerate(pieces)}, unk_token=unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", unk_token=unknown)


def byte_pairs(texts: list[str]) -> Any:
    from tokenizers import Tokenizer, models, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=60, special_tokens=["<pad>", "<unk>"]))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>")


def test_a_checkpoint_of_nucleotides_finishes_no_task_of_proteins(project: Path, bench: Bench) -> None:
    with_vocabulary(project / "dna", letters("ACGTN", "<unk>"))
    code, [line] = run(bench, "./dna", f"tiny-{PROTEINS}", "probe")
    assert code == 2
    found = re.fullmatch(
        r"error: dna: (\d+) % of the tokens of these proteins are unknown to its vocabulary: it lacks D, E, F, .*", line
    )
    # 16 of the twenty letters are none of the four bases, and the sequences are random.
    assert found is not None and 70 < int(found[1]) < 90
    assert not list(project.glob("runs/*/predictions.parquet"))
    code, _, err = bench("tasks", "check", f"tiny-{PROTEINS}", "--checkpoint", "./dna")
    assert (code, mistakes(err)) == (2, [line])
    code, [line] = run(bench, "./dna", f"tiny-{RESIDUES}", "probe")
    assert code == 2 and "not one token per residue" in line


def test_a_tokenizer_that_lower_cases_is_named_before_anything_else(project: Path, bench: Bench) -> None:
    folder = write_checkpoint(project / "bert", "bert")
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    says = "error: bert: its tokenizer lower-cases, the vocabulary has upper case. Set do_lower_case to false"
    for task in (PROTEINS, RESIDUES):
        code, [line] = run(bench, "./bert", f"tiny-{task}", "probe")
        assert code == 2 and line.startswith(says)


def test_subwords_are_read_as_they_are_and_their_unknown_ones_counted(project: Path, bench: Bench) -> None:
    """The vocabulary lacks W: what stands for it is counted, on the record and on the card."""
    rows = (project / "tasks" / f"{PROTEINS}.csv").read_text().splitlines()[1:]
    sequences = [row.split(",")[1] for row in rows]
    tokenizer = byte_pairs([sequence.replace("W", "") for sequence in sequences])
    with_vocabulary(project / "bpe", tokenizer)
    task = project / "tasks" / f"{PROTEINS}.csv"
    # One W in a hundred residues is left.
    kept = [sequence.replace("W", "Y") + "W" * (i % 4 == 0) for i, sequence in enumerate(sequences)]
    for old, new in zip(sequences, kept, strict=True):
        task.write_text(task.read_text().replace(old, new))
    assert run(bench, "./bpe", f"tiny-{PROTEINS}", "probe", "--set", "epochs=1") == (0, [])
    [(folder, record)], _ = find_records([project / "runs"])
    own = [tokenizer.tokenize(sequence) for sequence in kept]
    assert record.alignment is None and record.tokens is not None
    assert record.tokens.total == sum(map(len, own)) < sum(map(len, kept))
    assert record.tokens.unknown == sum(token == "<unk>" for tokens in own for token in tokens) > 0
    card = (folder / "card" / "README.md").read_text()
    assert f"**{record.tokens.unknown} of {record.tokens.total:,} tokens are unknown to the vocabulary**" in card
    [answer] = open_predictor(str(folder)).predict([Protein("p", kept[0])])
    assert answer.scores.sum() == pytest.approx(1)
    code, [line] = run(bench, "./bpe", f"tiny-{RESIDUES}", "probe")
    assert code == 2 and "its vocabulary has pieces of several residues, such as" in line


def test_a_model_that_was_trained_letter_by_letter_on_subwords_predicts_nothing(tmp_path: Path) -> None:
    """Runs from before had a proof of alignment that cut words into letters."""
    folder = made(tmp_path, PROTEINS)
    byte_pairs(["MKTAYIAKQRLLLL"] * 50).save_pretrained(folder / "model")
    (folder / "model" / "vocab.txt").unlink(missing_ok=True)
    with pytest.raises(UserError, match=r"learnt residues as single tokens.* pieces of several residues"):
        open_predictor(str(relisted(folder)))


def test_a_vocabulary_without_an_unknown_token_reads_what_it_has_and_names_what_it_lacks(
    project: Path, bench: Bench
) -> None:
    with_vocabulary(project / "twenty", letters("ACDEFGHIKLMNPQRSTVWY"))
    check = ("tasks", "check", f"tiny-{PROTEINS}", "--checkpoint", "./twenty")
    assert run(bench, "./twenty", f"tiny-{PROTEINS}", "probe", "--set", "epochs=1") == (0, [])
    code, out, _ = bench(*check)
    assert code == 0 and "is in order" in out
    table = project / "tasks" / f"{PROTEINS}.csv"
    first = table.read_text().splitlines()[1].split(",")[1]
    table.write_text(table.read_text().replace(first, f"U{first}"))
    code, [line] = run(bench, "./twenty", f"tiny-{PROTEINS}", "probe", "--set", "epochs=1")
    assert code == 2
    assert line.startswith(
        "error: twenty: 'U' at residue 1 is not in its vocabulary, which has neither X nor an unknown"
    )
    code, out, err = bench(*check)
    assert (code, mistakes(err)) == (2, [line]) and "in order" not in out


def test_letters_that_protbert_never_learnt_are_said_to_be_read_as_x(project: Path, bench: Bench) -> None:
    write_checkpoint(project / "bert", "bert")
    table = project / "tasks" / f"{PROTEINS}.csv"
    first = table.read_text().splitlines()[1].split(",")[1]
    table.write_text(table.read_text().replace(first, f"{first}uuzOB"))
    code, out, _ = bench("tasks", "check", f"tiny-{PROTEINS}", "--checkpoint", "./bert")
    assert code == 0 and "shown as X: B 1, O 1, U 2, Z 1" in out.replace("\n", " ")
    assert run(bench, "./bert", f"tiny-{PROTEINS}", "probe", "--set", "epochs=1") == (0, [])
    [(folder, record)], _ = find_records([project / "runs"])
    assert record.alignment is not None and record.alignment.letters == "ACDEFGHIKLMNPQRSTVWXY"
    card = (folder / "card" / "README.md").read_text()
    assert "B (1), O (1), U (2), Z (1)" in card and 're.sub("[BJOUZ]", "X", sequence)' in card

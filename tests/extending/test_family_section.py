"""A family of one object, as docs/extending.md shows it, goes through everything that asks about families."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from sample_records import FULL, LOCALISATION, make_record
from tiny_checkpoints import write_checkpoint
from tiny_runs import made
from tiny_tasks import tiny_task

from hubtools.common.errors import UserError
from hubtools.common.hashing import file_sha256
from hubtools.inference.named_model import open_predictor
from hubtools.inference.predictor import Protein
from hubtools.models import Checkpoint, ResidueTokeniser, build_model, resolve_checkpoint
from hubtools.models.encoder import checkpoint_facts, load_encoder
from hubtools.models.families import SPACED, Family, Spelling, bringer, family_of, known_families, register
from hubtools.models.families.esm import ESM
from hubtools.models.masked_lm import load_masked_lm
from hubtools.reporting.card import citation
from hubtools.reporting.card.snippet import EXAMPLE, pipeline_snippet, usage_snippet
from hubtools.runs.store import MODEL, read_record
from hubtools.specs.lookup.spec_files import load_recipe
from hubtools.training.compute.device import Execution
from hubtools.training.compute.engine import engine
from hubtools.training.compute.together import APART

PAGE = Path(__file__).resolve().parents[2] / "docs" / "extending.md"
SEQUENCES = ["MKTAYIAKQR", "W", "ACDEFGHIKLMNPQRSTVWYX", "MUBZOJX"]


def code_of_the_page() -> str:
    """The first block of Python of the section."""
    section = PAGE.read_text(encoding="utf-8").split("\n## A checkpoint family\n")[1].split("\n## ")[0]
    return re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)[0]


@pytest.fixture(autouse=True)
def nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only bench's own families, and what a test registers."""
    monkeypatch.setattr(known_families, "_brought", [])
    monkeypatch.setattr(known_families, "_looked", [])
    monkeypatch.setattr(known_families, "_bringers", {})
    monkeypatch.delenv("BENCH_FAMILIES", raising=False)


@pytest.fixture
def slashed() -> Family:
    found: dict[str, Any] = {}
    exec(compile(code_of_the_page(), str(PAGE), "exec"), found)
    return found["SLASHED"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random checkpoint of the family, as its laboratory would publish it: the vocabulary has B, O, U and Z too."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

    torch.manual_seed(0)
    pieces = ["<pad>", "</s>", "<unk>", "[NLU]", *(f"{letter}/" for letter in "ACDEFGHIKLMNPQRSTVWYXB")]
    tokenizer = Tokenizer(models.WordLevel({piece: i for i, piece in enumerate(pieces)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("[A-Z]/"), "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        extra_special_tokens=["[NLU]"],
    )
    config = UMT5Config(vocab_size=len(pieces), d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2)
    where = tmp_path_factory.mktemp("published") / "slashed-tiny"
    UMT5EncoderModel(config).eval().save_pretrained(where)
    fast.save_pretrained(where)
    return where


@pytest.fixture
def checkpoint(slashed: Family, folder: Path) -> Checkpoint:
    return resolve_checkpoint(str(folder))


def test_residues_are_aligned_after_the_token_of_the_protocol(checkpoint: Checkpoint) -> None:
    tokeniser = ResidueTokeniser.from_checkpoint(checkpoint)
    ids = tokeniser.tokenizer.get_vocab()
    assert tokeniser.with_special(tokeniser.encode("MKB")).tolist() == [
        ids[token] for token in ("[NLU]", "M/", "K/", "X/", "</s>")
    ]
    facts = tokeniser.prove(SEQUENCES)
    assert str(facts) == "39 of 39 residues aligned"
    assert (facts.rendering, facts.letters, facts.special) == ("slashed", "ACDEFGHIKLMNPQRSTVWXY", [1, 1])
    assert facts.replaced == dict.fromkeys("BJOUZ", 1)
    assert "written each followed by a slash after [NLU], 1 special tokens before" in facts.method
    tokens = tokeniser.count_unknown(tokeniser.encode_all(SEQUENCES))
    assert (tokens.unknown, tokens.protocol) == (0, ["[NLU]"])
    assert ids["[NLU]"] in tokeniser.special_ids, "no mean runs over it"


def test_its_encoder_is_the_class_that_it_names_and_ignores_padding(checkpoint: Checkpoint, folder: Path) -> None:
    from transformers import AutoTokenizer, UMT5EncoderModel

    encoder: Any = load_encoder(checkpoint)
    tokeniser = ResidueTokeniser.from_checkpoint(checkpoint)
    assert type(encoder) is UMT5EncoderModel is type(load_encoder(checkpoint, weights="random"))
    assert checkpoint_facts(checkpoint, encoder, "pretrained").family == "slashed"
    execution, tokens = Execution.choose("cpu"), tokeniser.encode_all(SEQUENCES)
    with engine(
        SimpleNamespace(encoder=encoder), tokeniser, execution, bf16=False, trains=False, proteins=tokens, faster=False
    ) as made:
        assert made.layout == "padded" and made.together is not None
        assert made.together.difference is not None and made.together.difference < APART / 100
    with torch.no_grad():
        # By hand, as its authors would.
        text = AutoTokenizer.from_pretrained(folder)("[NLU]" + "".join(f"{x}/" for x in "MKTAY"), return_tensors="pt")
        expected = UMT5EncoderModel.from_pretrained(folder)(**text).last_hidden_state
        ids = torch.from_numpy(tokeniser.with_special(tokeniser.encode("MKTAY")))[None]
        torch.testing.assert_close(encoder(input_ids=ids).last_hidden_state, expected)


@pytest.mark.parametrize(
    ("kind", "attention", "feed_forward"), [("lora", "qkvo", ("wi_0", "wi_1", "wo")), ("ia3", "kv", ("wo",))]
)
def test_adapters_go_where_it_says(
    checkpoint: Checkpoint, kind: str, attention: str, feed_forward: tuple[str, ...]
) -> None:
    from peft.tuners.tuners_utils import BaseTunerLayer

    tokeniser = ResidueTokeniser.from_checkpoint(checkpoint)
    model: Any = build_model(checkpoint, tiny_task(), load_recipe(kind), tokeniser, 1)
    places = {n for n, module in model.encoder.named_modules() if isinstance(module, BaseTunerLayer)}
    within = {f"layer.0.SelfAttention.{x}" for x in attention} | {f"layer.1.DenseReluDense.{x}" for x in feed_forward}
    assert places == {f"encoder.block.{i}.{place}" for i in range(2) for place in within}


def test_it_is_not_asked_for_likelihoods(checkpoint: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no masked-language-model head"):
        load_masked_lm(checkpoint)
    # Also where transformers has a class for it.
    esm = resolve_checkpoint(str(write_checkpoint(tmp_path / "esm", "esm")))
    load_masked_lm(esm)
    register(replace(ESM, name="silent", model_types=("esm",), settings={"vocab_size": 33}, masked_lm=False))
    with pytest.raises(UserError, match="has no masked-language-model head"):
        load_masked_lm(esm)


@pytest.fixture(params=[None, 8], ids=["a class of transformers", "the file that ships"])
def run(request: pytest.FixtureRequest, slashed: Family, folder: Path, tmp_path: Path) -> Path:
    return made(tmp_path, "residue-classification", checkpoint=str(folder), **{"head.hidden": request.param})


def test_a_run_records_it_and_the_card_shows_how_to_ask(
    run: Path, slashed: Family, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    record = read_record(run)
    assert record.tokens is not None and record.tokens.protocol == ["[NLU]"]
    assert record.checkpoint is not None and record.checkpoint.family == "slashed"
    assert record.identity.checkpoint is not None
    assert record.identity.checkpoint.family == f"slashed {slashed.digest[:12]}"
    saved = json.loads((run / MODEL / "config.json").read_text())
    if saved["model_type"] != "umt5":
        assert saved["encoder_class"] == "UMT5EncoderModel", "what ships knows how the encoder is built"

    code = usage_snippet(record, run / MODEL, str(run / MODEL))
    assert 'tokenizer("[NLU]" + "".join(residue + "/" for residue in read), return_tensors="pt")' in code
    assert "re.sub" in code and pipeline_snippet(record, run / MODEL, "x") is None
    capsys.readouterr()
    exec(compile(code, "card", "exec"), {})
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    predictor = open_predictor(str(run))
    [answer] = predictor.predict([Protein("p", EXAMPLE)])
    assert [line[1] for line in lines] == [predictor.labels[i] for i in answer.scores.argmax(1)]
    np.testing.assert_allclose([float(line[2]) for line in lines], answer.scores.max(1), atol=6e-4)

    # Where the family is not known, nothing is read in another way than was learnt.
    monkeypatch.setattr(known_families, "_brought", [])
    for ask in (lambda: open_predictor(str(run)), lambda: usage_snippet(record, run / MODEL, str(run / MODEL))):
        with pytest.raises(UserError, match="its residues are written 'slashed', as no family does that is known here"):
            ask()
    # And where it is another one by now, as the record says.
    register(replace(slashed, protocol=(), letters=None))
    again = open_predictor(str(run))
    assert again.tokeniser.form == predictor.tokeniser.form
    np.testing.assert_array_equal(next(again.predict([Protein("p", EXAMPLE)])).scores, answer.scores)


def test_its_paper_is_cited(slashed: Family) -> None:
    found = citation.paper_of(make_record(LOCALISATION, FULL, 0.5, checkpoint="doe-lab/Slashed-base"))
    assert found is not None and (found.family, found.key) == ("Slashed", "doe2026slashed")


# How it is made known


def test_another_family_is_another_run_and_bench_s_own_change_no_id(folder: Path, slashed: Family) -> None:
    ids = []
    for families in ([slashed], [replace(slashed, protocol=())], [replace(slashed, papers=())], []):
        known_families._brought[:] = families
        identity = resolve_checkpoint(str(folder)).identity
        record = make_record(LOCALISATION, FULL, 0.5, checkpoint="a/b")
        ids.append(record.identity.model_copy(update={"checkpoint": identity}).run_id)
    assert ids[0] == ids[2] and len(set(ids)) == 3, "a citation changes no number"
    # As records were before: the field is not even there.
    assert "family" not in identity.model_dump(mode="json") and identity.family is None


def test_a_file_is_run_where_the_variable_names_it_and_only_there(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "slashed.py").write_text(code_of_the_page())
    (tmp_path / "bench_families.py").write_text("raise SystemExit('nobody asked')")
    assert family_of(json.loads((folder / "config.json").read_text())).name == "other (umt5)"
    known_families._looked.clear()
    monkeypatch.setenv("BENCH_FAMILIES", str(tmp_path / "slashed.py"))
    assert family_of(json.loads((folder / "config.json").read_text())).name == "slashed"
    # As cards say what others need to make a run again.
    sha256 = file_sha256(tmp_path / "slashed.py")
    assert bringer("slashed") == f"the file `slashed.py` that brings it, named in `BENCH_FAMILIES`, sha256 `{sha256}`"
    assert bringer("esm") is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "BENCH_FAMILIES: there is no file"),
        ("1 / 0", r"mine\.py: it brings no family \(ZeroDivisionError: division by zero\)"),
        ("from hubtools.models.families import *\nregister(Family('t5'))", "there is a family t5 already"),
    ],
)
def test_a_file_that_brings_none_is_one_line_each_time(
    text: str | None, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_FAMILIES", str(tmp_path / "mine.py"))
    if text is not None:
        (tmp_path / "mine.py").write_text(text)
    for _ in range(2):
        with pytest.raises(UserError, match=says):
            family_of({"model_type": "esm"})


def install(site: Path, target: str) -> None:
    (site / "my_lab_families.py").write_text(code_of_the_page())
    info = site / "my_lab_families-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my_lab_families\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[bench.families]\nslashed = {target}\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages."""
    monkeypatch.delitem(sys.modules, "my_lab_families", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("my_lab_families", None)


def test_an_installed_package_brings_it(site: Path, folder: Path) -> None:
    install(site, "my_lab_families:SLASHED")
    assert family_of(json.loads((folder / "config.json").read_text())).name == "slashed"


def test_what_lies_in_the_current_folder_is_no_package(
    site: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(site, "my_lab_families:SLASHED")
    monkeypatch.chdir(site)
    assert family_of(json.loads((folder / "config.json").read_text())).name == "other (umt5)"
    assert "my_lab_families" not in sys.modules


@pytest.mark.parametrize("target", ["my_lab_families:NONE", "my_lab_families:Spelling"])
def test_a_package_that_brings_none_is_named(site: Path, target: str) -> None:
    install(site, target)
    with pytest.raises(UserError, match="entry point slashed of my_lab_families: it brings no family"):
        family_of({"model_type": "esm"})


@pytest.mark.parametrize(
    ("family", "says"),
    [
        ("slashed", "is no Family"),
        (Family("esm"), "there is a family esm already"),
        (Family("new", spellings=(replace(SPACED, between="-"),)), "another family has a spelling spaced"),
    ],
)
def test_what_records_could_not_tell_apart_is_refused(family: Any, says: str) -> None:
    with pytest.raises(UserError, match=says):
        register(family)


def test_one_checkpoint_has_one_family() -> None:
    for name in ("one", "two"):
        register(Family(name, model_types=("new",)))
    register(known_families._brought[0])
    with pytest.raises(UserError, match="the families one and two both recognise it"):
        family_of({"model_type": "new"})


def test_text_in_place_of_a_tuple_is_a_mistake_with_a_name() -> None:
    with pytest.raises(UserError, match=r"family x: protocol is '\[NLU\]', and no tuple\. Write \(one,\)"):
        Family("x", protocol="[NLU]")  # type: ignore[arg-type]


# What a card shows is what the tokenizer is given


@pytest.mark.parametrize("protocol", [(), ("<AA2fold>",), ("[A]", 'a"b\\{}\n')])
@pytest.mark.parametrize(
    "spelling",
    [*dict.fromkeys(s for family in known_families.OWN for s in family.spellings), Spelling("x", "x", " ", "'\"")],
    ids=lambda spelling: spelling.name,
)
def test_the_python_of_a_spelling_writes_what_the_spelling_writes(
    spelling: Spelling, protocol: tuple[str, ...]
) -> None:
    code = spelling.expression("sequence", protocol)
    assert eval(code, {"sequence": "MKTAY"}) == spelling.write("MKTAY", protocol)
    assert len(code.splitlines()) == 1

"""Proteins of several chains with one label: each chain read alone, the mean over the residues of all, ``:`` no letter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from datasets import Dataset
from tiny_checkpoints import write_checkpoint
from tiny_runs import whole
from tiny_tasks import tiny_task

import hubtools
from hubtools.common.errors import UserError
from hubtools.data import DataCache, load_task_data
from hubtools.data.splits.clusters import similarity_clusters
from hubtools.data.splits.identity import best_identities
from hubtools.inference.asking import Protein
from hubtools.inference.proteins import Unreadable, parse_fasta, read_proteins
from hubtools.models import Checkpoint, ResidueTokeniser, build_model, resolve_checkpoint
from hubtools.reporting.card.snippet import EXAMPLE_PAIR, pipeline_snippet, usage_snippet
from hubtools.runs.store import open_run
from hubtools.specs.lookup.spec_files import load_recipe, load_task
from hubtools.specs.recipe import Recipe, Window
from hubtools.specs.task import Task
from hubtools.training.batches import micro_batches
from hubtools.training.encoding import Encoded, encode, proven, window_facts
from hubtools.training.job import Job
from hubtools.training.trivial_baselines import fit_baseline, read_plain

HEAVY = "QVQLQQSGGELAKPGASVKVSCKASGYTFSSFWMHWVRQAPGQGLEWIGYINPRSGYTEYNEIFRDKATMTTDTSTSTAYMELSSLRSEDTAVYYCASF"
LIGHT = "DIQMTQSPSSLSASVGDRVTITCRASQDISNYLAWYQQKPGKAPKLLIYYTSKIHSGVPSRFSGSG"
NAMES = ["heavy", "light"]
DATA = {
    "source": "file",
    "files": [{"path": "x.csv"}],
    "columns": {"sequence": NAMES},
    "split": {"fractions": {"train": 0.8, "test": 0.2}},
}


def chains_task(**data: Any) -> Task:
    return tiny_task("sequence-regression", data={**DATA, **data})


def rows(sequences: list[str]) -> Dataset:
    names = [str(index) for index in range(len(sequences))]
    labels = [float(sequence.count("W")) for sequence in sequences]
    return Dataset.from_dict({"id": names, "sequence": sequences, "label": labels})


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return resolve_checkpoint(str(write_checkpoint(tmp_path_factory.mktemp("c") / "esm", "esm")))


def split_of(checkpoint: Checkpoint, sequences: list[str], window: Window | None = None) -> Encoded:
    return encode(rows(sequences), chains_task(), ResidueTokeniser.from_checkpoint(checkpoint), window or Window())


def test_each_chain_has_the_tokens_that_the_tokenizer_gives_it_alone(checkpoint: Checkpoint) -> None:
    split = split_of(checkpoint, [f"{HEAVY}:{LIGHT}"])
    (batch,) = micro_batches(split, [0], 10_000)
    tokenizer = split.tokeniser.tokenizer
    read = [
        row[mask.bool()].tolist()
        for row, mask in zip(batch.inputs["input_ids"], batch.inputs["attention_mask"], strict=True)
    ]
    assert read == [tokenizer(HEAVY)["input_ids"], tokenizer(LIGHT)["input_ids"]]
    assert int(batch.inputs["residue_mask"].sum()) == len(HEAVY) + len(LIGHT)
    facts = proven(split.tokeniser, [f"{HEAVY}:{LIGHT}"])
    assert (facts.proteins, facts.residues, facts.aligned) == (1, *[len(HEAVY) + len(LIGHT)] * 2)


def test_a_chain_longer_than_the_window_is_cut_and_no_window_holds_two_chains(checkpoint: Checkpoint) -> None:
    split = split_of(checkpoint, [f"{HEAVY}:{LIGHT}", "MKT:ACD"], Window(residues=70, overlap=20))
    end = len(HEAVY)
    assert all(piece.stop <= end or piece.start >= end for piece in split.windows[0]) and len(split.windows[0]) == 3
    cores = [place for piece in split.windows[0] for place in range(piece.core_start, piece.core_stop)]
    assert cores == list(range(len(HEAVY) + len(LIGHT)))
    assert window_facts([split], Window(residues=70, overlap=20)).proteins_cut == 1


@torch.no_grad()
def test_the_mean_is_over_the_residues_of_both_chains_and_a_stranger_gets_it_too(checkpoint: Checkpoint) -> None:
    split = split_of(checkpoint, [f"{HEAVY}:{LIGHT}", "MKTAYI:ACDEF"])
    model: Any = build_model(checkpoint, chains_task(), load_recipe("full"), split.tokeniser, 1).eval()
    (batch,) = micro_batches(split, [0, 1], 10_000)
    logits = {int(protein): row for protein, row in zip(batch.proteins, model(**batch.inputs).logits, strict=True)}
    tokenizer = split.tokeniser.tokenizer
    for place, chains in enumerate([(HEAVY, LIGHT), ("MKTAYI", "ACDEF")]):
        states = [model.encoder(**tokenizer(chain, return_tensors="pt")).last_hidden_state[0, 1:-1] for chain in chains]
        assert torch.allclose(logits[place], model.head(torch.cat(states).mean(0)), atol=1e-5)
        asked = tokenizer(list(chains), padding=True, return_tensors="pt")
        swapped = tokenizer(list(chains[::-1]), padding=True, return_tensors="pt")
        for read in (asked, swapped):
            assert torch.allclose(logits[place], model(**read).logits[0], atol=1e-5)
    with pytest.raises(ValueError, match="each protein is 2 chains"):
        model(**tokenizer(HEAVY, return_tensors="pt"))


def test_composition_counts_the_letters_of_both_chains(tmp_path: Path) -> None:
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(0)
    sequences = ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), 40)) for _ in range(40)]
    task = chains_task()
    split = read_plain(rows([f"{one[:15]}:{one[15:]}" for one in sequences]), task)
    job = Job.__new__(Job)
    object.__setattr__(job, "task", task)
    object.__setattr__(job, "recipe", load_recipe("composition"))
    fitted, predict = fit_baseline(split, split, job)
    table = np.array(
        [[one.count(letter) / 40 for letter in "ACDEFGHIKLMNPQRSTVWY"] + [np.log(40)] for one in sequences]
    )
    model = make_pipeline(StandardScaler(), Ridge(alpha=1 / fitted.choices["inverse_regularisation"]))
    expected = model.fit(table, np.array(split.labels)).predict(table)
    assert np.allclose(predict(split).scores.ravel(), expected, atol=1e-8)


def test_no_word_goes_across_and_relatives_are_found_beside_the_break() -> None:
    one, other = "MKTAYIAKQR", "QISFVKSHFS"
    apart, across = f"{one}:{other}", f"{one[5:]}{other[:5]}"
    assert len(set(similarity_clusters([one + other, across], 6, 0.5))) == 1
    assert len(set(similarity_clusters([apart, across], 6, 0.5))) == 2
    mutant = f"{HEAVY}:{LIGHT}".replace("WMHW", "WMHY")
    (found,) = best_identities([mutant], [f"{HEAVY}:{LIGHT}"], 0.5)
    assert 0.98 < found < 1


TABLE = "name,heavy,light,label\na,MKT A,ac*,1\nb,MKW,ACD,2\nc,MKW,ACD,2\nd,MKV,ACE,3\n"


def written(folder: Path, text: str, name: str = "x.csv", **data: Any) -> Path:
    task = yaml.safe_load(chains_task().model_dump_json(exclude_defaults=True))
    task |= {"name": "t", "metrics": {"primary": "mae"}}
    columns, split = {"sequence": NAMES, "id": "name"}, {"fractions": {"train": 0.5, "validation": 0.25, "test": 0.25}}
    task["data"] = {"source": "file", "files": [{"path": name}], "columns": columns, "split": split, **data}
    (folder / name).write_text(text)
    (folder / "t.yaml").write_text(yaml.safe_dump(task))
    return folder / "t.yaml"


def test_rows_of_columns_and_of_one_column_are_the_same(tmp_path: Path) -> None:
    several = load_task_data(load_task(str(written(tmp_path, TABLE))), DataCache(tmp_path / "c"))
    one_column = "name,both,label\na,MKTA:AC,1\nb,MKW:ACD,2\nc,mkw:acd,2\nd,MKV:ACE,3\n"
    columns = {"sequence": "both", "id": "name"}
    one = load_task_data(
        load_task(str(written(tmp_path, one_column, columns=columns, chains=2))), DataCache(tmp_path / "c")
    )
    for data in (several, one):
        found = {row["id"]: row["sequence"] for split in data.splits.values() for row in split}
        # The same chains are the same protein, and of two rows that say the same one is kept.
        assert found == {"a": "MKTA:AC", "b": "MKW:ACD", "d": "MKV:ACE"}
        assert sum(split.residues for split in data.facts.splits.values()) == 6 + 6 + 6
        assert any("each read alone" in line for line in data.facts.findings)


@pytest.mark.parametrize(
    ("text", "data", "said"),
    [
        (TABLE.replace("ACD,2\nc", " ,2\nc"), {}, "b, light.*the sequence is empty"),
        (TABLE.replace("ACE", "A:E"), {}, "d, light.*holds ':'"),
        (
            "name,both,label\na,MKTA,1\n",
            {"columns": {"sequence": "both", "id": "name"}, "chains": 2},
            "has 1 chain, and",
        ),
        ("name,both,label\na,MK:TA,1\n", {"columns": {"sequence": "both", "id": "name"}}, "holds ':' at position 3"),
    ],
)
def test_what_is_no_protein_of_the_task_is_refused(tmp_path: Path, text: str, data: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        load_task_data(load_task(str(written(tmp_path, text, **data))), DataCache(tmp_path / "c"))


def test_what_reads_no_chains_refuses_them() -> None:
    with pytest.raises(ValueError, match="several chains with one label are not for residue-classification"):
        tiny_task("residue-classification", data=DATA)
    with pytest.raises(ValueError, match="names a column of each chain"):
        chains_task(chains=2)
    with pytest.raises(ValueError, match="a column is named twice"):
        chains_task(columns={"sequence": ["heavy", "heavy"]})
    problem = chains_task().problem
    for head in ({"kind": "native"}, {"pooling": "attention"}, {"pooling": "last"}, {"pooling": "mutations"}):
        recipe = Recipe.model_validate({"name": "r", "adaptation": "full", "head": head})
        assert recipe.why_not(problem) is None and "several chains" in str(recipe.why_not(problem, True, 2))
    assert load_recipe("probe").why_not(problem, True, 2) is None


def test_proteins_to_predict_are_read_by_chain(tmp_path: Path) -> None:
    expected = [Protein("a", "MKTA:AC")]
    assert list(parse_fasta([">a", "mkta:", "AC*"], "x", chains=NAMES)) == expected
    (tmp_path / "x.csv").write_text("id,light,heavy\na,AC,MKTA\n")
    assert list(read_proteins(str(tmp_path / "x.csv"), chains=NAMES)) == expected
    for text, chains in (("MKTA", NAMES), ("MKTA:AC:MK", NAMES), ("MKTA:AC", []), ("MKTA:", NAMES)):
        (found,) = parse_fasta([">a", text], "x", chains=chains)
        assert isinstance(found, Unreadable), text


@pytest.mark.slow
@pytest.mark.usefixtures("blank_figures")
def test_a_run_is_predicted_again_from_fasta_and_by_the_lines_on_its_card(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    letters = list("ACDEFGHIKLMNPQRSTVWY")
    chains = [("".join(rng.choice(letters, 20)), "".join(rng.choice(letters, 12))) for _ in range(30)]
    lines = [f"p{i},{a},{b},{(a + b).count('W') + i / 100}" for i, (a, b) in enumerate(chains)]
    path = written(tmp_path, "\n".join(["name,heavy,light,label", *lines]))
    done = hubtools.run(
        "embedded",
        str(path),
        "benchmarks/golden/recipes/golden-probe.yaml",
        runs=str(tmp_path / "runs"),
        execution=hubtools.ExecutionOptions(device="cpu", embedding_cache=False),
    )
    folder = Path(done[0][0])
    fasta = "".join(f">p{i}\n{a}:{b}\n" for i, (a, b) in enumerate(chains))
    said = {one.answer.protein.id: float(one.scores.ravel()[0]) for one in hubtools.predict(str(folder), fasta)}
    import pandas as pd

    recorded = pd.read_parquet(folder / "predictions.parquet")
    test = recorded[recorded["split"] == "test"]
    assert len(test) and np.allclose([said[name] for name in test["id"]], test["prediction"], atol=1e-5)
    run = open_run(whole(folder))
    code = usage_snippet(run.record, run.model, str(run.model))
    printed: list[str] = []
    exec(code, {"print": printed.append})
    (insulin,) = hubtools.predict(str(folder), [":".join(EXAMPLE_PAIR)])
    assert float(printed[0]) == pytest.approx(float(insulin.scores.ravel()[0]), abs=2e-3)
    assert "heavy, light" in code and pipeline_snippet(run.record, run.model, "x") is None
    with pytest.raises(UserError, match="has 1 chain"):
        hubtools.predict(str(folder), "MKTAYIAK")

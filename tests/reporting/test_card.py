"""The model card of a run: whole, honest, and the same every time."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from huggingface_hub import ModelCard
from sample_records import (
    BASELINES,
    FULL,
    LOCALISATION,
    PEPTIDES,
    PHOSPHO,
    PROBE,
    SCRATCH,
    STRUCTURE,
    TASKS,
    enriched,
    make_record,
    many_runs,
    write_full_run,
    write_runs,
)

from hubtools.cli.card import card
from hubtools.common.errors import UserError
from hubtools.findings.wording import best_of
from hubtools.reporting.card.card_edits import changed_by_hand
from hubtools.reporting.card.card_results import largest_classes
from hubtools.reporting.card.model_card import build_card, lint_card
from hubtools.runs.store import read_record, run_folder, write_record
from hubtools.specs.recipe import Head, Recipe
from hubtools.specs.record import Cost, EmbeddingFacts, SweepFacts

pytestmark = pytest.mark.usefixtures("blank_figures")

FIGURES = {
    "localisation": {"precision-recall.png", "training.png"},
    "secondary-structure": {"confusion-matrix.png", "training.png"},
    "phosphotyrosine": {"precision-recall.png", "training.png"},
    "gb1-fitness": {"predicted-against-true.png", "training.png"},
    "antimicrobial-peptide": {"precision-recall.png", "training.png"},
}


def text_of(folder: Path, **options: str) -> str:
    return build_card(folder, **options).read_text(encoding="utf-8")


def loadable(folder: Path, custom: bool = False) -> Path:
    """A model folder as far as a card looks at it."""
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text("{}")
    if custom:
        (folder / "model" / "modeling_protein_task.py").write_text("")
    return folder


@pytest.mark.parametrize("name", list(TASKS))
def test_every_kind_of_task_gets_a_whole_card(name: str, tmp_path: Path) -> None:
    folder = loadable(write_full_run(tmp_path, TASKS[name]))
    text = text_of(folder)
    assert lint_card(text) == []
    assert ModelCard(text).data.eval_results
    record = read_record(folder)
    score = record.score()
    assert score is not None and f"{score.value:.3f} ({score.low:.3f} to {score.high:.3f})" in text
    for word in ("None", "nan", "Undefined", "TODO"):
        assert not re.search(rf"\b{word}\b", text.split("```python")[0] + text.split("```")[2]), word
    shown = set(re.findall(r'<img src="figures/(.*?)"', text))
    assert shown == FIGURES[name] == {path.name for path in (folder / "card" / "figures").iterdir()}
    for path in (folder / "card" / "figures").iterdir():
        assert path.read_bytes().startswith(b"\x89PNG")


def test_tables_are_rectangular(tmp_path: Path) -> None:
    text = text_of(write_full_run(tmp_path, LOCALISATION))
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        assert len({line.count("|") for line in block.splitlines()}) == 1, block


def test_what_makes_it_repeatable_is_there(tmp_path: Path) -> None:
    folder = write_full_run(tmp_path, LOCALISATION)
    record, text = read_record(folder), text_of(folder)
    assert f"pip install plm-hubtools=={record.environment.bench}\n{record.command}\n" in text
    for value in (
        record.identity.checkpoint.commit,  # type: ignore[union-attr]
        record.data.files[0].sha256,  # type: ignore[union-attr]
        record.environment.git_commit,
        record.run_id,
        "2,768,911 of 2,768,911 residues aligned",
        "131 proteins longer than 1,022 residues were cut into windows",
        "torch 2.13.0",
        "@article{invented2024",
    ):
        assert str(value) in text


def test_a_run_of_several_attempts_says_in_how_many(tmp_path: Path) -> None:
    folder = write_full_run(tmp_path, PEPTIDES)

    def shown(*endings: str) -> str:
        record = read_record(folder)
        tries = [{"started": record.started, "wall_seconds": 765.0, "ended": ended} for ended in endings]
        cost = Cost.model_validate({"wall_seconds": 765.0 * max(len(tries), 1), "attempts": tries})
        write_record(folder, record.model_copy(update={"cost": cost}))
        (line,) = re.findall(r"\| Wall time \| (.*) \|", text_of(folder))
        return line

    assert shown() == shown("complete") == "12 min 45 s"
    assert shown("interrupted", "complete") == "25 min 30 s in 2 attempts"
    assert shown("killed", "failed", "complete") == "at least 38 min 15 s in 3 attempts, of which 1 was killed"
    assert shown("killed", "killed", "complete").endswith("of which 2 were killed")


def test_limits_are_stated(tmp_path: Path) -> None:
    text = text_of(write_full_run(tmp_path, PHOSPHO))
    assert "Out of scope: clinical use" in text and "Out of scope: biosecurity" in text
    assert "2 sequences of test are also in train" in text
    assert "One seed (1): how much another seed would change it was not measured." in text
    assert "uncommitted" not in text


def test_the_first_python_block_is_whole_and_the_second_a_pipeline(tmp_path: Path) -> None:
    text = text_of(loadable(write_full_run(tmp_path, LOCALISATION)))
    code, _ = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    compile(code, "snippet", "exec")
    assert re.search(r'^MODEL = ".*/model"$', code, re.MULTILINE)


def test_a_published_card_loads_from_the_hub(tmp_path: Path) -> None:
    folder = loadable(write_full_run(tmp_path, STRUCTURE), custom=True)
    text = text_of(folder, repo_id="me/my-structure", licence="cc-by-4.0")
    assert 'MODEL = "me/my-structure"' in text
    assert str(tmp_path) not in text
    assert ModelCard(text).data.license == "cc-by-4.0"
    assert ModelCard(text).data.model_name == "my-structure"
    assert "AutoModel.from_pretrained(MODEL, trust_remote_code=True)" in text


def test_baselines_beside_it_are_compared(tmp_path: Path) -> None:
    folder = write_full_run(tmp_path, LOCALISATION)
    assert "no baseline to compare with" in text_of(folder)
    beside = [
        make_record(LOCALISATION, BASELINES["composition"], 0.3),
        make_record(LOCALISATION, PROBE, 0.4, checkpoint="a/b"),
    ]
    elsewhere = make_record(LOCALISATION, BASELINES["majority"], 0.1, subset=100)
    write_runs(tmp_path, [(tmp_path, record) for record in [*beside, elsewhere]])
    text = text_of(folder)
    section = text.split("## Beside other runs")[1].split("\n## ")[0]
    assert "| composition | baseline | 0.300 |" in section
    assert "(this model)**" in section
    assert "majority" not in section
    assert "figures/comparison.png" in section


def test_of_hundreds_of_runs_beside_it_a_reader_gets_thirty(tmp_path: Path) -> None:
    folder = write_full_run(tmp_path, LOCALISATION)
    write_runs(tmp_path, many_runs(60))
    section = text_of(folder).split("## Beside other runs")[1].split("\n## ")[0]
    assert sum(line.startswith("|") for line in section.splitlines()) == 2 + 30
    assert section.count("(this model)**") == 1
    assert "\n\nThe best, this model and the best baselines: 30 of 61 rows.\n\n" in section


def test_seeds_beside_it_are_told(tmp_path: Path) -> None:
    folder = write_full_run(tmp_path, PEPTIDES)
    write_runs(tmp_path, [(tmp_path, make_record(PEPTIDES, FULL, 0.5, checkpoint="facebook/esm2_t6_8M_UR50D", seed=2))])
    assert "This is seed 1 of 2 (1, 2); over all of them the mean is" in text_of(folder)


def test_a_subset_is_warned_about_first(tmp_path: Path) -> None:
    text = text_of(write_full_run(tmp_path, PEPTIDES, subset=200))
    assert text.index("**Subset.**") < text.index("## How to use it")


def test_random_weights_are_called_so(tmp_path: Path) -> None:
    text = text_of(write_full_run(tmp_path, PEPTIDES, SCRATCH))
    assert "# Antimicrobial peptides with esm2_t6_8M_UR50D (random weights)" in text
    assert "base_model" not in text


def test_a_baseline_has_no_lines_to_load_it(tmp_path: Path) -> None:
    folder = write_full_run(tmp_path, PEPTIDES, BASELINES["composition"])
    text = text_of(folder)
    assert "```python" not in text
    assert "A baseline keeps no model" in text
    assert lint_card(text) == []


def test_an_unknown_licence_is_said_not_made_up(tmp_path: Path) -> None:
    text = text_of(write_full_run(tmp_path, PEPTIDES, checkpoint="mine", local=True))
    assert ModelCard(text).data.license == "unknown"
    assert "The licence is **unknown**" in text


@pytest.mark.slow
@pytest.mark.figures
def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    folder = write_full_run(tmp_path, LOCALISATION)

    def content() -> dict[str, bytes]:
        build_card(folder)
        return {p.name: p.read_bytes() for p in sorted((folder / "card").rglob("*")) if p.is_file()}

    assert content() == content()


def test_a_figure_that_is_no_longer_shown_is_removed(tmp_path: Path) -> None:
    folder = write_full_run(tmp_path, PEPTIDES)
    build_card(folder)
    (folder / "training.jsonl").unlink()
    assert "training.png" not in text_of(folder)
    assert not (folder / "card" / "figures" / "training.png").exists()


def test_a_training_log_cut_short_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    folder = write_full_run(tmp_path, PEPTIDES)
    with (folder / "training.jsonl").open("a") as handle:
        handle.write('{"epoch": 9, "train_l')
    assert "training.png" in text_of(folder)


def test_a_run_that_failed_has_no_card(tmp_path: Path) -> None:
    record = make_record(PEPTIDES, FULL, 0.0, checkpoint="a/b", status="failed")
    folder = run_folder(tmp_path, record.identity)
    write_record(folder, record)
    with pytest.raises(UserError, match=r"this run is failed.*Finish it first: bench run"):
        build_card(folder)
    assert not (folder / "card").exists()


def test_lost_predictions_are_one_clear_line(tmp_path: Path) -> None:
    folder = write_full_run(tmp_path, PEPTIDES)
    (folder / "predictions.parquet").unlink()
    with pytest.raises(UserError, match="there are no predictions"):
        build_card(folder)


def test_trust_and_published_numbers_stand_beside_the_result(tmp_path: Path) -> None:
    folder = write_full_run(tmp_path, LOCALISATION)
    record = read_record(folder)
    assert "How far to trust it" not in text_of(folder) and "Published numbers" not in text_of(folder)
    record.task["trust"] = {"colour": "red", "reason": "Composition alone does as well."}
    known = {"what": "Ankh", "how": "frozen", "metric": "mcc", "value": 0.25, "split": "test", "source": "A | B, 2024"}
    record.task["published"] = [known | {"spread": "±0.01 (SD)", "note": None}]
    write_record(folder, record)
    text = text_of(folder)
    assert "| How far to trust it | **red** (not for ranking). Composition alone does as well. |" in text
    assert text.index("How far to trust it") < text.index("## How to use it")
    assert "| Ankh | frozen | MCC | 0.250 ±0.01 (SD) | test | A \\| B, 2024 | – |" in text


def test_long_tables_show_the_classes_with_most_support() -> None:
    classes = [{"name": f"fold {n}", "support": n % 50} for n in range(100)]
    shown = largest_classes(classes)
    assert len(shown["rows"]) == 30 and min(row["support"] for row in shown["rows"]) == 35
    assert (shown["left_out"], shown["absent"]) == (70, 2)
    assert largest_classes(classes[:30]) == {"rows": classes[:30], "left_out": 0, "absent": 0}


def test_a_share_of_the_training_data_is_told_first_and_in_the_metadata(tmp_path: Path) -> None:
    text = text_of(write_full_run(tmp_path, LOCALISATION, fraction=0.03))
    assert "> **A share of the training data.** It learnt from 3 % of it (237 proteins), drawn by seed 1" in text
    assert text.index("share of the training data.") < text.index("## Results")
    (config,) = {result.dataset_config for result in ModelCard(text).data.eval_results}
    assert config == "localisation-v1-fraction-0.03"


def test_a_sweep_is_told_in_one_sentence_and_field_by_field(tmp_path: Path) -> None:
    sweep = SweepFacts(
        trials=20,
        fields={"learning_rate": "1e-05..0.001 log", "head.hidden": "null, 64", "epochs": "5..20"},
        chosen={"learning_rate": 3e-5, "head.hidden": 64, "epochs": 9},
        validation=0.6119,
        seed=4,
        sampler="TPE",
    )
    chosen = {"learning_rate": 3e-5, "epochs": 9, "head": Head(hidden=64)}
    recipe = FULL.model_copy(update=chosen)
    text = text_of(write_full_run(tmp_path, LOCALISATION, recipe, sweep=sweep, overrides=sweep.chosen))
    assert (
        "The recipe's learning_rate, head.hidden and epochs were chosen in a sweep of 20 trials (TPE, seed 4) by Macro F1 "
        "on validation, 0.612 in the best; no trial read a test split."
    ) in text
    assert "| head.hidden | 64 (chosen in a sweep of null, 64) |" in text
    # At the head too, in the words of boards.
    head = text.split("\n## ")[0]
    said = (
        "> **Settings from a sweep.** Best of 20 trials: learning_rate, head.hidden and epochs were chosen by Macro F1 on "
        "validation; no trial read a test split."
    )
    assert said in head and best_of(20) in said.lower()
    # One of the seeds tells it for all.
    beside = write_full_run(tmp_path, LOCALISATION, recipe, seed=2, overrides=sweep.chosen)
    assert said in text_of(beside).split("\n## ")[0]
    assert "Settings from a sweep" not in text_of(write_full_run(tmp_path / "plain", LOCALISATION))
    assert "set on the command line" not in text


def told(folder: Path, **training: object) -> str:
    """The card of a run, with more facts about its training."""
    record = read_record(folder)
    assert record.training is not None
    record.training = record.training.model_copy(update=training)
    write_record(folder, record)
    return text_of(folder)


@pytest.mark.parametrize(
    ("adapter", "words"),
    [
        ({"kind": "lora", "rank": 4}, "LoRA of rank 4"),
        ({"kind": "ia3"}, "IA3"),
        ({"kind": "qlora", "rank": 8}, "QLoRA of rank 8 (on weights of four bits)"),
    ],
)
def test_an_adapter_is_named_and_its_parameters_are_not_the_encoders(
    adapter: dict[str, object], words: str, tmp_path: Path
) -> None:
    recipe = Recipe.model_validate({"name": "adapted", "adaptation": "adapter", "adapter": adapter})
    text = told(write_full_run(tmp_path, LOCALISATION, recipe), parameters_trained=101_000)
    assert f", adapted with {words}, which is merged into its weights." in text
    assert "101 k parameters were trained, all in the adapter and the head, on an encoder whose 7.5 M" in text
    assert "of them in the encoder" not in text and "fine-tuned" not in text


def test_frozen_layers_are_not_counted_as_trained(tmp_path: Path) -> None:
    recipe = Recipe(name="full-top", adaptation="full", freeze_layers=4)
    text = text_of(write_full_run(tmp_path, LOCALISATION, recipe))
    assert "in the head and in the encoder above its lowest 4 layers, which with the embeddings stayed" in text
    assert "of them in the encoder" not in text


def test_a_probe_tells_its_layer_its_seeds_and_what_the_cache_spared(tmp_path: Path) -> None:
    choices = {"layer": 4, "learning_rate": 3e-4, "candidates": [{"layer": 4}, {"layer": 6}]}
    facts = {"embeddings": EmbeddingFacts(computed=1, cached=9_000), "seeds_together": 5, "choices": choices}
    text = told(write_full_run(tmp_path, LOCALISATION, PROBE), **facts)
    assert "- layer: 4\n- learning_rate: 0.0003\n- candidates compared: 2, their scores in run.json" in text
    assert "The encoder read 1 protein once; the embeddings of 9,000 lay in the cache of earlier runs." in text
    assert "The heads of 5 seeds were trained in one computation, each as it would be alone." in text


def test_a_solution_in_closed_form_has_no_epochs(tmp_path: Path) -> None:
    recipe = PROBE.model_copy(update={"name": "probe-ridge", "head": Head(solver="ridge")})
    text = told(write_full_run(tmp_path, LOCALISATION, recipe), epochs_run=0, best_epoch=None, steps=0)
    assert "stayed as they were, by the solution in closed form" in text and "0 epochs" not in text


def test_how_it_was_computed_is_told(tmp_path: Path) -> None:
    folder = write_full_run(tmp_path, LOCALISATION)
    record = read_record(folder)
    more = {"layout": "packed", "compiled": True, "processes": 2, "sharded": True, "gradient_checkpointing": True}
    record.environment = record.environment.model_copy(update=more)
    write_record(folder, record)
    text = text_of(folder)
    assert "| Attention | sdpa, batches packed, layers compiled, activations computed again |" in text
    assert "| Processes | 2, weights divided among them |" in text


def test_what_a_user_wrote_survives_regeneration(tmp_path: Path) -> None:
    folder = write_full_run(tmp_path, PEPTIDES)
    path = build_card(folder)
    text = path.read_text(encoding="utf-8")
    places = re.findall(r"<!-- bench:edit (\w+) -->\n<!-- .*? -->\n<!-- /bench:edit -->", text)
    assert places == ["uses", "limits", "acknowledgements", "contact"], "invitations that are seen in the source alone"
    mark = "<!-- bench:edit uses -->\n"
    path.write_text(text.replace(mark, f"{mark}Written for the frog atlas.\n"), encoding="utf-8")
    write_runs(tmp_path, [(tmp_path, make_record(PEPTIDES, BASELINES["composition"], 0.3))])
    again = text_of(folder)
    assert "Written for the frog atlas." in again and "| composition | baseline | 0.300 |" in again
    assert lint_card(again) == [] and changed_by_hand(again) == []
    published = text_of(folder, repo_id="me/frogs")
    assert "Written for the frog atlas." in published and "hub://me/frogs" in published


def test_a_mark_that_is_not_closed_stops_before_anything_is_lost(tmp_path: Path) -> None:
    folder = write_full_run(tmp_path, PEPTIDES)
    path = build_card(folder)
    broken = path.read_text(encoding="utf-8").replace("<!-- /bench:edit -->", "mine", 1)
    path.write_text(broken, encoding="utf-8")
    with pytest.raises(UserError, match="is not closed"):
        build_card(folder)
    assert path.read_text(encoding="utf-8") == broken


def test_what_was_changed_elsewhere_is_named_when_it_is_written_over(tmp_path: Path) -> None:
    folder = write_full_run(tmp_path, PEPTIDES)
    path = build_card(folder)
    path.write_text(
        path.read_text(encoding="utf-8").replace("## Results\n", "## Results\n\nBest ever!\n"), encoding="utf-8"
    )
    result = CliRunner().invoke(card, [str(folder)])
    assert result.exit_code == 0
    assert (
        "note: changed by hand outside the marked places, and written anew: Results. What is to stay" in result.stderr
    )
    assert "Best ever" not in path.read_text(encoding="utf-8")
    assert "note:" not in CliRunner().invoke(card, [str(folder)]).stderr


def test_an_author_is_cited(tmp_path: Path) -> None:
    folder = loadable(write_full_run(tmp_path, PEPTIDES))
    result = CliRunner().invoke(card, [str(folder), "--author", "Curie, Marie"])
    assert result.exit_code == 0
    assert "author = {Curie, Marie}" in (folder / "card" / "README.md").read_text(encoding="utf-8")


def test_every_bibtex_entry_of_a_card_is_closed(tmp_path: Path) -> None:
    text = text_of(loadable(write_full_run(tmp_path, LOCALISATION)), repo_id="me/cells")
    entries = re.findall(r"```bibtex\n(.*?)\n```", text, re.DOTALL)
    assert len(entries) == 4, "the model, its base model's family, the data, bench"
    for entry in entries:
        assert entry.startswith("@") and entry.count("{") == entry.count("}")
    assert "lin2023evolutionary" in entries[1] and "invented2024" in entries[2]


def test_who_evaluated_it_is_said_at_once_and_again_with_how_to_verify(tmp_path: Path) -> None:
    text = text_of(loadable(write_full_run(tmp_path, PEPTIDES)), repo_id="me/frogs")
    said = (
        "| Evaluated by | its authors: the run that made the model measured it. Nobody else has verified the numbers |"
    )
    assert text.index(said) < text.index("## How to use it")
    assert "**Evaluated by its authors.**" in text and "`bench reproduce hub://me/frogs` does that." in text


@pytest.mark.slow
@pytest.mark.figures
def test_figures_are_small_of_one_letter_size_and_told_in_words(tmp_path: Path) -> None:
    for task in TASKS.values():
        folder = enriched(write_full_run(tmp_path, task))
        text = text_of(folder)
        shown = re.findall(r'<img src="figures/(.*?)" width="(\d+)" alt="(.*?)">', text)
        assert len(shown) >= 3
        for name, width, alt in shown:
            png = (folder / "card" / "figures" / name).read_bytes()
            assert len(png) < 150_000, name
            pixels = int.from_bytes(png[16:20], "big")
            assert 300 <= int(width) <= 700 and 1.5 < pixels / int(width) < 1.8, name
            assert len(alt) > 40, name


def test_folded_parts_are_closed(tmp_path: Path) -> None:
    text = text_of(enriched(write_full_run(tmp_path, LOCALISATION)))
    assert text.count("<details>") == text.count("</details>") >= 3
    for opened in re.findall(r"<details>.*\n.*", text):
        assert re.fullmatch(r"<details><summary>.+</summary>\n", opened), "Markdown begins after an empty line"


def test_a_label_cannot_break_out_of_the_words_of_a_figure(tmp_path: Path) -> None:
    labels = ['"><b>', "A | B", *LOCALISATION.label_names[2:]]
    task = LOCALISATION.model_copy(update={"labels": {label: label for label in labels}})
    text = text_of(write_full_run(tmp_path, task))
    (alt,) = re.findall(r'precision-recall.png" width="\d+" alt="([^"]*)">', text)
    assert html.unescape(alt).startswith('Precision against recall on test. Average precision: "><b> 0.')
    assert "A | B" in alt


def test_with_what_it_was_loaded_is_told_and_tensorflow_where_there_are_lines_for_it(tmp_path: Path) -> None:
    folder = loadable(write_full_run(tmp_path, STRUCTURE))
    text = text_of(folder)
    assert "as bench publishes them, were loaded with: transformers 4.57.6, torch 2.13.0." in text
    assert "TensorFlow reads its weights in the few lines of bench's `docs/tensorflow.md`." in text
    assert "transformers 4.57.6, peft 0.18.0, torch 2.13.0." in text_of(folder, weights="both")

#!/usr/bin/env python3
"""Rivals end to end on the same checkpoint, data and splits: whole processes, started as a user would start them.

usage: python benchmarks/speed/rivals.py [biotrainer biotrainer-2 dgeb notebook] [--environment DIR] [--checkpoint DIR] [--proteins 200]

Frozen encoder and a head, against ``bench run --recipe probe`` with empty caches, and against ``hubtools.run`` in a process
that has done another run before (warm: of that process the second run alone is timed, its caches empty too):
  biotrainer    ``biotrainer train --config config.yml``: embed to HDF5, then its logistic regression
  biotrainer-2  the same of its second version, which stands in an environment of its own
  dgeb          its ESM embedder and logistic regression, called from a few lines, since its tasks cannot be a user's own
Fine-tuning, against ``bench run --recipe full`` with the same epochs, batch size and learning rate:
  notebook      transformers' Trainer on Auto classes, batches of eight in random order, padded to the longest, as the
                public notebooks on protein language models do

The rivals are installed whole from the package index into virtual environments of their own (--environment keeps them),
with the torch and, biotrainer 2 aside, the transformers that bench has. Each turn is a fresh process in a fresh folder; turns take turns, and
ratios are within a round. Test accuracies stand beside the times, so that nobody is fast by being wrong.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from measuring import LETTERS, SHAPES, Process, interleaved, lengths, options, process, report, write_esm2
from rival_environments import RIVALS, environments, versions

ROOT = Path(__file__).resolve().parents[2]
# By this name biotrainer takes its own code for ESM-2, which is faster than its code for any checkpoint, and DGEB its
# ESM class. The name is a folder in each turn's working directory; nothing is fetched.
NAME = "facebook/esm2_t6_8M_UR50D"
# What a process that is warm has done before: another task, by another checkpoint.
BEFORE, OTHER, BEFORE_PROTEINS = "before", "other/esm2", 20
OTHER_CODE = " (other code)"
CLASSES = ("sheet", "helix", "coil")
# Rounds of a head's training and its patience; the same for every probe.
HEAD = {"epochs": 100, "patience": 10, "batch_size": 32, "learning_rate": 1e-3}
FREQUENCY = (0.65, 0.35)


@dataclass
class Turns:
    """What the turns of one tool left besides their seconds, one entry a turn.

    Attributes:
        accuracy: on the test split.
        cpu: seconds that the process and its children computed.
        memory: peak of the process in MB, as the system counts it.
        logged: what the tool itself says its work took, in seconds.
    """

    accuracy: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    logged: list[float] = field(default_factory=list)


# The data: three classes that differ in which residues they prefer, which any encoder's mean shows.


def write_data(folder: Path, n: int, per_residue: bool, seed: int = 7) -> int:
    """One made-up task in each tool's format: ``data.csv``, ``data.fasta`` and a task file. Returns its residues.

    A protein prefers the residues of its class, or is made of stretches of all three that do. A tenth of the
    labels are drawn at random, so that no score can be perfect.
    """
    rng = np.random.default_rng(seed)
    groups = np.array_split(rng.permutation(LETTERS), len(CLASSES))
    rows = []
    for i, length in enumerate(lengths(n)):
        if per_residue:
            label = np.repeat(rng.integers(len(CLASSES), size=length // 12 + 1), 12)[:length]
        else:
            label = np.full(length, rng.integers(len(CLASSES)))
        own = np.stack([rng.choice(group, length) for group in groups])[label, np.arange(length)]
        letters = np.where(rng.random(length) < FREQUENCY[per_residue], rng.choice(LETTERS, length), own)
        noise = rng.random(length if per_residue else 1) < 0.1
        label[np.broadcast_to(noise, length)] = rng.integers(len(CLASSES))
        text = "".join(CLASSES[k][0] for k in label) if per_residue else CLASSES[label[0]]
        split = ("train", "train", "train", "validation", "test")[i % 5]
        rows.append({"id": f"P{i:05}", "sequence": letters.tobytes().decode(), "label": text, "set": split})
    with (folder / "data.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    names = {"validation": "val"}
    with (folder / "data.fasta").open("w") as stream:
        for row in rows:
            stream.write(f">{row['id']} TARGET={row['label']} SET={names.get(row['set'], row['set'])}\n")
            stream.write(row["sequence"] + "\n")
    task = {
        "name": "made-up",
        "version": 1,
        "title": "Made-up classes",
        "problem": "residue-classification" if per_residue else "sequence-classification",
        "summary": "Which residues does it prefer?",
        "data": {
            "source": "file",
            "files": [{"path": "data.csv"}],
            "splits": {split: {"where": {"set": [split]}} for split in ("train", "validation", "test")},
        },
        "labels": {name[0]: name for name in CLASSES} if per_residue else list(CLASSES),
        "metrics": {"primary": "accuracy"},
        "licence": "CC0-1.0",
        "citation": "none",
    }
    (folder / "task.yaml").write_text(json.dumps(task, indent=2))  # JSON is YAML.
    return sum(len(row["sequence"]) for row in rows)


class Contest:
    """Starts the processes of all tools on one folder of data.

    Args:
        folder: holds what :func:`write_data` wrote, and the checkpoint under its Hub name.
        pythons: of the rivals.
        given: the options.
    """

    def __init__(self, folder: Path, pythons: dict[str, Path], given: argparse.Namespace) -> None:
        self.folder, self.pythons, self.given = folder, pythons, given
        self.turns: dict[str, Turns] = {}

    def biotrainer(self, name: str, place: Path) -> Process:
        """``biotrainer train``, its defaults but for the head, its training and its scaling, which are bench's."""
        config = {
            "protocol": "residue_to_class" if self.given.residues else "sequence_to_class",
            "input_file": str(self.folder / "data.fasta"),
            "output_dir": str(place / "output"),
            "embedder_name": NAME,
            "model_choice": "LogReg",
            "optimizer_choice": "adam",
            "scaling_method": "standard",
            "num_epochs": HEAD["epochs"],
            "patience": HEAD["patience"],
            "batch_size": HEAD["batch_size"],
            "learning_rate": HEAD["learning_rate"],
            "device": "cpu",
            "seed": 1,
        }
        (place / "config.yml").write_text("".join(f"{key}: {value}\n" for key, value in config.items()))
        program = self.pythons[name].with_name("biotrainer")
        done = self._run(name, [str(program), "train", "--config", "config.yml"], place)
        log = done.output
        self.turns[name].logged.append(_found(r"Time elapsed for computing embeddings: ([\d.]+)", log, name))
        self.turns[name].accuracy.append(
            _found(r"Test set test metrics: .*?'accuracy': (?:tensor\()?([\d.]+)", log, name)
        )
        return done

    def scripted(self, name: str, place: Path) -> Process:
        """One of the scripts at the end of this file, in the rivals' environment."""
        (place / "given.json").write_text(
            json.dumps(
                {
                    "checkpoint": NAME,
                    "data": str(self.folder / "data.csv"),
                    "per_residue": self.given.residues,
                    "epochs": self.given.epochs,
                    "learning_rate": self.given.learning_rate,
                }
            )
        )
        done = self._run(name, [str(self.pythons[name]), __file__, "--script", name, str(place)], place)
        found = json.loads(done.output.splitlines()[-1])
        self.turns[name].logged.append(found["seconds"])
        self.turns[name].accuracy.append(found["accuracy"])
        return done

    def bench(self, name: str, place: Path) -> Process:
        """``bench run``: embed and train, or fine-tune, into empty folders."""
        recipe, settings = self._asked(name)
        command = [sys.executable, "-m", "hubtools.cli.main", "run", "--checkpoint", NAME, "--seed", "1"]
        command += ["--task", str(self.folder / "task.yaml"), "--recipe", recipe, "--runs", "runs"]
        command += [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
        done = self._run(name, command, place)
        self._noted(name, recipe, place)
        return done

    def warm(self, name: str, place: Path) -> Process:
        """``hubtools.run`` in a process that has done another run: that one run, of the process nothing else."""
        recipe, settings = self._asked(name)
        given = {"recipe": recipe, "settings": settings, "folder": str(self.folder), "checkpoint": NAME}
        (place / "given.json").write_text(json.dumps(given))
        done = self._run(name, [sys.executable, __file__, "--script", "warm", str(place)], place)
        self._noted(name, recipe, place)
        found = json.loads(done.output.splitlines()[-1])
        self.turns[name].cpu[-1] = found["cpu_seconds"]
        return replace(done, **found)

    def _asked(self, name: str) -> tuple[str, dict[str, Any]]:
        """The recipe of a variant of bench, and what of it is set."""
        settings: dict[str, Any] = {"precision": "fastest"} if "fastest" in name else {}
        if "probe" in name:
            return "probe", settings | HEAD
        rate = self.given.learning_rate
        settings |= {"epochs": self.given.epochs, "batch_size": 8, "patience": "null"}
        return "full", settings | {"learning_rate": rate, "head_learning_rate": rate}

    def _noted(self, name: str, recipe: str, place: Path) -> None:
        """What the record of the run says; beside it are those of the trivial baselines."""
        records = [json.loads(path.read_text()) for path in place.glob("runs/*/run.json")]
        (record,) = [found for found in records if found["identity"]["recipe"]["name"].startswith(recipe)]
        self.turns[name].logged.append(record["cost"]["wall_seconds"])
        self.turns[name].accuracy.append(record["results"]["test"]["scores"]["accuracy"]["value"])

    def turn(self, name: str, how: Callable[[str, Path], Process]) -> Callable[[], Process]:
        """One turn of a tool in a folder that is there for this turn alone."""

        def run() -> Process:
            with tempfile.TemporaryDirectory(dir=self.folder) as folder:
                (Path(folder) / NAME).parent.mkdir()
                (Path(folder) / NAME).symlink_to(self.folder / NAME, target_is_directory=True)
                return how(name, Path(folder))

        self.turns[name] = Turns()
        return run

    def variants(self, name: str, *, warm: bool) -> dict[str, Callable[[], Process]]:
        """A turn of bench in either precision, in a process that is warm where wanted, and of another checkout where one is named."""
        names = [name, f"{name}, fastest"]
        names += [f"{one}{OTHER_CODE}" for one in names] if self.given.code else []
        turns = {one: self.turn(one, self.bench) for one in names}
        if warm:
            turns |= {f"{one}, warm": self.turn(f"{one}, warm", self.warm) for one in names}
        return turns

    def _run(self, name: str, command: list[str], place: Path) -> Process:
        """Run a process to its end, and note what it took."""
        threads = str(self.given.threads)
        offline = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "CUDA_VISIBLE_DEVICES": "-1"}
        limits = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads)
        around = {"PYTHONPATH": "", **offline, **limits}
        if name.startswith("bench"):
            code = self.given.code.resolve() if OTHER_CODE in name else ROOT
            around |= {"BENCH_CACHE": str(place / "cache"), "PYTHONPATH": str(code)}
        done = process(command, around, place)
        self.turns[name].cpu.append(done.cpu_seconds)
        self.turns[name].memory.append(done.megabytes)
        return done


def _found(pattern: str, text: str, name: str) -> float:
    """The last number that a pattern finds."""
    found = re.findall(pattern, text)
    if not found:
        raise SystemExit(f"{name} did not print what is looked for ({pattern}):\n{text[-3000:]}")
    return float(found[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rivals", nargs="*", metavar="RIVAL", help=f"of {', '.join(RIVALS)}; default all")
    parser.add_argument("--environment", type=Path, metavar="DIR", help="virtual environments of the rivals; kept")
    parser.add_argument("--torch", default=f"torch=={version('torch').partition('+')[0]}", help="what pip installs")
    parser.add_argument("--checkpoint", type=Path, metavar="DIR", help="ESM-2 folder; default random weights")
    parser.add_argument("--shape", choices=SHAPES, default="8M", help="of the random weights")
    parser.add_argument("--proteins", type=int, default=200, help="in all three splits together")
    parser.add_argument("--residues", action="store_true", help="a label for each residue")
    parser.add_argument("--epochs", type=int, default=2, help="of fine-tuning")
    parser.add_argument("--learning-rate", type=float, default=5e-4, help="of fine-tuning")
    parser.add_argument("--code", type=Path, metavar="DIR", help="another checkout of bench, which takes turns too")
    parser.add_argument("--script", nargs=2, help=argparse.SUPPRESS)
    options(parser)
    parser.set_defaults(rounds=3)
    given = parser.parse_args()
    if given.script:
        scripts = {"dgeb": dgeb_script, "notebook": notebook_script, "warm": warm_script}
        scripts[given.script[0]](Path(given.script[1]))
        return
    rivals = given.rivals or [name for name in RIVALS if not (given.residues and name == "dgeb")]
    if unknown := set(rivals) - set(RIVALS):
        parser.error(f"no such rival: {', '.join(sorted(unknown))}")
    if given.residues and "dgeb" in rivals:
        parser.error("dgeb has no labels of residues")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        pythons = environments((given.environment or folder / "environments").resolve(), rivals, given.torch)
        residues = write_data(folder, given.proteins, given.residues)
        if given.checkpoint:
            (folder / NAME).parent.mkdir()
            (folder / NAME).symlink_to(given.checkpoint.resolve(), target_is_directory=True)
        else:
            write_esm2(folder / NAME, given.shape)
        (folder / BEFORE).mkdir()
        write_data(folder / BEFORE, BEFORE_PROTEINS, given.residues, seed=8)
        write_esm2(folder / OTHER, "8M", seed=1)
        contest = Contest(folder, pythons, given)
        contests: list[tuple[str, dict[str, Callable[[], Process]]]] = []
        probes = [rival for rival in rivals if rival != "notebook"]
        if probes:
            turns = {
                r: contest.turn(r, contest.biotrainer if r.startswith("biotrainer") else contest.scripted)
                for r in probes
            }
            turns |= contest.variants("bench, probe", warm=True)
            contests.append((probes[0], turns))
        if "notebook" in rivals:
            turns = {"notebook": contest.turn("notebook", contest.scripted)}
            turns |= contest.variants("bench, full", warm=False)
            contests.append(("notebook", turns))
        rows, figures = [], {}
        for reference, turns in contests:
            for name, timing in interleaved(turns, given.rounds, reference).items():
                seen = contest.turns[name]
                rows.append(
                    [
                        name,
                        f"{timing.median:.1f} [{timing.low:.1f}–{timing.high:.1f}]",
                        f"{timing.ratio:.2f} × {reference} [{timing.ratio_low:.2f}–{timing.ratio_high:.2f}]",
                        f"{median(seen.cpu):.1f}",
                        f"{median(contest.turns[reference].cpu) / median(seen.cpu):.2f} ×",
                        f"{median(seen.logged):.1f}",
                        f"{median(seen.memory):,.0f}",
                        f"{median(seen.accuracy):.3f}",
                    ]
                )
                figures[name] = {"process": timing, **vars(seen)}
        found = {name: versions(python) for name, python in pythons.items()}
        title = f"Rivals end to end: {given.proteins} proteins, {residues:,} residues, a label for each "
        title += f"{'residue' if given.residues else 'protein'}; {given.checkpoint or f'ESM-2 {given.shape}, random'}"
        columns = [
            "tool",
            "seconds, whole process",
            "speed",
            "CPU s",
            "by CPU s",
            "logged work, s",
            "peak MB",
            "test accuracy",
        ]
        figures = {"rivals": found, "residues": residues, "tools": figures}
        report(title, columns, rows, given, figures)
        print()
        for name, numbers in found.items():
            print(f"{name}: {', '.join(f'{package} {number}' for package, number in numbers.items())}")
        print(f"bench's: torch {version('torch')}, transformers {version('transformers')}. Nothing is stubbed.")
        print(
            "Logged work: biotrainer's and DGEB's own time for embeddings alone; of the notebook, Trainer.train; of bench "
            "the whole run\nafter its imports: data, alignment proof, embedding, training, scores with intervals, saving. "
            "Warm: the second run of a process, by hubtools.run."
        )


# What follows runs as a process of its own, the first in bench's environment, the others in the rivals'.


def warm_script(place: Path) -> None:
    """Another run, and then the one that is timed, whose caches are as empty as of a process of its own."""
    import hubtools

    given = json.loads((place / "given.json").read_text())
    folder = Path(given["folder"])

    def run(checkpoint: str, data: Path, part: str) -> None:
        os.environ["BENCH_CACHE"] = str(place / part / "cache")
        how = {"set": given["settings"], "seeds": [1], "runs": place / part}
        done = hubtools.run(checkpoint, str(data / "task.yaml"), given["recipe"], **how)
        if done.problems:
            raise SystemExit("\n".join(done.problems))

    run(str(folder / OTHER), folder / BEFORE, BEFORE)
    started, computed = time.perf_counter(), time.process_time()
    run(given["checkpoint"], folder, "runs")
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - computed
    print(json.dumps({"seconds": seconds, "cpu_seconds": cpu_seconds}))


def read_splits(given: dict[str, Any]) -> dict[str, list[dict[str, str]]]:
    """Rows of the CSV file by split."""
    splits: dict[str, list[dict[str, str]]] = {"train": [], "validation": [], "test": []}
    with Path(given["data"]).open(newline="") as stream:
        for row in csv.DictReader(stream):
            splits[row["set"]].append(row)
    return splits


def dgeb_script(place: Path) -> None:
    """DGEB's embedder at its command's settings (batch 64, last layer as it counts them), and its classifier."""
    from dgeb.evaluators import logRegClassificationEvaluator
    from dgeb.models import ESM

    given = json.loads((place / "given.json").read_text())
    splits = read_splits(given)
    # One loader process: its sixteen by default cost more to start here than they save.
    model = ESM(given["checkpoint"], layers="last", batch_size=64, num_processes=1)
    started = time.perf_counter()
    embedded = {name: model.encode([r["sequence"] for r in splits[name]])[:, 0] for name in ("train", "test")}
    seconds = time.perf_counter() - started
    labels = {name: [r["label"] for r in splits[name]] for name in ("train", "test")}
    evaluator = logRegClassificationEvaluator(embedded["train"], labels["train"], embedded["test"], labels["test"])
    print(json.dumps({"seconds": seconds, "accuracy": evaluator()["accuracy"]}))


def notebook_script(place: Path) -> None:
    """What the public notebooks do: Auto classes, Trainer, eight proteins a batch as they come, padded to the longest."""
    import transformers as hf

    given = json.loads((place / "given.json").read_text())
    splits = read_splits(given)
    names = sorted(
        {label for row in splits["train"] for label in (row["label"] if given["per_residue"] else [row["label"]])}
    )
    number = {name: i for i, name in enumerate(names)}
    tokenizer = hf.AutoTokenizer.from_pretrained(given["checkpoint"])

    def example(row: dict[str, str]) -> dict[str, Any]:
        tokens = dict(tokenizer(row["sequence"]))
        if given["per_residue"]:
            # One token before the protein and one behind it have no label.
            tokens["labels"] = [-100, *(number[letter] for letter in row["label"]), -100]
        else:
            tokens["labels"] = number[row["label"]]
        return tokens

    examples = {name: [example(row) for row in rows] for name, rows in splits.items()}
    if given["per_residue"]:
        kind, collator = hf.AutoModelForTokenClassification, hf.DataCollatorForTokenClassification(tokenizer)
    else:
        kind, collator = hf.AutoModelForSequenceClassification, hf.DataCollatorWithPadding(tokenizer)
    hf.set_seed(1)
    model = kind.from_pretrained(given["checkpoint"], num_labels=len(names))

    def accuracy(outcome: Any) -> dict[str, float]:
        counted = outcome.label_ids != -100
        return {"accuracy": float((outcome.predictions.argmax(-1) == outcome.label_ids)[counted].mean())}

    arguments = hf.TrainingArguments(
        output_dir=str(place / "trainer"),
        num_train_epochs=given["epochs"],
        learning_rate=given["learning_rate"],
        per_device_train_batch_size=8,
        per_device_eval_batch_size=8,
        weight_decay=0.01,
        eval_strategy="epoch",
        save_strategy="epoch",
        load_best_model_at_end=True,
        metric_for_best_model="accuracy",
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
        seed=1,
    )
    trainer = hf.Trainer(
        model=model,
        args=arguments,
        train_dataset=examples["train"],
        eval_dataset=examples["validation"],
        data_collator=collator,
        processing_class=tokenizer,
        compute_metrics=accuracy,
    )
    started = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "accuracy": trainer.evaluate(examples["test"])["eval_accuracy"]}))


if __name__ == "__main__":
    main()

"""What users write after an option, and what names a place."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import samples
from attempts import attempt
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from mutations import NUMBERS, SIGNS, WORDS, mutated_texts


def _words(*examples: str) -> SearchStrategy[str]:
    return st.one_of(mutated_texts(examples, 2), st.sampled_from([*NUMBERS, *WORDS, *SIGNS]))


def _option(name: str, *examples: str) -> None:
    @attempt(name)
    def _() -> Any:
        return st.lists(_words(*examples), max_size=3), lambda read, folder, value: read(None, None, tuple(value))


_option("cli.run.parse_seeds", "1", "1,2,3", "1-5")
_option("cli.run.parse_fractions", "0.1", "0.01,0.1,1")
_option(
    "cli.run.parse_settings", "learning_rate=1e-4", "head.hidden=null", "window={residues: 100}", "x=[1, 2]", "epochs=5"
)


@attempt("inference.checkpoints.substitution_scan.region_of")
def _() -> Any:
    def call(read: Any, folder: Path, value: str) -> Any:
        first, last = read(value)
        assert 1 <= first <= last

    return _words("20-80", "7"), call


@attempt("cli.shared.engine_options.parse_workers")
def _() -> Any:
    def call(read: Any, folder: Path, value: Any) -> Any:
        assert (workers := read(None, None, value)) in {None, "auto"} or 0 < workers < 10_000

    return st.none() | _words("auto", "4"), call


@attempt("cli.engines.run_job.parse_moment")
def _() -> Any:
    return st.none() | _words("2026-11-29T18:00:00+00:00", "2026-11-29"), lambda read, folder, value: read(
        None, None, value
    )


@attempt("api.engines.engine_job.numbers_of")
def _() -> Any:
    def call(read: Any, folder: Path, value: str) -> Any:
        assert all(0 <= number < 1000 for number in read(value, 1000))

    return _words("0-3,7", "0", "7,1-2"), call


@attempt("cli.sweep.parse_budget")
def _() -> Any:
    def call(read: Any, folder: Path, value: Any) -> Any:
        seconds = read(None, None, value)
        assert seconds is None or (0 < seconds < math.inf)

    return st.none() | _words("2h", "1h30m", "30 min", "0.5h"), call


@attempt("cli.shared.execution_options._budget")
def _() -> Any:
    return st.none() | _words("auto", "2048", "64"), lambda read, folder, value: read(None, None, value)


@attempt("cli.check._margins")
def _() -> Any:
    return st.lists(_words("my-task=0.02", "a=1e-3"), max_size=3), lambda read, folder, value: read(value)


@attempt("api.stored.embeddings_kept._seconds")
def _() -> Any:
    def call(read: Any, folder: Path, value: str) -> Any:
        assert 0 <= read(value) < 1e17

    return _words("30d", "12h", "8w", "1.5 h"), call


@attempt("api.tasks.task_text.drawn_splits", "training.frozen.embedding_store.size_limit")
def _() -> Any:
    return _words("80/10/10", "0.8/0.2", "20", "500 MB", "1.5GiB"), lambda read, folder, text: read(text)


@attempt("findings.reproduction._checkpoint_of")
def _() -> Any:
    def call(read: Any, folder: Path, text: str) -> Any:
        record = samples.records()[1]
        return read(record.model_copy(update={"command": text.replace("HERE", str(folder))}), None)

    commands = [
        "bench run --checkpoint HERE --task x",
        "bench run --task x --checkpoint '~nobody/esm'",
        "bench run --checkpoint",
    ]
    return mutated_texts(commands, 2), call


@attempt("runs.sweeps.search_space.read_space")
def _() -> Any:
    from hubtools.specs.problem import Problem

    texts = _words(
        "learning_rate=1e-4..1e-2",
        "epochs=5..20",
        "head.hidden=null,64,256",
        "window.overlap=0..10 linear",
        "batch_size=1..64 log",
    )

    def call(read: Any, folder: Path, given: Any) -> Any:
        return list(map(str, read(given, "probe", {}, Problem("sequence-classification"))))

    return st.lists(texts, max_size=2), call


@attempt("findings.naming.selectors.parse")
def _() -> Any:
    def call(read: Any, folder: Path, text: str) -> Any:
        _, selector = read(text)
        record = samples.records()[0]
        selector.fits(record), [selector.unmet(key, [record]) for key in selector.patterns]
        selector.check([record], text)

    return _words(
        "runs:recipe=lora,checkpoint=*8M*",
        "a:task=x|y,seed=[12]",
        "C:/runs:head.hidden=64",
        "hub://lab/esm:fraction=0.1",
    ), call


@attempt("specs.references.read_address", "specs.references.read_id")
def _() -> Any:
    texts = _words(
        "hub://lab/esm@main/a/b",
        "hub://lab/esm",
        "lab/esm@refs/pr/1",
        "hub://lab/esm@a%2Fb",
        "lab/esm",
        "hub://l/r@%2e%2e",
    )
    return (
        texts,
        lambda read, folder, text: read(text, "a task", "name") if read.__name__ == "read_address" else read(text),
    )


@attempt("findings.glossary.explained")
def _() -> Any:
    return _words("mcc", "best set", "Spearman ρ", "clusters"), lambda read, folder, word: read(word)

"""``bench publish --space --static`` to a Hub on loopback, and the page of that Space as somebody opens it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from browser import browser_page
from exporting.asked_page import asked, downloaded, needs_runtime, opened, scores
from hub_server import Hub
from tiny_runs import made

from hubtools.evaluation.predictions import read_predictions
from hubtools.exporting.page_server import PageServer
from hubtools.findings.wording import metric_title

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("quick_reload"),
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),
]
MODEL, SPACE = "me/tiny", "me/tiny-demo"


def test_a_published_page_predicts_what_was_recorded_and_the_card_says_what_int8_costs(
    hub: Hub, bench: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    needs_runtime()
    run = made(tmp_path, "sequence-classification")
    command = ("publish", run, "--repo", MODEL, "--space", SPACE, "--static", "--quantise", "int8", "--licence", "mit")
    code, out, err = bench(*command)
    assert code == 0 and not hub.writes and f"--space {SPACE} --static --quantise int8 --push" in out, err
    code, out, err = bench(*command, "--push")
    assert code == 0 and f"{hub.endpoint}/spaces/{SPACE}/tree/" in out, err

    files = hub.repos["spaces", SPACE].history()[0].files
    folder = tmp_path / "space"
    for name, file in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(hub.blob(file.sha256).read_bytes())
    about = json.loads((folder / "export.json").read_text())
    cost = about["int8"]["validation"]
    said = f"in eight bits: {metric_title(cost['metric'])} {cost['int8']:.3f} instead of {cost['float32']:.3f} on {cost['proteins']}"
    card = hub.read(MODEL, "README.md").decode()
    (paragraph,) = [text for text in card.split("\n\n") if f"https://huggingface.co/spaces/{SPACE}" in text]
    assert said in paragraph and "```" not in paragraph
    assert said in " ".join((folder / "README.md").read_text().split()) and about["weights"] == "int8"

    recorded = read_predictions(run / "predictions.parquet")["test"]
    (table,) = (tmp_path / "tasks").glob("*.csv")
    rows = {row["id"]: row["sequence"] for row in csv.DictReader(table.open()) if row["set"] == "test"}
    ids = recorded.ids.tolist()[:20]
    server = PageServer(folder, "127.0.0.1", 0)
    try:
        with browser_page() as seen:
            opened(seen, server.address)
            asked(seen, "".join(f">{name}\n{rows[name]}\n" for name in ids))
            got = scores(downloaded(seen, "#tsv"), about["labels"])
            assert seen.complaints == [] and all(name.startswith(server.address) for name in seen.requests)
    finally:
        server.close()
    moved = np.abs(got - recorded.scores[: len(ids)])
    # What it printed is of validation; proteins of test move as far, or nearly.
    assert moved.max() <= 2 * cost["largest"]

    code, out, err = bench(*command, "--push")
    assert code == 0 and "nothing to do" in out and "its page is there already" in out, err

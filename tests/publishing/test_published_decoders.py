"""Per-protein models of decoders: run, record, card, and the same numbers from what would be published."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_decoders import write_decoder, write_protgpt2
from tiny_runs import made, whole

from hubtools.publishing.card_lines import largest_difference, run_lines
from hubtools.publishing.contents import lay_out, plan_publication
from hubtools.publishing.reload import reproduce
from hubtools.runs.store import PLACES, read_record


@pytest.mark.slow
@pytest.mark.parametrize(
    ("write", "recipe", "settings", "said"),
    [
        (write_decoder, "probe", {"head.pooling": "auto", "epochs": 3}, "which was chosen on validation"),
        (write_decoder, "full", {"head.pooling": "last"}, "The head reads the last residue"),
        (write_protgpt2, "probe", {"head.pooling": "last", "window.residues": 16, "window.overlap": 4}, "in lines of 60"),
    ],
)  # fmt: skip
def test_what_is_published_reads_as_the_run_did(
    tmp_path: Path, write: Callable[[Path], Path], recipe: str, settings: dict[str, Any], said: str
) -> None:
    checkpoint = write(tmp_path / "checkpoint")
    run = made(tmp_path, "sequence-classification", recipe=recipe, checkpoint=str(checkpoint), **settings)
    record = read_record(run)
    assert record.context is not None and not record.context.follows
    whole(run)
    publication = plan_publication(run, "me/model", licence="mit")
    assert not publication.failed, publication.failed
    with lay_out(publication.files) as stage:
        folder = Path(stage)
        assert said in (folder / "README.md").read_text()
        answers = run_lines(folder, read_record(folder))
        assert answers and largest_difference(answers, folder, read_record(folder)) < 1e-5
        shutil.copy(run / PLACES, folder)  # Where this machine has the data.
        assert reproduce(folder).difference < 1e-4

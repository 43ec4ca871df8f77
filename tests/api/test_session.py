"""docs/python.md is one session, from a task to a repository on a loopback Hub, and all of it runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hub_server import Hub

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "python.md"

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")]


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def test_the_session_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: Hub, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    session: dict[str, Any] = {}
    for number, block in enumerate(blocks(), 1):
        exec(compile(block, f"{GUIDE.name}, block {number}", "exec"), session)
    out, err = capfd.readouterr()
    # What the session itself prints, and nothing else.
    assert err == "" and out.count("probe · seed") == 3 and "Did you mean charge?" in out.splitlines()[-1]
    assert len(out.splitlines()) == 7
    frame = session["frame"]
    assert len(frame) == 4 and set(frame["metric"]) == {"mcc"} and frame["value"].notna().all()
    assert session["comparison"].verdicts.keys() == {"charge"}
    assert session["checked"].verdict == "pass" and session["checked"].exit_code == 0
    assert set(session["predicted"].to_pandas()["id"]) == {"acid", "base"}
    assert session["board"].board.n_runs == 4 and (folder / "board.html").stat().st_size > 10_000
    published = session["publication"]
    assert not published.failed and published.done is not None and published.done.changed
    assert hub.read("me/charge", "model.safetensors")
    shows = "planned done found board comparison checked predicted embedded scanned publication task proposed contents audited"
    for shown in shows.split():
        html = session[shown]._repr_html_()
        assert html.count("<table") == html.count("</table>") > 0 and "<script" not in html, shown


def test_files_that_the_page_links_to_exist() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", GUIDE.read_text(encoding="utf-8")):
        assert (GUIDE.parent / target).exists(), target

"""The board as a page: a folder of files that any web server, or none, can show, or all of it in one file.

Both are one template with one style and one set of scripts. No request leaves either.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hubtools.common.escaping import spreadsheet_cell
from hubtools.common.files import replacing_folder
from hubtools.findings.board.leaderboard import Board
from hubtools.reporting.site_data import site_data
from hubtools.reporting.templates import asset, inline_json, render

INDEX = "index.html"
# In every site, so that a folder that is none is never replaced.
MARK = "bench-site.json"
# Of a site's table as many rows are shown without scripts: all of them are in its results.csv. One file shows them all.
_WITHOUT_SCRIPTS = 20


def write_site(board: Board, folder: Path, notice: str | None = None) -> list[Path]:
    """Write the site: ``index.html``, the provenance of each table under ``data/``, and the results as CSV and JSON.

    The same records give the same files, byte for byte. The folder is replaced as a whole.

    Args:
        board: as ``build_board`` gives it.
        folder: of the site; empty, not there, or a site that bench wrote.
        notice: what stands above everything, in each view.

    Returns:
        The files, relative to the folder.

    Raises:
        UserError: something else is in the folder, or it cannot be written.
    """
    files = dict(site_files(board, notice))
    # Not durable: tens of thousands of files, and the same command makes them again.
    with replacing_folder(folder, MARK, durable=False) as staging:
        for name, text in files.items():
            path = staging / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return [Path(name) for name in files]


def page_file(board: Board, notice: str | None = None) -> str:
    """The whole site as one page. The same records give the same page, byte for byte."""
    data, details = site_data(board, notice)
    return _page(data, {key: inline_json(rows) for key, rows in details.items()})


def site_files(board: Board, notice: str | None = None) -> Iterator[tuple[str, str]]:
    """Name and text of each file of the site."""
    data, details = site_data(board, notice)
    yield INDEX, _page(data, None)
    for key, rows in details.items():
        # A script and not JSON: a page that was opened from a disk may load the one and not the other.
        yield f"data/{key}.js", f"benchDetails({inline_json(key)}, {inline_json(rows)});\n"
    yield "results.json", json.dumps(data, ensure_ascii=False, indent=1, allow_nan=False) + "\n"
    yield "results.csv", _csv(data)
    yield MARK, json.dumps({"made_by": "bench board --site", "runs": data["counts"]["runs"]}) + "\n"


def _page(data: dict[str, Any], details: dict[str, str] | None) -> str:
    """The page; with the provenance of each table inside, or None where it lies beside."""
    return render(
        "site/index.html.j2",
        data=data,
        json=inline_json(data),
        details=details,
        most=_WITHOUT_SCRIPTS if details is None else None,
        style=asset("site/site.css"),
        scripts=[asset(f"site/{name}.js") for name in ("page", "plots", "provenance", "site")],
    )


def _csv(data: dict[str, Any]) -> str:
    stream = io.StringIO()
    out = csv.writer(stream, lineterminator="\n")
    out.writerow(
        [
            "task",
            "version",
            "remarks",
            "problem",
            "model",
            "revision",
            "recipe",
            "adaptation",
            "kind",
            "parameters",
            "split",
            "metric",
            "value",
            "low",
            "high",
            "seeds",
            "best_set",
            "wall_seconds",
            "kwh",
        ]
    )
    for table in data["tables"]:
        for row in table["rows"]:
            arm = data["arms"][row["arm"]]
            about = [table["task"], table["version"], "; ".join(table["remarks"]), table["problem"]]
            who = [arm[key] for key in ("model", "revision", "recipe", "adaptation", "kind", "parameters")]
            measured = [(table["split"], table["metric"]["name"], row["v"], row["l"], row["h"])]
            measured += [
                (column["split"], column["name"], *cell)
                for column, cell in zip(table["columns"], row["c"], strict=True)
            ]
            for split, metric, value, low, high in measured:
                cells = [*about, *who, split, metric, value, low, high, row["n"], row["best_set"], row["w"], row["e"]]
                out.writerow(map(spreadsheet_cell, cells))
    return stream.getvalue()

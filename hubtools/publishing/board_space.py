"""The leaderboard as a static Space: the site's files and a card, in one commit."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hubtools.common.errors import UserError
from hubtools.common.files import write_atomic
from hubtools.findings.board.leaderboard import Board
from hubtools.publishing.commit import PublishedFile, PushedCommit, Target, look, send
from hubtools.reporting.card.card_metadata import front_matter
from hubtools.reporting.site import INDEX, MARK, write_site

README = "README.md"


def push_board(board: Board, repo: str, *, private: bool = False, notice: str | None = None) -> PushedCommit:
    """Publish the site; files of an earlier site that are no longer part of it go, others stay.

    Args:
        board: as ``build_board`` gives it.
        repo: ``owner/name`` of the Space, which is created where it is not there.
        private: whether it must be private.
        notice: what stands above everything, in each view.

    Raises:
        UserError: something that bench did not write would be overwritten, or the Hub refuses.
    """
    target = look(repo, kind="space", private=private, sdk="static")
    if INDEX in target.files and MARK not in target.files and not _is_fresh(target):
        raise UserError("this Space holds a page that bench did not write", where=repo, fix="Choose another name.")
    with tempfile.TemporaryDirectory(prefix="bench-space-") as scratch:
        folder = Path(scratch) / "site"
        names = [path.as_posix() for path in write_site(board, folder, notice)]
        write_atomic(folder / README, card(board, repo))
        files = [PublishedFile.of(name, folder / name) for name in [README, *names]]
        old = [name for name in target.files if name.startswith("data/") and name.endswith(".js") and name not in names]
        return send(target, files, old, "The board", f"{board.n_runs} runs, written by bench board --push.")


def _is_fresh(target: Target) -> bool:
    """Whether it holds nothing but the page that the Hub puts into every new static Space."""
    return set(target.files) <= {INDEX, "style.css", README, ".gitattributes"}


def card(board: Board, repo: str) -> str:
    """README.md of the Space, whose front matter tells the Hub what to serve."""
    tasks = sorted({table.question.task for table in board.tables})
    values = {
        "title": repo.split("/")[1].replace("-", " "),
        "emoji": "🧬",
        "colorFrom": "blue",
        "colorTo": "gray",
        "sdk": "static",
        "app_file": INDEX,
        "pinned": False,
        "short_description": "Protein language models, with intervals",
        "tags": ["leaderboard", "biology", "protein", "protein-language-model", "plm-hubtools"],
    }
    lines = [
        f"# {values['title']}",
        "",
        f"{board.n_runs:,} runs on {len(tasks)} tasks ({', '.join(tasks)}), made by `bench board --push` from run records. Every "
        "score has its interval, and opens the runs that it is from.",
        "",
    ]
    return front_matter(values) + "\n" + "\n".join(lines)

"""What the documents say is what the code does."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from hubtools.cli.main import cli

ROOT = Path(__file__).resolve().parent.parent


def test_the_reference_is_generated_from_this_code():
    done = subprocess.run([sys.executable, ROOT / "docs" / "generate.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


PAGES = sorted(path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
#: Pages that show commands: all but what is generated and what only tells of them.
SHOW = [page for page in PAGES if "\n    bench " in (ROOT / page).read_text()]


@pytest.mark.parametrize("page", SHOW)
def test_every_option_of_bench_in_a_page_exists(page):
    # A command line stands alone, or is a step of a workflow.
    used = re.findall(r"^(?: {4,}|\s*- )(?:run: )?bench (\w+)(.*)$", (ROOT / page).read_text(), flags=re.MULTILINE)
    assert used
    for name, rest in used:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None, name
        words = rest.split("#")[0].split()
        if isinstance(command, click.Group):
            command = command.commands[words[0]]
        known = {option for parameter in command.params for option in parameter.opts}
        for word in words:
            if word.startswith("--"):
                assert word in known, f"bench {name} {word}"


def test_the_readme_is_short_and_has_the_commands_that_ci_calls():
    text = (ROOT / "README.md").read_text()
    assert len(text.split()) <= 900
    assert "    make quickstart\n    make test\n" in text


def headings(page):
    """Anchors of a page, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text(), flags=re.DOTALL | re.MULTILINE)
    found = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", [*PAGES, "tasks/README.md"])
def test_what_a_page_links_to_exists(page):
    text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text(), flags=re.DOTALL | re.MULTILINE)
    for target, anchor in re.findall(r"\]\(([^)#:\s]*)(?:#([^)\s]+))?\)", text):
        path = ((ROOT / page).parent / target).resolve() if target else ROOT / page
        assert path.exists(), f"{page}: {target}"
        if anchor and path.suffix == ".md":
            assert anchor in headings(path.relative_to(ROOT).as_posix()), f"{page}: {target}#{anchor}"


def shown(page):
    """Command lines of bench in a page, as words."""
    lines = re.findall(r"^ {4,}bench (.*)$", (ROOT / page).read_text(), flags=re.MULTILINE)
    return [shlex.split(line.split(" #")[0]) for line in lines]


@pytest.mark.parametrize("page", ["README.md", "docs/faq.md", "docs/running.md"])
def test_every_run_that_a_page_shows_can_be_planned(page, tmp_path, monkeypatch):
    """With the checkpoint that ships, which needs no network: recipes, tasks, suites and fields are those of the page."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "my-task.yaml").write_text(
        (ROOT / "tasks" / "signal-peptide.yaml").read_text().replace("signal-peptide", "my-task", 1)
    )
    runs = [
        words for words in shown(page) if words[0] == "run" and "…" not in words and "hub://" not in " ".join(words)
    ]
    assert len(runs) > 2
    for words in runs:
        named = {at + 1 for at, word in enumerate(words) if word == "--checkpoint"}
        words = ["embedded" if at in named else word for at, word in enumerate(words)]
        done = CliRunner().invoke(cli, [*words, "--dry-run"])
        assert done.exit_code == 0, (words, done.output)

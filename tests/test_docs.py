"""What the documents say is what the code does."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def test_the_reference_is_generated_from_this_code():
    done = subprocess.run([sys.executable, ROOT / "docs" / "generate.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


PAGES = sorted(path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
#: Pages that show commands: all but what is generated and what only tells of them.
SHOW = [page for page in PAGES if "\n    bench " in (ROOT / page).read_text()]


@pytest.mark.parametrize("page", SHOW)
def test_every_option_of_bench_in_a_page_exists(page):
    import click

    from hubtools.cli.main import cli

    # A command line stands alone, or is a step of a workflow.
    used = re.findall(r"^\s*(?:- )?(?:run: )?bench (\w+)(.*)$", (ROOT / page).read_text(), flags=re.MULTILINE)
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

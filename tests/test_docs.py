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


@pytest.mark.parametrize("page", ["README.md", "docs/ci.md"])
def test_every_option_of_bench_in_a_page_exists(page):
    import click

    from hubtools.cli.main import cli

    # A command line stands alone, or is a step of a workflow.
    used = re.findall(r"^\s*(?:- )?(?:run: )?bench (\w+)(.*)$", (ROOT / page).read_text(), flags=re.MULTILINE)
    assert len(used) > 8
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


def test_files_that_the_readme_links_to_exist():
    for page in ("README.md", "CONTRIBUTING.md", "tasks/README.md", "docs/architecture.md", "docs/ci.md"):
        folder = (ROOT / page).parent
        for target in re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text()):
            assert (folder / target).exists(), f"{page}: {target}"

"""What the project says of itself in its own files: workflows, ranges of packages, hooks."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def pins(name: str) -> dict[str, str]:
    """Package -> its one version in a file of constraints."""
    lines = (ROOT / name).read_text().splitlines()
    found = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    return {package.lower().replace("_", "-"): version for package, version in found.items()}


def ranges() -> dict[str, tuple[str, str | None]]:
    """Package -> least version, and the one that is too new, of everything that bench can be installed with."""
    extras = PROJECT["optional-dependencies"].values()
    found = {}
    for requirement in [*PROJECT["dependencies"], *(one for extra in extras for one in extra)]:
        match = re.fullmatch(r"([\w-]+)>=([\d.]+)(?:,<([\d.]+))?", requirement)
        assert match, f"{requirement}: a lower bound is missing"
        found[match[1].lower().replace("_", "-")] = match[2], match[3]
    return found


def key(version: str) -> tuple[int, ...]:
    parts = [int(part) for part in re.findall(r"\d+", version)]
    return (*parts, *[0] * (4 - len(parts)))


def test_the_oldest_versions_are_the_lower_bounds() -> None:
    oldest = pins("constraints-oldest.txt")
    for package, (least, _) in ranges().items():
        # Of tools the version changes no result; the others are in no extra that the workflow installs.
        tools = {"mkdocs", "mkdocs-material", "mypy", "ruff", "types-pyyaml"}
        if package not in tools | {"bitsandbytes", "ray", "trackio", "wandb"}:
            assert key(oldest.pop(package)) == key(least), package
    assert not oldest


def test_what_is_tested_lies_within_the_ranges() -> None:
    tested = pins("constraints.txt")
    for package, (least, below) in ranges().items():
        assert key(least) <= key(tested[package]), package
        assert below is None or key(tested[package]) < key(below), package


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_is_pinned_bounded_and_may_little(path: Path) -> None:
    text = path.read_text()
    flow = yaml.safe_load(text)
    assert flow["permissions"] == {"contents": "read"}
    for name, job in flow["jobs"].items():
        assert job["timeout-minutes"] <= 60, name
        assert set(job.get("permissions", {})) <= {"id-token", "pages"}, name
    used = re.findall(r"uses: (\S+)(.*)", text)
    assert used and all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action) and "# v" in said for action, said in used)
    # What comes from outside reaches a script by its name in the environment alone.
    assert not [line for line in re.findall(r"run: (.*)", text) if "${{" in line]


def documented_workflows() -> list[tuple[str, str]]:
    """The workflows that pages tell others to use, by page and place."""
    blocks = [
        (page.name, block)
        for page in sorted((ROOT / "docs").glob("*.md"))
        for block in re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    ]
    return [(f"{name}-{number}", block) for number, (name, block) in enumerate(blocks) if "runs-on:" in block]


@pytest.mark.parametrize(("name", "text"), documented_workflows(), ids=[name for name, _ in documented_workflows()])
def test_a_workflow_of_a_page_is_pinned_and_may_little(name: str, text: str) -> None:
    flow = yaml.safe_load(text)
    assert flow["permissions"] in ({}, {"contents": "read"})
    allowed = {"contents": "read", "actions": "read", "pull-requests": "write", "id-token": "write"}
    for job in flow["jobs"].values():
        assert job.get("permissions", {}).items() <= allowed.items(), name
    # True is what YAML makes of the key `on`.
    assert "pull_request_target" not in str(flow[True])
    for action, said in re.findall(r"uses: (\S+)(.*)", text):
        ours = action == "OWNER/plm-hubtools@COMMIT"
        assert ours or (re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action) and "# v" in said), action
    assert text.count("actions/checkout@") == text.count("persist-credentials: false")
    assert not [line for line in re.findall(r"run: (.*)", text) if "${{" in line]


def test_a_wheel_holds_every_template() -> None:
    held = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"][
        "force-include"
    ]
    there = {f"reports/{path.name}" for path in (ROOT / "reports").iterdir()} - {"reports/leaderboard"}
    assert {name for name in held if name.startswith("reports")} == there


def test_known_holes_of_what_is_installed_are_looked_for_in_ci() -> None:
    steps = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text())["jobs"]["audit"]["steps"]
    assert any("pip_audit" in step.get("run", "") and "constraints.txt" in step["run"] for step in steps)


def test_every_python_that_is_promised_is_tested() -> None:
    flow = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text())
    promised = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", line)]
    assert flow["jobs"]["tests"]["strategy"]["matrix"]["python"] == promised
    assert PROJECT["requires-python"] == f">={promised[0]}"


def test_hooks_ask_what_make_lint_asks_and_download_nothing() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [one["repo"] for one in hooks] == ["local"]
    entries = " ".join(hook["entry"] for hook in hooks[0]["hooks"])
    assert "ruff check" in entries and "ruff format" in entries
    for hook in hooks[0]["hooks"]:
        assert hook["language"] == "system"
        for file in re.findall(r"\S+\.py", hook["entry"]):
            assert (ROOT / file).is_file(), file

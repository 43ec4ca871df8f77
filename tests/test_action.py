"""The composite action: what it declares, that no input can become a part of a script, and that its script works."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml
from check_cases import read_github_output, write_arm

ROOT = Path(__file__).resolve().parents[1]
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]


def step(name: str) -> dict[str, Any]:
    return next(step for step in STEPS if step["id"] == name)


def test_it_is_composite_and_uses_nobody_elses_action() -> None:
    assert ACTION["runs"]["using"] == "composite"
    assert len(STEPS) == 2 and all("uses" not in one and one["shell"] == "bash" for one in STEPS)


def test_no_expression_is_inside_a_script() -> None:
    for one in STEPS:
        assert "${{" not in one["run"]
        # What a script reads from outside it is given by name.
        assert set(one["env"]) <= set(re.findall(r"\$\{?([A-Z_]+)", one["run"]))


def test_every_input_is_described_and_used() -> None:
    used = set(re.findall(r"\$\{\{ inputs\.([a-z-]+) \}\}", "".join(str(one["env"]) for one in STEPS)))
    assert used == set(ACTION["inputs"])
    for name, declared in ACTION["inputs"].items():
        assert len(declared["description"]) > 10, name
        assert declared.get("required") or "default" in declared, name


@pytest.mark.slow
def test_every_output_is_one_that_the_command_sets(tmp_path: Path) -> None:
    values = {name: declared["value"] for name, declared in ACTION["outputs"].items()}
    assert values == {name: f"${{{{ steps.check.outputs.{name} }}}}" for name in ACTION["outputs"]}
    done = run_check(tmp_path, BASELINE=str(arm(tmp_path / "a")), CANDIDATE=str(arm(tmp_path / "b")))
    assert set(ACTION["outputs"]) <= set(read_github_output(tmp_path / "output")), done.stderr


def test_every_input_is_in_the_documentation() -> None:
    page = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    for name in ACTION["inputs"]:
        assert f"`{name}`" in page, name


def arm(root: Path, **more: Any) -> Path:
    write_arm(root, **more)
    return root


def run_check(folder: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
    """The step that checks, as a runner runs it."""
    bench = folder / "bench"
    bench.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m hubtools.cli.main "$@"\n')
    bench.chmod(0o755)
    script = folder / "step.sh"
    script.write_text(step("check")["run"])
    given = {"SUITE": "", "QUESTION": "", "CANNOT_TELL": "fail", "COST": "fail", "MORE": "--replicates 200"}
    github = {"RUNNER_TEMP": str(folder / "temp"), "GITHUB_OUTPUT": str(folder / "output"), "GITHUB_ACTIONS": "true"}
    github["GITHUB_STEP_SUMMARY"] = str(folder / "summary.md")
    environment = {**os.environ, **given, **github, **inputs, "BENCH": str(bench), "PYTHONPATH": str(ROOT)}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("skill", "seeds", "inputs", "code", "verdict"),
    [
        (1.0, 3, {}, 0, "pass"),
        (0.3, 3, {}, 1, "worse"),
        (0.3, 1, {}, 3, "cannot tell"),
        (0.3, 1, {"CANNOT_TELL": "warn"}, 0, "cannot tell"),
        (0.3, 1, {"MORE": "--margin gb1-fitness=0.9\n  --question   weights --replicates 200"}, 0, "pass"),
    ],
)
def test_its_exit_code_and_outputs_are_the_checks(
    tmp_path: Path, skill: float, seeds: int, inputs: dict[str, str], code: int, verdict: str
) -> None:
    base, mine = arm(tmp_path / "my baseline"), arm(tmp_path / "my runs", skill=skill, seeds=seeds, rng=7)
    done = run_check(tmp_path, BASELINE=str(base), CANDIDATE=str(mine), **inputs)
    outputs = read_github_output(tmp_path / "output")
    assert (done.returncode, outputs["verdict"]) == (code, verdict), done.stderr
    assert Path(outputs["report"]).read_text().startswith(f"## bench check: {verdict}")
    assert ET.parse(outputs["junit"]).getroot().tag == "testsuites"
    assert (tmp_path / "summary.md").read_text().startswith("## bench check")


@pytest.mark.slow
def test_what_is_in_an_input_is_never_run(tmp_path: Path) -> None:
    evil = f'$(touch {tmp_path}/owned); touch {tmp_path}/owned; "`touch {tmp_path}/owned`" --no-such'
    for name in ("BASELINE", "CANDIDATE", "SUITE", "QUESTION", "CANNOT_TELL", "COST", "MORE"):
        given = {"BASELINE": str(arm(tmp_path / "a")), "CANDIDATE": str(tmp_path / "a"), name: evil}
        done = run_check(tmp_path, **given)
        assert done.returncode == 2 and "error" in done.stderr, (name, done.stderr)
    assert not (tmp_path / "owned").exists()


def test_a_mistake_is_an_output_and_an_annotation(tmp_path: Path) -> None:
    done = run_check(tmp_path, BASELINE=str(tmp_path / "nowhere"), CANDIDATE=str(tmp_path / "nowhere"))
    assert done.returncode == 2
    assert read_github_output(tmp_path / "output")["verdict"] == "error"
    assert "::error title=bench check::" in done.stderr


def test_installed_takes_the_bench_on_the_path(tmp_path: Path) -> None:
    (tmp_path / "bench").write_text("#!/bin/sh\n")
    (tmp_path / "bench").chmod(0o755)
    script = tmp_path / "install.sh"
    script.write_text(step("install")["run"])
    given = {"BENCH_VERSION": "installed", "PYTHON_VERSION": "", "PIP_OPTIONS": "", "ACTION_SOURCE": str(ROOT)}
    github = {"GITHUB_OUTPUT": str(tmp_path / "output"), "RUNNER_TEMP": str(tmp_path)}
    for path, code in ((f"{tmp_path}:{os.environ['PATH']}", 0), ("/usr/bin:/bin", 2)):
        environment = {**os.environ, **given, **github, "PATH": path}
        done = subprocess.run(
            ["bash", "-eo", "pipefail", str(script)], env=environment, capture_output=True, check=False
        )
        assert done.returncode == code
    assert (tmp_path / "output").read_text() == f"bench={tmp_path / 'bench'}\n"


def test_from_source_it_installs_this_checkout_with_its_constraints(tmp_path: Path) -> None:
    # A Python that writes down what it is asked for, in place of minutes of pip.
    log = tmp_path / "log"
    fake = tmp_path / "python3.99"
    fake.write_text(
        f'#!/bin/sh\necho "$@" >> {log}\nif [ "$2" = venv ]; then mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; fi\n'
    )
    fake.chmod(0o755)
    script = tmp_path / "install.sh"
    script.write_text(step("install")["run"])
    given = {"PYTHON_VERSION": "3.99", "PIP_OPTIONS": "--extra-index-url https://example.org/cpu"}
    for version, what in (("source", str(ROOT)), ("1.2.3", "plm-hubtools==1.2.3")):
        environment = {
            **os.environ,
            **given,
            "BENCH_VERSION": version,
            "ACTION_SOURCE": str(ROOT),
            "GITHUB_OUTPUT": str(tmp_path / "output"),
            "RUNNER_TEMP": str(tmp_path),
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
        }
        subprocess.run(["bash", "-eo", "pipefail", str(script)], env=environment, check=True)
        asked = log.read_text().splitlines()[-1]
        assert asked.endswith(f"--extra-index-url https://example.org/cpu -c {ROOT}/constraints.txt {what}")

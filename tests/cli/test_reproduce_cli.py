"""``bench reproduce`` from the outside: a run that is made again, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tiny_checkpoints import write_checkpoint
from tiny_project import QUICK, task_name, write_project

from hubtools.cli.main import cli
from hubtools.specs.errors import UserError


def bench(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


@pytest.mark.slow
def test_a_run_comes_out_again_and_a_change_of_code_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hubtools.models import modeling_protein_task

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    write_project(tmp_path, "sequence-classification")
    checkpoint = write_checkpoint(tmp_path / "esm", "esm")
    quick = [part for key, value in QUICK.items() for part in ("--set", f"{key}={value}")]
    run = ["run", "--checkpoint", str(checkpoint), "--task", task_name("sequence-classification"), "--recipe", "full"]
    assert bench(*run, *quick, "--seed", "3", "--device", "cpu").exit_code == 0
    (original,) = Path("runs").glob("*")

    same = bench("reproduce", str(original), "--json", "same.json")
    assert same.exit_code == 0 and "agree: the same predictions" in same.output
    found = json.loads(Path("same.json").read_text())
    assert found["verdict"] == "agree" and found["before"] == found["after"] and Path(found["new_run"]).is_dir()
    # There already: nothing is trained, and the answer is the same.
    assert bench("reproduce", str(original / "run.json")).exit_code == 0

    moved = bench("reproduce", str(original), "--checkpoint", str(write_checkpoint(tmp_path / "bert", "bert")))
    assert isinstance(moved.exception, UserError) and "the weights are others" in str(moved.exception)
    assert isinstance(bench("reproduce", str(original), "--runs", "runs").exception, UserError)

    pooled = modeling_protein_task.ProteinTaskModel.forward

    def broken(self, *given, **more):
        output = pooled(self, *given, **more)
        output["logits"] = -output["logits"]
        return output

    monkeypatch.setattr(modeling_protein_task.ProteinTaskModel, "forward", broken)
    other = bench("reproduce", str(original), "--runs", "broken")
    assert other.exit_code in {1, 3} and "the same predictions" not in other.output


def test_what_is_neither_a_run_nor_a_result_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments, said in (
        ([], "nothing is named"),
        (["no-such-result"], "neither a run nor a published result"),
        (["./nowhere"], "no run record"),
        (["proteingym-blat-esm2-8m", "--split", "test"], "has its own"),
    ):
        failed = bench("reproduce", *arguments)
        assert isinstance(failed.exception, UserError) and said in str(failed.exception), arguments


def test_the_list_names_every_result() -> None:
    listed = bench("reproduce", "--list")
    assert listed.exit_code == 0 and "schmirler2024-disorder-esm2-8m-frozen" in listed.output

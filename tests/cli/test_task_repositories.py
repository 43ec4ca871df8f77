"""Tasks on the Hub, end to end, on a Hub on loopback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from hub_server import Hub
from tiny_project import write_project
from tiny_tasks import tiny_task

from hubtools.cli.main import main
from hubtools.cli.tasks.group import tasks
from hubtools.common.errors import UserError
from hubtools.data import DataCache, source_digest
from hubtools.data.sources.task_repositories import _data_files, fetch_task, open_task

NAME = "tiny-sequence-classification"


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the author of a task has on disk; the working directory is elsewhere and empty."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("BENCH_DATA_MIRROR", raising=False)
    return write_project(tmp_path / "clone", "sequence-classification")


def files_of(folder: Path) -> dict[str, bytes | str]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def bench(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    monkeypatch.setattr("sys.argv", ["bench", *arguments])
    with pytest.raises(SystemExit) as exited:
        main()
    said = "".join(capfd.readouterr())
    assert "Traceback" not in said
    return int(exited.value.code or 0), said


def test_a_task_of_a_repository_is_that_of_its_clone(hub: Hub, clone: Path, tmp_path: Path) -> None:
    commit = hub.add_dataset("lab/solubility", files_of(clone) | {"run.py": "raise SystemExit", "big.bin": b"0" * 99})
    given, task = open_task(f"hub://lab/solubility/{NAME}")
    _, local = open_task(str(clone))
    assert given == f"hub://lab/solubility@{commit}/{NAME}"
    assert task.hash == local.hash
    cache = DataCache(tmp_path / "cache")
    assert source_digest(task, cache) == source_digest(local, cache)
    # Only the task and what it names is brought.
    snapshot = fetch_task(given).path.parent.parent
    assert set(files_of(snapshot)) == {f"tasks/{NAME}.yaml", "tasks/sequence-classification.csv"}


def test_a_task_file_larger_than_any_is_not_downloaded(hub: Hub, clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add_dataset("lab/solubility", files_of(clone))
    monkeypatch.setattr("hubtools.common.hub._LARGEST", {".yaml": 100})
    with pytest.raises(UserError, match=rf"tasks/{NAME}\.yaml: it is too large \([0-9]+ bytes; at most 100 are read\)"):
        open_task("hub://lab/solubility")
    assert [path for method, path in hub.log if method == "GET" and path.endswith(f"/{NAME}.yaml")] == []


def test_run_from_the_hub_again_and_without_it(
    hub: Hub, clone: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    commit = hub.add_dataset("lab/solubility", files_of(clone))
    run = ("run", "--recipe", "majority", "--runs", "runs", "--task")
    code, said = bench(monkeypatch, capfd, *run, "hub://lab/solubility")
    assert code == 0, said
    (path,) = Path("runs").rglob("run.json")
    pinned = f"hub://lab/solubility@{commit}/{NAME}"
    assert f"--task {pinned} " in json.loads(path.read_text())["command"]
    before = path.read_bytes()
    # A later commit is another matter; the pinned one needs no Hub at all, and nothing is done again.
    hub.commit(hub.repos["datasets", "lab/solubility"], {"task.yaml": "name: another\n"})
    hub.fail("GET", "/")
    hub.fail("HEAD", "/")
    code, said = bench(monkeypatch, capfd, *run, pinned)
    assert (code, path.read_bytes()) == (0, before), said
    # The author's clone is the same task: the same run.
    code, said = bench(monkeypatch, capfd, *run, str(clone))
    assert (code, [path], path.read_bytes()) == (0, list(Path("runs").rglob("run.json")), before), said


def test_check_and_show_take_it(hub: Hub, clone: Path) -> None:
    commit = hub.add_dataset("lab/solubility", files_of(clone))
    for command, said in (
        ("check", f"{NAME} is in order"),
        ("show", f"files of hub://lab/solubility@{commit}/{NAME}"),
    ):
        result = CliRunner().invoke(tasks, [command, "hub://lab/solubility@main"], catch_exceptions=False)
        assert result.exit_code == 0 and said in result.stdout


def test_a_task_beside_its_data_at_the_top(hub: Hub, clone: Path) -> None:
    files = {Path(name).name: content for name, content in files_of(clone).items()}
    files["task.yaml"] = files.pop(f"{NAME}.yaml")
    hub.add_dataset("lab/one", files)
    assert open_task("hub://lab/one")[1].name == open_task(f"hub://lab/one/{NAME}")[1].name == NAME
    with pytest.raises(UserError, match=f"no task other is there, task.yaml is {NAME}. Write hub://lab/one/{NAME}"):
        open_task("hub://lab/one/other")


def test_what_is_wrong_is_one_line(hub: Hub, clone: Path) -> None:
    good = files_of(clone)
    text = (clone / "tasks" / f"{NAME}.yaml").read_text()
    hub.add_dataset("lab/gated", good, gated=True)
    hub.add_dataset("lab/data", {"train.csv": "a\n"})
    hub.add_dataset("lab/several", good | {"tasks/b.yaml": "name: b\n"})
    hub.add_dataset("lab/broken", {"task.yaml": text.replace("version:", "verison:")})
    hub.add_dataset("lab/lacking", {f"tasks/{NAME}.yaml": text})
    for repo, path in (("up", "../../secret.csv"), ("absolute", "/etc/passwd.csv")):
        hub.add_dataset(f"lab/{repo}", {"task.yaml": text.replace("sequence-classification.csv", path)})
    cases = {
        "hub://lab/absent": r"^hub://lab/absent: there is no such repository on the Hub",
        "hub://lab/several@nowhere": r"^hub://lab/several@nowhere: no such revision",
        "hub://lab/gated": r"^hub://lab/gated: it is gated, and your account has no access",
        "hub://lab/data": r"^hub://lab/data: no task file is there\. It needs task\.yaml, or tasks/NAME\.yaml",
        "hub://lab/data/t": r"^hub://lab/data: no task t is there\. It needs",
        "hub://lab/several": rf"2 tasks are there: b, {NAME}\. Name one: hub://lab/several/b\.$",
        "hub://lab/several/c": rf"no task c is there\. There are: b, {NAME}\.$",
        "hub://lab/broken": r"^hub://lab/broken, task\.yaml:\d+: verison: unknown key\. Did you mean version\?",
        "hub://lab/lacking": r"names sequence-classification\.csv, which the repository lacks",
        "hub://lab/up": r"task\.yaml names \.\./\.\./secret\.csv, which is outside the repository",
        "hub://lab/absolute": r"task\.yaml names /etc/passwd\.csv, which is outside the repository",
        "hub://lab": r"^hub://lab: not the address of a task on the Hub\. Write hub://user/repository",
    }
    for reference, message in cases.items():
        with pytest.raises(UserError, match=message) as error:
            open_task(reference)
        assert "\n" not in str(error.value)


def test_a_hub_that_is_down_is_one_line(hub: Hub) -> None:
    hub.fail("GET", "/")
    hub.fail("HEAD", "/")
    for reference in ("hub://lab/x", f"hub://lab/x@{'0' * 40}/t"):
        with pytest.raises(
            UserError, match=r"^hub://lab/x.*: the Hub could not be reached .* Check the network"
        ) as error:
            open_task(reference)
        assert "\n" not in str(error.value)


def test_without_network_what_is_not_in_the_cache_is_one_line(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for reference in ("hub://lab/x", f"hub://lab/x@{'0' * 40}/t"):
        with pytest.raises(
            UserError, match=r"^hub://lab/x.*: HF_HUB_OFFLINE is set, and it is not in the cache"
        ) as error:
            open_task(reference)
        assert "\n" not in str(error.value)


def test_offline_the_cache_is_enough(hub: Hub, clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    hub.add_dataset("lab/solubility", files_of(clone))
    pinned, task = open_task("hub://lab/solubility")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    seen = len(hub.log)
    assert open_task(pinned) == (pinned, task)
    # huggingface_hub remembers which commit a branch was at: the record says which it is.
    assert open_task("hub://lab/solubility") == (pinned, task)
    assert len(hub.log) == seen


@pytest.mark.parametrize("obo", ["/etc/passwd", "../../secret.obo"])
def test_an_ontology_of_a_strangers_task_is_a_file_of_its_repository(obo: str) -> None:
    """Its first lines would be in what is said of a file that is no ontology."""
    data = {
        "source": "url",
        "files": [{"url": "https://example.org/terms.csv", "sha256": "0" * 64}],
        "label_separator": ";",
        "split": {"fractions": {"train": 0.8, "test": 0.2}},
    }
    task = tiny_task("sequence-multilabel", hierarchy={"obo": obo, "sha256": "0" * 64}, data=data)
    with pytest.raises(UserError, match="which is outside the repository"):
        _data_files(task, "task.yaml", {"task.yaml"}, "hub://lab/terms")

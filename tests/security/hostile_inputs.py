"""Inputs that try something, in a table: add a row for whatever else is tried (SECURITY.md says what is defended).

A row makes its input in a :class:`World` and gives the command that reads it. ``test_hostile_inputs.py`` runs the command as a
shell would, and asserts for every row: the exit code and what is printed; one line and no traceback; the canary, which the
row's code would make, is not there; nothing outside of the current folder and the caches has changed; no repository of
``evil`` was asked for.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from hub_server import Hub
from tiny_project import task_name, write_task

sys.path.insert(0, str(Path(__file__).parents[1] / "publishing"))
from frozen_runs import write_seeds
from small_run import make_run

from hubtools.common.hashing import file_sha256
from hubtools.findings.frozen_baseline import arms_to_freeze, freeze, new_baseline, sources
from hubtools.findings.verification import add_submission
from hubtools.runs.store import PREDICTIONS, RECORD, find_records
from hubtools.specs.baseline_file import BASELINE_FILE
from hubtools.specs.metric_names import METRICS

PROBLEM = "sequence-classification"
TASK = task_name(PROBLEM)
UP = "../../outside/secret"
SUBMISSION = "submissions/000000000000"


@dataclass(frozen=True)
class World:
    """Where an input is made.

    Attributes:
        here: the current folder, with a task of the user's.
        outside: a folder with a secret, which nothing may change or tell of.
        canary: a file that code of the input's would make.
        hub: on loopback.
        trained: a run with a model, or None where the row needs none.
        checkpoint: of that run.
    """

    here: Path
    outside: Path
    canary: Path
    hub: Hub
    trained: Path | None = None
    checkpoint: Path | None = None

    @property
    def code(self) -> str:
        """Python that makes the canary."""
        return f"open({str(self.canary)!r}, 'w').close()\n"

    def model(self, **changes: Callable[[Any], Any] | bytes | None) -> Path:
        """A copy of the trained run: each file is changed as JSON by a function, written anew, or removed (None)."""
        assert self.trained is not None
        return signed(self._changed(shutil.copytree(self.trained, self.here / "stranger"), "model", changes))

    def adapter(self, **changes: Callable[[Any], Any] | bytes | None) -> Path:
        """The same of a repository that holds the adapter alone."""
        assert self.trained is not None
        folder = shutil.copytree(self.trained, self.here / "stranger")
        shutil.rmtree(folder / "model")
        about = {"peft_type": "LORA", "r": 8, "target_modules": "query", "revision": "c" * 40}
        values = about | {"base_model_name_or_path": "lab/esm"}
        for path in (self.trained / "model").iterdir():
            shutil.copy(path, folder)
        (folder / "adapter_config.json").write_text(json.dumps(values))
        return signed(self._changed(folder, ".", changes), at_root="adapter/")

    def weights(self, **changes: Callable[[Any], Any] | bytes | None) -> Path:
        """A copy of the checkpoint, changed likewise."""
        assert self.checkpoint is not None
        return self._changed(shutil.copytree(self.checkpoint, self.here / "checkpoint"), ".", changes)

    def record(self, change: Callable[[Any], Any]) -> str:
        """A folder of runs with one record, changed."""
        folder = make_run(self.here / "runs" / "one")
        self._changed(folder, ".", {"run__json": change})
        return "runs"

    def baseline(self, change: Callable[[Any], Any]) -> Path:
        """A frozen baseline whose file is changed."""
        write_seeds(self.here / "frozen")
        arms = arms_to_freeze(find_records([self.here / "frozen"])[0])
        folder = freeze(self.here / "main", new_baseline("main", "recipe", arms, None), sources(arms)).folder
        values = yaml.safe_load((folder / BASELINE_FILE).read_text())
        change(values)
        (folder / BASELINE_FILE).write_text(yaml.safe_dump(values))
        return folder

    def submission(self) -> Path:
        """An honest one."""
        return add_submission(make_run(self.here / "runs" / "one"), self.here / "submissions")

    def task(self, change: Callable[[dict[str, Any]], Any] | str, **more: bytes | str) -> str:
        """A task of a repository on the Hub, changed or written anew."""
        files: dict[str, bytes | str] = {"tasks/rows.csv": "id,sequence,label,set\na,MKV,0,train\n", **more}
        if isinstance(change, str):
            text = change
        else:
            values = yaml.safe_load((self.here / "tasks" / f"{TASK}.yaml").read_text())
            values["data"]["files"] = [{"path": "rows.csv"}]
            change(values)
            text = yaml.safe_dump(values)
        self.hub.add_dataset("lab/task", {"tasks/stranger.yaml": text, **files})
        return "hub://lab/task"

    @staticmethod
    def _changed(folder: Path, part: str, changes: dict[str, Any]) -> Path:
        for name, change in changes.items():
            name = name.replace("__", ".")
            path = folder / (name if name == RECORD else f"{part}/{name}")
            if change is None:
                path.unlink()
            elif callable(change):
                values = json.loads(path.read_text())
                change(values)
                path.write_text(json.dumps(values))
            else:
                path.write_bytes(change)
        return folder


def signed(folder: Path, at_root: str = "") -> Path:
    """A run's folder whose record has the checksums of what is there: who changes a model can change its record, too.

    Args:
        folder: with a record.
        at_root: what the record calls the folder of those that lie at the root of a repository.
    """
    record = json.loads((folder / RECORD).read_text())
    record["outputs"] = [
        {"path": at_root * (path.parent == folder) + name, "bytes": path.stat().st_size, "sha256": file_sha256(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != RECORD and path.name[0] != "." and "card" not in path.parts
        for name in [path.relative_to(folder).as_posix()]
    ]
    (folder / RECORD).write_text(json.dumps(record))
    return folder


@dataclass(frozen=True)
class Hostile:
    """One input.

    Attributes:
        name: of the row.
        tries: what the input is made for.
        made: makes it and gives the command, without ``bench``.
        says: what must be printed, a pattern.
        code: with which the command must end.
        trained: whether it needs a trained run.
    """

    name: str
    tries: str
    made: Callable[[World], Sequence[object]]
    says: str
    code: int = 2
    trained: bool = False


def put(*path: str, to: object) -> Callable[[Any], None]:
    """A change: the value at a path of keys."""

    def change(values: Any) -> None:
        for key in path[:-1]:
            values = values[int(key)] if isinstance(values, list) else values.setdefault(key, {})
        values[int(path[-1]) if isinstance(values, list) else path[-1]] = to

    return change


def checked(change: Callable[[Any], Any] | str, world: World) -> Sequence[object]:
    """A task of the Hub is looked at."""
    return "tasks", "check", world.task(change)


def boarded(change: Callable[[Any], Any], world: World) -> Sequence[object]:
    """A record of somebody's is put on a board."""
    return "board", world.record(change)


def predicted(world: World, **changes: Any) -> Sequence[object]:
    """A model of somebody's is asked."""
    return "predict", world.model(**changes), proteins(world), "--device", "cpu"


def asked_of_adapter(world: World, **changes: Any) -> Sequence[object]:
    """An adapter of somebody's is asked."""
    return "predict", world.adapter(**changes), proteins(world), "--device", "cpu"


def trained_on(world: World, **changes: Any) -> Sequence[object]:
    """A checkpoint of somebody's is trained."""
    checkpoint = world.weights(**changes)
    return (
        "run",
        "--task",
        TASK,
        "--recipe",
        "probe",
        "--checkpoint",
        checkpoint,
        "--device",
        "cpu",
        "--set",
        "epochs=1",
    )


def proteins(world: World) -> Path:
    path = world.here / "proteins.fasta"
    path.write_text(">a\nMKTAYIAKQR\n")
    return path


def source(**values: Any) -> Callable[[Any], None]:
    """A task whose data come from elsewhere."""

    def change(task: Any) -> None:
        kept = {key: task["data"][key] for key in ("columns", "splits")}
        task["data"] = values | kept

    return change


def url(address: str) -> Callable[[Any], None]:
    return source(source="url", files=[{"url": address, "name": "rows", "format": "csv"}])


def pickled(world: World) -> bytes:
    """Weights that run a command when they are unpickled without restriction."""
    import io

    import torch

    class Command:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, (f"touch {world.canary}",)

    held = io.BytesIO()
    torch.save({"weight": torch.zeros(2), "command": Command()}, held)
    return held.getvalue()


def zipped(world: World, member: str) -> Path:
    path = world.here / "proteins.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, ">a\nMKTAYIAKQR\n")
    return path


def local_archive(world: World) -> Sequence[object]:
    task = yaml.safe_load((world.here / "tasks" / f"{TASK}.yaml").read_text())
    task["data"]["files"] = [{"path": "rows.zip", "member": f"{UP}.csv"}]
    (world.here / "tasks" / f"{TASK}.yaml").write_text(yaml.safe_dump(task))
    return "tasks", "check", TASK


def announced_here(group: str, world: World) -> Sequence[object]:
    """A distribution that lies in the current folder, as after ``git clone``, which ``python -m`` searches too."""
    info = world.here / "evil-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\nevil = evil:OBJECT\n")
    (world.here / "evil.py").write_text(world.code)
    sys.path.insert(0, str(world.here))
    if group == "bench.sources":
        return checked(source(source="evil", files=[]), world)
    # As in a new process: it looks once.
    METRICS._looked = False
    return checked(put("metrics", "primary", to="evil"), world)


def listed_elsewhere(world: World) -> Sequence[object]:
    """The listing of a repository has names that lead out of it."""
    text = (world.here / "tasks" / f"{TASK}.yaml").read_text()
    world.hub.add_dataset("lab/task", {f"{UP}.yaml": text, f"tasks/{UP}.yaml": text, "tasks/..yaml": text})
    return "tasks", "check", "hub://lab/task"


def commit_elsewhere(world: World) -> Sequence[object]:
    """The Hub answers with a commit that is a path."""
    world.hub.add_model("lab/model", {"config.json": "{}"})
    repo = world.hub.model("lab/model")
    repo.commits[UP] = next(iter(repo.commits.values()))
    repo.commits[UP].oid = repo.branches["main"] = UP
    return "predict", "lab/model", proteins(world)


def pull_request(name: str, world: World) -> Sequence[object]:
    """A pull request in a results repository adds a file of that name."""
    world.hub.add_dataset("lab/results", {"README.md": "# results\n"})
    repo = world.hub.repos["datasets", "lab/results"]
    world.hub.write(repo, "main", {name: world.hub.store(name, b"{}")}, "one", pull=True)
    return "submissions", "check", "hub://lab/results@refs/pr/1"


def linked(world: World) -> Sequence[object]:
    folder = world.submission()
    (folder / PREDICTIONS).unlink()
    (folder / PREDICTIONS).symlink_to(world.outside / "secret")
    return "submissions", "check", folder


def with_a_file(name: str, world: World) -> Sequence[object]:
    folder = world.submission()
    (folder / name).write_text(world.code)
    return "submissions", "check", folder


def of_another_id(world: World) -> Sequence[object]:
    folder = world.submission()
    put("run_id", to="f" * 12)(record := json.loads((folder / RECORD).read_text()))
    (folder / RECORD).write_text(json.dumps(record))
    return "submissions", "check", folder


def shown(change: Callable[[Any], Any], world: World) -> Sequence[object]:
    return "baseline", "show", world.baseline(change)


def hidden_task(world: World) -> Sequence[object]:
    """The current folder has a task of the name of one that bench ships."""
    text = (world.here / "tasks" / f"{TASK}.yaml").read_text().replace(TASK, "localisation")
    (world.here / "tasks" / "localisation.yaml").write_text(text)
    return "run", "--task", "localisation", "--recipe", "majority", "--runs", "runs"


def hidden_recipe(world: World) -> Sequence[object]:
    (world.here / "benchmarks" / "recipes").mkdir(parents=True)
    shipped = Path(__file__).parents[2] / "benchmarks" / "recipes" / "majority.yaml"
    (world.here / "benchmarks" / "recipes" / "majority.yaml").write_text(shipped.read_text() + "# mine\n")
    return "run", "--task", TASK, "--recipe", "majority", "--runs", "runs"


def hidden_suite(world: World) -> Sequence[object]:
    (world.here / "benchmarks").mkdir(exist_ok=True)
    suite = {"name": "core", "title": "Mine", "tasks": [TASK], "recipe": "majority", "seeds": [1]}
    (world.here / "benchmarks" / "core.yaml").write_text(yaml.safe_dump(suite))
    return "run", "--suite", "core", "--no-baselines", "--runs", "runs"


KERNEL = "evil/kernel"
OBJECT = '!!python/object/apply:os.system ["touch canary"]'
OUT_OF_FOLDER = "because it may lead out of its folder"

HOSTILE = [
    # A task on the Hub.
    Hostile("task-file-up", "read a file outside of the repository", partial(checked, put("data", "files", "0", "path", to=f"{UP}.csv")), "outside the repository"),
    Hostile("task-file-absolute", "read a file of this machine", partial(checked, put("data", "files", "0", "path", to="/etc/passwd.csv")), "outside the repository"),
    Hostile("task-file-home", "read a file of the user's", partial(checked, put("data", "files", "0", "path", to="~/netrc.csv")), "which the repository lacks"),
    Hostile("task-url-localhost", "ask a service of this machine", partial(checked, url("http://localhost:1/x.csv")), "an address of this machine or its network"),
    Hostile("task-url-metadata", "ask a cloud for its secrets", partial(checked, url("http://169.254.169.254/latest/x.csv")), "an address of this machine or its network"),
    Hostile("task-url-private", "ask a machine of the network", partial(checked, url("http://10.0.0.1/x.csv")), "an address of this machine or its network"),
    Hostile("task-url-name-of-the-network", "ask a machine by its name in the network", partial(checked, url("http://intranet/x.csv")), "an address of this machine or its network"),
    Hostile("task-url-hexadecimal", "the same, written otherwise", partial(checked, url("http://0x7f.1/x.csv")), "an address of this machine or its network"),
    Hostile("task-url-ipv6", "the same in IPv6", partial(checked, url("http://[::1]:1/x.csv")), "an address of this machine or its network"),
    Hostile("task-url-file", "read a file of this machine by its address", partial(checked, url("file:///etc/passwd")), "expected an address that starts with https://"),
    Hostile("task-package-up", "read a file outside of a package", partial(checked, source(source="package", package="pip", version="1", files=[{"path": f"{UP}.csv", "sha256": "0" * 64}])), OUT_OF_FOLDER),
    Hostile("task-package-dotted", "import a package by looking for a module in it", partial(checked, source(source="package", package="xml.dom", version="1", files=[{"path": "x.csv", "sha256": "0" * 64}])), "data.package: expected"),
    Hostile("task-dataset-folder", "have a folder of this machine read as a data set of the Hub", partial(checked, source(source="hub", dataset="../here", files=[{"name": "x", "split": "train"}])), "data.dataset: expected the name of a repository on the Hub"),
    Hostile("task-dataset-builder", "have files read by a builder of datasets", partial(checked, source(source="hub", dataset="text", files=[{"name": "x", "split": "train"}])), "data.dataset: expected the name of a repository on the Hub"),
    Hostile("task-name-up", "give runs a folder elsewhere", partial(checked, put("name", to="../../x")), "name: expected lower-case letters, digits and hyphens"),
    Hostile("task-name-device", "give runs the name of a device", partial(checked, put("name", to="con")), "Windows keeps that name for a device"),
    Hostile("task-name-long", "give runs a name that no disk takes", partial(checked, put("name", to="x" * 300)), "name: expected at most 80 characters"),
    Hostile("task-split-up", "give a split a name that is a path", partial(checked, put("data", "splits", "../x", to={})), "expected lower-case letters, digits and underscores"),
    Hostile("task-yaml-object", "run a command when the YAML is read", partial(checked, f"name: x\ntitle: {OBJECT}\n"), "not valid YAML"),
    Hostile("task-source-of-the-folder", "import code of the current folder for a source", partial(announced_here, "bench.sources"), "unknown source 'evil'"),
    Hostile("task-revision-up", "have the cache write a file elsewhere", lambda world: ("tasks", "check", "hub://lab/task@..%2F..%2Fx"), "not the address of a task on the Hub"),
    Hostile("task-listing-up", "be found under names that lead out of the repository", listed_elsewhere, "no task file is there"),
    Hostile("task-archive-up", "read a member that leads out of the archive", local_archive, OUT_OF_FOLDER),
    Hostile("predict-archive-up", "the same for proteins", lambda world: ("predict", world.model(), zipped(world, f"{UP}.fasta"), "--device", "cpu"), "the archive's file is called .*: it may lead out of its folder", trained=True),
    # Records of somebody's.
    Hostile("record-run-id", "give the run a folder elsewhere", partial(boarded, put("run_id", to="../../x")), "run_id: expected 12 hexadecimal digits"),
    Hostile("record-output-up", "have a file elsewhere taken for one of the run's", partial(boarded, put("outputs", "0", "path", to=UP)), "outputs.0..path: expected a path inside the folder"),
    Hostile("record-output-device", "the same with a device", partial(boarded, put("outputs", "0", "path", to="model/nul")), "Windows keeps that name for a device"),
    Hostile("record-output-case", "write one file over another where case does not count", partial(boarded, lambda record: record["outputs"].append(record["outputs"][0] | {"path": record["outputs"][0]["path"].upper()})), "are one file on many disks"),
    Hostile("record-task-name", "give files of the board a name elsewhere", partial(boarded, put("identity", "task", "name", to="../../x")), "expected lower-case letters"),
    Hostile("record-suite-name", "have a suite looked for elsewhere", partial(boarded, put("suite", to="../x")), "suite: expected lower-case letters"),
    Hostile("record-split-name", "give figures a name elsewhere", partial(boarded, put("results", "../x", to={})), "expected lower-case letters, digits and underscores"),
    Hostile("record-commit", "have another folder of the cache read", partial(boarded, put("identity", "checkpoint", "commit", to="../../x")), "expected the 40 hexadecimal digits"),
    Hostile("record-problem", "be of no problem", partial(boarded, put("task", "problem", to="evil")), "task: its problem is not what this version of bench knows"),
    Hostile("record-metrics", "be scored by nothing", partial(boarded, put("task", "metrics", to=None)), "task: its metrics is not what this version of bench knows"),
    Hostile("record-labels", "have labels that are no texts", partial(boarded, put("task", "labels", to=[1])), "task: its labels is not what this version of bench knows"),
    Hostile("record-data", "have data that are none", partial(boarded, put("task", "data", to=[1])), "task: its data is not what this version of bench knows"),
    Hostile("record-files", "have files that are none", partial(boarded, put("task", "data", "files", to=[{"path": 5}])), "task: its data.files is not what this version of bench knows"),
    # Baselines of somebody's.
    Hostile("baseline-folder-up", "read a run elsewhere", partial(shown, put("arms", "0", "runs", "0", "folder", to="../../outside")), "expected the name of a file or folder"),
    Hostile("baseline-folder-device", "the same with a device", partial(shown, put("arms", "0", "runs", "0", "folder", to="nul")), "Windows keeps that name for a device"),
    Hostile("baseline-file-up", "read a file elsewhere", partial(shown, put("arms", "0", "runs", "0", "files", to={f"{UP}": "0" * 64})), "expected the name of a file or folder"),
    Hostile("baseline-folder-case", "have two runs that are one where case does not count", partial(shown, lambda file: put("arms", "0", "runs", "1", "folder", to=file["arms"][0]["runs"][0]["folder"].upper())(file)), "are one folder on many disks"),
    # Results that are handed in.
    Hostile("submission-link", "have a file of this machine read as predictions", linked, "predictions.parquet does not belong to a submission", code=1),
    Hostile("submission-code", "have code carried along", partial(with_a_file, "setup.py"), "setup.py does not belong to a submission", code=1),
    Hostile("submission-weights", "have pickled weights carried along", partial(with_a_file, "pytorch_model.bin"), "pytorch_model.bin does not belong to a submission", code=1),
    Hostile("submission-id", "take the place of another run", of_another_id, "run_id f{12} is not that of its identity", code=1),
    Hostile("submission-request-up", "write a file elsewhere", partial(pull_request, f"submissions/{UP}"), "does not belong to a submission"),
    Hostile("submission-request-code", "have code downloaded", partial(pull_request, f"{SUBMISSION}/evil.py"), "does not belong to a submission"),
    # The Hub itself.
    Hostile("hub-commit-up", "have the cache write elsewhere", commit_elsewhere, "the Hub names a commit that is none"),
    # The current folder.
    Hostile("folder-metric", "run code of the current folder as a metric", partial(announced_here, "bench.metrics"), "there is no metric 'evil'"),
    Hostile("folder-task", "stand in for a task that bench ships", hidden_task, "note: the task localisation is tasks/localisation.yaml, which hides the one that bench ships", code=0),
    Hostile("folder-recipe", "stand in for a recipe that bench ships", hidden_recipe, "note: the recipe majority is benchmarks/recipes/majority.yaml, which hides the one that bench ships", code=0),
    Hostile("folder-suite", "stand in for a suite that bench ships", hidden_suite, "note: the suite core is benchmarks/core.yaml, which hides the one that bench ships", code=0),
    # A model of somebody's, asked.
    Hostile("model-attention", "have attention computed by code of another repository", partial(predicted, config__json=put("_attn_implementation", to=KERNEL)), "attention computed by code from elsewhere", trained=True),
    Hostile("model-encoder-attention", "the same inside", partial(predicted, config__json=put("encoder", "attn_implementation", to={"": KERNEL})), "attention computed by code from elsewhere", trained=True),
    Hostile("model-code", "run the code beside the model", lambda world: predicted(world, modeling_protein_task__py=world.code.encode()), "a\t", code=0, trained=True),
    Hostile("model-tokenizer-code", "run a tokenizer's code", lambda world: predicted(world, evil__py=world.code.encode(), tokenizer_config__json=put("auto_map", to={"AutoTokenizer": ["evil.X", None]})), "a\t", code=0, trained=True),
    Hostile("model-code-elsewhere", "run code of another repository", partial(predicted, config__json=put("auto_map", to={"AutoConfig": "evil/repo--x.Y", "AutoModel": "evil/repo--x.Y"})), "a\t", code=0, trained=True),
    Hostile("model-type-of-code", "have its architecture be code", lambda world: predicted(world, modeling_protein_task__py=world.code.encode(), config__json=put("model_type", to="evil")), "its architecture is code in its own repository. No code that lies beside a model is run here", trained=True),
    Hostile("model-index-up", "read weights elsewhere", lambda world: predicted(world, **{"model.safetensors": None, "model.safetensors.index.json": json.dumps({"weight_map": {"x": UP}}).encode()}), "which is not one of weights beside it", trained=True),
    Hostile("model-index-pickled", "have pickled weights read in place of safetensors", lambda world: predicted(world, **{"model.safetensors": None, "x.bin": pickled(world), "model.safetensors.index.json": json.dumps({"weight_map": {"x": "x.bin"}}).encode()}), "which is not one of weights beside it", trained=True),
    Hostile("model-layers", "keep the machine busy", partial(predicted, config__json=put("encoder", "num_hidden_layers", to=10**7)), "no model has more than 2,000", trained=True),
    Hostile("model-labels", "fill the memory", partial(predicted, config__json=put("num_labels", to=10**9)), "no model has more than 1,000,000", trained=True),
    Hostile("model-deep", "exhaust the reader of JSON", partial(predicted, config__json=b"[" * 100_000), "cannot read config.json", trained=True),
    Hostile("model-dtype", "name what is no type", partial(predicted, config__json=put("dtype", to="os.system")), "has no such dtype", trained=True),
    Hostile("model-quantised", "have another library load it", partial(predicted, config__json=put("quantization_config", to={"quant_method": "gptq"})), "its weights are quantised", trained=True),
    Hostile("model-layer", "read a layer that is not there", partial(predicted, config__json=put("layer", to=999)), "which the encoder does not have", trained=True),
    Hostile("model-outputs", "say other classes than the record", partial(predicted, config__json=put("id2label", to={"0": "a"})), "other outputs than the 2 of the task", trained=True),
    Hostile("model-header", "have a header of 9 exabytes read", partial(predicted, model__safetensors=b"\xff" * 7 + b"\x7f{}"), "damaged weights", trained=True),
    Hostile("model-head", "have a head that is not known imported", partial(predicted, config__json=put("head_kind", to="os")), "there is no head 'os'", trained=True),
    Hostile("model-problem", "be of no problem", partial(predicted, run__json=put("task", "problem", to="evil")), "task: its problem is not what this version of bench knows", trained=True),
    Hostile("model-label-names", "have labels that are no texts", partial(predicted, run__json=put("task", "labels", to=[[1]])), "task: its labels is not what this version of bench knows", trained=True),
    Hostile("model-thresholds", "decide by what is no number", partial(predicted, run__json=put("training", "choices", to={"thresholds": ["x"]})), "record says of training.choices.thresholds is not what bench writes", trained=True),
    # An adapter of somebody's.
    Hostile("adapter-base-folder", "have a folder of this machine loaded as its base", partial(asked_of_adapter, adapter_config__json=put("base_model_name_or_path", to="../here")), "is no commit on the Hub", trained=True),
    Hostile("adapter-base-branch", "have a base loaded that may change", partial(asked_of_adapter, adapter_config__json=put("revision", to="main")), "is no commit on the Hub", trained=True),
    Hostile("adapter-kind", "have adapters of other repositories fetched", partial(asked_of_adapter, adapter_config__json=put("peft_type", to="XLORA")), "of a kind that bench does not train", trained=True),
    Hostile("adapter-library", "have a library imported", partial(asked_of_adapter, adapter_config__json=put("auto_mapping", to={"parent_library": "evil"})), "of a kind that bench does not train", trained=True),
    Hostile("adapter-pattern", "have a search lose itself", partial(asked_of_adapter, adapter_config__json=put("target_modules", to="(a+)+$")), "names its modules otherwise", trained=True),
    Hostile("adapter-rank", "fill the memory", partial(asked_of_adapter, adapter_config__json=put("r", to=10**9)), "its rank is 1000000000", trained=True),
    # A checkpoint of somebody's, trained.
    Hostile("checkpoint-pickled", "run a command when weights are read", lambda world: trained_on(world, model__safetensors=None, pytorch_model__bin=pickled(world)), r"hold more than tensors \((posix|nt)\.system\), which could run code", trained=True),
    Hostile("checkpoint-attention", "have attention computed by code of another repository", partial(trained_on, config__json=put("_attn_implementation", to=KERNEL)), "attention computed by code from elsewhere", trained=True),
    Hostile("checkpoint-code", "have its architecture be code", lambda world: trained_on(world, evil__py=world.code.encode(), config__json=lambda c: c.update(model_type="evil", auto_map={"AutoConfig": "evil.X", "AutoModel": "evil.X"})), "its architecture is code in its own repository", trained=True),
    Hostile("checkpoint-layers", "keep the machine busy", partial(trained_on, config__json=put("num_hidden_layers", to=10**7)), "no model has more than 2,000", trained=True),
    Hostile("checkpoint-revision-up", "have the cache write elsewhere", lambda world: ("run", "--task", TASK, "--recipe", "probe", "--checkpoint", "lab/model@../../x"), "no checkpoint folder|not a checkpoint on the Hub"),
]  # fmt: skip


def world_of(folder: Path, hub: Hub, trained: Path | None) -> World:
    """An empty world in a folder."""
    here, outside = folder / "here", folder / "outside"
    here.mkdir()
    outside.mkdir()
    (outside / "secret").write_text("id,sequence\nsecret,MKV\n")
    write_task(here, PROBLEM)
    checkpoint = None if trained is None else trained.parents[1] / "esm"
    return World(here, outside, folder / "canary", hub, trained, checkpoint)

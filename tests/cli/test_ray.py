"""``bench run --on ray`` on a Ray cluster of two nodes, one of which is killed in the middle.

Ray takes as long to start and to end as the rest of the test: it is asked for by ``BENCH_TEST_RAY=1``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_checkpoints import write_checkpoint
from tiny_project import QUICK, task_name, write_project

from hubtools.api.computing import ExecutionOptions
from hubtools.api.engines.dispatch import Dispatched, hand_over
from hubtools.api.engines.planned_runs import PlannedRuns
from hubtools.api.plans import plan
from hubtools.api.running import RunEvent, perform_by
from hubtools.common.errors import UserError
from hubtools.runs.engines.ray_cluster import RayEngine, RayOptions, _resources

PROBLEM = "sequence-classification"
asked_for = pytest.mark.skipif(
    not os.environ.get("BENCH_TEST_RAY"), reason="a Ray cluster is started for BENCH_TEST_RAY=1 alone"
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_project(tmp_path, PROBLEM)
    write_checkpoint(tmp_path / "esm", "esm")
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head without cores, and two nodes of one core each."""
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    found.nodes = [found.add_node(num_cpus=1) for _ in range(2)]
    monkeypatch.setenv("RAY_ADDRESS", found.address)
    yield found
    found.shutdown()


@pytest.mark.slow
@asked_for
def test_a_node_is_killed_in_the_middle(cluster: Any, project: Path) -> None:
    """The nodes were there before the project's variables were set: a job has them nevertheless."""
    import ray

    settings = {**QUICK, "epochs": 120, "patience": None}
    runs = plan("esm", task_name(PROBLEM), "full", seeds=[1, 2], set=settings).runs
    given = hand_over(PlannedRuns(runs, project / "runs", ExecutionOptions("cpu")), "ray")
    assert isinstance(given, Dispatched) and len(given.work.jobs) == 2
    told: list[RunEvent] = []
    killed = False

    # Ray's own thread of tasks goes on while the events are waited for; here both nodes are watched beside it.
    import threading

    def kill() -> None:
        nonlocal killed
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            logs = [log for log in project.glob("runs/*/training.jsonl") if len(log.read_text().splitlines()) > 1]
            if len(logs) == 2:
                cluster.remove_node(cluster.nodes[0], allow_graceful=False)
                killed = True
                return
            time.sleep(0.1)

    thread = threading.Thread(target=kill)
    thread.start()
    done = perform_by(given.engine, given.work, runs, on_event=told.append)
    thread.join()
    assert killed and not done.problems and [outcome.record.status for outcome in done.outcomes] == ["complete"] * 2
    attempts = sorted(len(outcome.record.cost.attempts) for outcome in done.outcomes if outcome.record.cost)
    assert attempts == [1, 2], "what the node had was gone on with on the other"
    assert len({outcome.folder for outcome in done.outcomes}) == 2
    assert not ray.is_initialized()
    assert any((project / "cache").iterdir())
    again = hand_over(PlannedRuns(runs, project / "runs", ExecutionOptions("cpu")), "ray")
    assert isinstance(again, Dispatched) and not again.work.jobs
    # What no node has is said at once, and not waited for.
    (project / "benchmarks" / "profiles").mkdir(parents=True)
    (project / "benchmarks" / "profiles" / "ray.yaml").write_text(
        "name: ray\ntitle: R\nengine: ray\noptions: {cpus: 64}\n"
    )
    more = plan("esm", task_name(PROBLEM), "full", seeds=3, set=settings).runs
    large = hand_over(PlannedRuns(more, project / "runs", ExecutionOptions("cpu")), "ray")
    assert isinstance(large, Dispatched)
    with pytest.raises(UserError, match=r"no node of the Ray cluster has what a job asks for \(64 CPU\)"):
        perform_by(large.engine, large.work, more)


@pytest.mark.parametrize(("cores", "threads"), [("2", "2"), ("2.5", "2"), ("0.5", "1")])
def test_a_job_computes_with_as_many_threads_as_it_has_whole_cores(project: Path, cores: str, threads: str) -> None:
    profiles = project / "benchmarks" / "profiles"
    profiles.mkdir(parents=True)
    (profiles / "ray.yaml").write_text(f"name: ray\ntitle: R\nengine: ray\noptions: {{cpus: {cores}}}\n")
    runs = plan("esm", task_name(PROBLEM), "probe").runs
    given = hand_over(PlannedRuns(runs, project / "runs", ExecutionOptions("cpu")), "ray")
    assert isinstance(given, Dispatched)
    command = list(given.work.command)
    assert command[command.index("--threads") + 1] == threads


def test_probes_share_a_gpu() -> None:
    options = RayOptions(gpus=1, gpus_of_probes=0.25, memory_gb=2, resources={"a100": 1})
    assert _resources(options, True) == {
        "num_cpus": 1,
        "num_gpus": 0.25,
        "memory": 2 << 30,
        "resources": {"a100": 1},
    }
    assert _resources(options, False)["num_gpus"] == 1
    assert _resources(RayOptions(), True) == {"num_cpus": 1, "num_gpus": 0}


def test_where_ray_is_not_installed(
    project: Path, bench: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    code, _, err = bench("run", "--checkpoint", "esm", "--task", task_name(PROBLEM), "--on", "ray")
    assert code == 2 and "Ray is not installed" in err


def test_an_engine_that_is_attached_has_no_states() -> None:
    assert RayEngine.attached and not hasattr(RayEngine, "states")

"""A Slurm of one node, this machine, on loopback: two daemons with their files in a folder, which end with the tests.

It needs root, because slurmd does, and Debian's packages ``slurmctld slurmd slurm-client``. Where they are missing they are installed
where ``BENCH_TEST_INSTALL`` is set, as CI does, and nobody else's machine is changed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "squeue", "scancel", "srun")
PACKAGES = ("slurmctld", "slurmd", "slurm-client")
CONFIGURATION = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
SlurmctldPort={controller}
SlurmdPort={node}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,batch_sched_delay=0
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=4000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=60 State=UP
"""


def needed() -> None:
    """Skip, with the reason, where there can be none."""
    pytest.importorskip("submitit", reason="submitit is not installed")
    if os.geteuid() != 0:
        pytest.skip("slurmd needs root")
    if any(shutil.which(program) is None for program in PROGRAMS):
        if not os.environ.get("BENCH_TEST_INSTALL") or shutil.which("apt-get") is None:
            pytest.skip(f"Slurm is not installed: apt-get install {' '.join(PACKAGES)}")
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *PACKAGES]):
            done = subprocess.run(["apt-get", *command], env=environment, capture_output=True, text=True, timeout=300)
            if done.returncode:
                pytest.skip(f"Slurm cannot be installed: {done.stderr.strip().splitlines()[-1:]}")


@contextlib.contextmanager
def one_node(folder: Path) -> Iterator[Mapping[str, str]]:
    """Start both daemons; what the environment of a process must hold that uses them."""
    needed()
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    host, (controller, node) = socket.gethostname().partition(".")[0], _ports(2)
    configuration = folder / "slurm.conf"
    configuration.write_text(CONFIGURATION.format(host=host, folder=folder, controller=controller, node=node))
    environment = {"SLURM_CONF": str(configuration)}
    daemons = []
    try:
        for name in ("slurmctld", "slurmd"):
            # In the foreground: they are this process's to end.
            command = [name, "-D", "-f", str(configuration)]
            daemons.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        deadline = time.monotonic() + 60
        while (state := slurm(environment, "sinfo", "-h", "-o", "%T").strip()) != "idle":
            if time.monotonic() > deadline or any(daemon.poll() is not None for daemon in daemons):
                logs = [(folder / f"{name}.log").read_text()[-1000:] for name in ("slurmctld", "slurmd")]
                pytest.skip(f"Slurm does not start here ({state or 'no node'}): {logs}")
            time.sleep(0.3)
        yield environment
    finally:
        if daemons:
            slurm(environment, "scancel", "--user=root", "--signal=KILL", "--full")
        for daemon in reversed(daemons):
            daemon.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                daemon.wait(timeout=15)
                continue
            daemon.kill()
            daemon.wait()


def slurm(environment: Mapping[str, str], *command: str) -> str:
    """What a command of Slurm prints."""
    found = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60)
    return found.stdout


def _ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]

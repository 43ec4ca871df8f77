"""Jobs in the queue of a Slurm cluster, handed over by submitit: an array of them, each a process of bench.

submitit pickles what it runs, so its folder is the user's alone. States and cancelling are squeue's and scancel's: submitit asks
sacct, which is not there where a cluster keeps no database.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import signal
import subprocess
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field

from hubtools.common.errors import UserError, one_line
from hubtools.common.files import owner_only
from hubtools.common.inside import inside
from hubtools.runs.engines.job_engine import DetachedEngine, JobState, Submission
from hubtools.runs.kept_plan import PLANS
from hubtools.specs.base import Spec

# Seconds that a job has to write its records after it was told to stop.
GRACE = 60.0
# A job's exit codes that are no failure of the job: all fine, and runs that failed and say so in their records.
TOLD = {0, 1}
_ENDED = {
    "COMPLETED",
    "CANCELLED",
    "FAILED",
    "TIMEOUT",
    "NODE_FAIL",
    "PREEMPTED",
    "BOOT_FAIL",
    "DEADLINE",
    "OUT_OF_MEMORY",
}
_WAITING = {"PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "CONFIGURING", "RESV_DEL_HOLD"}


class SlurmOptions(Spec):
    """What a profile says of Slurm."""

    partition: str | None = Field(default=None, description="Where jobs wait; the cluster's own by default.")
    account: str | None = Field(default=None, description="Who pays.")
    qos: str | None = Field(default=None, description="Quality of service.")
    constraint: str | None = Field(default=None, description="Features that a node must have.")
    time: int = Field(
        default=240, ge=1, description="Minutes that a job may take; one that needs more goes on in the next."
    )
    gpus: int = Field(default=0, ge=0, description="GPUs of a job: one, or 0 for the processor.", le=1)
    cpus: int = Field(default=1, ge=1, description="Cores of a job.")
    memory_gb: float | None = Field(
        default=None, gt=0, description="Main memory of a job; the cluster's own by default."
    )
    parallel: int = Field(default=64, ge=1, description="Jobs that run at a time at most.")
    jobs: int | None = Field(
        default=None, ge=1, description="Into how many jobs a plan is cut at most; by default ``parallel``."
    )
    requeues: int = Field(default=5, ge=0, description="How often a job that ran out of time goes back into the queue.")
    warning: int = Field(default=120, ge=10, description="Seconds before the end at which a job is told to stop.")
    setup: list[str] = Field(default=[], description="Lines of shell that come before: modules, an environment.")
    sbatch: dict[str, str] = Field(default={}, description="Further options of sbatch, by their names.")


@dataclass
class SlurmJobCommand:
    """What a job of the array calls: one process of bench, which is told to stop when the job must, and then goes on in the next.

    Attributes:
        argv, directory: of the process.
    """

    argv: Sequence[str]
    directory: str
    _process: Any = field(default=None, repr=False)

    def __call__(self) -> int:
        """Do the job; its exit code.

        Raises:
            RuntimeError: it ended otherwise than by saying what became of its runs.
        """
        self._process = subprocess.Popen(list(self.argv), cwd=self.directory, preexec_fn=_deaf)
        code = self._process.wait()
        if code not in TOLD:
            raise RuntimeError(f"bench ended with exit code {code}")
        return int(code)

    def checkpoint(self) -> Any:
        """Called by submitit when the job must give way: records are written, and the same job is submitted again."""
        from submitit.helpers import DelayedSubmission

        if self._process is not None:
            _stop(self._process.pid)
        return DelayedSubmission(SlurmJobCommand(self.argv, self.directory))


def _stop(process: int) -> None:
    """Tell a process to stop, and wait for it, while a frame below is waiting for it, too: not by what Popen locks."""
    deadline = time.monotonic() + GRACE
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(process, signal.SIGTERM)
        while os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            if time.monotonic() > deadline:
                os.kill(process, signal.SIGKILL)
                return
            time.sleep(0.1)


def _deaf() -> None:
    """Slurm's warning goes to every process of the job; the one that runs bench passes it on in bench's own way."""
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)


class SlurmEngine(DetachedEngine):
    """A Slurm cluster that this machine can submit to."""

    name = "slurm"
    spec = SlurmOptions

    def submit(self, work: Submission) -> dict[str, tuple[int, ...]]:
        """As :meth:`DetachedEngine.submit`: one array, whose names are as ``123_0``."""
        options = work.options if isinstance(work.options, SlurmOptions) else SlurmOptions()
        try:
            import submitit
        except ImportError:
            raise UserError("submitit is not installed", fix="pip install 'plm-hubtools[slurm]'") from None
        folder = owner_only(folder_of(work.root, work.plan))
        try:
            executor = submitit.SlurmExecutor(folder=str(folder.absolute()), max_num_timeout=options.requeues)
            executor.update_parameters(**_parameters(options, work.plan))
            commands = [SlurmJobCommand(work.argv(numbers), str(work.directory)) for numbers in work.jobs]
            with executor.batch():
                submitted = [executor.submit(command) for command in commands]
        except (RuntimeError, OSError, ValueError, submitit.core.utils.FailedSubmissionError) as error:
            raise UserError(
                f"Slurm takes no jobs ({_last_line(error)})", fix="Is this a node that may submit?"
            ) from None
        return {str(job.job_id): tuple(numbers) for job, numbers in zip(submitted, work.jobs, strict=True)}

    def states(self, jobs: Collection[str]) -> dict[str, JobState]:
        """As :meth:`DetachedEngine.states`: what the queue does not list has ended."""
        if not jobs:
            return {}
        listed = dict(
            line.split("|", 1) for line in _ask("squeue", "-h", "-r", "-u", getpass.getuser(), "-o", "%i|%T").split()
        )
        return {job: _state(listed.get(job)) for job in jobs}

    def cancel(self, jobs: Collection[str]) -> None:
        """As :meth:`DetachedEngine.cancel`."""
        if jobs:
            # Of what runs every process hears it, bench first, which writes its record.
            _ask("scancel", *jobs)


def _state(said: str | None) -> JobState:
    if said is None or said in _ENDED:
        return "ended"
    return "waiting" if said in _WAITING else "running"


def folder_of(root: Path, plan: str) -> Path:
    """Where submitit keeps what it runs, and what jobs print."""
    return inside(root / PLANS, f"{plan}.slurm")


def _parameters(options: SlurmOptions, plan: str) -> dict[str, Any]:
    """As submitit calls them."""
    found: dict[str, Any] = {
        "job_name": f"bench-{plan}",
        "time": options.time,
        "cpus_per_task": options.cpus,
        "array_parallelism": options.parallel,
        "signal_delay_s": options.warning,
        "stderr_to_stdout": True,
        # The current folder holds no code; and a job that was preempted, or whose node is lost, comes again.
        "setup": ["export PYTHONSAFEPATH=1", *options.setup],
        "additional_parameters": {"requeue": True, **options.sbatch},
    }
    named = {key: getattr(options, key) for key in ("partition", "account", "qos", "constraint")}
    named |= {
        "gpus_per_node": options.gpus or None,
        "mem": f"{round(1024 * options.memory_gb)}M" if options.memory_gb else None,
    }
    return found | {key: value for key, value in named.items() if value is not None}


def _ask(*command: str) -> str:
    """What a command of Slurm prints.

    Raises:
        UserError: it is not there, or refuses.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, "LC_ALL": "C"})
    except (OSError, subprocess.TimeoutExpired) as error:
        said = f"{command[0]} is not there" if isinstance(error, FileNotFoundError) else f"{command[0]} does not answer"
        raise UserError(f"Slurm cannot be asked ({said})", fix="Ask on a node of the cluster.") from None
    if done.returncode:
        raise UserError(f"Slurm cannot be asked ({one_line(done.stderr.strip())[:300]})")
    return done.stdout


def _last_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return one_line(lines[-1])[:300] if lines else type(error).__name__

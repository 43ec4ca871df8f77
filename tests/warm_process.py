"""Processes of Python that are real and start at once: forked from one that has imported what takes long to import.

Importing torch and what hangs on it takes longer than most tests. A process of :func:`start` has its own pid, folder,
environment, signals and exit code, as one of :class:`subprocess.Popen` has; what it need not do is import torch, scipy and
pandas again. ``bench`` and ``transformers`` it imports itself, with its own environment, unless ``bench=True`` asks for a
process that has both already.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import gc
import importlib
import json
import os
import random
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any, NoReturn

# Whatever reads no setting of the environment while it is imported.
HEAVY = (
    "torch torch._dynamo torch.distributed.tensor torch.utils.data scipy.stats scipy.optimize pandas pyarrow.parquet "
    "pyarrow.dataset sklearn.linear_model sklearn.metrics pydantic yaml rich.table"
)
BENCH = (
    "transformers transformers.trainer transformers.models.esm.modeling_esm transformers.models.esm.tokenization_esm "
    "peft datasets hubtools.cli.run hubtools.cli.predict hubtools.runs.execute hubtools.reporting.card.model_card"
)
_LENGTH = 1 << 20


class Process:
    """A process that was forked; of :class:`subprocess.Popen` it has what the tests use.

    Attributes:
        pid: of the process.
        returncode: None while it runs; below zero the signal that ended it.
    """

    def __init__(self, server: _Server, pid: int, streams: Sequence[IO[bytes]]) -> None:
        self.pid, self.returncode = pid, None
        self._server, self._streams = server, streams

    returncode: int | None

    def poll(self) -> int | None:
        """The exit code, or None."""
        self._server.listen(0)
        if self.returncode is None:
            self.returncode = self._server.ended.get(self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end."""
        deadline = time.monotonic() + (timeout or 600)
        while self.poll() is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("bench", timeout or 600)
            self._server.listen(1)
        assert self.returncode is not None
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for its end; what it wrote to stdout and stderr."""
        self.wait(timeout)
        out, err = (self._read(stream) for stream in self._streams)
        return out, err

    def _read(self, stream: IO[bytes]) -> str:
        stream.seek(0)
        return stream.read().decode()

    def send_signal(self, number: int) -> None:
        """Send a signal, if it still runs; from any thread."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


class _Server:
    """The process that others are forked from."""

    def __init__(self, modules: str) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket, self.ended = ours, dict[int, int]()
        self._started: list[int] = []
        self._rest = b""
        # Without ../tests beside them, and with the tests' bench: as sys.path of a process of its own would be.
        command = [sys.executable, __file__, str(theirs.fileno()), modules]
        self.process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        theirs.close()
        atexit.register(self.close)

    def close(self) -> None:
        """End it, and with it what it started."""
        self.socket.close()
        self.process.wait(timeout=60)

    def fork(self, request: Mapping[str, Any], streams: Sequence[IO[bytes]]) -> Process:
        """Ask for a process with these for standard input, output and errors."""
        content = json.dumps(request).encode()
        assert len(content) < _LENGTH
        descriptors = array.array("i", [stream.fileno() for stream in streams])
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)]
        self.socket.sendmsg([len(content).to_bytes(4, "big")], rights)
        self.socket.sendall(content)
        while not self._started:
            self.listen(60)
        return Process(self, self._started.pop(), streams[1:])

    def listen(self, seconds: float) -> None:
        """Take note of what the process says within this time: which processes began and ended."""
        if not select.select([self.socket], [], [], seconds)[0]:
            return
        said = self.socket.recv(_LENGTH)
        assert said, "the process that others are forked from has died"
        *lines, self._rest = (self._rest + said).split(b"\n")
        for line in lines:
            pid, _, code = line.decode().partition(" ")
            if code:
                self.ended[int(pid)] = int(code)
            else:
                self._started.append(int(pid))


_servers: dict[str, _Server] = {}


def start(
    arguments: Sequence[object],
    *,
    cwd: Path,
    env: Mapping[str, str],
    code: str | None = None,
    module: str = "hubtools.cli.main",
    stdin: bytes = b"",
    bench: bool = False,
) -> Process:
    """Start ``python -m MODULE ARGUMENTS``, or ``python -c CODE ARGUMENTS``.

    Args:
        arguments: what the program finds behind its name in ``sys.argv``.
        cwd: its folder.
        env: its environment, all of it.
        code: what to run in place of the module.
        module: what to run.
        stdin: what it can read.
        bench: whether it may have imported bench and transformers already. Then it reads no setting of them (where the
            Hub is, where its cache lies) from the environment any more.
    """
    modules = f"{HEAVY} {BENCH}" if bench else HEAVY
    if modules not in _servers:
        _servers[modules] = _Server(modules)
    streams = [tempfile.TemporaryFile() for _ in range(3)]  # noqa: SIM115 they end with the process
    streams[0].write(stdin)
    streams[0].seek(0)
    request = {"argv": [*map(str, arguments)], "cwd": str(cwd), "env": dict(env), "code": code, "module": module}
    return _servers[modules].fork(request, streams)


def run(arguments: Sequence[object], timeout: float = 600, **options: Any) -> subprocess.CompletedProcess[str]:
    """:func:`start`, and wait for the end."""
    process = start(arguments, **options)
    out, err = process.communicate(timeout)
    assert process.returncode is not None
    return subprocess.CompletedProcess([*map(str, arguments)], process.returncode, out, err)


def stand_in(bench: bool = False) -> Any:
    """Stands for the module ``subprocess`` in code that starts ``python -m MODULE`` with it."""

    def run_module(command: Sequence[str], *, env: Mapping[str, str], **options: Any) -> Any:
        assert list(command[:2]) == [sys.executable, "-m"] and options.pop("stdin", subprocess.DEVNULL) < 0
        assert options == {"capture_output": True, "text": True, "check": False}
        return run(command[3:], module=command[2], env=env, cwd=Path.cwd(), bench=bench)

    return SimpleNamespace(run=run_module, DEVNULL=subprocess.DEVNULL, CompletedProcess=subprocess.CompletedProcess)


def _serve(connection: socket.socket) -> dict[str, Any] | None:
    """Fork on request; the request in the process that was forked, None at the end in this one."""
    children: set[int] = set()
    awake, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    # Ctrl-C at the terminal is for whoever tests.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        ready, _, _ = select.select([connection, awake], [], [])
        if awake in ready:
            os.read(awake, 1000)
            while children:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    break
                children.discard(pid)
                connection.sendall(f"{pid} {os.waitstatus_to_exitcode(status)}\n".encode())
        if connection in ready:
            head, rights, _, _ = connection.recvmsg(4, socket.CMSG_SPACE(3 * array.array("i").itemsize))
            if not head:
                for pid in children:
                    os.kill(pid, signal.SIGKILL)
                return None
            descriptors = array.array("i")
            for _, _, content in rights:
                descriptors.frombytes(content)
            length, request = int.from_bytes(head, "big"), b""
            while len(request) < length:
                request += connection.recv(length - len(request))
            pid = os.fork()
            if not pid:
                signal.set_wakeup_fd(-1)
                # A shell starts its background jobs, and all below them, with SIGINT ignored: not so at a terminal.
                signal.signal(signal.SIGINT, signal.default_int_handler)
                for number in (signal.SIGCHLD, signal.SIGTERM):
                    signal.signal(number, signal.SIG_DFL)
                for number, descriptor in enumerate(descriptors):
                    os.dup2(descriptor, number)
                for descriptor in (awake, wake, connection.detach(), *descriptors):
                    os.close(descriptor)
                return json.loads(request)
            for descriptor in descriptors:
                os.close(descriptor)
            children.add(pid)
            connection.sendall(f"{pid}\n".encode())


def _end(code: int) -> NoReturn:
    """Leave as Python does, but do not take thousands of modules apart."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


def _become(request: dict[str, Any]) -> NoReturn:
    """Be the process that was asked for."""
    try:
        _run(request)
    except SystemExit as exited:
        if isinstance(exited.code, str):
            print(exited.code, file=sys.stderr)
        _end(exited.code if isinstance(exited.code, int) else int(exited.code is not None))
    except BaseException as error:
        traceback.print_exc()
        if isinstance(error, KeyboardInterrupt):
            sys.stdout.flush()
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        _end(1)
    _end(0)


def _run(request: dict[str, Any]) -> None:
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    random.seed()
    here = Path(__file__).resolve().parent
    folders = [path for path in request["env"].get("PYTHONPATH", "").split(os.pathsep) if path]
    # As Python begins: its current folder, then PYTHONPATH.
    sys.path[:] = ["", *folders, *(path for path in sys.path if path not in {"", str(here), *folders})]
    sys.argv[:] = ["-c" if request["code"] else request["module"], *request["argv"]]
    if request["code"]:
        exec(compile(request["code"], "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.modules.pop(request["module"], None)
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    gc.disable()
    for name in sys.argv[2].split():
        importlib.import_module(name)
    # What is frozen is looked through by no collection in a process that was forked, which would copy it.
    gc.freeze()
    gc.enable()
    wanted = _serve(socket.socket(fileno=int(sys.argv[1])))
    if wanted is not None:
        _become(wanted)

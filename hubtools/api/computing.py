"""Where and how to compute, as a user says it: the same words for a command and for Python."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hubtools.common import garbage, telling

if TYPE_CHECKING:
    from hubtools.runs.plan import PlannedRun
    from hubtools.runs.session import Session
    from hubtools.runs.tracking.trackers import Track
    from hubtools.training.compute.device import Execution


@dataclass(frozen=True)
class ExecutionOptions:
    """What a user said of where and how to compute.

    Attributes:
        device: its name (``cpu``, ``cuda``, ``mps``), or ``auto``.
        token_budget: tokens of a batch, ``auto`` to measure it, None for what is usual on the device. Memory and speed, not
            results.
        gradient_checkpointing, packing, compiled, shard: as of :class:`hubtools.training.compute.device.Execution`.
        embedding_cache: whether embeddings are read and kept; None for what the function does by itself.
        trust_remote_code: whether code of a checkpoint may run.
        mirrors: folders of data, files named by their sha256.
        track: who is told how runs go on: the name of a tracker (``trackio``, ``wandb:my-project``), or a function that takes each
            :class:`hubtools.runs.tracking.trackers.TrackEvent`. What it does, or fails to do, changes no run.
        threads: of the processor, for this process; None for as many as there are cores that nothing else is busy on, unless
            ``OMP_NUM_THREADS`` says. Time, not results.

    >>> ExecutionOptions(device="cpu").packing
    True
    """

    device: str = "auto"
    token_budget: int | str | None = None
    gradient_checkpointing: bool = False
    packing: bool = True
    compiled: bool = False
    shard: bool = False
    embedding_cache: bool | None = None
    trust_remote_code: bool = False
    mirrors: tuple[Path, ...] = ()
    threads: int | None = None
    track: Track | None = None

    def arguments(self) -> list[str]:
        """The same as options of a command, for another process; what is usual is left out."""
        said = []
        if self.device != "auto":
            said += ["--device", self.device]
        if self.token_budget is not None:
            said += ["--token-budget", str(self.token_budget)]
        if self.threads is not None:
            said += ["--threads", str(self.threads)]
        if self.embedding_cache is not None:
            said += ["--embedding-cache" if self.embedding_cache else "--no-embedding-cache"]
        said += [] if self.packing else ["--no-packing"]
        said += ["--gradient-checkpointing"] if self.gradient_checkpointing else []
        said += ["--compile"] if self.compiled else []
        said += ["--shard"] if self.shard else []
        said += ["--trust-remote-code"] if self.trust_remote_code else []
        said += ["--track", self.track] if isinstance(self.track, str) else []
        for mirror in self.mirrors:
            said += ["--data-mirror", str(mirror)]
        return said

    def choose(self) -> Execution:
        """The device, with what was said of it.

        Raises:
            UserError: it cannot be used.
        """
        from hubtools.training.compute.device import Execution

        garbage.set_aside()
        return Execution.choose(
            self.device,
            self.token_budget,
            self.gradient_checkpointing,
            self.packing,
            self.compiled,
            self.shard,
            self.threads,
        )

    def session(self, root: Path, planned: Sequence[PlannedRun] = (), *, cached: bool = True) -> Session:
        """Where, how and with which caches runs are done.

        Args:
            root: folder of runs.
            planned: all of them, in order.
            cached: whether embeddings are read and kept where nothing was said of it.

        Raises:
            UserError: the device cannot be used, or there is no such tracker.
        """
        from hubtools.data import DataCache
        from hubtools.runs.session import Session
        from hubtools.runs.tracking.following import Tracking

        kept = cached if self.embedding_cache is None else self.embedding_cache
        cache = DataCache.default(self.mirrors)
        # A tracker that is not there is said before the device is asked for.
        tracking = Tracking(self.track)
        return Session(root, cache, self.choose(), self.trust_remote_code, kept, tuple(planned), tracking)


@contextlib.contextmanager
def quiet_hub() -> Iterator[None]:
    """No bars of downloads and uploads but for a command, or where ``HF_HUB_DISABLE_PROGRESS_BARS=0``; afterwards as it was."""
    from huggingface_hub import constants
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if telling.is_command() or are_progress_bars_disabled() or constants.HF_HUB_DISABLE_PROGRESS_BARS is not None:
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """The same, and no bars and reports of transformers for loading and writing weights, which takes a moment."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
    from transformers.utils import logging

    shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    with quiet_hub():
        hub_shown = not are_progress_bars_disabled()

        def switch(on: bool) -> None:
            # It switches the bars of huggingface_hub, too, which warns where the environment does not let it.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                change: Callable[[], None] = logging.enable_progress_bar if on else logging.disable_progress_bar
                change()
                (enable_progress_bars if hub_shown else disable_progress_bars)()

        switch(False)
        logging.set_verbosity(max(level, logging.ERROR))
        try:
            yield
        finally:
            logging.set_verbosity(level)
            switch(shown)

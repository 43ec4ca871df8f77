"""Fixtures for the whole suite: a Hub on loopback, and no other Hub."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hub_server import TOKEN, Hub

# Tiny computations on many threads wait for one another, and for those of the other workers. Read when torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Read by huggingface_hub when it is imported. Without the first, large files take a protocol that the loopback Hub
# does not speak.
os.environ["HF_HUB_DISABLE_XET"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
# Hundreds of tiny runs: a meter would take longer to start than most of them.
os.environ["BENCH_ENERGY"] = "estimate"
# One process for all runs of a command, unless a test asks for several: each would import torch.
os.environ["BENCH_WORKERS"] = "1"
# A test that makes a run means that run; tests of baselines ask for them.
os.environ["BENCH_BASELINES"] = "0"


@pytest.fixture(autouse=True)
def warnings_on_stderr() -> Iterator[None]:
    """As a command shows them, whatever is called."""
    from hubtools.common import telling

    with telling.on_stderr():
        yield


# Importing and collecting make millions of objects that stay: nothing is looked for among them then, and none of them later.
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """An empty Hub that this process takes for the real one; pass ``hub.env`` to other processes."""
    from huggingface_hub import constants

    with Hub(tmp_path / "hub") as server:
        for key, value in server.env.items():
            monkeypatch.setenv(key, value)
        # The same settings for the modules that have read them already.
        template = server.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", server.endpoint)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(Path(server.env["HF_HOME"]) / "hub"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(Path(server.env["HF_HOME"]) / "token"))
        # Retries of huggingface_hub wait for seconds.
        monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
        yield server


@pytest.fixture
def blank_figures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are laid out and not drawn: what is around them is looked at. A test marked ``figures`` gets real ones."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    if request.node.get_closest_marker("figures") is None:
        monkeypatch.setattr(FigureCanvasAgg, "draw", FigureCanvasAgg.get_renderer)
        monkeypatch.setattr(Figure, "savefig", lambda self, file, **_: Image.new("RGB", (2, 2)).save(file, "png"))


@pytest.fixture
def quick_reload(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is published is reloaded in a process of its own as ever, but one that need not import torch again."""
    import warm_process

    monkeypatch.setattr("hubtools.publishing.reload.subprocess", warm_process.stand_in())


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Call the command as a shell would: exit code, stdout, stderr. No output may hold the token, or a traceback."""

    def call(*arguments: object) -> tuple[int, str, str]:
        from hubtools.cli.main import main

        monkeypatch.setattr("sys.argv", ["bench", *map(str, arguments)])
        with pytest.raises(SystemExit) as exited:
            main()
        out, err = capsys.readouterr()
        assert TOKEN not in out + err and "Traceback" not in out + err
        return int(exited.value.code or 0), out, err

    return call

"""What is chosen on hardware that is not here: cards without bfloat16, Apple's, and Windows (docs/hardware.md)."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch

from hubtools.cli.main import main
from hubtools.common.errors import UserError
from hubtools.training.compute.device import Execution

CARD, APPLE = torch.device("cuda"), torch.device("mps")


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """A card of a compute capability, in which torch can make bfloat16 tensors, as it can in all."""
    properties = SimpleNamespace(major=request.param[0], minor=request.param[1])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda *_: properties)
    monkeypatch.setattr(torch.cuda, "_check_bf16_tensor_supported", lambda *_: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "a card")


@pytest.mark.parametrize("card", [(7, 0), (7, 5)], ids=["V100", "T4"], indirect=True)
def test_what_a_card_only_emulates_is_not_used(card: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch says of both that bfloat16 is supported."""
    assert torch.cuda.is_bf16_supported()
    monkeypatch.setattr(
        "hubtools.training.compute.device.measured", lambda *_: pytest.fail("there is nothing to choose")
    )
    execution = Execution(CARD, 64)
    assert [execution.bf16(precision) for precision in ("auto", "float32", "fastest")] == [False] * 3
    with pytest.raises(UserError, match=r"this GPU has no bfloat16\. --set precision=float32"):
        execution.bf16("bf16")


@pytest.mark.parametrize("card", [(8, 0), (8, 9), (9, 0)], ids=["A100", "L4", "H100"], indirect=True)
def test_a_card_that_has_it_uses_it(card: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubtools.training.compute.device.measured", lambda *_: "float32")
    execution = Execution(CARD, 64)
    assert [execution.bf16(precision) for precision in ("auto", "bf16", "float32", "fastest")] == [
        True,
        True,
        False,
        False,
    ]


def test_apples_gpu_computes_in_float32_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubtools.training.compute.device.measured", lambda *_: pytest.fail("not measured there"))
    execution = Execution(APPLE, 64)
    assert [execution.bf16(precision) for precision in ("auto", "float32", "fastest")] == [False] * 3


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="there is one")
def test_a_gpu_that_is_not_there_is_one_line() -> None:
    with pytest.raises(UserError, match=r"device 'mps' cannot be used .* Try --device cpu\."):
        Execution.choose("mps")


def test_windows_itself_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["bench", "run"])
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = "error: bench does not run on Windows itself. Use it in WSL 2, whose Linux sees the GPU, too.\n"
    assert capsys.readouterr().err == said

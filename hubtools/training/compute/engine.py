"""The engine: makes the very model that a run uses faster, and proves first that it computes the same.

Three things are tried: faster equivalents of hand-written operators, packing (no padding is computed), and, where asked
for, compilation. Each is admitted by a test on this model, this device and this precision (``proof``); what fails the
test is not used and the reason is kept. Then real proteins are read in batches and alone (``together``): where a batch
changes what a protein gives, the encoder reads groups of equal length, without padding or mask. A number never depends on
a promise.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from hubtools.common.cache_folder import cache_folder
from hubtools.common.errors import UserError
from hubtools.common.files import owner_only
from hubtools.common.telling import step
from hubtools.models.execution.attention import KERNELS, Boundaries, Options, kernels_for, sdpa
from hubtools.models.execution.grouping import Grouping
from hubtools.models.execution.held import held_layers
from hubtools.models.execution.operators import Operators
from hubtools.models.execution.packing import Packing
from hubtools.models.layers import encoder_layers
from hubtools.models.modeling_protein_task import ProteinTaskModel
from hubtools.models.tokenisation import ResidueTokeniser
from hubtools.specs.record import ContextFacts, TogetherFacts
from hubtools.training.compute.context import context_of
from hubtools.training.compute.device import Execution
from hubtools.training.compute.measured import measured
from hubtools.training.compute.proof import Proof, distance
from hubtools.training.compute.together import RealProteins, digits, shown

log = logging.getLogger(__name__)
# Of the largest value: what the padding of a batch of short sequences may change in float32. The families' own encoders and one
# of 36 layers change by less than 1e-6, those that do not look at the mask by several per cent and more.
PADDED = 5e-4
# Tokens of the sequences that kernels of attention are timed on: short, usual and long proteins.
_LENGTHS = (150, 400, 700)


@dataclass
class Engine:
    """What was made of a model.

    Attributes:
        attention: how attention is computed.
        layout: ``packed``, ``padded`` or ``grouped``.
        operators: whether faster operators are in place.
        compiled: whether the encoder's layers are compiled.
        reasons: why something was not used, one line each.
        together: what real proteins gave in batches and alone; None where there were none to read.
        context: what a residue sees of its protein.
        held: of an encoder whose linear layers are held in bfloat16, how far it is from autocast with float32 weights.
    """

    attention: str | None
    layout: Literal["packed", "padded", "grouped"] = "padded"
    operators: bool = False
    compiled: bool = False
    reasons: list[str] = field(default_factory=list)
    together: TogetherFacts | None = None
    context: ContextFacts | None = None
    held: float | None = None

    @property
    def packed(self) -> bool:
        """Whether batches may count real tokens only: no padding is computed."""
        return self.layout != "padded"

    @property
    def plain(self) -> bool:
        """Whether nothing was changed."""
        return not (self.packed or self.operators or self.compiled)

    def rounding(self, bf16: bool) -> str:
        """What numbers are rounded by: in bfloat16 by the way that attention is computed, too, and to be seen."""
        compiled, held = " compiled" if self.compiled else "", "" if self.held is None else ", weights held"
        return f"bf16, {self.layout} {self.attention}{compiled}{held}" if bf16 else "float32"


@contextlib.contextmanager
def engine(
    model: Any,
    tokeniser: ResidueTokeniser,
    execution: Execution,
    *,
    bf16: bool,
    trains: bool,
    proteins: Sequence[np.ndarray] = (),
    faster: bool = True,
) -> Iterator[Engine]:
    """Make a model's encoder faster inside the block; afterwards it is as it was.

    A model of bench's whose encoder reads groups of equal length keeps that in its configuration: it is published so.

    Args:
        model: encoder with head, on its device.
        tokeniser: of the same checkpoint: makes the sequences of the test.
        execution: device; whether packing and compilation are wanted.
        bf16: whether the model will run under autocast.
        trains: whether the encoder's gradients are needed.
        proteins: real ones that are read in batches and alone (:func:`hubtools.training.compute.together.chosen`).
        faster: False to prove alone.

    Raises:
        UserError: what its encoder computes of a sequence depends on others in its batch however it is read, or is not a number;
            or its weights are held in bfloat16 and that is not what autocast computes.
    """
    encoder, device = model.encoder, execution.device
    trains = trains and any(p.requires_grad for p in encoder.parameters())
    plain = Engine(getattr(encoder.config, "_attn_implementation", None))
    with contextlib.ExitStack() as stack:
        proving = stack.enter_context(contextlib.ExitStack())
        proving.enter_context(step("proving that batches change nothing"))
        proof = Proof.passed(encoder, tokeniser, device, bf16, trains)
        held = _held(proof, encoder, bf16, tokeniser.name)
        context = context_of(encoder, tokeniser, device)
        real = RealProteins.passed(encoder, tokeniser, proteins, device) if proteins else None
        # Whatever is not a number is not below.
        padding = (
            None if (effect := proof.padding_effect) <= PADDED else f"differs by {shown(effect)} from the same alone"
        )
        made = plain
        if padding is None:
            with contextlib.ExitStack() as parts:
                made = _faster(parts, proof, encoder, execution, bf16, trains) if faster else plain
                why = _together(made, real, bf16)
                if why is None:
                    stack.push(parts.pop_all())
            if why is not None and not made.plain:
                made = replace(
                    plain, reasons=[*made.reasons, f"no packing, no faster operators: in a batch a protein {why}"]
                )
                why = _together(made, real, bf16)
            padding = why
        if padding is not None:
            made = _grouped(stack, model, made, padding, real, bf16, tokeniser.name)
        if made.together is not None:
            made.together = made.together.model_copy(update={"why": "; ".join(made.reasons), "held": held})
        for reason in made.reasons:
            # Compilation was asked for, and groups take time that somebody may wonder about; the rest is nobody's loss.
            loud = reason.startswith(("no compilation", "groups"))
            log.log(logging.WARNING if loud else logging.INFO, reason)
        proving.close()
        made.context, made.held = context, held
        yield made


def _held(proof: Proof, encoder: Any, bf16: bool, name: str | None) -> float | None:
    """How far an encoder held in bfloat16 is from autocast with float32 weights; None of one that is not held.

    Raises:
        UserError: too far.
    """
    if not bf16 or not held_layers(encoder):
        return None
    apart, why = proof.why_not_held()
    if why is not None:
        fix = "Leave frozen_weights out, or compute in float32."
        raise UserError(f"its weights cannot be held in bfloat16: {why}", where=name, fix=fix)
    return digits(apart)


def _faster(
    stack: contextlib.ExitStack, proof: Proof, encoder: Any, execution: Execution, bf16: bool, trains: bool
) -> Engine:
    """Attach what is faster and passes the test."""
    made = Engine(getattr(encoder.config, "_attn_implementation", None))
    operators = Operators(encoder)
    if operators.replacements:
        made.operators = _admitted(stack, proof, operators, "faster operators", made)
    if execution.packing:
        if (why := Packing.why_not(encoder)) is None:
            kernel = choose_kernel(encoder.config, execution, bf16, trains)
            if _admitted(stack, proof, Packing(encoder, kernel), "packing", made):
                made.layout, made.attention = "packed", kernel
        else:
            made.reasons.append(f"not packed: {why}")
    if execution.compile:
        made.compiled = _admitted(stack, proof, Compiled(encoder), "compilation", made)
    return made


def _together(made: Engine, real: RealProteins | None, bf16: bool) -> str | None:
    """How far real proteins in a batch are from the same alone; None where rounding is all, or none are read."""
    if real is None:
        return None
    made.together, why = real.read(bf16, made.layout, made.attention)
    return why


def _grouped(
    stack: contextlib.ExitStack,
    model: Any,
    before: Engine,
    padding: str,
    real: RealProteins | None,
    bf16: bool,
    name: str | None,
) -> Engine:
    """Let the encoder read groups of equal length.

    Raises:
        UserError: a protein of such a group is not what it is alone either.
    """
    grouping = Grouping(model.encoder)
    grouping.attach()
    stack.callback(grouping.detach)
    if isinstance(model, ProteinTaskModel):
        model.config.equal_lengths = True
    reason = f"groups of equal length: its encoder does not ignore padding, in a batch a protein {padding}"
    made = Engine(before.attention, "grouped", reasons=[*before.reasons, reason])
    if (why := _together(made, real, bf16)) is not None:
        raise UserError(
            f"its encoder does not read a protein as it is alone: in a padded batch it {padding}, in a group of equal length it {why}",
            where=name,
            fix="Use another checkpoint.",
        )
    return made


def _admitted(stack: contextlib.ExitStack, proof: Proof, part: Any, name: str, made: Engine) -> bool:
    """Attach a part for good where the model still computes the same with it."""
    try:
        part.attach()
        why = proof.why_not()
    except torch.OutOfMemoryError:
        part.detach()
        raise
    # Whatever an unknown architecture does with what it is given is an answer, not an accident.
    except Exception as error:
        why = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
    if why is None:
        stack.callback(part.detach)
        return True
    part.detach()
    made.reasons.append(f"no {name}: {why}")
    return False


class Compiled:
    """The layers of an encoder, compiled one by one, from :meth:`attach` to :meth:`detach`."""

    def __init__(self, encoder: Any) -> None:
        found = encoder_layers(encoder)
        self.layers: list[Any] = [] if found is None else list(found[1])

    def attach(self) -> None:
        """From here on layers run compiled, for any number of tokens.

        Raises:
            ValueError: the architecture has no list of layers.
            UserError: the folder of compiled code is not this user's alone.
        """
        if not self.layers:
            raise ValueError("no list of layers")
        # torch pickles what it compiled, by default into a folder of a known name below /tmp.
        owner_only(Path(os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder() / "compiled"))))
        for layer in self.layers:
            layer.compile(dynamic=True)

    def detach(self) -> None:
        """The layers as they were."""
        for layer in self.layers:
            layer._compiled_call_impl = None


def choose_kernel(config: Any, execution: Execution, bf16: bool, trains: bool) -> str:
    """The fastest attention for this device, precision and shape of heads, measured once."""
    heads = config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    dtype = torch.bfloat16 if bf16 else torch.float32
    device = execution.device
    names = kernels_for(device, dtype)
    if len(names) == 1:
        return names[0]
    question = (
        f"attention within {_LENGTHS} tokens {'with' if trains else 'without'} gradient in {str(dtype).removeprefix('torch.')}, "
        f"{heads} heads of {size}, {torch.get_num_threads()} threads"
    )
    return measured(
        execution.device_name, question, lambda: _kernel_candidates(names, heads, size, dtype, device, trains), names
    )


def _kernel_candidates(
    names: list[str], heads: int, size: int, dtype: torch.dtype, device: torch.device, trains: bool
) -> dict[str, Callable[[], Any]]:
    """Kernels on random queries, keys and values of usual lengths; one that is wrong is no candidate."""
    offsets = torch.tensor([0, *accumulate(_LENGTHS)], dtype=torch.int32, device=device)
    boundaries, options = Boundaries(_LENGTHS, offsets), Options(size**-0.5)
    generator = torch.Generator().manual_seed(0)
    query, key, value = (
        torch.randn(sum(_LENGTHS), heads, size, generator=generator)
        .to(device, dtype)
        .transpose(0, 1)
        .requires_grad_(trains)
        for _ in range(3)
    )
    with torch.no_grad():
        exact = sdpa(query.float(), key.float(), value.float(), boundaries, options)

    def run(name: str) -> Callable[[], Any]:
        def once() -> torch.Tensor:
            with torch.set_grad_enabled(trains):
                out = KERNELS[name](query, key, value, boundaries, options)
            if trains:
                torch.autograd.grad(out, (query, key, value), out)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            return out.detach()

        return once

    tolerance = 0.05 if dtype != torch.float32 else 1e-4
    candidates = {}
    for name in names:
        # A kernel that this machine lacks says so in many ways.
        with contextlib.suppress(RuntimeError, NotImplementedError, ValueError, ImportError):
            if distance([run(name)().float()], [exact]) <= tolerance:
                candidates[name] = run(name)
    return candidates or {names[0]: run(names[0])}

"""The engine: makes the very model that a run uses faster, and proves first that it computes the same.

Before anything, that it can be read in batches: a sequence beside longer ones must give what it gives alone. Three things are tried: faster equivalents of hand-written operators, packing (no padding is computed), and, where asked
for, compilation. Each is admitted by a test on this model, this device and this precision; what fails the test is not
used and the reason is kept. A number never depends on a promise.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from hubtools.common.errors import UserError
from hubtools.models.attention import KERNELS, Boundaries, Options, kernels_for, sdpa
from hubtools.models.layers import encoder_layers
from hubtools.models.operators import Operators
from hubtools.models.packing import Packing, note_lengths
from hubtools.models.tokenisation import STANDARD, ResidueTokeniser
from hubtools.training.compute.device import Execution
from hubtools.training.compute.measured import measured
from hubtools.training.prediction import autocast

log = logging.getLogger(__name__)
# Of the largest value: what float32 rounding may do between two orders of the same sums.
SAME = 5e-5
# Of the largest value: what the padding of a batch may change in float32. The families' own encoders and one of 36 layers
# change by less than 1e-6, those that do not look at the mask by several per cent and more.
PADDED = 5e-4
# In half precision: no farther from float32 than this many times what padded batches are.
AS_CLOSE = 2.0
# Parameters whose gradients the test compares.
LOOKED_AT = 16
# Residues of the sequences that the test reads; all lengths differ.
TEST_LENGTHS = (5, 33, 12, 20)


@dataclass
class Engine:
    """What was made of a model.

    Attributes:
        attention: how attention is computed.
        layout: ``packed`` or ``padded``.
        operators: whether faster operators are in place.
        compiled: whether the encoder's layers are compiled.
        reasons: why something was not used, one line each.
    """

    attention: str | None
    layout: str = "padded"
    operators: bool = False
    compiled: bool = False
    reasons: list[str] = field(default_factory=list)

    @property
    def packed(self) -> bool:
        """Whether batches may count real tokens only."""
        return self.layout == "packed"

    def rounding(self, bf16: bool) -> str:
        """What numbers are rounded by: in bfloat16 by the way that attention is computed, too, and to be seen."""
        compiled = " compiled" if self.compiled else ""
        return f"bf16, {self.layout} {self.attention}{compiled}" if bf16 else "float32"


@contextlib.contextmanager
def engine(
    model: Any, tokeniser: ResidueTokeniser, execution: Execution, *, bf16: bool, trains: bool
) -> Iterator[Engine]:
    """Make a model's encoder faster inside the block; afterwards it is as it was.

    Args:
        model: encoder with head, on its device.
        tokeniser: of the same checkpoint: makes the sequences of the test.
        execution: device; whether packing and compilation are wanted.
        bf16: whether the model will run under autocast.
        trains: whether the encoder's gradients are needed.

    Raises:
        UserError: what its encoder computes of a sequence depends on padding, or is not a number.
    """
    encoder = model.encoder
    trains = trains and any(p.requires_grad for p in encoder.parameters())
    made = Engine(getattr(encoder.config, "_attn_implementation", None))
    with contextlib.ExitStack() as stack:
        proof = Proof.passed(encoder, tokeniser, execution.device, bf16, trains)
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
        for reason in made.reasons:
            # Compilation was asked for; the rest is nobody's loss but time's.
            log.log(logging.WARNING if reason.startswith("no compilation") else logging.INFO, reason)
        yield made


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


def prove_padding(encoder: Any, tokeniser: ResidueTokeniser, device: torch.device) -> float:
    """Largest difference between sequences in a padded batch and each alone, as a share of the largest value.

    Raises:
        UserError: it is more than rounding, or what the encoder computes is not a number.
    """
    return Proof.passed(encoder, tokeniser, device, bf16=False, trains=False).padding_effect


class Proof:
    """What a model's encoder computes before anything is changed, and whether it still does.

    Reads a few short random sequences of different lengths. Outputs are compared with each sequence read alone, which
    no padding or packing can be wrong about, and gradients with those of the padded batch. In bfloat16 the same is
    asked again: outputs and gradients must be as close to float32 as those of padded batches are.
    """

    def __init__(
        self, encoder: Any, tokeniser: ResidueTokeniser, device: torch.device, bf16: bool, trains: bool
    ) -> None:
        self.encoder = encoder
        self.device, self.bf16, self.trains = device, bf16, trains
        rng = np.random.default_rng(0)
        lengths = list(TEST_LENGTHS)
        if (reach := getattr(encoder.config, "sliding_window", None)) is not None:
            # Local attention shows only in what is longer than its reach.
            lengths.append(2 * int(reach) + 9)
        self.rows = [
            tokeniser.with_special(tokeniser.encode("".join(rng.choice(list(STANDARD), length)))) for length in lengths
        ]
        width = max(map(len, self.rows))
        ids = torch.full((len(self.rows), width), tokeniser.pad_id)
        mask = torch.zeros(len(self.rows), width, dtype=torch.long)
        for index, row in enumerate(self.rows):
            ids[index, : len(row)], mask[index, : len(row)] = torch.from_numpy(row), 1
        self.ids = ids.to(device)
        self.mask = note_lengths(mask.to(device), [len(row) for row in self.rows])
        self.real = mask.bool().to(device)
        trained = [p for p in encoder.parameters() if p.requires_grad]
        # Some of all depths: what is wrong anywhere is wrong below it. Drawn, since of fresh adapters every other
        # parameter has no gradient yet.
        stretches = np.array_split(np.arange(len(trained)), max(1, min(len(trained), LOOKED_AT)))
        self.parameters = [trained[rng.choice(stretch)] for stretch in stretches] if trains else []
        generator = torch.Generator().manual_seed(0)
        shape = (int(mask.sum()), encoder.config.hidden_size)
        self.weight = torch.randn(shape, generator=generator).to(device)
        with self._still():
            self.alone = self._alone()
            self.padded, self.gradients = self._run(False)
            self.rounded = self._run(True) if bf16 else None

    @classmethod
    def passed(cls, encoder: Any, tokeniser: ResidueTokeniser, device: torch.device, bf16: bool, trains: bool) -> Proof:
        """The proof of an encoder that can be read in batches.

        Raises:
            UserError: padding changes what it computes, or it computes nothing, or what is not a number.
        """
        try:
            proof = cls(encoder, tokeniser, device, bf16, trains)
        except (torch.OutOfMemoryError, MemoryError, UserError):
            raise
        # An unknown architecture fails in its own way.
        except Exception as error:
            raise UserError(
                f"its encoder cannot read a batch of short proteins ({type(error).__name__}: "
                f"{' '.join(str(error).split())[:200]})",
                where=tokeniser.name,
                fix="Check that config.json and the tokenizer belong to its weights, or use another checkpoint.",
            ) from error
        proof._require_numbers(tokeniser.name)
        proof._require_padding_without_effect(tokeniser.name)
        return proof

    @property
    def padding_effect(self) -> float:
        """Largest difference between the padded batch and each sequence alone, as a share of the largest value."""
        return distance([self.padded], [self.alone])

    def _require_numbers(self, name: str | None) -> None:
        if bool(self.alone.isfinite().all()):
            return
        broken = (n for n, p in self.encoder.named_parameters() if not bool(p.isfinite().all()))
        if (first := next(broken, None)) is not None:
            what, fix = f"its weights hold NaN or infinity (first: {first})", "Get the checkpoint again."
        else:
            what, fix = "what its encoder computes is not a number", "Use another checkpoint."
        raise UserError(what, where=name, fix=fix)

    def _require_padding_without_effect(self, name: str | None) -> None:
        """What a batch makes of a sequence would hang on its neighbours, and every prediction with it."""
        # Whatever is not a number is not below.
        if not (effect := self.padding_effect) <= PADDED:
            size = f"{100 * effect:,.3g} % of the largest value" if np.isfinite(effect) else "NaN"
            raise UserError(
                f"its encoder does not ignore padding: a sequence in a padded batch and the same alone differ by {size}",
                where=name,
                fix="Its code must leave out tokens whose attention_mask is 0: mend that, or use another checkpoint.",
            )

    def why_not(self) -> str | None:
        """What differs now; None where nothing does."""
        with self._still():
            out, gradients = self._run(False)
            if (error := distance([out], [self.alone])) > max(SAME, 3 * self.padding_effect):
                return f"hidden states differ by {error:.1e} of the largest"
            if (error := distance(gradients, self.gradients)) > 10 * SAME:
                return f"gradients differ by {error:.1e} of the largest"
            if self.rounded is None:
                return None
            out, gradients = self._run(True)
        for what, got, before, exact in (
            ("hidden states", [out], [self.rounded[0]], [self.alone]),
            ("gradients", gradients, self.rounded[1], self.gradients),
        ):
            error, usual = spread(got, exact), spread(before, exact)
            if not (np.isfinite(error) and error <= AS_CLOSE * usual + SAME):
                return f"in bfloat16 {what} are off by {error:.1e}, padded by {usual:.1e}"
        return None

    @contextlib.contextmanager
    def _still(self) -> Iterator[None]:
        """Without dropout, and with the random numbers and modes of the model as they were."""
        modes = [(module, module.training) for module in self.encoder.modules()]
        self.encoder.eval()
        try:
            yield
        finally:
            for module, mode in modes:
                module.training = mode

    def _run(self, bf16: bool) -> tuple[torch.Tensor, list[torch.Tensor]]:
        with torch.set_grad_enabled(bool(self.parameters)):
            with autocast(self.device, bf16):
                out = self.encoder(input_ids=self.ids, attention_mask=self.mask).last_hidden_state[self.real].float()
            if not self.parameters:
                return out, []
            found = torch.autograd.grad((out * self.weight).sum(), self.parameters, allow_unused=True)
        return out.detach(), [torch.zeros(1, device=self.device) if g is None else g for g in found]

    @torch.no_grad()
    def _alone(self) -> torch.Tensor:
        parts = []
        for row in self.rows:
            ids = torch.from_numpy(row)[None].to(self.device)
            mask = note_lengths(torch.ones_like(ids), [len(row)])
            parts.append(self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state[0])
        return torch.cat(parts).float()


def distance(got: list[torch.Tensor], expected: list[torch.Tensor]) -> float:
    """Largest difference as a share of the largest value; infinite where something is not a number."""
    if not got:
        return 0.0
    largest = max(float(b.abs().max()) for b in expected)
    # Not Python's max, which passes over what is not a number.
    error = float(np.max([float((a - b).abs().max()) for a, b in zip(got, expected, strict=True)]))
    return error / max(largest, 1e-30) if np.isfinite(error) else float("inf")


def spread(got: list[torch.Tensor], expected: list[torch.Tensor]) -> float:
    """Root mean square of the difference as a share of that of the values."""
    if not got:
        return 0.0
    error = sum(float((a - b).double().square().sum()) for a, b in zip(got, expected, strict=True))
    size = sum(float(b.double().square().sum()) for b in expected)
    return (error / max(size, 1e-60)) ** 0.5


class Compiled:
    """The layers of an encoder, compiled one by one, from :meth:`attach` to :meth:`detach`."""

    def __init__(self, encoder: Any) -> None:
        found = encoder_layers(encoder)
        self.layers: list[Any] = [] if found is None else list(found[1])

    def attach(self) -> None:
        """From here on layers run compiled, for any number of tokens.

        Raises:
            ValueError: the architecture has no list of layers.
        """
        if not self.layers:
            raise ValueError("no list of layers")
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
        f"attention {'with' if trains else 'without'} gradient in {str(dtype).removeprefix('torch.')}, "
        f"{heads} heads of {size}, {torch.get_num_threads()} threads"
    )
    return measured(
        execution.device_name, question, lambda: _kernel_candidates(names, heads, size, dtype, device, trains), names
    )


def _kernel_candidates(
    names: list[str], heads: int, size: int, dtype: torch.dtype, device: torch.device, trains: bool
) -> dict[str, Callable[[], Any]]:
    """Kernels on random queries, keys and values of usual lengths; one that is wrong is no candidate."""
    lengths = (150, 400)
    offsets = torch.tensor([0, 150, 550], dtype=torch.int32, device=device)
    boundaries, options = Boundaries(lengths, offsets), Options(size**-0.5)
    generator = torch.Generator().manual_seed(0)
    query, key, value = (
        torch.randn(sum(lengths), heads, size, generator=generator)
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

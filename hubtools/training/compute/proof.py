"""A test that an encoder computes the same after a change: short sequences, outputs and gradients, also in bfloat16."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from hubtools.common.errors import UserError, in_brackets
from hubtools.models.execution.held import widened
from hubtools.models.execution.packing import note_lengths
from hubtools.models.modeling_protein_task import unpadded
from hubtools.models.tokenisation import STANDARD, ResidueTokeniser
from hubtools.training.prediction import autocast

# Of the largest value: what float32 rounding may do between two orders of the same sums.
SAME = 5e-5
# In half precision: no farther from float32 than this many times what padded batches are.
AS_CLOSE = 2.0
# Parameters whose gradients the test compares.
LOOKED_AT = 16
# Residues of the sequences that the test reads; all lengths differ.
TEST_LENGTHS = (5, 33, 12, 20)


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
        with still(self.encoder):
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
                f"its encoder cannot read a batch of short proteins{in_brackets(error)}",
                where=tokeniser.name,
                fix="Check that config.json and the tokenizer belong to its weights, or use another checkpoint.",
            ) from error
        proof._require_numbers(tokeniser.name)
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

    def why_not(self) -> str | None:
        """What differs now; None where nothing does."""
        with still(self.encoder):
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

    def why_not_held(self) -> tuple[float, str | None]:
        """Of an encoder whose linear layers are held in bfloat16, whether it gives what autocast makes of float32 weights.

        The same sequences are read under autocast with weights in float32, a layer's at a time. These are the rounded ones: that the
        original ones would have given the same follows from what is done with them, for autocast rounds them likewise where
        they are multiplied by. So nothing else may be done with them.

        Returns:
            How far the one is from the other, as a share of the usual size, and what is wrong; None where nothing is.
        """
        assert self.rounded is not None
        with still(self.encoder), widened(self.encoder) as uses:
            wide, _ = self._run(True)
        apart = spread([self.rounded[0]], [wide])
        if uses.other:
            return apart, f"its code does more with weights than multiply by them ({', '.join(sorted(uses.other)[:3])})"
        error, usual = spread([self.rounded[0]], [self.alone]), spread([wide], [self.alone])
        if not (np.isfinite(error) and error <= AS_CLOSE * usual + SAME):
            return apart, f"hidden states are off by {error:.1e}, under autocast by {usual:.1e}"
        return apart, None

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
            parts.append(unpadded(self.encoder, torch.from_numpy(row)[None].to(self.device)).last_hidden_state[0])
        return torch.cat(parts).float()


@contextlib.contextmanager
def still(encoder: Any) -> Iterator[None]:
    """Without dropout, and with the modes of the model as they were."""
    modes = [(module, module.training) for module in encoder.modules()]
    encoder.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


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
    # On the CPU, for not every device has float64.
    error = sum(float((a - b).cpu().double().square().sum()) for a, b in zip(got, expected, strict=True))
    size = sum(float(b.cpu().double().square().sum()) for b in expected)
    return (error / max(size, 1e-60)) ** 0.5

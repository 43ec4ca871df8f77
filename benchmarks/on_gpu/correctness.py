"""Does the device compute what is true? The proofs of every run, and the ends of small fits."""

from __future__ import annotations

import shutil
import socket
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from hubtools.models import ResidueTokeniser, resolve_checkpoint
from hubtools.models.encoder import load_encoder
from hubtools.models.execution.attention import KERNELS, Boundaries, Options, sdpa
from hubtools.models.four_bits import load_bitsandbytes
from hubtools.specs.recipe import Window
from hubtools.training.compute.engine import choose_kernel, engine
from hubtools.training.compute.proof import distance
from hubtools.training.compute.sharding import divided, full
from hubtools.training.encoding import read_chains
from hubtools.training.finetune.fit import FairTrainer, fit
from on_gpu.checking import Check, Finding, LeftOut
from on_gpu.making import TINY, Machine, encoder, fitting, work

ROOT = Path(__file__).resolve().parents[2]
# Tiny checkpoints of every family, as the tests have them.
sys.path.insert(0, str(ROOT / "tests"))
# Hidden states of one device against another's in float32, as a share of the largest: sums in another order.
SAME_STATES = 1e-3
# Weights after a fit, as a share of how far training moved them: AdamW makes a step of full size also of a gradient that is
# nothing but rounding, so that single weights differ; together they do not.
SAME_WEIGHTS = 0.1
# Of a kernel in half precision against float32, as hubtools.training.compute.engine has it.
KERNEL = 0.05
GENTLE = {"learning_rate": 1e-4, "head_learning_rate": 1e-3, "batch_size": 8}


def checks(machine: Machine) -> list[Check]:
    """All of them, the quickest first."""
    from tiny_checkpoints import FAMILIES

    shape, n = (TINY, 12) if machine.smoke else ("8M", 96)
    made = [Check("correctness", "variable-length kernel", 30, lambda: kernel(machine))]
    made += [
        Check(
            "correctness",
            f"{family}: alone = padded = packed, alignment",
            40,
            lambda family=family: proven(machine, family),
        )
        for family in (FAMILIES[:1] + FAMILIES[2:5] if machine.smoke else FAMILIES)
    ]
    made += [
        Check("correctness", "packed and padded training end alike", 60, lambda: layouts(machine, shape, n)),
        Check("correctness", "a fit that was stopped goes on to the same end", 60, lambda: resumed(machine, shape, n)),
        Check("correctness", "out of memory: the step in smaller pieces", 60, lambda: split_steps(machine, shape, n)),
        Check(
            "correctness",
            "weights divided (FSDP) and gradients exchanged (DDP), one process",
            40,
            lambda: one_of_one(machine, shape),
        ),
        Check("correctness", "QLoRA", 60, lambda: four_bits(machine, shape, n)),
        Check("correctness", "a published model does what was measured", 90, lambda: reloaded(machine)),
        Check("correctness", "compiled layers compute the same", 90, lambda: compiled(machine)),
    ]
    return made


def kernel(machine: Machine) -> Finding:
    """The variable-length kernel, its gradients, and a reach, against attention one by one in float32; and which is chosen."""
    half, worst = (torch.bfloat16 if machine.on_card else torch.float32), 0.0
    lengths = (150, 400, 1, 33)
    offsets = torch.tensor([0, *torch.tensor(lengths).cumsum(0).tolist()], dtype=torch.int32, device=machine.device)
    for size in (16, 64):
        for reach in (None, 64):
            generator = torch.Generator().manual_seed(0)
            draws = [torch.randn(4, sum(lengths), size, generator=generator).to(machine.device) for _ in range(3)]
            options, boundaries = Options(size**-0.5, reach=reach), Boundaries(lengths, offsets)

            def run(function: Callable[..., torch.Tensor], dtype: torch.dtype) -> list[torch.Tensor]:
                inputs = [x.to(dtype).requires_grad_() for x in draws]  # noqa: B023
                out = function(*inputs, boundaries, options)  # noqa: B023
                return [x.detach().float() for x in (out, *torch.autograd.grad(out.float().square().sum(), inputs))]

            pairs = zip(run(KERNELS["varlen"], half), run(sdpa, torch.float32), strict=True)
            worst = max(worst, *(distance([got], [exact]) for got, exact in pairs))
    assert worst <= KERNEL, f"it differs from attention one by one by {worst:.1e} of the largest"
    config = encoder(TINY, torch.device("cpu")).config
    names = [choose_kernel(config, machine.execution(), machine.on_card, trains) for trains in (True, False)]
    said = f"off by {worst:.1e} of the largest; chosen: {names[0]} to train, {names[1]} to read"
    return Finding(
        said if machine.on_card else f"{said} (on a processor it is attention one by one)", figures={"worst": worst}
    )


def proven(machine: Machine, family: str) -> Finding:
    """A tiny checkpoint of a family: what the engine proves in both precisions, and the processor's own states and layout."""
    from tiny_checkpoints import write_checkpoint

    with tempfile.TemporaryDirectory() as place:
        checkpoint = resolve_checkpoint(str(write_checkpoint(Path(place) / family, family, width=64)))
        tokeniser = ResidueTokeniser.from_checkpoint(checkpoint)
        given = work(TINY, 8)
        tokens, _ = read_chains(tokeniser, Window(), given.sequences)
        assert [len(ids) for ids in tokens] == [len(s) for s in given.sequences], "not one token a residue"
        real = [ids[:400] for ids in tokens[:3]]
        found: dict[str, Any] = {}
        for device, bf16 in [
            (torch.device("cpu"), False),
            *((machine.device, half) for half in (False, True)[: 1 + machine.bf16]),
        ]:
            body = load_encoder(checkpoint).to(device)
            holder = mock.Mock(encoder=body)
            execution = replace(machine.execution(4096), device=device)
            with engine(holder, tokeniser, execution, bf16=bf16, trains=True, proteins=real) as made, torch.no_grad():
                row = torch.from_numpy(tokeniser.with_special(tokens[0]))[None].to(device)
                states = body(input_ids=row, attention_mask=torch.ones_like(row)).last_hidden_state.float().cpu()
                found[f"{device.type} {'bfloat16' if bf16 else 'float32'}"] = made.layout, made.reasons, states
    (layout, _, expected), *others = found.values()
    for where, (own, reasons, _) in list(found.items())[1:]:
        assert own == layout, f"{own} on {where}, {layout} on a processor: {'; '.join(reasons)}"
    apart = distance([others[0][2]], [expected]) if others else 0.0
    assert apart <= SAME_STATES, f"hidden states differ from the processor's by {apart:.1e} of the largest"
    return Finding(f"{layout}; {apart:.1e} from the processor's states", figures={"layout": layout, "apart": apart})


def ends(
    machine: Machine, shape: str, n: int, before: Callable[[Any], None] = lambda one: None, **how: Any
) -> tuple[torch.Tensor, ...]:
    """Weights before and after a fit in float32: (numbers,) each, on the processor."""
    with fitting(machine, shape, n, "full", precision="float32", **{**GENTLE, **how}) as one:
        start = flat(one.model)
        before(one)
        fit(one.model, one.train, one.validation, one.job)
        return start, flat(one.model)


def flat(model: Any) -> torch.Tensor:
    """All weights in one row, on the processor."""
    return torch.cat([p.detach().float().flatten().cpu() for p in model.parameters()])


def alike(start: torch.Tensor, one: torch.Tensor, other: torch.Tensor) -> float:
    """How far two ends are apart, as a share of the way from the start.

    Raises:
        AssertionError: too far, or nothing was learnt.
    """
    way = float((one - start).norm())
    share = float((one - other).norm()) / max(way, 1e-30)
    assert way > 0, "nothing was learnt"
    assert share <= SAME_WEIGHTS, f"the ends are {share:.1%} of the way apart"
    return share


def layouts(machine: Machine, shape: str, n: int) -> Finding:
    """The same fit, packed and padded."""
    start, packed = ends(machine, shape, n)
    _, padded = ends(machine, shape, n, packing=False)
    share = alike(start, padded, packed)
    return Finding(f"{share:.1e} of the way apart", figures={"share": share})


def resumed(machine: Machine, shape: str, n: int) -> Finding:
    """A fit of two epochs that dies in the second, and goes on."""
    start, whole = ends(machine, shape, n, epochs=2)
    original, dies = FairTrainer.training_step, [True]

    def dying(self: FairTrainer, step: Any) -> torch.Tensor:
        if self.progress.epoch == 1 and dies:
            dies.clear()
            raise KeyboardInterrupt
        return original(self, step)

    with fitting(machine, shape, n, "full", precision="float32", epochs=2, **GENTLE) as one:
        with mock.patch.object(FairTrainer, "training_step", dying):
            try:
                fit(one.model, one.train, one.validation, one.job)
            except KeyboardInterrupt:
                done = fit(one.model, one.train, one.validation, one.job)
        assert not dies and done.epochs_run == 2, "it did not go on"
        share = alike(start, whole, flat(one.model))
    return Finding(f"{share:.1e} of the way apart", figures={"share": share})


def split_steps(machine: Machine, shape: str, n: int) -> Finding:
    """A fit with less memory than a step asks for: on a card in earnest, on a processor by an error of its allocator's."""
    start, roomy = ends(machine, shape, n, batch_size=32)
    original, budgets = FairTrainer.gradients, list[int]()

    def gradients(self: FairTrainer, step: Any) -> torch.Tensor:
        budgets.append(step.budget)
        if not machine.on_card and len(step.batches) < 4:
            raise torch.OutOfMemoryError("made up: can't allocate memory")
        return original(self, step)

    def limit(_: Any) -> None:
        if machine.on_card:
            torch.cuda.empty_cache()
            total = torch.cuda.get_device_properties(machine.device).total_memory
            torch.cuda.set_per_process_memory_fraction(min(1.0, needs / total), machine.device)

    needs = _between(machine, shape, n) if machine.on_card else 0
    try:
        with mock.patch.object(FairTrainer, "gradients", gradients):
            _, tight = ends(machine, shape, n, limit, batch_size=32)
    finally:
        if machine.on_card:
            torch.cuda.set_per_process_memory_fraction(1.0, machine.device)
    assert min(budgets) < max(budgets), "memory sufficed: nothing was cut"
    share = alike(start, roomy, tight)
    return Finding(
        f"from {max(budgets):,} to {min(budgets):,} tokens; {share:.1e} of the way apart", figures={"share": share}
    )


def _between(machine: Machine, shape: str, n: int) -> int:
    """Bytes half way between what a fit takes with the usual budget and with a quarter of it: a limit that makes it cut."""
    found = []
    for budget in (None, machine.execution().token_budget // 4):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(machine.device)
        ends(machine, shape, n, batch_size=32, budget=budget)
        found.append(torch.cuda.max_memory_reserved(machine.device))
    return sum(found) // 2


class Holder(torch.nn.Module):
    """An encoder as bench's models have it."""

    def __init__(self, body: Any) -> None:
        super().__init__()
        self.encoder = body

    def forward(self, row: torch.Tensor) -> torch.Tensor:
        """Hidden states: (1, tokens, width)."""
        return self.encoder(input_ids=row).last_hidden_state


def one_of_one(machine: Machine, shape: str) -> Finding:
    """One process as a group: gradients of divided weights, and of DDP, against those of the model alone."""
    from torch import distributed as dist
    from torch.nn.parallel import DistributedDataParallel

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    backend = "nccl" if machine.on_card else "gloo"
    dist.init_process_group(backend, init_method=f"tcp://127.0.0.1:{port}", rank=0, world_size=1)
    try:
        given = work(shape, 4)
        row = torch.from_numpy(given.tokeniser.with_special(given.tokeniser.encode(given.sequences[0])))[None].to(
            machine.device
        )

        def gradients(wrap: Callable[[Any], Any]) -> list[torch.Tensor]:
            holder = Holder(encoder(shape, machine.device))
            wrapped = wrap(holder)
            wrapped(row).square().mean().backward()
            return [full(p.grad).float().cpu() for p in holder.parameters() if p.grad is not None]

        def ddp(holder: Any) -> Any:
            ids = [machine.device.index or 0] if machine.on_card else None
            return DistributedDataParallel(holder, device_ids=ids, find_unused_parameters=True)

        alone = gradients(lambda holder: holder)
        by_fsdp = distance(gradients(lambda holder: divided(holder, machine.device)), alone)
        by_ddp = distance(gradients(ddp), alone)
    finally:
        dist.destroy_process_group()
    assert max(by_fsdp, by_ddp) <= SAME_STATES, f"gradients differ: FSDP {by_fsdp:.1e}, DDP {by_ddp:.1e} of the largest"
    return Finding(f"gradients off by {by_fsdp:.1e} (FSDP) and {by_ddp:.1e} (DDP) of the largest, {backend}")


def four_bits(machine: Machine, shape: str, n: int) -> Finding:
    """A fit on weights of four bits learns, and its loss is a number."""
    if not load_bitsandbytes():
        raise LeftOut("bitsandbytes is not installed")
    with fitting(machine, shape, n, "qlora", **{**GENTLE, "epochs": 2}) as one:
        before = flat(one.model)
        done = fit(one.model, one.train, one.validation, one.job)
        assert not torch.equal(before, flat(one.model)), "nothing was learnt"
    return Finding(f"{done.steps} steps, {one.made.layout}")


def reloaded(machine: Machine) -> Finding:
    """A run of the golden task, published as a folder, and asked again by a fresh process."""
    import hubtools
    from hubtools.publishing.contents import collect_files, lay_out
    from hubtools.publishing.reload import reproduce, reproduce_in_fresh_process
    from hubtools.runs.store import PLACES

    golden, said = ROOT / "benchmarks" / "golden", []
    for precision in ("float32", "bf16")[: 1 + (machine.bf16 and not machine.smoke)]:
        with tempfile.TemporaryDirectory() as runs:
            done = hubtools.run(
                "embedded", str(golden / "tasks" / "golden-class.yaml"), str(golden / "recipes" / "golden-full.yaml"),
                set={"precision": precision}, baselines=False, runs=runs,
                execution=hubtools.ExecutionOptions(device=machine.device.type, embedding_cache=False),
            )  # fmt: skip
            assert not done.problems, f"the run failed: {done.problems}"
            (folder,) = (path.parent for path in Path(runs).glob("*/run.json"))
            with lay_out(collect_files(folder)) as stage:
                shutil.copy(folder / PLACES, stage)
                again = (reproduce if machine.smoke else reproduce_in_fresh_process)(Path(stage))
            said.append(f"{precision} {again.difference:.1e} (rounding: {again.tolerance:.0e})")
    return Finding("largest difference of a prediction: " + ", ".join(said))


def compiled(machine: Machine) -> Finding:
    """Compiled layers pass the engine's proof."""
    if machine.smoke:
        raise LeftOut(
            "compilation takes longer than a smoke test has; tests/training/test_engine.py compiles on a processor"
        )
    given, body = work("8M", 4), encoder("8M", machine.device)
    execution = machine.execution(4096, compile=True)
    with engine(mock.Mock(encoder=body), given.tokeniser, execution, bf16=machine.bf16, trains=True) as made:
        assert made.compiled, "; ".join(made.reasons)
        return Finding(f"{made.layout}, {made.attention}")

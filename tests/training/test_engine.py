"""The engine computes the same, proves it on the very model, and leaves no trace."""

import json
import os

import numpy as np
import pytest
import torch
from tiny_checkpoints import FAMILIES, write_checkpoint
from tiny_tasks import tiny_split, tiny_task

from hubtools.common.errors import UserError
from hubtools.models import ResidueTokeniser, build_model, resolve_checkpoint, save_model
from hubtools.models.execution import attention as attention_module
from hubtools.models.execution.attention import Boundaries, Options, exponentials, sdpa, sdpa_float32
from hubtools.models.execution.packing import Packing, note_lengths
from hubtools.specs.lookup.spec_files import load_recipe
from hubtools.specs.recipe import Window
from hubtools.training.batches import micro_batches
from hubtools.training.compute import engine as engine_module
from hubtools.training.compute import measured as measured_module
from hubtools.training.compute import proof as proof_module
from hubtools.training.compute.device import Execution
from hubtools.training.compute.engine import engine
from hubtools.training.compute.measured import fastest, measured
from hubtools.training.compute.proof import distance
from hubtools.training.encoding import encode

CPU = torch.device("cpu")
PACKED = [family for family in FAMILIES if family not in {"t5", "ankh"}]
SEQUENCES = ["MKTAYIAKQRQISFVKSHFSRQ" * 8, "ACDEFG", "MW", "ACDEFGHIKLMNPQRSTVWY"]


@pytest.fixture(autouse=True)
def no_choice_from_before(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(measured_module, "_known", {})


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp("families")
    return {f: resolve_checkpoint(str(write_checkpoint(folder / f, f))) for f in FAMILIES}


def built(checkpoint, problem="residue-classification", **overrides):
    tokeniser = ResidueTokeniser.from_checkpoint(checkpoint)
    return build_model(checkpoint, tiny_task(problem), load_recipe("full", overrides), tokeniser, 0).eval(), tokeniser


def padded(tokeniser, sequences=SEQUENCES):
    rows = [torch.from_numpy(tokeniser.with_special(tokeniser.encode(s))) for s in sequences]
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=tokeniser.pad_id)
    mask = torch.arange(ids.shape[1]) < torch.tensor([[len(row)] for row in rows])
    return ids, mask.long()


def made(model, tokeniser, bf16=False, trains=True, **execution):
    return engine(model, tokeniser, Execution(CPU, 2048, **execution), bf16=bf16, trains=trains)


@pytest.mark.parametrize("family", FAMILIES)
def test_hidden_states_of_every_layer_equal_those_of_each_sequence_alone(checkpoints, family):
    model, tokeniser = built(checkpoints[family])
    ids, mask = padded(tokeniser)
    with torch.no_grad():
        alone = [model.encoder(input_ids=ids[i : i + 1, : int(n)]) for i, n in enumerate(mask.sum(1))]
        expected = model.encoder(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
        with made(model, tokeniser) as result:
            out = model.encoder(input_ids=ids, attention_mask=mask, output_hidden_states=True)
    assert result.layout == ("packed" if family in PACKED else "padded")
    for i, single in enumerate(alone):
        length = single.last_hidden_state.shape[1]
        torch.testing.assert_close(out.last_hidden_state[i, :length], single.last_hidden_state[0], atol=2e-5, rtol=1e-4)
    assert len(out.hidden_states) == len(expected)
    for got, layer in zip(out.hidden_states, expected, strict=True):
        torch.testing.assert_close(got[mask.bool()], layer[mask.bool()], atol=2e-5, rtol=1e-4)


def test_no_difference_hides_behind_one_that_is_not_a_number():
    one, nan = torch.ones(2), torch.tensor([torch.nan, 1.0])
    assert distance([one, one], [one, one]) == 0
    for got in ([one, nan], [nan, one]):
        assert distance(got, [one, one]) == distance([one, one], got) == float("inf")


def test_an_encoder_that_fails_on_a_batch_is_one_line(checkpoints, monkeypatch):
    model, tokeniser = built(checkpoints["esm"])
    monkeypatch.setattr(model.encoder, "forward", lambda **options: [].pop())
    with pytest.raises(UserError, match=r"cannot read a batch of short proteins\. Check"):
        made(model, tokeniser).__enter__()


@pytest.mark.parametrize("family", PACKED)
def test_the_proof_refuses_attention_across_sequences(checkpoints, family, monkeypatch):
    """What stock attention would make of a packed row: silently wrong, so it must be found out."""

    def across(query, key, value, boundaries, options):
        return torch.nn.functional.scaled_dot_product_attention(query, key, value, scale=options.scale)

    monkeypatch.setitem(attention_module.KERNELS, "sdpa", across)
    model, tokeniser = built(checkpoints[family])
    with made(model, tokeniser) as result:
        assert result.layout == "padded"
        assert "no packing: hidden states differ" in result.reasons[0]


def test_the_proof_refuses_local_attention_of_the_wrong_reach(checkpoints, monkeypatch):
    def everywhere(query, key, value, boundaries, options):
        return sdpa(query, key, value, boundaries, Options(options.scale))

    monkeypatch.setitem(attention_module.KERNELS, "sdpa", everywhere)
    model, tokeniser = built(checkpoints["modernbert"])
    with made(model, tokeniser) as result:
        assert result.layout == "padded"


def test_the_proof_refuses_wrong_positions(checkpoints, monkeypatch):
    monkeypatch.setattr("hubtools.models.families.Family.first_position", lambda family, config: 0)
    model, tokeniser = built(checkpoints["esm1b"])
    with made(model, tokeniser) as result:
        assert result.layout == "padded"


def test_an_error_while_trying_is_a_reason_not_a_crash(checkpoints, monkeypatch):
    def broken(*args):
        raise TypeError("no such argument")

    monkeypatch.setitem(attention_module.KERNELS, "sdpa", broken)
    model, tokeniser = built(checkpoints["bert"])
    ids, mask = padded(tokeniser)
    expected = model(ids, mask).logits
    with made(model, tokeniser) as result:
        assert result.reasons == ["no packing: TypeError: no such argument"]
        torch.testing.assert_close(model(ids, mask).logits, expected)


@pytest.mark.parametrize("family", ["esm", "bert", "modernbert"])
def test_half_precision_is_as_close_to_float32_as_padded_batches_are(checkpoints, family):
    model, tokeniser = built(checkpoints[family])
    ids, mask = padded(tokeniser)

    def error():
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            out = model.encoder(input_ids=ids, attention_mask=mask).last_hidden_state.float()
        return float((out - exact)[mask.bool()].square().mean())

    with torch.no_grad():
        exact = model.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
    before = error()
    with made(model, tokeniser, bf16=True) as result:
        assert result.layout == "packed"
        assert 0 < error() < 2 * before


@pytest.mark.parametrize("family", ["esm", "bert"])
def test_detached_nothing_is_left(checkpoints, family, tmp_path):
    model, tokeniser = built(checkpoints[family])
    ids, mask = padded(tokeniser)
    task = tiny_task()
    expected, names = model(ids, mask).logits, list(model.state_dict())
    before = model.encoder.config._attn_implementation
    with made(model, tokeniser):
        assert list(model.state_dict()) == names
        save_model(model, tokeniser, task, tmp_path / "attached")
    assert model.encoder.config._attn_implementation == before
    assert not model.encoder._forward_hooks and not model.encoder._forward_pre_hooks
    assert not any("forward" in module.__dict__ for module in model.modules())
    assert torch.equal(model(ids, mask).logits, expected)
    save_model(model, tokeniser, task, tmp_path / "detached")
    attached, detached = (json.loads((tmp_path / f / "config.json").read_text()) for f in ("attached", "detached"))
    assert attached == detached


def test_an_error_in_a_batch_leaves_the_next_one_right(checkpoints):
    model, tokeniser = built(checkpoints["esm"])
    ids, mask = padded(tokeniser)
    expected = model(ids, mask).logits
    with made(model, tokeniser):
        with pytest.raises(IndexError):
            model.encoder(input_ids=ids + 1000, attention_mask=mask)
        torch.testing.assert_close(model(ids, mask).logits[mask.bool()], expected[mask.bool()], atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("family", ["esm", "bert"])
@pytest.mark.parametrize("problem", ["residue-classification", "sequence-classification"])
def test_the_architectures_own_head_reads_what_it_would(checkpoints, family, problem):
    """BERT's pooler reads the first token of each row, which a packed row has once."""
    model, tokeniser = built(checkpoints[family], problem, **{"head.kind": "native"})
    ids, mask = padded(tokeniser)
    expected = model(ids, mask).logits
    with made(model, tokeniser) as result:
        assert result.layout == "packed"
        got = model(ids, mask).logits
    real = mask.bool() if problem.startswith("residue") else slice(None)
    torch.testing.assert_close(got[real], expected[real], atol=2e-5, rtol=1e-4)


def test_gradients_are_the_same_when_activations_are_computed_again(checkpoints):
    """Checkpointing runs layers once more in the backward pass, where no hook tells them the boundaries."""
    model, tokeniser = built(checkpoints["esm"])
    ids, mask = padded(tokeniser)

    def gradient():
        model.zero_grad()
        model(ids, mask).logits[mask.bool()].square().sum().backward()
        return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    expected = gradient()
    # As transformers calls it from 5.22 on, and before.
    getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        elif isinstance(getattr(module, "dropout", None), float):
            module.dropout = 0.0
    with made(model, tokeniser) as result:
        assert result.layout == "packed"
        torch.testing.assert_close(gradient(), expected, atol=1e-5 * float(expected.abs().max()), rtol=1e-3)


def test_adapters_are_packed_too(checkpoints):
    from peft import LoraConfig, inject_adapter_in_model

    model, tokeniser = built(checkpoints["esm"])
    inject_adapter_in_model(LoraConfig(target_modules=["query", "value"], init_lora_weights=False), model.encoder)
    model.eval()
    ids, mask = padded(tokeniser)
    expected = model(ids, mask).logits
    with made(model, tokeniser) as result:
        assert result.layout == "packed" and result.operators
        torch.testing.assert_close(model(ids, mask).logits[mask.bool()], expected[mask.bool()], atol=2e-5, rtol=1e-4)


def test_the_proof_refuses_wrong_gradients_of_fresh_adapters(checkpoints, monkeypatch):
    """Of a fresh LoRA every other parameter has no gradient; a comparison of those alone would find nothing."""

    class Twice(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            return 2 * gradient

    monkeypatch.setattr(proof_module, "LOOKED_AT", 12)
    monkeypatch.setitem(attention_module.KERNELS, "sdpa", lambda *given: Twice.apply(sdpa(*given)))
    tokeniser = ResidueTokeniser.from_checkpoint(checkpoints["esm"])
    model = build_model(checkpoints["esm"], tiny_task(), load_recipe("lora"), tokeniser, 0).eval()
    assert sum(p.requires_grad for p in model.encoder.parameters()) == 24
    with made(model, tokeniser) as result:
        assert any("no packing: gradients differ" in reason for reason in result.reasons)


def test_the_proof_disturbs_neither_random_numbers_nor_modes(checkpoints):
    model, tokeniser = built(checkpoints["bert"])
    model.train()
    model.encoder.embeddings.eval()
    modes = [module.training for module in model.modules()]
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    with made(model, tokeniser, bf16=True):
        assert torch.equal(torch.rand(4), expected)
        assert [module.training for module in model.modules()] == modes
        assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("kernel", [sdpa, sdpa_float32, exponentials])
@pytest.mark.parametrize("reach", [None, 3])
def test_every_kernel_is_softmax_attention_within_each_sequence(kernel, reach, monkeypatch):
    monkeypatch.setattr(attention_module, "BLOCK_BYTES", 600)  # A head at a time for some lengths, several for others.
    generator = torch.Generator().manual_seed(0)
    lengths = (9, 4, 4, 1)
    query, key, value = (torch.randn(3, 18, 8, generator=generator) for _ in range(3))
    boundaries = Boundaries(lengths, torch.tensor([0, 9, 13, 17, 18]))
    got = kernel(query, key, value, boundaries, Options(0.3, reach=reach))
    owner = np.repeat(np.arange(4), lengths)
    seen = torch.from_numpy(owner[:, None] == owner[None, :])
    if reach is not None:
        place = torch.arange(18)
        seen &= (place[:, None] - place[None, :]).abs() <= reach
    scores = (query.double() @ key.double().transpose(1, 2) * 0.3).masked_fill(~seen, -torch.inf)
    torch.testing.assert_close(got.double(), scores.softmax(-1) @ value.double(), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("reach", [None, 3])
@pytest.mark.parametrize("spread", [1.0, 12.0], ids=["bounded", "beyond what exponentials hold"])
def test_exponentials_and_their_gradients_are_those_of_softmax_attention(spread, reach, monkeypatch):
    monkeypatch.setattr(attention_module, "BLOCK_BYTES", 1200)
    generator = torch.Generator().manual_seed(1)
    lengths = (9, 4, 4, 1)
    boundaries, options = Boundaries(lengths, torch.tensor([0, 9, 13, 17, 18])), Options(0.3, reach=reach)
    inputs = [torch.randn(3, 18, 8, generator=generator) for _ in range(3)]
    # One head of the first protein alone is far out: its block is computed the other way, the rest is not.
    inputs[0][2, :9] *= spread
    inputs[1][2, :9] *= spread
    towards = torch.randn(3, 18, 8, generator=generator)

    def answers(kernel, dtype):
        given = [x.to(dtype).requires_grad_() for x in inputs]
        out = kernel(*given, boundaries, options)
        return [out.detach(), *torch.autograd.grad(out, given, towards.to(dtype))]

    for got, expected in zip(answers(exponentials, torch.float32), answers(sdpa, torch.float64), strict=True):
        torch.testing.assert_close(
            got.double() / expected.abs().max(), expected / expected.abs().max(), atol=1e-5, rtol=0
        )


@pytest.mark.parametrize("kernel", attention_module.kernels_for(CPU, torch.bfloat16))
@pytest.mark.parametrize("family", PACKED)
def test_every_family_is_packed_in_half_precision_by_whatever_kernel_is_the_fastest(
    checkpoints, family, kernel, monkeypatch
):
    monkeypatch.setattr(engine_module, "choose_kernel", lambda *_: kernel)
    model, tokeniser = built(checkpoints[family])
    with made(model, tokeniser, bf16=True) as result:
        assert (result.layout, result.attention, result.reasons) == ("packed", kernel, [])


def test_what_drops_probabilities_out_does_so_by_the_seed():
    query, key, value = (torch.randn(3, 18, 8, generator=torch.Generator().manual_seed(2)) for _ in range(3))
    boundaries, found = Boundaries((9, 9), torch.tensor([0, 9, 18])), []
    for kernel in (exponentials, sdpa):
        torch.manual_seed(4)
        found.append(kernel(query, key, value, boundaries, Options(0.3, dropout=0.5)))
    torch.testing.assert_close(*found)


def test_lengths_are_read_from_the_note_or_counted(checkpoints):
    model, tokeniser = built(checkpoints["esm"])
    ids, mask = padded(tokeniser)
    packing = Packing(model.encoder, "sdpa")
    packing.attach()
    counted = model(ids, mask).logits
    noted = model(ids, note_lengths(mask.clone(), mask.sum(1).tolist())).logits
    packing.detach()
    assert torch.equal(counted, noted)


def test_a_batch_and_its_rows_carry_their_lengths(checkpoints, monkeypatch):
    """So that a GPU never has to be asked for them."""
    from hubtools.models.execution import packing
    from hubtools.training.batches import rows_between

    tokeniser = ResidueTokeniser.from_checkpoint(checkpoints["bert"])
    split = encode(tiny_split("sequence-classification", 6), tiny_task("sequence-classification"), tokeniser, Window())
    [batch] = micro_batches(split, range(6), 10**6)
    moved = batch.to(torch.device("cpu"))
    _, mask, _ = rows_between(moved.inputs, 2, 5)
    assert packing.lengths_of(mask) == tuple(mask.sum(1).tolist())
    monkeypatch.setattr(torch.Tensor, "sum", None)
    assert packing.lengths_of(mask) == tuple(batch.lengths[2:5])
    assert packing.lengths_of(moved.inputs["attention_mask"]) == tuple(batch.lengths)


@pytest.mark.parametrize("problem", ["residue-classification", "sequence-classification", "pair-classification"])
def test_packed_batches_count_real_tokens(checkpoints, problem):
    from dataclasses import replace

    tokeniser = ResidueTokeniser.from_checkpoint(checkpoints["bert"])
    split = encode(tiny_split(problem, 40, longest=90), tiny_task(problem), tokeniser, Window(residues=30, overlap=6))
    budget = 400
    packed = list(micro_batches(replace(split, packed=True), range(len(split)), budget))
    plain = list(micro_batches(split, range(len(split)), budget))
    assert all(batch.tokens <= budget for batch in packed)
    assert all(batch.inputs["input_ids"].numel() <= budget for batch in plain)
    assert len(packed) <= len(plain)
    if problem != "pair-classification":
        assert sum(batch.tokens for batch in packed) == sum(batch.tokens for batch in plain)


def test_a_measured_choice_is_made_once_and_kept_on_disk(tmp_path, monkeypatch):
    import time

    asked = []

    def candidates():
        asked.append(1)
        return {"slow": lambda: time.sleep(0.02), "quick": lambda: None}

    assert measured("A CPU (TM)", "attention", candidates) == "quick"
    monkeypatch.setattr(measured_module, "_known", {})  # Another process.
    assert measured("A CPU (TM)", "attention", candidates) == "quick"
    assert len(asked) == 1
    assert measured("Another CPU", "attention", candidates) == "quick"
    assert len(asked) == 2
    [file, _] = sorted((tmp_path / "cache").glob("*.json"))
    file.write_text("{ broken")
    monkeypatch.setattr(measured_module, "_known", {})
    assert measured("A CPU (TM)", "attention", candidates) == "quick"
    assert json.loads(file.read_text())


def test_the_safe_choice_stays_unless_clearly_beaten():
    def fails():
        raise RuntimeError("not on this machine")

    same = torch.ones(64, 64)
    assert fastest({"first": lambda: same @ same, "second": fails}).name == "first"
    assert fastest({"first": fails, "second": lambda: same @ same}).name == "second"
    assert fastest({"first": fails}).name == "first"


class Clock:
    """Time that passes as computations say."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def takes(self, *seconds):
        """A computation of so many seconds, turn by turn, the last for all that follow."""
        left = list(seconds)

        def run():
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return run


def test_a_busy_moment_does_not_decide():
    clock = Clock()
    # The safe way was disturbed for six turns: by the first three that count, the other looks three times as fast.
    found = fastest({"safe": clock.takes(1, 3, 3.5, 4, 4.5, 5, 1.0), "other": clock.takes(1.0)}, clock)
    assert (found.name, found.steady, found.seconds["safe"]) == ("safe", True, (1.0, 1.0))
    found = fastest({"safe": clock.takes(1.0), "other": clock.takes(2, 2, 0.5, 3, 0.5)}, clock)
    assert (found.name, found.steady) == ("other", True)


def test_what_cannot_be_told_is_the_safe_way_and_is_not_kept(tmp_path, monkeypatch):
    clock = Clock()
    # Each turn of the other takes another time, and by its two shortest the answers differ.
    busy = {"safe": clock.takes(1.0), "other": clock.takes(1, 0.8, *[3 + i for i in range(40)])}
    found = fastest(busy, clock)
    assert (found.name, found.steady) == ("safe", False)
    monkeypatch.setattr(measured_module, "fastest", lambda candidates: found)
    assert measured("A busy CPU", "attention", dict) == "safe"
    assert not list((tmp_path / "cache").glob("*busy*.json"))


def test_fastest_asks_the_device_and_auto_does_not(monkeypatch):
    for answer in ("float32", "bfloat16"):
        monkeypatch.setattr("hubtools.training.compute.device.measured", lambda *args, answer=answer: answer)
        assert Execution(CPU, 64).bf16("fastest") is (answer == "bfloat16")
        assert Execution(CPU, 64).bf16("auto") is False


@pytest.mark.slow
@pytest.mark.parametrize("packing", [True, False])
def test_compiled_equals_eager(checkpoints, packing):
    model, tokeniser = built(checkpoints["esm"])
    ids, mask = padded(tokeniser)
    expected = model(ids, mask).logits
    with made(model, tokeniser, packing=packing, compile=True) as result:
        assert result.compiled, result.reasons
        torch.testing.assert_close(model(ids, mask).logits[mask.bool()], expected[mask.bool()], atol=2e-5, rtol=1e-4)
    assert torch.equal(model(ids, mask).logits, expected)


def test_compiled_code_is_kept_where_nobody_else_can_write(checkpoints, monkeypatch, tmp_path):
    """Torch unpickles it, and by default keeps it in a folder below /tmp that anybody could have made before."""
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **kwargs: None)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    model, tokeniser = built(checkpoints["bert"])
    with made(model, tokeniser, compile=True) as result:
        assert result.compiled, result.reasons
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / "cache" / "compiled")
    assert (tmp_path / "cache" / "compiled").stat().st_mode & 0o777 == 0o700
    # A folder that somebody else chose is not used, and nothing is compiled.
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "link"))
    with made(model, tokeniser, compile=True) as result:
        assert not result.compiled and "it is a link or another user's" in result.reasons[0]


def test_where_compilation_fails_layers_run_as_they_are(checkpoints, monkeypatch):
    def fails(self, **kwargs):
        raise RuntimeError("no C++ compiler")

    monkeypatch.setattr(torch.nn.Module, "compile", fails)
    model, tokeniser = built(checkpoints["bert"])
    with made(model, tokeniser, compile=True) as result:
        assert not result.compiled
        assert result.layout == "packed"
        assert result.reasons == ["no compilation: RuntimeError: no C++ compiler"]

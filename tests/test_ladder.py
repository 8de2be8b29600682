"""The ladder: each rung has one idea more, takes the step it names, and is timed like the others."""

import dataclasses
import warnings

import cpu_graphs
import pytest
import torch

from course_utils import TUNED, SubstringTask, climb, ladder, train_step
from course_utils.ladder import (
    BF16,
    CAPTURED,
    LARGER_BATCHES,
    LOOP,
    ON_THE_DEVICE,
    ONE_CALL,
    RUNGS,
    Rung,
    can_climb,
    step_of,
)
from course_utils.speed import CapturedStep

CPU = torch.device("cpu")


def ideas(rung):
    """What a rung has beyond a plain loop, and the size of its batches."""
    return {name for name, value in dataclasses.asdict(rung).items() if value is True}, rung.batch_size


def test_each_rung_has_one_idea_more_and_the_last_is_back_at_32_bits():
    assert [rung.name for rung in RUNGS] == [
        "loop",
        "data on the device",
        "one decoder call",
        "larger batches",
        "bf16",
        "captured step",
    ]
    assert ideas(RUNGS[0]) == (set(), 32)
    for rung, before in [*zip(RUNGS[1:5], RUNGS, strict=False), (CAPTURED, LARGER_BATCHES)]:
        now, then = ideas(rung), ideas(before)
        assert now[0] >= then[0]
        assert len(now[0] - then[0]) + (now[1] != then[1]) == 1
    assert ideas(RUNGS[-1]) == ({"data_on_the_device", "one_decoder_call", "captured"}, 512)


@pytest.fixture
def steps_taken(monkeypatch):
    """What `train_step` was called with, and the model's type of numbers."""
    taken = []

    def watch(model, optimizer, source, target, ratio):
        loss = train_step(model, optimizer, source, target, ratio)
        taken.append((source, target, ratio, next(model.parameters()).dtype, optimizer, loss))
        return loss

    monkeypatch.setattr(ladder, "train_step", watch)
    return taken


@pytest.mark.parametrize("rung", RUNGS[:-1], ids=lambda rung: rung.name)
def test_a_step_is_the_one_that_the_rung_names(rung, recipe, steps_taken):
    step = step_of(dataclasses.replace(rung, batch_size=5), CPU, recipe)
    returned = [step(), step()]
    sources = [source for source, *_ in steps_taken]
    assert not torch.equal(*sources)
    if rung.data_on_the_device:
        drawn, _ = SubstringTask(recipe.length).sample(5, torch.Generator().manual_seed(0))
        assert torch.equal(sources[0], drawn)
    for (source, target, ratio, dtype, optimizer, loss), value in zip(steps_taken, returned, strict=True):
        assert source.shape == (5, recipe.length)
        assert torch.equal(target, SubstringTask(recipe.length).solve(source))
        assert ratio == (1.0 if rung.one_decoder_call else 0.5)
        assert dtype == (torch.bfloat16 if rung.bf16 else torch.float32)
        assert optimizer.param_groups[0]["lr"] == recipe.learning_rate
        assert optimizer.defaults["capturable"] is False
        assert value == loss
        assert isinstance(value, float) == (rung == LOOP)  # the others leave the loss where it is


def test_the_same_network_is_timed_on_every_rung(recipe, steps_taken):
    for rung in RUNGS[:-1]:
        step_of(rung, CPU, recipe)()
    sizes = {sum(p.numel() for p in optimizer.param_groups[0]["params"]) for *_, optimizer, _ in steps_taken}
    assert len(sizes) == 1


def test_the_last_rung_is_captured(recipe, monkeypatch):
    log = cpu_graphs.play(monkeypatch)
    monkeypatch.setattr(ladder, "CapturedStep", lambda step, device: CapturedStep(step, torch.device("cuda")))
    step = step_of(dataclasses.replace(CAPTURED, batch_size=5), CPU, recipe)
    losses = [step().item() for _ in range(6)]
    assert len(set(losses)) == 6
    assert sum("recording" in line for line in log) == 1


def test_rungs_are_timed_in_turn_after_a_warm_up(recipe, monkeypatch):
    calls, ticks = [], iter([3.0, 5.0, 1.0, 50.0, 2.0, 4.0])

    def step_of(rung, device, its_recipe):
        assert (device, its_recipe) == (CPU, recipe)
        return lambda: calls.append(rung.name)

    def seconds(work, device):
        assert device == CPU
        work()
        return next(ticks)

    monkeypatch.setattr(ladder, "step_of", step_of)
    monkeypatch.setattr(ladder, "seconds", seconds)
    rungs = (Rung("a", 10), Rung("b", 20), CAPTURED)
    rows = climb("cpu", rungs, recipe, rounds=3, n_steps=2)
    assert rows == [
        {"name": "a", "batch_size": 10, "seconds": 1.0, "examples_per_second": 10.0},
        {"name": "b", "batch_size": 20, "seconds": 2.5, "examples_per_second": 8.0},
    ]
    assert calls == ["a"] * 4 + ["b"] * 4 + ["a", "a", "b", "b"] * 3


@pytest.mark.parametrize(
    ("device", "has_bf16", "left_out"), [("cpu", False, CAPTURED), ("cuda", False, BF16), ("cuda", True, None)]
)
def test_what_a_device_cannot_do_is_left_out(device, has_bf16, left_out, monkeypatch):
    def supported(including_emulation):
        return has_bf16 or including_emulation  # as on a T4, which imitates it

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert [rung for rung in RUNGS if not can_climb(rung, torch.device(device))] == [left_out] * (left_out is not None)


def test_a_warning_that_says_what_a_rung_costs_is_not_shown(recipe, monkeypatch):
    said = "RNN module weights are not part of single contiguous chunk of memory."
    monkeypatch.setattr(ladder, "step_of", lambda *_: lambda: warnings.warn(said, stacklevel=1))
    assert len(climb("cpu", recipe=recipe, rounds=1, n_steps=1)) == 5
    monkeypatch.setattr(ladder, "step_of", lambda *_: lambda: warnings.warn("something else", stacklevel=1))
    with pytest.warns(UserWarning, match="something else"):
        climb("cpu", recipe=recipe, rounds=1, n_steps=1)


def test_the_ladder_is_climbed_with_the_full_network_unless_told_otherwise(monkeypatch):
    asked = []
    monkeypatch.setattr(ladder, "step_of", lambda *arguments: asked.append(arguments) or (lambda: None))
    rows = climb(CPU)
    assert [rung for rung, *_ in asked] == [LOOP, ON_THE_DEVICE, ONE_CALL, LARGER_BATCHES, BF16]
    assert {recipe for *_, recipe in asked} == {TUNED}
    assert [row["batch_size"] for row in rows] == [32, 32, 32, 512, 512]

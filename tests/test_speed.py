"""A captured step gives what the plain one gives, and a clock waits for its device.

Here CUDA graphs are played on the CPU; `tests/gpu` holds what only a GPU can show.
"""

import itertools
import time

import cpu_graphs
import pytest
import torch
from conftest import TINY_FASTEST, TINY_ORIGINAL, TINY_TUNED

from course_utils import SubstringTask, build_model, seconds, speed, train_step
from course_utils.speed import CapturedStep

CUDA = torch.device("cuda")


def optimizer_of(model, capturable=True):
    rate = torch.tensor(0.01) if capturable else 0.01
    return torch.optim.AdamW(model.parameters(), lr=rate, fused=True, capturable=capturable)


def losses_of(step, recipe, n, capturable=True, ratio=1.0, falling=True):
    """The losses of n steps, with batches, coins and dropout from seeds and a rate that may fall."""
    model = build_model(recipe)
    optimizer = optimizer_of(model, capturable)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5 if falling else 1.0)
    data, coins = torch.Generator().manual_seed(0), torch.Generator().manual_seed(1)
    losses = []
    with torch.random.fork_rng():
        torch.manual_seed(2)  # for dropout
        for _ in range(n):
            batch = SubstringTask(recipe.length).sample(recipe.batch_size, data)
            losses.append(step(model, optimizer, *batch, ratio, 0.1, coins))
            schedule.step()
    return [loss.item() for loss in losses]


WITH_COINS = itertools.product([TINY_ORIGINAL, TINY_TUNED], [0.0, 0.5, 1.0])


@pytest.mark.parametrize(
    ("recipe", "ratio"), [*WITH_COINS, (TINY_FASTEST, 1.0)], ids=lambda of: getattr(of, "name", of)
)
def test_a_captured_step_gives_the_losses_of_the_plain_one(recipe, ratio, monkeypatch):
    cpu_graphs.play(monkeypatch)
    captured = losses_of(CapturedStep(train_step, CUDA), recipe, 12, ratio=ratio)
    assert captured == pytest.approx(losses_of(train_step, recipe, 12, False, ratio), abs=1e-6)
    assert captured != pytest.approx(losses_of(train_step, recipe, 12, False, ratio, falling=False), abs=1e-6)


def test_the_first_steps_are_plain_on_a_stream_that_then_records(recipe, monkeypatch):
    log = cpu_graphs.play(monkeypatch)

    def step(*arguments, **options):
        log.append("step")
        return train_step(*arguments, **options)

    losses_of(CapturedStep(step, CUDA), recipe, 6)
    plain = ["side of cuda waits for current", "on side of cuda", "step", "current waits for side of cuda"]
    assert log == 3 * plain + ["recording on side of cuda", "step"]


def test_it_waits_for_what_its_own_gpu_has_to_do(recipe, monkeypatch):
    cpu_graphs.play(monkeypatch)
    asked, current = [], torch.cuda.current_stream(CUDA)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: asked.append(device) or current)
    losses_of(CapturedStep(train_step, "cuda:1"), recipe, 2)
    assert asked == 2 * [torch.device("cuda", 1)]


def test_the_callers_batches_are_left_alone(recipe, monkeypatch):
    cpu_graphs.play(monkeypatch)
    task, model = SubstringTask(recipe.length), build_model(recipe)
    optimizer, step = optimizer_of(model), CapturedStep(train_step, CUDA)
    drawn = [task.sample(8) for _ in range(6)]
    kept = [[tensor.clone() for tensor in batch] for batch in drawn]
    for batch in drawn:
        step(model, optimizer, *batch)
    assert all(
        torch.equal(*pair) for batch, copy in zip(drawn, kept, strict=True) for pair in zip(batch, copy, strict=True)
    )


def test_looking_at_a_number_cannot_be_recorded(recipe, monkeypatch):
    """Else the graphs played here would let pass what a GPU refuses."""
    cpu_graphs.play(monkeypatch)

    def step(*arguments, **options):
        loss = train_step(*arguments, **options)
        return loss if loss > 0 else -loss

    with pytest.raises(AssertionError, match="looked at"):
        losses_of(CapturedStep(step, CUDA), recipe, 4)


def test_a_captured_step_repeats_one_call_only(recipe, monkeypatch, refused):
    cpu_graphs.play(monkeypatch)
    task = SubstringTask(recipe.length)
    model, other = build_model(recipe), build_model(recipe)
    call = [model, optimizer_of(model), *task.sample(8), 1.0, 0.1]
    source, target = task.sample(7)
    changes = {0: other, 1: optimizer_of(model), 2: source, 3: target, 4: 0.5, 5: 0.2}
    for n_before in (1, 3, 5):  # of these the first three are plain
        step = CapturedStep(train_step, CUDA)
        for _ in range(n_before):
            step(*call)
        for place, change in changes.items():
            with refused("repeats one call"):
                step(*call[:place], change, *call[place + 1 :])
        step(*call)


def test_a_captured_step_forces_and_clips_as_the_plain_one_does_unless_told_otherwise(recipe, monkeypatch):
    cpu_graphs.play(monkeypatch)
    batch = SubstringTask(recipe.length).sample(8, torch.Generator().manual_seed(0))
    model, by_default = build_model(recipe), build_model(recipe)
    for each, step in ((model, train_step), (by_default, CapturedStep(train_step, CUDA))):
        optimizer = torch.optim.SGD(each.parameters(), lr=50.0)
        for _ in range(5):
            step(each, optimizer, *batch)
    for one, other in zip(model.parameters(), by_default.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_without_a_gpu_nothing_is_captured(refused):
    with refused("Only a GPU replays a captured step"):
        CapturedStep(train_step, "cpu")


# --- The clock --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")])
def test_seconds_are_those_of_the_work(device):
    assert 0.05 <= seconds(lambda: time.sleep(0.05), device) < 1
    assert min(seconds(lambda: None, device) for _ in range(3)) < 0.05  # another program may come between once


@pytest.mark.parametrize("device", ["cuda", torch.device("cuda", 1)])
def test_the_clock_waits_for_a_gpu_before_and_after(device, monkeypatch):
    ticks, log = itertools.count(), []

    def clock():
        log.append("clock")
        return next(ticks)

    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: log.append(f"wait for {device}"))
    monkeypatch.setattr(speed.time, "perf_counter", clock)
    assert seconds(lambda: log.append("work"), device) == 1
    assert log == [f"wait for {device}", "clock", "work", f"wait for {device}", "clock"]

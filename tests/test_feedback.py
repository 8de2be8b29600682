"""Failures fed back: what is drawn, at which rate, in how many rounds."""

import dataclasses

import pytest
import torch
from oracle import SIX, brute_force, interrupt_in_block

from course_utils import (
    Certificate,
    Recipe,
    SubstringTask,
    batches,
    build_model,
    feed_back,
    feedback,
    fit,
    train_to_zero,
)
from course_utils.recipes import SMALL


@pytest.fixture(scope="module")
def four() -> Recipe:
    """A network for sources of four numbers, nearly trained in a moment."""
    return dataclasses.replace(SMALL, length=4, hidden_dim=24, epochs=1, steps_per_epoch=100, learning_rate=2e-2)


def test_failures_fed_back_until_none_is_left(four):
    model, task = fit(four).model, SubstringTask(4)
    found = train_to_zero(model, task, steps=50)
    assert len(found) > 1
    assert all(each.complete and each.errors for each in found[:-1])
    assert (found[-1].errors, found[-1].exact) == (0, True)
    assert not brute_force(model.eval(), task).any()


def test_the_loop_ends_after_its_rounds(four):
    model = build_model(four)
    assert len(train_to_zero(model, SubstringTask(4), rounds=2, steps=1)) == 3


@pytest.mark.parametrize("number", [1, 3])  # a count of this task is one block
def test_one_interrupt_ends_the_loop_in_any_count(number, four, monkeypatch):
    trained = []
    interrupt_in_block(number, monkeypatch)
    monkeypatch.setattr(feedback, "feed_back", lambda *_, seed, **__: trained.append(seed))
    with pytest.raises(KeyboardInterrupt):
        train_to_zero(build_model(four), SubstringTask(4))
    assert trained == list(range(1, number))


def test_each_round_draws_other_examples_and_takes_the_steps_and_the_rate_asked_for(four, monkeypatch):
    rounds = []
    monkeypatch.setattr(feedback, "feed_back", lambda *_, steps, seed, rate: rounds.append((steps, seed, rate)))
    train_to_zero(build_model(four), SubstringTask(4), rounds=3)
    train_to_zero(build_model(four), SubstringTask(4), rounds=1, steps=7, rate=1e-4)
    assert rounds == [(300, 1, 2e-3), (300, 2, 2e-3), (300, 3, 2e-3), (7, 1, 1e-4)]


def test_all_failures_found_so_far_are_fed_back(four, monkeypatch):
    """Those of the last count alone would let the network forget what it failed on before."""
    counts = iter([[[0, 2, 1, 1], [0, 2, 1, 2]], [[0, 2, 9, 9]], [[0, 2, 1, 1]], []])
    fed = []

    def count(*_):
        failures = next(counts)
        return Certificate(4, None, 0, 0.0, {}, errors_by_pair={(0, 2): len(failures)}, failures=failures)

    monkeypatch.setattr(feedback, "count_errors", count)
    monkeypatch.setattr(feedback, "feed_back", lambda model, task, failures, **_: fed.append(failures))
    assert [each.errors for each in train_to_zero(build_model(four), SubstringTask(4))] == [2, 1, 1, 0]
    assert fed == [
        [[0, 2, 1, 1], [0, 2, 1, 2]],
        [[0, 2, 1, 1], [0, 2, 1, 2], [0, 2, 9, 9]],
        [[0, 2, 1, 1], [0, 2, 1, 2], [0, 2, 9, 9], [0, 2, 1, 1]],
    ]


def test_half_of_every_batch_is_failures(four, monkeypatch):
    batches_seen = []
    monkeypatch.setattr(
        feedback, "train_step", lambda model, optimizer, source, target: batches_seen.append((source, target))
    )
    monkeypatch.setattr(torch.optim.lr_scheduler.LinearLR, "step", lambda *_: None)
    failures = [[0, 2, 9, 9], [0, 2, 9, 8]]
    task = SubstringTask(4)
    feed_back(build_model(four), task, failures, steps=3, seed=1)
    assert len(batches_seen) == 3
    for source, target in batches_seen:
        assert len(source) == 256
        assert all(row in failures for row in source[128:].tolist())
        torch.testing.assert_close(target, task.solve(source))
    assert {tuple(row) for source, _ in batches_seen for row in source[128:].tolist()} == set(map(tuple, failures))
    assert len({tuple(row) for source, _ in batches_seen for row in source[:128].tolist()}) > 70


def test_the_rate_of_feeding_back_falls_to_nothing(four, monkeypatch):
    rates = []
    monkeypatch.setattr(
        feedback,
        "train_step",
        lambda model, optimizer, *_: (rates.append(optimizer.param_groups[0]["lr"]), optimizer.step()),
    )
    feed_back(build_model(four), SubstringTask(4), [[0, 2, 9, 9]], steps=4, seed=0)
    feed_back(build_model(four), SubstringTask(4), [[0, 2, 9, 9]], steps=2, seed=0, rate=0.1)
    assert rates == pytest.approx([2e-3, 1.5e-3, 1e-3, 5e-4, 0.1, 0.05])


def test_the_fresh_half_is_drawn_by_length(four, monkeypatch):
    sources = []
    monkeypatch.setattr(feedback, "train_step", lambda model, optimizer, source, target: sources.append(source))
    monkeypatch.setattr(torch.optim.lr_scheduler.LinearLR, "step", lambda *_: None)
    feed_back(build_model(four), SIX, [[0, 2, 9, 9, 9, 9]], steps=1, seed=0)
    fresh, _ = next(batches(SIX, 128, 1, torch.Generator().manual_seed(0), length_weight=1.0))
    assert torch.equal(sources[0][:128], fresh)


def test_without_failures_there_is_nothing_to_feed_back(four, refused):
    with refused("no failures"):
        feed_back(build_model(four), SubstringTask(4), [], steps=1, seed=0)


@pytest.mark.parametrize("rate", [0, -1e-3, float("nan"), float("inf")])
def test_a_rate_that_leads_nowhere_is_refused(rate, four, refused):
    with refused(f"finite and above 0, not {rate}"):
        feed_back(build_model(four), SubstringTask(4), [[0, 2, 9, 9]], steps=1, seed=0, rate=rate)

"""Counting errors: margins against brute force, certificates that add up, and the two that ship with the course."""

import dataclasses
import itertools
import json
import math
import random
from collections.abc import Callable, Iterator
from datetime import datetime
from operator import attrgetter
from pathlib import Path

import counting
import pytest
import torch
from torch import Tensor, nn

from course_utils import (
    EXACT,
    RECIPES,
    Certificate,
    Decoder,
    Encoder,
    Piece,
    PrefixTree,
    Recipe,
    Seq2Seq,
    SubstringTask,
    WholeCalls,
    batches,
    build_model,
    count_errors,
    count_parameters,
    feed_back,
    fit,
    load_certificate,
    load_checkpoint,
    load_model,
    margins,
    margins_of_ranges,
    merge,
    record_path,
    save_certificate,
    sha256_of,
    still_to_count,
    train_to_zero,
    verification,
)
from course_utils.recipes import SMALL

SIX = SubstringTask(6)
SEVEN = SubstringTask(7)
BLOCK = 9**5


def every_input(task: SubstringTask) -> tuple[Tensor, Tensor]:
    source = task.inputs(0, task.size)
    return source, task.solve(source)


def brute_force(model: Seq2Seq, task: SubstringTask) -> Tensor:
    """Which inputs fail, (task.size,), found by writing every output."""
    source, target = every_input(task)
    return (model.generate(source, task.n_digits) != target).any(dim=1)


@pytest.fixture(scope="module")
def half_trained() -> Seq2Seq:
    """A small network for length 6 that gets some of every pair wrong."""
    recipe = dataclasses.replace(SMALL, hidden_dim=24, epochs=2, learning_rate=2e-2, steps_per_epoch=150)
    return fit(recipe).model.eval()


class Oracle(nn.Module):
    """A model of the package's interface, though no network: every target's logit is 1, and `spoil` may change them.

    spoil(logits, source, target) -> logits (B, T, V).
    """

    def __init__(self, spoil: Callable = lambda logits, source, target: logits, dtype: torch.dtype = torch.float32):
        super().__init__()
        self.scale = nn.Parameter(torch.ones((), dtype=dtype))
        self.spoil = spoil

    def forward(self, source: Tensor, target: Tensor, teacher_forcing_ratio: float) -> Tensor:
        logits = nn.functional.one_hot(target, 10) * self.scale
        return self.spoil(logits, source, target)


def failing_at(*inputs: list[int]) -> Oracle:
    """It writes 9 first where a 1 to 8 belongs, and 8 for a 9, for these inputs alone."""

    def spoil(logits: Tensor, source: Tensor, target: Tensor) -> Tensor:
        for each in inputs:
            hit = (source == torch.tensor(each)).all(dim=1)
            logits[hit, 0] = logits[hit, 0].roll(1, dims=-1)
        return logits

    return Oracle(spoil)


# --- Margins ----------------------------------------------------------------------------------------------------------


def test_a_margin_is_the_least_lead_of_the_right_token_over_the_best_other():
    source, target = SIX.sample(3, torch.Generator().manual_seed(0))

    def spoil(logits: Tensor, source: Tensor, target: Tensor) -> Tensor:
        logits[0, 1] += torch.linspace(0, 0.9, 10)  # the lead is cut by the best other token's gain
        logits[1, 3, target[1, 3]] = -2.0
        return 3 * logits

    found = margins(Oracle(spoil), source, target)
    row = torch.linspace(0, 0.9, 10)
    row[target[0, 1]] += 1
    others = torch.cat([row[: target[0, 1]], row[target[0, 1] + 1 :]])
    expected = [3 * (row[target[0, 1]] - others.max()).item(), -6.0, 3.0]
    torch.testing.assert_close(found, torch.tensor(expected))


def test_an_input_fails_exactly_where_its_margin_is_negative(half_trained):
    """The theorem: greedy decoding goes wrong exactly where some forced step does."""
    failing = brute_force(half_trained, SIX)
    assert 0.02 < failing.double().mean() < 0.9
    torch.testing.assert_close(margins(half_trained, *every_input(SIX)) < 0, failing)


@pytest.mark.parametrize("n_layers", [1, 2, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("length", "ranges"), [(4, [0]), (5, [0, 9**3, 2 * 9**3]), (8, [0, 6 * 9**6 + 5 * 9**5])])
def test_the_tree_finds_the_margins_of_whole_calls(length, ranges, n_layers):
    """Of other lengths, all pairs; of length 8, where blocks share a digit, one at its beginning and one inside."""
    task = SubstringTask(length)
    recipe = dataclasses.replace(EXACT, emb_dim=5, hidden_dim=7, n_layers=n_layers, initial_range=1.0)
    model = build_model(recipe).double()
    for first in ranges:
        free = min(5, task.n_digits)
        by_tree, by_calls = (engine(model, task).margins(first, free) for engine in (PrefixTree, WholeCalls))
        torch.testing.assert_close(by_tree, by_calls, rtol=0, atol=1e-12)
        assert by_calls.unique().numel() > 0.9 * len(by_calls)  # each input has its own, so the order is seen


@pytest.mark.parametrize(("first", "free"), [(1, 4), (9**3, 4), (0, 2)])
def test_the_tree_counts_whole_branches_alone(first, free, half_trained, refused):
    with refused(f"9.{free} inputs from {first} on do not make a whole branch, of at least 3 digits"):
        PrefixTree(half_trained, SIX).margins(first, free)


def test_the_tree_decodes_in_chunks_of_any_size(half_trained, monkeypatch):
    expected = WholeCalls(half_trained, SIX).margins(2 * 9**4, 4)
    for digits in (1, 2, 3, 4):
        monkeypatch.setattr(verification, "CHUNK_DIGITS", digits)
        found = PrefixTree(half_trained, SIX).margins(2 * 9**4, 4)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
        assert not found.requires_grad


def test_the_course_s_own_network_is_counted_by_the_tree_and_any_other_by_whole_calls(half_trained):
    class OtherSeq2Seq(Seq2Seq):
        pass

    class OtherDecoder(Decoder):
        pass

    class OtherEncoder(Encoder):
        pass

    shape = (10, 2, 3, 1, 0.0)
    assert type(margins_of_ranges(half_trained, SIX)) is PrefixTree
    for model in (
        Oracle(),
        OtherSeq2Seq(Encoder(*shape), Decoder(*shape)),
        Seq2Seq(OtherEncoder(*shape), Decoder(*shape)),
        Seq2Seq(Encoder(*shape), OtherDecoder(*shape)),
    ):
        assert type(margins_of_ranges(model, SIX)) is WholeCalls


# --- Counting ---------------------------------------------------------------------------------------------------------


def test_the_count_equals_a_brute_force_greedy_decode(half_trained):
    found = count_errors(half_trained, SIX)
    failing = brute_force(half_trained, SIX)
    source, target = every_input(SIX)
    assert (found.inputs, found.errors, found.complete) == (39_366, failing.sum().item(), True)
    assert found.errors_by_pair == {
        pair: n.item() for pair, n in zip(SIX.pairs, failing.view(6, -1).sum(dim=1), strict=True)
    }
    assert found.failures == source[failing][:1000].tolist()
    assert len(found.failures) == 1000 or len(found.failures) == found.errors
    by_calls = margins(half_trained, source, target)
    assert found.worst_margin == pytest.approx(by_calls.min().item(), abs=1e-4)
    assert found.worst_input == source[by_calls.argmin()].tolist()
    assert (found.length, found.parameters) == (6, count_parameters(half_trained))
    assert not found.exact


def test_wrapping_a_network_changes_the_way_of_counting_and_not_the_count(half_trained):
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = half_trained

        def forward(self, source: Tensor, target: Tensor, teacher_forcing_ratio: float) -> Tensor:
            return self.model(source, target, teacher_forcing_ratio)

    one, other = count_errors(half_trained, SIX), count_errors(Wrapped(), SIX)
    for name in ("errors_by_pair", "failures", "worst_input", "inputs", "parameters"):
        assert getattr(one, name) == getattr(other, name), name
    assert one.worst_margin == pytest.approx(other.worst_margin, abs=1e-4)


def test_a_network_in_training_mode_is_counted_without_its_dropout(half_trained):
    recipe = dataclasses.replace(SMALL, hidden_dim=24, dropout=0.5)
    model = build_model(recipe)
    model.load_state_dict(half_trained.state_dict())
    model.train()
    assert count_errors(model, SIX).errors_by_pair == count_errors(half_trained, SIX).errors_by_pair
    assert model.training


@pytest.mark.parametrize("planted", [[0, 2, 9, 1, 1, 1, 1], [2, 3, 4, 5, 6, 9, 8], [3, 2, 9, 9, 9, 9, 9]])
def test_one_planted_failure_is_found(planted):
    found = count_errors(failing_at(planted), SEVEN)
    assert (found.inputs, found.errors, found.failures) == (SEVEN.size, 1, [planted])
    assert (found.worst_margin, found.worst_input) == (-1.0, planted)
    assert {pair: n for pair, n in found.errors_by_pair.items() if n} == {tuple(planted[:2]): 1}
    assert found.rate_uniform == 1 / SEVEN.size
    assert found.rate_under_sampler == pytest.approx(SEVEN.pair_probability(*planted[:2]) / 9**5)


def test_only_the_first_thousand_failures_are_kept():
    found = count_errors(Oracle(lambda logits, source, target: -logits), SubstringTask(5))
    assert found.errors == SubstringTask(5).size
    assert found.failures == SubstringTask(5).inputs(0, 1000).tolist()


def test_ties_are_the_decoder_s_the_lower_token_wins():
    def spoil(logits: Tensor, source: Tensor, target: Tensor) -> Tensor:
        logits[..., 5] = logits.amax(-1)  # 5 ties with every target
        return logits

    found = count_errors(Oracle(spoil), SubstringTask(4))
    _, target = every_input(SubstringTask(4))
    assert found.errors == (target > 5).any(dim=1).sum().item() == 81 - 25
    assert found.worst_margin == 0
    assert found.recounted == (target != 5).any(dim=1).sum().item() == 80
    assert not found.exact


@pytest.mark.parametrize("twice", [(7, 8), (1, 2)], ids=["a smaller token instead", "a larger one"])
def test_what_is_too_close_to_call_is_decided_in_float64_step_by_step(twice):
    """In float32 this model fails by a hair at one input, and is right by a hair at another that it fails at."""
    wrongly_failing, wrongly_right = ([0, 2, digit, digit] for digit in twice)
    steps = []

    def spoil(logits: Tensor, source: Tensor, target: Tensor) -> Tensor:
        sign = 1 if logits.dtype == torch.float64 else -1
        for each, direction in ((wrongly_failing, 1), (wrongly_right, -1)):
            hit = (source == torch.tensor(each)).all(dim=1)
            logits[hit, 1, 3] = logits[hit].amax() - sign * direction * 1e-5 if hit.any() else 0
        logits[..., 9] += 2e-7 * (len(source) == 1)  # so that the tolerance is 100 times this
        return logits

    class Watched(Oracle):
        def forward(self, source: Tensor, target: Tensor, teacher_forcing_ratio: float) -> Tensor:
            if self.scale.dtype == torch.float64 and len(source) == 2:
                steps.append(teacher_forcing_ratio)
            return super().forward(source, target, teacher_forcing_ratio)

    found = count_errors(Watched(spoil), SubstringTask(4))
    assert found.tolerance > 1.1e-5
    assert found.recounted == 2
    assert steps == [0.0, 1.0]
    assert found.failures == [wrongly_right]
    assert found.worst_margin == pytest.approx(-1e-5, rel=0.1)
    assert found.worst_input == wrongly_right


# --- Arithmetic -------------------------------------------------------------------------------------------------------


def by_batch_size(logits: Tensor, source: Tensor, target: Tensor) -> Tensor:
    return logits * (1 + 0.25 * (len(source) == 1))


def by_precision(logits: Tensor, source: Tensor, target: Tensor) -> Tensor:
    return logits * (1 + 0.125 * (logits.dtype == torch.float64))


class ByForcing(Oracle):
    """Another margin step by step, and an output of other errors in half of all inputs."""

    def forward(self, source: Tensor, target: Tensor, teacher_forcing_ratio: float) -> Tensor:
        logits = super().forward(source, target, teacher_forcing_ratio)
        logits[source[:, -1] > 4] *= -1
        return logits * (1.5 if teacher_forcing_ratio == 0 else 1)


WAYS = ("whole-sequence calls", "one input at a time", "one step at a time", "float64")


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (Oracle(), (0, 0, 0, 0)),
        (Oracle(by_batch_size), (0, 0.25, 0, 0)),
        (Oracle(by_precision), (0, 0, 0, 0.125)),
        (ByForcing(), (0, 0, 0.5, 0)),
    ],
)
def test_the_differences_of_arithmetic_are_measured(model, expected):
    found = count_errors(model, SubstringTask(5))
    assert found.arithmetic == dict(zip(WAYS, expected, strict=True))
    assert found.arithmetic_difference == max(expected)
    assert found.tolerance == 100 * max(expected)


def test_the_step_by_step_difference_is_left_out_where_no_input_is_right():
    found = count_errors(Oracle(lambda logits, source, target: -logits), SubstringTask(4))
    assert set(found.arithmetic) == set(WAYS) - {"one step at a time"}


def test_arithmetic_is_compared_on_inputs_of_every_pair(half_trained, monkeypatch):
    calls = []

    def note(model: nn.Module, source: Tensor, target: Tensor, batch_size: int = 1000) -> Tensor:
        calls.append((source, target, batch_size))
        return margins(model, source, target, batch_size)

    monkeypatch.setattr(verification, "margins", note)
    found = count_errors(half_trained, SIX)
    (source, target, _), (some, _, one), (in_double, _, _) = calls[:3]
    assert len(source) == 6 * 40
    assert {tuple(pair) for pair in source[:, :2].tolist()} == set(SIX.pairs)
    assert len({tuple(row) for row in source.tolist()}) == 6 * 40
    assert len({row[2] for row in source.tolist()}) > 3
    torch.testing.assert_close(target, SIX.solve(source))
    assert one == 1
    assert 60 < len(some) <= 100
    assert {tuple(pair) for pair in some[:, :2].tolist()} == set(SIX.pairs)
    torch.testing.assert_close(in_double, source)
    assert 0 < found.arithmetic_difference < 1e-4
    assert found.arithmetic["one step at a time"] > 0


GPU = ("backends.cudnn.rnn", "backends.cudnn.conv")
CPU = ("backends.mkldnn.matmul", "backends.mkldnn.rnn", "backends.mkldnn.conv")
ABOVE = ("backends", "backends.cudnn", "backends.cuda.matmul")  # which the others follow, unless they were set


def precisions() -> dict[str, str]:
    return {name: attrgetter(name)(torch).fp32_precision for name in (*ABOVE, *GPU, *CPU)}


@pytest.fixture
def set_precision() -> Iterator[Callable[[str, str], None]]:
    """Say at one place of PyTorch how float32 products are rounded. All of it is put back afterwards."""

    def set_one(name: str, precision: str) -> None:
        attrgetter(name)(torch).fp32_precision = precision

    before = precisions()
    set_one("backends.cuda.matmul", "none")  # as in a fresh process: it follows what is set above it
    yield set_one
    torch.set_float32_matmul_precision("highest")
    for name, precision in before.items():
        set_one(name, precision)


@pytest.mark.parametrize("asked_for", [None, "highest", "high", "medium"])
@pytest.mark.parametrize(
    ("name", "precision", "products"),
    [
        ("backends", "none", "ieee"),
        ("backends", "ieee", "ieee"),
        ("backends", "tf32", "tf32"),
        ("backends", "bf16", "ieee"),
        ("backends.cudnn", "ieee", "ieee"),
        ("backends.cudnn", "tf32", "tf32"),
        ("backends.cudnn.rnn", "ieee", "ieee"),
        ("backends.cudnn.conv", "ieee", "ieee"),
        ("backends.cuda.matmul", "tf32", "tf32"),
        ("backends.mkldnn.matmul", "bf16", "ieee"),
    ],
)
def test_all_products_are_as_precise_as_the_certificate_says(name, precision, products, asked_for, set_precision):
    """Whatever a program has set: a GPU's are those of its matrix products, and a CPU's are not rounded."""
    set_precision(name, precision)
    if asked_for is not None:
        torch.set_float32_matmul_precision(asked_for)
        products = "ieee" if asked_for == "highest" else "tf32"
    before, seen = precisions(), []

    def spoil(logits: Tensor, source: Tensor, target: Tensor) -> Tensor:
        seen.append(precisions())
        return logits

    assert count_errors(Oracle(spoil), SubstringTask(4)).complete
    for inside in seen:
        assert inside == before | dict.fromkeys(GPU, products) | dict.fromkeys(CPU, "ieee")
    assert verification._products_are_rounded() == (products == "tf32")
    assert precisions() == before


def test_an_interrupt_leaves_the_precision_as_it_was(half_trained, set_precision, monkeypatch):
    set_precision("backends", "tf32")
    before = precisions()
    interrupt_in_block(1, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        count_errors(half_trained, SIX)
    assert precisions() == before


# --- Shards, interrupts and sums --------------------------------------------------------------------------------------


def counts_of(certificate: Certificate) -> dict:
    """What two counts of the same inputs agree in, whatever the time and the pieces."""
    data = certificate.as_dict()
    return {name: value for name, value in data.items() if name not in ("seconds", "pieces")}


@pytest.fixture(scope="module")
def whole(half_trained) -> Certificate:
    return count_errors(half_trained, SIX, sha256="a" * 64)


@pytest.mark.parametrize("n_shards", [1, 2, 4, 6])
def test_shards_in_any_split_and_order_sum_to_the_whole(half_trained, whole, n_shards):
    shards = [count_errors(half_trained, SIX, shard=(i + 1, n_shards), sha256="a" * 64) for i in range(n_shards)]
    random.Random(0).shuffle(shards)
    assert sum(shard.inputs for shard in shards) == SIX.size
    if n_shards > 1:
        assert not any(shard.complete for shard in shards)
    total = merge(shards)
    assert counts_of(total) == counts_of(whole)
    (piece,) = total.pieces  # one machine, one day: one piece
    assert (piece.start, piece.stop) == (0, SIX.size)
    assert total.seconds == pytest.approx(sum(shard.seconds for shard in shards))


def test_a_shard_is_its_share_of_blocks():
    task = SubstringTask(8)  # 15 pairs, each of 9 blocks
    assert task.size == 135 * BLOCK
    assert still_to_count(task, (1, 1), []) == [(0, task.size)]
    assert still_to_count(task, (1, 135), []) == [(0, BLOCK)]
    assert still_to_count(task, (135, 135), []) == [(134 * BLOCK, 135 * BLOCK)]
    assert still_to_count(task, (2, 4), []) == [(33 * BLOCK, 67 * BLOCK)]
    ends = [still_to_count(task, (i, 7), [])[0] for i in range(1, 8)]
    assert ends[0][0] == 0
    assert ends[-1][1] == task.size
    assert all(one[1] == other[0] for one, other in itertools.pairwise(ends))
    assert {(stop - start) // BLOCK for start, stop in ends} == {19, 20}


@pytest.mark.parametrize("shard", [(0, 1), (2, 1), (-1, 4), (1, 0), (5, 4), (1, 136), (136, 136)])
def test_a_shard_that_does_not_exist_is_refused(shard, refused):
    with refused(f"no shard {shard[0]}/{shard[1]}.*at most 135 for length 8"):
        still_to_count(SubstringTask(8), shard, [])


def piece(start: int, stop: int, **changes: object) -> Piece:
    values = {"device": "cpu", "precision": "float32", "threads": 1, "hardware": "A"}
    values |= {"torch": "2", "python": "3", "date": "2026-01-01"}
    return Piece(start, stop, 1.5, **(values | changes))


def test_what_is_left_of_a_shard_is_what_no_piece_has_counted():
    task = SubstringTask(8)
    pieces = [piece(2 * BLOCK, 4 * BLOCK), piece(4 * BLOCK, 5 * BLOCK), piece(60 * BLOCK, 61 * BLOCK)]
    left = [(0, 2 * BLOCK), (5 * BLOCK, 60 * BLOCK), (61 * BLOCK, 135 * BLOCK)]
    assert still_to_count(task, (1, 1), pieces) == left
    assert still_to_count(task, (2, 45), pieces) == [(5 * BLOCK, 6 * BLOCK)]
    assert still_to_count(task, (1, 45), pieces) == [(0, 2 * BLOCK)]
    assert still_to_count(task, (3, 135), pieces) == []
    assert still_to_count(task, (4, 5), pieces) == [(81 * BLOCK, 108 * BLOCK)]
    assert still_to_count(task, (1, 5), pieces) == [(0, 2 * BLOCK), (5 * BLOCK, 27 * BLOCK)]


def interrupt_in_block(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Press Ctrl-C once, in the middle of that block of all that are counted from now on."""
    blocks, decide = itertools.count(1), verification._decide

    def decide_or_stop(*arguments: object) -> tuple[Tensor, int]:
        if next(blocks) == number:
            raise KeyboardInterrupt
        return decide(*arguments)

    monkeypatch.setattr(verification, "_decide", decide_or_stop)


def test_a_count_goes_on_from_the_last_whole_block_before_an_interrupt(half_trained, whole, monkeypatch):
    kept = []
    interrupt_in_block(3, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        count_errors(half_trained, SIX, sha256="a" * 64, on_block=lambda certificate, _: kept.append(certificate))
    stopped = kept[-1]
    assert (stopped.inputs, stopped.complete) == (2 * 9**4, False)
    assert list(stopped.errors_by_pair) == SIX.pairs[:2]
    counted = []
    resumed = count_errors(
        half_trained,
        SIX,
        so_far=stopped,
        sha256="a" * 64,
        on_block=lambda certificate, n_inputs: counted.append((certificate.inputs, n_inputs)),
    )
    assert counted == [((2 + i) * 9**4, 9**4) for i in range(1, 5)]
    assert counts_of(resumed) == counts_of(whole)


def test_a_count_goes_on_around_what_was_counted_elsewhere(half_trained, whole):
    middle = count_errors(half_trained, SIX, shard=(2, 3), sha256="a" * 64)
    assert counts_of(count_errors(half_trained, SIX, so_far=middle, sha256="a" * 64)) == counts_of(whole)


def test_counts_that_do_not_belong_together_are_refused(half_trained, refused):
    one, other = (count_errors(half_trained, SIX, shard=(i, 2), sha256="a" * 64) for i in (1, 2))
    with refused("different checkpoints, aaaaaaaa… and bbbbbbbb…"):
        merge([one, dataclasses.replace(other, sha256="b" * 64)])
    with refused("different tasks, of length 6 and of length 7"):
        merge([one, dataclasses.replace(other, length=7)])
    with refused("number 0 on are counted twice"):
        merge([one, one])
    with refused("different precisions, float32, float64"):
        merge([one, dataclasses.replace(other, pieces=[dataclasses.replace(other.pieces[0], precision="float64")])])
    with refused("do not say whose|does not say whose"):
        merge([one, dataclasses.replace(other, sha256=None)])
    with refused("different checkpoints, aaaaaaaa… and None…"):
        count_errors(half_trained, SIX, so_far=one)
    with refused("nothing to merge"):
        merge([])


def test_a_count_that_is_whole_goes_on_only_with_its_own_checkpoint(half_trained, whole, refused):
    with refused("different checkpoints, aaaaaaaa… and bbbbbbbb…"):
        count_errors(half_trained, SIX, so_far=whole, sha256="b" * 64)
    assert counts_of(count_errors(half_trained, SIX, so_far=whole, sha256="a" * 64)) == counts_of(whole)


def test_sums_keep_the_smallest_margin_and_the_largest_difference():
    def part(number: int, **values: object) -> Certificate:
        pieces = [piece(number * 81, (number + 1) * 81)]
        return Certificate(**({"length": 5, "sha256": "a", "parameters": 7, "pieces": pieces} | values))

    one = part(
        0,
        tolerance=0.2,
        arithmetic={"x": 1.0, "y": 5.0},
        errors_by_pair={(0, 2): 1},
        failures=[[0, 2, 9, 9, 9]],
        recounted=3,
        worst_margin=2.0,
        worst_input=[0, 2, 1, 1, 1],
    )
    two = part(
        1,
        tolerance=0.1,
        arithmetic={"x": 3.0, "y": 4.0, "z": 0.5},
        errors_by_pair={(0, 2): 2, (0, 3): 0},
        failures=[[0, 2, 9, 9, 8], [0, 3, 1, 1, 1]],
        recounted=4,
        worst_margin=-1.0,
        worst_input=[0, 2, 5, 5, 5],
    )
    for total in (one + two, two + one):
        assert total.tolerance == 0.1
        assert total.arithmetic == {"x": 3.0, "y": 5.0, "z": 0.5}
        assert total.errors_by_pair == {(0, 2): 3, (0, 3): 0}
        assert total.failures == [[0, 2, 9, 9, 8], [0, 2, 9, 9, 9], [0, 3, 1, 1, 1]]
        assert (total.recounted, total.parameters) == (7, 7)
        assert (total.worst_margin, total.worst_input) == (-1.0, [0, 2, 5, 5, 5])
        assert total.pieces == [dataclasses.replace(one.pieces[0], stop=162, seconds=3.0)]


def test_a_piece_has_the_day_on_which_it_was_counted(half_trained, monkeypatch):
    class Calendar:
        """A block before midnight, and all others after it."""

        days = itertools.chain([1], itertools.repeat(2))

        @classmethod
        def now(cls, zone: object) -> datetime:
            return datetime(2026, 1, next(cls.days), tzinfo=zone)

    monkeypatch.setattr(verification, "datetime", Calendar)
    pieces = count_errors(half_trained, SIX).pieces
    assert [(each.start, each.stop, each.date) for each in pieces] == [
        (0, 9**4, "2026-01-01"),
        (9**4, SIX.size, "2026-01-02"),
    ]


@pytest.mark.parametrize(
    "changes", [{"hardware": "B"}, {"torch": "3"}, {"date": "2026-01-02"}, {"threads": 2}, {"device": "cuda"}]
)
def test_pieces_counted_elsewhere_stay_apart(changes):
    task = {"length": 5, "sha256": "a", "parameters": 7, "tolerance": 0.1, "arithmetic": {"x": 1.0}}
    pieces = [piece(0, 81), piece(81, 162, **changes)]
    one, other = (Certificate(**task, pieces=[each]) for each in pieces)
    assert (other + one).pieces == pieces


def test_pieces_with_a_gap_stay_apart():
    task = {"length": 5, "sha256": "a", "parameters": 7, "tolerance": 0.1, "arithmetic": {"x": 1.0}}
    total = Certificate(**task, pieces=[piece(0, 81)]) + Certificate(**task, pieces=[piece(162, 243)])
    assert [(each.start, each.stop) for each in total.pieces] == [(0, 81), (162, 243)]
    assert total.inputs == 162


# --- Certificates -----------------------------------------------------------------------------------------------------

PERFECT = Certificate(
    length=5,
    sha256="a" * 64,
    parameters=7,
    tolerance=0.01,
    arithmetic={"x": 0.0001, "y": 0.00001},
    pieces=[piece(0, 3 * 9**3)],
    errors_by_pair={(0, 2): 0, (0, 3): 0, (1, 2): 0},
    worst_margin=0.01,
    worst_input=[0, 2, 1, 1, 1],
)


def test_exact_is_a_whole_count_without_errors_and_with_wide_margins():
    assert PERFECT.exact
    assert not dataclasses.replace(PERFECT, worst_margin=0.0099).exact
    assert not dataclasses.replace(PERFECT, errors_by_pair={(0, 2): 1}).exact
    assert not dataclasses.replace(PERFECT, pieces=[piece(0, 2 * 9**3)]).exact


def test_rates_are_said_under_both_measures_and_only_of_a_whole_count():
    errors = {(0, 2): 9, (0, 3): 0, (1, 2): 3}
    found = dataclasses.replace(PERFECT, errors_by_pair=errors)
    assert found.rate_uniform == 12 / (3 * 9**3)
    assert found.rate_under_sampler == pytest.approx((9 / 4 + 3 / 2) / 9**3)  # pair (1, 2) has half of all draws
    part = dataclasses.replace(found, pieces=[piece(0, 9**3)])
    assert part.rate_uniform is None
    assert part.rate_under_sampler is None


def test_a_certificate_names_all_that_the_claim_rests_on(half_trained, whole):
    data = whole.as_dict()
    named = {"inputs", "errors", "complete", "seconds", "sha256", "length", "device", "precision", "worst_margin"}
    assert named <= data.keys()
    assert (data["device"], data["precision"], data["inputs"], data["complete"]) == ("cpu", "float32", 39_366, True)
    assert data["seconds"] > 0
    assert data["arithmetic_difference"] == whole.arithmetic_difference == max(data["arithmetic"].values())
    (said,) = data["pieces"]
    assert said["torch"] == torch.__version__
    assert said["threads"] == torch.get_num_threads()
    assert said["hardware"]
    assert count_errors(half_trained.double(), SIX, shard=(1, 6)).pieces[0].precision == "float64"
    half_trained.float()


def test_the_processor_is_named_without_a_proc_file_too(monkeypatch):
    monkeypatch.setattr(verification, "Path", lambda name: Path("nowhere") / "cpuinfo")
    monkeypatch.setattr(verification.platform, "processor", lambda: "a processor")
    assert verification._processor() == "a processor"


def test_the_processor_is_named_as_the_system_names_it(monkeypatch, tmp_path):
    (tmp_path / "cpuinfo").write_text("processor : 0\nmodel name : Fast One\nflags: model name\n", encoding="utf-8")
    monkeypatch.setattr(verification, "Path", lambda name: tmp_path / "cpuinfo")
    assert verification._processor() == "Fast One"


def test_a_certificate_is_read_as_it_was_written(whole, tmp_path):
    save_certificate(whole, tmp_path / "new" / "one.json")
    assert load_certificate(tmp_path / "new" / "one.json") == whole
    assert list((tmp_path / "new").iterdir()) == [tmp_path / "new" / "one.json"]
    assert json.loads((tmp_path / "new" / "one.json").read_text()) == json.loads(json.dumps(whole.as_dict()))


def test_a_certificate_that_cannot_be_written_is_said(whole, tmp_path, refused):
    (tmp_path / "file").write_text("")
    with refused("cannot be written"):
        save_certificate(whole, tmp_path / "file" / "one.json")


def test_an_interrupted_write_leaves_the_old_certificate_as_it_was(whole, tmp_path, monkeypatch):
    path = tmp_path / "one.json"
    save_certificate(whole, path)

    def stop_halfway(path: Path, text: str, encoding: str) -> None:
        path.write_bytes(text[: len(text) // 2].encode(encoding))
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", stop_halfway)
    with pytest.raises(KeyboardInterrupt):
        save_certificate(PERFECT, path)
    assert load_certificate(path) == whole
    assert list(tmp_path.iterdir()) == [path]


IMPOSSIBLE_PIECES = {
    "one half twice": [(0, 729), (0, 729)],
    "an overlap": [(0, 729), (728, 1458)],
    "the second half first": [(729, 2187), (0, 729)],
    "more inputs than there are": [(0, 2188)],
    "inputs before the first": [(-1, 729)],
    "no inputs": [(729, 729)],
    "less than none": [(1458, 729)],
}


@pytest.mark.parametrize("name", IMPOSSIBLE_PIECES)
def test_pieces_that_no_count_can_have_are_refused(name, tmp_path, refused):
    pieces = [piece(*ends) for ends in IMPOSSIBLE_PIECES[name]]
    with refused("pieces follow one another among the 2,187 inputs of length 5"):
        merge([dataclasses.replace(PERFECT, pieces=pieces)])
    by_hand = dataclasses.replace(PERFECT, pieces=[])
    by_hand.pieces.extend(pieces)  # past the look at them: this is how a file says it
    (tmp_path / "one.json").write_text(json.dumps(by_hand.as_dict()))
    with refused("one.json is no certificate of this course, or was damaged or changed"):
        load_certificate(tmp_path / "one.json")


def test_files_that_are_no_certificate_are_refused(whole, tmp_path, refused):
    path = tmp_path / "one.json"
    for unreadable in (path, tmp_path, tmp_path / ("x" * 300)):
        with refused("cannot be read"):
            load_certificate(unreadable)
    for text in ("{", "[]", "{}", '"text"', "null", "1" * 5000, "[" * 100_000, '{"pieces": 1}'):
        path.write_text(text)
        with refused("is no certificate of this course, or was damaged or changed"):
            load_certificate(path)
    path.write_bytes(b"\xff\xfe")
    with refused("is no certificate"):
        load_certificate(path)


# What of a certificate was changed, so that it does not hold what a count writes. Totals are changed with their parts.
CHANGES = {
    "the errors": {"errors": 0},
    "whether all was counted": {"complete": False},
    "the claim": {"exact": True},
    "how many were counted": {"inputs": 1},
    "a value added": {"more": 1},
    "a piece without values": {"pieces": [{}]},
    "pieces that are numbers": {"pieces": [1]},
    "no arithmetic": {"arithmetic": {}},
    "arithmetic of text": {"arithmetic": {"x": "y"}, "arithmetic_difference": "y"},
    "arithmetic in a list": {"arithmetic": [1.0], "arithmetic_difference": 1.0},
    "arithmetic below 0": {"arithmetic": {"x": -1.0}, "arithmetic_difference": -1.0},
    "failures of text": {"failures": ["x"]},
    "more failures than are kept": {"failures": [[0, 2, 1, 1, 1, 1]] * 1001},
    "failures left out": {"failures": None},
    "failures that are no inputs": {"failures": [[9, 9, 1, 1, 1, 1]] * 1000},
    "text for recounted": {"recounted": "x"},
    "less than none recounted": {"recounted": -1},
    "text for the tolerance": {"tolerance": "x"},
    "a tolerance that is no number": {"tolerance": math.nan},
    "a tolerance without end": {"tolerance": math.inf},
    "less than no parameters": {"parameters": -1},
    "a number for the checkpoint": {"sha256": 5},
    "text for the length": {"length": "6"},
    "a length that is not whole": {"length": 6.0},
    "a worst margin that is no number": {"worst_margin": math.nan},
    "no worst margin": {"worst_margin": None},
    "text for the worst margin": {"worst_margin": "x"},
    "a worst input of one number": {"worst_input": [1]},
    "a worst input that is a number": {"worst_input": 5},
    "a list of worst inputs": {"worst_input": [[0, 2, 1, 1, 1, 1]], "failures": []},
    "no worst input": {"worst_input": None},
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_certificate_that_was_changed_is_refused(name, whole, tmp_path, refused):
    refuse_changed(whole.as_dict() | CHANGES[name], tmp_path, refused)


def refuse_changed(data: dict, folder: Path, refused: Callable) -> None:
    (folder / "one.json").write_text(json.dumps(data))
    with refused("one.json is no certificate of this course, or was damaged or changed"):
        load_certificate(folder / "one.json")


@pytest.mark.parametrize(("pair", "errors"), [("0 2", -5), ("0 2", 0.5), ("0 2", 39_367), ("7 9", 0), ("0 2 1", 0)])
def test_errors_that_no_count_can_have_are_refused(pair, errors, tmp_path, refused):
    part = dataclasses.replace(PERFECT, pieces=[piece(0, 2 * 9**3)])  # of a whole one, the rates would show it, too
    changed = {"errors_by_pair": {"0 2": 0, pair: errors}, "errors": errors}
    refuse_changed(part.as_dict() | changed, tmp_path, refused)


def test_a_piece_that_ends_inside_a_block_is_refused(tmp_path, refused):
    """A count could not go on from there."""
    cut = dataclasses.replace(PERFECT, pieces=[piece(0, 3 * 9**3 - 100)])
    refuse_changed(cut.as_dict(), tmp_path, refused)
    begun_late = dataclasses.replace(PERFECT, pieces=[piece(100, 3 * 9**3)])
    refuse_changed(begun_late.as_dict(), tmp_path, refused)


NEVER_WRITTEN = {
    "int": [None, -9, -0.5, 1.0, "1", True],
    "float": [None, 5, -0.5, math.nan, math.inf, "1"],
    "str": [None, 5, ["x"]],
}


@pytest.mark.parametrize(
    ("name", "value"), [(each.name, value) for each in dataclasses.fields(Piece) for value in NEVER_WRITTEN[each.type]]
)
def test_a_piece_with_a_value_that_no_count_writes_is_refused(name, value, tmp_path, refused):
    data = json.loads(json.dumps(PERFECT.as_dict()))
    data["pieces"][0][name] = value
    totals = {name: value} if name in ("seconds", "device", "precision") else {}
    refuse_changed(data | totals, tmp_path, refused)


@pytest.mark.parametrize("values", [{"worst_margin": 1.0}, {"worst_input": [0, 2, 1, 1, 1]}])
def test_what_has_counted_nothing_has_no_worst_input(values, tmp_path, refused):
    nothing = dataclasses.replace(PERFECT, pieces=[], errors_by_pair={}, worst_margin=None, worst_input=None)
    save_certificate(nothing, tmp_path / "nothing.json")
    assert load_certificate(tmp_path / "nothing.json") == nothing
    refuse_changed(dataclasses.replace(nothing, **values).as_dict(), tmp_path, refused)


def test_a_certificate_of_other_weights_is_refused(tmp_path, refused):
    (tmp_path / "model.pt").write_bytes(b"weights")
    sha256 = sha256_of(tmp_path / "model.pt")
    assert sha256 == "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c"
    save_certificate(dataclasses.replace(PERFECT, sha256=sha256), tmp_path / "right.json")
    save_certificate(PERFECT, tmp_path / "wrong.json")
    assert load_certificate(tmp_path / "right.json", tmp_path / "model.pt").exact
    with refused("other weights than those of"):
        load_certificate(tmp_path / "wrong.json", tmp_path / "model.pt")
    with refused("nothing.pt cannot be read .No such file or directory"):
        load_certificate(tmp_path / "wrong.json", tmp_path / "nothing.pt")


# --- Bad models -------------------------------------------------------------------------------------------------------


def test_weights_that_are_no_numbers_are_refused(half_trained, refused):
    model = build_model(dataclasses.replace(SMALL, hidden_dim=4))
    with torch.no_grad():
        model.decoder.fc_out.bias[3] = torch.nan
    with refused("decoder.fc_out.bias are not all finite"):
        count_errors(model, SIX)


@pytest.mark.parametrize("sizes", [(9, 10, 10), (10, 11, 10), (10, 10, 12)])
def test_another_vocabulary_is_refused(sizes, refused):
    model = build_model(dataclasses.replace(SMALL, hidden_dim=4))
    model.encoder.embedding = nn.Embedding(sizes[0], 16)
    model.decoder.embedding = nn.Embedding(sizes[1], 16)
    model.decoder.fc_out = nn.Linear(4, sizes[2])
    with refused(f"reads {sizes[0]} and {sizes[1]} and writes {sizes[2]}"):
        count_errors(model, SIX)


def test_logits_that_are_no_numbers_are_errors():
    """A margin that is not a number is neither above nor below the tolerance: it is decided, not passed over."""

    def spoil(logits: Tensor, source: Tensor, target: Tensor) -> Tensor:
        logits[source[:, 2] == 9] = torch.nan
        return logits

    found = count_errors(Oracle(spoil), SubstringTask(4))
    assert found.errors == 9


# --- Learning from what was counted -----------------------------------------------------------------------------------


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
    monkeypatch.setattr(verification, "feed_back", lambda *_, seed, **__: trained.append(seed))
    with pytest.raises(KeyboardInterrupt):
        train_to_zero(build_model(four), SubstringTask(4))
    assert trained == list(range(1, number))


def test_each_round_draws_other_examples_and_takes_the_steps_asked_for(four, monkeypatch):
    rounds = []
    monkeypatch.setattr(verification, "feed_back", lambda *_, steps, seed: rounds.append((steps, seed)))
    train_to_zero(build_model(four), SubstringTask(4), rounds=3)
    train_to_zero(build_model(four), SubstringTask(4), rounds=1, steps=7)
    assert rounds == [(300, 1), (300, 2), (300, 3), (7, 1)]


def test_all_failures_found_so_far_are_fed_back(four, monkeypatch):
    """Those of the last count alone would let the network forget what it failed on before."""
    counts = iter([[[0, 2, 1, 1], [0, 2, 1, 2]], [[0, 2, 9, 9]], [[0, 2, 1, 1]], []])
    fed = []

    def count(*_):
        failures = next(counts)
        return Certificate(4, None, 0, 0.0, {}, errors_by_pair={(0, 2): len(failures)}, failures=failures)

    monkeypatch.setattr(verification, "count_errors", count)
    monkeypatch.setattr(verification, "feed_back", lambda model, task, failures, **_: fed.append(failures))
    assert [each.errors for each in train_to_zero(build_model(four), SubstringTask(4))] == [2, 1, 1, 0]
    assert fed == [
        [[0, 2, 1, 1], [0, 2, 1, 2]],
        [[0, 2, 1, 1], [0, 2, 1, 2], [0, 2, 9, 9]],
        [[0, 2, 1, 1], [0, 2, 1, 2], [0, 2, 9, 9], [0, 2, 1, 1]],
    ]


def test_half_of_every_batch_is_failures(four, monkeypatch):
    batches_seen = []
    monkeypatch.setattr(
        verification, "train_step", lambda model, optimizer, source, target: batches_seen.append((source, target))
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
        verification,
        "train_step",
        lambda model, optimizer, *_: (rates.append(optimizer.param_groups[0]["lr"]), optimizer.step()),
    )
    feed_back(build_model(four), SubstringTask(4), [[0, 2, 9, 9]], steps=4, seed=0)
    assert rates == pytest.approx([2e-3, 1.5e-3, 1e-3, 5e-4])


def test_the_fresh_half_is_drawn_by_length(four, monkeypatch):
    sources = []
    monkeypatch.setattr(verification, "train_step", lambda model, optimizer, source, target: sources.append(source))
    monkeypatch.setattr(torch.optim.lr_scheduler.LinearLR, "step", lambda *_: None)
    feed_back(build_model(four), SIX, [[0, 2, 9, 9, 9, 9]], steps=1, seed=0)
    fresh, _ = next(batches(SIX, 128, 1, torch.Generator().manual_seed(0), length_weight=1.0))
    assert torch.equal(sources[0][:128], fresh)


def test_without_failures_there_is_nothing_to_feed_back(four, refused):
    with refused("no failures"):
        feed_back(build_model(four), SubstringTask(4), [], steps=1, seed=0)


# --- How fast it is ---------------------------------------------------------------------------------------------------


def test_the_record_of_counting_compares_with_the_faster_library(tmp_path, monkeypatch):
    monkeypatch.setattr(counting, "RECORD", tmp_path / "counting.json")
    monkeypatch.setattr(counting, "speeds", lambda: {"one library": 4e9, "another": 8e9})
    tiny = dataclasses.replace(EXACT, name="tiny", hidden_dim=4, emb_dim=2, length=8)
    monkeypatch.setattr(counting, "RECIPES", (tiny,))
    monkeypatch.setattr(counting, "processor_seconds", lambda work: len(work()) / 1e6)
    monkeypatch.setattr(torch, "set_num_threads", lambda n: None)  # other tests have theirs
    counting.main()
    found = json.loads(counting.RECORD.read_text(encoding="utf-8"))["networks"]["tiny"]
    assert found["inputs a second"] == {"WholeCalls": 1_000_000, "PrefixTree": 1_000_000}
    assert found["share of the floor"] == round(1e6 * found["operations an input"] / 8e9, 3)


# --- The networks that ship -------------------------------------------------------------------------------------------

SHIPPED = [path.stem for path in sorted(record_path("").glob("exact-*.pt"))]


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_network_is_the_one_of_its_certificate(name):
    weights, path = record_path(f"{name}.pt"), record_path(f"{name}.json")
    certificate, checkpoint = load_certificate(path, weights), load_checkpoint(weights)
    model = load_model(weights)
    assert certificate.errors == 0
    assert certificate.exact == certificate.complete
    assert count_parameters(model) == certificate.parameters < 20_000
    assert weights.stat().st_size < 3_000_000
    recipe = checkpoint["recipe"]
    assert Recipe(**recipe) == RECIPES[recipe["name"]]  # what it does not say could not be chosen yet
    assert recipe["length"] == certificate.length


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_network_makes_no_error_in_a_block_drawn_anew(name):
    """Another block every time: a failure here would be a counterexample to the certificate."""
    model, certificate = load_model(record_path(f"{name}.pt")), load_certificate(record_path(f"{name}.json"))
    n_blocks = certificate.task.size // BLOCK
    found = count_errors(model, certificate.task, shard=(random.randint(1, n_blocks), n_blocks))
    assert (found.inputs, found.errors) == (BLOCK, 0)
    assert found.worst_margin > certificate.worst_margin - certificate.arithmetic_difference

"""Counting errors: against brute force, in shards and after interrupts; and the two networks that ship."""

import copy
import dataclasses
import itertools
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from operator import attrgetter

import counting
import pytest
import torch
from oracle import BLOCK, SIX, Oracle, brute_force, every_input, interrupt_in_block
from torch import Tensor, nn

from course_utils import (
    EXACT,
    RECIPES,
    SMALLEST,
    Certificate,
    Recipe,
    SubstringTask,
    build_model,
    count_errors,
    count_parameters,
    load_certificate,
    load_checkpoint,
    load_model,
    margins,
    merge,
    record_path,
    verification,
)
from course_utils.recipes import SMALL

SEVEN = SubstringTask(7)


def failing_at(*inputs: list[int]) -> Oracle:
    """It writes 9 first where a 1 to 8 belongs, and 8 for a 9, for these inputs alone."""

    def spoil(logits: Tensor, source: Tensor, target: Tensor) -> Tensor:
        for each in inputs:
            hit = (source == torch.tensor(each)).all(dim=1)
            logits[hit, 0] = logits[hit, 0].roll(1, dims=-1)
        return logits

    return Oracle(spoil)


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


def test_a_count_that_is_whole_goes_on_only_with_its_own_checkpoint(half_trained, whole, refused):
    with refused("different checkpoints, aaaaaaaa… and bbbbbbbb…"):
        count_errors(half_trained, SIX, so_far=whole, sha256="b" * 64)
    assert counts_of(count_errors(half_trained, SIX, so_far=whole, sha256="a" * 64)) == counts_of(whole)


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
    in_double = copy.deepcopy(half_trained).double()
    assert count_errors(in_double, SIX, shard=(1, 6)).pieces[0].precision == "float64"


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


SHIPPED = [path.stem for path in sorted(record_path("").glob("*.pt"))]


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_network_is_the_one_of_its_certificate(name):
    weights, path = record_path(f"{name}.pt"), record_path(f"{name}.json")
    certificate, checkpoint = load_certificate(path, weights), load_checkpoint(weights)
    model = load_model(weights)
    assert certificate.complete
    assert certificate.errors == (1 if name == "once-wrong-length10" else 0)
    assert certificate.exact == (certificate.errors == 0)
    assert count_parameters(model) == certificate.parameters < 20_000
    assert weights.stat().st_size < 3_000_000
    recipe = checkpoint["recipe"]
    with_22 = dataclasses.replace(SMALLEST, hidden_dim=22, length_weight=4.0)  # its file calls it smallest, too
    made_by = {"once-wrong-length10": with_22, "mended-length10": with_22, "smallest-length10": SMALLEST}
    # What a recipe in a file does not say could not be chosen yet.
    assert Recipe(**recipe) == made_by.get(name, RECIPES.get(recipe["name"]))
    assert recipe["length"] == certificate.length


def test_the_mended_network_is_the_one_that_failed_once_with_its_failure_fed_back():
    """How it was made stands in its checkpoint; that it was made so shows in weights that have hardly moved."""
    mended = load_checkpoint(record_path("mended-length10.pt"))
    before = load_checkpoint(record_path("once-wrong-length10.pt"))
    failures = load_certificate(record_path("once-wrong-length10.json")).failures
    assert mended["fed_back"] == {"failures": failures, "steps": 10_000, "rate": 2e-4, "seed": 1}
    assert (mended["recipe"], mended["seed"]) == (before["recipe"], before["seed"])
    apart = [(mended["model"][name] - weights).abs().max().item() for name, weights in before["model"].items()]
    assert 0.08 < max(apart) < 0.09


def test_what_was_fed_back_to_the_smallest_network_is_told():
    checkpoint = load_checkpoint(record_path("smallest-length10.pt"))
    how, task = checkpoint["fed_back"], SubstringTask()
    assert (how["steps"], how["rate"], how["seed"], checkpoint["seed"]) == (30_000, 2e-4, 1, 0)
    assert len(how["failures"]) == 46
    pairs = Counter(task.pairs[int(index) // task.digit_strings] for index in task.index(how["failures"]))
    assert pairs == {(1, 2): 31, (0, 3): 4, (1, 3): 3, (0, 8): 8}
    source = torch.tensor(how["failures"])
    assert margins(load_model(record_path("smallest-length10.pt")), source, task.solve(source)).min() > 3


def failures_in_block(certificate: Certificate, number: int) -> list[list[int]]:
    """Of the failures that were counted, those in the block with this number, from 1 on."""
    return [
        failure for failure in certificate.failures if int(certificate.task.index([failure])) // BLOCK == number - 1
    ]


def test_the_network_that_fails_once_fails_there_again():
    weights = record_path("once-wrong-length10.pt")
    certificate = load_certificate(record_path("once-wrong-length10.json"), weights)
    number = 1 + int(certificate.task.index(certificate.failures)) // BLOCK
    found = count_errors(load_model(weights), certificate.task, shard=(number, certificate.task.size // BLOCK))
    assert found.failures == certificate.failures == failures_in_block(certificate, number)
    assert found.worst_margin == pytest.approx(certificate.worst_margin, abs=1e-3)
    assert failures_in_block(certificate, number - 1) == []


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_network_fails_in_a_block_drawn_anew_only_where_its_certificate_says(name):
    """Another block every time: a failure here would be a counterexample to the certificate."""
    model, certificate = load_model(record_path(f"{name}.pt")), load_certificate(record_path(f"{name}.json"))
    n_blocks = certificate.task.size // BLOCK
    number = random.randint(1, n_blocks)
    found = count_errors(model, certificate.task, shard=(number, n_blocks))
    assert found.inputs == BLOCK
    assert found.failures == failures_in_block(certificate, number)
    assert found.worst_margin > certificate.worst_margin - certificate.arithmetic_difference

"""Certificates: what they say and refuse, how they add up, and what is left of a shard."""

import dataclasses
import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from oracle import BLOCK, SIX

from course_utils import (
    Certificate,
    Piece,
    SubstringTask,
    count_errors,
    load_certificate,
    merge,
    save_certificate,
    sha256_of,
    still_to_count,
)


def piece(start: int, stop: int, **changes: object) -> Piece:
    values = {"device": "cpu", "precision": "float32", "threads": 1, "hardware": "A"}
    values |= {"torch": "2", "python": "3", "date": "2026-01-01"}
    return Piece(start, stop, 1.5, **(values | changes))


# --- Shards -----------------------------------------------------------------------------------------------------------


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


# --- Sums -------------------------------------------------------------------------------------------------------------


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


# --- What they say ----------------------------------------------------------------------------------------------------


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


# --- Files ------------------------------------------------------------------------------------------------------------


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

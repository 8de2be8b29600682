"""Margins against brute force, and the tree's against those of whole calls."""

import dataclasses

import pytest
import torch
from oracle import SIX, Oracle, brute_force, every_input
from torch import Tensor

from course_utils import (
    EXACT,
    Decoder,
    Encoder,
    PrefixTree,
    Seq2Seq,
    SubstringTask,
    WholeCalls,
    build_model,
    margins,
    margins_of_ranges,
    prefix_tree,
)


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
        monkeypatch.setattr(prefix_tree, "CHUNK_DIGITS", digits)
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

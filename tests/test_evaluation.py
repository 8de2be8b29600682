"""The measures, held against counting by hand."""

import math

import pytest
import torch
from torch import Tensor

from course_utils import (
    SubstringTask,
    accuracy_after_first_error,
    before_end,
    evaluate,
    exact_match,
    highest_rate,
    kind_of_mistake,
    mistakes,
    predict,
    score,
    table_of_mistakes,
    token_accuracy,
    token_loss,
)
from course_utils.evaluation import Mistake

TARGET = torch.tensor([[5, 6, 0, 0], [7, 8, 9, 0], [1, 2, 3, 0]])
OUTPUT = torch.tensor([[5, 6, 0, 0], [7, 9, 9, 0], [1, 2, 0, 1]])  # right; one token wrong; two wrong


# --- Loss and accuracy ------------------------------------------------------------------------------------------------


def loss_by_hand(logits: list, target: list) -> float:
    """Minus the logarithm of the true token's probability, over all tokens of all examples at once."""
    losses = []
    for rows, tokens in zip(logits, target, strict=True):
        for row, token in zip(rows, tokens, strict=True):
            probability = math.exp(row[token]) / sum(math.exp(logit) for logit in row)
            losses.append(-math.log(probability))
    return sum(losses) / len(losses)


@pytest.fixture
def logits() -> Tensor:
    """Logits (3, 4, 10) whose guesses are OUTPUT, each with a confidence of its own."""
    noise = torch.rand(3, 4, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return noise + 2 * torch.nn.functional.one_hot(OUTPUT, 10)


SOURCE = torch.tensor([[0, 2, 5, 6, 9, 9], [1, 3, 9, 7, 8, 9], [1, 3, 9, 1, 2, 3]])


def test_loss_is_the_mean_over_tokens_zeros_included(logits):
    assert token_loss(logits, TARGET).item() == pytest.approx(loss_by_hand(logits.tolist(), TARGET.tolist()))


def test_what_is_marked_as_no_target_has_no_part_in_the_mean(logits):
    """-100 is PyTorch's own mark, for targets of several lengths in a batch."""
    marked = TARGET.clone()
    marked[:, -1] = -100
    assert token_loss(logits, marked).item() == pytest.approx(token_loss(logits[:, :-1], TARGET[:, :-1]).item())


def test_token_accuracy_counts_tokens():
    assert token_accuracy(OUTPUT, TARGET) == pytest.approx(9 / 12)


def test_exact_match_counts_examples_without_any_error():
    assert exact_match(OUTPUT, TARGET) == pytest.approx(1 / 3)


def test_scores_are_those_counted_by_hand(logits):
    scores = score(logits, SOURCE, TARGET)
    expected_loss = loss_by_hand(logits.tolist(), TARGET.tolist())
    assert scores.examples == 3
    assert scores.loss == pytest.approx(expected_loss)
    assert scores.perplexity == pytest.approx(math.exp(expected_loss))
    assert scores.token_accuracy == pytest.approx(9 / 12)
    assert scores.exact_match == pytest.approx(1 / 3)
    assert scores.accuracy_by_position == pytest.approx([1, 2 / 3, 2 / 3, 2 / 3])
    assert scores.exact_match_by_pair == {(0, 2): 1.0, (1, 3): 0.0}


# --- A bound of a rate ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("examples", [1, 7, 100, 1_000_000])
def test_without_an_error_the_bound_has_a_closed_form(examples):
    assert highest_rate(0, examples) == pytest.approx(1 - 0.05 ** (1 / examples), rel=1e-9)


def test_the_rule_of_three_is_its_approximation():
    assert highest_rate(0, 10_000) == pytest.approx(3 / 10_000, rel=2e-3)


@pytest.mark.parametrize(("errors", "examples"), [(1, 5), (3, 50), (49, 50), (127, 300)])
def test_at_the_bound_so_few_errors_have_a_chance_of_one_in_twenty(errors, examples):
    rate = highest_rate(errors, examples)
    chance = sum(math.comb(examples, k) * rate**k * (1 - rate) ** (examples - k) for k in range(errors + 1))
    assert chance == pytest.approx(0.05, rel=1e-9)


def test_where_all_fail_any_rate_is_possible():
    assert highest_rate(20, 20) == 1


@pytest.mark.parametrize(("errors", "examples"), [(0, 0), (-1, 5), (6, 5)])
def test_impossible_counts_are_refused(errors, examples, refused):
    with refused("no more errors"):
        highest_rate(errors, examples)


def test_losses_are_summed_in_float64(logits):
    logits = logits.float()
    assert score(logits, SOURCE, TARGET).loss == pytest.approx(token_loss(logits.double(), TARGET).item(), abs=1e-12)


def test_exact_match_by_pair_is_a_share(logits):
    scores = score(logits, torch.tensor([[1, 3, 0, 0, 0, 0]] * 2 + [[0, 2, 0, 0, 0, 0]]), TARGET)
    assert scores.exact_match_by_pair == {(0, 2): 0.0, (1, 3): 0.5}


def test_perplexity_of_a_hopeless_model_is_infinite():
    logits = torch.zeros(1, 1, 10)
    logits[0, 0, 3] = 1000  # certain, and wrong: a loss of 1,000 nats
    assert score(logits, torch.tensor([[0, 2, 5]]), torch.tensor([[5]])).perplexity == math.inf


# --- Running a model over many examples -------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 7, 19, 20, 1000])
def test_scores_do_not_depend_on_the_batch_size(batch_size, model, examples):
    scores, expected = evaluate(model, *examples, batch_size=batch_size), score(model(*examples, 0.0), *examples)
    assert scores.examples == 20
    assert scores.loss == pytest.approx(expected.loss, abs=1e-12)
    assert scores.perplexity == pytest.approx(expected.perplexity, abs=1e-9)
    assert scores.token_accuracy == pytest.approx(expected.token_accuracy)
    assert scores.exact_match == pytest.approx(expected.exact_match)
    assert scores.accuracy_by_position == pytest.approx(expected.accuracy_by_position)
    assert scores.exact_match_by_pair == expected.exact_match_by_pair


def test_a_model_is_scored_on_what_it_generates(model, examples):
    source, target = examples
    generated = model.generate(source, 8)
    target[:5] = generated[:5]  # so that some are right
    scores = evaluate(model, source, target)
    assert scores.exact_match == exact_match(generated, target) == 0.25
    assert scores.token_accuracy == token_accuracy(generated, target)


def test_predict_does_not_read_the_target_unless_it_forces(model, examples):
    source, target = examples
    assert torch.equal(predict(model, source, target), predict(model, source, torch.zeros_like(target)))
    forced = predict(model, source, target, teacher_forcing_ratio=1.0)
    torch.testing.assert_close(forced, model(source, target, teacher_forcing_ratio=1.0))


def test_predict_keeps_the_order_of_the_examples(model, examples):
    torch.testing.assert_close(predict(model, *examples, batch_size=3), model(*examples, 0.0))


def test_predict_keeps_no_gradients(model, examples):
    assert not predict(model, *examples).requires_grad


def test_scoring_takes_no_random_numbers_from_the_caller(model, examples):
    """Else a look at the model in the middle of training would change the training that follows."""
    before = torch.get_rng_state()
    evaluate(model, *examples)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_put_back(training, model, examples):
    model.train(training)
    predict(model, *examples)
    assert model.training is training


def test_each_part_s_mode_is_put_back(model, examples):
    model.train()
    model.encoder.eval()
    predict(model, *examples)
    assert (model.training, model.encoder.rnn.training, model.decoder.rnn.training) == (True, False, True)


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_put_back_even_after_an_error(training, model, examples):
    def fail(*_: object) -> None:
        assert not model.training
        raise RuntimeError("in the middle")

    model.train(training)
    model.decoder.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="in the middle"):
        predict(model, *examples)
    assert model.training is training


def test_a_score_does_not_depend_on_the_mode_in_which_a_model_comes(model, examples):
    for part in (model.encoder, model.decoder):
        part.dropout.p = part.rnn.dropout = 0.5
    assert evaluate(model.train(), *examples) == evaluate(model.eval(), *examples)


def test_batches_of_nothing_are_refused(model, examples, refused):
    with refused("at least one example, not 0"):
        evaluate(model, *examples, batch_size=0)


def test_no_examples_are_refused(model, examples, refused):
    source, target = examples
    with refused("no examples to evaluate"):
        evaluate(model, source[:0], target[:0])


def test_sources_and_targets_of_different_number_are_refused(model, examples, refused):
    source, target = examples
    with refused("20 sources but 19 targets"):
        evaluate(model, source, target[:19])
    with refused("19 sources but 20 targets"):
        evaluate(model, source[:19], target)


# --- After the first error --------------------------------------------------------------------------------------------


def test_accuracy_after_the_first_error_counts_only_what_comes_after_it():
    reference = torch.tensor([[1, 0, 3, 4], [9, 2, 9, 4], [1, 2, 3, 4]])
    target = torch.tensor([[1, 2, 3, 4]] * 3)
    # After the errors at places 1 and 0 come 2 + 3 tokens; the third row has no error and counts nothing.
    assert accuracy_after_first_error(reference, reference, target) == pytest.approx(4 / 5)
    output = torch.tensor([[8, 8, 3, 8], [8, 2, 8, 8], [8, 8, 8, 8]])
    assert accuracy_after_first_error(output, reference, target) == pytest.approx(2 / 5)


@pytest.mark.parametrize("reference", [[[1, 2, 3]], [[1, 2, 9]]], ids=["no error", "an error at the end"])
def test_accuracy_after_the_first_error_is_nan_where_nothing_comes_after_one(reference):
    target = torch.tensor([[1, 2, 3]])
    assert math.isnan(accuracy_after_first_error(target, torch.tensor(reference), target))


# --- Kinds of mistakes ------------------------------------------------------------------------------------------------

SOURCE_ROW = [2, 3, 4, 1, 5, 6, 7, 2, 8, 9]  # the digits 4 1 [5 6 7] 2 8 9
TARGET_ROW = [5, 6, 7, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("output", "kind"),
    [
        ([5, 6, 0, 0, 0, 0, 0, 0], "stopped too early"),
        ([0, 5, 6, 7, 0, 0, 0, 0], "stopped too early"),
        ([5, 6, 0, 7, 0, 0, 0, 0], "stopped too early"),
        ([5, 6, 7, 2, 0, 0, 0, 0], "stopped too late"),
        ([5, 6, 7, 0, 2, 0, 0, 0], "stopped too late"),
        ([5, 6, 7, 2, 8, 9, 9, 9], "stopped too late"),
        ([1, 5, 6, 0, 0, 0, 0, 0], "copied from the wrong place"),
        ([4, 1, 5, 0, 0, 0, 0, 0], "copied from the wrong place"),
        ([2, 8, 9, 0, 0, 0, 0, 0], "copied from the wrong place"),
        ([7, 6, 5, 0, 0, 0, 0, 0], "right digits, wrong order"),
        ([5, 7, 6, 0, 0, 0, 0, 0], "right digits, wrong order"),
        ([5, 6, 6, 0, 0, 0, 0, 0], "one wrong digit"),
        ([9, 6, 7, 0, 0, 0, 0, 0], "one wrong digit"),
        ([9, 6, 9, 0, 0, 0, 0, 0], "several wrong digits"),
        ([3, 4, 1, 0, 0, 0, 0, 0], "several wrong digits"),  # the 3 is no digit but the length
    ],
)
def test_each_kind_of_mistake_has_its_name(output, kind):
    assert kind_of_mistake(SOURCE_ROW, output, TARGET_ROW) == kind


def test_an_output_that_never_stops_is_as_long_as_it_can_be():
    source, target = [0, 8, *range(1, 9)], list(range(1, 9))
    assert kind_of_mistake(source, [1, 2, 3, 4, 5, 6, 7, 9], target) == "one wrong digit"


def test_mistakes_are_the_wrong_outputs_in_order():
    first, second = mistakes(SOURCE, OUTPUT, TARGET)
    assert (first.source, first.output, first.target) == ([1, 3, 9, 7, 8, 9], [7, 9, 9, 0], [7, 8, 9, 0])
    assert first.kind == "one wrong digit"
    assert (second.source, second.kind) == ([1, 3, 9, 1, 2, 3], "stopped too early")


def test_the_table_counts_kinds_and_shows_examples_the_commonest_first():
    source = torch.tensor([SOURCE_ROW] * 3)
    output = torch.tensor([[5, 6, 6, 0, 0, 0, 0, 0], [5, 6, 0, 0, 0, 0, 0, 0], [5, 0, 0, 0, 0, 0, 0, 0]])
    found = mistakes(source, output, torch.tensor([TARGET_ROW] * 3))
    assert table_of_mistakes(found).splitlines() == [
        "stopped too early       2",
        "one wrong digit         1",
        "",
        "source               output           target           kind",
        "2 3 4 1 5 6 7 2 8 9  5 6 0 0 0 0 0 0  5 6 7 0 0 0 0 0  stopped too early",
        "2 3 4 1 5 6 7 2 8 9  5 0 0 0 0 0 0 0  5 6 7 0 0 0 0 0  stopped too early",
        "2 3 4 1 5 6 7 2 8 9  5 6 6 0 0 0 0 0  5 6 7 0 0 0 0 0  one wrong digit",
    ]


@pytest.mark.parametrize("length", [4, 6, 11])
def test_the_columns_of_the_table_are_as_wide_as_their_rows(length):
    source, target = SubstringTask(length).sample(20, torch.Generator().manual_seed(0))
    found = mistakes(source, torch.zeros_like(target), target)
    _, _, heading, *rows = table_of_mistakes(found).splitlines()
    wide, narrow = max(6, 2 * length - 1), max(6, 2 * length - 5)
    assert heading == f"{'source':<{wide}}  {'output':<{narrow}}  {'target':<{narrow}}  kind"
    assert len(rows) == 10
    for row, mistake in zip(rows, found, strict=False):
        columns = (row[:wide], row[wide + 2 :][:narrow], row[wide + narrow + 4 :][:narrow])
        texts = [" ".join(map(str, tokens)) for tokens in (mistake.source, mistake.output, mistake.target)]
        assert [column.rstrip() for column in columns] == texts
        assert row[wide + 2 * narrow + 6 :] == mistake.kind


def test_the_table_counts_all_mistakes_but_shows_a_few():
    found = mistakes(SOURCE[1:2].expand(5_000, 6), OUTPUT[1:2].expand(5_000, 4), TARGET[1:2].expand(5_000, 4))
    lines = table_of_mistakes(found, limit=3).splitlines()
    assert lines[0] == "one wrong digit   5,000"
    assert len(lines) == 3 + 3
    assert len(table_of_mistakes(found).splitlines()) == 3 + 10


def test_the_table_shows_some_of_each_kind():
    kinds = ["b"] * 3 + ["a"] * 5 + ["c"]
    found = [Mistake([number], [0], [0], kind) for number, kind in enumerate(kinds)]
    rows = table_of_mistakes(found, limit=5).splitlines()[5:]
    assert [(row.split()[0], row.split()[-1]) for row in rows] == [
        ("3", "a"),
        ("4", "a"),
        ("0", "b"),
        ("1", "b"),
        ("8", "c"),
    ]


def test_the_table_of_no_mistakes_says_so():
    assert table_of_mistakes([]) == "No mistakes."


def test_a_perfect_model_has_no_mistakes():
    source, target = SubstringTask().sample(50, torch.Generator())
    assert mistakes(source, target, target) == []


def test_a_row_says_what_stands_before_its_first_end_token():
    tokens = torch.tensor([[4, 9, 0, 0], [5, 0, 3, 0], [7, 8, 6, 2], [0, 1, 1, 1]])
    assert before_end(tokens) == [[4, 9], [5], [7, 8, 6, 2], []]

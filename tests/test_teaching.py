"""Checks: references and other right answers pass, each mistake is recognised as itself, accidents end well."""

import contextlib
import sys
import time

import pytest
import torch

from course_utils.teaching import EXERCISES, check, claim, engine, progress, quiz
from course_utils.teaching.engine import Exercise, Mistake
from course_utils.teaching.quizzes import QUIZZES

ALL_MISTAKES = [
    pytest.param(exercise, mistake, id=f"{exercise.id}-{mistake.id}")
    for exercise in EXERCISES.values()
    for mistake in exercise.mistakes
]


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=list(EXERCISES))
def test_the_reference_passes(exercise):
    result = check(exercise.id, exercise.reference)
    assert result.passed
    assert result.attempted
    assert result.diagnosis is None


@pytest.mark.parametrize(("exercise", "mistake"), ALL_MISTAKES)
def test_each_mistake_is_recognised_as_itself(exercise, mistake):
    result = check(exercise.id, mistake.answer)
    assert not result.passed
    assert result.diagnosis == mistake.id
    assert mistake.message in result.message


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=list(EXERCISES))
def test_an_exercise_has_several_mistakes_with_messages_of_their_own(exercise):
    assert len(exercise.mistakes) >= 3
    assert len({mistake.id for mistake in exercise.mistakes}) == len(exercise.mistakes)
    assert len({mistake.message for mistake in exercise.mistakes}) == len(exercise.mistakes)


def test_every_notebook_has_at_least_four_exercises():
    for notebook in "1234":
        assert sum(name.startswith(f"{notebook}.") for name in EXERCISES) >= 4


# Right answers that look nothing like the references.


def solve_with_a_loop(source):
    target = []
    for place in range(8):
        target.append(source[2 + source[0] + place] if place < source[1] else 0)
    return target


def count_by_listing_pairs(length):
    n = length - 2
    pairs = {(s, m) for s in range(6) for m in range(2, n + 1) if s + m <= n}
    return len(pairs) * 9**n


def exact_match_in_a_loop(output, target):
    return sum(a.tolist() == b.tolist() for a, b in zip(output, target, strict=True)) / len(output)


def embed_with_one_hot(tokens, table):
    return torch.einsum("bsv,ve->bse", torch.nn.functional.one_hot(tokens, len(table)).to(table.dtype), table)


def gru_cell_in_float64(x, h, w_ih, w_hh, b_ih, b_hh):
    size = h.shape[1]
    x, h, w_ih, w_hh, b_ih, b_hh = (tensor.double() for tensor in (x, h, w_ih, w_hh, b_ih, b_hh))
    a, b = torch.einsum("be,ge->bg", x, w_ih) + b_ih, torch.einsum("bh,gh->bg", h, w_hh) + b_hh
    r, z = (a + b)[:, : 2 * size].sigmoid().split(size, dim=1)
    return torch.lerp((a[:, 2 * size :] + r * b[:, 2 * size :]).tanh(), h, z)


def final_states_in_a_loop(outputs, lengths):
    return torch.stack([row[int(length) - 1] for row, length in zip(outputs, lengths, strict=True)])


def bridge_with_einsum(hidden, weight, bias, n_layers):
    layers, _, size = hidden.shape
    shaped = weight.view(n_layers, -1, layers, size)
    return torch.einsum("lbh,mklh->mbk", hidden, shaped) + bias.view(n_layers, 1, -1)


def shift_by_filling(target):
    inputs = torch.zeros_like(target)
    inputs[:, 1:] = target[:, :-1]
    return inputs


def cross_entropy_in_a_loop(logits, target):
    total = 0.0
    for row, wanted in zip(logits.flatten(0, 1), target.flatten(), strict=True):
        total += torch.logsumexp(row, 0) - row[wanted]
    return total / target.numel()


def greedy_into_a_tensor(model, source, max_length):
    tokens = torch.zeros(len(source), max_length + 1, dtype=torch.long)
    hidden = model.encoder(source)
    for step in range(max_length):
        logits, hidden = model.decoder(tokens[:, step : step + 1], hidden)
        tokens[:, step + 1] = logits[:, 0].softmax(-1).max(-1).indices
    return tokens[:, 1:]


def coins_by_multiplying(model, source, target, coins):
    hidden, token, logits = model.encoder(source), torch.zeros_like(target[:, :1]), []
    for step, coin in enumerate(coins.long()):
        step_logits, hidden = model.decoder(token, hidden)
        logits.append(step_logits[:, 0])
        token = coin * target[:, [step]] + (1 - coin) * step_logits.argmax(-1)
    return torch.stack(logits, dim=1)


def after_first_error_in_a_loop(output, target):
    right = total = 0
    for a, b in zip(output.tolist(), target.tolist(), strict=True):
        places = [place for place in range(len(a)) if a[place] != b[place]]
        if places:
            right += sum(x == y for x, y in zip(a[places[0] + 1 :], b[places[0] + 1 :], strict=True))
            total += len(a) - places[0] - 1
    return right / total


def step_that_clears_afterwards(model, optimizer, source, target):
    model.train()
    loss = torch.nn.functional.cross_entropy(model(source, target, 1.0).transpose(1, 2), target)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=False)
    return loss.item()


@torch.no_grad()
def accuracy_by_counting(model, source, target, batch_size):
    was_training, right = model.training, 0
    model.eval()
    for start in range(0, len(source), batch_size):
        batch, wanted = source[start : start + batch_size], target[start : start + batch_size]
        right += (model(batch, wanted, teacher_forcing_ratio=0.0).argmax(-1) == wanted).sum().item()
    model.train(was_training)
    return right / target.numel()


OTHER_RIGHT_ANSWERS = {
    "1.1": [solve_with_a_loop, lambda source: torch.tensor(solve_with_a_loop(source))],
    "1.2": [count_by_listing_pairs, lambda length: float(count_by_listing_pairs(length))],
    "1.3": [lambda start, length: torch.tensor(1 / (6 * (7 - start)))],
    "1.4": [exact_match_in_a_loop, lambda output, target: ((output != target).sum(1) == 0).float().mean()],
    "1.5": [lambda: 17 / 32],
    "2.1": [embed_with_one_hot, torch.nn.functional.embedding],
    "2.2": [gru_cell_in_float64],
    "2.3": [lambda e, h, n: 3 * h * (e + h + 2) + (n - 1) * 6 * h * (h + 1)],
    "2.4": [final_states_in_a_loop],
    "2.5": [bridge_with_einsum],
    "3.1": [shift_by_filling, lambda target: torch.nn.functional.pad(target, (1, -1))],
    "3.2": [cross_entropy_in_a_loop, lambda logits, target: cross_entropy_in_a_loop(logits.double(), target)],
    "3.3": [greedy_into_a_tensor],
    "3.4": [coins_by_multiplying],
    "3.5": [after_first_error_in_a_loop],
    "4.1": [step_that_clears_afterwards],
    "4.2": [accuracy_by_counting],
    "4.3": [lambda losses, tokens: (torch.tensor(losses) @ torch.tensor(tokens).float() / sum(tokens)).exp()],
    "4.4": [
        lambda checkpoint, model, optimizer, generator: [
            generator.set_state(checkpoint["generator"]),
            optimizer.load_state_dict(checkpoint["optimizer"]),
            model.load_state_dict(checkpoint["model"]),
        ]
    ],
}


@pytest.mark.parametrize(
    ("name", "answer"), [(name, answer) for name, answers in OTHER_RIGHT_ANSWERS.items() for answer in answers]
)
def test_other_right_answers_pass(name, answer):
    result = check(name, answer)
    assert result.passed, result.message


def test_every_exercise_has_another_right_answer():
    assert set(OTHER_RIGHT_ANSWERS) == set(EXERCISES)


# Accidents: whatever an answer does, the reader gets a sentence and the notebook goes on.


def test_an_untouched_stub_is_not_attempted(capsys):
    def stub(source): ...

    def stub_with_docstring(source):
        """What it will do."""
        ...

    for answer in (stub, stub_with_docstring, ...):
        result = check("1.1", answer)
        assert not result.attempted
        assert not result.passed
        assert capsys.readouterr().out == "1.1 not attempted yet\n"


def test_an_answer_that_does_nothing_on_purpose_is_attempted():
    result = check("1.1", lambda source: 0)
    assert result.attempted


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda source: source.nonsense, "AttributeError"),
        (lambda source: exit(), "SystemExit"),
        (lambda source: print("loud"), "Is a `return` missing?"),
        (lambda source: "2 5 8", "It gives back a str"),
        (lambda source: [1, 2, 3], "It gives back 3 numbers in a row; expected 8 numbers in a row"),
        ([2, 5, 8], "check needs the function itself"),
    ],
    ids=["raises", "exits", "prints only", "text", "wrong shape", "not a function"],
)
def test_accidents_are_explained(answer, words, capsys):
    result = check("1.1", answer)
    assert not result.passed
    assert result.attempted
    assert words in result.message
    assert "loud" not in capsys.readouterr().out


def test_an_answer_that_changes_its_input_is_told_so():
    def clears(source):
        target = solve_with_a_loop(source)
        source.clear()
        return target

    assert "changes its inputs" in check("1.1", clears).message


def test_an_answer_that_never_ends_is_interrupted(monkeypatch):
    def forever(source):
        while True:
            with contextlib.suppress(Exception):  # even an answer that catches everything
                time.sleep(0.01)

    monkeypatch.setattr(engine, "SECONDS_ALLOWED", 0.3)
    began = time.perf_counter()
    result = check("1.1", forever)
    assert "still running" in result.message
    assert time.perf_counter() - began < 5


def test_an_unknown_mistake_gets_the_smallest_case(capsys):
    check("1.1", lambda source: [9] * 8)
    shown = capsys.readouterr().out
    assert "with      source = [3, 2, 4, 4, 9, 1, 7, 2, 6, 8]" in shown
    assert "yours     [9, 9, 9, 9, 9, 9, 9, 9]" in shown
    assert "expected  [1, 7, 0, 0, 0, 0, 0, 0]" in shown
    assert "first difference at [0]: 9, expected 1" in shown


def test_a_check_leaves_the_readers_random_numbers_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    check("4.1", EXERCISES["4.1"].reference)
    assert torch.equal(torch.rand(3), expected)


def test_an_unknown_exercise_is_named():
    with pytest.raises(KeyError, match=r"9\.9"):
        check("9.9", len)


def test_two_exercises_cannot_share_an_id():
    with pytest.raises(ValueError, match="two exercises"):
        engine.register(EXERCISES["1.1"])


@pytest.mark.parametrize(
    ("expected", "got", "words"),
    [
        (torch.zeros(2, 3), torch.zeros(3, 2), "a tensor of shape (3, 2); expected a tensor of shape (2, 3)"),
        (torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.5]), "first difference at [1]: 2.5, expected 2"),
        ((torch.zeros(2), torch.ones(3)), (torch.zeros(2), torch.zeros(3)), "Part 2"),
        ((torch.zeros(2), torch.ones(3)), (torch.zeros(2),), "1 things; expected 2"),
        ("yes", "no", "expected  'yes'"),
        (3, "three", "It gives back a str; expected one number"),
        (torch.tensor([1, 2]), torch.tensor([1.0, 2.0]), "tokens are whole numbers"),
    ],
)
def test_a_difference_says_what_differs_first(expected, got, words):
    assert words in engine.difference(expected, got)


@pytest.mark.parametrize("got", [[1, 2], (1, 2.0), torch.tensor([1, 2]), torch.tensor([1.0, 2.0 + 1e-6])])
def test_lists_tensors_and_rounding_make_no_difference(got):
    assert engine.difference(torch.tensor([1.0, 2.0]), got) is None


def test_progress_tells_what_passed(capsys, monkeypatch):
    monkeypatch.setattr(engine, "_results", {})
    check("4.3", EXERCISES["4.3"].reference)
    check("4.4", EXERCISES["4.4"].mistakes[0].answer)
    capsys.readouterr()
    progress(4)
    states = [line.split()[1] for line in capsys.readouterr().out.splitlines()]
    assert states == ["not", "not", "passed", "not"]


def test_a_claim_prints_one_fixed_line_or_raises(capsys):
    claim("two and two are four", torch.tensor(2 + 2 == 4))
    assert capsys.readouterr().out == "✓ two and two are four\n"
    with pytest.raises(AssertionError, match="two and two are five"):
        claim("two and two are five", False)


@pytest.mark.parametrize("notebook", QUIZZES)
def test_every_quiz_option_has_a_reason_and_one_is_right(notebook):
    assert len(QUIZZES[notebook]) >= 4
    for question in QUIZZES[notebook]:
        assert sum(option.right for option in question.options) == 1
        assert len(question.options) >= 3
        assert all(len(option.reason) > 10 for option in question.options)


def test_the_right_option_is_not_always_in_the_same_place():
    places = {[option.right for option in q.options].index(True) for quiz_ in QUIZZES.values() for q in quiz_}
    assert places == {0, 1, 2}


def test_a_quiz_button_answers_with_its_reason(monkeypatch):
    shown = {}
    module = sys.modules["course_utils.teaching.quiz"]  # the name itself now stands for the function
    monkeypatch.setattr(module, "show_widget", lambda box, text, html: shown.update(box=box, text=text, html=html))
    quiz(1)
    question = QUIZZES[1][0]
    *_, reason = first = shown["box"].children[0].children
    for button, option in zip(first[1:-1], question.options, strict=True):
        button.click()
        assert option.reason.split("'")[0] in reason.value
        assert ("Right." in reason.value) == option.right
    assert shown["html"].count("<details>") == sum(len(question.options) for question in QUIZZES[1])


def test_the_engine_judges_a_new_exercise(monkeypatch):
    monkeypatch.setattr(engine, "EXERCISES", {})
    engine.register(
        Exercise(
            id="0.1",
            title="Doubling",
            minutes=1,
            difficulty=1,
            reference=lambda x: 2 * x,
            probes=lambda: [(2,), (3,)],
            mistakes=(Mistake("squares", lambda x: x * x, "That is the square."),),
        )
    )
    assert engine.check("0.1", lambda x: x + x).passed
    assert engine.check("0.1", lambda x: x**2).diagnosis == "squares"
    assert engine.check("0.1", lambda x: x + 2).diagnosis is None

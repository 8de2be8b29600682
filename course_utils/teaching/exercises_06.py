"""Exercises of notebook 06: "diagnose me". Six patients, each with one bug of the museum.

An answer is an experiment: it names the exhibit, and says whether what it is given has that bug. It is run again on the
patient's kind with other weights, on healthy ones, and on every other exhibit that the patient might be, for which it
must not take the patient.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..evaluation import evaluate, token_accuracy, token_loss
from ..exhibits import BATCH_SIZE, EXHIBITS, Exhibit
from ..model import Decoder, Encoder, Seq2Seq, start_tokens
from ..task import END_TOKEN, START_TOKEN
from .comparison import brief, difference, normal
from .engine import Exercise, Mistake, register
from .probes import VOCABULARY, fill_at_random
from .trials import NOTHING_BACK, WrongAnswer

# By exercise: the exhibit that the patient has.
PATIENTS = {
    "6.1": "not-shifted",
    "6.2": "state-after-padding",
    "6.3": "state-not-carried",
    "6.4": "dropout-always-on",
    "6.5": "end-masked-as-padding",
    "6.6": "mean-of-batch-means",
}
NETWORK: dict[str, type[nn.Module]] = {kind.__name__: kind for kind in (Encoder, Decoder, Seq2Seq)}
IN_TRAINING_MODE = "6.4"  # the exercise in which `eval()` is a part of the experiment
IN_FLOAT64 = "6.2"  # that in which a row alone is compared with the same row in a batch: float32 adds up otherwise
TOKENS = 6  # in a source and in a target
DROPOUT = 0.5  # without it, dropout that is left on would show nowhere
ON_LOGITS = ("6.1", "6.4")  # whose patients are found by logits, and not by the tokens that are likeliest
SMALL = 0.005  # times which some logits are taken: a difference of a tenth is no small one there
LAST_DIGIT = 1e-12  # by which two float64 may differ that were added up in another order
SUGGESTION = 6.0  # added to a logit: more than most of them differ by
FAR_MORE = 100.0  # than any two of them differ by
KEPT = 8.0  # added to what opens an update gate: of the old state all but a few ten-thousandths stay
ONE_WITH = "One with"  # begins the name of a case with another exhibit
SENTENCES = {  # by whether the bug is there, and whether the experiment finds it
    (True, True): "your experiment finds the bug.",
    (True, False): "your experiment finds nothing, and the bug is there.",
    (False, True): "your experiment finds the bug, and it is not there.",
    (False, False): "your experiment finds nothing.",
}
HEALTHY = 60  # the weights' seed of the one that is asked as well where a patient's bug is missed
TURNED_ROUND = " In a healthy one it finds it: is it the wrong way round? True is for the bug."
WITHOUT_A_REMARK = " What would tell it from the patient?"  # where another exhibit is taken for the patient's
# Where another exhibit is taken for the patient's, and more is to be said of it. In 6.3 sources are equally long, and
# nothing is forced: some bugs do nothing then.
REMARKS = {
    ("6.3", f"{ONE_WITH} `{name}`"): " What this one writes is right: its bug shows elsewhere."
    for name in ("state-after-padding", "rows-out-of-order", "encoder-detached", "not-shifted")
}
REMARKS["6.2", f"{ONE_WITH} `state-from-the-last-batch`"] = (
    " It reads padding as well, but another bug is to be told from the patient's: it answers the same question, asked "
    "of it twice, in two ways."
)
TRUE_OR_FALSE = "`.any()`, `.all()` or `torch.allclose` makes one answer of many numbers."


def patient(exercise_id: str) -> Any:
    """The black box of an exercise: a network whose weights are drawn at random, a loss, or an evaluation."""
    exercise_id = str(exercise_id)  # patient(6.1) means the same
    if exercise_id not in PATIENTS:
        raise KeyError(f"There is no patient {exercise_id!r}; there are {', '.join(PATIENTS)}.")
    return _subject(exercise_id, EXHIBITS[PATIENTS[exercise_id]], seed=60)


def _subject(exercise_id: str, exhibit: Exhibit | None, seed: int, change: Callable | None = None) -> Any:
    """What has this exhibit's bug, or is healthy, of the kind that the exercise's patient is. No name tells which."""
    part = EXHIBITS[PATIENTS[exercise_id]].part
    if part in NETWORK:
        network = _network(exhibit, seed, change).train(exercise_id == IN_TRAINING_MODE)
        return network.double() if exercise_id == IN_FLOAT64 else network
    if part == "token_loss":
        loss = exhibit.sick if exhibit else token_loss
        return lambda logits, target: loss(logits, target)
    evaluation = exhibit.sick if exhibit else evaluate
    return lambda model, source, target: evaluation(model, source, target)


def _network(exhibit: Exhibit | None, seed: int, change: Callable[[Seq2Seq], None] | None = None) -> Seq2Seq:
    """A tiny network with weights so large that outputs vary, some of which `change` may set otherwise."""
    kinds = NETWORK | ({exhibit.part: type(exhibit.part, (exhibit.sick,), {})} if exhibit else {})
    sizes = (VOCABULARY, 5, 6, 2, DROPOUT)
    network = fill_at_random(kinds["Seq2Seq"](kinds["Encoder"](*sizes), kinds["Decoder"](*sizes)), seed)
    if change is not None:
        change(network)
    return network.eval()


@torch.no_grad()
def _small_logits(network: Seq2Seq) -> None:
    for parameter in network.decoder.fc_out.parameters():
        parameter.mul_(SMALL)


@torch.no_grad()
def _a_favourite_token(network: Seq2Seq) -> None:
    network.decoder.fc_out.bias[0] += FAR_MORE


@torch.no_grad()
def _state_that_hardly_moves(network: Seq2Seq) -> None:
    for _, _, bias, _ in network.decoder.rnn.all_weights:
        _reset, update, _new = bias.chunk(3)
        update.add_(KEPT)


def _cases(exercise_id: str, beside: Callable[[int], tuple]) -> list[tuple]:
    """Two patients, two healthy ones, and every other exhibit of a like part, with what the experiment gets beside it.

    Each case is a single argument, so that a message does not print what says nothing to the reader: what the subject
    is, whether it has the bug, the subject, its company.
    """
    sick = EXHIBITS[PATIENTS[exercise_id]]
    like = NETWORK if sick.part in NETWORK else (sick.part,)
    others = [one for one in EXHIBITS.values() if one.part in like and one is not sick]
    cases = [("The patient", sick, None), ("A healthy one", None, None)]
    cases += [(f"{ONE_WITH} `{one.id}`", one, None) for one in others]
    if sick.part in NETWORK:
        cases.append(("A patient with small logits", sick, _small_logits))
        cases.append(("A healthy one whose state hardly moves", None, _state_that_hardly_moves))
        if exercise_id in ON_LOGITS:
            cases.append(("A patient that always finds the same token likeliest", sick, _a_favourite_token))
    else:
        cases += [("Another patient", sick, None), ("Another healthy one", None, None)]
    return [
        ((kind, exhibit is sick, _subject(exercise_id, exhibit, seed, change), *beside(seed)),)
        for seed, (kind, exhibit, change) in enumerate(cases, start=62)
    ]


def _tokens(n_tables: int) -> Callable[[int], tuple[Tensor, ...]]:
    """Random sources and targets, (5, 6) each, other ones for each seed."""

    def draw(seed: int) -> tuple[Tensor, ...]:
        generator = torch.Generator().manual_seed(seed)
        tables = [torch.randint(0, VOCABULARY, (5, TOKENS), generator=generator) for _ in range(n_tables)]
        for table in tables:
            table[0, -1] = VOCABULARY - 1  # who adds one to it has left the vocabulary
        return tuple(tables)

    return draw


def _logits_and_target(seed: int) -> tuple[Tensor, Tensor]:
    """Random logits (5, 6, 7), and targets (5, 6) without any end token."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(5, TOKENS, VOCABULARY, generator=generator)
    return logits, torch.randint(1, VOCABULARY, (5, TOKENS), generator=generator)


@dataclass(frozen=True)
class Call:
    """What a network, its encoder or its decoder was asked: which of them, the arguments by name, and its mode."""

    part: str
    given: dict[str, Any]
    training: bool


Tried = Callable[[list], str]  # from all calls, a sentence on what was tried that helps to see why it fails, or nothing


def _trial(exercise_id: str, missed: Tried, mistaken: Tried) -> Callable[[Callable, tuple], dict]:
    """The experiment is carried out, and what it says of this subject is compared.

    Where it is wrong, what was tried is told beside it: by `missed` where the bug is there, else by `mistaken`. That
    also tells mistakes apart which judge all subjects alike. Who misses the bug and finds it in a healthy one is told
    that instead.
    """

    def run(answer: Callable, arguments: tuple) -> dict[str, str]:
        ((kind, has_the_bug, subject, *beside),) = arguments
        calls: list = []
        before = normal(subject)
        found = _verdict(exercise_id, answer(_watched(subject, calls), *beside))
        if difference(before, subject):
            raise WrongAnswer("Your experiment changes the model's weights. Ask it as it comes: bugs show untrained.")
        tried = missed if has_the_bug else mistaken
        remark = tried(calls) if calls and found != has_the_bug else ""
        if has_the_bug and not found and _verdict(exercise_id, answer(_subject(exercise_id, None, HEALTHY), *beside)):
            remark = TURNED_ROUND
        if not remark and found and not has_the_bug and kind.startswith(ONE_WITH):
            remark = REMARKS.get((exercise_id, kind), WITHOUT_A_REMARK)
        return {kind: SENTENCES[has_the_bug, found] + remark}

    return run


def _watched(subject: Any, calls: list) -> Any:
    """The subject. Each call of a function is written down with what came of it, each of a network as a Call."""
    if isinstance(subject, nn.Module):
        for part, network in {"model": subject, "encoder": subject.encoder, "decoder": subject.decoder}.items():
            network.register_forward_pre_hook(_listener(part, network, calls), with_kwargs=True)
        return subject

    def watched(*given: Any, **named: Any) -> Any:
        signature = inspect.signature(subject)
        try:
            arguments = signature.bind(*given, **named).args
        except TypeError as error:
            raise WrongAnswer(f"The patient takes {', '.join(signature.parameters)}, and nothing else.") from error
        before = [_as_it_is_now(one) for one in arguments]
        outcome = subject(*arguments)
        calls.append((*before, outcome))
        return outcome

    return watched


def _listener(
    part: str, watched: nn.Module, calls: list[Call]
) -> Callable[[nn.Module, tuple, dict], tuple[tuple, dict]]:
    """Writes down each call of the watched part; not those of a copy, such as `diagnose` makes for its own trials."""

    def listen(network: nn.Module, given: tuple, named: dict) -> tuple[tuple, dict]:
        asked = inspect.signature(network.forward).bind_partial(*given, **named)
        asked.apply_defaults()
        if isinstance(asked.arguments.get("lengths"), Sequence):  # which not every exhibit takes
            asked.arguments["lengths"] = torch.as_tensor(asked.arguments["lengths"])
        if network is watched:
            by_name = {name: _as_it_is_now(value) for name, value in (named | asked.arguments).items()}
            calls.append(Call(part, by_name, network.training))
        return asked.args, asked.kwargs

    return listen


def _as_it_is_now(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, Tensor) else value


def _verdict(exercise_id: str, outcome: Any) -> bool:
    """Whether the experiment finds the bug; WrongAnswer where it says that of another bug, or says something else."""
    if outcome is None:
        raise WrongAnswer(NOTHING_BACK)
    if not isinstance(outcome, (tuple, list)) or len(outcome) != 2 or not isinstance(outcome[0], str):
        raise WrongAnswer(
            "An experiment gives back two things, in this order: the exhibit's id, as text, and True or False."
        )
    name, found = outcome
    if name not in EXHIBITS:
        raise WrongAnswer(f"There is no exhibit {name!r}: {_meant(name)}")
    answer = normal(found)
    if not isinstance(answer, Tensor) or answer.numel() != 1 or answer.item() not in (0, 1):
        raise WrongAnswer(f"The second thing is to be True or False; yours is {brief(found)}. {TRUE_OR_FALSE}")
    if name != PATIENTS[exercise_id]:
        raise WrongAnswer("The name comes first: what your experiment finds was not looked at.")
    return bool(answer)


def _meant(name: str) -> str:
    """What to do about a name that is no exhibit's id, but perhaps its title, or nearly an id."""
    titles = {exhibit.title.lower(): exhibit.id for exhibit in EXHIBITS.values()}
    if name.lower() in titles:
        return f"that is the title of `{titles[name.lower()]}`, and its id is asked for."
    nearest = difflib.get_close_matches(name, EXHIBITS, n=1)
    return f"do you mean `{nearest[0]}`?" if nearest else "take one of the ids in EXHIBITS."


def _says(exercise_id: str, experiment: Callable[..., Any]) -> Callable[..., tuple[str, Any]]:
    """An answer made of an experiment that only says whether it found something."""
    return lambda *given: (PATIENTS[exercise_id], experiment(*given))


def _after(ask: Callable[..., Any], found: bool) -> Callable[..., bool]:
    """An experiment that asks, and whatever comes of it, says the same."""

    def experiment(*given: Any) -> bool:
        ask(*given)
        return found

    return experiment


def _turned_round(experiment: Callable[..., bool]) -> Callable[..., bool]:
    return lambda *given: not experiment(*given)


def _exercise(
    exercise_id: str,
    *,
    beside: Callable[[int], tuple],
    everywhere: str,
    nowhere: str,
    mistakes: dict[str, tuple],
    missed: Tried,
    mistaken: Tried,
    other_right_ones: tuple[Callable[..., Any], ...] = (),
    asked_everywhere: tuple[Callable[..., Any], ...] = (),
    asked_nowhere: tuple[Callable[..., Any], ...] = (),
    **told: Any,
) -> Exercise:
    """What all six share: the cases, the trial, and what goes wrong in any diagnosis. `mistakes` are the others.

    Each is an experiment, its message, and further experiments that go wrong alike. The words on what was tried keep
    experiments apart that should be told the same: those that find the bug everywhere, whatever they ask, or nowhere,
    and right ones that are turned round. `asked_everywhere` and so on are examples with other such words.
    """
    another = next(name for name in EXHIBITS if name != PATIENTS[exercise_id])
    usual = (
        Mistake(
            "taken-for-another",
            lambda *_: (another, True),
            "The patient has another bug than the exhibit that you name. What one sees of an exhibit is in "
            "`EXHIBITS[…].symptom`: which of them fits? Where more than one does, ask the patient itself: "
            f"`patient({exercise_id!r})`.",
        ),
        Mistake(
            "finds-it-everywhere",
            _says(exercise_id, lambda *_: True),
            f"Your experiment finds the bug in everyone, the healthy included. {everywhere}",
            also=tuple(_says(exercise_id, _after(ask, True)) for ask in asked_everywhere),
        ),
        Mistake(
            "finds-it-nowhere",
            _says(exercise_id, lambda *_: False),
            f"Your experiment finds the bug nowhere, not even in the patient. {nowhere}",
            also=tuple(_says(exercise_id, _after(ask, False)) for ask in asked_nowhere),
        ),
        Mistake(
            "one-truth-value",
            _says(exercise_id, lambda *_: bool(torch.zeros(2))),
            "Python's `and`, `not`, `if`, and `==` between tuples, ask for one truth value, and you have many numbers. "
            f"{TRUE_OR_FALSE}",
        ),
        Mistake(
            "turned-round",
            _says(exercise_id, lambda *given: not told["reference"](*given)[1]),
            "Your experiment tells them apart, but the wrong way round: True is for the bug.",
            also=tuple(_says(exercise_id, _turned_round(right)) for right in other_right_ones),
        ),
    )
    named = (
        Mistake(name, _says(exercise_id, one), words, tuple(_says(exercise_id, other) for other in also))
        for name, (one, words, *also) in mistakes.items()
    )
    return Exercise(
        id=exercise_id,
        probes=lambda: _cases(exercise_id, beside),
        run=_trial(exercise_id, missed, mistaken),
        mistakes=(*usual, *named),
        **told,
    )


def _given(calls: list[Call], part: str, name: str) -> list:
    """What this part was given by that name, where it was given anything."""
    return [call.given[name] for call in calls if call.part == part and call.given.get(name) is not None]


def _ratios(calls: list[Call]) -> list[float]:
    """With how much forcing the model was called, where no coins were handed over."""
    return _given([call for call in calls if call.given.get("coins") is None], "model", "teacher_forcing_ratio")


def _on_modes(calls: list[Call]) -> str:
    return " Some of its calls are in training mode." if any(call.training for call in calls) else ""


def _on_coins(calls: list[Call]) -> str:
    return " Coins are flipped in its calls." if any(0 < ratio < 1 for ratio in _ratios(calls)) else ""


# 6.1: a network whose forced scores are too good


def _with_another_end(target: Tensor) -> Tensor:
    changed = target.clone()
    changed[:, -1] = (changed[:, -1] + 1) % VOCABULARY
    return changed


def sees_the_answer(model: Seq2Seq, source: Tensor, target: Tensor) -> tuple[str, bool]:
    changed = _with_another_end(target)
    before, again, after = (model(source, read, 1.0)[:, -1] for read in (target, target, changed))
    return "not-shifted", torch.allclose(before, again) and not torch.allclose(before, after)


def _differs_without_asking_twice(model: Seq2Seq, source: Tensor, target: Tensor) -> bool:
    changed = _with_another_end(target)
    return not torch.allclose(model(source, target, 1.0)[:, -1], model(source, changed, 1.0)[:, -1])


def _differs_with_coins(model: Seq2Seq, source: Tensor, target: Tensor) -> bool:
    changed = _with_another_end(target)
    return not torch.allclose(model(source, target), model(source, changed))


def _differs_alone(model: Seq2Seq, source: Tensor, target: Tensor) -> bool:
    return not torch.allclose(model(source, target, 0.0), model(source, (target + 1) % VOCABULARY, 0.0))


def _looks_at_all_places_but_the_last(model: Seq2Seq, source: Tensor, target: Tensor) -> bool:
    changed = _with_another_end(target)
    return not torch.allclose(model(source, target, 1.0)[:, :-1], model(source, changed, 1.0)[:, :-1])


def _differs_where_two_answers_do(model: Seq2Seq, source: Tensor, target: Tensor) -> bool:
    if torch.equal(model(source, target, 1.0), model(source, target, 1.0)):
        return False
    return _differs_without_asking_twice(model, source, target)


def _source_makes_a_difference(model: Seq2Seq, source: Tensor, target: Tensor) -> bool:
    before, again, after = (model(read, target, 1.0) for read in (source, source, (source + 1) % VOCABULARY))
    return torch.allclose(before, again) and not torch.allclose(before, after)


def _nothing_is_changed(model: Seq2Seq, source: Tensor, target: Tensor) -> bool:
    return not torch.allclose(model(source, target, 1.0), model(source, target.clone(), 1.0))


def _first_token_makes_a_difference(model: Seq2Seq, source: Tensor, target: Tensor) -> bool:
    changed = target.clone()
    changed[:, 0] = (changed[:, 0] + 1) % VOCABULARY
    before, again, after = (model(source, read, 1.0) for read in (target, target, changed))
    return torch.allclose(before, again) and not torch.allclose(before, after)


def _contradicts_itself(model: Seq2Seq, source: Tensor, _target: Tensor | None = None) -> bool:
    output = model.generate(source, TOKENS)
    return not torch.equal(model(source, output, 1.0).argmax(-1), output)


def _contradicts_itself_steadily(model: Seq2Seq, source: Tensor, _target: Tensor) -> bool:
    return torch.equal(model.generate(source, TOKENS), model.generate(source, TOKENS)) and _contradicts_itself(
        model, source
    )


def _other_than_the_decoder(model: Seq2Seq, source: Tensor, target: Tensor) -> bool:
    inputs = torch.cat([start_tokens(source), target[:, :-1]], dim=1)
    return not torch.allclose(model(source, target, 1.0), model.decoder(inputs, model.encoder(source))[0])


def _steadily_other_than_the_decoder(model: Seq2Seq, source: Tensor, target: Tensor) -> bool:
    same = torch.allclose(model(source, target, 1.0), model(source, target, 1.0))
    return same and _other_than_the_decoder(model, source, target)


def _likeliest_token_moves(model: Seq2Seq, source: Tensor, target: Tensor) -> bool:
    changed = _with_another_end(target)
    before, again, after = (model(source, read, 1.0)[:, -1] for read in (target, target, changed))
    return torch.equal(before, again) and not torch.equal(before.argmax(-1), after.argmax(-1))


def _differs_at_the_end_by(most: float, steady: bool) -> Callable[..., bool]:
    """Whether the last logits move by more than so much; with `steady`, only where two equal calls give the same."""

    def experiment(model: Seq2Seq, source: Tensor, target: Tensor) -> bool:
        changed = _with_another_end(target)
        before, again, after = (model(source, read, 1.0)[:, -1] for read in (target, target, changed))
        return (not steady or torch.allclose(before, again)) and (before - after).abs().max().item() > most

    return experiment


def _differs_in_training_mode_at_the_end(model: Seq2Seq, source: Tensor, target: Tensor) -> bool:
    return _differs_without_asking_twice(model.train(), source, target)


def _forced_otherwise_than_written(model: Seq2Seq, source: Tensor, target: Tensor) -> bool:
    return not torch.equal(model(source, target, 1.0).argmax(-1), model.generate(source, TOKENS))


ASKED_BY_RATIO = tuple(  # whose words on what was tried differ
    lambda model, source, target, ratio=ratio: model(source, target, ratio) for ratio in (0.0, 0.5, 1.0)
)


def _forced_on_two_targets(model: Seq2Seq, source: Tensor, target: Tensor) -> None:
    model(source, target, 1.0)
    model(source, _with_another_end(target), 1.0)


def _reads_the_target_as_it_is(model: Seq2Seq, source: Tensor, target: Tensor) -> bool:
    return torch.allclose(model(source, target, 1.0), model.decoder(target, model.encoder(source))[0])


def _on_forcing_missed(calls: list[Call]) -> str:
    return _on_forcing(calls) or " Logits can move where the likeliest token stays: what does it compare, and where?"


def _on_forcing(calls: list[Call]) -> str:
    if _on_modes(calls):
        return _on_modes(calls)
    forced = _given([call for call in calls if 1 in _ratios([call])], "model", "target")
    if _on_coins(calls) or not forced:
        return _on_coins(calls) or " It never calls the model with a ratio of 1.0."
    return " It forces the model on one target only." if all(torch.equal(one, forced[0]) for one in forced) else ""


register(
    _exercise(
        "6.1",
        title="Diagnose me: too good to be true",
        minutes=15,
        difficulty=2,
        reference=sees_the_answer,
        beside=_tokens(2),
        everywhere="Which target tokens may the decoder have read before it writes a token, and which not? And have "
        "the two that you compare the same shape? Otherwise they are never equal.",
        nowhere="Is the model forced, with a ratio of 1.0? Do you compare logits, at the very place whose token you "
        "change? Shapes fit in every exhibit, accuracy says nothing of random weights, and the likeliest token may "
        "stay where logits move.",
        other_right_ones=(_reads_the_target_as_it_is,),
        missed=_on_forcing_missed,
        mistaken=_on_forcing,
        asked_everywhere=ASKED_BY_RATIO,
        asked_nowhere=(*ASKED_BY_RATIO, _forced_on_two_targets),
        mistakes={
            "asked-only-once": (
                _differs_without_asking_twice,
                "Wherever two answers differ, your experiment says that the changed target did it. Some patients "
                "answer the very same question in two ways: how would you notice?",
                _differs_at_the_end_by(0.1, steady=False),
                _differs_at_the_end_by(3.0, steady=False),
            ),
            "in-training-mode": (
                _differs_in_training_mode_at_the_end,
                "They come in evaluation mode, and you call them in training mode. There dropout is on, and no two "
                "calls give the same.",
            ),
            "coins-are-flipped": (
                _differs_with_coins,
                "With a ratio between 0 and 1 coins are flipped, and two calls differ for that. Without any it is 0.5. "
                "Force the model, with a ratio of 1.0.",
            ),
            "not-forced": (
                _differs_alone,
                "You never call the model with a ratio of 1.0. Without it you see nothing of what it reads when it is "
                "forced: what differs is the doing of other bugs.",
            ),
            "one-target": (
                _source_makes_a_difference,
                "All your forced calls are on the same target. How would you see, then, which of its tokens the model "
                "has read?",
                _nothing_is_changed,
                _forced_otherwise_than_written,
            ),
            "looks-elsewhere": (
                _looks_at_all_places_but_the_last,
                "You find those that answer one question in two ways, and not the patient. Do you look at the very "
                "place whose target token you change? And is the same answer to the same question a sign of health?",
                _differs_where_two_answers_do,
            ),
            "changes-what-may-be-read": (
                _first_token_makes_a_difference,
                "You find all that give one answer to one question. Do you change a token that a healthy decoder, "
                "too, reads before it writes the later ones? Which may make no difference at the place where you look?",
            ),
            "contradiction": (
                _contradicts_itself,
                "You find that decoding contradicts the forced model. So it does in other patients: there the decoding "
                "is wrong, here the forcing.",
                _contradicts_itself_steadily,
            ),
            "other-inputs": (
                _other_than_the_decoder,
                "You find that the forced model does not do what the decoder does with the shifted target. Nor do "
                "others: some answer any question in two ways, and one begins with another token. What does this "
                "patient read?",
                _steadily_other_than_the_decoder,
            ),
            "likeliest-tokens": (
                _likeliest_token_moves,
                "You compare the likeliest tokens, and one may stay the likeliest while all logits move. In which "
                "numbers would every change show?",
            ),
            "too-large-a-tolerance": (
                _differs_at_the_end_by(0.1, steady=True),
                "Where all logits are small you miss the bug. How much may two equal answers differ?",
            ),
            "left-the-vocabulary": (
                _after(lambda model, source, target: model(source, target + 1, 1.0), True),
                "A token that you make is none of the vocabulary, which goes from 0 to 6. Is there one after the last, "
                "or before the first?",
            ),
        },
    )
)


# 6.2: a network that does worse in mixed batches


def reads_padding(model: Seq2Seq, source: Tensor) -> tuple[str, bool]:
    first, again, other, alone = _readings(model, source)
    same = torch.allclose(first, again) and torch.allclose(first, alone)
    return "state-after-padding", same and not torch.allclose(first, other)


def _readings(model: Seq2Seq, source: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The states of padded sources: read twice, then with other padding, and each row alone."""
    lengths = torch.full((len(source),), source.shape[1])
    zeros, ones = (F.pad(source, (0, 2), value=value) for value in (0, 1))
    first, again, other = (model.encoder(padded, lengths) for padded in (zeros, zeros, ones))
    alone = [model.encoder(zeros[row : row + 1], lengths[:1]) for row in range(len(source))]
    return first, again, other, torch.cat(alone, dim=1)


def _padding_matters(model: Seq2Seq, source: Tensor) -> bool:
    first, _, other, _ = _readings(model, source)
    return not torch.allclose(first, other)


def _padding_matters_to_a_steady_one(model: Seq2Seq, source: Tensor) -> bool:
    first, again, other, _ = _readings(model, source)
    return torch.allclose(first, again) and not torch.allclose(first, other)


def _lengths_are_not_told(model: Seq2Seq, source: Tensor) -> bool:
    return not torch.allclose(model.encoder(F.pad(source, (0, 2))), model.encoder(F.pad(source, (0, 2), value=1)))


def _padding_changes_what_is_written(model: Seq2Seq, source: Tensor) -> bool:
    return not torch.equal(model.generate(F.pad(source, (0, 2)), TOKENS), model.generate(source, TOKENS))


def _padding_in_front_matters(model: Seq2Seq, source: Tensor) -> bool:
    lengths = torch.full((len(source),), source.shape[1])
    zeros, ones = (F.pad(source, (2, 0), value=value) for value in (0, 1))
    return not torch.allclose(model.encoder(zeros, lengths), model.encoder(ones, lengths))


def _padded_in_front_is_otherwise(model: Seq2Seq, source: Tensor) -> bool:
    lengths = torch.full((len(source),), source.shape[1])
    return not torch.allclose(model.encoder(F.pad(source, (2, 0)), lengths), model.encoder(source, lengths))


def _padding_changes_what_is_written_to_it(model: Seq2Seq, source: Tensor) -> bool:
    zeros, ones = (model.generate(F.pad(source, (0, 2), value=value), TOKENS) for value in (0, 1))
    return not torch.equal(zeros, ones)


def _two_readings(length: int, change: Callable[[Tensor], Tensor]) -> Callable[..., tuple[Tensor, Tensor, Tensor]]:
    """The states of padded sources read twice, and of what `change` makes of these, all with the same lengths."""

    def read(model: Seq2Seq, source: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        padded, lengths = F.pad(source, (0, 2)), torch.full((len(source),), length)
        first, again, other = (model.encoder(tokens, lengths) for tokens in (padded, padded, change(padded)))
        return first, again, other

    return read


def _is_otherwise(read: Callable[..., tuple[Tensor, Tensor, Tensor]], steady: bool = False) -> Callable[..., bool]:
    """Whether the last reading differs from the first; with `steady`, only where the first is what it was."""

    def experiment(model: Seq2Seq, source: Tensor) -> bool:
        first, again, other = read(model, source)
        return not torch.allclose(first, other) and (not steady or torch.allclose(first, again))

    return experiment


def _next_tokens(padded: Tensor) -> Tensor:
    return (padded + 1) % VOCABULARY


def _other_padding(padded: Tensor) -> Tensor:
    return torch.cat([padded[:, :TOKENS], _next_tokens(padded[:, TOKENS:])], dim=1)


ALL_TOKENS_CHANGED = _two_readings(TOKENS, _next_tokens)
PADDING_COUNTED = _two_readings(TOKENS + 2, _other_padding)


def _without_padding(lengths_are_told: bool) -> Callable[..., bool]:
    """Whether sources without any padding have another state when they are read again."""

    def experiment(model: Seq2Seq, source: Tensor) -> bool:
        lengths = torch.full((len(source),), source.shape[1]) if lengths_are_told else None
        one, other = (model.encoder(source, lengths) for _ in range(2))
        return not torch.allclose(one, other)

    return experiment


def _padding_of_one_row_matters(model: Seq2Seq, source: Tensor) -> bool:
    lengths = torch.tensor([source.shape[1]])
    return not torch.allclose(model.encoder(F.pad(source[:1], (0, 2)), lengths), model.encoder(source[:1], lengths))


def _order_matters(model: Seq2Seq, source: Tensor) -> bool:
    padded, lengths = F.pad(source, (0, 2)), torch.full((len(source),), source.shape[1])
    return not torch.allclose(model.encoder(padded, lengths), model.encoder(padded.flip(0), lengths).flip(1))


def _longer_company_matters(steady: bool) -> Callable[..., bool]:
    """Whether a longer source below the others makes their states otherwise."""

    def experiment(model: Seq2Seq, source: Tensor) -> bool:
        lengths = torch.full((len(source) + 1,), source.shape[1])
        lengths[-1] += 2
        together = torch.cat([F.pad(source, (0, 2)), (torch.arange(source.shape[1] + 2) % VOCABULARY)[None]])
        alone, again = (model.encoder(source, lengths[:-1]) for _ in range(2))
        if steady and not torch.allclose(alone, again):
            return False
        return not torch.allclose(model.encoder(together, lengths)[:, :-1], alone)

    return experiment


def _alike_to_the_last_digit(model: Seq2Seq, source: Tensor) -> bool:
    first, again, other, alone = _readings(model, source)
    alone = alone + LAST_DIGIT  # how a machine adds up may leave a row without any difference
    return torch.equal(first, again) and torch.equal(first, alone) and not torch.equal(first, other)


def _padded_alone_is_otherwise(model: Seq2Seq, source: Tensor) -> bool:
    first, _, _, alone = _readings(model, source)
    return not torch.allclose(first, alone)


def _shorter_alone_is_otherwise(model: Seq2Seq, source: Tensor) -> bool:
    lengths = torch.arange(1, len(source) + 1)
    alone = [model.encoder(source[row : row + 1], lengths[row : row + 1]) for row in range(len(source))]
    return not torch.allclose(model.encoder(source, lengths), torch.cat(alone, dim=1))


def _lengths_do_not_matter(model: Seq2Seq, source: Tensor) -> bool:
    padded, lengths = F.pad(source, (0, 2)), torch.full((len(source),), source.shape[1])
    return torch.allclose(model.encoder(padded, lengths), model.encoder(padded))


def _first_row_in_padded_company(model: Seq2Seq, source: Tensor) -> bool:
    padded, lengths = F.pad(source, (0, 2)), torch.full((len(source),), source.shape[1])
    return not torch.allclose(model.encoder(source[:1]), model.encoder(padded, lengths)[:, :1])


def _shorter_row_in_company(model: Seq2Seq, source: Tensor) -> bool:
    lengths = torch.full((len(source),), source.shape[1])
    lengths[0] = 3
    return not torch.allclose(model.encoder(source, lengths)[:, :1], model.encoder(source[:1, :3]))


def _different_numbers_of_rows(model: Seq2Seq, source: Tensor) -> None:
    model.encoder(source)
    model.encoder(source[:1])


def _on_lengths(calls: list[Call]) -> str:
    if not _given(calls, "encoder", "lengths"):
        return " It never tells the encoder the lengths."
    told = [call.given for call in calls if call.part == "encoder" and _has_lengths(call)]
    if any((given["lengths"] > TOKENS).all() for given in told):  # where only some are, a longer source is among them
        return f" It gives lengths above {TOKENS}, and the sources have {TOKENS} tokens: does padding count?"
    for one, other in pairwise(told):
        alike = one["source"].shape == other["source"].shape and torch.equal(one["lengths"], other["lengths"])
        if alike and len(one["source"]) > 1:  # rows alone are different rows
            read = torch.arange(one["source"].shape[1]) < one["lengths"][:, None]
            if ((one["source"] != other["source"]) & read).any():
                return " Two of its calls with the same lengths differ in tokens that are no padding."
    return _on_modes(calls)


def _has_lengths(call: Call) -> bool:
    """Whether it was told one length a row. What is told otherwise not every exhibit refuses."""
    lengths = call.given.get("lengths")
    return isinstance(lengths, Tensor) and lengths.shape == call.given["source"].shape[:1]


def _batch_sizes(calls: list[Call]) -> set[int]:
    return {len(source) for source in _given(calls, "encoder", "source")}


def _on_rows_alone(calls: list[Call]) -> str:
    sizes = _batch_sizes(calls)
    told = " A row alone and the same row in a batch may differ in their last digits."
    return _on_lengths(calls) or (told if 1 in sizes and len(sizes) > 1 else "")


def _on_lengths_and_rows(calls: list[Call]) -> str:
    if len(_batch_sizes(calls)) > 1 and not _given(calls, "encoder", "lengths"):
        return " It never tells the encoder the lengths, and gives it batches of several sizes."
    return _on_lengths(calls)


register(
    _exercise(
        "6.2",
        title="Diagnose me: worse in company",
        minutes=20,
        difficulty=3,
        reference=reads_padding,
        beside=_tokens(1),
        missed=_on_rows_alone,
        mistaken=_on_lengths_and_rows,
        everywhere="Is it padding that you change? It stands at the end of a row, beyond the lengths that you give. "
        "And how do you compare? States of different shapes are never equal, and a row alone may differ from the same "
        "row in a batch in its last digits.",
        asked_everywhere=(_different_numbers_of_rows,),
        nowhere="Is there padding, beyond the lengths that you give? And do you compare numbers, those of the same "
        "rows? Shapes fit in every exhibit.",
        asked_nowhere=(lambda model, source: model.encoder(source), _order_matters),
        mistakes={
            "other-tokens-as-well": (
                _is_otherwise(ALL_TOKENS_CHANGED),
                "Two of your calls differ in tokens that are no padding. These a healthy one reads, too: keep all of "
                "them as they are, in all rows.",
                _is_otherwise(ALL_TOKENS_CHANGED, steady=True),
            ),
            "padding-counted": (
                _is_otherwise(PADDING_COUNTED),
                "You find the healthy, too. Do the lengths that you give count the padding? Then it may be read.",
                _is_otherwise(PADDING_COUNTED, steady=True),
            ),
            "no-padding": (
                _without_padding(lengths_are_told=True),
                "You find the one that remembers, and not the patient, which goes wrong over padding. Is there any, "
                "beyond the lengths that you give?",
                _without_padding(lengths_are_told=False),
            ),
            "left-the-vocabulary": (
                _after(lambda model, source: model.encoder(F.pad(source, (0, 2), value=VOCABULARY)), True),
                "A token that you make is none of the vocabulary, which goes from 0 to 6. Padding, too, has to be one "
                "of these.",
            ),
            "without-lengths": (
                _lengths_are_not_told,
                "You never tell the encoder the lengths. Without them a healthy one has to read the padding, too.",
                _padding_changes_what_is_written,
                _padding_changes_what_is_written_to_it,
            ),
            "padding-in-front": (
                _padding_in_front_matters,
                "You find the healthy, too. Of each row an encoder may read as many tokens as the length says, the "
                "first ones. Does the padding stand behind them?",
                _padded_in_front_is_otherwise,
            ),
            "to-the-last-digit": (
                _alike_to_the_last_digit,
                "Your experiment finds the bug nowhere. Do you compare a row alone with the same row in a batch to the "
                "last digit, or in another shape? Compare numbers of the same places, and with a tolerance: "
                "`torch.allclose`.",
            ),
            "rows-alone": (
                _padded_alone_is_otherwise,
                "You find those to whom the other rows of a batch make a difference, or the batch before, and not the "
                "patient. To it, only what stands in its own row does.",
                _shorter_alone_is_otherwise,
                _order_matters,
            ),
            "padding-matters": (
                _padding_matters,
                "You find that padding makes a difference. So it does in other patients, too: some confuse rows with "
                "places, and one remembers. What else makes a difference to those?",
                _padding_of_one_row_matters,
            ),
            "rows-among-themselves": (
                _padding_matters_to_a_steady_one,
                "You find one that reads padding and has no memory. Two others do so, too: they confuse rows with "
                "places. What else can change the state of a row there?",
            ),
            "rows-for-time-steps": (
                _lengths_do_not_matter,
                "You find the one that takes rows for time steps, too. There the state of a row depends on the rows "
                "above it. How would you notice that, and that in the patient it does not?",
            ),
            "alone-against-together": (
                _first_row_in_padded_company,
                "You find all to whom the rest of a batch makes a difference, the patient among them. To some it is "
                "the other rows, to the patient the padding. Change one of the two, and keep the other.",
                _longer_company_matters(steady=False),
                _longer_company_matters(steady=True),
                _shorter_row_in_company,
            ),
        },
    )
)


# 6.3: a network that decodes nonsense, though forced it is perfect


def forgets_its_state(model: Seq2Seq, source: Tensor) -> tuple[str, bool]:
    written = model.generate(source, TOKENS)
    forgetful = torch.equal(_written(model, source, carries=False), written)
    return "state-not-carried", forgetful and not torch.equal(_written(model, source, carries=True), written)


def _written(
    model: Seq2Seq, source: Tensor, carries: bool, feeds_back: bool = True, start: int = START_TOKEN
) -> Tensor:
    """What a greedy loop writes which carries the state on, as is right, or forgets it; feeds back what it has
    written, or reads the start token again; and begins with this token."""
    hidden, token, tokens = model.encoder(source), torch.full_like(source[:, :1], start), []
    for _ in range(TOKENS):
        logits, new = model.decoder(token, hidden)
        tokens.append(logits.argmax(-1))
        token, hidden = tokens[-1] if feeds_back else token, new if carries else hidden
    return torch.cat(tokens, dim=1)


def _writes_like(contrast: bool = False, **loop: Any) -> Callable[[Seq2Seq, Tensor], bool]:
    """Whether `generate` writes what this loop would; with `contrast`, and not what the right one would."""

    def experiment(model: Seq2Seq, source: Tensor) -> bool:
        output = model.generate(source, TOKENS)
        right = contrast and torch.equal(_written(model, source, carries=True), output)
        return torch.equal(_written(model, source, **loop), output) and not right

    return experiment


def _contradicts_the_decoder(model: Seq2Seq, source: Tensor) -> bool:
    output = model.generate(source, TOKENS)
    inputs = torch.cat([start_tokens(source), output[:, :-1]], dim=1)
    return not torch.equal(model.decoder(inputs, model.encoder(source))[0].argmax(-1), output)


def _start_token_in_the_output(model: Seq2Seq, source: Tensor) -> bool:
    tokens = torch.cat([start_tokens(source), _written(model, source, carries=False)[:, :-1]], dim=1)
    return torch.equal(tokens, model.generate(source, TOKENS))


def _written_as_if_forgetful(model: Seq2Seq, source: Tensor) -> bool:
    return torch.equal(_written(model, source, carries=False), model.generate(source, TOKENS))


def _loop_is_another(model: Seq2Seq, source: Tensor) -> bool:
    return not torch.equal(_written(model, source, carries=True), model.generate(source, TOKENS))


def _validation_says_otherwise(model: Seq2Seq, source: Tensor) -> bool:
    output = model.generate(source, TOKENS)
    return not torch.equal(model(source, output, 0.0).argmax(-1), output)


def _writes_in_training_mode(model: Seq2Seq, source: Tensor) -> bool:
    return forgets_its_state(model.train(), source)[1]


def _only_the_first_token_is_right(model: Seq2Seq, source: Tensor) -> bool:
    right, output = _written(model, source, carries=True), model.generate(source, TOKENS)
    return torch.equal(right[:, 0], output[:, 0]) and not torch.equal(right, output)


register(
    _exercise(
        "6.3",
        title="Diagnose me: good advice, bad deeds",
        minutes=20,
        difficulty=3,
        reference=forgets_its_state,
        beside=_tokens(1),
        everywhere="What does a healthy one hand on from step to step, that this patient does not?",
        nowhere="Have the two that you compare the same shape, (B, 6)? Does your loop begin as the model's does, with "
        "the encoder's state and token 0, and go on with the likeliest token? Wherever it differs from the patient's, "
        "ask why.",
        missed=_on_modes,
        mistaken=_on_modes,
        mistakes={
            "in-training-mode": (
                _writes_in_training_mode,
                "They come in evaluation mode, and you call them in training mode. There dropout is on, and no two "
                "loops write the same.",
            ),
            "contradiction": (
                _contradicts_itself,
                "You find that decoding contradicts the forced model. That is right, but so it does with every other "
                "bug of decoding. Which one would write just what this patient writes?",
                _contradicts_the_decoder,
            ),
            "another-bug's-loop": (
                _writes_like(carries=True, feeds_back=False),
                "Your loop writes what others write, and not, or not always, what this patient does. What does yours "
                "hand on from step to step, and with which token does it begin?",
                _writes_like(carries=False, feeds_back=False),
                _writes_like(carries=True, start=1),
                _writes_like(carries=False, start=1),
                _writes_like(contrast=True, carries=True, start=1),
                _writes_like(contrast=True, carries=True, feeds_back=False),
                _writes_like(contrast=True, carries=False, feeds_back=False),
            ),
            "start-token-in-the-output": (
                _start_token_in_the_output,
                "What your loop has written begins with the start token, and what `generate` gives back does not.",
            ),
            "token-without-places": (
                _after(lambda model, source: model.decoder(source[:, 0], model.encoder(source)), True),
                "The decoder reads tokens (B, T), and at a single step (B, 1). Does yours have an axis for the places?",
            ),
            "decoder-gives-two": (
                _after(lambda model, source: model.decoder(source[:, :1], model.encoder(source)).argmax(-1), True),
                "The decoder gives two things back, logits and its new state.",
            ),
            "another-loop": (
                _loop_is_another,
                "You find that `generate` does not write what the right loop writes. That is right, but several others "
                "do not, either. Which one would write just what this patient writes?",
            ),
            "two-loops": (
                _validation_says_otherwise,
                "You find that `generate` does not write what the validation sees. So it is with all four of them, and "
                "more. Which one would write just what this patient writes?",
            ),
            "without-a-contrast": (
                _written_as_if_forgetful,
                "You find all that write what a forgetful one would write. A healthy one whose state hardly moves does "
                "so, too. What would the right loop write?",
            ),
            "only-the-first-token-right": (
                _only_the_first_token_is_right,
                "The first token right and others wrong: that holds for other bugs, too.",
            ),
        },
    )
)


# 6.4: a network that cannot make up its mind


def drops_when_it_should_not(model: Seq2Seq, source: Tensor, target: Tensor) -> tuple[str, bool]:
    return "dropout-always-on", _decoder_differs_by(model, source, target) > 0


def _decoder_differs_by(model: Seq2Seq, source: Tensor, target: Tensor) -> float:
    """The largest difference between two calls of the decoder. They are the same call: no tolerance is too small."""
    model.eval()
    hidden = model.encoder(source)
    one, other = (model.decoder(target, hidden)[0] for _ in range(2))
    return (one - other).abs().max().item()


def _differs_by_a_tenth(model: Seq2Seq, source: Tensor, target: Tensor) -> bool:
    return _decoder_differs_by(model, source, target) > 0.1


def _encoder_differs(model: Seq2Seq, source: Tensor, _target: Tensor) -> bool:
    model.eval()
    return not torch.equal(model.encoder(source), model.encoder(source))


def _differs_in_training_mode(model: Seq2Seq, source: Tensor, target: Tensor) -> bool:
    hidden = model.encoder(source)
    return not torch.equal(model.decoder(target, hidden)[0], model.decoder(target, hidden)[0])


def _modes_differ(model: Seq2Seq, source: Tensor, target: Tensor) -> bool:
    hidden = model.encoder(source)
    return torch.equal(model.decoder(target, hidden)[0], model.eval().decoder(target, hidden)[0])


def _two_answers_with_coins(model: Seq2Seq, source: Tensor, target: Tensor) -> bool:
    model.eval()
    return not torch.equal(model(source, target), model(source, target))


def _writes_otherwise(in_training_mode: bool) -> Callable[[Seq2Seq, Tensor, Tensor], bool]:
    def experiment(model: Seq2Seq, source: Tensor, _target: Tensor) -> bool:
        model.train(in_training_mode)
        return not torch.equal(model.generate(source, TOKENS), model.generate(source, TOKENS))

    return experiment


def _likeliest_tokens_differ(model: Seq2Seq, source: Tensor, target: Tensor) -> bool:
    model.eval()
    hidden = model.encoder(source)
    one, other = (model.decoder(target, hidden)[0].argmax(-1) for _ in range(2))
    return not torch.equal(one, other)


def _on_modes_and_coins(calls: list[Call]) -> str:
    return _on_modes(calls) or _on_coins(calls)


def _two_answers(model: Seq2Seq, source: Tensor, target: Tensor) -> bool:
    model.eval()
    return not torch.equal(model(source, target, 1.0), model(source, target, 1.0))


register(
    _exercise(
        "6.4",
        title="Diagnose me: two minds",
        minutes=15,
        difficulty=2,
        reference=drops_when_it_should_not,
        beside=_tokens(2),
        everywhere="Do you ask the model twice, and the second time just what you asked it first? And do you compare "
        "the numbers that come? What it is built of, and how often it would drop, is the same in all of them.",
        nowhere="Do you compare numbers? Shapes fit in every exhibit. And which part of the model do you ask twice?",
        missed=_on_modes_and_coins,
        mistaken=_on_modes_and_coins,
        mistakes={
            "in-training-mode": (
                _differs_in_training_mode,
                "They come in training mode, where dropout is meant to be on, and you leave them so in some calls. Do "
                "you call `model.eval()` before the first?",
                _modes_differ,
                _writes_otherwise(in_training_mode=True),
            ),
            "coins-are-flipped": (
                _two_answers_with_coins,
                "With a ratio between 0 and 1 coins are flipped, and two calls differ for that. Without any it is 0.5. "
                "Ask the parts, or force the model, with a ratio of 1.0.",
            ),
            "two-answers": (
                _two_answers,
                "Two answers to one question can also come from a memory. Which part of the model gives them?",
                _writes_otherwise(in_training_mode=False),
            ),
            "likeliest-tokens": (
                _likeliest_tokens_differ,
                "You compare the likeliest tokens, and these may be the same where the logits are not. In which "
                "numbers does every dropout show?",
            ),
            "encoder-alone": (
                _encoder_differs,
                "You find the one that keeps a state from the last call, and not the patient. Its encoder gives one "
                "answer only: which other part is there? (If you set the seed before each call: dropout then drops the "
                "same.)",
            ),
            "too-large-a-tolerance": (
                _differs_by_a_tenth,
                "Where all logits are small you miss the bug. How much may two equal calls differ?",
            ),
        },
    )
)


# 6.5: a loss under which nobody learns to stop


def the_end_does_not_count(loss: Callable, logits: Tensor, target: Tensor) -> tuple[str, bool]:
    return "end-masked-as-padding", _an_end_is_ignored_at(2)(loss, logits, target)


def _an_end_is_ignored_at(place: int | slice) -> Callable[..., bool]:
    """Whether the loss takes no notice of the logits at a place where an end token stands."""

    def experiment(loss: Callable, logits: Tensor, target: Tensor) -> bool:
        target, changed = target.clone(), logits.clone()
        target[:, place] = END_TOKEN
        changed[:, place] = -changed[:, place]
        return torch.allclose(loss(logits, target), loss(changed, target))

    return experiment


def _no_softmax_sees_it(loss: Callable, logits: Tensor, target: Tensor) -> bool:
    target, changed = target.clone(), logits.clone()
    target[:, 2] = END_TOKEN
    changed[:, 2] += 1
    return torch.allclose(loss(logits, target), loss(changed, target))


def _other_logits_do_not_matter(loss: Callable, logits: Tensor, target: Tensor) -> bool:
    return torch.allclose(loss(logits, target), loss(-logits, target))


def _other_than_cross_entropy(loss: Callable, logits: Tensor, target: Tensor) -> bool:
    target = target.clone()
    target[:, 2] = END_TOKEN
    return not torch.allclose(loss(logits, target), token_loss(logits, target))


def _end_logits_grow_everywhere(loss: Callable, logits: Tensor, target: Tensor) -> bool:
    target, changed = target.clone(), logits.clone()
    target[:, 2] = END_TOKEN
    changed[..., END_TOKEN] += 5
    return torch.allclose(loss(logits, target), loss(changed, target))


def _next_place_is_ignored(loss: Callable, logits: Tensor, target: Tensor) -> bool:
    target, changed = target.clone(), logits.clone()
    target[:, 2] = END_TOKEN
    changed[:, 3] = -changed[:, 3]
    return torch.allclose(loss(logits, target), loss(changed, target))


def _rows_change_places(loss: Callable, logits: Tensor, target: Tensor) -> bool:
    target, changed = target.clone(), logits.clone()
    target[:, 2] = END_TOKEN
    changed[:, 2] = changed[:, 2].flip(0)
    return torch.allclose(loss(logits, target), loss(changed, target))


def _not_even_where_an_end_grows(loss: Callable, logits: Tensor, target: Tensor) -> bool:
    changed = logits.clone()
    changed[..., END_TOKEN] = FAR_MORE
    return torch.allclose(loss(logits, target), loss(changed, target))


def _as_if_without_ends(loss: Callable, logits: Tensor, target: Tensor) -> bool:
    return torch.allclose(loss(logits, target), F.cross_entropy(logits.mT, target, ignore_index=END_TOKEN))


def _asked_of_two_targets(loss: Callable, logits: Tensor, target: Tensor) -> None:
    changed = target.clone()
    changed[:, 2] = END_TOKEN
    loss(logits, target)
    loss(logits, changed)


def _on_losses_missed(calls: list[tuple[Tensor, Tensor, Tensor]]) -> str:
    if any(loss.isnan() for *_, loss in calls):
        return " One of its losses is nan."
    if len(calls) > 1 and all(torch.equal(calls[0][0], logits) for logits, *_ in calls):
        return " All its losses are of the same logits."
    return _on_ends(calls) or _on_others(calls)


def _on_ends(calls: list[tuple[Tensor, Tensor, Tensor]]) -> str:
    without = not any((target == END_TOKEN).any() for _, target, _ in calls)
    return " No target that it tries has an end." if without else ""


def _on_others(calls: list[tuple[Tensor, Tensor, Tensor]]) -> str:
    for (before, target, _), (after, same, _) in pairwise(calls):
        alike = torch.equal(target, same) and before.shape == after.shape
        if alike and ((before != after).any(-1) & (target != END_TOKEN)).any():
            return " It changes logits of tokens that are no ends."
    return ""


register(
    _exercise(
        "6.5",
        title="Diagnose me: a loss without an end",
        minutes=15,
        difficulty=2,
        reference=the_end_does_not_count,
        beside=_logits_and_target,
        missed=_on_losses_missed,
        mistaken=_on_ends,
        everywhere="How much do you change, and how large a difference of the losses would you notice? And do the "
        "logits that you change belong to an end?",
        nowhere="What you change has to matter to a healthy loss, and not to this one. What does this one overlook?",
        asked_nowhere=(_asked_of_two_targets,),
        mistakes={
            "no-end-tried": (
                _other_logits_do_not_matter,
                "Your experiment never shows the loss the token that matters. The targets that you are given do not "
                "hold it, so put it there.",
                _after(lambda loss, logits, target: loss(logits, target), True),
                _not_even_where_an_end_grows,
                _as_if_without_ends,
            ),
            "axes-of-cross-entropy": (
                _after(lambda loss, logits, target: F.cross_entropy(logits, target), True),
                "The loss takes logits (B, T, V), and `F.cross_entropy` wants the vocabulary as the second axis: "
                "(B, V, T), or (N, V) with a target (N,).",
            ),
            "changes-others": (
                _next_place_is_ignored,
                "You change logits of tokens that are no ends, and these count in the patient's loss, too. Change only "
                "those of the ends.",
                _end_logits_grow_everywhere,
            ),
            "rows-change-places": (
                _rows_change_places,
                "Your experiment finds the healthy, too. Where an end stands in each row, the loss is the same if rows "
                "change places. Do you change which logits of a place are large?",
            ),
            "all-by-as-much": (
                _no_softmax_sees_it,
                "Where all logits of a place grow by as much, probabilities do not change, and only a softmax over "
                "the wrong axis notices. Do you change one of them, or their order?",
            ),
            "nothing-but-ends": (
                _an_end_is_ignored_at(slice(None)),
                "A loss is nan where it is the mean over no token at all, and nan is not close to nan. Leave it some "
                "tokens that count.",
            ),
            "at-the-first-place": (
                _an_end_is_ignored_at(0),
                "You find the loss that leaves out the first place, too, whatever stands there. Which places do you "
                "look at?",
            ),
            "one-apart-as-well": (
                _an_end_is_ignored_at(-1),
                "You find the loss that is one place off, too. It leaves out the last place, whatever stands there. Is "
                "there another place at which an end can stand? (There it asks for the next token, and may fall where "
                "a healthy one rises: a change is what counts, in either direction.)",
            ),
            "another-loss": (
                _other_than_cross_entropy,
                "You find every loss that is not the mean over all tokens. Which tokens does this patient leave out?",
            ),
        },
    )
)


# 6.6: an evaluation whose score depends on the batch size


def depends_on_the_order(evaluation: Callable, model: Seq2Seq) -> tuple[str, bool]:
    return "mean-of-batch-means", _changes_from_behind(BATCH_SIZE + 1, 1)(evaluation, model)


class _CountsOn(Decoder):
    """To it a token suggests the next larger one, so that it writes wrong targets when it is forced on them."""

    def forward(self, tokens: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        logits, hidden = super().forward(tokens, hidden)
        suggested = F.one_hot((tokens + 1) % VOCABULARY, VOCABULARY) * (tokens != END_TOKEN)[..., None]
        return logits + SUGGESTION * suggested, hidden


def _one_that_counts_on(seed: int) -> tuple[Seq2Seq]:
    sizes = (VOCABULARY, 5, 6, 2, DROPOUT)
    return (fill_at_random(Seq2Seq(Encoder(*sizes), _CountsOn(*sizes)), seed).eval(),)


def _some_wrong(model: Seq2Seq, n: int, n_wrong: int) -> tuple[Tensor, Tensor]:
    """Examples of which the model gets the last `n_wrong` wrong, in every token, and all others right."""
    source = torch.randint(0, VOCABULARY, (n, TOKENS), generator=torch.Generator().manual_seed(0))
    target = model.eval().generate(source, TOKENS)
    target[n - n_wrong :] = (target[n - n_wrong :] + 1) % VOCABULARY
    return source, target


def _changes_from_behind(n: int, n_wrong: int) -> Callable[[Callable, Seq2Seq], bool]:
    """Whether the exact match of so many examples, so many of them wrong, changes when their order is reversed."""

    def experiment(evaluation: Callable, model: Seq2Seq) -> bool:
        source, target = _some_wrong(model, n, n_wrong)
        scores = [evaluation(model, source, target), evaluation(model, source.flip(0), target.flip(0))]
        return abs(scores[0].exact_match - scores[1].exact_match) > 1e-9

    return experiment


def _score_is_off(evaluation: Callable, model: Seq2Seq) -> bool:
    source, target = _some_wrong(model, BATCH_SIZE + 1, 1)
    return abs(evaluation(model, source, target).exact_match - BATCH_SIZE / len(source)) > 1e-9


def _scores_are_off(evaluation: Callable, model: Seq2Seq) -> bool:
    examples = _some_wrong(model, BATCH_SIZE + 1, 1)
    return evaluation(model, *examples) != evaluate(model, *examples)


def _spoilt_beyond_the_vocabulary(evaluation: Callable, model: Seq2Seq) -> None:
    source, target = _some_wrong(model, BATCH_SIZE + 1, 0)
    target[-1] = VOCABULARY
    evaluation(model, source, target)


def _sources_alone_are_moved(evaluation: Callable, model: Seq2Seq) -> bool:
    source, target = _some_wrong(model, BATCH_SIZE + 1, 1)
    scores = [evaluation(model, source, target), evaluation(model, source.flip(0), target)]
    return scores[0].exact_match != scores[1].exact_match


def _parts_are_otherwise(evaluation: Callable, model: Seq2Seq) -> bool:
    """Whether the score differs from the mean of those of two parts, weighed by their sizes."""
    source, target = _some_wrong(model, BATCH_SIZE + 6, 5)
    parts = [evaluation(model, source[rows], target[rows]) for rows in (slice(BATCH_SIZE), slice(BATCH_SIZE, None))]
    mean = (BATCH_SIZE * parts[0].exact_match + 6 * parts[1].exact_match) / (BATCH_SIZE + 6)
    return abs(evaluation(model, source, target).exact_match - mean) > 1e-3


def _last_one_is_worth_a_half(evaluation: Callable, model: Seq2Seq) -> bool:
    return abs(evaluation(model, *_some_wrong(model, BATCH_SIZE + 1, 1)).exact_match - 0.5) < 1e-9


def _asked_in_two_orders(evaluation: Callable, model: Seq2Seq) -> None:
    source, target = _some_wrong(model, BATCH_SIZE, 1)
    evaluation(model, source, target)
    evaluation(model, source.flip(0), target.flip(0))


def _asked_of_others(evaluation: Callable, model: Seq2Seq) -> None:
    source, target = _some_wrong(model, BATCH_SIZE + 1, 1)
    evaluation(model, source, target)
    evaluation(model, source.flip(1), target)


def _tokens_are_off(evaluation: Callable, model: Seq2Seq) -> bool:
    source, target = _some_wrong(model, BATCH_SIZE + 1, 1)
    right = token_accuracy(model.generate(source, TOKENS), target)
    return abs(evaluation(model, source, target).token_accuracy - right) > 1e-9


def _what_examples_were_tried(calls: list[tuple]) -> str:
    if all(len(target) <= BATCH_SIZE for *_, target, _ in calls):
        return " All examples that it tries fit in one batch."
    if all(len(target) % BATCH_SIZE == 0 for *_, target, _ in calls):
        return " All batches that it tries are equally large."
    return " Its examples are all right, or all wrong." if all(s.exact_match in (0, 1) for *_, s in calls) else ""


def _on_other_examples(calls: list[tuple[nn.Module, Tensor, Tensor, Any]]) -> str:
    examples = [sorted(torch.cat([source, target], dim=1).tolist()) for _, source, target, _ in calls]
    return " Its calls are not on the same examples." if any(one != examples[0] for one in examples) else ""


def _on_scores_missed(calls: list[tuple[nn.Module, Tensor, Tensor, Any]]) -> str:
    if any(model.training for model, *_ in calls):
        return " The model is in training mode, where nobody knows what it gets right."
    return _what_examples_were_tried(calls) or _on_other_examples(calls)


def _on_scores_mistaken(calls: list[tuple[nn.Module, Tensor, Tensor, Any]]) -> str:
    alike = len(calls) > 1 and len({scores.exact_match for *_, scores in calls}) == 1
    told = " All its calls give the same exact match. What else does it compare?"
    return _on_other_examples(calls) or (told if alike else "")


register(
    _exercise(
        "6.6",
        title="Diagnose me: a score with a preference",
        minutes=20,
        difficulty=3,
        reference=depends_on_the_order,
        beside=_one_that_counts_on,
        other_right_ones=(_last_one_is_worth_a_half,),
        missed=_on_scores_missed,
        mistaken=_on_scores_mistaken,
        everywhere="Do you compare exact match alone? A loss that is summed up in another order differs in its last "
        "digits. And do source and target move together, and is none left out?",
        asked_everywhere=(_asked_in_two_orders, _asked_of_others),
        asked_nowhere=(_asked_of_others,),
        nowhere="Which example weighs more than others in this patient's score? Move a wrong one there, and away.",
        mistakes={
            "a-single-batch": (
                _changes_from_behind(BATCH_SIZE, 1),
                "Over a single batch this patient's score is fair. How many examples does it take?",
            ),
            "whole-batches": (
                _changes_from_behind(2 * BATCH_SIZE, 1),
                "Over batches that are equally large this patient's score is fair. How many examples would make the "
                "last one smaller?",
            ),
            "all-alike": (
                _changes_from_behind(BATCH_SIZE + 1, 0),
                "Where all examples are right, or all wrong, it makes no difference which of them weighs more. Of "
                "which do you know for certain that they are right, and how do you spoil one?",
            ),
            "other-examples": (
                _sources_alone_are_moved,
                "Your calls are not on the same examples, and others may be right more often, or less. An example is a "
                "row of the sources with a row of the targets: move both together, whole, and leave none out.",
            ),
            "wrong-axis-as-well": (
                _parts_are_otherwise,
                "You find the one over the wrong axis, too, whose score is no mean over examples. But where an example "
                "stands makes no difference to it.",
            ),
            "score-is-off": (
                _score_is_off,
                "You find others whose scores are off, too. What does the score of this one depend on, and that of the "
                "others does not?",
                _scores_are_off,
            ),
            "left-the-vocabulary": (
                _after(_spoilt_beyond_the_vocabulary, True),
                "A target that you spoil is none of the vocabulary, which goes from 0 to 6. What comes after the last "
                "one?",
            ),
            "tokens-are-off": (
                _tokens_are_off,
                "You find the one that forces the model, too. Its loss and its token accuracy are others for that. But "
                "which examples are right, all tokens of them, is the same under forcing.",
            ),
        },
    )
)

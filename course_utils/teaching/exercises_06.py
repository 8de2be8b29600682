"""Exercises of notebook 06: "diagnose me". Six patients, each with one bug of the museum.

An answer is an experiment: it names the exhibit, and says whether what it is given has that bug. It is run again on the
patient's kind with other weights, on healthy ones, and on others with other bugs, which it must not take for the
patient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..evaluation import evaluate, token_accuracy, token_loss
from ..model import Decoder, Encoder, Seq2Seq, start_tokens
from ..museum import BATCH_SIZE, EXHIBITS
from ..task import END_TOKEN
from .engine import Exercise, Mistake, register
from .probes import VOCABULARY, fill_at_random
from .trials import WrongAnswer

# By exercise: the exhibit that the patient has, then those for which it must not be taken.
PATIENTS = {
    "6.1": ("not-shifted", "other-start", "state-not-carried", "context-follows-the-state"),
    "6.2": ("state-after-padding", "rows-out-of-order", "encoder-detached", "state-reshaped"),
    "6.3": ("state-not-carried", "stale-token", "start-of-another", "stops-with-the-first"),
    "6.4": ("dropout-always-on", "state-from-the-last-batch", "state-reshaped"),
    "6.5": ("end-masked-as-padding", "first-token-left-out", "loss-one-apart", "softmax-over-places"),
    "6.6": ("mean-of-batch-means", "wrong-axis", "validation-forced", "scored-to-the-shorter"),
}
HEALTHY = {"token_loss": token_loss, "evaluate": evaluate}
TOKENS = 6  # in a source and in a target
DROPOUT = 0.5  # where the exercise is about it


def patient(exercise_id: str) -> Any:
    """The black box of an exercise: a network whose weights are drawn at random, a loss, or an evaluation."""
    if exercise_id not in PATIENTS:
        raise KeyError(f"There is no patient {exercise_id!r}; there are {', '.join(PATIENTS)}.")
    return _subject(PATIENTS[exercise_id][0], seed=60, dropout=DROPOUT if exercise_id == "6.4" else 0.0)


def _subject(name: str | None, seed: int, part: str = "", dropout: float = 0.0) -> Any:
    """What has this exhibit's bug; without a name a healthy network, or else the healthy function for this part.

    Networks are tiny and in training mode, with weights so large that outputs vary. No name tells what is wrong.
    """
    exhibit = EXHIBITS.get(name)
    part = exhibit.part if exhibit else part
    if part in HEALTHY:
        function = exhibit.sick if exhibit else HEALTHY[part]
        return lambda *given: function(*given)
    kinds: dict[str, type[nn.Module]] = {kind.__name__: kind for kind in (Encoder, Decoder, Seq2Seq)}
    if exhibit:
        kinds[part] = type(part, (exhibit.sick,), {})
    sizes = (VOCABULARY, 5, 6, 2, dropout)
    return fill_at_random(kinds["Seq2Seq"](kinds["Encoder"](*sizes), kinds["Decoder"](*sizes)), seed)


def _cases(exercise_id: str, beside: Callable[[int], tuple], part: str = "", dropout: float = 0.0) -> list[tuple]:
    """The patient's kind twice, healthy ones twice, and each of the others: (what it is, the subject, its company).

    Each case is a single argument, so that a message does not print what says nothing to the reader.
    """
    exhibit, *others = PATIENTS[exercise_id]
    kinds = [(exhibit, "the patient"), (None, "a healthy one"), *((name, "one with another bug") for name in others)]
    kinds += [(exhibit, "another with the patient's bug"), (None, "another healthy one")]
    return [
        ((kind, _subject(name, seed, part, dropout), *beside(seed)),)
        for seed, (name, kind) in enumerate(kinds, start=62)
    ]


def _tokens(n_tables: int) -> Callable[[int], tuple[Tensor, ...]]:
    """Random sources and targets, (5, 6) each, other ones for each seed."""

    def draw(seed: int) -> tuple[Tensor, ...]:
        generator = torch.Generator().manual_seed(seed)
        return tuple(torch.randint(0, VOCABULARY, (5, TOKENS), generator=generator) for _ in range(n_tables))

    return draw


def _logits_and_target(seed: int) -> tuple[Tensor, Tensor]:
    """Random logits (5, 6, 7), and targets (5, 6) without any end token."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(5, TOKENS, VOCABULARY, generator=generator)
    return logits, torch.randint(1, VOCABULARY, (5, TOKENS), generator=generator)


def _trial(exercise_id: str) -> Callable[[Callable, tuple], dict[str, str]]:
    """The experiment is carried out, and what it says of this subject is compared."""

    def run(answer: Callable, arguments: tuple) -> dict[str, str]:
        ((kind, *given),) = arguments
        outcome = answer(*given)
        if not isinstance(outcome, (tuple, list)) or len(outcome) != 2 or not isinstance(outcome[0], str):
            raise WrongAnswer("An experiment gives back two things: the exhibit's id, as text, and True or False.")
        name, found = outcome
        if name not in EXHIBITS:
            raise WrongAnswer(f"There is no exhibit {name!r}: take one of the ids in EXHIBITS.")
        if name != PATIENTS[exercise_id][0]:
            raise WrongAnswer("The patient has another bug than the exhibit you name. What does that one do otherwise?")
        return {f"The patient's bug is found in {kind}": "yes" if bool(found) else "no"}

    return run


def _says(exercise_id: str, experiment: Callable[..., Any], name: str | None = None) -> Callable[..., tuple[str, Any]]:
    """An answer made of an experiment that only says whether it found something."""
    return lambda *given: (name or PATIENTS[exercise_id][0], experiment(*given))


def _usual(exercise_id: str, taken_for: str, why_not: str, everywhere: str) -> tuple[Mistake, ...]:
    """What goes wrong in any diagnosis: another name, and experiments that always or never find something."""
    return (
        Mistake("taken-for-another", _says(exercise_id, lambda *_: True, taken_for), why_not),
        Mistake(
            "finds-it-everywhere",
            _says(exercise_id, lambda *_: True),
            f"Your experiment finds the bug in everyone, the healthy included. {everywhere}",
        ),
        Mistake(
            "finds-it-nowhere",
            _says(exercise_id, lambda *_: False),
            "Your experiment finds the bug nowhere. What would have to change for you to see it?",
        ),
    )


# 6.1: a network whose forced scores are too good


def sees_the_answer(model: Seq2Seq, source: Tensor, target: Tensor) -> tuple[str, bool]:
    changed = target.clone()
    changed[:, -1] = (changed[:, -1] + 1) % VOCABULARY
    same = torch.allclose(model(source, target, 1.0)[:, -1], model(source, changed, 1.0)[:, -1])
    return "not-shifted", not same


def _contradicts_itself(model: Seq2Seq, source: Tensor, _target: Tensor | None = None) -> bool:
    output = model.generate(source, TOKENS)
    return not torch.equal(model(source, output, 1.0).argmax(-1), output)


def _other_than_the_decoder(model: Seq2Seq, source: Tensor, target: Tensor) -> bool:
    inputs = torch.cat([start_tokens(source), target[:, :-1]], dim=1)
    return not torch.allclose(model(source, target, 1.0), model.decoder(inputs, model.encoder(source))[0])


register(
    Exercise(
        id="6.1",
        title="Diagnose me: too good to be true",
        minutes=15,
        difficulty=2,
        hints=(
            "Its training loss went to nearly nothing in a few steps. What would make the task that easy?",
            "Change the last token of the target. It comes after everything that the decoder should have read.",
        ),
        reference=sees_the_answer,
        probes=lambda: _cases("6.1", _tokens(2)),
        run=_trial("6.1"),
        mistakes=(
            *_usual(
                "6.1",
                "other-start",
                "Another start token changes little. This patient knows the answers.",
                "Which target tokens may the decoder have read before it writes a token, and which not?",
            ),
            Mistake(
                "contradiction",
                _says("6.1", _contradicts_itself),
                "You find that decoding contradicts the forced model. So it does in other patients: there the decoding "
                "is wrong, here the forcing.",
            ),
            Mistake(
                "other-inputs",
                _says("6.1", _other_than_the_decoder),
                "You find that the decoder reads something else than the shifted target. That is so with another start "
                "token, too. What does this patient read?",
            ),
        ),
    )
)


# 6.2: a network that does worse in mixed batches


def reads_padding(model: Seq2Seq, source: Tensor) -> tuple[str, bool]:
    lengths = torch.full((len(source),), source.shape[1])
    states = [model.encoder(F.pad(source, (0, 2), value=value), lengths) for value in (0, 1)]
    return "state-after-padding", not torch.allclose(*states)


def _alone_is_otherwise(model: Seq2Seq, source: Tensor) -> bool:
    padded, lengths = F.pad(source, (0, 2)), torch.arange(2, 2 + len(source))
    together = model.encoder(padded, lengths)
    alone = [model.encoder(padded[row : row + 1, : lengths[row]]) for row in range(len(source))]
    return not torch.allclose(together, torch.cat(alone, dim=1), atol=1e-6)


register(
    Exercise(
        id="6.2",
        title="Diagnose me: worse in company",
        minutes=15,
        difficulty=2,
        hints=(
            "`model.encoder(padded, lengths)`: what may the encoder take notice of, and what not?",
            "Keep everything as it is, lengths too, and change only what stands in the padding.",
        ),
        reference=reads_padding,
        probes=lambda: _cases("6.2", _tokens(1)),
        run=_trial("6.2"),
        mistakes=(
            *_usual(
                "6.2",
                "rows-out-of-order",
                "No row has moved here. Try a batch in which all rows are alike.",
                "Did you tell the encoder the lengths? Without them it has to read the padding, too.",
            ),
            Mistake(
                "alone-against-together",
                _says("6.2", _alone_is_otherwise),
                "You compare a row in a batch with the same row alone. Rows that have moved differ there as well.",
            ),
        ),
    )
)


# 6.3: a network that decodes nonsense, though forced it is perfect


def forgets_its_state(model: Seq2Seq, source: Tensor) -> tuple[str, bool]:
    start, token, written = model.encoder(source), start_tokens(source), []
    for _ in range(TOKENS):
        logits, _ = model.decoder(token, start)
        token = logits.argmax(-1)
        written.append(token)
    return "state-not-carried", torch.equal(torch.cat(written, dim=1), model.generate(source, TOKENS))


def _only_the_first_token_is_right(model: Seq2Seq, source: Tensor) -> bool:
    free = model(source, torch.zeros_like(source), 0.0).argmax(-1)
    output = model.generate(source, TOKENS)
    return torch.equal(free[:, 0], output[:, 0]) and not torch.equal(free, output)


register(
    Exercise(
        id="6.3",
        title="Diagnose me: good advice, bad deeds",
        minutes=20,
        difficulty=3,
        hints=(
            "Several bugs make decoding contradict the model. Which one would write, token by token, what this patient "
            "writes?",
            "Write the greedy loop with the bug that you suspect, over `model.encoder` and `model.decoder`, and "
            "compare it with `model.generate`.",
        ),
        reference=forgets_its_state,
        probes=lambda: _cases("6.3", _tokens(1)),
        run=_trial("6.3"),
        mistakes=(
            *_usual(
                "6.3",
                "stale-token",
                "A stale token would do something else. Write the loop with it, and compare.",
                "What does a healthy one hand on from step to step, that this patient does not?",
            ),
            Mistake(
                "contradiction",
                _says("6.3", _contradicts_itself),
                "You find that decoding contradicts the forced model. That is right, but three other bugs do the same.",
            ),
            Mistake(
                "only-the-first-token-right",
                _says("6.3", _only_the_first_token_is_right),
                "The first token right and others wrong: that holds for a stale token, too.",
            ),
        ),
    )
)


# 6.4: a network that cannot make up its mind


def drops_when_it_should_not(model: Seq2Seq, source: Tensor, target: Tensor) -> tuple[str, bool]:
    model.eval()
    hidden = model.encoder(source)
    one, other = (model.decoder(target, hidden)[0] for _ in range(2))
    return "dropout-always-on", not torch.equal(one, other)


def _two_answers(model: Seq2Seq, source: Tensor, target: Tensor) -> bool:
    model.eval()
    return not torch.equal(model(source, target, 1.0), model(source, target, 1.0))


register(
    Exercise(
        id="6.4",
        title="Diagnose me: two minds",
        minutes=15,
        difficulty=2,
        hints=(
            "The same call gives two answers. Which things may differ between two calls: random numbers, or a memory?",
            "Call `model.eval()`, then only the decoder twice, with the same tokens and the same state.",
        ),
        reference=drops_when_it_should_not,
        probes=lambda: _cases("6.4", _tokens(2), dropout=DROPOUT),
        run=_trial("6.4"),
        mistakes=(
            *_usual(
                "6.4",
                "state-from-the-last-batch",
                "This patient remembers nothing: its encoder gives the same state each time.",
                "They come in training mode, where dropout is meant to be on.",
            ),
            Mistake(
                "two-answers",
                _says("6.4", _two_answers),
                "Two answers to one question can also come from a memory. Which part of the model gives them?",
            ),
        ),
    )
)


# 6.5: a loss under which nobody learns to stop


def the_end_does_not_count(loss: Callable, logits: Tensor, target: Tensor) -> tuple[str, bool]:
    return "end-masked-as-padding", _an_end_is_ignored_at(2)(loss, logits, target)


def _an_end_is_ignored_at(place: int) -> Callable[..., bool]:
    """Whether the loss takes no notice of the logits at a place where an end token stands."""

    def experiment(loss: Callable, logits: Tensor, target: Tensor) -> bool:
        target, changed = target.clone(), logits.clone()
        target[:, place] = END_TOKEN
        changed[:, place] = -changed[:, place]
        return torch.allclose(loss(logits, target), loss(changed, target))

    return experiment


def _other_than_cross_entropy(loss: Callable, logits: Tensor, target: Tensor) -> bool:
    target = target.clone()
    target[:, 2] = END_TOKEN
    return not torch.allclose(loss(logits, target), token_loss(logits, target))


register(
    Exercise(
        id="6.5",
        title="Diagnose me: a loss without an end",
        minutes=15,
        difficulty=2,
        hints=(
            "The patient is a loss. Of which token does it take no notice? The targets that you are given have none.",
            "Put the token that you suspect in the middle of the target, and change the logits at that place alone.",
        ),
        reference=the_end_does_not_count,
        probes=lambda: _cases("6.5", _logits_and_target, part="token_loss"),
        run=_trial("6.5"),
        mistakes=(
            *_usual(
                "6.5",
                "first-token-left-out",
                "The first place counts, unless a certain token stands there.",
                "Does a logit that you change belong to a token that counts?",
            ),
            Mistake(
                "at-the-first-place",
                _says("6.5", _an_end_is_ignored_at(0)),
                "You look at the first place only, which another bug leaves out, whatever stands there.",
            ),
            Mistake(
                "at-the-last-place",
                _says("6.5", _an_end_is_ignored_at(-1)),
                "You look at the last place only, which another bug leaves out, whatever stands there.",
            ),
            Mistake(
                "another-loss",
                _says("6.5", _other_than_cross_entropy),
                "You find that this is another loss than the mean over all tokens. So are the others'.",
            ),
        ),
    )
)


# 6.6: an evaluation whose score depends on the batch size


def depends_on_the_order(evaluation: Callable, model: Seq2Seq) -> tuple[str, bool]:
    source, target = _one_wrong(model)
    scores = [evaluation(model, source, target), evaluation(model, source.flip(0), target.flip(0))]
    return "mean-of-batch-means", abs(scores[0].exact_match - scores[1].exact_match) > 1e-9


def _one_wrong(model: Seq2Seq) -> tuple[Tensor, Tensor]:
    """One example more than fits a batch, which the model gets right, all but the last."""
    source = torch.randint(0, VOCABULARY, (BATCH_SIZE + 1, TOKENS), generator=torch.Generator().manual_seed(0))
    target = model.eval().generate(source, TOKENS)
    target[-1] = (target[-1] + 1) % VOCABULARY
    return source, target


def _score_is_off(evaluation: Callable, model: Seq2Seq) -> bool:
    source, target = _one_wrong(model)
    return abs(evaluation(model, source, target).exact_match - BATCH_SIZE / len(source)) > 1e-9


def _tokens_are_off(evaluation: Callable, model: Seq2Seq) -> bool:
    source, target = _one_wrong(model)
    target[-9:, 0] = (target[-9:, 0] + 1) % VOCABULARY
    right = token_accuracy(model.generate(source, TOKENS), target)
    return abs(evaluation(model, source, target).token_accuracy - right) > 1e-9


register(
    Exercise(
        id="6.6",
        title="Diagnose me: a score with a preference",
        minutes=20,
        difficulty=3,
        hints=(
            f"The patient is an evaluation. It takes the examples in batches of {BATCH_SIZE}. Make examples of which "
            "you know how many are right: what `model.generate` writes, the model gets right.",
            "Let one example be wrong, and move it: what a fair score says cannot depend on where it stands.",
        ),
        reference=depends_on_the_order,
        probes=lambda: _cases("6.6", lambda seed: (_subject(None, seed),), part="evaluate"),
        run=_trial("6.6"),
        mistakes=(
            *_usual(
                "6.6",
                "wrong-axis",
                "Over a single batch this patient's score is right. That one's is not.",
                "Of how many of your examples do you know for certain that they are right?",
            ),
            Mistake(
                "score-is-off",
                _says("6.6", _score_is_off),
                "You find that the score is not the share of right examples. In another patient it is not, either.",
            ),
            Mistake(
                "tokens-are-off",
                _says("6.6", _tokens_are_off),
                "You look at the token accuracy, with which another evaluation has a problem as well.",
            ),
        ),
    )
)

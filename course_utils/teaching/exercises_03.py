"""Exercises of notebook 03: a step, the shift, the loss, greedy decoding, coin-flip forcing, what follows an error."""

from __future__ import annotations

import copy
from collections.abc import Callable
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..evaluation import accuracy_after_first_error, before_end, token_accuracy, token_loss
from ..model import Decoder, Seq2Seq, shift_right, start_tokens
from .comparison import difference, normal, one_tensor
from .engine import Exercise, Mistake, register
from .probes import VOCABULARY, left_as_found, random_model
from .trials import WrongAnswer

ZERO_SEED = 33  # a model that writes a 0 before its last token, and goes on


def _refuse_what_is_no_tensor(right: Tensor, outcome: object) -> None:
    """Right numbers in a list or an array would pass the comparison, and break where a network takes them."""
    if not isinstance(outcome, Tensor) and difference(right, outcome) is None:
        raise WrongAnswer(
            f"The numbers are right, but what holds them is of the type {type(outcome).__name__}, and a tensor is "
            "wanted. `torch.tensor` makes one of numbers, `torch.stack` or `torch.cat` of several tensors."
        )


def decoder_step(decoder: Decoder, token: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
    logits, hidden = decoder(token[:, None], hidden)
    return logits[:, 0], hidden


def _steps() -> list[tuple[Decoder, Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    probes = []
    for seed, batch_size in ((1, 3), (2, 4), (3, 1), (4, 4)):
        decoder = random_model(seed).decoder.eval()
        token = torch.randint(0, VOCABULARY, (batch_size,), generator=generator)
        hidden = torch.randn(decoder.n_layers, batch_size, decoder.hidden_dim, generator=generator)
        probes.append((decoder, token, hidden))
    return probes


def _step_trial(answer: Callable, arguments: tuple) -> object:
    """The logits, the new state, and the gradient that flows back through both to the old state."""
    decoder, token, hidden = arguments
    right = decoder_step(decoder, token, hidden)
    hidden = hidden.requires_grad_()
    with left_as_found(decoder):
        outcome = answer(decoder, token, hidden)
    if not isinstance(outcome, (tuple, list)) or len(outcome) != 2:
        raise WrongAnswer("It should give back two things: the logits and the new state.")
    for wanted, part in zip(right, outcome, strict=True):
        _refuse_what_is_no_tensor(wanted, part)
    parts = dict(zip(("the logits", "the new state"), map(one_tensor, outcome), strict=True))
    if all(isinstance(part, Tensor) for part in parts.values()) and parts["the logits"].shape[1:] == (VOCABULARY,):
        parts |= {f"the gradient through {name}": _gradient(part, hidden) for name, part in parts.items()}
    return parts


def _gradient(outcome: Tensor, wanted: Tensor) -> Tensor | str:
    if not outcome.requires_grad or outcome is wanted:
        return "none"
    found = torch.autograd.grad(outcome.square().mean(), wanted, allow_unused=True, retain_graph=True)[0]
    return "none" if found is None else found


def _step_as(change: Callable) -> Callable:
    """A wrong step: `change` gets the decoder, the right logits and new state, and the old state."""

    def answer(decoder: Decoder, token: Tensor, hidden: Tensor) -> object:
        logits, new = decoder_step(decoder, token, hidden)
        return change(decoder, logits, new, hidden)

    return answer


def _step_by_parts(
    embedded: Callable = lambda decoder, token: decoder.embedding(token[:, None]),
    state: Callable = lambda hidden: hidden,
    logits_of: Callable = lambda decoder, outputs: decoder.fc_out(outputs[:, 0]),
) -> Callable:
    """A step from the decoder's parts, one of which gets something else than it should."""

    def answer(decoder: Decoder, token: Tensor, hidden: Tensor) -> object:
        outputs, hidden = decoder.rnn(embedded(decoder, token), state(hidden))
        return logits_of(decoder, outputs), hidden

    return answer


register(
    Exercise(
        id="3.1",
        title="One step of the decoder",
        minutes=10,
        difficulty=2,
        reference=decoder_step,
        probes=_steps,
        run=_step_trial,
        mistakes=(
            Mistake(
                "old-state-returned",
                _step_as(lambda decoder, logits, new, old: (logits, old)),
                "The logits are right, but you hand on the state that came in. The next step needs the new one.",
            ),
            Mistake(
                "state-ignored",
                lambda decoder, token, hidden: decoder_step(decoder, token, torch.zeros_like(hidden)),
                "Your step does not use the state it is given: it starts from zeros, and knows nothing of the source.",
            ),
            Mistake(
                "first-layer-only",
                _step_as(lambda decoder, logits, new, old: (decoder.fc_out(new[0]), new)),
                "Your logits come from the first layer. The last one is nearest to the output.",
            ),
            Mistake(
                "probabilities",
                _step_as(lambda decoder, logits, new, old: (logits.softmax(-1), new)),
                "These are probabilities, or their logarithms. Logits are what comes before the softmax; the loss does "
                "the rest.",
                also=(_step_as(lambda decoder, logits, new, old: (logits.log_softmax(-1), new)),),
            ),
            Mistake(
                "a-position-too-many",
                _step_as(lambda decoder, logits, new, old: (logits[:, None], new)),
                "The numbers are right, but the time axis is still there: (B, 1, V) instead of (B, V).",
                also=(_step_as(lambda decoder, logits, new, old: (logits[:, None].squeeze(0), new)),),
            ),
            Mistake(
                "token-chosen",
                _step_as(lambda decoder, logits, new, old: (logits.argmax(-1), new)),
                "You choose a token already. The step gives back the logits: whoever calls it will choose.",
            ),
            Mistake(
                "only-the-last-state",
                _step_as(lambda decoder, logits, new, old: (logits, new[-1:])),
                "The state has lost its lower layers. Every layer hands its own on.",
                also=(_step_as(lambda decoder, logits, new, old: (logits, new[-1])),),
            ),
            Mistake(
                "outputs-for-the-state",
                _step_as(lambda decoder, logits, new, old: (logits, new[-1][:, None])),
                "The state that you hand on is what the GRU gives out, (B, 1, H): its last layer alone. The new state "
                "is another thing, (L, B, H). Where does the GRU give it back?",
            ),
            Mistake(
                "logits-of-the-old-state",
                _step_as(lambda decoder, logits, new, old: (decoder.fc_out(old[-1]), new)),
                "Your logits come from the state that came in, which has not seen the token. They should come from "
                "what the GRU makes of both.",
            ),
            Mistake(
                "state-first",
                _step_as(lambda decoder, logits, new, old: (new, logits)),
                "You give back the state first. The logits come first, then the new state.",
            ),
            Mistake(
                "no-time-axis",
                lambda decoder, token, hidden: decoder(token, hidden),
                "Your GRU gets a table of two axes, and takes it for one example. It wants three, (B, 1, E). Which of "
                "them is missing?",
            ),
            Mistake(
                "time-axis-in-front",
                lambda decoder, token, hidden: decoder(token[None], hidden),
                "Your new axis stands in front of the batch: that is one example of B steps. Wanted are B examples of "
                "one step.",
            ),
            Mistake(
                "no-gradient",
                _step_as(lambda decoder, logits, new, old: (logits.detach(), new.detach())),
                "The numbers are right, but from some or all of them no gradient flows back to the state that came in. "
                "Is there a detach() or a no_grad()?",
                also=(
                    _step_as(lambda decoder, logits, new, old: (logits.detach(), new)),
                    _step_as(lambda decoder, logits, new, old: (logits, new.detach())),
                ),
            ),
            Mistake(
                "axis-of-the-batch-lost",
                _step_as(lambda decoder, logits, new, old: (logits.squeeze(), new)),
                "Where the batch is one example, its axis is gone, too: without a number, `squeeze()` takes out every "
                "axis of length 1.",
                also=(
                    _step_as(lambda decoder, logits, new, old: (logits, new.squeeze())),
                    _step_as(lambda decoder, logits, new, old: (logits.squeeze(), new.squeeze())),
                ),
            ),
            Mistake(
                "outputs-for-logits",
                _step_as(lambda decoder, logits, new, old: (new[-1], new)),
                "This is what the GRU gives out, H numbers for each example. Logits are V numbers: which part makes "
                "them?",
                also=(_step_as(lambda decoder, logits, new, old: (new[-1][:, None], new)),),
            ),
            Mistake(
                "logits-of-every-layer",
                _step_as(lambda decoder, logits, new, old: (decoder.fc_out(new), new)),
                "You make logits of the states of all layers. The last one is nearest to the output.",
            ),
            Mistake(
                "outputs-and-state-swapped",
                _step_as(lambda decoder, logits, new, old: (decoder.fc_out(new[:, 0]), new[-1][:, None])),
                "Outputs and state have changed places: `decoder.rnn` gives back its outputs first, then the new "
                "state.",
                also=(_step_as(lambda decoder, logits, new, old: (decoder.fc_out(new), new[-1][:, None])),),
            ),
            Mistake(
                "an-example-taken-out",
                _step_as(lambda decoder, logits, new, old: (logits[:1], new)),
                "You take one example out of the batch. It is the axis of time that should go: which one is that?",
                also=(_step_as(lambda decoder, logits, new, old: (logits[-1:], new)),),
            ),
            Mistake(
                "relu-added",
                _step_by_parts(embedded=lambda decoder, token: decoder.embedding(token[:, None]).relu()),
                "Your embeddings go through a ReLU on their way. This decoder has none: its GRU reads them as they "
                "are.",
            ),
            Mistake(
                "state-transposed",
                _step_by_parts(state=lambda hidden: hidden.transpose(0, 1)),
                "Your GRU gets a state whose first axis is the batch. Only its inputs and outputs are like that; the "
                "state is wanted as it comes.",
            ),
            Mistake(
                "state-of-one-layer",
                _step_by_parts(state=lambda hidden: hidden[-1:]),
                "Your GRU gets the state of one layer. It has several, and each goes on from its own.",
                also=(_step_by_parts(state=lambda hidden: hidden[-1]),),
            ),
            Mistake(
                "pair-taken-for-one",
                lambda decoder, token, hidden: decoder.fc_out(decoder.rnn(decoder.embedding(token[:, None]), hidden)),
                "A GRU gives back two things, its outputs and its new state, and so does a decoder. You take both for "
                "one tensor.",
                also=(lambda decoder, token, hidden: decoder(token[:, None], hidden)[:, 0],),
            ),
            Mistake(
                "state-read",
                lambda decoder, token, hidden: decoder.rnn(hidden, decoder.embedding(token[:, None])),
                "Your GRU reads the state as if it were a token. What it reads comes first, then the state.",
            ),
        ),
    )
)


def _targets() -> list[tuple[Tensor]]:
    generator = torch.Generator().manual_seed(0)
    rows = [[4, 9, 2, 0, 0], [0, 3, 0, 5, 0]]  # a 0 is a token like any other here
    drawn = [(torch.randint(1, 10, shape, generator=generator),) for shape in ((2, 4), (5, 8), (3, 6), (5, 8), (1, 7))]
    return [*drawn, (torch.tensor(rows),)]


def _read_by_the_decoder(answer: Callable, arguments: tuple) -> object:
    right = shift_right(*arguments)
    inputs = answer(*arguments)
    _refuse_what_is_no_tensor(right, inputs)
    return inputs


def _inputs_as(
    start: Callable = start_tokens, rest: Callable = lambda target: target[:, :-1], axis: int = 1
) -> Callable:
    """Wrong inputs: of what is joined, or along which axis."""
    return lambda target: torch.cat([start(target), rest(target)], dim=axis)


def _first_row_zeroed(target: Tensor) -> Tensor:
    inputs = target.roll(1, dims=1)
    inputs[0] = 0
    return inputs


register(
    Exercise(
        id="3.2",
        title="The shifted target",
        minutes=5,
        difficulty=1,
        reference=shift_right,
        probes=_targets,
        run=_read_by_the_decoder,
        mistakes=(
            Mistake(
                "not-shifted",
                lambda target: target.clone(),
                "The decoder would read at each step the very token it should write: it only has to copy its input.",
            ),
            Mistake(
                "shifted-the-other-way",
                lambda target: torch.cat([target[:, 1:], torch.zeros_like(target[:, :1])], dim=1),
                "You show the decoder the token after the one it should write. It may only see those before.",
                also=(lambda target: target.roll(-1, dims=1), lambda target: target[:, 1:]),
            ),
            Mistake(
                "rolled",
                lambda target: target.roll(1, dims=1),
                "The last token has come round to the front. The first thing the decoder reads is the start token, 0.",
            ),
            Mistake(
                "shifted-along-the-batch",
                lambda target: torch.cat([torch.zeros_like(target[:1]), target[:-1]]),
                "You moved the rows, so each example reads its neighbour. Shift along the tokens.",
                also=(lambda target: target.roll(1, dims=0),),
            ),
            Mistake(
                "one-too-long",
                lambda target: torch.cat([start_tokens(target), target], dim=1),
                "One token too many: after the last target token there is nothing left to write.",
            ),
            Mistake(
                "rolled-through-the-batch",
                lambda target: target.roll(1),
                "Without an axis, `roll` runs through the whole batch: a row begins with the last token of the row "
                "before.",
            ),
            Mistake(
                "start-left-out",
                lambda target: target[:, :-1],
                "One token too few. What does the decoder read first? The start token, 0, belongs in front.",
            ),
            Mistake(
                "start-with-a-decimal-point",
                _inputs_as(start=lambda target: start_tokens(target).float()),
                "Your tokens have become numbers with a decimal point. Did `torch.zeros` bring them in? It can be "
                "asked for whole ones.",
            ),
            Mistake(
                "start-without-an-axis",
                _inputs_as(start=lambda target: start_tokens(target)[:, 0]),
                "`dim=1` is a second axis, and a piece of yours has only one. Is it a column, (B, 1), or a row by "
                "itself?",
            ),
            Mistake(
                "one-start-for-all",
                _inputs_as(start=lambda target: start_tokens(target)[:1]),
                "One start token is there for all the rows. Each needs one: (B, 1).",
            ),
            Mistake(
                "an-example-cut-off",
                _inputs_as(rest=lambda target: target[:-1]),
                "You cut off an example, not a token. Along which axis do the tokens lie?",
            ),
            Mistake(
                "joined-along-the-batch",
                _inputs_as(axis=0),
                "You join along the batch, as `cat` does unless you say otherwise. Which axis grows when a token is "
                "put in front?",
            ),
            Mistake(
                "number-for-a-tensor",
                _inputs_as(start=lambda target: 0),
                "`cat` joins nothing but tensors. The start tokens, too, have to be one, with a 0 for each row.",
                also=(_inputs_as(start=lambda target: [0]),),
            ),
            Mistake(
                "zero-at-the-end",
                _inputs_as(start=lambda target: target[:, :-1], rest=start_tokens),
                "Your zeros stand behind the tokens. The start token is the first thing that the decoder reads.",
            ),
            Mistake(
                "first-token-overwritten",
                _inputs_as(rest=lambda target: target[:, 1:]),
                "Your 0 takes the place of the first token, and no other has moved. Which one should be read at the "
                "second step?",
            ),
            Mistake(
                "first-row-zeroed",
                _first_row_zeroed,
                "You set the first row to 0. The start token has the first place of every row.",
            ),
            Mistake(
                "overwritten-while-moving",
                _inputs_as(rest=lambda target: target[:, :1].expand(-1, target.shape[1] - 1)),
                "One token fills your rows. Has each moved on before another takes its place?",
                also=(torch.zeros_like,),
            ),
            Mistake(
                "first-token-kept",
                _inputs_as(start=lambda target: target[:, :1]),
                "The tokens have moved, but in front the target's first one is still there. What does the decoder read "
                "before anything is written?",
            ),
            Mistake(
                "another-start-token",
                _inputs_as(start=lambda target: torch.ones_like(target[:, :1])),
                "The tokens have moved, but what stands in front is not the start token, 0.",
                also=(_inputs_as(start=lambda target: -torch.ones_like(target[:, :1])),),
            ),
            Mistake(
                "last-place-left-empty",
                lambda target: F.pad(target[:, :-2], (1, 1)),
                "All is well but for the last place, which is still 0. Does a loop end one step early?",
            ),
            Mistake(
                "as-many-places-as-rows",
                lambda target: torch.where(torch.arange(target.shape[1]) < len(target), shift_right(target), 0),
                "You fill as many places as there are rows: `len(target)` is how many examples it has.",
            ),
        ),
    )
)


def _logits_and_targets() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    probes = [
        (
            scale * torch.randn(b, t, VOCABULARY, generator=generator),
            torch.randint(0, VOCABULARY, (b, t), generator=generator),
        )
        for b, t, scale in ((2, 3, 3), (5, 4, 3), (3, 8, 3), (4, 5, 1000), (1, 3, 1), (1, 2, 1))
    ]
    # With the largest logits everything goes wrong that can. In the two cases before them no probability is small: in
    # one, exponentials overflow; in the other, one token's become 0 when the maximum of the other's is taken away.
    probes.append(probes.pop(3))
    probes[3][0].add_(LARGE_LOGIT)
    probes[4][0].add_(torch.tensor([[65.0], [-65.0]]))
    return probes


LARGE_LOGIT = 100.0  # where float32 no longer holds the exponential, nor the probabilities of unlikely tokens


def _without_the_ready_made(answer: Callable, arguments: tuple[Tensor, Tensor]) -> object:
    """The loss. Where logits are large, it has to grow with them; where it is right, so must be its gradient."""

    def refuse(*_: object, **__: object) -> None:
        raise WrongAnswer("You use a ready-made function for this. Here, compute it yourself.")

    logits, target = arguments
    before = copy.deepcopy(arguments)
    with patch.object(F, "cross_entropy", refuse), patch.object(F, "nll_loss", refuse):
        loss = answer(logits, target)
        number = normal(loss)
        can_grow = isinstance(number, Tensor) and number.isfinite().all() and logits.max() > LARGE_LOGIT
        if can_grow and difference(loss, answer(2 * logits, target)) is None:
            raise WrongAnswer("These logits are large. Twice as large, they get the same loss from you.")
        if difference(by_hand(*before), loss) is None and difference(before, arguments) is None:
            _check_the_gradient(answer, *before)
    return loss


def _check_the_gradient(answer: Callable, logits: Tensor, target: Tensor) -> None:
    """The numbers alone train nothing. An answer is asked for them first, so that one that uses NumPy gets so far."""
    wanted, mine = (_gradient_of_the_logits(each, logits, target) for each in (by_hand, answer))
    if mine is None:
        raise WrongAnswer(
            "The number is right, but no gradient flows back from it to the logits, and training needs one. It is "
            "lost at a `detach()` or `no_grad()`, and where numbers leave PyTorch: `item()`, `tolist()`, NumPy."
        )
    found = difference(wanted, mine)
    if found:
        raise WrongAnswer(f"The number is right, but not the gradient that flows back to the logits:\n{found}")


def _gradient_of_the_logits(answer: Callable, logits: Tensor, target: Tensor) -> Tensor | None:
    leaf = logits.clone().requires_grad_()
    try:
        loss = answer(leaf, target)
    except RuntimeError:  # NumPy refuses tensors that ask for gradients
        return None
    if not isinstance(loss, Tensor) or not loss.requires_grad:
        return None
    return torch.autograd.grad(loss.sum(), leaf, allow_unused=True)[0]


def by_hand(logits: Tensor, target: Tensor) -> Tensor:
    return _negative_log_likelihood(logits, target).mean()


def _negative_log_likelihood(logits: Tensor, target: Tensor, axis: int = -1) -> Tensor:
    return -logits.log_softmax(axis).gather(-1, target[..., None]).squeeze(-1)


def _by_shifted_logits(logits: Tensor, target: Tensor, shift: Tensor | float) -> Tensor:
    """The formula as it stands, after a shift that is not each token's own maximum."""
    shifted = logits - shift
    return (shifted.exp().sum(-1).log() - shifted.gather(-1, target[..., None]).squeeze(-1)).mean()


def _shifted_softmax(logits: Tensor, shift: Tensor) -> Tensor:
    exponentials = (logits - shift).exp()
    return exponentials / exponentials.sum(-1, keepdim=True)


register(
    Exercise(
        id="3.3",
        title="Cross-entropy by hand",
        minutes=15,
        difficulty=2,
        reference=by_hand,
        probes=_logits_and_targets,
        run=_without_the_ready_made,
        mistakes=(
            Mistake(
                "softmax-over-positions",
                lambda logits, target: _negative_log_likelihood(logits, target, axis=1).mean(),
                "Your probabilities add up to 1 over the positions or over the examples. They should add up to 1 over "
                "the vocabulary.",
                also=(lambda logits, target: _negative_log_likelihood(logits, target, axis=0).mean(),),
            ),
            Mistake(
                "summed-over-tokens",
                lambda logits, target: _negative_log_likelihood(logits, target).sum(dim=1).mean(),
                "This is the loss of a whole sequence. The mean is over all tokens.",
            ),
            Mistake(
                "summed-over-examples",
                lambda logits, target: _negative_log_likelihood(logits, target).sum(dim=0).mean(),
                "You take the mean over the tokens of an example, and add up the examples. The mean is over all "
                "tokens.",
            ),
            Mistake(
                "mean-over-the-vocabulary",
                lambda logits, target: by_hand(logits, target) / logits.shape[-1],
                "Of the numbers at a place one counts. Your mean takes the others, which are 0, for tokens, too.",
            ),
            Mistake(
                "one-for-each-token",
                _negative_log_likelihood,
                "Your numbers are right, one for each token or example. The loss is one: their mean.",
                also=(lambda logits, target: _negative_log_likelihood(logits, target).mean(dim=1),),
            ),
            Mistake(
                "best-guess",
                lambda logits, target: -logits.log_softmax(-1).amax(-1).mean(),
                "This would be the loss if the network's best guess were always right. Which token's probability "
                "counts?",
            ),
            Mistake(
                "every-target-at-every-place",
                lambda logits, target: -logits.log_softmax(-1)[..., target].mean(),
                "`[..., target]` picks all the targets at each place. `gather` picks one number at each.",
            ),
            Mistake(
                "gathered-along-another-axis",
                lambda logits, target: -logits.log_softmax(-1).gather(1, target[..., None]).mean(),
                "`gather` has to pick along the vocabulary: which axis is that?",
            ),
            Mistake(
                "one-place-later",
                lambda logits, target: _negative_log_likelihood(logits[:, :-1], target[:, 1:]).mean(),
                "You compare the logits of each place with the target of the next. Here both belong together, place by "
                "place.",
            ),
            Mistake(
                "softmax-twice",
                lambda logits, target: by_hand(logits.softmax(-1), target),
                "You squash the logits twice: log_softmax wants them as they are.",
            ),
            Mistake(
                "log-of-the-mean",
                lambda logits, target: -logits.softmax(-1).gather(-1, target[..., None]).mean().log(),
                "You take the mean of the probabilities, and the logarithm of that. Each token has a logarithm of its "
                "own.",
            ),
            Mistake(
                "perplexity",
                lambda logits, target: by_hand(logits, target).exp(),
                "This is the perplexity, e to the power of the loss.",
            ),
            Mistake(
                "sign-forgotten",
                lambda logits, target: -_negative_log_likelihood(logits, target).mean(),
                "A loss is positive: minus the logarithm of a probability.",
            ),
            Mistake(
                "summed-over-everything",
                lambda logits, target: _negative_log_likelihood(logits, target).sum(),
                "This is the sum over all tokens. The loss is their mean.",
            ),
            Mistake(
                "exponentials-overflow",
                lambda logits, target: (
                    -(logits.exp() / logits.exp().sum(-1, keepdim=True)).gather(-1, target[..., None]).log().mean()
                ),
                "Right on paper, but exp of a large logit is more than a float can hold. log_softmax avoids that.",
                also=(lambda logits, target: _by_shifted_logits(logits, target, shift=0.0),),
            ),
            Mistake(
                "one-maximum-for-all",
                lambda logits, target: _by_shifted_logits(logits, target, shift=logits.max()),
                "You take the same largest logit from the logits of many tokens. Where a token's own lie far below it, "
                "all their exponentials become 0. Which one should each token take?",
                also=(
                    lambda logits, target: (
                        -_shifted_softmax(logits, logits.max()).gather(-1, target[..., None]).log().mean()
                    ),
                ),
            ),
            Mistake(
                "softmax-then-log",
                lambda logits, target: -logits.softmax(-1).gather(-1, target[..., None]).log().mean(),
                "Right on paper, but where logits lie far apart, a small probability becomes 0 in a float, and has no "
                "logarithm, or a large exponential becomes infinite. log_softmax avoids both.",
                also=(
                    lambda logits, target: (
                        -(F.one_hot(target, logits.shape[-1]) * logits.softmax(-1).log()).sum(-1).mean()
                    ),
                ),
            ),
            Mistake(
                "maximum-along-another-axis",
                lambda logits, target: by_hand(logits - logits.amax(1, keepdim=True), target),
                "The largest logit that you take away is not that of a token: it lies along another axis than the "
                "vocabulary.",
                also=(
                    lambda logits, target: by_hand(logits - logits.amax(0, keepdim=True), target),
                    lambda logits, target: _by_shifted_logits(logits, target, shift=logits.amax(1, keepdim=True)),
                ),
            ),
            Mistake(
                "maximum-taken-away-once",
                lambda logits, target: (
                    (logits - logits.amax(-1, keepdim=True)).exp().sum(-1).log()
                    - logits.gather(-1, target[..., None]).squeeze(-1)
                ).mean(),
                "You take the largest logit away before the sum, and do without it afterwards. What does that change "
                "in the difference from the right token's logit?",
            ),
            Mistake(
                "axis-lost",
                lambda logits, target: by_hand(logits - logits.logsumexp(-1), target),
                "You combine (B, T) with (B, T, V), and do not say which axis the first one lacks. (A sum or a maximum "
                "keeps its axis with `keepdim=True`.)",
            ),
            Mistake(
                "gathered-without-an-axis",
                lambda logits, target: -logits.log_softmax(-1).gather(-1, target).mean(),
                "`gather` takes an index with as many axes as the table. Yours has one less: which one?",
            ),
            Mistake(
                "small-number-added",
                lambda logits, target: -(logits.softmax(-1).gather(-1, target[..., None]) + 1e-9).log().mean(),
                "Right on paper, but a small number added to a probability, or a lower bound on it, keeps the loss "
                "from growing. log_softmax needs neither.",
            ),
            Mistake(
                "zeros-left-out",
                lambda logits, target: _negative_log_likelihood(logits, target)[target != 0].mean(),
                "You leave out the tokens whose target is 0. In this task they count: the model must learn to stop.",
            ),
            Mistake(
                "probability-without-log",
                lambda logits, target: (1 - _negative_log_likelihood(logits, target).neg().exp()).mean(),
                "You take the probability of the right token as it is. Where is the logarithm?",
                also=(lambda logits, target: -_negative_log_likelihood(logits, target).neg().exp().mean(),),
            ),
            Mistake(
                "bits",
                lambda logits, target: _negative_log_likelihood(logits, target).mean() / torch.tensor(2.0).log(),
                "Right, but for the base of the logarithm. PyTorch's are natural: the loss is in nats.",
                also=(lambda logits, target: by_hand(logits, target) / torch.tensor(10.0).log(),),
            ),
            Mistake(
                "not-normalised",
                lambda logits, target: -logits.gather(-1, target[..., None]).mean(),
                "These are the logits of the right tokens. They are no log-probabilities before the log-softmax.",
            ),
        ),
    )
)


def sequence_loss(model: Seq2Seq, source: Tensor, target: Tensor) -> Tensor:
    return token_loss(model(source, target, teacher_forcing_ratio=1.0), target)


def _first_token_left_out(model, source, target):
    logits = model(source, target, teacher_forcing_ratio=1.0)
    return F.cross_entropy(logits[:, 1:].flatten(0, 1), target[:, 1:].flatten())


def _loss_and_gradient(answer: Callable, arguments: tuple) -> dict[str, Tensor]:
    """The loss, and the gradients that flow back through it."""
    model = arguments[0]
    with left_as_found(model):
        loss = answer(*arguments)
    if not isinstance(loss, Tensor) or loss.numel() != 1 or not loss.requires_grad:
        raise WrongAnswer("The loss should be a tensor with one number in it, from which gradients can flow back.")
    gradients = torch.autograd.grad(loss.reshape(()), list(model.parameters()), allow_unused=True)
    for (name, _), gradient in zip(model.named_parameters(), gradients, strict=True):
        if gradient is None:
            raise WrongAnswer(f"No gradient flows back from the loss to {name}.")
    return {"the loss": loss, "the gradients": torch.cat([gradient.flatten() for gradient in gradients])}


def _sources_and_targets() -> list[tuple[Seq2Seq, Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(5)
    return [  # in both modes, so that an answer that switches to one of them is noticed
        (
            random_model(seed).train(seed == 2),
            torch.randint(0, VOCABULARY, (b, s), generator=generator),
            torch.randint(0, VOCABULARY, (b, t), generator=generator),
        )
        for seed, b, s, t in ((1, 2, 4, 3), (2, 5, 3, 6), (3, 6, 8, 4))
    ]


def _loss_as(change: Callable, ratio: float = 1.0) -> Callable:
    """A wrong loss: `change` gets the logits and the target and gives back those that are compared."""

    def answer(model: Seq2Seq, source: Tensor, target: Tensor) -> Tensor:
        logits, wanted = change(model(source, target, ratio), target)
        return F.cross_entropy(logits.flatten(0, 1), wanted.flatten())

    return answer


def _loss_of(change: Callable) -> Callable:
    """A wrong loss: `change` gets the logits and the target and gives back the two that the loss is handed."""
    return lambda model, source, target: F.cross_entropy(*change(model(source, target, 1.0), target))


def _loss_with_a_start_token(first: int) -> Callable:
    """A wrong loss: the target has been given a start token, and the places from the first one on are compared."""

    def answer(model: Seq2Seq, source: Tensor, target: Tensor) -> Tensor:
        begun = torch.cat([start_tokens(target), target], dim=1)
        return token_loss(model(source, begun, 1.0)[:, first:], begun[:, first:])

    return answer


register(
    Exercise(
        id="3.4",
        title="Find the bug: a loss from somewhere else",
        minutes=10,
        difficulty=2,
        reference=sequence_loss,
        probes=_sources_and_targets,
        run=_loss_and_gradient,
        given=_first_token_left_out,
        mistakes=(
            Mistake(
                "first-token-left-out",
                _first_token_left_out,
                "The bug is still there: one place of every target has no part in the loss.",
            ),
            Mistake(
                "one-apart",
                _loss_as(lambda logits, target: (logits[:, :-1], target[:, 1:])),
                "Every step is compared with the token after the one it should write. `forward` has shifted already.",
            ),
            Mistake(
                "last-token-left-out",
                _loss_as(lambda logits, target: (logits[:, :-1], target[:, :-1])),
                "Now the last place has no part in the loss. All of them count.",
            ),
            Mistake(
                "shifted-twice",
                lambda model, source, target: token_loss(model(source, shift_right(target), 1.0), target),
                "You shift the target before `forward`, which shifts it as well.",
                also=(lambda model, source, target: sequence_loss(model, source, shift_right(target)),),
            ),
            Mistake(
                "axes-mixed",
                _loss_as(lambda logits, target: (logits.transpose(0, 1), target)),
                "The logits go through the batch in one order and the target in another.",
            ),
            Mistake(
                "never-forced",
                _loss_as(lambda logits, target: (logits, target), ratio=0.0),
                "All places count now, but the decoder reads its own guesses. This loss is for full teacher forcing.",
            ),
            Mistake(
                "coins-flipped",
                _loss_as(lambda logits, target: (logits, target), ratio=0.5),
                "All places count now, but the decoder reads its own guesses now and then: without a ratio, `forward` "
                "takes 0.5. Full teacher forcing is 1.",
            ),
            Mistake(
                "summed",
                lambda model, source, target: F.cross_entropy(
                    model(source, target, 1.0).flatten(0, 1), target.flatten(), reduction="sum"
                ),
                "This is the sum over all tokens. The loss is their mean.",
            ),
            Mistake(
                "zeros-left-out",
                lambda model, source, target: F.cross_entropy(
                    model(source, target, 1.0).flatten(0, 1), target.flatten(), ignore_index=0
                ),
                "Targets that are 0 have no part in your loss. In this task they count: a network must learn to stop.",
            ),
            Mistake(
                "cut-on-one-side",
                _loss_as(lambda logits, target: (logits, target[:, 1:])),
                "A place is cut off on one side, logits or target, and not on the other. They belong together place by "
                "place.",
                also=(_loss_as(lambda logits, target: (logits[:, 1:], target)),),
            ),
            Mistake(
                "compared-with-what-is-read",
                _loss_as(lambda logits, target: (logits[:, 1:], target[:, :-1])),
                "You compare every step with the token that it reads. Which one should it write?",
                also=(_loss_as(lambda logits, target: (logits, shift_right(target))),),
            ),
            Mistake(
                "start-token-twice",
                _loss_with_a_start_token(first=1),
                "You put a start token in front of the target. `forward` does that as well, so your decoder reads two.",
                also=(_loss_with_a_start_token(first=0),),
            ),
            Mistake(
                "first-token-never-written",
                lambda model, source, target: sequence_loss(model, source, target[:, 1:]),
                "Now the model itself gets a target without its first token. Who teaches it to write that one?",
            ),
            Mistake(
                "not-shifted",
                lambda model, source, target: token_loss(model.decoder(target, model.encoder(source))[0], target),
                "Your decoder reads at each step the very token it should write. `forward` shifts the target; "
                "`model.decoder` does not.",
            ),
            Mistake(
                "vocabulary-not-second",
                _loss_of(lambda logits, target: (logits, target)),
                "`F.cross_entropy` takes the second axis for the vocabulary. In (B, T, V) it is the last.",
            ),
            Mistake(
                "target-not-flattened",
                _loss_of(lambda logits, target: (logits.flatten(0, 1), target)),
                "You join the first two axes of the logits, and not those of the target.",
            ),
            Mistake(
                "flattened-to-a-row",
                _loss_of(lambda logits, target: (logits.flatten(), target.flatten())),
                "Your logits have become one long row. Each token needs a row of V logits for itself.",
            ),
            Mistake(
                "reshaped",
                _loss_of(lambda logits, target: (logits.reshape(len(logits), -1, logits.shape[1]), target)),
                "`view` and `reshape` cut the same sequence of numbers into other rows. They do not exchange two axes.",
            ),
            Mistake(
                "summed-over-an-axis",
                lambda model, source, target: sequence_loss(model, source, target) * target.shape[1],
                "You add up the tokens of an example, or the examples, and take the mean over the rest only. It should "
                "go over all tokens.",
                also=(lambda model, source, target: sequence_loss(model, source, target) * len(target),),
            ),
            Mistake(
                "softmax-twice",
                _loss_as(lambda logits, target: (logits.softmax(-1), target)),
                "Your loss takes the softmax twice: `F.cross_entropy` begins with logits.",
            ),
            Mistake(
                "arguments-swapped",
                _loss_of(lambda logits, target: (target.flatten(), logits.flatten(0, 1))),
                "`F.cross_entropy` takes the logits first, then the target.",
            ),
            Mistake(
                "not-normalised",
                lambda model, source, target: F.nll_loss(model(source, target, 1.0).flatten(0, 1), target.flatten()),
                "`F.nll_loss` takes log-probabilities, and what the model gives are logits.",
            ),
        ),
    )
)


def _sources_for_decoding() -> list[tuple[Seq2Seq, Tensor, int]]:
    generator = torch.Generator().manual_seed(0)
    return [
        (random_model(seed).eval(), torch.randint(0, VOCABULARY, (b, s), generator=generator), steps)
        for seed, b, s, steps in ((31, 3, 2, 5), (2, 9, 4, 8), (3, 11, 8, 10), (ZERO_SEED, 1, 6, 9), (1, 4, 3, 1))
    ]


CALLS_MORE = 3  # so many that coins which an answer flips itself hardly fall alike in all


def _always_the_same(answer: Callable, arguments: tuple, question: str) -> object:
    """What the answer gives back, if it gives the same again and again; the question asks why it may not."""
    again = copy.deepcopy(arguments)
    with left_as_found(arguments[0]):
        outcome = answer(*arguments)
    more = CALLS_MORE if isinstance(outcome, (Tensor, list, tuple)) else 0
    if any(difference(outcome, answer(*again)) for _ in range(more)):
        raise WrongAnswer(f"Called again with the same inputs, it gives back something else. {question}")
    return outcome


def _tokens(answer: Callable, arguments: tuple) -> object:
    tokens = _always_the_same(answer, arguments, "Does it draw tokens at random, or remember something?")
    _refuse_what_is_no_tensor(greedy_decode(*arguments), tokens)
    return tokens


def greedy_decode(model: Seq2Seq, source: Tensor, max_length: int) -> Tensor:
    return model.generate(source, max_length)


def _decode_as(
    next_token: Callable = lambda guess, token: guess,
    next_hidden: Callable = lambda new, first: new,
    after: Callable = lambda tokens: tokens,
    start: Callable = start_tokens,
    choose: Callable = lambda logits: logits.argmax(-1),
    joined: Callable = lambda tokens: torch.cat(tokens, dim=1),
    steps: Callable = lambda max_length: max_length,
    first_hidden: Callable = lambda hidden: hidden,
    kept: Callable = lambda guess, logits: guess,
) -> Callable:
    """A wrong greedy loop: it begins, chooses, goes on or ends in another way."""

    def answer(model: Seq2Seq, source: Tensor, max_length: int) -> Tensor:
        first = first_hidden(model.encoder(source))
        token, hidden, tokens = start(source), first, []
        for _ in range(steps(max_length)):
            logits, new_hidden = model.decoder(token, hidden)
            guess = choose(logits)
            tokens.append(kept(guess, logits))
            token, hidden = next_token(guess, token), next_hidden(new_hidden, first)
        return after(joined(tokens))

    return answer


def _decode_from_the_source(read: Callable) -> Callable:
    """A wrong loop: at step t it reads something of the source."""

    def answer(model: Seq2Seq, source: Tensor, max_length: int) -> Tensor:
        hidden, tokens = model.encoder(source), []
        for t in range(max_length):
            logits, hidden = model.decoder(read(source, t), hidden)
            tokens.append(logits.argmax(-1))
        return torch.cat(tokens, dim=1)  # uncovered: sources end sooner than outputs, and this with them

    return answer


def _decode_with_the_prefix(model: Seq2Seq, source: Tensor, max_length: int) -> Tensor:
    prefix, hidden = start_tokens(source), model.encoder(source)
    for _ in range(max_length):
        logits, hidden = model.decoder(prefix, hidden)
        prefix = torch.cat([prefix, logits[:, -1:].argmax(-1)], dim=1)
    return prefix[:, 1:]


def _columns_filled(tokens: list[Tensor]) -> None:
    """As far as it gets: a step's (B, 1) does not fit into (B,)."""
    table = torch.zeros(len(tokens[0]), len(tokens), dtype=torch.long)
    for t, token in enumerate(tokens):
        table[:, t] = token


def _decode_until_zero(model: Seq2Seq, source: Tensor, max_length: int) -> Tensor:
    tokens = model.generate(source, max_length)
    all_zero = (tokens == 0).all(dim=0).nonzero().flatten().tolist()
    return tokens[:, : all_zero[0] + 1] if all_zero else tokens


def _blank_after_zero(tokens: Tensor) -> Tensor:
    ended = (tokens == 0).cumsum(dim=1) > 0
    return torch.where(ended, 0, tokens)


register(
    Exercise(
        id="3.5",
        title="Greedy decoding",
        minutes=15,
        difficulty=2,
        reference=greedy_decode,
        probes=_sources_for_decoding,
        run=_tokens,
        mistakes=(
            Mistake(
                "stale-token",
                _decode_as(next_token=lambda guess, token: token),
                "Every step reads the start token. From the second step on, the decoder reads what "
                "it has just written.",
            ),
            Mistake(
                "state-not-carried",
                _decode_as(next_hidden=lambda new, first: first),
                "Every step starts from the encoder's state. The decoder's own new state goes on to the next step.",
            ),
            Mistake(
                "blanked-after-zero",
                _decode_as(after=_blank_after_zero),
                "You erase what comes after the first 0. Here the raw tokens are wanted: whoever reads them may cut.",
            ),
            Mistake(
                "stops-at-zero",
                _decode_until_zero,
                "Your loop ends when every example has written a 0, so the output is too short. "
                "Always write max_length.",
            ),
            Mistake(
                "start-token-kept",
                _decode_as(after=lambda tokens: torch.cat([start_tokens(tokens), tokens[:, :-1]], dim=1)),
                "Your output begins with the start token. That one is read, not written.",
            ),
            Mistake(
                "one-too-long",
                _decode_as(after=lambda tokens: torch.cat([start_tokens(tokens), tokens], dim=1)),
                "Your output is one token too long: the start token stands before what was written. It is only read.",
            ),
            Mistake(
                "steps-first",
                _decode_as(after=lambda tokens: tokens.T),
                "The tokens are right, but yours has a row for each step. Each source has a row: (B, max_length).",
            ),
            Mistake(
                "one-axis-too-many",
                _decode_as(joined=lambda tokens: torch.stack(tokens, dim=1)),
                "The tokens are right, but each is in a list of its own. What the decoder takes, (B, 1), has its axis "
                "of steps already.",
                also=(_decode_as(joined=torch.stack),),
            ),
            Mistake(
                "one-below-the-other",
                _decode_as(joined=torch.cat),
                "Your steps lie one below the other. Along which axis does a row grow?",
            ),
            Mistake(
                "one-too-short",
                _decode_as(steps=lambda max_length: max_length - 1),
                "Your output is one token too short. The start token is read, but it is not among those written.",
            ),
            Mistake(
                "always-eight",
                _decode_as(steps=lambda max_length: 8),
                "You always write eight tokens. How many are asked for?",
            ),
            Mistake(
                "last-token-only",
                _decode_as(joined=lambda tokens: tokens[-1]),
                "What you give back is the last token alone. Keep those of all steps.",
            ),
            Mistake(
                "begins-with-the-source",
                _decode_as(start=lambda source: source[:, :1]),
                "Your decoder begins with a token of the source, or with another one. It first reads the start token, "
                "0, whatever the source is.",
                also=(
                    _decode_as(start=lambda source: source[:, -1:]),
                    _decode_as(start=lambda source: torch.ones_like(source[:, :1])),
                ),
            ),
            Mistake(
                "token-without-the-time-axis",
                _decode_as(start=lambda source: start_tokens(source)[:, 0]),
                "A token that your decoder reads has no axis of steps. It takes tokens (B, 1), even for one step: the "
                "start token, and each guess.",
            ),
            Mistake(
                "one-token-for-all",
                _decode_as(start=lambda source: start_tokens(source)[:1]),
                "Your decoder reads one row for all the sources. Each needs a token of its own, (B, 1): the start "
                "token, then its guess.",
            ),
            Mistake(
                "start-with-a-decimal-point",
                _decode_as(start=lambda source: start_tokens(source).float()),
                "Your decoder reads numbers with a decimal point, as `torch.zeros` gives them, and as logits are. "
                "Tokens are whole numbers.",
            ),
            Mistake(
                "largest-over-another-axis",
                _decode_as(choose=lambda logits: logits.argmax(1)),
                "The logits of a token lie along the last axis. You look for the largest along another.",
            ),
            Mistake(
                "largest-of-all",
                _decode_as(choose=lambda logits: logits.argmax()),
                "Without an axis, `argmax` counts through the logits of all sources and gives one place for them "
                "together. Each source has a token of its own.",
            ),
            Mistake(
                "encoder-left-out",
                _decode_as(first_hidden=torch.zeros_like),
                "Your decoder begins with a state of zeros. From where should it know the source?",
            ),
            Mistake(
                "logits-given-back",
                _decode_as(kept=lambda guess, logits: logits),
                "You give back logits. Wanted are the tokens that are chosen from them.",
            ),
            Mistake(
                "logits-axis-kept",
                _decode_as(choose=lambda logits: logits.argmax(-1, keepdim=True)),
                "A token that your decoder reads has an axis too many. It takes (B, 1); `keepdim=True` and `topk` keep "
                "the axis of the logits as well.",
            ),
            Mistake(
                "state-not-whole",
                _decode_as(first_hidden=lambda hidden: hidden[-1]),
                "The state that your decoder gets is not whole. `model.encoder` gives back one thing, the state of all "
                "layers, (L, B, H).",
                also=(_decode_as(first_hidden=lambda hidden: hidden[-1:]),),
            ),
            Mistake(
                "reshaped",
                _decode_as(joined=lambda tokens: torch.cat(tokens).reshape(len(tokens[0]), -1)),
                "The tokens are right, but in other rows. `view` and `reshape` cut the same sequence of numbers into "
                "pieces; they do not exchange two axes.",
            ),
            Mistake(
                "prefix-read-again",
                _decode_with_the_prefix,
                "At each step your decoder reads all tokens so far, and begins with a state that has read them before. "
                "What is new to it at a step?",
            ),
            Mistake(
                "starts-as-many-as-the-source",
                _decode_as(start=torch.zeros_like),
                "Your decoder first reads as many start tokens as a source has tokens. It needs one: (B, 1).",
            ),
            Mistake(
                "first-step-only",
                _decode_as(steps=lambda max_length: 1),
                "Only the first step comes back. Is the `return` inside the loop?",
            ),
            Mistake(
                "step-does-not-fit",
                _decode_as(joined=_columns_filled),
                "What is chosen at a step is (B, 1), and the place where you put it is (B,).",
            ),
            Mistake(
                "one-end-asked-for",
                _decode_as(next_token=lambda guess, token: token if guess == 0 else guess),
                "`if` asks for one truth value, and gets one for each source. Here nothing needs to stop: there are "
                "always max_length steps.",
            ),
            Mistake(
                "source-read",
                _decode_from_the_source(lambda source, t: source[:, t][:, None]),
                "At step t your decoder reads token t of the source. What it knows of the source is in its state. What "
                "should it read before it writes the next token?",
            ),
            Mistake(
                "no-token-read",
                _decode_from_the_source(lambda source, t: source[:, t : t + 1]),
                "Your decoder gets a slice with no token in it. It should read one at each step: the start token, then "
                "what it has just written. (A source has no place in that, and may have fewer tokens than steps.)",
            ),
            Mistake(
                "maximum-as-a-pair",
                _decode_as(choose=lambda logits: logits.max(-1)),
                "`max` along an axis gives two things, the largest numbers and their places.",
            ),
        ),
    )
)


def _zeros_dropped(tokens):
    lengths = (tokens != 0).sum(dim=1)
    return [row[:n].tolist() for row, n in zip(tokens, lengths, strict=True)]


def _without_zeros_at_the_end(tokens: Tensor) -> list[list[int]]:
    rows = tokens.tolist()
    for row in rows:
        while row and row[-1] == 0:
            row.pop()
    return rows


def _written() -> list[tuple[Tensor]]:
    rows = [[4, 9, 0, 0], [5, 0, 3, 0], [7, 8, 6, 2], [0, 1, 1, 0], [2, 4, 4, 0]]
    generator = torch.Generator().manual_seed(2)
    return [
        (torch.tensor(rows[:2]),),
        (torch.tensor(rows),),
        (torch.randint(0, 4, (30, 7), generator=generator),),
        (torch.randint(1, 4, (3, 5), generator=generator),),
        (torch.tensor([[10, 27, 0, 5, 20, 0, 1, 1, 1, 1, 1, 1], [30, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0, 1], [7] * 12]),),
    ]


def _first_zero(row: list[int], otherwise: int) -> int:
    return row.index(0) if 0 in row else otherwise


def _rows_as(row_of: Callable) -> Callable:
    """A wrong cut: what `row_of` makes of each row."""
    return lambda tokens: [row_of(row) for row in tokens.tolist()]


def _as_long_as(lengths_of: Callable, strict: bool = False) -> Callable:
    """A wrong cut: each row as long as `lengths_of` says."""
    return lambda tokens: [row[:length].tolist() for row, length in zip(tokens, lengths_of(tokens != 0), strict=strict)]


def _cut_at_one_place(choose: Callable) -> Callable:
    """A wrong cut: all rows at the same place, chosen from where each ends."""

    def answer(tokens: Tensor) -> list[list[int]]:
        rows = tokens.tolist()
        place = choose(_first_zero(row, len(row)) for row in rows)
        return [row[:place] for row in rows]

    return answer


def _until_zero_without_a_bound(row: list[int] | Tensor) -> list[int] | Tensor:
    place = 0
    while row[place] != 0:
        place += 1
    return row[:place]


def _run_together(tokens: Tensor) -> list[int]:
    return [token for row in before_end(tokens) for token in row]


def _first_row_that_ends(tokens: Tensor) -> list[int] | None:
    return next((row for row, whole in zip(before_end(tokens), tokens, strict=True) if len(row) < len(whole)), None)


def _digits_before_zero(row: list[int]) -> list[int]:
    return [int(digit) for digit in "".join(map(str, row)).split("0")[0]]


register(
    Exercise(
        id="3.6",
        title="Find the bug: stopping at the end token",
        minutes=10,
        difficulty=1,
        reference=before_end,
        probes=_written,
        given=_zeros_dropped,
        mistakes=(
            Mistake(
                "counts-the-digits",
                _zeros_dropped,
                "The bug is still there: try a row that goes on writing after its first 0.",
            ),
            Mistake(
                "end-token-kept",
                lambda tokens: [row[: _first_zero(row, len(row)) + 1] for row in tokens.tolist()],
                "The end token itself is still in the result. It ends the text; it is not part of it.",
            ),
            Mistake(
                "last-zero",
                lambda tokens: [
                    row[: len(row) - 1 - row[::-1].index(0)] if 0 in row else row for row in tokens.tolist()
                ],
                "You cut at the last 0. The text ends at the first.",
            ),
            Mistake(
                "zeros-removed",
                lambda tokens: [[token for token in row if token] for row in tokens.tolist()],
                "You take out the zeros and keep what follows them. After the first 0 nothing counts.",
            ),
            Mistake(
                "zeros-at-the-end-removed",
                _without_zeros_at_the_end,
                "You take away the zeros that stand at the end. The text ends at the first 0, whatever follows it.",
            ),
            Mistake(
                "no-end-no-text",
                lambda tokens: [row[: _first_zero(row, 0)] for row in tokens.tolist()],
                "A row without any 0 comes back empty. It has not ended: keep all of it.",
            ),
            Mistake(
                "empty-row-kept-whole",
                lambda tokens: [row[: _first_zero(row, 0) or len(row)] for row in tokens.tolist()],
                "A row that begins with 0 comes back whole. It has ended before it began: nothing is left of it.",
            ),
            Mistake(
                "no-end-one-lost",
                lambda tokens: [row[: _first_zero(row, -1)] for row in tokens.tolist()],
                "A row without any 0 loses its last token. It has not ended: keep all of it.",
            ),
            Mistake(
                "one-cut-for-all",
                _cut_at_one_place(min),
                "All rows are cut at one place. Each has an end of its own.",
                also=(_cut_at_one_place(max),),
            ),
            Mistake(
                "no-zero-no-end",
                _rows_as(lambda row: row[: row.index(0)]),
                "You look for the first 0 in a row that has none. What should come back for such a row?",
                also=(
                    lambda tokens: [row[: (row == 0).nonzero()[0]].tolist() for row in tokens],
                    _rows_as(_until_zero_without_a_bound),
                    lambda tokens: [_until_zero_without_a_bound(row) for row in tokens],
                    _rows_as(lambda row: row[: next(place for place, token in enumerate(row) if token == 0)]),
                    _rows_as(lambda row: row[: min(place for place, token in enumerate(row) if token == 0)]),
                ),
            ),
            Mistake(
                "smallest-for-the-end",
                _rows_as(lambda row: row[: row.index(min(row))]),
                "A row without any 0 is cut at its smallest token. It has not ended: keep all of it.",
            ),
            Mistake(
                "rows-run-together",
                _run_together,
                "The rows run together. Each needs a list of its own, and a new one.",
                also=(lambda tokens: [_run_together(tokens)] * len(tokens),),
            ),
            Mistake(
                "rows-without-end-missing",
                lambda tokens: [row[: row.index(0)] for row in tokens.tolist() if 0 in row],
                "Rows without any 0 are missing in what you give back. They have not ended: keep all of them.",
            ),
            Mistake(
                "a-piece-for-each-zero",
                lambda tokens: [
                    row[:place] for row in tokens.tolist() for place, token in enumerate(row) if token == 0
                ],
                "You give back a piece for each 0. A row ends once: what should happen after its first 0?",
            ),
            Mistake(
                "first-row-only",
                lambda tokens: before_end(tokens)[:1],
                "Only the first row comes back. Is the `return` inside the loop?",
                also=(lambda tokens: before_end(tokens)[0], _first_row_that_ends),
            ),
            Mistake(
                "until-the-second-zero",
                lambda tokens: [row[(row == 0).cumsum(0) <= 1].tolist() for row in tokens],
                "You go on until the second 0. The text ends at the first.",
            ),
            Mistake(
                "one-too-many-cut",
                _rows_as(lambda row: row[: row.index(0) - 1] if 0 in row else row),
                "The token just before the 0 is cut off as well. What does the number behind the colon of a slice say?",
            ),
            Mistake(
                "zeros-for-the-rest",
                lambda tokens: tokens * (tokens != 0).cumprod(dim=1),
                "You write zeros over what follows the first 0, and the rows stay as long as they were. It should be "
                "left out.",
            ),
            Mistake(
                "lengths-given-back",
                lambda tokens: [len(row) for row in before_end(tokens)],
                "This is how many tokens stand before each end. Wanted are the tokens.",
            ),
            Mistake(
                "split-as-text",
                _rows_as(_digits_before_zero),
                "Where tokens are written one behind the other, one like 10 comes apart, and its 0 looks like an end.",
            ),
            Mistake(
                "along-the-batch",
                _as_long_as(lambda kept: kept.cumprod(dim=0).sum(dim=1)),
                "You count down the batch, from one row to the next. Where a row ends depends on its own tokens only.",
                also=(
                    _as_long_as(lambda kept: kept.cumprod(dim=1).sum(dim=0)),
                    lambda tokens: [
                        row[kept].tolist() for row, kept in zip(tokens, (tokens == 0).cumsum(0) == 0, strict=True)
                    ],
                ),
            ),
            Mistake(
                "more-ends-than-rows",
                _as_long_as(lambda kept: kept.cumprod(dim=1).sum(dim=0), strict=True),
                "You come to more ends than there are rows. Each row has one.",
            ),
        ),
    )
)


def forced_by_coins(model: Seq2Seq, source: Tensor, target: Tensor, coins: Tensor) -> Tensor:
    return model(source, target, coins=coins)


COINS_OR_TOKENS_DRAWN = "Does it flip coins of its own, draw its guesses at random, or remember something?"


def _logits_and_gradient(answer: Callable, arguments: tuple) -> dict[str, object]:
    """The logits, and the gradient that flows back through them to the encoder's embeddings."""
    model = arguments[0]
    logits = _always_the_same(answer, arguments, COINS_OR_TOKENS_DRAWN)
    if logits is None:
        return None
    _refuse_what_is_no_tensor(forced_by_coins(*arguments), logits)
    outcome = {"the logits": one_tensor(logits)}
    if isinstance(outcome["the logits"], Tensor) and outcome["the logits"].dim() == 3:
        gradient = _gradient(outcome["the logits"], model.encoder.embedding.weight)
        outcome["the gradient that reaches the encoder"] = gradient
    return outcome


SWAYED = (325, 54, 3, 47, 290)  # networks whose guesses depend much on what they read before


def _coins() -> list[tuple[Seq2Seq, Tensor, Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    patterns = ([True, False, False, True], [False, True, True, False, False, True], [True] * 5, [False] * 8)
    probes = []
    for seed, pattern, batch_size in zip(SWAYED, (*patterns, patterns[1]), (3, 4, 5, 6, 1), strict=True):
        source = torch.randint(0, VOCABULARY, (batch_size, 9), generator=generator)
        target = torch.randint(0, VOCABULARY, (batch_size, len(pattern)), generator=generator)
        model = random_model(seed).train(len(pattern) == 6)  # in both modes: an answer that switches is noticed
        probes.append((model, source, target, torch.tensor(pattern)))
    return probes


def _peeking(model: Seq2Seq, source: Tensor, target: Tensor, coins: Tensor) -> Tensor:
    token, hidden, logits = start_tokens(source), model.encoder(source), []
    for t in range(target.shape[1]):
        step_logits, hidden = model.decoder(token, hidden)
        logits.append(step_logits)
        token = target[:, t + 1 : t + 2] if coins[t] and t + 1 < len(coins) else step_logits.argmax(-1)
    return torch.cat(logits, dim=1)


def _guess_never_read(model: Seq2Seq, source: Tensor, target: Tensor, coins: Tensor) -> Tensor:
    token, hidden, logits = start_tokens(source), model.encoder(source), []
    for t in range(target.shape[1]):
        step_logits, hidden = model.decoder(token, hidden)
        logits.append(step_logits)
        if coins[t]:
            token = target[:, t : t + 1]
    return torch.cat(logits, dim=1)


def _guesses_made_beforehand(forcing: float) -> Callable:
    """A wrong answer that lets the network guess in a pass of its own, forced or not, before the one with coins."""

    def answer(model: Seq2Seq, source: Tensor, target: Tensor, coins: Tensor) -> Tensor:
        guesses = model(source, target, forcing).argmax(-1)
        return model(source, torch.where(coins, target, guesses), 1.0)

    return answer


def _coins_as(change: Callable) -> Callable:
    """The right loop with the wrong coins."""
    return lambda model, source, target, coins: model(source, target, coins=change(coins))


def _forced_as(
    next_hidden: Callable = lambda new, first: new,
    first_token: Callable = lambda source, target: start_tokens(source),
    first_hidden: Callable = lambda hidden: hidden,
    true_token: Callable = lambda target, t: target[:, t : t + 1],
    choose: Callable = lambda logits: logits.argmax(-1),
    coin: Callable = lambda coins, t: coins[t],
    joined: Callable = lambda logits: torch.cat(logits, dim=1),
    steps: Callable = lambda target: range(target.shape[1]),
) -> Callable:
    """A wrong loop: it begins, chooses, goes on or ends in another way."""

    def answer(model: Seq2Seq, source: Tensor, target: Tensor, coins: Tensor) -> Tensor:
        first = first_hidden(model.encoder(source))
        token, hidden, logits = first_token(source, target), first, []
        for t in steps(target):
            step_logits, new_hidden = model.decoder(token, hidden)
            logits.append(step_logits)
            token = true_token(target, t) if coin(coins, t) else choose(step_logits)
            hidden = next_hidden(new_hidden, first)
        return joined(logits)

    return answer


def _reads_what_it_should_write(model: Seq2Seq, source: Tensor, target: Tensor, coins: Tensor) -> Tensor:
    """Coin t decides what step t reads: where it is True, the very token that this step should write."""
    token, hidden, logits = start_tokens(source), model.encoder(source), []
    for t in range(target.shape[1]):
        step_logits, hidden = model.decoder(target[:, t : t + 1] if coins[t] else token, hidden)
        logits.append(step_logits)
        token = step_logits.argmax(-1)
    return torch.cat(logits, dim=1)


def _two_passes_mixed(forced_steps: Callable) -> Callable:
    """A wrong answer: where `forced_steps` says so, the logits of a pass that is always forced, else of a free one."""

    def answer(model: Seq2Seq, source: Tensor, target: Tensor, coins: Tensor) -> Tensor:
        forced, free = (model(source, target, ratio) for ratio in (1.0, 0.0))
        return torch.where(forced_steps(coins)[:, None], forced, free)

    return answer


def _chosen_in_a_square(model: Seq2Seq, source: Tensor, target: Tensor, coins: Tensor) -> Tensor:
    """The true tokens of a step, (B,), and the guesses, (B, 1), become (B, B)."""
    token, hidden, logits = start_tokens(source), model.encoder(source), []
    for t in range(target.shape[1]):
        step_logits, hidden = model.decoder(token, hidden)
        logits.append(step_logits)
        token = torch.where(coins[t], target[:, t], step_logits[:, -1:].argmax(-1))
    return torch.cat(logits, dim=1)


def _after_an_empty_step(logits: list[Tensor]) -> Tensor:
    return F.pad(torch.cat(logits, dim=1), (0, 0, 1, 0))


def _put_into_a_table(logits: list[Tensor]) -> None:
    """As far as it gets: a step's (B, 1, V) does not fit into (B, V)."""
    table = torch.zeros(len(logits[0]), len(logits), VOCABULARY)
    for t, step_logits in enumerate(logits):
        table[:, t] = step_logits


register(
    Exercise(
        id="3.7",
        title="Teacher forcing by coin flip",
        minutes=20,
        difficulty=3,
        reference=forced_by_coins,
        probes=_coins,
        run=_logits_and_gradient,
        mistakes=(
            Mistake(
                "coins-reversed",
                _coins_as(torch.logical_not),
                "Heads and tails have changed places: True means that the decoder reads the true token.",
            ),
            Mistake(
                "guesses-made-beforehand",
                _guesses_made_beforehand(0.0),
                "Your guesses were made in a pass of their own, in which the decoder had read other tokens. A guess "
                "follows from what was really read up to there.",
                also=(_guesses_made_beforehand(1.0),),
            ),
            Mistake(
                "coin-of-the-wrong-step",
                _coins_as(lambda coins: coins.roll(-1)),
                "The coin that you ask is one too late. What step t + 1 reads is decided by coin t, which is flipped "
                "after step t.",
            ),
            Mistake(
                "coin-beyond-the-last",
                _forced_as(coin=lambda coins, t: coins[t + 1]),
                "You ask for a coin beyond the last. There are as many as steps: coin t is flipped after step t, and "
                "decides what step t + 1 reads.",
            ),
            Mistake(
                "two-passes-mixed",
                _two_passes_mixed(lambda coins: coins),
                "You take the logits of each step from one of two passes, always forced and never forced. But what a "
                "step reads changes the state as well, from which all later steps go on.",
                also=(_two_passes_mixed(lambda coins: coins.roll(1)),),
            ),
            Mistake(
                "peeks-ahead",
                _peeking,
                "Where the coin says True, the decoder reads the very token that it should write next.",
                also=(
                    _forced_as(true_token=lambda target, t: target[:, t + 1][:, None]),
                    _reads_what_it_should_write,
                ),
            ),
            Mistake(
                "one-coin-for-all-steps",
                _coins_as(lambda coins: coins[:1].expand_as(coins)),
                "The first coin decides for the whole sequence. Each step has a coin of its own.",
            ),
            Mistake(
                "coin-of-the-step-before",
                _coins_as(lambda coins: coins.roll(1)),
                "You look at the coin of the step before. Coin t is flipped after step t and decides "
                "what step t + 1 reads.",
            ),
            Mistake(
                "guess-never-read",
                _guess_never_read,
                "Where the coin says False, your decoder reads once more what it has read. There its own guess is due.",
            ),
            Mistake(
                "never-forced",
                _coins_as(torch.zeros_like),
                "Your decoder always reads its own guess. Where the coin says True, it reads the true token. (`coins` "
                "is a tensor: `if coins[t]` asks it, while `coins[t] is True` never holds.)",
            ),
            Mistake(
                "no-gradient",
                lambda model, source, target, coins: model(source, target, coins=coins).detach(),
                "The logits are right, but no gradient flows back through them to the encoder. Is there a detach() or "
                "a no_grad()?",
            ),
            Mistake(
                "state-detached",
                _forced_as(lambda new, first: new.detach()),
                "The logits are right, but the gradient does not flow back from step to step. Is the state detached "
                "on the way?",
            ),
            Mistake(
                "state-not-carried",
                _forced_as(lambda new, first: first),
                "Every step starts from the encoder's state. The decoder's own new state goes on to the next step.",
            ),
            Mistake(
                "starts-from-the-target",
                _forced_as(first_token=lambda source, target: target[:, :1]),
                "Your decoder first reads the first token of the target, which it should write. It begins with the "
                "start token, 0.",
            ),
            Mistake(
                "a-coin-for-each-row",
                lambda model, source, target, coins: model(
                    source, target, coins=coins[: len(target), None].expand_as(target)
                ),
                "You take coin b for row b of the batch. Coin t is flipped after step t, for all rows.",
            ),
            Mistake(
                "probabilities",
                lambda model, source, target, coins: model(source, target, coins=coins).softmax(-1),
                "These are probabilities, or their logarithms. Logits are what comes before the softmax.",
                also=(lambda model, source, target, coins: model(source, target, coins=coins).log_softmax(-1),),
            ),
            Mistake(
                "tokens-given-back",
                lambda model, source, target, coins: model(source, target, coins=coins).argmax(-1),
                "You give back tokens. Wanted are the logits from which each was chosen: a loss needs them.",
            ),
            Mistake(
                "always-forced",
                _coins_as(torch.ones_like),
                "Your decoder always reads the true token. Where the coin says False, it reads its own guess.",
            ),
            Mistake(
                "true-token-of-the-step-before",
                _forced_as(true_token=lambda target, t: target[:, t - 1 : t]),
                "Where coin t says True, you take the token t - 1, and at the first step there is none. Which token "
                "should step t have written?",
                also=(
                    _forced_as(true_token=lambda target, t: target[:, [t - 1]]),
                    _forced_as(true_token=lambda target, t: shift_right(target)[:, [t]]),
                ),
            ),
            Mistake(
                "all-coins-at-once",
                _forced_as(coin=lambda coins, t: coins),
                "`if` asks for one truth value, and gets a tensor of several. Which of the coins decides here?",
            ),
            Mistake(
                "token-without-its-axis",
                _forced_as(true_token=lambda target, t: target[:, t]),
                "A token that your decoder reads has no axis of steps. It takes tokens (B, 1): the start token, the "
                "true ones, each a column of the target and not a row, and the guesses.",
            ),
            Mistake(
                "another-start-token",
                _forced_as(first_token=lambda source, target: torch.ones_like(target[:, :1])),
                "Your decoder begins with a token of the source, or with another one. It first reads the start token, "
                "0, whatever the source is.",
                also=(
                    _forced_as(first_token=lambda source, target: source[:, :1]),
                    _forced_as(first_token=lambda source, target: source[:, -1:]),
                ),
            ),
            Mistake(
                "numbers-with-a-decimal-point-read",
                _forced_as(first_token=lambda source, target: start_tokens(source).float()),
                "Your decoder reads numbers with a decimal point, as `torch.zeros` gives them, and as logits are. "
                "Tokens are whole numbers.",
            ),
            Mistake(
                "one-token-for-all",
                _forced_as(first_token=lambda source, target: start_tokens(source)[:1]),
                "Your decoder reads one row for all the sources. Each needs a token of its own, (B, 1): the start "
                "token, then the true one or its guess.",
            ),
            Mistake(
                "encoder-left-out",
                _forced_as(first_hidden=torch.zeros_like),
                "Your decoder begins with a state of zeros. From where should it know the source?",
            ),
            Mistake(
                "largest-over-another-axis",
                _forced_as(choose=lambda logits: logits.argmax(1)),
                "The logits of a token lie along the last axis. You look for the largest along another.",
            ),
            Mistake(
                "largest-of-all",
                _forced_as(choose=lambda logits: logits.argmax()),
                "Without an axis, `argmax` counts through the logits of all sources and gives one place for them "
                "together. Each source has a guess of its own.",
            ),
            Mistake(
                "logits-axis-kept",
                _forced_as(choose=lambda logits: logits.argmax(-1, keepdim=True)),
                "A token that your decoder reads has an axis too many. It takes (B, 1); `keepdim=True` and `topk` keep "
                "the axis of the logits as well.",
            ),
            Mistake(
                "state-not-whole",
                _forced_as(first_hidden=lambda hidden: hidden[-1]),
                "The state that your decoder gets is not whole. `model.encoder` gives back one thing, the state of all "
                "layers, (L, B, H).",
                also=(_forced_as(first_hidden=lambda hidden: hidden[-1:]),),
            ),
            Mistake(
                "every-token-with-every-guess",
                _chosen_in_a_square,
                "The true tokens that you choose from are (B,), and the guesses (B, 1). Side by side they make a table "
                "(B, B).",
            ),
            Mistake(
                "steps-in-one-row",
                _forced_as(joined=lambda logits: torch.cat([step[:, 0] for step in logits], dim=1)),
                "You take away the axis of steps, and then the logits of all steps stand in one row. Along which axis "
                "should they be joined?",
            ),
            Mistake(
                "first-step-only",
                _forced_as(steps=lambda target: range(1)),
                "Only the first step comes back. Is the `return` inside the loop?",
            ),
            Mistake(
                "maximum-as-a-pair",
                _forced_as(choose=lambda logits: logits.max(-1)),
                "`max` along an axis gives two things, the largest numbers and their places.",
            ),
            Mistake(
                "steps-first",
                lambda model, source, target, coins: model(source, target, coins=coins).transpose(0, 1),
                "The logits are right, but yours begin with the axis of steps. The batch comes first: (B, T, V).",
            ),
            Mistake(
                "one-axis-too-many",
                _forced_as(joined=lambda logits: torch.stack(logits, dim=1)),
                "The logits are right, but those of each step lie in a table of their own. What the decoder gives, (B, "
                "1, V), has its axis of steps already.",
                also=(_forced_as(joined=torch.stack),),
            ),
            Mistake(
                "one-below-the-other",
                _forced_as(joined=torch.cat),
                "Your steps lie one below the other. Along which axis should they be joined?",
            ),
            Mistake(
                "last-step-only",
                _forced_as(joined=lambda logits: logits[-1]),
                "What you give back are the logits of the last step alone. Keep those of all steps.",
            ),
            Mistake(
                "one-too-short",
                _forced_as(steps=lambda target: range(target.shape[1] - 1)),
                "Your logits are those of one step too few. How many tokens has a target?",
                also=(_forced_as(steps=lambda target: range(1, target.shape[1])),),
            ),
            Mistake(
                "as-many-steps-as-rows",
                _forced_as(steps=lambda target: range(len(target))),
                "You take as many steps as there are rows: `len(target)` is how many examples it has.",
            ),
            Mistake(
                "first-step-left-out",
                _forced_as(steps=lambda target: range(1, target.shape[1]), joined=_after_an_empty_step),
                "Your first step's logits are zeros, as if nothing had been written there. Does the loop begin at 1?",
                also=(
                    _forced_as(
                        first_token=lambda source, target: target[:, :1],
                        steps=lambda target: range(1, target.shape[1]),
                        joined=_after_an_empty_step,
                    ),
                ),
            ),
            Mistake(
                "step-does-not-fit",
                _forced_as(joined=_put_into_a_table),
                "What the decoder gives for a step is (B, 1, V), and the place where you put it is (B, V).",
            ),
        ),
    )
)


def after_first_error(output: Tensor, target: Tensor) -> float:
    return accuracy_after_first_error(output, output, target)


def _outputs_with_errors() -> list[tuple[Tensor, Tensor]]:
    output = [[5, 9, 7, 4, 0, 0], [4, 4, 7, 0, 5, 1], [7, 4, 3, 9, 4, 4], [4, 8, 3, 0, 6, 0]]
    wanted = [[5, 9, 7, 4, 0, 0], [4, 4, 7, 8, 0, 0], [5, 4, 3, 9, 4, 0], [4, 3, 6, 0, 0, 0]]
    probes = [(torch.tensor(output), torch.tensor(wanted))]  # small enough to be looked at; tells all mistakes apart
    generator = torch.Generator().manual_seed(0)
    for b, t, share in ((4, 6, 0.4), (30, 8, 0.2), (1, 9, 0.4), (12, 5, 0.3), (5, 12, 0.3)):
        target = torch.randint(0, VOCABULARY, (b, t), generator=generator)
        wrong = torch.rand((b, t), generator=generator) < share
        shift = torch.randint(1, VOCABULARY, (b, t), generator=generator)
        if b > 1:
            wrong[0], wrong[1] = False, torch.arange(t) == t - 1  # no error; one, with nothing after it
        probes.append((torch.where(wrong, (target + shift) % VOCABULARY, target), target))
    return probes


def _only_the_next_place(output: Tensor, target: Tensor) -> Tensor:
    wrong = output != target
    first = wrong & (wrong.cumsum(1) == 1)
    return (~wrong)[:, 1:][first[:, :-1]].double().mean()


def _from_the_front_without_error(output: Tensor, target: Tensor) -> Tensor:
    first = (output != target).int().argmax(dim=1, keepdim=True)
    return torch.arange(output.shape[1]) > first


def _from_the_first_error_or_the_front(output: Tensor, target: Tensor) -> Tensor:
    first = (output != target).int().argmax(dim=1, keepdim=True)
    return torch.arange(output.shape[1]) >= first


def _errors_before(output: Tensor, target: Tensor) -> Tensor:
    wrong = output != target
    return wrong.cumsum(1) - wrong.long()


def _after_as(after: Callable) -> Callable:
    """A wrong share: of the right places, among those that `after` takes to come after the first error."""
    return lambda output, target: (output == target)[after(output, target)].double().mean()


def _after_any_error(output: Tensor, target: Tensor) -> Tensor:
    after = torch.zeros_like(output, dtype=torch.bool)
    after[:, 1:] = (output != target)[:, :-1]
    return after


def _after_the_last_error(output: Tensor, target: Tensor) -> Tensor:
    wrong = output != target
    return (_errors_before(output, target) == wrong.sum(1, keepdim=True)) & (_errors_before(output, target) > 0)


def _after_an_error_of_any_row(output: Tensor, target: Tensor) -> Tensor:
    return _errors_before(output.flatten()[None], target.flatten()[None]).view_as(output) > 0


def _shares_of_rows(output: Tensor, target: Tensor) -> Tensor:
    """The share of each row, not a number where nothing comes after an error."""
    after = _errors_before(output, target) > 0
    return ((output == target) & after).sum(1) / after.sum(1)


def _mean_of_rows_as(mean: Callable) -> Callable:
    """A wrong mean of the rows' shares: `mean` gets them and says what becomes of those that are not a number."""
    return lambda output, target: mean(_shares_of_rows(output, target), (output != target).any(1))


def _without_a_bound(first_error: Callable) -> Callable:
    """A wrong loop over the rows: `first_error` gets where a row is wrong, and finds nothing in a row that is right."""

    def answer(output: Tensor, target: Tensor) -> Tensor:
        rows = zip(output, target, strict=True)
        return torch.cat([(row == true)[first_error(row != true) + 1 :] for row, true in rows]).double().mean()

    return answer


def _divided_by(number: Callable) -> Callable:
    """A wrong share: the right places after an error, divided by another number than that of all such places."""
    return lambda output, target: (
        ((output == target) & (_errors_before(output, target) > 0)).sum() / number(output, target)
    )


register(
    Exercise(
        id="3.8",
        title="Accuracy after the first error",
        minutes=15,
        difficulty=3,
        reference=after_first_error,
        probes=_outputs_with_errors,
        mistakes=(
            Mistake(
                "first-error-counted",
                _after_as(lambda output, target: (output != target).cumsum(1) > 0),
                "You count the first error itself, which is always wrong. What comes after it?",
            ),
            Mistake(
                "all-tokens",
                token_accuracy,
                "This is the accuracy over all tokens. Those before the first error, and rows "
                "without any, do not count.",
            ),
            Mistake(
                "mean-of-rows",
                _mean_of_rows_as(lambda shares, failed: shares.nanmean()),
                "You average each row first. A row with one token left then weighs as much as a row with seven.",
                also=(
                    _mean_of_rows_as(lambda shares, failed: torch.where(failed, shares, 1.0).nanmean()),
                    _mean_of_rows_as(lambda shares, failed: shares.nan_to_num(1.0).mean()),
                    _mean_of_rows_as(lambda shares, failed: shares.nan_to_num(0.0).mean()),
                    _mean_of_rows_as(lambda shares, failed: shares[failed].nan_to_num(0.0).mean()),
                    _mean_of_rows_as(lambda shares, failed: shares[failed].mean()),
                    _mean_of_rows_as(lambda shares, failed: shares.mean()),
                    _mean_of_rows_as(lambda shares, failed: torch.where(failed, shares, 1.0).mean()),
                    _mean_of_rows_as(lambda shares, failed: torch.where(failed, shares, 0.0).mean()),
                ),
            ),
            Mistake(
                "rows-without-error-counted",
                _after_as(_from_the_front_without_error),
                "Rows without any error are counted as well. They have nothing after an error.",
                also=(
                    _after_as(_from_the_first_error_or_the_front),
                    _after_as(
                        lambda output, target: (
                            (_errors_before(output, target) > 0) | (output == target).all(1, keepdim=True)
                        )
                    ),
                ),
            ),
            Mistake(
                "share-of-all-places",
                lambda output, target: ((output == target) & ((output != target).cumsum(1) > 0)).double().mean(),
                "The right places above the line, but below it you count all places. Divide by those after an error.",
            ),
            Mistake(
                "only-the-next-place",
                _only_the_next_place,
                "You look only at the place right after the error. All that follow count.",
            ),
            Mistake(
                "no-error-no-first",
                _without_a_bound(lambda wrong: wrong.nonzero()[0]),
                "You look for the first error in a row that has none. Which places of such a row count?",
                also=(
                    _without_a_bound(lambda wrong: np.flatnonzero(wrong)[0]),
                    _without_a_bound(lambda wrong: wrong.tolist().index(True)),
                    _without_a_bound(lambda wrong: (~wrong).tolist().index(False)),
                    _without_a_bound(lambda wrong: wrong.nonzero().min()),
                    _without_a_bound(lambda wrong: next(place for place, error in enumerate(wrong) if error)),
                    _without_a_bound(lambda wrong: min(place for place, error in enumerate(wrong) if error)),
                ),
            ),
            Mistake(
                "rows-with-an-error",
                lambda output, target: (output == target)[(output != target).any(1)].double().mean(),
                "The right rows, but all their tokens. Only those after the first error count.",
            ),
            Mistake(
                "errors-along-the-batch",
                _after_as(lambda output, target: ((output != target).cumsum(0) - (output != target).long()) > 0),
                "You count errors down the batch, from one example to the next. Count along the tokens of each.",
            ),
            Mistake(
                "not-divided",
                lambda output, target: ((output == target) & (_errors_before(output, target) > 0)).sum(),
                "This is how many of them are right. The measure is their share.",
            ),
            Mistake(
                "share-of-errors",
                lambda output, target: 1 - after_first_error(output, target),
                "This is the share that is wrong. Which share is right?",
            ),
            Mistake(
                "second-error-awaited",
                _after_as(lambda output, target: (output != target).cumsum(1) > 1),
                "You begin at the second error. The places between the first and the second come after the first, too.",
            ),
            Mistake(
                "until-the-second-error",
                _after_as(lambda output, target: _errors_before(output, target) == 1),
                "You stop at the second error. All places after the first count, however many errors follow.",
            ),
            Mistake(
                "right-after-any-error",
                _after_as(_after_any_error),
                "You look at the places right after an error, any error. All that come after a row's first one count.",
            ),
            Mistake(
                "rolled",
                _after_as(lambda output, target: (output != target).cumsum(1).roll(1, 1) > 0),
                "With `roll`, what belongs to the last place comes round to the first. Nothing comes after the last.",
            ),
            Mistake(
                "zeros-left-out",
                _after_as(lambda output, target: (_errors_before(output, target) > 0) & (target != 0)),
                "You leave out the places whose target is 0. All places after the first error count.",
            ),
            Mistake(
                "right-ones-only",
                _after_as(lambda output, target: (output != target).cumsum(1) == 0),
                "All the places that you count are right. What follows an error may be wrong, and counts as well.",
                also=(_after_as(_after_the_last_error),),
            ),
            Mistake(
                "up-to-the-first-error",
                _after_as(lambda output, target: _errors_before(output, target) == 0),
                "You count the places up to the first error, and rows without any. Which places come after it?",
            ),
            Mistake(
                "errors-run-on",
                _after_as(_after_an_error_of_any_row),
                "An error counts for the rows below, too. Every row begins anew, without any error.",
            ),
            Mistake(
                "one-for-each-row",
                _shares_of_rows,
                "You give back a share for each row. Wanted is one, of all such places together.",
                also=(lambda output, target: _shares_of_rows(output, target).nan_to_num(0.0),),
            ),
            Mistake(
                "divided-by-rows",
                _divided_by(lambda output, target: len(output)),
                "You divide by a number of rows. What you have counted are places.",
                also=(_divided_by(lambda output, target: (output != target).any(1).sum()),),
            ),
            Mistake(
                "other-places-right",
                lambda output, target: ((output == target) | (_errors_before(output, target) == 0)).double().mean(),
                "The places that should be left out count as right in yours. Have you made both sides alike there?",
            ),
            Mistake(
                "share-that-comes-after",
                lambda output, target: (_errors_before(output, target) > 0).double().mean(),
                "This is the share of places that come after an error. Which share of these is right?",
            ),
            Mistake(
                "counts-as-an-index",
                _after_as(_errors_before),
                "Whole numbers as an index pick rows. Places are picked by truth values: what must hold of a count?",
                also=(_after_as(lambda output, target: (output != target).cumsum(1)),),
            ),
            Mistake(
                "truth-values-subtracted",
                _after_as(lambda output, target: (output != target).cumsum(1) - (output != target)),
                "PyTorch does not subtract truth values. What are they as whole numbers?",
            ),
            Mistake(
                "rows-beside-places",
                _after_as(lambda output, target: torch.arange(output.shape[1]) > (output != target).int().argmax(1)),
                "You lay one number for each row, (N,), beside one for each place, (T,). An axis more makes the first "
                "a column.",
            ),
            Mistake(
                "mean-of-truth-values",
                lambda output, target: (output == target)[_errors_before(output, target) > 0].mean(),
                "PyTorch takes no mean of truth values. What are they as numbers?",
            ),
            Mistake(
                "percent",
                lambda output, target: 100 * after_first_error(output, target),
                "This is in per cent. A share lies between 0 and 1.",
            ),
        ),
    )
)

"""Exercises of notebook 03: the shift, the loss, greedy decoding, coin-flip forcing, what follows an error."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..evaluation import accuracy_after_first_error, token_accuracy, token_loss
from ..model import Seq2Seq, shift_right, start_tokens
from .engine import Exercise, Mistake, register
from .probes import VOCABULARY, random_model

ZERO_SEED = 33  # a model that writes a 0 before its last token, and goes on


def _targets() -> list[tuple[Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [(torch.randint(1, 10, shape, generator=generator),) for shape in ((2, 4), (5, 8), (3, 6))]


register(
    Exercise(
        id="3.1",
        title="The shifted target",
        minutes=5,
        difficulty=1,
        reference=shift_right,
        probes=_targets,
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
            ),
            Mistake(
                "one-too-long",
                lambda target: torch.cat([start_tokens(target), target], dim=1),
                "One token too many: after the last target token there is nothing left to write.",
            ),
        ),
    )
)


def _logits_and_targets() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [  # the last has logits so large that their exponentials overflow
        (
            scale * torch.randn(b, t, VOCABULARY, generator=generator),
            torch.randint(0, VOCABULARY, (b, t), generator=generator),
        )
        for b, t, scale in ((2, 3, 3), (5, 4, 3), (3, 8, 3), (4, 5, 100))
    ]


def _negative_log_likelihood(logits: Tensor, target: Tensor, axis: int = -1) -> Tensor:
    return -logits.log_softmax(axis).gather(-1, target[..., None]).squeeze(-1)


register(
    Exercise(
        id="3.2",
        title="Cross-entropy by hand",
        minutes=15,
        difficulty=2,
        reference=token_loss,
        probes=_logits_and_targets,
        mistakes=(
            Mistake(
                "softmax-over-positions",
                lambda logits, target: _negative_log_likelihood(logits, target, axis=1).mean(),
                "Your probabilities add up to 1 over the positions. They should add up to 1 over the vocabulary.",
            ),
            Mistake(
                "summed-over-tokens",
                lambda logits, target: _negative_log_likelihood(logits, target).sum(dim=1).mean(),
                "This is the loss of a whole sequence. The mean is over all tokens.",
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
            ),
            Mistake(
                "zeros-left-out",
                lambda logits, target: _negative_log_likelihood(logits, target)[target != 0].mean(),
                "You leave out the tokens whose target is 0. In this task they count: the model must learn to stop.",
            ),
            Mistake(
                "probability-without-log",
                lambda logits, target: (1 - _negative_log_likelihood(logits, target).neg().exp()).mean(),
                "This is one minus the probability of the right token. Where is the logarithm?",
            ),
            Mistake(
                "bits",
                lambda logits, target: _negative_log_likelihood(logits, target).mean() / torch.tensor(2.0).log(),
                "Right, but in bits. PyTorch's logarithms are natural: the loss is in nats.",
            ),
            Mistake(
                "not-normalised",
                lambda logits, target: -logits.gather(-1, target[..., None]).mean(),
                "These are the logits of the right tokens. They are no log-probabilities before the log-softmax.",
            ),
        ),
    )
)


def _sources_for_decoding() -> list[tuple[Seq2Seq, Tensor, int]]:
    generator = torch.Generator().manual_seed(0)
    return [
        (random_model(seed).eval(), torch.randint(0, VOCABULARY, (b, s), generator=generator), steps)
        for seed, b, s, steps in ((1, 2, 3, 4), (2, 9, 4, 8), (3, 11, 8, 10), (ZERO_SEED, 1, 6, 9))
    ]


def greedy_decode(model: Seq2Seq, source: Tensor, max_length: int) -> Tensor:
    return model.generate(source, max_length)


def _decode_as(next_token, next_hidden, after=lambda tokens: tokens) -> object:
    """A wrong greedy loop, put together from what it hands to the next step."""

    def answer(model: Seq2Seq, source: Tensor, max_length: int) -> Tensor:
        first = model.encoder(source)
        token, hidden, tokens = start_tokens(source), first, []
        for _ in range(max_length):
            logits, new_hidden = model.decoder(token, hidden)
            guess = logits.argmax(-1)
            tokens.append(guess)
            token, hidden = next_token(guess, token), next_hidden(new_hidden, first)
        return after(torch.cat(tokens, dim=1))

    return answer


def _decode_until_zero(model: Seq2Seq, source: Tensor, max_length: int) -> Tensor:
    tokens = model.generate(source, max_length)
    all_zero = (tokens == 0).all(dim=0).nonzero().flatten().tolist()
    return tokens[:, : all_zero[0] + 1] if all_zero else tokens


def _blank_after_zero(tokens: Tensor) -> Tensor:
    ended = (tokens == 0).cumsum(dim=1) > 0
    return torch.where(ended, 0, tokens)


register(
    Exercise(
        id="3.3",
        title="Greedy decoding",
        minutes=15,
        difficulty=2,
        reference=greedy_decode,
        probes=_sources_for_decoding,
        mistakes=(
            Mistake(
                "stale-token",
                _decode_as(lambda guess, token: token, lambda new, first: new),
                "Every step reads the start token. From the second step on, the decoder reads what "
                "it has just written.",
            ),
            Mistake(
                "state-not-carried",
                _decode_as(lambda guess, token: guess, lambda new, first: first),
                "Every step starts from the encoder's state. The decoder's own new state goes on to the next step.",
            ),
            Mistake(
                "blanked-after-zero",
                _decode_as(lambda guess, token: guess, lambda new, first: new, _blank_after_zero),
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
                _decode_as(
                    lambda guess, token: guess,
                    lambda new, first: new,
                    lambda tokens: torch.cat([torch.zeros_like(tokens[:, :1]), tokens[:, :-1]], dim=1),
                ),
                "Your output begins with the start token. That one is read, not written.",
            ),
        ),
    )
)


def forced_by_coins(model: Seq2Seq, source: Tensor, target: Tensor, coins: Tensor) -> Tensor:
    return model(source, target, coins=coins)


def _logits_and_gradient(answer: Callable, arguments: tuple) -> tuple[Tensor, ...]:
    """The logits, and the gradient that flows back through them to the encoder's embeddings."""
    model = arguments[0]
    logits = answer(*arguments)
    if not isinstance(logits, Tensor) or logits.dim() != 3:
        return logits
    if not logits.requires_grad:
        return logits, torch.zeros(0)
    return logits, torch.autograd.grad(logits.square().mean(), model.encoder.embedding.weight)[0]


def _coins() -> list[tuple[Seq2Seq, Tensor, Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    patterns = ([True, False, False, True], [False, True, True, False, False, True], [True] * 5, [False] * 8)
    probes = []
    for seed, pattern in enumerate(patterns, start=1):
        batch_size = seed + 2
        source = torch.randint(0, VOCABULARY, (batch_size, 9), generator=generator)
        target = torch.randint(0, VOCABULARY, (batch_size, len(pattern)), generator=generator)
        probes.append((random_model(seed).eval(), source, target, torch.tensor(pattern)))
    return probes


def _coins_as(change) -> object:
    """The right loop with the wrong coins."""
    return lambda model, source, target, coins: model(source, target, coins=change(coins))


register(
    Exercise(
        id="3.4",
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
                "coin-of-the-wrong-step",
                _coins_as(lambda coins: coins.roll(-1)),
                "You look at the next step's coin. Coin t is flipped after step t and decides what step t + 1 reads.",
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
                "never-forced",
                _coins_as(torch.zeros_like),
                "Your decoder always reads its own guess. Where the coin says True, it reads the true token.",
            ),
            Mistake(
                "no-gradient",
                lambda model, source, target, coins: model(source, target, coins=coins).detach(),
                "The logits are right, but no gradient flows back through them. Is there a detach() or a no_grad()?",
            ),
            Mistake(
                "always-forced",
                _coins_as(torch.ones_like),
                "Your decoder always reads the true token. Where the coin says False, it reads its own guess.",
            ),
        ),
    )
)


def after_first_error(output: Tensor, target: Tensor) -> float:
    return accuracy_after_first_error(output, output, target)


def _outputs_with_errors() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    probes = []
    for b, t, share in ((4, 6, 0.3), (30, 8, 0.2)):
        target = torch.randint(0, VOCABULARY, (b, t), generator=generator)
        wrong = torch.rand((b, t), generator=generator) < share
        wrong[0] = False
        probes.append((torch.where(wrong, (target + 1) % VOCABULARY, target), target))
    return probes


def _only_the_next_place(output: Tensor, target: Tensor) -> Tensor:
    wrong = output != target
    first = wrong & (wrong.cumsum(1) == 1)
    return (~wrong)[:, 1:][first[:, :-1]].double().mean()


def _mean_of_rows(output: Tensor, target: Tensor) -> float:
    wrong = output != target
    after = (wrong.cumsum(1) - wrong.long()) > 0
    rows = after.any(1)
    return (((~wrong) & after).sum(1)[rows] / after.sum(1)[rows]).mean().item()


register(
    Exercise(
        id="3.5",
        title="Accuracy after the first error",
        minutes=15,
        difficulty=3,
        reference=after_first_error,
        probes=_outputs_with_errors,
        mistakes=(
            Mistake(
                "first-error-counted",
                lambda output, target: (output == target)[(output != target).cumsum(1) > 0].double().mean(),
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
                _mean_of_rows,
                "You average each row first. A row with one token left then weighs as much as a row with seven.",
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
                "rows-with-an-error",
                lambda output, target: (output == target)[(output != target).any(1)].double().mean(),
                "The right rows, but all their tokens. Only those after the first error count.",
            ),
        ),
    )
)

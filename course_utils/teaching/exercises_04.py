"""Exercises of notebook 04: a step, fresh examples, the best weights, evaluation, perplexity, resuming."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from itertools import islice, pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..evaluation import token_accuracy, token_loss
from ..model import Seq2Seq, shift_right
from ..task import SubstringTask
from ..training import train_step as canonical_train_step
from .comparison import difference
from .engine import Exercise, Mistake, register
from .probes import VOCABULARY, fill_at_random, left_as_found, random_model
from .trials import WrongAnswer

GRADIENT_CLIP = 1.0
UNLIKELY_SEED = 733_190  # which nobody else hands to PyTorch's own generator
# 49 is 7 squared; 71 and then 0 reads like 7 and then 10; and whoever adds multiples of 100 or 1000 meets the last two.
OTHER_SEEDS = (14, 9, 8, 49, 71, 107, 1007)
MANY_EPOCHS = 12
LONGEST_RUN = 1_000_000  # epochs; seeds that meet only in a longer one do no harm
SMALL_SET = 256  # seeds; a run with seed 1007 begins from smaller ones only where they are drawn from few
SECOND_LOOK = 2.5  # by so much a network's loss is worse when it is measured again
TASK_LENGTH = 10  # with so many inputs, no example comes twice by chance


def _batch(generator: torch.Generator, batch_size: int = 5) -> tuple[Tensor, Tensor]:
    source = torch.randint(0, VOCABULARY, (batch_size, 4), generator=generator)
    return source, torch.randint(0, VOCABULARY, (batch_size, 3), generator=generator)


def _parameters(model: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def _one_number(value: object, name: str) -> object:
    """The value itself; WrongAnswer where it is plainly something else than the number that is asked for."""
    if isinstance(value, str):
        raise WrongAnswer(f"It gives back text, {value!r}. {name} is wanted as a number, and not rounded.")
    if isinstance(value, nn.Module):
        raise WrongAnswer(f"It gives back the model. What is wanted is {name.lower()}.")
    if isinstance(value, (tuple, list)) and len(value) > 1:
        raise WrongAnswer(f"It gives back {len(value)} things. One is wanted: {name.lower()}.")
    return value


# 4.1: three steps from the same start; what is compared is where they lead, and the losses on the way. Dropout is 0,
# because right answers may draw their random numbers in another order; that it is switched on is seen by itself.


def train_step(model: Seq2Seq, optimizer: torch.optim.Optimizer, source: Tensor, target: Tensor) -> Tensor:
    return canonical_train_step(model, optimizer, source, target, gradient_clip=GRADIENT_CLIP)


def _three_steps(answer: Callable, arguments: tuple) -> dict[str, object]:
    seed, scale, left_over = arguments
    model = random_model(seed).eval()  # a step has to put it in training mode itself
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(scale)
            parameter.grad = torch.full_like(parameter, 0.1) if left_over else None
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3, momentum=0.5)
    modes, moved, ratios = [], [], []
    model.register_forward_pre_hook(lambda _, inputs, named: ratios.append(_ratio_of(inputs, named)), with_kwargs=True)
    optimizer.register_step_post_hook(lambda *_: moved.append(True))
    for part in (model.encoder.dropout, model.decoder.dropout):  # once the weights have moved, any mode will do
        part.register_forward_pre_hook(lambda part, _: modes.append(part.training or bool(moved)))
    generator = torch.Generator().manual_seed(seed)
    torch.default_generator.manual_seed(UNLIKELY_SEED)
    outcome = {}
    for n in range(1, 4):
        source, target = _batch(generator)
        moved.clear()
        before = _parameters(model)
        outcome[f"the loss of step {n}"] = answer(model, optimizer, source.clone(), target.clone())
        if not moved and not torch.equal(before, _parameters(model)):
            raise WrongAnswer("The weights have moved, and the optimizer that was handed over has made no step.")
        if outcome[f"the loss of step {n}"] is None:
            raise WrongAnswer("It does not give back the loss.")
        _one_number(outcome[f"the loss of step {n}"], "The loss")
    if torch.initial_seed() != UNLIKELY_SEED:
        raise WrongAnswer(
            "It seeds PyTorch's own generator, with `torch.manual_seed` or by way of `torch.default_generator`. Then "
            "dropout leaves out the same numbers in every step."
        )
    if not all(modes):
        raise WrongAnswer("While the loss was computed, the model, or a part of it, was in evaluation mode.")
    if any(0.5 < ratio < 1 for ratio in ratios):  # few coins fall tails then, and perhaps none in these three steps
        raise WrongAnswer("Your decoder reads its own guesses now and then. The ratio of full teacher forcing is 1.")
    return outcome | {"the weights after three steps": _parameters(model)}


def _ratio_of(inputs: tuple, named: dict[str, object]) -> float:
    """The teacher forcing ratio with which a model was called; 1 where it got coins instead."""
    ratio = named.get("teacher_forcing_ratio", inputs[2] if len(inputs) > 2 else 0.5)
    return 1.0 if named.get("coins") is not None or len(inputs) > 3 else float(ratio)


def _clip_norm(model: Seq2Seq) -> None:
    nn.utils.clip_grad_norm_(model.parameters(), GRADIENT_CLIP)


def _clip_values(model: Seq2Seq) -> None:
    nn.utils.clip_grad_value_(model.parameters(), GRADIENT_CLIP)


def _clip_each(model: Seq2Seq) -> None:
    for parameter in model.parameters():
        nn.utils.clip_grad_norm_([parameter], GRADIENT_CLIP)


def _clip_each_part(model: Seq2Seq) -> None:
    for part in (model.encoder, model.decoder):
        nn.utils.clip_grad_norm_(part.parameters(), GRADIENT_CLIP)


def _clip_to(norm: float) -> Callable:
    return lambda model: nn.utils.clip_grad_norm_(model.parameters(), norm)


def _scale_always(model: Seq2Seq) -> None:
    norm = torch.cat([parameter.grad.flatten() for parameter in model.parameters()]).norm()
    for parameter in model.parameters():
        parameter.grad /= norm


def _step_as(
    zero: str = "before backward",
    training: bool = True,
    clip: Callable | None = _clip_norm,
    clip_when: str = "before the step",
    ratio: float = 1.0,
    loss_of: Callable = token_loss,
    own_optimizer: Callable | None = None,
    given_to_the_model: Callable = lambda target: target,
) -> Callable:
    """A wrong training step: one of its parts left out, moved or replaced."""

    def answer(model: Seq2Seq, optimizer: torch.optim.Optimizer, source: Tensor, target: Tensor) -> Tensor:
        model.train(training)
        if own_optimizer is not None:
            optimizer = own_optimizer(model.parameters())
        loss = loss_of(model(source, given_to_the_model(target), ratio), target)
        if zero == "before backward":
            optimizer.zero_grad()
        if clip is not None and clip_when == "before backward":
            clip(model)
        loss.backward()
        if clip is not None and clip_when == "before the step":
            clip(model)
        optimizer.step()
        if clip is not None and clip_when == "after the step":
            clip(model)
        if zero == "after the step":
            optimizer.zero_grad()
        return loss.detach()

    return answer


def _steps_with_more_amiss(ratio: float, *clips: Callable | None) -> tuple[Callable, ...]:
    """Steps that are not forced, by those who also clip the gradient in a wrong way, or clear it too late or never."""
    return tuple(
        _step_as(ratio=ratio, zero=zero, clip=clip)
        for zero in ("before backward", "after the step", "never")
        for clip in (_clip_norm, *clips)
        if zero != "before backward" or clip is not _clip_norm
    )


HALF_FORCED_AND_MORE = _steps_with_more_amiss(0.5, None, _clip_values)
NEVER_FORCED_AND_MORE = _steps_with_more_amiss(0.0, None)


def _loss_after_the_step(model, optimizer, source, target) -> Tensor:
    train_step(model, optimizer, source, target)
    with torch.no_grad():
        return token_loss(model(source, target, 1.0), target)


def _norm_instead_of_the_loss(model, optimizer, source, target) -> Tensor:
    model.train()
    loss = token_loss(model(source, target, 1.0), target)
    optimizer.zero_grad()
    loss.backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), GRADIENT_CLIP)
    optimizer.step()
    return norm


def _step_without_learning(model, optimizer, source, target) -> Tensor:
    model.train()
    return token_loss(model(source, target, 1.0), target).detach()


register(
    Exercise(
        id="4.1",
        title="One training step",
        minutes=15,
        difficulty=2,
        reference=train_step,
        # The second has an old gradient in `.grad`; the last has gradients so small that nothing is clipped.
        probes=lambda: [(1, 1.0, False), (2, 1.0, True), (3, 0.1, False)],
        run=_three_steps,
        mistakes=(
            Mistake(
                "gradients-not-cleared",
                _step_as(zero="never"),
                "The first step is right and the later ones drift: old gradients are still there and "
                "new ones add to them.",
            ),
            Mistake(
                "cleared-only-afterwards",
                _step_as(zero="after the step"),
                "You clear the gradient only after the step. What was in `.grad` before your first one is still there "
                "when `backward` adds to it.",
            ),
            Mistake(
                "not-clipped",
                _step_as(clip=None),
                "The optimizer uses the gradient at its full size. Is it clipped at all, to a norm of 1, and between "
                "`backward` and `step`?",
            ),
            Mistake(
                "not-clipped-and-more",
                _step_as(clip=None, zero="never"),
                "The optimizer uses the gradient at its full size. Is it clipped at all, to a norm of 1, and between "
                "`backward` and `step`? And that is not all: what was in `.grad` before?",
                also=(
                    _step_as(clip=None, zero="after the step"),
                    _step_as(clip_when="after the step", zero="never"),
                    _step_as(clip_when="before backward", zero="never"),
                ),
            ),
            Mistake(
                "every-number-clipped",
                _step_as(clip=_clip_values),
                "You clip every number of the gradient by itself. The norm of the whole is to be at most 1.",
            ),
            Mistake(
                "every-number-clipped-and-more",
                _step_as(clip=_clip_values, zero="never"),
                "You clip every number of the gradient by itself. The norm of the whole is to be at most 1. And that "
                "is not all: what was in `.grad` before?",
                also=(_step_as(clip=_clip_values, zero="after the step"),),
            ),
            Mistake(
                "target-before-logits",
                _step_as(loss_of=lambda logits, target: token_loss(target, logits)),
                "`token_loss` takes the logits first, and then the target.",
            ),
            Mistake(
                "not-always-forced",
                _step_as(ratio=0.5),
                "Your decoder reads its own guesses now and then. The ratio is 0.5 unless you give another; full "
                "teacher forcing is 1.",
            ),
            Mistake(
                "never-forced",
                _step_as(ratio=0.0),
                "Your decoder always reads its own guesses. The ratio of full teacher forcing is 1.",
            ),
            Mistake(
                "not-always-forced-and-more",
                HALF_FORCED_AND_MORE[0],
                "Your decoder reads its own guesses now and then. The ratio is 0.5 unless you give another; full "
                "teacher forcing is 1. And that is not all: what happens to the gradient, before `backward` and after?",
                also=HALF_FORCED_AND_MORE[1:],
            ),
            Mistake(
                "never-forced-and-more",
                NEVER_FORCED_AND_MORE[0],
                "Your decoder always reads its own guesses. The ratio of full teacher forcing is 1. And that is not "
                "all: what happens to the gradient, before `backward` and after?",
                also=NEVER_FORCED_AND_MORE[1:],
            ),
            Mistake(
                "eval-mode",
                _step_as(training=False),
                "The model came in eval mode, where dropout is off. A step switches it on, before the forward pass.",
            ),
            Mistake(
                "each-parameter-clipped",
                _step_as(clip=_clip_each),
                "You clip the gradient of each parameter, or of each part, by itself. The norm of all of them together "
                "is to be at most 1.",
                also=(_step_as(clip=_clip_each_part),),
            ),
            Mistake(
                "clipped-otherwise",
                _step_as(clip=_clip_to(0.1)),
                "Your step is another than with a gradient clipped to a norm of at most 1: to which number do you "
                "clip, and which parameters?",
                also=(
                    *(_step_as(clip=_clip_to(norm)) for norm in (0.01, 0.25, 0.5, 2.0)),
                    _step_as(clip=lambda model: nn.utils.clip_grad_norm_(model.encoder.parameters(), GRADIENT_CLIP)),
                    _step_as(clip=lambda model: nn.utils.clip_grad_norm_(model.decoder.parameters(), GRADIENT_CLIP)),
                ),
            ),
            Mistake(
                "always-scaled",
                _step_as(clip=_scale_always),
                "You bring every gradient to norm 1. One that is smaller stays as it is.",
            ),
            Mistake(
                "nothing-learned",
                _step_without_learning,
                "The loss is right, but the weights have not moved. Who asks for the gradient, who uses it, and is it "
                "still there by then?",
            ),
            Mistake(
                "own-optimizer",
                _step_as(own_optimizer=torch.optim.Adam),
                "The weights are moved by something else, as a line of yours or an optimizer made in every step, which "
                "remembers nothing. Use the optimizer that you are given.",
            ),
            Mistake(
                "shifted-twice",
                _step_as(given_to_the_model=shift_right),
                "Your decoder reads the target one place too late. The model is given the target as it is: it shifts "
                "it by itself.",
            ),
            Mistake(
                "compared-with-the-shifted",
                _step_as(loss_of=lambda logits, target: token_loss(logits, shift_right(target))),
                "You compare the logits with a shifted target. What the decoder reads is shifted; what it is to say is "
                "the target as it is.",
            ),
            Mistake(
                "loss-after-the-step",
                _loss_after_the_step,
                "The weights are right, but you give back a loss that is computed after the step. Give back the one "
                "that the step was made for.",
            ),
            Mistake(
                "norm-given-back",
                _norm_instead_of_the_loss,
                "The weights are right, but you give back what `clip_grad_norm_` gives: the norm before clipping. Give "
                "back the loss.",
            ),
            Mistake(
                "summed",
                _step_as(loss_of=lambda logits, target: token_loss(logits, target) * target.numel()),
                "Your loss is the sum over all tokens. It should be their mean.",
            ),
            Mistake(
                "softmax-twice",
                _step_as(loss_of=lambda logits, target: token_loss(logits.softmax(-1), target)),
                "Your loss takes the softmax twice: `F.cross_entropy` begins with logits.",
            ),
            Mistake(
                "zeros-left-out",
                _step_as(
                    loss_of=lambda logits, target: F.cross_entropy(
                        logits.flatten(0, 1), target.flatten(), ignore_index=0
                    )
                ),
                "Targets that are 0 have no part in your loss. In this task they count: a network must learn to stop.",
            ),
            Mistake(
                "first-token-left-out",
                _step_as(loss_of=lambda logits, target: token_loss(logits[:, 1:], target[:, 1:])),
                "This is the loss of exercise 3.4, before it was mended: one place of every target has no part in it.",
            ),
            Mistake(
                "loss-without-gradient",
                _step_as(loss_of=lambda logits, target: token_loss(logits, target).detach()),
                "Where you call `backward`, the loss no longer knows from which weights it came. Is there a detach(), "
                "an item() or a no_grad() before?",
                also=(_step_as(loss_of=lambda logits, target: token_loss(logits, target).item()),),
            ),
            Mistake(
                "loss-of-each-token",
                _step_as(loss_of=lambda logits, target: F.cross_entropy(logits.mT, target, reduction="none")),
                "Your loss is one number for each token. `backward` starts from a single number: their mean.",
            ),
            Mistake(
                "tokens-for-logits",
                _step_as(loss_of=lambda logits, target: token_loss(logits.argmax(-1), target)),
                "What you compare with the target has one number for each token. The loss needs all V logits of each.",
            ),
            Mistake(
                "vocabulary-not-second",
                _step_as(loss_of=F.cross_entropy),
                "`F.cross_entropy` takes the second axis for the vocabulary. In (B, T, V) it is the last; `token_loss` "
                "sees to that.",
            ),
            Mistake(
                "model-for-its-parameters",
                _step_as(clip=lambda model: nn.utils.clip_grad_norm_(model, GRADIENT_CLIP)),
                "You hand over the model where its parameters are wanted.",
            ),
        ),
    )
)


# 4.2: not the batches are compared, which another right answer may draw in another order, but what holds of them.


def training_batches(
    task: SubstringTask, n_epochs: int, steps: int, batch_size: int, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(n_epochs * steps):
        yield task.sample(batch_size, generator)


def _same_in_each_epoch(task, n_epochs, steps, batch_size, seed):
    for _ in range(n_epochs):
        generator = torch.Generator().manual_seed(seed)
        for _ in range(steps):
            yield task.sample(batch_size, generator)


def _task_that_notes(seeds: list[int], length: int) -> SubstringTask:
    """A task that notes of each generator it is asked to draw with from which seed that has begun."""

    class Task(SubstringTask):
        def sample(
            self, n: int, generator: torch.Generator | None = None, device: torch.device | str | None = None
        ) -> tuple[Tensor, Tensor]:
            if isinstance(generator, torch.Generator):
                seeds.append(generator.initial_seed())
            return super().sample(n, generator, device)

    Task.__name__ = Task.__qualname__ = SubstringTask.__name__  # which Python's own messages then show
    Task.sample.__qualname__ = SubstringTask.sample.__qualname__
    return Task(length)


def _begins_from_products(seed: int, begun: list[int]) -> bool:
    powers = {seed**n for n in range(len(begun) + 1)}
    return any(begun) and (all(one % seed == 0 for one in begun) or powers.issuperset(begun))


def _why_they_meet(begun: dict[int, list[int]], seed: int, first: list[Tensor], other: list[Tensor]) -> str:
    """What is seen of it that runs with the seeds 7 and `seed` share batches; `begun` has the seeds of each run."""
    pair = {one: begun[one] for one in (7, seed)}
    known = all(len(begun[one]) >= len(came) for one, came in ((7, first), (seed, other)))
    if known and not set(begun[7]).isdisjoint(begun[seed]):
        if all(_begins_from_products(*run) for run in pair.items()):
            return "Both begin from multiples, or powers, of their own seeds."
        if max(max(run, default=SMALL_SET) for run in begun.values()) < SMALL_SET and not _same_are_added(pair):
            return (
                "Your seeds come from so small a set that two runs meet in it. One generator for the whole run cannot."
            )
    places = next((i, j) for j, two in enumerate(other, 1) for i, one in enumerate(first, 1) if torch.equal(one, two))
    what = "Both add the same numbers to their own seeds: batch" if _same_are_added(pair) else "Batch"
    return f"{what} {places[0]} of the one is batch {places[1]} of the other."


def _same_are_added(begun: dict[int, list[int]]) -> bool:
    added = [[one - seed for one in run] for seed, run in begun.items()]
    return bool(added[0]) and all(one == two for one, two in zip(*added, strict=False))


def _refuse_repetition(first: list[Tensor], steps: int, begun: list[int]) -> None:
    """WrongAnswer where a batch comes twice in a run."""
    if steps > 1 and torch.equal(first[0], first[1]):
        raise WrongAnswer("The second step brings the very examples of the first.")
    if all(torch.equal(one, two) for one, two in zip(first[:steps], first[steps : 2 * steps], strict=True)):
        raise WrongAnswer("The second epoch brings the very examples of the first.")
    again = next(((i, j) for j in range(len(first)) for i in range(j) if torch.equal(first[i], first[j])), None)
    if again is not None:
        few = len(begun) >= len(first) and 7 not in begun and max(begun) < SMALL_SET
        why = " Your seeds come from so small a set that two steps meet in it. One generator for the whole run cannot."
        raise WrongAnswer(f"Batch {again[1] + 1} of a run is its batch {again[0] + 1} once more.{why if few else ''}")


def _refuse_even_spacing(run: list[int], next_run: list[int]) -> None:
    """WrongAnswer where the epochs of runs with the seeds 7 and 8 begin from such seeds that two runs must meet."""
    apart, between = run[1] - run[0], next_run[0] - run[0]
    if 0 in (apart, between) or any(two - one != apart for begun in (run, next_run) for one, two in pairwise(begun)):
        return
    common = math.gcd(apart, between)
    epochs, seeds = abs(between) // common, (apart if between > 0 else -apart) // common
    if epochs <= LONGEST_RUN:
        longer, other = (7, 7 + seeds) if seeds > 0 else (7 - seeds, 7)
        raise WrongAnswer(
            f"Your epochs begin from seeds at equal distances. So epoch {epochs + 1:,} of a run with seed {longer} "
            f"brings what epoch 1 of one with seed {other} brings. One generator for the whole run has no such "
            "neighbours."
        )


def _freshness(answer: Callable, arguments: tuple) -> bool:
    length, n_epochs, steps, batch_size = arguments
    begun: list[int] = []  # the seeds from which a run's generators have begun
    begun_by: dict[int, list[int]] = {}  # the same, by the run's own seed
    task = _task_that_notes(begun, length)

    def batches(seed: int, n_epochs: int = n_epochs) -> Iterator[tuple[Tensor, Tensor]]:
        stream = answer(task, n_epochs, steps, batch_size, seed)
        if isinstance(stream, tuple) and isinstance(stream[0], Tensor):
            raise WrongAnswer("It gives back one batch and is over. `yield` hands out one after the other.")
        return iter(stream)

    def sources(seed: int, n_epochs: int = n_epochs) -> list[Tensor]:
        came = []
        begun.clear()
        for batch in islice(batches(seed, n_epochs), n_epochs * steps + 1):
            torch.rand(3)  # a run is not to depend on what else is drawn meanwhile
            came.append(_source_of(batch, task, batch_size).clone())
        if len(came) != n_epochs * steps:
            found = len(came) if len(came) < n_epochs * steps else f"more than {n_epochs * steps}"
            raise WrongAnswer(
                f"{n_epochs} epochs of {steps} steps should bring {n_epochs * steps} batches, not {found}."
            )
        begun_by[seed] = [*begun]
        return came

    own_seed = torch.initial_seed()
    first, again, others = sources(7), sources(7), {seed: sources(seed) for seed in OTHER_SEEDS}
    _refuse_repetition(first, steps, begun_by[7])
    if length == TASK_LENGTH and len(torch.cat(first).unique(dim=0)) < n_epochs * steps * batch_size:
        raise WrongAnswer("Some examples come more than once in a run.")
    if not all(torch.equal(one, two) for one, two in zip(first, again, strict=True)):
        raise WrongAnswer("The same seed twice, and the examples differ.")
    for seed, other in others.items():
        if all(torch.equal(one, two) for one, two in zip(first, other, strict=True)):
            raise WrongAnswer("Another seed, and the examples are the same.")
        if any(torch.equal(one, two) for one in first for two in other):
            why = _why_they_meet(begun_by, seed, first, other)
            raise WrongAnswer(f"Runs with the seeds 7 and {seed} share whole batches. {why}")
    seed = 7 * n_epochs // (n_epochs + 1)  # where epochs are numbered through, its longer run meets seed 7's first one
    longer = sources(seed, n_epochs + 1)
    if any(torch.equal(one, two) for one in first for two in longer):
        why = _why_they_meet(begun_by, seed, first, longer)
        raise WrongAnswer(
            f"Runs with the seeds 7 and {seed} share whole batches, if that with {seed} is an epoch longer. {why}"
        )
    if torch.initial_seed() != own_seed:
        raise WrongAnswer(
            "It seeds PyTorch's own generator, with `torch.manual_seed` or by way of `torch.default_generator`, and so "
            "disturbs all that draw from it. Make a `torch.Generator` instead."
        )
    own_state = torch.get_rng_state()
    list(islice(batches(7), n_epochs * steps))
    if not torch.equal(torch.get_rng_state(), own_state):
        raise WrongAnswer(
            "It draws from PyTorch's own generator, and so disturbs all others that do. Give your own to whatever "
            "draws; a `DataLoader` takes one, too."
        )
    if n_epochs == MANY_EPOCHS:  # in fewer, most numbers look evenly spaced
        runs = [begun_by[seed] for seed in (7, 8)]
        if all(len(run) == n_epochs for run in runs):
            _refuse_even_spacing(*runs)
    for one, two in zip(batches(7), batches(7), strict=True):  # side by side
        if not torch.equal(one[0], two[0]):
            raise WrongAnswer("Two runs side by side disturb each other: each needs a generator of its own.")
    return True


def _source_of(batch: object, task: SubstringTask, batch_size: int) -> Tensor:
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        raise WrongAnswer("A batch should be a pair: the sources and their targets.")
    source, target = batch
    if source.shape != (batch_size, task.length):
        raise WrongAnswer(f"The sources of a batch are {tuple(source.shape)}; expected {(batch_size, task.length)}.")
    if not torch.equal(task.solve(source), target):
        raise WrongAnswer("The targets of a batch are not those of its sources.")
    return source


def _batches_as(make_generator: Callable, n_batches: Callable = lambda n_epochs, steps: n_epochs * steps) -> Callable:
    """A wrong stream: its generator made otherwise, or its number of batches."""

    def answer(
        task: SubstringTask, n_epochs: int, steps: int, batch_size: int, seed: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        generator = make_generator(seed)
        for _ in range(n_batches(n_epochs, steps)):
            yield task.sample(batch_size, generator)

    return answer


def _epochs_seeded_by(seed_of: Callable[[int, int], int]) -> Callable:
    """A wrong stream: a generator for each epoch, whose seed is made of the run's seed and the epoch."""

    def answer(
        task: SubstringTask, n_epochs: int, steps: int, batch_size: int, seed: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        for epoch in range(n_epochs):
            generator = torch.Generator().manual_seed(seed_of(seed, epoch))
            for _ in range(steps):
                yield task.sample(batch_size, generator)

    return answer


def _steps_seeded_by(seed_of: Callable[[int, int], int]) -> Callable:
    """A wrong stream: a generator for each step, whose seed is made of the run's seed and the step's number."""
    by_number = _epochs_seeded_by(seed_of)
    return lambda task, n_epochs, steps, batch_size, seed: by_number(task, n_epochs * steps, 1, batch_size, seed)


def _epochs_numbered_through(task, n_epochs, steps, batch_size, seed):
    yield from _epochs_seeded_by(lambda seed, epoch: seed * n_epochs + epoch)(task, n_epochs, steps, batch_size, seed)


def _unseeded(_seed: int) -> torch.Generator:
    generator = torch.Generator()
    generator.seed()
    return generator


def _same_in_each_step(
    task: SubstringTask, n_epochs: int, steps: int, batch_size: int, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    for _ in range(n_epochs * steps):
        yield task.sample(batch_size, torch.Generator().manual_seed(seed))


register(
    Exercise(
        id="4.2",
        title="Find the bug: the batches of a run",
        minutes=10,
        difficulty=1,
        reference=training_batches,
        probes=lambda: [(6, 2, 3, 5), (10, 3, 4, 7), (10, MANY_EPOCHS, 1, 6)],
        run=_freshness,
        given=_same_in_each_epoch,
        mistakes=(
            Mistake(
                "same-in-each-epoch",
                _same_in_each_epoch,
                "The bug is still there: each epoch is to bring examples that were never seen before.",
            ),
            Mistake(
                "same-in-each-step",
                _same_in_each_step,
                "Now even the steps repeat each other. How often is a generator made, and how often a batch drawn?",
            ),
            Mistake(
                "seed-and-epoch-added",
                _epochs_seeded_by(lambda seed, epoch: seed + epoch),
                "Each epoch of yours has a seed of its own, but seed 7's second epoch is seed 8's first. Runs with "
                "different seeds should have nothing in common.",
            ),
            Mistake(
                "seed-times-epoch",
                _epochs_seeded_by(lambda seed, epoch: seed * epoch),
                "Your epochs' seeds are products, or powers, of the run's seed, and two runs can have one in common: 2 "
                "times 7 is once 14, and to the power of 0 both are 1. Runs with different seeds should have nothing "
                "in common.",
                also=(_epochs_seeded_by(lambda seed, epoch: seed ** (epoch + 1)),),
            ),
            Mistake(
                "digits-joined",
                _epochs_seeded_by(lambda seed, epoch: int(f"{seed}{epoch}")),
                "You write the two numbers one behind the other: 7 and 10 are then the same as 71 and 0. Runs with "
                "different seeds should have nothing in common.",
            ),
            Mistake(
                "seed-for-a-generator",
                _batches_as(lambda seed: seed),
                "`task.sample` draws with a generator, and you hand it the seed. What makes a generator of a seed?",
            ),
            Mistake(
                "seeds-far-apart",
                _epochs_seeded_by(lambda seed, epoch: seed + 1000 * epoch),
                "Each epoch of yours has a seed of its own, a fixed distance from the last, and another run can begin "
                "with it: with 1000, seed 7's second epoch is seed 1007's first. One generator for the whole run has "
                "no such neighbours.",
                also=(_epochs_seeded_by(lambda seed, epoch: seed + 100 * epoch),),
            ),
            Mistake(
                "seed-times-ten",
                _epochs_seeded_by(lambda seed, epoch: 10 * seed + epoch),
                "Ten epochs have room between two seeds of yours, the eleventh begins the next seed's run. One "
                "generator for the whole run has no such limit.",
            ),
            Mistake(
                "epochs-numbered-through",
                _epochs_numbered_through,
                "You give each epoch a number of its own for a seed, made from that of the run. It looks safe, and "
                "another run, here one of 3 epochs, comes to the same number. One generator for the whole run has no "
                "such limit.",
            ),
            Mistake(
                "seed-ignored",
                _batches_as(lambda seed: torch.Generator().manual_seed(0)),
                "The examples are fresh, but whoever asks for another seed gets the same run.",
            ),
            Mistake(
                "not-repeatable",
                _batches_as(_unseeded),
                "The examples are fresh, but nobody can repeat this run: nothing is decided by the seed.",
            ),
            Mistake(
                "one-epoch",
                _batches_as(lambda seed: torch.Generator().manual_seed(seed), lambda n_epochs, steps: steps),
                "The examples are fresh, but they end after one epoch.",
            ),
            Mistake(
                "seed-and-step-added",
                _steps_seeded_by(lambda seed, step: seed + step),
                "You make further seeds by adding small numbers to the run's own, and from 7 you come to 9. Runs with "
                "different seeds should have nothing in common.",
                also=(_epochs_seeded_by(lambda seed, epoch: seed + 2 * epoch),),
            ),
        ),
    )
)


# 4.3: training and validation are played by two functions that follow a script.


def _best_below(first_best: float | None) -> Callable:
    """The search for the lowest loss, which goes wrong where it begins with a number that others need not be below."""

    def answer(model: nn.Module, train_epoch: Callable, validation_loss: Callable, n_epochs: int) -> dict[str, Tensor]:
        best, best_loss = None, first_best
        for _ in range(n_epochs):
            train_epoch(model)
            loss = validation_loss(model)
            if loss < best_loss:
                best, best_loss = copy.deepcopy(model.state_dict()), loss
        return best

    return answer


keep_best = _best_below(math.inf)


def _no_copy(model, train_epoch, validation_loss, n_epochs):
    best, best_loss = None, math.inf
    for _ in range(n_epochs):
        train_epoch(model)
        loss = validation_loss(model)
        if loss < best_loss:
            best, best_loss = model.state_dict(), loss
    return best


class _HandedOut:
    """A hook that keeps the tensors which a model's state_dict hands out."""

    def __init__(self) -> None:
        self.tensors: list[Tensor] = []

    def __call__(self, _model: nn.Module, state: dict[str, Tensor], *_: object) -> None:
        self.tensors += state.values()


def _refuse_other_than_a_model(given: object, function: str) -> None:
    if not isinstance(given, nn.Module):
        kind = "None" if given is None else f"a {type(given).__name__}"
        raise WrongAnswer(f"`{function}` takes the model, and gets {kind}.")


def _script(answer: Callable, arguments: tuple[list[float]]) -> object:
    """Training adds 1 to every number; the losses come from the script, by how often the model was trained.

    A validation looks at fresh examples: who measures the same network again gets another loss, here a worse one.
    """
    (losses,) = arguments
    n_epochs, trained, measured, handed_out = len(losses) - 1, [], [], _HandedOut()
    model = nn.Sequential(fill_at_random(nn.Linear(3, 2), seed=len(losses)), nn.BatchNorm1d(2))  # which has buffers
    untrained = model[0].bias.detach()[0].item()
    model.register_state_dict_post_hook(handed_out)

    def epochs_so_far(model: nn.Module) -> int:
        return round(model[0].bias.detach()[0].item() - untrained)

    def train_epoch(trainee: nn.Module) -> None:
        if len(trained) == n_epochs:
            raise WrongAnswer("The model is trained more often than n_epochs.")
        _refuse_other_than_a_model(trainee, "train_epoch")
        trained.append(trainee)
        for number in trainee.state_dict().values():
            number.add_(1)
        measured.clear()
        handed_out.tensors.clear()

    def validation_loss(model: nn.Module) -> float:
        _refuse_other_than_a_model(model, "validation_loss")
        again = any(model is one for one in measured)
        measured.append(model)
        return losses[epochs_so_far(model)] + SECOND_LOOK * again

    kept = answer(model, train_epoch, validation_loss, n_epochs)
    if kept is None:
        return None
    if not isinstance(kept, Mapping):
        raise WrongAnswer(f"It should give back a state_dict, not a {type(kept).__name__}.")
    for name, tensor in kept.items():
        if not isinstance(tensor, Tensor):
            raise WrongAnswer(f"A state_dict holds tensors, but in yours {name} is a {type(tensor).__name__}.")
    if len(trained) < n_epochs:
        raise WrongAnswer(f"The model is trained for {len(trained)} of {n_epochs} epochs.")
    if any(trainee is not model for trainee in trained):
        raise WrongAnswer("A copy is trained, and the model that was handed over is not.")
    at_the_end = {id(tensor) for tensor in handed_out.tensors}  # the next line adds to those
    own = {tensor.data_ptr() for tensor in model.state_dict().values()}
    if any(tensor.data_ptr() in own for tensor in kept.values()):
        restored = " You have put the best ones back, so hand out the copy." if epochs_so_far(model) < n_epochs else ""
        if not restored and any(id(tensor) in at_the_end for tensor in kept.values()):
            raise WrongAnswer("What comes back are the model's own tensors, as the last epoch has left them.")
        raise WrongAnswer(f"What comes back are the model's own tensors: they change when it is trained on.{restored}")
    return dict(kept)


def _keep_as(better: Callable, order: str = "train, measure", when_worse: str = "go on") -> Callable:
    """A wrong way to keep the best. `better(loss, best, before)` decides; `before` is the loss of the epoch before."""

    def answer(model: nn.Module, train_epoch: Callable, validation_loss: Callable, n_epochs: int) -> dict[str, Tensor]:
        kept, best_loss, before = None, None, None
        for _ in range(n_epochs):
            if order == "train, measure":
                train_epoch(model)
            loss = validation_loss(model)
            if kept is None or better(loss, best_loss, before):
                kept, best_loss = copy.deepcopy(model.state_dict()), loss
            elif when_worse == "stop":
                break
            elif when_worse == "go back":
                model.load_state_dict(kept)
            if order == "measure, train":
                train_epoch(model)
            before = loss
        return kept

    return answer


def _measured_before_and_kept_after(model, train_epoch, validation_loss, n_epochs):
    best, best_loss = None, math.inf
    for _ in range(n_epochs):
        loss = validation_loss(model)
        train_epoch(model)
        if loss < best_loss:
            best, best_loss = copy.deepcopy(model.state_dict()), loss
    return best


def _copied_before_the_epoch(model, train_epoch, validation_loss, n_epochs):
    best, best_loss = None, math.inf
    for _ in range(n_epochs):
        weights = copy.deepcopy(model.state_dict())
        train_epoch(model)
        loss = validation_loss(model)
        if loss < best_loss:
            best, best_loss = weights, loss
    return best


def _untrained_weights_count(model, train_epoch, validation_loss, n_epochs):
    untrained, untrained_loss, losses = copy.deepcopy(model.state_dict()), validation_loss(model), []

    def measure(model: nn.Module) -> float:
        losses.append(validation_loss(model))
        return losses[-1]

    best = keep_best(model, train_epoch, measure, n_epochs)
    return untrained if untrained_loss < min(losses) else best


def _untrained_weights(model, train_epoch, validation_loss, n_epochs):
    untrained = copy.deepcopy(model.state_dict())
    keep_best(model, train_epoch, validation_loss, n_epochs)
    return untrained


def _something_else_returned(model, train_epoch, validation_loss, n_epochs):
    keep_best(model, train_epoch, validation_loss, n_epochs)
    return model.state_dict()


def _measured_twice(model, train_epoch, validation_loss, n_epochs):
    best, best_loss = None, math.inf
    for _ in range(n_epochs):
        train_epoch(model)
        if validation_loss(model) < best_loss:
            best, best_loss = copy.deepcopy(model.state_dict()), validation_loss(model)
    return best


def _parameters_only(model, train_epoch, validation_loss, n_epochs):
    best = keep_best(model, train_epoch, validation_loss, n_epochs)
    return {name: best[name] for name, _ in model.named_parameters()}


register(
    Exercise(
        id="4.3",
        title="Find the bug: the best weights",
        minutes=10,
        difficulty=2,
        reference=keep_best,
        # Losses before training, after epoch 1, 2, …; none twice.
        probes=lambda: [
            ([9.0, 3.0, 2.0, 4.0],),
            ([0.5, 4.0, 5.0, 1.0, 3.0, 2.0],),
            ([7.0, 1.0, 6.0, 2.0, 5.0],),
            ([9.0, 3.0, 2.0, 1.0],),
            ([50.0, 40.002, 40.003, 40.005, 40.001, 40.004],),
            ([5e6, 4e6 + 3, 4e6 + 6],),
        ],
        run=_script,
        given=_no_copy,
        mistakes=(
            Mistake(
                "no-copy",
                _no_copy,
                "The bug is still there: what you keep changes while training goes on. Who else holds those tensors?",
            ),
            Mistake(
                "something-else-returned",
                _something_else_returned,
                "You give back what the model has after the last epoch. Is what you keep a copy of the best, and is it "
                "what you return?",
            ),
            Mistake(
                "last-weights",
                _keep_as(lambda loss, best, before: True),
                "These are the weights of the last epoch, whichever was best. What is each loss compared with? And is "
                "the copy made before training goes on?",
            ),
            Mistake(
                "measured-twice",
                _measured_twice,
                "You measure a second time, and each validation looks at fresh examples: the loss that you keep is not "
                "the one that you compared. How do you keep that one?",
            ),
            Mistake(
                "worst-kept",
                _keep_as(lambda loss, best, before: loss > best),
                "You keep the weights with the highest loss.",
            ),
            Mistake(
                "never-kept",
                lambda model, train_epoch, validation_loss, n_epochs: [
                    train_epoch(model) for _ in range(n_epochs)
                ].clear(),
                "No weights come back. Is a `return` missing, or was no loss ever better than the first best_loss?",
            ),
            Mistake(
                "better-than-the-epoch-before",
                _keep_as(lambda loss, best, before: loss < before),
                "You compare with the epoch before. An epoch can be better than the last one and still not the best.",
            ),
            Mistake(
                "stopped-at-the-first-rise",
                _keep_as(lambda loss, best, before: loss < best, when_worse="stop"),
                "You stop as soon as the loss rises once. It may fall again.",
            ),
            Mistake(
                "measured-before-training",
                _keep_as(lambda loss, best, before: loss < best, order="measure, train"),
                "You measure before each epoch, not after it: the untrained weights take part, the last ones do not.",
                also=(_measured_before_and_kept_after,),
            ),
            Mistake(
                "copied-before-the-epoch",
                _copied_before_the_epoch,
                "You keep the weights from before the best epoch. The loss was measured on those after it.",
            ),
            Mistake(
                "untrained-weights-count",
                _untrained_weights_count,
                "Here the weights from before the first epoch have the lowest loss, and you keep them. Only those "
                "after an epoch are asked for.",
            ),
            Mistake(
                "back-to-the-best",
                _keep_as(lambda loss, best, before: loss < best, when_worse="go back"),
                "After a worse epoch you put the best weights back, and the next epoch starts from those. Training is "
                "to go on from where it is, whatever is kept beside it.",
            ),
            Mistake(
                "buffers-left-out",
                _parameters_only,
                "The parameters are right, but a state_dict also holds buffers, such as running means, which are not "
                "parameters.",
            ),
            Mistake(
                "ends-after-one-epoch",
                lambda model, train_epoch, validation_loss, n_epochs: keep_best(model, train_epoch, validation_loss, 1),
                "Your function ends after the first epoch. Is its `return` inside the loop?",
            ),
            Mistake(
                "first-best-too-low",
                _best_below(1e6),
                "Nothing comes back from a run whose losses are all in the millions. Below which first best_loss does "
                "every loss lie?",
            ),
            Mistake(
                "compared-with-none",
                _best_below(None),
                "Your first loss is compared with None. What could stand there that every loss is below?",
            ),
            Mistake(
                "training-gives-no-loss",
                lambda model, train_epoch, validation_loss, n_epochs: train_epoch(model) < math.inf,
                "You compare what `train_epoch` gives back, and that is nothing. Which of the two functions measures?",
            ),
            Mistake(
                "dictionary-cloned",
                lambda model, train_epoch, validation_loss, n_epochs: model.state_dict().clone(),
                "A state_dict is a dictionary, which has no such method. It is the tensors in it that must be copied.",
                also=(lambda model, train_epoch, validation_loss, n_epochs: model.state_dict().deepcopy(),),
            ),
            Mistake(
                "untrained-weights",
                _untrained_weights,
                "These are always the weights from before the first epoch. Is anything kept later on?",
            ),
        ),
    )
)


# 4.4: some targets are the model's own outputs, some are changed, so that every way of cheating gives another number.


def accuracy_of(model: Seq2Seq, source: Tensor, target: Tensor, batch_size: int) -> float:
    was_training = model.training
    model.eval()
    output = torch.cat([model.generate(batch, target.shape[1]) for batch in source.split(batch_size)])
    model.train(was_training)
    return token_accuracy(output, target)


def _evaluation(answer: Callable, arguments: tuple) -> object:
    model, _, _, batch_size = arguments
    right, sizes = accuracy_of(*arguments), []
    model.encoder.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    afterwards = "The model is as it was."
    try:
        with left_as_found(model):
            accuracy = answer(*arguments)
    except WrongAnswer as changed:
        afterwards = str(changed)
    if accuracy is None:
        return None
    if max(sizes, default=0) > batch_size:
        raise WrongAnswer(f"{max(sizes)} examples went through the model at once, where batch_size is {batch_size}.")
    found = {"the accuracy": _one_number(accuracy, "The accuracy")}
    if difference(right, accuracy):
        return found  # what is left behind is told only where the number is right
    return found | {"afterwards": afterwards}


def _evaluations() -> list[tuple[Seq2Seq, Tensor, Tensor, int]]:
    generator = torch.Generator().manual_seed(0)
    probes = []
    for seed, n, n_tokens, batch_size, training in (
        (1, 11, 6, 4, True),
        (2, 38, 9, 5, True),
        (3, 9, 6, 4, False),
        (4, 12, 6, 4, True),  # whole batches only
    ):
        model = random_model(seed, dropout=0.5).eval()
        source = torch.randint(0, VOCABULARY, (n, 4), generator=generator)
        target = model.generate(source, n_tokens)
        changed = torch.rand(target.shape, generator=generator) < 0.25
        shift = torch.randint(1, VOCABULARY, target.shape, generator=generator)
        target = torch.where(changed, (target + shift) % VOCABULARY, target)
        probes.append((model.train(training), source, target, batch_size))
    return probes


def _exact_match_of(model: Seq2Seq, source: Tensor, target: Tensor, batch_size: int) -> float:
    was_training = model.training
    model.eval()
    output = torch.cat([model.generate(batch, target.shape[1]) for batch in source.split(batch_size)])
    model.train(was_training)
    return (output == target).all(dim=1).double().mean().item()


def _accuracy_without_zeros(model: Seq2Seq, source: Tensor, target: Tensor, batch_size: int) -> float:
    was_training = model.training
    model.eval()
    output = torch.cat([model.generate(batch, target.shape[1]) for batch in source.split(batch_size)])
    model.train(was_training)
    return token_accuracy(output[target != 0], target[target != 0])


def _in_so_many_pieces(model: Seq2Seq, source: Tensor, target: Tensor, batch_size: int) -> float:
    return accuracy_of(model, source, target, len(source.chunk(batch_size)[0]))


def _over_tokens(right: list[Tensor], batch_size: int, n: int) -> float:
    return torch.cat(right).double().mean().item()


def _batch_means(right: list[Tensor], batch_size: int, n: int) -> float:
    return sum(batch.double().mean().item() for batch in right) / len(right)


def _shares_by_size(right: list[Tensor], batch_size: int, n: int) -> float:
    return sum(batch.double().mean().item() * len(batch) for batch in right) / n


def _over_all_tokens(right: list[Tensor], batch_size: int, n: int) -> float:
    return torch.cat(right).sum().item() / (n * right[0].shape[1])


def _as_if_full(right: list[Tensor], batch_size: int, n: int) -> float:
    return sum(batch.sum().item() for batch in right) / (len(right) * batch_size * right[0].shape[1])


def _over_a_broken_number_of_batches(right: list[Tensor], batch_size: int, n: int) -> float:
    return sum(batch.double().mean().item() for batch in right) / (n / batch_size)


def _over_examples(right: list[Tensor], batch_size: int, n: int) -> float:
    return sum(batch.double().mean().item() for batch in right) / n


def _over_whole_batches(right: list[Tensor], batch_size: int, n: int) -> float:
    return sum(batch.double().mean().item() for batch in right) / (n // batch_size)


def _batches_up_to_the_last_example(n: int, batch_size: int) -> int:
    return len(range(0, n - 1, batch_size))


def _accuracy_as(
    ratio: float = 0.0,
    eval_mode: bool = True,
    restore: bool | None = True,
    batches: Callable[[int, int], int] = lambda n, batch_size: -(-n // batch_size),
    average: Callable[[list[Tensor], int, int], float] = _over_tokens,
    back_in_the_loop: bool = False,
) -> Callable:
    """A wrong evaluation: one precaution left out, too few batches, or the wrong average of what was right."""

    def answer(model: Seq2Seq, source: Tensor, target: Tensor, batch_size: int) -> float:
        was_training = model.training
        if eval_mode:
            model.eval()
        right = []
        for place in range(batches(len(source), batch_size)):
            some = slice(place * batch_size, (place + 1) * batch_size)
            with torch.no_grad():
                right.append(model(source[some], target[some], ratio).argmax(-1) == target[some])
            if back_in_the_loop:
                model.train(was_training)
        if restore is None:
            model.train()
        elif restore:
            model.train(was_training)
        return average(right, batch_size, len(source))

    return answer


def _outputs_as(
    outputs_of: Callable,
    measure: Callable = lambda outputs, target: (outputs == target).double().mean().item(),
    joined: Callable = torch.cat,
) -> Callable:
    """A wrong evaluation: of what the model writes for a batch, of how it is joined, or of how it is measured."""

    def answer(model: Seq2Seq, source: Tensor, target: Tensor, batch_size: int) -> float:
        was_training = model.training
        model.eval()
        with torch.no_grad():
            outputs = joined([outputs_of(model, batch, target) for batch in source.split(batch_size)])
        model.train(was_training)
        return measure(outputs, target)

    return answer


def _written(model: Seq2Seq, source: Tensor, target: Tensor) -> Tensor:
    return model.generate(source, target.shape[1])


def _slices_overlap(model: Seq2Seq, source: Tensor, target: Tensor, batch_size: int) -> float:
    was_training = model.training
    model.eval()
    right = []
    for place in range(len(source)):
        some = slice(place, place + batch_size)
        right.append(_written(model, source[some], target) == target[some])
    model.train(was_training)
    return torch.cat(right).double().mean().item()


register(
    Exercise(
        id="4.4",
        title="Evaluation without leakage",
        minutes=15,
        difficulty=2,
        reference=accuracy_of,
        probes=_evaluations,
        run=_evaluation,
        mistakes=(
            Mistake(
                "teacher-forced",
                _accuracy_as(ratio=1.0),
                "Your decoder is shown the true tokens while it is being tested. It must read its own.",
                also=(_accuracy_as(ratio=1.0, average=_batch_means),),
            ),
            Mistake(
                "dropout-on",
                _accuracy_as(eval_mode=False),
                "The model came in training mode, and dropout stayed on while you measured.",
                also=(
                    _accuracy_as(eval_mode=False, restore=None),
                    _accuracy_as(eval_mode=False, average=_batch_means),
                    _accuracy_as(eval_mode=False, ratio=0.5),
                    _accuracy_as(eval_mode=False, ratio=0.5, average=_batch_means),
                    _accuracy_as(eval_mode=False, ratio=1.0),
                    _accuracy_as(eval_mode=False, ratio=1.0, average=_batch_means),
                ),
            ),
            Mistake(
                "whole-examples",
                _exact_match_of,
                "This is exact match: you count whole examples. Token accuracy counts tokens.",
            ),
            Mistake(
                "coins-flipped",
                _accuracy_as(ratio=0.5),
                "The decoder is shown true tokens now and then: `model(source, target)` flips coins unless it is given "
                "a ratio.",
                also=(_accuracy_as(ratio=0.5, average=_batch_means),),
            ),
            Mistake(
                "tokens-by-examples",
                lambda model, source, target, batch_size: (
                    accuracy_of(model, source, target, batch_size) * target.shape[1]
                ),
                "You divide by the number of examples. A share cannot be above 1: how many tokens are there?",
            ),
            Mistake(
                "tokens-of-the-sources",
                lambda model, source, target, batch_size: (
                    accuracy_of(model, source, target, batch_size) * target.numel() / source.numel()
                ),
                "You divide by the number of tokens in the sources. Which tokens can be right or wrong?",
            ),
            Mistake(
                "pieces-for-sizes",
                _in_so_many_pieces,
                "You cut the examples into `batch_size` pieces: that is what `chunk` takes. Each piece should hold "
                "`batch_size` examples.",
            ),
            Mistake(
                "error-rate",
                lambda model, source, target, batch_size: 1 - accuracy_of(model, source, target, batch_size),
                "This is the share of tokens that are wrong. The accuracy is the share of those that are right.",
            ),
            Mistake(
                "percent",
                lambda model, source, target, batch_size: 100 * accuracy_of(model, source, target, batch_size),
                "This is in per cent. The accuracy is a share, between 0 and 1.",
            ),
            Mistake(
                "always-back-to-training",
                _accuracy_as(restore=None),
                "The number is right, but a model that came in eval mode leaves in training mode. "
                "Give it back as it came.",
            ),
            Mistake(
                "mode-not-restored",
                _accuracy_as(restore=False),
                "The number is right, but the model is left in eval mode: whoever trains on will "
                "train without dropout.",
            ),
            Mistake(
                "last-batch-dropped",
                _accuracy_as(batches=lambda n, batch_size: n // batch_size),
                "The last, shorter batch is left out. Every example counts.",
                also=(_accuracy_as(batches=lambda n, batch_size: n // batch_size, average=_over_all_tokens),),
            ),
            Mistake(
                "last-example-dropped",
                _accuracy_as(batches=_batches_up_to_the_last_example),
                "Where the last batch is a single example, it is left out. Up to which example may a batch begin?",
                also=(_accuracy_as(batches=_batches_up_to_the_last_example, average=_over_all_tokens),),
            ),
            Mistake(
                "one-batch-too-many",
                _accuracy_as(batches=lambda n, batch_size: n // batch_size + 1, average=_shares_by_size),
                "Where the examples fill their batches, your last batch is empty, and no tokens have no share of right "
                "ones. How many batches are there then?",
            ),
            Mistake(
                "first-batch-only",
                _accuracy_as(batches=lambda n, batch_size: 1),
                "Only the first batch counts in yours. Is the `return` inside the loop, or does every slice end where "
                "the first one does?",
                also=(_accuracy_as(batches=lambda n, batch_size: 1, average=_over_all_tokens),),
            ),
            Mistake(
                "last-batch-only",
                _accuracy_as(average=lambda right, batch_size, n: right[-1].double().mean().item()),
                "Only the last batch counts in yours: is something begun anew for each batch?",
            ),
            Mistake(
                "every-batch-as-if-full",
                _accuracy_as(average=_as_if_full),
                "You divide as if every batch were full. The last one is shorter: how many tokens are there in all?",
            ),
            Mistake(
                "mean-of-batch-means",
                _accuracy_as(average=_batch_means),
                "You average the batches' accuracies. The last batch is shorter, so its examples count for too much.",
                also=(
                    _accuracy_as(average=_over_a_broken_number_of_batches),
                    _accuracy_as(average=_batch_means, batches=_batches_up_to_the_last_example),
                ),
            ),
            Mistake(
                "zeros-left-out",
                _accuracy_without_zeros,
                "You leave out the places whose target is 0. They count: a zero has to be written, too.",
            ),
            Mistake(
                "mode-back-too-early",
                _accuracy_as(back_in_the_loop=True),
                "Dropout is off for the first batch only: the model goes back to its mode inside the loop.",
            ),
            Mistake(
                "slices-overlap",
                _slices_overlap,
                "Your batches overlap, so most examples count several times. How far apart should they begin?",
            ),
            Mistake(
                "not-divided",
                _accuracy_as(average=lambda right, batch_size, n: torch.cat(right).sum().item()),
                "This is how many tokens are right. The accuracy is their share.",
            ),
            Mistake(
                "whole-number-division",
                lambda model, source, target, batch_size: accuracy_of(model, source, target, batch_size) // 1,
                "Your share is always 0. Does `//` or `int` leave only whole numbers on the way, or do you ask whether "
                "all tokens of a batch are right?",
            ),
            Mistake(
                "rounded",
                lambda model, source, target, batch_size: round(accuracy_of(model, source, target, batch_size), 2),
                "You round the accuracy. It is wanted as it is.",
                also=(
                    lambda model, source, target, batch_size: round(accuracy_of(model, source, target, batch_size), 3),
                    lambda model, source, target, batch_size: round(accuracy_of(model, source, target, batch_size), 4),
                ),
            ),
            Mistake(
                "batches-added-up",
                _accuracy_as(average=lambda right, batch_size, n: len(right) * _batch_means(right, batch_size, n)),
                "You add up the accuracies of the batches, and do not divide by how many these are. Even their mean "
                "would count the examples of the shorter one for too much.",
                also=(_accuracy_as(average=_over_examples), _accuracy_as(average=_over_whole_batches)),
            ),
            Mistake(
                "mean-of-truth-values",
                _outputs_as(_written, measure=lambda outputs, target: (outputs == target).mean()),
                "PyTorch takes a mean of numbers with a decimal point only: neither of truth values nor of whole "
                "numbers.",
                also=(_outputs_as(_written, measure=lambda outputs, target: (outputs == target).long().mean()),),
            ),
            Mistake(
                "other-number-of-tokens",
                _outputs_as(lambda model, source, target: model.generate(source, source.shape[1])),
                "Your outputs have not as many tokens as the targets. `generate` is told how many to write, and gives "
                "back tokens, not logits.",
                also=(
                    _outputs_as(lambda model, source, target: model.generate(source, len(target))),
                    _outputs_as(lambda model, source, target: model.generate(source, 8)),
                    _outputs_as(lambda model, source, target: model.generate(source, source.shape[1] - 2)),
                ),
            ),
            Mistake(
                "tensor-for-one-value",
                _outputs_as(lambda model, source, target: model.generate(source, target)),
                "A whole tensor stands where one value is wanted. `generate` asks how many tokens to write, `if` "
                "whether one thing holds.",
            ),
            Mistake(
                "batches-stacked",
                _outputs_as(_written, joined=torch.stack),
                "`stack` wants batches of one size, and the last one is shorter. What puts rows below rows?",
            ),
            Mistake(
                "compared-with-all-targets",
                _outputs_as(
                    lambda model, source, target: (_written(model, source, target) == target).double(), joined=torch.cat
                ),
                "One batch meets the targets of all examples. Which targets belong to it?",
                also=(_outputs_as(lambda model, source, target: model(source, target, 0.0)),),
            ),
            Mistake(
                "logits-compared",
                _outputs_as(lambda model, source, target: model(source, target[: len(source)], 0.0)),
                "You compare logits with tokens. Which token has the model chosen?",
            ),
        ),
    )
)


# 4.5


def perplexity(losses: list[float], tokens: list[int]) -> float:
    return math.exp(sum(loss * n for loss, n in zip(losses, tokens, strict=True)) / sum(tokens))


def _each_times(losses: list[float], tokens: list[int]) -> list[float]:
    return [loss * n for loss, n in zip(losses, tokens, strict=True)]


def _each_divided(losses: list[float], tokens: list[int]) -> list[float]:
    return [loss / n for loss, n in zip(losses, tokens, strict=True)]


def _looked_up(losses: list[float], tokens: list[int]) -> float:
    return math.exp(sum(loss * tokens[losses.index(loss)] for loss in losses) / sum(tokens))


register(
    Exercise(
        id="4.5",
        title="Perplexity over batches of several sizes",
        minutes=10,
        difficulty=2,
        reference=perplexity,
        probes=lambda: [
            ([1.0, 3.0], [30, 10]),
            ([0.5, 0.75, 2.5], [512, 512, 64]),
            ([2.5, 0.5, 2.5, 1.0], [7, 30, 12, 5]),  # a loss twice, and batches in no order
            ([2.3], [8]),
        ],
        mistakes=(
            Mistake(
                "mean-of-batch-means",
                lambda losses, tokens: math.exp(sum(losses) / len(losses)),
                "Every batch counts alike in yours. Every token should.",
            ),
            Mistake(
                "mean-of-perplexities",
                lambda losses, tokens: (
                    sum(math.exp(loss) * n for loss, n in zip(losses, tokens, strict=True)) / sum(tokens)
                ),
                "You average perplexities. Average the losses first; the exponential comes last.",
            ),
            Mistake(
                "plain-mean-of-perplexities",
                lambda losses, tokens: sum(math.exp(loss) for loss in losses) / len(losses),
                "You average the batches' perplexities, and every batch counts alike. Average the "
                "loss over all tokens first.",
            ),
            Mistake(
                "divided-by-batches",
                lambda losses, tokens: math.exp(
                    min(700, sum(loss * n for loss, n in zip(losses, tokens, strict=True)) / len(losses))
                ),
                "You divide by the number of batches. Divide the summed loss by the number of tokens.",
                also=(lambda losses, tokens: (torch.tensor(losses) * torch.tensor(tokens)).mean().exp(),),
            ),
            Mistake(
                "never-divided",
                lambda losses, tokens: math.exp(sum(loss * n for loss, n in zip(losses, tokens, strict=True))),
                "You take the exponential of a sum. It wants the mean for one token.",
                also=(
                    lambda losses, tokens: np.exp(np.dot(losses, tokens)),
                    lambda losses, tokens: math.e ** sum(_each_times(losses, tokens)),
                ),
            ),
            Mistake(
                "losses-added-up",
                lambda losses, tokens: math.exp(sum(losses)),
                "You take the exponential of the sum of the losses. A loop inside a loop comes to the same: there "
                "every loss meets every number of tokens. Which number belongs to which loss?",
            ),
            Mistake(
                "rounded",
                lambda losses, tokens: round(perplexity(losses, tokens), 2),
                "You round the perplexity. It is wanted as it is.",
                also=(
                    lambda losses, tokens: round(perplexity(losses, tokens), 1),
                    lambda losses, tokens: round(perplexity(losses, tokens)),
                    lambda losses, tokens: int(perplexity(losses, tokens)),
                    lambda losses, tokens: round(perplexity(losses, tokens), 3),
                    lambda losses, tokens: round(perplexity(losses, tokens), 4),
                ),
            ),
            Mistake(
                "base-ten",
                lambda losses, tokens: 10 ** math.log(perplexity(losses, tokens)),
                "The losses are in nats, so the base is e, not 10.",
            ),
            Mistake(
                "first-loss-by-all-tokens",
                lambda losses, tokens: math.exp(losses[0] * tokens[0] / sum(tokens)),
                "You divide by the tokens of all batches, and only the first one's loss is in the sum. Is the `return` "
                "inside the loop?",
            ),
            Mistake(
                "divided-by-losses",
                lambda losses, tokens: math.exp(sum(_each_times(losses, tokens)) / sum(losses)),
                "You divide by the sum of the losses. The mean is over tokens: how many are there?",
            ),
            Mistake(
                "overflow",
                lambda losses, tokens: math.prod(map(math.exp, _each_times(losses, tokens))) ** (1 / sum(tokens)),
                "By the rules of powers this is right. But the exponential of what all tokens have lost, or a product "
                "of so many, is more than a float can hold. Of which number is it small enough?",
                also=(
                    lambda losses, tokens: math.exp(sum(_each_times(losses, tokens))) ** (1 / sum(tokens)),
                    lambda losses, tokens: (math.e ** sum(_each_times(losses, tokens))) ** (1 / sum(tokens)),
                ),
            ),
            Mistake(
                "divided-after-the-exponential",
                lambda losses, tokens: (
                    math.exp(sum(loss * n for loss, n in zip(losses, tokens, strict=True))) / sum(tokens)
                ),
                "You divide after the exponential. Divide first: where does its bracket end?",
                also=(
                    lambda losses, tokens: math.e ** sum(_each_times(losses, tokens)) / sum(tokens),
                    lambda losses, tokens: np.exp(np.dot(losses, tokens)) / sum(tokens),
                ),
            ),
            Mistake(
                "minus",
                lambda losses, tokens: 1 / perplexity(losses, tokens),
                "Yours is below 1: is there a minus in it? The losses are negative logarithms already.",
            ),
            Mistake(
                "means-divided-by-tokens",
                lambda losses, tokens: math.exp(sum(losses) / sum(tokens)),
                "The losses are means already. Times its number of tokens, each becomes the loss of its whole batch.",
                also=(
                    lambda losses, tokens: math.exp(sum(_each_divided(losses, tokens))),
                    lambda losses, tokens: math.exp(sum(_each_divided(losses, tokens)) / len(losses)),
                    lambda losses, tokens: math.exp(sum(_each_divided(losses, tokens)) / sum(tokens)),
                ),
            ),
            Mistake(
                "base-two",
                lambda losses, tokens: 2 ** math.log(perplexity(losses, tokens)),
                "The losses are in nats, so the base is e, not 2.",
            ),
            Mistake(
                "no-exponential",
                lambda losses, tokens: math.log(perplexity(losses, tokens)),
                "This is the mean loss. Perplexity is its exponential.",
            ),
            Mistake(
                "mean-of-batch-means-without-exponential",
                lambda losses, tokens: sum(losses) / len(losses),
                "This is the batches' mean loss, and every batch counts alike. Every token should, and perplexity is "
                "the exponential of that.",
            ),
            Mistake(
                "first-batch-only",
                lambda losses, tokens: math.exp(losses[0]),
                "This is the perplexity of the first batch alone. Is the `return` inside the loop?",
            ),
            Mistake(
                "last-batch-only",
                lambda losses, tokens: math.exp(losses[-1]),
                "This is the perplexity of the last batch alone: is something begun anew for each batch?",
            ),
            Mistake(
                "last-loss-by-all-tokens",
                lambda losses, tokens: math.exp(losses[-1] * tokens[-1] / sum(tokens)),
                "You divide by the tokens of all batches, and only the last one's loss is in the sum. Does each batch "
                "add to it, or take its place?",
            ),
            Mistake(
                "logarithm",
                lambda losses, tokens: math.log(math.log(perplexity(losses, tokens))),
                "You take the logarithm of the mean loss. The loss is a logarithm already: what undoes that?",
            ),
            Mistake(
                "one-for-each-batch",
                lambda losses, tokens: [math.exp(loss) for loss in losses],
                "These are the perplexities of the batches. Wanted is one, over the tokens of all.",
            ),
            Mistake(
                "perplexities-added-up",
                lambda losses, tokens: sum(math.exp(loss) for loss in losses),
                "You add up perplexities. It is losses that can be added, each for all its tokens; the exponential "
                "comes last.",
                also=(lambda losses, tokens: sum(math.exp(loss) * n for loss, n in zip(losses, tokens, strict=True)),),
            ),
            Mistake(
                "exponential-of-each-batch",
                lambda losses, tokens: (
                    sum(math.exp(loss * n) for loss, n in zip(losses, tokens, strict=True)) / sum(tokens)
                ),
                "You take the exponential of what each batch has lost in all. It comes last, once, and of a mean.",
            ),
            Mistake(
                "divided-twice",
                lambda losses, tokens: math.exp(math.log(perplexity(losses, tokens)) / len(losses)),
                "You divide by the number of tokens, and once more by that of the batches.",
            ),
            Mistake(
                "whole-number-division",
                lambda losses, tokens: math.exp(math.log(perplexity(losses, tokens)) // 1),
                "Your mean loss is always a whole number. What does `//` leave of a quotient?",
            ),
            Mistake(
                "looked-up-by-the-loss",
                _looked_up,
                "Where two batches have the same loss, you take the first one's number of tokens for both. How else do "
                "a loss and its number come together?",
            ),
            Mistake(
                "lists-multiplied",
                lambda losses, tokens: math.exp(sum(losses * tokens) / sum(tokens)),
                "Two lists cannot be multiplied. Which number belongs to which?",
            ),
            Mistake(
                "exponential-of-a-list",
                lambda losses, tokens: math.exp(losses),
                "You take the exponential of a list. It wants one number: which?",
                also=(lambda losses, tokens: torch.exp(losses),),
            ),
            Mistake(
                "exponential-for-tensors",
                lambda losses, tokens: torch.exp(math.log(perplexity(losses, tokens))),
                "`torch.exp` takes tensors only, and yours is one of Python's own numbers.",
            ),
        ),
    )
)


# 4.6: two steps after a checkpoint must lead where two steps without the stop have led.


def resume(checkpoint: dict, model: Seq2Seq, optimizer: torch.optim.Optimizer, generator: torch.Generator) -> None:
    model.load_state_dict(checkpoint["model"])
    optimizer.load_state_dict(checkpoint["optimizer"])
    generator.set_state(checkpoint["generator"])


def _stop_and_go_on(answer: Callable, arguments: tuple) -> dict[str, Tensor]:
    (seed,) = arguments
    model = random_model(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(3):
        canonical_train_step(model, optimizer, *_batch(generator))
    checkpoint = {
        "model": copy.deepcopy(model.state_dict()),
        "optimizer": copy.deepcopy(optimizer.state_dict()),
        "generator": generator.get_state(),
    }
    untouched = copy.deepcopy(checkpoint)
    model, generator = random_model(seed + 100), torch.Generator().manual_seed(seed + 100)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)  # the learning rate, too, is in the checkpoint
    own_state = torch.get_rng_state()
    answer(checkpoint, model, optimizer, generator)
    if not torch.equal(own_state, torch.get_rng_state()):
        raise WrongAnswer(
            "It sets PyTorch's own generator, or draws from it, as others do. The one that was handed over has a "
            "method of its own that sets it."
        )
    if difference(untouched, checkpoint):
        raise WrongAnswer("You change the checkpoint. It is what is read; the three that come with it are to change.")
    if not all(isinstance(key, Tensor) for key in optimizer.state):
        raise WrongAnswer(
            "The optimizer cannot go on: the state of a checkpoint is numbered, while its own belongs to parameters. "
            "Its method `load_state_dict` puts each in its place."
        )
    for _ in range(2):
        canonical_train_step(model, optimizer, *_batch(generator))
    if difference(untouched["model"], checkpoint["model"]):
        raise WrongAnswer("Going on has changed the checkpoint's own weights: they must be copied out of it.")
    return {"the weights after two more steps": _parameters(model)}


def _resume_without(name: str) -> Callable:
    def answer(checkpoint, model, optimizer, generator) -> None:
        if name != "model":
            model.load_state_dict(checkpoint["model"])
        if name != "optimizer":
            optimizer.load_state_dict(checkpoint["optimizer"])
        if name != "generator":
            generator.set_state(checkpoint["generator"])

    return answer


def _resume_by(
    load_model: Callable = lambda model, checkpoint: model.load_state_dict(checkpoint["model"]),
    load_optimizer: Callable = lambda optimizer, checkpoint: optimizer.load_state_dict(checkpoint["optimizer"]),
    load_generator: Callable = lambda generator, checkpoint: generator.set_state(checkpoint["generator"]),
) -> Callable:
    """A wrong resumption: the state of one of the three put back in another way."""

    def answer(checkpoint, model, optimizer, generator) -> None:
        load_model(model, checkpoint)
        load_optimizer(optimizer, checkpoint)
        load_generator(generator, checkpoint)

    return answer


def _copied_into_the_parameters(model: Seq2Seq, checkpoint: dict) -> None:
    for name, parameter in model.named_parameters():
        parameter.copy_(checkpoint["model"][name])


register(
    Exercise(
        id="4.6",
        title="Going on from a checkpoint",
        minutes=10,
        difficulty=2,
        reference=resume,
        probes=lambda: [(1,), (2,)],
        run=_stop_and_go_on,
        mistakes=(
            Mistake(
                "optimizer-forgotten",
                _resume_without("optimizer"),
                "The weights are back, but the optimizer that you were handed is as it came, without Adam's averages: "
                "its first steps go elsewhere. (`optimizer = …` would only give a name to another one.)",
            ),
            Mistake(
                "generator-forgotten",
                _resume_without("generator"),
                "The generator that you were handed is as it came, so the resumed run sees other examples than the "
                "one that was never stopped. (`generator = …` would only give a name to another one.)",
            ),
            Mistake(
                "only-the-weights",
                lambda checkpoint, model, optimizer, generator: model.load_state_dict(checkpoint["model"]),
                "The weights are back. Two more things remember where the run was, and those that you were handed are "
                "as they came.",
            ),
            Mistake(
                "names-rebound",
                lambda checkpoint, model, optimizer, generator: copy.deepcopy(checkpoint),
                "The three objects that were handed to you are as they were. `model = …` gives a name to something "
                "else; load into the object itself.",
            ),
            Mistake(
                "model-forgotten",
                _resume_without("model"),
                "The optimizer is back, but the model that you were handed has weights that were never trained. "
                "(`model = …` would only give a name to another one.)",
                also=(
                    lambda checkpoint, model, optimizer, generator: optimizer.load_state_dict(checkpoint["optimizer"]),
                ),
            ),
            Mistake(
                "only-the-generator",
                lambda checkpoint, model, optimizer, generator: generator.set_state(checkpoint["generator"]),
                "The generator is back, but the model and the optimizer that you were handed are as they came. "
                "(Neither what you change in the dictionary that `state_dict()` gives out nor `model.state_dict = …` "
                "reaches them.)",
            ),
            Mistake(
                "parameters-exchanged",
                _resume_by(
                    load_model=lambda model, checkpoint: model.load_state_dict(checkpoint["model"], assign=True)
                ),
                "The weights are back, and then they no longer move: the model has other parameters now than those "
                "which the optimizer holds.",
            ),
            Mistake(
                "generator-by-another-name",
                _resume_by(
                    load_generator=lambda generator, checkpoint: generator.load_state_dict(checkpoint["generator"])
                ),
                "A generator has nothing of that name. What does `dir(generator)` list?",
                also=(
                    _resume_by(
                        load_generator=lambda generator, checkpoint: generator.load_state(checkpoint["generator"])
                    ),
                    _resume_by(
                        load_generator=lambda generator, checkpoint: generator.set_rng_state(checkpoint["generator"])
                    ),
                    _resume_by(
                        load_generator=lambda generator, checkpoint: setattr(
                            generator, "state", checkpoint["generator"]
                        )
                    ),
                ),
            ),
            Mistake(
                "state-for-a-seed",
                _resume_by(load_generator=lambda generator, checkpoint: generator.manual_seed(checkpoint["generator"])),
                "A seed is one number, and says where a generator begins. The checkpoint holds its state: where it "
                "was.",
                also=(
                    _resume_by(load_generator=lambda generator, checkpoint: generator.manual_seed(0)),
                    _resume_by(load_generator=lambda generator, checkpoint: generator.manual_seed(42)),
                ),
            ),
            Mistake(
                "model-by-another-name",
                _resume_by(load_model=lambda model, checkpoint: model.set_state(checkpoint["model"])),
                "A model has no method of that name. `state_dict()` gives its state out: what takes one in?",
                also=(
                    _resume_by(load_model=lambda model, checkpoint: model.load(checkpoint["model"])),
                    _resume_by(load_model=lambda model, checkpoint: model.load_dict(checkpoint["model"])),
                    _resume_by(load_model=lambda model, checkpoint: model.load_state(checkpoint["model"])),
                ),
            ),
            Mistake(
                "optimizer-by-another-name",
                _resume_by(load_optimizer=lambda optimizer, checkpoint: optimizer.set_state(checkpoint["optimizer"])),
                "An optimizer has no method of that name. It gives its state out as a model does, and takes one in in "
                "the same way.",
                also=(
                    _resume_by(load_optimizer=lambda optimizer, checkpoint: optimizer.load(checkpoint["optimizer"])),
                ),
            ),
            Mistake(
                "whole-checkpoint-loaded",
                _resume_by(load_model=lambda model, checkpoint: model.load_state_dict(checkpoint)),
                "You hand the model the whole checkpoint. Under which name are its weights?",
            ),
            Mistake(
                "another-ones-state",
                _resume_by(load_model=lambda model, checkpoint: model.load_state_dict(checkpoint["optimizer"])),
                "What you hand over is not the state of the one that gets it. The checkpoint holds three, each under "
                "its own name.",
                also=(
                    _resume_by(load_optimizer=lambda optimizer, checkpoint: optimizer.load_state_dict(checkpoint)),
                    _resume_by(load_generator=lambda generator, checkpoint: generator.set_state(checkpoint)),
                ),
            ),
            Mistake(
                "dictionary-with-a-dot",
                _resume_by(load_model=lambda model, checkpoint: model.load_state_dict(checkpoint.model)),
                "The checkpoint is a dictionary: what it holds is found by name, in square brackets.",
            ),
            Mistake(
                "names-of-another-checkpoint",
                _resume_by(load_model=lambda model, checkpoint: model.load_state_dict(checkpoint["model_state_dict"])),
                "This checkpoint has no such name in it. Which three are given above?",
                also=(
                    _resume_by(load_model=lambda model, checkpoint: model.load_state_dict(checkpoint["state_dict"])),
                    _resume_by(load_model=lambda model, checkpoint: model.load_state_dict(checkpoint["model_state"])),
                    _resume_by(
                        load_optimizer=lambda optimizer, checkpoint: optimizer.load_state_dict(checkpoint["optim"])
                    ),
                    _resume_by(
                        load_optimizer=lambda optimizer, checkpoint: optimizer.load_state_dict(
                            checkpoint["optimizer_state_dict"]
                        )
                    ),
                    _resume_by(load_generator=lambda generator, checkpoint: generator.set_state(checkpoint["rng"])),
                    _resume_by(
                        load_generator=lambda generator, checkpoint: generator.set_state(checkpoint["generator_state"])
                    ),
                ),
            ),
            Mistake(
                "copied-with-gradients-on",
                _resume_by(load_model=_copied_into_the_parameters),
                "PyTorch lets nothing be written into a parameter while it keeps track of gradients. Who loads the "
                "weights without that?",
            ),
            Mistake(
                "loaded-from-no-file",
                lambda checkpoint, model, optimizer, generator: torch.load(checkpoint),
                "`torch.load` reads files. This checkpoint has been read already: it is a dictionary.",
            ),
        ),
    )
)

"""Exercises of notebook 04: a training step, honest evaluation, perplexity, going on from a checkpoint."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..evaluation import token_accuracy, token_loss
from ..model import Seq2Seq
from ..training import train_step as canonical_train_step
from .engine import Exercise, Mistake, register
from .probes import VOCABULARY, random_model

GRADIENT_CLIP = 1.0


def _batch(generator: torch.Generator, batch_size: int = 5) -> tuple[Tensor, Tensor]:
    source = torch.randint(0, VOCABULARY, (batch_size, 4), generator=generator)
    return source, torch.randint(0, VOCABULARY, (batch_size, 3), generator=generator)


def _parameters(model: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


# 4.1: three steps from the same start; what is compared is where they lead, and the losses on the way.


def train_step(model: Seq2Seq, optimizer: torch.optim.Optimizer, source: Tensor, target: Tensor) -> Tensor:
    return canonical_train_step(model, optimizer, source, target, gradient_clip=GRADIENT_CLIP)


def _three_steps(answer: Callable, arguments: tuple) -> tuple[Tensor, Tensor]:
    (seed,) = arguments
    model = random_model(seed, dropout=0.3).eval()  # a step has to put it in training mode itself
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    generator = torch.Generator().manual_seed(seed)
    losses = [answer(model, optimizer, *_batch(generator)) for _ in range(3)]
    if any(loss is None for loss in losses):
        raise ValueError("the loss is not returned")
    return torch.stack([torch.as_tensor(loss).detach() for loss in losses]), _parameters(model)


def _clip_norm(model: Seq2Seq) -> None:
    nn.utils.clip_grad_norm_(model.parameters(), GRADIENT_CLIP)


def _clip_values(model: Seq2Seq) -> None:
    nn.utils.clip_grad_value_(model.parameters(), GRADIENT_CLIP)


def _step_as(
    zero: bool = True, training: bool = True, clip: Callable | None = _clip_norm, ratio: float = 1.0
) -> object:
    """A wrong training step: one of its parts left out or moved."""

    def answer(model: Seq2Seq, optimizer: torch.optim.Optimizer, source: Tensor, target: Tensor) -> Tensor:
        model.train(training)
        loss = token_loss(model(source, target, ratio), target)
        if zero:
            optimizer.zero_grad()
        loss.backward()
        if clip is not None:
            clip(model)
        optimizer.step()
        return loss.detach()

    return answer


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
        probes=lambda: [(1,), (2,)],
        run=_three_steps,
        mistakes=(
            Mistake(
                "gradients-not-cleared",
                _step_as(zero=False),
                "The first step is right and the later ones drift: old gradients are still there and "
                "new ones add to them.",
            ),
            Mistake(
                "not-clipped",
                _step_as(clip=None),
                "The optimizer uses the gradient at its full size. Clip its norm to 1 before the step, not after.",
            ),
            Mistake(
                "every-number-clipped",
                _step_as(clip=_clip_values),
                "You clip every number of the gradient by itself. The norm of the whole is to be at most 1.",
            ),
            Mistake(
                "not-always-forced",
                _step_as(ratio=0.5),
                "Your decoder reads its own guesses now and then. With full teacher forcing the ratio is 1.",
            ),
            Mistake(
                "eval-mode",
                _step_as(training=False),
                "The model came in eval mode and stayed there, so dropout was off. A training step switches it on.",
            ),
            Mistake(
                "nothing-learned",
                _step_without_learning,
                "The loss is right, but the weights have not moved. Who asks for the gradient, and who uses it?",
            ),
        ),
    )
)


# 4.2: some targets are the model's own outputs, some are changed, so that every way of cheating gives another number.


def accuracy_of(model: Seq2Seq, source: Tensor, target: Tensor, batch_size: int) -> float:
    was_training = model.training
    model.eval()
    output = torch.cat([model.generate(batch, target.shape[1]) for batch in source.split(batch_size)])
    model.train(was_training)
    return token_accuracy(output, target)


def _evaluation(answer: Callable, arguments: tuple) -> tuple[Tensor, Tensor, Tensor]:
    model, source, target, batch_size = arguments
    before = _parameters(model)
    accuracy = torch.as_tensor(float(answer(model, source, target, batch_size)))
    return accuracy, torch.tensor(model.training), (_parameters(model) - before).abs().max()


def _evaluations() -> list[tuple[Seq2Seq, Tensor, Tensor, int]]:
    generator = torch.Generator().manual_seed(0)
    probes = []
    for seed, n, batch_size, training in ((1, 11, 4, True), (2, 23, 5, True), (3, 9, 4, False)):
        model = random_model(seed, dropout=0.5).eval()
        source = torch.randint(0, VOCABULARY, (n, 4), generator=generator)
        target = model.generate(source, 6)
        changed = torch.rand(target.shape, generator=generator) < 0.25
        target = torch.where(changed, (target + 1) % VOCABULARY, target)
        probes.append((model.train(training), source, target, batch_size))
    return probes


def _exact_match_of(model: Seq2Seq, source: Tensor, target: Tensor, batch_size: int) -> float:
    was_training = model.training
    output = model.eval().generate(source, target.shape[1])
    model.train(was_training)
    return (output == target).all(dim=1).double().mean().item()


def _accuracy_as(
    forced: bool = False,
    eval_mode: bool = True,
    restore: bool | None = True,
    whole: bool = True,
    batch_means: bool = False,
) -> object:
    """A wrong evaluation: one precaution left out."""

    def answer(model: Seq2Seq, source: Tensor, target: Tensor, batch_size: int) -> float:
        was_training = model.training
        if eval_mode:
            model.eval()
        outputs = []
        for sources, targets in zip(source.split(batch_size), target.split(batch_size), strict=True):
            if not whole and len(sources) < batch_size:
                continue
            with torch.no_grad():
                outputs.append(model(sources, targets, 1.0 if forced else 0.0).argmax(-1))
        if restore is None:
            model.train()
        elif restore:
            model.train(was_training)
        if batch_means:
            means = [token_accuracy(o, t) for o, t in zip(outputs, target.split(batch_size), strict=True)]
            return sum(means) / len(means)
        output = torch.cat(outputs)
        return token_accuracy(output, target[: len(output)])

    return answer


register(
    Exercise(
        id="4.2",
        title="Evaluation without leakage",
        minutes=15,
        difficulty=2,
        reference=accuracy_of,
        probes=_evaluations,
        run=_evaluation,
        mistakes=(
            Mistake(
                "teacher-forced",
                _accuracy_as(forced=True),
                "Your decoder is shown the true tokens while it is being tested. It must read its own.",
            ),
            Mistake(
                "dropout-on",
                _accuracy_as(eval_mode=False),
                "The model came in training mode, and dropout stayed on while you measured.",
            ),
            Mistake(
                "whole-examples",
                _exact_match_of,
                "This is exact match: you count whole examples. Token accuracy counts tokens.",
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
                _accuracy_as(whole=False),
                "The last, shorter batch is left out. Every example counts.",
            ),
            Mistake(
                "mean-of-batch-means",
                _accuracy_as(batch_means=True),
                "You average the batches' accuracies. The last batch is shorter, so its examples count for too much.",
            ),
        ),
    )
)


# 4.3


def perplexity(losses: list[float], tokens: list[int]) -> float:
    return math.exp(sum(loss * n for loss, n in zip(losses, tokens, strict=True)) / sum(tokens))


register(
    Exercise(
        id="4.3",
        title="Perplexity over batches of several sizes",
        minutes=10,
        difficulty=2,
        reference=perplexity,
        probes=lambda: [([1.0, 3.0], [30, 10]), ([0.5, 0.75, 2.5], [512, 512, 64]), ([2.3], [8])],
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
                lambda losses, tokens: sum(loss * n for loss, n in zip(losses, tokens, strict=True)) / len(losses),
                "You divide by the number of batches. Divide the summed loss by the number of tokens.",
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
        ),
    )
)


# 4.4: two steps after a checkpoint must lead where two steps without the stop have led.


def resume(checkpoint: dict, model: Seq2Seq, optimizer: torch.optim.Optimizer, generator: torch.Generator) -> None:
    model.load_state_dict(checkpoint["model"])
    optimizer.load_state_dict(checkpoint["optimizer"])
    generator.set_state(checkpoint["generator"])


def _stop_and_go_on(answer: Callable, arguments: tuple) -> Tensor:
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
    model, generator = random_model(seed + 100), torch.Generator().manual_seed(seed + 100)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    answer(checkpoint, model, optimizer, generator)
    for _ in range(2):
        canonical_train_step(model, optimizer, *_batch(generator))
    return _parameters(model)


def _resume_without(name: str) -> object:
    def answer(checkpoint, model, optimizer, generator) -> None:
        if name != "model":
            model.load_state_dict(checkpoint["model"])
        if name != "optimizer":
            optimizer.load_state_dict(checkpoint["optimizer"])
        if name != "generator":
            generator.set_state(checkpoint["generator"])

    return answer


register(
    Exercise(
        id="4.4",
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
                "The weights are back, but Adam has forgotten its averages: its first steps go elsewhere.",
            ),
            Mistake(
                "generator-forgotten",
                _resume_without("generator"),
                "The resumed run sees other examples than the one that was never stopped.",
            ),
            Mistake(
                "only-the-weights",
                lambda checkpoint, model, optimizer, generator: model.load_state_dict(checkpoint["model"]),
                "The weights are back. Two more things remember where the run was.",
            ),
            Mistake(
                "model-forgotten",
                _resume_without("model"),
                "The optimizer is back, but it now works on weights that were never trained.",
            ),
        ),
    )
)

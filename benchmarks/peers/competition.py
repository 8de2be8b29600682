"""What every peer of the speed benchmark shares: its training batches, its clock, its examination and its report.

A peer's file says how its network is built, what its loss is and how it decodes; it runs as a process of its own, in
an environment of its own, and ends by writing one line of JSON. Run one by `peers.run`, or by hand:

    PYTHONPATH=. build/peers/xtransformers/bin/python benchmarks/peers/xtransformers.py --setting tuned --seed 0
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

import torch
from torch import Tensor, nn

from course_utils import SubstringTask, exact_match, held_out
from course_utils.training import HELD_OUT_EXAMPLES  # the same examples for all: another number draws others

GOAL = 0.99  # the share of the held-out examples that has to be right
QUICK_EXAMPLES = 1_000  # all are examined only where these promise something
QUICK_GOAL = 0.985
EXAMINED_AT_ONCE = 1_000
WARM_UP_STEPS = 3
SHARE_OF_CYCLE_UPWARDS = 0.1
LOWEST_SHARE_OF_RATE = 0.02


@dataclass(frozen=True)
class Setting:
    """How one peer is sized and trained, by AdamW. What `width` and `depth` size is said in the peer's file."""

    learning_rate: float
    batch_size: int
    width: int
    depth: int
    dropout: float = 0.0
    gradient_clip: float = math.inf
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0  # without any, AdamW is Adam
    cycle: int | None = None  # steps from the first to the last of a one-cycle rate; None keeps the rate constant


@dataclass(frozen=True)
class Competitor:
    """A network in the two functions that a race needs."""

    model: nn.Module
    loss: Callable[[Tensor, Tensor], Tensor]  # of source (B, 10) and target (B, 8), always with teacher forcing
    decode: Callable[[Tensor], Tensor]  # source (N, 10) -> what it writes greedily, (N, 8)


Build = Callable[[Setting], Competitor]


class Training:
    """A competitor at its start: the same seed draws the same weights, batches and dropout."""

    def __init__(self, build: Build, setting: Setting, seed: int) -> None:
        torch.manual_seed(seed)
        self.setting = setting
        self.competitor = build(setting)
        self.generator = torch.Generator().manual_seed(seed)
        self.optimizer = torch.optim.AdamW(
            self.competitor.model.parameters(),
            lr=setting.learning_rate,
            betas=setting.betas,
            weight_decay=setting.weight_decay,
        )
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda step: rate(step, setting.cycle))
        self.steps = 0

    def step(self) -> None:
        model = self.competitor.model
        loss = self.competitor.loss(*SubstringTask().sample(self.setting.batch_size, self.generator))
        self.optimizer.zero_grad()
        loss.backward()
        if self.setting.gradient_clip < math.inf:
            nn.utils.clip_grad_norm_(model.parameters(), self.setting.gradient_clip)
        self.optimizer.step()
        self.scheduler.step()
        self.steps += 1


def rate(step: int, cycle: int | None) -> float:
    """The share of the learning rate: in a cycle up along a line, down along a cosine, then low until the end."""
    if cycle is None:
        return 1.0
    peak = SHARE_OF_CYCLE_UPWARDS * cycle
    if step < peak:
        return (step + 1) / (peak + 1)
    fallen = min(1.0, (step - peak) / (cycle - peak))
    return max(LOWEST_SHARE_OF_RATE, (1 + math.cos(math.pi * fallen)) / 2)


def examine(competitor: Competitor, n: int) -> float:
    """Exact match of greedy decoding on the first n held-out examples."""
    source, target = held_out(SubstringTask(), HELD_OUT_EXAMPLES)
    competitor.model.eval()
    with torch.no_grad():
        output = torch.cat([competitor.decode(part) for part in source[:n].split(EXAMINED_AT_ONCE)])
    competitor.model.train()
    if output.shape != target[:n].shape:
        raise ValueError(f"{tuple(target[:n].shape)} tokens are wanted, but the peer wrote {tuple(output.shape)}.")
    return exact_match(output, target[:n])


def race(
    build: Build,
    setting: Setting,
    seed: int,
    seconds: float,
    every: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict:
    """Train until the held-out exact match first reaches the goal, or for `seconds`. Only training is on the clock."""
    warm_up = Training(build, setting, seed)  # PyTorch's first steps are slow: they are taken by a copy
    warm_up.competitor.model.train()
    for _ in range(WARM_UP_STEPS):
        warm_up.step()

    training = Training(build, setting, seed)
    training.competitor.model.train()
    trained = examining = 0.0
    crossed = False
    while not crossed and trained < seconds:
        began = clock()
        for _ in range(every):
            training.step()
            if trained + clock() - began >= seconds:
                break
        ended = clock()
        trained += ended - began
        # The last look is at all examples, so that the reported number always is.
        if trained >= seconds or examine(training.competitor, QUICK_EXAMPLES) >= QUICK_GOAL:
            score = examine(training.competitor, HELD_OUT_EXAMPLES)
            crossed = score >= GOAL
        examining += clock() - ended
    return {
        "crossed": crossed,
        "seconds": round(trained, 3),
        "examples": training.steps * setting.batch_size,
        "exact_match": score,
        "steps": training.steps,
        "parameters": sum(parameter.numel() for parameter in training.competitor.model.parameters()),
        "evaluation_seconds": round(examining, 3),
    }


def compete(peer: str, settings: dict[str, tuple[Build, Setting]], package: str) -> None:
    """The command line of a peer's file: one race, reported as one line of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--setting", choices=settings, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--every", type=int, default=50, help="steps between two looks at the held-out examples")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    build, setting = settings[asked.setting]
    report = {"peer": peer, "setting": asked.setting, "seed": asked.seed}
    report |= race(build, setting, asked.seed, asked.seconds, asked.every)
    report["versions"] = {package: version(package), "torch": torch.__version__, "python": platform.python_version()}
    print(json.dumps(report), flush=True)

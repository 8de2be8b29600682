"""From the loop one writes first to the fastest step: the same network, each rung with one idea more.

The one in bf16 stands by itself: the rung behind it is back at 32 bits.

What a rung costs is measured, not assumed. One that a device cannot climb is left out.
"""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch.utils.data import DataLoader

from .data import SyntheticDataset
from .networks import build_model
from .recipes import TUNED, Recipe
from .speed import WARM_UP_STEPS, CapturedStep, seconds
from .task import SubstringTask
from .training import optimizer_of, train_step

FOREVER = 10**9  # examples


@dataclass(frozen=True)
class Rung:
    """How a training step is taken. Each idea is explained where it is used, in `step_of`."""

    name: str
    batch_size: int = 32
    data_on_the_device: bool = False
    one_decoder_call: bool = False
    bf16: bool = False
    captured: bool = False


LOOP = Rung("loop")
ON_THE_DEVICE = replace(LOOP, name="data on the device", data_on_the_device=True)
ONE_CALL = replace(ON_THE_DEVICE, name="one decoder call", one_decoder_call=True)
LARGER_BATCHES = replace(ONE_CALL, name="larger batches", batch_size=512)
BF16 = replace(LARGER_BATCHES, name="bf16", bf16=True)
CAPTURED = replace(LARGER_BATCHES, name="captured step", captured=True)  # in 32 bits again, as `fit` takes it
RUNGS = (LOOP, ON_THE_DEVICE, ONE_CALL, LARGER_BATCHES, BF16, CAPTURED)


def step_of(rung: Rung, device: torch.device, recipe: Recipe) -> Callable[[], object]:
    """A training step of the recipe's network, its batch included, to be called again and again."""
    model = build_model(recipe, device=device)
    if rung.bf16:
        # The weights too: under autocast a GPU's GRU would take float16. It is there to be timed; rounded weights learn
        # worse. Before cuDNN 9.13, and PyTorch's https://github.com/pytorch/pytorch/pull/164411, a GPU takes PyTorch's
        # own cells for it, one step at a time.
        model = model.bfloat16()
    optimizer = optimizer_of(model, recipe, device, rung.captured)
    step = CapturedStep(train_step, device) if rung.captured else train_step
    teacher_forcing_ratio = 1.0 if rung.one_decoder_call else 0.5
    if rung.data_on_the_device:
        task, generator = SubstringTask(recipe.length), torch.Generator(device).manual_seed(0)
        return lambda: step(model, optimizer, *task.sample(rung.batch_size, generator), teacher_forcing_ratio)
    loader = iter(DataLoader(SyntheticDataset(FOREVER, length=recipe.length), rung.batch_size))

    def step_of_the_loop() -> float:
        source, target = next(loader)  # one example at a time, in Python, and then copied
        loss = step(model, optimizer, source.to(device), target.to(device), teacher_forcing_ratio)
        return loss.item()  # and so the device waits for Python, and Python for the device

    return step_of_the_loop


def can_climb(rung: Rung, device: torch.device) -> bool:
    """A CPU captures nothing, and a GPU that has no bf16, like Colab's T4, would only imitate it."""
    if device.type != "cuda":
        return not rung.captured
    return not rung.bf16 or torch.cuda.is_bf16_supported(including_emulation=False)


def climb(
    device: torch.device | str,
    rungs: Sequence[Rung] = RUNGS,
    recipe: Recipe = TUNED,
    rounds: int = 5,
    n_steps: int = 20,
) -> list[dict]:
    """What a step costs on each rung: a dict each of name, batch_size, seconds and examples_per_second.

    Seconds are the median of some rounds of so many steps, with all rungs in each round, so that a slow spell of the
    machine hits all alike.
    """
    device = torch.device(device)
    steps = {rung: step_of(rung, device, recipe) for rung in rungs if can_climb(rung, device)}
    times: dict[Rung, list[float]] = {rung: [] for rung in steps}
    with warnings.catch_warnings():
        # In bf16 a GPU copies all weights at each call, and says so: it is part of what that rung costs.
        warnings.filterwarnings("ignore", "RNN module weights are not part of single contiguous chunk")
        for step in steps.values():
            for _ in range(WARM_UP_STEPS + 1):  # the last of them records a step that is to be captured
                step()
        for _ in range(rounds):
            for rung, step in steps.items():
                times[rung].append(seconds(lambda step=step: [step() for _ in range(n_steps)], device) / n_steps)
    rows = []
    for rung, taken in times.items():
        median = statistics.median(taken)
        row = {"name": rung.name, "batch_size": rung.batch_size, "seconds": median}
        rows.append(row | {"examples_per_second": rung.batch_size / median})
    return rows

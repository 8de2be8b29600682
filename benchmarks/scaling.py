"""What does a training step cost as batch, state, layers and sequences grow, and where does growing stop paying?

    python benchmarks/scaling.py            (some minutes on two cores with nothing else to do)

From the network and the batches of `tuned` one of the four is doubled again and again; inputs are random tokens, so
that sources can be longer than the task's. Beside the times stand the operations of a step's matrix products, counted
as in floor.py. It writes scaling.json and a picture for each of the four, beside this file. This is about the CPU;
`make gpu` measures the same on a GPU, whose steps are captured.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import torch
from floor import operations_of
from provenance import provenance, save
from tqdm.auto import tqdm

from course_utils import TUNED, CapturedStep, Recipe, build_model, display, plots, seconds, train_step
from course_utils.speed import WARM_UP_STEPS
from course_utils.task import VOCABULARY_SIZE
from course_utils.training import optimizer_of

RECORD = Path(__file__).with_suffix(".json")
ROUNDS = 5
STEPS_AT_LEAST, SECONDS_AT_LEAST = 3, 0.2  # of one timing
PAYS = 0.9  # a doubling pays where an operation then takes at most this share of its time before
Levers = dict[str, tuple[int, int, str]]
LEVERS: Levers = {  # what is doubled: from, to, its name
    "batch_size": (1, 512, "examples in a batch"),
    "hidden_dim": (32, 512, "size of the state"),
    "n_layers": (1, 8, "layers"),
    "length": (10, 320, "tokens in a source"),
}
ByValue = dict[int, float]  # of one lever
SIZES = ("batch_size", "emb_dim", "hidden_dim", "n_layers", "length")  # the settings that a step's time depends on


def step_of(recipe: Recipe, length: int, device: torch.device) -> Callable[[], object]:
    """A training step on random tokens, source (B, length) and target (B, length - 2); captured on a GPU."""
    captured = device.type == "cuda"
    generator = torch.Generator().manual_seed(0)
    source, target = (
        torch.randint(VOCABULARY_SIZE, (recipe.batch_size, width), generator=generator).to(device)
        for width in (length, length - 2)
    )
    model = build_model(recipe, 0, device)
    optimizer = optimizer_of(model, recipe, device, captured)
    step = CapturedStep(train_step, device) if captured else train_step
    return lambda: step(model, optimizer, source, target)


def counted(recipe: Recipe, length: int) -> int:
    """Multiplications and additions in the matrix products of a step, counted for one example: all cost the same."""
    alone = dataclasses.replace(recipe, batch_size=1)
    return recipe.batch_size * operations_of(step_of(alone, length, torch.device("cpu")))


def step_seconds(recipe: Recipe, length: int, device: torch.device) -> float:
    """The fastest of some rounds."""
    step = step_of(recipe, length, device)

    def steps(n: int) -> float:
        return seconds(lambda: [step() for _ in range(n)], device) / n

    steps(WARM_UP_STEPS + 1)  # the last of them records a step that is to be captured
    n = max(STEPS_AT_LEAST, round(SECONDS_AT_LEAST / steps(STEPS_AT_LEAST)))
    return min(steps(n) for _ in range(ROUNDS))


def values(first: int, last: int) -> list[int]:
    doubled = []
    while first <= last:
        doubled.append(first)
        first *= 2
    return doubled


def setting(lever: str, value: int) -> tuple[Recipe, int]:
    """`tuned` with one thing changed, and the length of a source."""
    if lever == "length":
        return TUNED, value
    return dataclasses.replace(TUNED, **{lever: value}), TUNED.length


def stops_paying(milliseconds: ByValue, operations: ByValue) -> int | None:
    """The value from which on no doubling pays; None if the last one measured does."""
    cost = {value: milliseconds[value] / operations[value] for value in milliseconds}
    end, *_ = cost
    for value in cost:
        if 2 * value in cost and cost[2 * value] <= PAYS * cost[value]:
            end = 2 * value
    return None if end == max(cost) else end


def measured(device: torch.device, levers: Levers) -> dict:
    """By lever and value: milliseconds and operations a step; and by lever, where doubling stops paying."""
    milliseconds: dict[str, ByValue] = {name: {} for name in levers}
    operations: dict[str, ByValue] = {name: {} for name in levers}
    settings = [(name, value) for name, (first, last, _) in levers.items() for value in values(first, last)]
    for lever, value in tqdm(settings, "settings"):
        recipe, length = setting(lever, value)
        try:
            taken = step_seconds(recipe, length, device)
        except torch.OutOfMemoryError:  # only a GPU raises it; what is larger will not fit either
            continue
        milliseconds[lever][value] = round(1000 * taken, 3)
        operations[lever][value] = counted(recipe, length)
    ends = {lever: stops_paying(times, operations[lever]) for lever, times in milliseconds.items()}
    return {
        "network": {name: getattr(TUNED, name) for name in SIZES},
        "milliseconds a step": milliseconds,
        "operations a step": operations,
        "doubling stops paying at": ends,
    }


def picture(lever: str, milliseconds: ByValue, operations: ByValue, where: str) -> bytes:
    """What was measured beside what proportion to the arithmetic would be, both logarithmic."""
    name = LEVERS[lever][-1]
    sizes, times = list(milliseconds), list(milliseconds.values())
    in_proportion = [times[-1] * operations[size] / operations[sizes[-1]] for size in sizes]
    end = stops_paying(milliseconds, operations)
    told = {None: "doubling always pays", sizes[0]: "doubling does not pay"}.get(end, f"doubling stops paying at {end}")
    figure = plots.lines(
        {"measured": times, "in proportion to the arithmetic": in_proportion},
        f"A step against {name}: {told}",
        f"{name}, {where}",
        "milliseconds a step",
        x=sizes,
        log_y=True,
    )
    figure.axes[0].set_xscale("log", base=2)
    figure.axes[0].set_xticks(sizes, sizes)
    figure.axes[0].yaxis.set_minor_formatter("")
    return display.png(figure)


def main() -> None:
    here = provenance("python benchmarks/scaling.py")
    found = measured(torch.device("cpu"), LEVERS)
    save({**here, **found}, RECORD)
    for lever in LEVERS:
        times, operations = (found[name][lever] for name in ("milliseconds a step", "operations a step"))
        path = RECORD.with_name(f"scaling-{lever}.png")
        path.write_bytes(picture(lever, times, operations, here["hardware"]))


if __name__ == "__main__":
    main()

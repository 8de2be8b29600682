"""What does a training step cost as batch, state, layers and sequences grow, and where does growing stop paying?

    python benchmarks/scaling.py            (some minutes on two cores with nothing else to do)

From the network and the batches of `tuned` one of the four is doubled again and again; inputs are random tokens, so
that sources can be longer than the task's. It writes scaling.json and a picture for each of the four, beside this
file. Where there is a GPU, it measures that.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from provenance import provenance, save
from tqdm.auto import tqdm

from course_utils import TUNED, Recipe, build_model, find_device, plots, seconds, train_step
from course_utils.task import VOCABULARY_SIZE

RECORD = Path(__file__).with_suffix(".json")
ROUNDS = 5
STEPS_AT_LEAST, SECONDS_AT_LEAST = 3, 0.2  # of one timing
PAYS = 0.9  # twice as much at once pays while it takes at most this share of the time for each
LEVERS = {  # what is doubled: from, to, its name, and by which power of it a step's arithmetic grows
    "batch_size": (1, 512, "examples in a batch", 1),
    "hidden_dim": (32, 512, "size of the state", 2),
    "n_layers": (1, 8, "layers", 1),
    "length": (10, 320, "tokens in a source", 1),
}


def step_seconds(recipe: Recipe, length: int, device: torch.device) -> float:
    """One training step on random tokens, source (B, length) and target (B, length - 2): the fastest of some rounds."""
    generator = torch.Generator().manual_seed(0)
    source, target = (
        torch.randint(VOCABULARY_SIZE, (recipe.batch_size, width), generator=generator).to(device)
        for width in (length, length - 2)
    )
    model = build_model(recipe, 0, device)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)

    def steps(n: int) -> float:
        return seconds(lambda: [train_step(model, optimizer, source, target) for _ in range(n)], device) / n

    n = max(STEPS_AT_LEAST, round(SECONDS_AT_LEAST / steps(STEPS_AT_LEAST)))  # the first steps, slow, are not kept
    return min(steps(n) for _ in range(ROUNDS))


def values(lever: str) -> list[int]:
    value, last, *_ = LEVERS[lever]
    doubled = []
    while value <= last:
        doubled.append(value)
        value *= 2
    return doubled


def stops_paying(lever: str, milliseconds: dict[int, float]) -> int | None:
    """The first value whose double does the same arithmetic in no less than PAYS of the time; None if there is none."""
    power = LEVERS[lever][-1]
    for value in milliseconds:
        twice = milliseconds.get(2 * value)
        if twice is not None and twice / 2**power > PAYS * milliseconds[value]:
            return value
    return None


def measured(device: torch.device) -> dict[str, dict[int, float]]:
    """By lever and value: milliseconds a step."""
    found: dict[str, dict[int, float]] = {name: {} for name in LEVERS}
    settings = [(name, value) for name in LEVERS for value in values(name)]
    for lever, value in tqdm(settings, "settings"):
        change = {} if lever == "length" else {lever: value}
        length = value if lever == "length" else TUNED.length
        found[lever][value] = round(1000 * step_seconds(dataclasses.replace(TUNED, **change), length, device), 3)
    return found


def picture(lever: str, milliseconds: dict[int, float], where: str) -> bytes:
    """What was measured beside what proportion to the arithmetic would be, both logarithmic."""
    name, power = LEVERS[lever][2:]
    sizes, times = list(milliseconds), list(milliseconds.values())
    in_proportion = [times[-1] * (size / sizes[-1]) ** power for size in sizes]
    end = stops_paying(lever, milliseconds)
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
    return plots.png(figure)


def main() -> None:
    device = find_device("auto")
    here = provenance("python benchmarks/scaling.py")
    if device.type == "cuda":
        here["hardware"] = torch.cuda.get_device_name()
    found = measured(device)
    record = {
        **here,
        "network": dataclasses.asdict(TUNED),
        "milliseconds a step": found,
        "doubling stops paying at": {lever: stops_paying(lever, times) for lever, times in found.items()},
    }
    save(record, RECORD)
    for lever, times in found.items():
        RECORD.with_name(f"scaling-{lever}.png").write_bytes(picture(lever, times, here["hardware"]))


if __name__ == "__main__":
    main()

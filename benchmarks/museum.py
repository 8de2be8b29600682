"""What the usual instruments and the properties say of each exhibit of the bug museum, over seeds.

    python benchmarks/museum.py             (about half an hour on one core; stop and start it as you like)

It writes course_utils/records/museum.json: for each exhibit, and for the healthy course, the readings of one trained
network a seed; what that of the last seed decodes, step by step; and the properties that fail on an untrained one,
with what they measure and how long they take. Those times are measured at the end, in several rounds: leave the
machine alone for that minute. The record's own commit and date are theirs, and a list has those of the readings. A
record of another machine is not gone on with.
"""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from statistics import median

import torch
from provenance import begun, made_at, provenance, save, whole
from tqdm.auto import tqdm

from course_utils import EXHIBITS, SubstringTask, build_model
from course_utils.exhibits import Exhibit
from course_utils.museum import MUSEUM, examine, opened, read, train, watch
from course_utils.training import Run

RECORD = Path(__file__).parents[1] / "course_utils" / "records" / "museum.json"
SEEDS = 5
WATCHED_SEED = SEEDS - 1
ROUNDS = 5
WATCHED = ([0, 4, 3, 8, 1, 5], [1, 2, 6, 2, 9, 4], [2, 2, 7, 5, 3, 8], [1, 3, 9, 1, 4, 7])  # one for each kind of place
CASES: dict[str, Exhibit | None] = {"healthy": None, **EXHIBITS}


def diagnosis(exhibit: Exhibit | None) -> dict:
    """The properties that fail, what each measures and its milliseconds; and those of the whole examination."""
    rounds = [examine(exhibit) for _ in range(ROUNDS)]
    failed = {}
    for number, finding in enumerate(rounds[0].findings):
        if finding.verdict == "fails":
            times = [one.findings[number].milliseconds for one in rounds]
            failed[finding.property.name] = {"measured": finding.measured, "milliseconds": median(times)}
    return {
        "failed": failed,
        "milliseconds": round(median(sum(finding.milliseconds for finding in one.findings) for one in rounds), 3),
    }


def has_a_part_in_training(exhibit: Exhibit) -> bool:
    """Whether the first steps of training, and the validation between them, leave other weights with this bug."""
    return not all(map(torch.equal, first_weights(exhibit), first_weights(None)))


@functools.cache
def first_weights(exhibit: Exhibit | None) -> list[torch.Tensor]:
    """Those after two epochs of three steps. (Of a run that is interrupted none are kept: `whole` ends the program.)"""
    run = whole(train(exhibit, recipe=dataclasses.replace(MUSEUM, steps_per_epoch=3, epochs=2)))
    return list(run.model.state_dict().values())


def with_code_of(exhibit: Exhibit | None, run: Run) -> Run:
    """A run whose network has this exhibit's code and the weights that it came to."""
    with opened(exhibit):
        model = build_model(MUSEUM)
    model.load_state_dict(run.model.state_dict())
    return dataclasses.replace(run, model=model.train())


def decodings(model: torch.nn.Module) -> dict:
    """What it writes for the watched sources, and with which probabilities."""
    tokens, probabilities = watch(model, torch.tensor(WATCHED))
    rounded = [[[round(share, 3) for share in step] for step in row] for row in probabilities.tolist()]
    return {"tokens": tokens.tolist(), "probabilities": rounded}


def main() -> None:
    torch.set_num_threads(1)  # the networks are so small that two threads only wait for each other
    here = provenance("python benchmarks/museum.py")
    record = begun(RECORD, here, MUSEUM)
    readings = {name: record.get("readings", {}).get(name, []) for name in CASES}
    decoded = {name: record["decodings"][name] for name in CASES if name in record.get("decodings", {})}
    made = record.get("readings made at", [])
    # Where a bug has no part in training, the network is the healthy one, to the bit, and is trained once a seed.
    in_training = {name: exhibit is not None and has_a_part_in_training(exhibit) for name, exhibit in CASES.items()}
    waiting = [(name, seed) for seed in range(SEEDS) for name in CASES if seed >= len(readings[name])]

    @functools.lru_cache(maxsize=1)
    def healthy_run(seed: int) -> Run:
        return whole(train(None, seed))

    for name, seed in tqdm(waiting, "networks"):
        exhibit = CASES[name]
        run = whole(train(exhibit, seed)) if in_training[name] else with_code_of(exhibit, healthy_run(seed))
        readings[name].append({"seed": seed, **dataclasses.asdict(read(exhibit, run))})
        if seed == WATCHED_SEED:
            decoded[name] = decodings(run.model)
        if made_at(here) not in made:
            made.append(made_at(here))
        save(record | {"decodings": decoded, "readings made at": made, "readings": readings}, RECORD, indent=None)
    record = {
        **here,
        "settings": record["settings"],
        "watched": {"source": WATCHED, "target": SubstringTask(MUSEUM.length).solve(WATCHED).tolist()},
        "in training": in_training,
        "diagnoses": {name: diagnosis(exhibit) for name, exhibit in tqdm(CASES.items(), "diagnoses")},
        "decodings": decoded,
        "readings made at": made,
        "readings": readings,
    }
    save(record, RECORD, indent=None)


if __name__ == "__main__":
    main()

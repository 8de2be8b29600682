"""The speed benchmark's peers: the race, its rule, its clock and its report. The peers themselves need the network."""

import itertools
import json
import sys
from pathlib import Path

import peers
import pytest
import torch
from peers import competition
from peers.competition import Competitor, Setting, examine, race, rate
from torch import nn

from course_utils import SubstringTask

SETTING = Setting(learning_rate=0.1, batch_size=4, width=1, depth=1)


class Clock:
    """Stands still but for what a fake peer says it takes."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def fake(clock, wrong=lambda step: 0.0):
    """A peer whose steps take 1 second, whose decoding takes 100, and which gets the share `wrong(step)` wrong."""
    made = []

    def build(setting):
        model = nn.Linear(1, 1)
        model.steps = 0
        model.seen = []
        made.append(model)

        def loss(source, target):
            assert model.training
            clock.now += 1
            model.steps += 1
            model.seen.append(source)
            return model(torch.ones(1, 1)).sum()

        def decode(source):
            assert not model.training
            assert not torch.is_grad_enabled()
            clock.now += 100
            output = SubstringTask().solve(source)
            output[: round(len(source) * wrong(model.steps)), 0] += 1
            return output

        return Competitor(model, loss, decode)

    build.made = made
    return build


def test_only_training_is_on_the_clock():
    clock = Clock()
    report = race(fake(clock, lambda step: 0.5 if step < 20 else 0.0), SETTING, 0, 300, 5, clock)
    assert report["crossed"]
    assert report["seconds"] == report["steps"] == 20
    assert report["examples"] == 80
    assert report["exact_match"] == 1
    assert report["evaluation_seconds"] == 4 * 100 + 10 * 100  # four looks at 1,000 and one at all 10,000
    assert report["parameters"] == 2


@pytest.mark.parametrize(("wrong", "crosses"), [(0.01, True), (0.011, False), (0.02, False)])
def test_a_race_is_won_at_99_percent_of_all_held_out_examples(wrong, crosses):
    clock = Clock()
    report = race(fake(clock, lambda step: wrong), SETTING, 0, 7, 5, clock)
    assert report["crossed"] is crosses
    assert report["exact_match"] == pytest.approx(1 - wrong)
    assert report["steps"] == (5 if crosses else 7)


def test_a_lost_race_ends_at_its_limit_and_reports_all_examples():
    clock = Clock()
    report = race(fake(clock, lambda step: 0.9), SETTING, 0, 12, 5, clock)
    assert not report["crossed"]
    assert report["seconds"] == report["steps"] == 12
    assert report["exact_match"] == pytest.approx(0.1)
    assert report["evaluation_seconds"] == 2 * 100 + 10 * 100


def test_the_warm_up_is_a_copys_and_the_same_seed_sees_the_same_examples():
    clock = Clock()
    build = fake(clock)
    race(build, SETTING, 3, 10, 5, clock)
    warm_up, raced = build.made
    assert warm_up.steps == competition.WARM_UP_STEPS
    assert raced.steps == 5
    batches = zip(raced.seen, warm_up.seen, strict=False)
    assert all(torch.equal(*pair) for pair in batches)
    generator = torch.Generator().manual_seed(3)
    assert torch.equal(raced.seen[0], SubstringTask().sample(4, generator)[0])


def test_outputs_of_another_shape_are_refused():
    competitor = Competitor(nn.Linear(1, 1), loss=None, decode=lambda source: source)
    with pytest.raises(ValueError, match="8"):
        examine(competitor, 10)


def test_the_rate_is_constant_or_goes_up_and_down_once():
    assert [rate(step, None) for step in (0, 10**6)] == [1, 1]
    rates = [rate(step, 100) for step in range(200)]
    peak = rates.index(max(rates))
    assert peak == 10
    assert rates[peak] == 1
    assert all(a < b for a, b in itertools.pairwise(rates[: peak + 1]))
    assert all(a >= b for a, b in itertools.pairwise(rates[peak:]))
    assert rates[-1] == competition.LOWEST_SHARE_OF_RATE


PEER = """
import torch
from competition import Competitor, Setting, compete
from torch import nn
from course_utils import SubstringTask

def build(setting):
    print("libraries talk")
    model = nn.Linear(1, 1)
    return Competitor(model, lambda s, t: model(torch.ones(1, 1)).sum(), SubstringTask().solve)

compete("fake", {"default": (build, Setting(0.1, 4, 1, 1))}, "torch")
"""


@pytest.fixture
def fake_peer(tmp_path, monkeypatch):
    """A peer whose environment is the course's own."""
    (tmp_path / "competition.py").write_bytes(Path(competition.__file__).read_bytes())
    monkeypatch.setattr(peers, "FOLDER", tmp_path)
    monkeypatch.setattr(peers, "environment", lambda peer: Path(sys.executable))
    return tmp_path / "fake.py"


def test_a_run_is_a_process_that_reports_one_line_of_json(fake_peer):
    fake_peer.write_text(PEER, encoding="utf-8")
    report = peers.run("fake", "default", 7, 60, 1, "--every=2")
    assert report.pop("seconds") >= 0
    assert report.pop("evaluation_seconds") > 0
    versions = report.pop("versions")
    assert versions.keys() == {"torch", "python"}
    assert report == {
        "peer": "fake",
        "setting": "default",
        "seed": 7,
        "crossed": True,
        "examples": 8,
        "exact_match": 1.0,
        "steps": 2,
        "parameters": 2,
    }


def test_a_run_that_fails_says_why(fake_peer):
    fake_peer.write_text("import no_such_package", encoding="utf-8")
    with pytest.raises(RuntimeError, match="no_such_package"):
        peers.run("fake", "default", 0, 1, 1)


@pytest.mark.parametrize("peer", peers.PEERS)
def test_a_peer_has_a_file_with_its_settings_and_pins_that_leave_pytorch_alone(peer):
    text = (peers.FOLDER / f"{peer}.py").read_text(encoding="utf-8")
    assert all(f"{json.dumps(setting)}: (" in text for setting in peers.PEERS[peer])
    pins = dict(line.split("==") for line in peers.pins(peer))
    assert "numpy" in pins
    assert "torch" not in pins

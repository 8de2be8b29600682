"""The bug museum: every exhibit is caught by its properties, and the instruments read what they say."""

import dataclasses
import functools
from types import SimpleNamespace

import museum as benchmark
import pytest
import torch
from torch.nn import functional as F

from course_utils import (
    EXHIBITS,
    MUSEUM,
    PROPERTIES,
    SubstringTask,
    build_model,
    evaluation,
    held_out,
    load_record,
    museum,
    training,
)
from course_utils.evaluation import evaluate, exact_match, token_accuracy
from course_utils.properties import redrawn

TINY = dataclasses.replace(MUSEUM, hidden_dim=8, emb_dim=6, steps_per_epoch=2, epochs=2, batch_size=8)


# The properties


@functools.cache
def examined(name):
    """Two tests ask for it, and it takes a third of a second."""
    return museum.examine(EXHIBITS.get(name))


@pytest.mark.parametrize("name", EXHIBITS)
def test_an_exhibit_fails_the_properties_that_name_it_and_no_others(name):
    diagnosis = examined(name)
    assert set(diagnosis.failed) == {one.name for one in PROPERTIES if name in one.resembles} != set()
    closest = diagnosis.resembles[0]
    assert {one.name for one in PROPERTIES if closest in one.resembles} == set(diagnosis.failed)
    assert name in diagnosis.resembles


@pytest.mark.parametrize("seed", range(5))
def test_the_healthy_course_fails_none(seed):
    diagnosis = museum.examine(None, seed=seed)
    assert diagnosis.healthy
    assert {finding.verdict for finding in diagnosis.findings} == {"holds"}


@pytest.mark.parametrize("name", ["healthy", *EXHIBITS])
def test_the_recorded_diagnosis_comes_again(name):
    recorded = load_record("museum")["diagnoses"][name]["failed"]
    came = {
        finding.property.name: finding.measured for finding in examined(name).findings if finding.verdict == "fails"
    }
    assert list(came) == list(recorded)
    for failed, measured in came.items():
        assert measured == pytest.approx(recorded[failed]["measured"], rel=1e-6)


def test_all_properties_but_two_catch_an_exhibit():
    named = {name for one in PROPERTIES for name in one.resembles}
    assert named == set(EXHIBITS)
    assert [one.name for one in PROPERTIES if not one.resembles] == ["shapes", "a step is taken"]


# The instruments


@pytest.mark.parametrize("name", [None, "state-after-padding", "validation-forced", "gradients-kept"])
def test_the_readings_are_those_of_the_sick_course(name):
    exhibit = EXHIBITS.get(name)
    run = museum.train(exhibit, seed=2, recipe=TINY)
    readings = museum.read(exhibit, run)
    source, target = held_out(SubstringTask(6), 1025)
    forced = evaluation.predict(run.model, source, target, 1.0).argmax(-1)
    reported = (exhibit.sick if exhibit and exhibit.part == "evaluate" else evaluate)(run.model, source, target)
    used = torch.cat([museum.decode_in_use(run.model, batch) for batch in source.split(25)])
    assert dataclasses.asdict(readings) == {
        "shapes_fit": True,
        "loss": run.history[-1]["loss"],
        "forced_token_accuracy": token_accuracy(forced, target),
        "forced_exact_match": exact_match(forced, target),
        "reported_token_accuracy": reported.token_accuracy,
        "reported_exact_match": reported.exact_match,
        "in_use": exact_match(used, target),
    }
    assert not run.model.training


def test_the_forced_reading_is_forced(monkeypatch):
    ratios = []
    monkeypatch.setattr(
        museum, "predict", lambda *given, **named: ratios.append(named) or evaluation.predict(*given, **named)
    )
    museum.read(None, museum.train(None, recipe=TINY))
    assert ratios == [{"teacher_forcing_ratio": 1.0}]


def test_in_use_sources_come_twenty_five_at_a_time(monkeypatch):
    sizes = []
    decode = museum.decode_in_use
    monkeypatch.setattr(museum, "decode_in_use", lambda model, batch: sizes.append(len(batch)) or decode(model, batch))
    museum.read(None, museum.train(None, recipe=TINY))
    assert sizes == [25] * 41


def test_a_sick_run_differs_from_a_healthy_one_only_where_the_bug_is():
    def weights(name):
        return museum.train(EXHIBITS.get(name), recipe=TINY).model.decoder.fc_out.weight

    assert torch.equal(weights(None), weights("state-not-carried"))
    assert not torch.equal(weights(None), weights("gradients-kept"))


def test_an_interrupted_comparison_of_first_weights_is_not_kept(monkeypatch):
    monkeypatch.setattr(museum, "fit", lambda *_, **__: SimpleNamespace(interrupted=True))
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            benchmark.first_weights.__wrapped__(None)


def test_a_part_in_training_is_looked_for_in_two_epochs_of_three_steps(monkeypatch):
    runs = []
    monkeypatch.setattr(museum, "fit", lambda recipe, **how: runs.append(training.fit(recipe, **how)) or runs[-1])
    benchmark.first_weights.__wrapped__(None)
    assert [(run.step, len(run.history)) for run in runs] == [(6, 2)]


@pytest.mark.slow
def test_which_exhibits_have_a_part_in_training_is_recorded():
    recorded = load_record("museum")["in training"]
    assert recorded["healthy"] is False
    assert {name: benchmark.has_a_part_in_training(exhibit) for name, exhibit in EXHIBITS.items()} == {
        name: recorded[name] for name in EXHIBITS
    }
    alike = {name for name in EXHIBITS if not recorded[name]}
    assert alike >= {name for name, exhibit in EXHIBITS.items() if exhibit.part == "evaluate"}
    assert not alike & {"not-shifted", "gradients-kept", "state-from-the-last-batch", "dropout-always-on"}


def test_a_run_takes_callbacks():
    seen = []

    class Watch(training.Callback):
        def on_step(self, run):
            seen.append(run.step)

    museum.train(None, recipe=TINY, callbacks=[Watch()])
    assert seen == [1, 2, 3, 4]


def test_reading_leaves_the_random_numbers_alone():
    run = museum.train(None, recipe=TINY)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    museum.read(EXHIBITS["eval-forgotten"], run)
    assert torch.rand(1) == expected


def test_in_use_a_source_stands_beside_a_longer_one(batch):
    model = redrawn(build_model(TINY))
    seen = []
    right = model.encoder.forward
    model.encoder.forward = lambda source, lengths: seen.append((source, lengths)) or right(source, lengths)
    tokens = museum.decode_in_use(model, batch[0])
    ((source, lengths),) = seen
    assert source.shape == (7, 8)
    assert torch.equal(source[:6], F.pad(batch[0], (0, 2)))
    assert torch.equal(source[6:], held_out(SubstringTask(8), 1)[0])
    assert lengths.tolist() == [6] * 6 + [8]
    assert torch.equal(tokens, redrawn(build_model(TINY)).generate(batch[0], 4))


def test_watching_shows_each_step_and_leaves_no_trace(batch):
    model = redrawn(build_model(TINY)).train()
    tokens, probabilities = museum.watch(model, batch[0])
    assert torch.equal(tokens, model.generate(batch[0], 4))
    expected = model(batch[0], batch[1], 0.0).softmax(-1)
    assert torch.allclose(probabilities, expected)
    assert not model.decoder._forward_hooks
    model.generate = lambda *_: 1 / 0
    with pytest.raises(ZeroDivisionError):
        museum.watch(model, batch[0])
    assert not model.decoder._forward_hooks


@pytest.mark.parametrize(
    ("values", "noticed"),
    [([0.96, 0.98], False), ([0.96, 0.95], True), ([0.9, 1.0], True), ([0.98, 0.95], False), ([1.0, 1.0], False)],
)
def test_an_instrument_notices_more_than_twice_the_worst_healthy_error_and_a_point(values, noticed):
    healthy = [{"in_use": 0.99}, {"in_use": 0.985}]
    sick = [{"in_use": value} for value in values]
    assert museum.notices("exact match in use", sick, healthy) == noticed


@pytest.mark.parametrize(("loss", "noticed"), [(0.049, False), (0.051, True), (0.0, False)])
def test_a_small_loss_alarms_nobody(loss, noticed):
    assert museum.notices("training loss", [{"loss": loss}], [{"loss": 0.02}, {"loss": 0.01}]) == noticed


@pytest.mark.parametrize("fit", [True, False])
def test_shapes_fit_or_they_do_not(fit):
    assert museum.notices("shapes", [{"shapes_fit": fit}], [{"shapes_fit": True}]) == (not fit)


def test_the_spread_is_mean_lowest_and_highest():
    assert museum.spread([{"loss": 1}, {"loss": 2}, {"loss": 6}], "training loss") == (3, 1, 6)


# The record


@pytest.fixture(scope="module")
def record():
    return load_record("museum")


def test_the_record_has_every_exhibit_over_five_seeds(record):
    fields = [field.name for field in dataclasses.fields(museum.Readings)]
    assert list(record["readings"]) == list(record["diagnoses"]) == ["healthy", *EXHIBITS]
    assert set(record["decodings"]) == set(record["readings"])
    for runs in record["readings"].values():
        assert [run["seed"] for run in runs] == list(range(len(runs)))
        assert len(runs) >= 5
        assert all(list(run) == ["seed", *fields] for run in runs)
    settings = dataclasses.asdict(MUSEUM) | {"betas": list(MUSEUM.betas)}
    assert record["settings"] == {"museum": settings}
    assert settings["weight_decay"] == 0  # a setting that is younger than the record
    assert record.keys() >= {"made by", "hardware", "versions", "commit", "date"}


def test_the_table_says_who_catches_what(record):
    table = museum.detections(record)
    assert list(table) == list(EXHIBITS)
    assert all(list(row) == [*museum.INSTRUMENTS, "properties"] for row in table.values())
    assert all(row["properties"] for row in table.values())
    assert not any(row["shapes"] for row in table.values())
    changed = record | {"diagnoses": record["diagnoses"] | {"stale-token": {"failed": {}}}}
    assert not museum.detections(changed)["stale-token"]["properties"]
    for row, runs in ((table["stale-token"], "stale-token"), (table["not-shifted"], "not-shifted")):
        assert row["exact match in use"] == museum.notices(
            "exact match in use", record["readings"][runs], record["readings"]["healthy"]
        )


def test_the_watched_sources_are_solved_by_the_healthy_network(record):
    task = SubstringTask(MUSEUM.length)
    target = task.solve(record["watched"]["source"]).tolist()
    assert record["watched"]["target"] == target == record["decodings"]["healthy"]["tokens"]
    for decoded in record["decodings"].values():
        assert torch.tensor(decoded["probabilities"]).sum(-1).sub(1).abs().max() < 0.006  # rounded


def test_the_record_of_outside_models_says_what_was_found_and_whether_it_is_true():
    models = load_record("outside")["models"]
    assert len(models) >= 2
    for found in models.values():
        assert [finding["name"] for finding in found["findings"]] == [one.name for one in PROPERTIES]
        for finding in found["findings"]:
            assert finding["verdict"] in ("holds", "fails", "does not apply")
            if finding["verdict"] == "fails":
                assert finding["true"] in (True, False)
                assert finding["because"].endswith(".")

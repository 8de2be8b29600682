"""The bug museum: every exhibit does what its plaque says, is caught by its properties, and leaves no trace."""

import contextlib
import dataclasses
import functools
from types import SimpleNamespace

import museum as benchmark
import pytest
import torch
from torch import nn
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
from course_utils.evaluation import before_end, evaluate, exact_match, token_accuracy, token_loss
from course_utils.properties import redrawn

TINY = dataclasses.replace(MUSEUM, hidden_dim=8, emb_dim=6, steps_per_epoch=2, epochs=2, batch_size=8)


def sick(name, seed=0):
    """A network with this bug whose outputs vary, and a healthy one with the same weights."""
    with EXHIBITS[name].open():
        model = redrawn(build_model(TINY), seed)
    return model, redrawn(build_model(TINY), seed)


@pytest.fixture
def batch():
    """Six examples of length 6: source (6, 6), target (6, 4)."""
    return SubstringTask(6).sample(6, torch.Generator().manual_seed(0))


@pytest.fixture
def logits():
    return torch.randn(5, 4, 10, generator=torch.Generator().manual_seed(0)).double()


@pytest.fixture
def tokens():
    return torch.tensor([[3, 4, 0, 0], [1, 2, 3, 0], [5, 5, 1, 9], [7, 8, 2, 0], [2, 9, 0, 0]])


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


def test_all_properties_but_the_shapes_catch_something():
    named = {name for one in PROPERTIES for name in one.resembles}
    assert named == set(EXHIBITS)
    assert [one.name for one in PROPERTIES if not one.resembles] == ["shapes"]


# The exhibits


@pytest.mark.parametrize("name", EXHIBITS)
def test_an_exhibit_is_open_only_while_it_is_open(name):
    exhibit = EXHIBITS[name]
    healthy = getattr(training, exhibit.part)
    with contextlib.suppress(KeyboardInterrupt), exhibit.open():
        assert getattr(training, exhibit.part) is exhibit.sick is not healthy
        raise KeyboardInterrupt
    assert getattr(training, exhibit.part) is healthy


@pytest.mark.parametrize("name", EXHIBITS)
def test_a_sick_network_has_the_weights_of_a_healthy_one_and_keeps_its_bug(name):
    exhibit = EXHIBITS[name]
    with exhibit.open():
        model = build_model(MUSEUM, seed=3)
    healthy = build_model(MUSEUM, seed=3)
    assert model.state_dict().keys() == healthy.state_dict().keys()
    assert all(torch.equal(model.state_dict()[key], tensor) for key, tensor in healthy.state_dict().items())
    if isinstance(exhibit.sick, type):
        assert any(type(part) is exhibit.sick for part in model.modules())


def test_a_plaque_is_complete():
    assert len(EXHIBITS) >= 16
    for name, exhibit in EXHIBITS.items():
        assert exhibit.id == name
        assert exhibit.part in ("Encoder", "Decoder", "Seq2Seq", "token_loss", "train_step", "evaluate")
        assert exhibit.symptom.endswith(".")
        assert exhibit.title[0].isupper() or exhibit.title.startswith(("batch_first", "zero_grad", "eval()"))
        assert exhibit.mend
        assert "\n" not in exhibit.mend
    for field in ("title", "symptom", "sick"):
        assert len({getattr(exhibit, field) for exhibit in EXHIBITS.values()}) == len(EXHIBITS)


def test_threads_are_public_and_only_one_exhibit_has_none():
    assert [name for name, exhibit in EXHIBITS.items() if not exhibit.threads] == ["scored-to-the-shorter"]
    for exhibit in EXHIBITS.values():
        for thread in exhibit.threads:
            assert thread.url.startswith("https://github.com/")
            assert thread.title


# What each does


def test_the_state_after_padding_is_that_of_the_padded_source(batch):
    model, healthy = sick("state-after-padding")
    padded = F.pad(batch[0], (0, 2))
    assert torch.equal(model.encoder(padded, torch.full((6,), 6)), healthy.encoder(padded))


def test_rows_out_of_order_are_sorted_by_length(batch):
    model, healthy = sick("rows-out-of-order")
    lengths = torch.tensor([3, 6, 4, 2, 5, 1])
    expected = healthy.encoder(batch[0], lengths)[:, [1, 4, 2, 0, 3, 5]]
    assert torch.allclose(model.encoder(batch[0], lengths), expected)
    assert torch.equal(model.encoder(batch[0]), healthy.encoder(batch[0]))


def test_a_view_reads_the_batch_as_if_time_came_first():
    model, healthy = sick("view-for-transpose")
    source = torch.arange(8).view(2, 4)
    mixed = torch.tensor([[0, 2, 4, 6], [1, 3, 5, 7]])
    assert torch.equal(model.encoder(source), healthy.encoder(mixed))
    lengths = torch.tensor([2, 3])
    assert torch.equal(model.encoder(source, lengths), healthy.encoder(mixed, lengths))


def test_without_batch_first_rows_follow_each_other(batch):
    model, healthy = sick("batch-first-forgotten")
    last_column = healthy.encoder.embedding(batch[0][:, -1])[None]  # one sequence, a row a step
    outputs, _ = healthy.encoder.rnn(last_column)
    state = model.encoder(batch[0])
    assert state.shape == (2, 6, 8)
    assert state.is_contiguous()
    for layer in state:
        assert torch.allclose(layer, outputs[0])


def test_a_reshaped_state_mixes_layers_and_rows(batch):
    model, healthy = sick("state-reshaped")
    right, mixed = healthy.encoder(batch[0]), model.encoder(batch[0])
    assert torch.equal(mixed[0, 1], right[1, 0])
    assert torch.equal(mixed[1, 0], right[0, 3])
    lengths = torch.tensor([3, 6, 4, 2, 5, 1])
    assert torch.equal(model.encoder(batch[0], lengths)[0, 1], healthy.encoder(batch[0], lengths)[1, 0])


def test_the_last_batchs_state_is_where_the_next_begins(batch):
    model, healthy = sick("state-from-the-last-batch")
    first, second = model.encoder(batch[0]), model.encoder(batch[0])
    _, state = healthy.encoder.rnn(healthy.encoder.embedding(batch[0]))
    assert torch.equal(first, state)
    assert torch.equal(second, healthy.encoder.rnn(healthy.encoder.embedding(batch[0]), state)[1])
    assert not model.encoder.state.requires_grad
    assert torch.equal(model.encoder(batch[0][:2]), healthy.encoder(batch[0][:2]))  # another size: from nothing


def test_a_detached_encoder_gives_the_right_state_without_a_gradient(batch):
    model, healthy = sick("encoder-detached")
    lengths = torch.tensor([3, 6, 4, 2, 5, 1])
    assert torch.equal(model.encoder(batch[0], lengths), healthy.encoder(batch[0], lengths))
    assert not model.encoder(batch[0]).requires_grad


def test_dropout_that_is_always_on_drops_embeddings_at_the_networks_own_rate(batch):
    model, healthy = sick("dropout-always-on")
    hidden = healthy.encoder(batch[0])
    model.dropout = model.decoder.dropout.p = 1.0
    model.decoder.embedding.weight.data += 1
    dropped, state = model.decoder(batch[1], hidden)
    outputs, expected = healthy.decoder.rnn(torch.zeros(6, 4, 6).double(), hidden)
    assert torch.allclose(dropped, healthy.decoder.fc_out(outputs))
    assert torch.allclose(state, expected)


def test_two_softmaxes_are_one_too_many(batch):
    model, healthy = sick("softmax-twice")
    hidden = healthy.encoder(batch[0])
    (probabilities, state), (right, expected) = model.decoder(batch[1], hidden), healthy.decoder(batch[1], hidden)
    assert torch.equal(probabilities, right.softmax(-1))
    assert torch.equal(state, expected)


def test_the_context_is_the_state_that_came_in(batch):
    model, healthy = sick("context-follows-the-state")
    hidden = healthy.encoder(batch[0])
    logits, state = model.decoder(batch[1], hidden)
    outputs, expected = healthy.decoder.rnn(healthy.decoder.embedding(batch[1]), hidden)
    assert torch.equal(state, expected)
    assert torch.allclose(logits, healthy.decoder.fc_out(outputs + hidden[-1].unsqueeze(1)))


def test_the_cell_by_hand_is_pytorchs_and_the_two_exhibits_change_one_thing(batch):
    token, (healthy, hand) = batch[1][:, :1], (redrawn(build_model(TINY)) for _ in range(2))
    hand.decoder.__class__ = museum.HandWrittenSteps
    hidden = healthy.encoder(batch[0])
    for tokens in (token, batch[1]):
        for ours, theirs in zip(hand.decoder(tokens, hidden), healthy.decoder(tokens, hidden), strict=True):
            assert torch.allclose(ours, theirs)
    inputs = [torch.tensor([[number]]) for number in (0.3, -0.4, 0.5)]
    state = torch.tensor([[0.6]])
    weights, biases = [torch.tensor([[w]]) for w in (0.7, -0.8, 0.9)], [torch.tensor([b]) for b in (0.1, 0.2, -0.3)]
    r = torch.sigmoid(torch.tensor(0.3 + 0.7 * 0.6 + 0.1))
    z = torch.sigmoid(torch.tensor(-0.4 - 0.8 * 0.6 + 0.2))
    after = torch.tanh(0.5 + r * (0.9 * 0.6 - 0.3))
    before = torch.tanh(0.5 + 0.9 * (r * 0.6) - 0.3)
    for kind, expected in (
        (museum.HandWrittenSteps, (1 - z) * after + z * 0.6),
        (museum.ResetGateBefore, (1 - z) * before + z * 0.6),
        (museum.UpdateGateReversed, z * after + (1 - z) * 0.6),
    ):
        decoder = kind(10, 6, 8, 2, 0.0)
        assert decoder.cell(inputs, state, weights, biases).item() == pytest.approx(expected.item())


def test_not_shifted_reads_what_it_should_write_and_runs_free_as_it_should(batch):
    model, healthy = sick("not-shifted")
    assert torch.equal(model(*batch, 1.0), healthy.decoder(batch[1], healthy.encoder(batch[0]))[0])
    assert torch.equal(model(*batch, 0.0), healthy(*batch, 0.0))
    coins = [True, False, True, False]
    assert torch.equal(model(*batch, coins=coins), healthy(*batch, coins=coins))


def test_the_loop_in_parts_is_the_courses_own(batch):
    healthy, loop = (redrawn(build_model(TINY)) for _ in range(2))
    loop.__class__ = museum.GreedyLoop
    assert torch.equal(loop.generate(batch[0], 9), healthy.generate(batch[0], 9))
    assert torch.allclose(loop.free_running(batch[0], 4), healthy(*batch, 0.0))
    assert not loop.generate(batch[0], 2).requires_grad


def by_hand(healthy, source, first, n_steps, carried=lambda old, new: new, read=lambda token, guess: guess):
    token, hidden, written = first, healthy.encoder(source), []
    for _ in range(n_steps):
        logits, new = healthy.decoder(token, hidden)
        written.append(logits.argmax(-1))
        token, hidden = read(token, written[-1]), carried(hidden, new)
    return torch.cat(written, dim=1)


def test_each_greedy_loop_has_one_thing_wrong(batch):
    source, zeros = batch[0], torch.zeros(6, 1).long()
    for name, wrong in {
        "start-of-another": {"first": zeros + 1},
        "other-start": {"first": source[:, -1:]},
        "state-not-carried": {"first": zeros, "carried": lambda old, new: old},
        "stale-token": {"first": zeros, "read": lambda token, guess: token},
    }.items():
        model, healthy = sick(name)
        assert torch.equal(model.generate(source, 5), by_hand(healthy, source, n_steps=5, **wrong)), name
        assert not torch.equal(model.generate(source, 5), healthy.generate(source, 5)), name


def test_another_start_is_used_in_training_too(batch):
    model, healthy = sick("other-start")
    inputs = torch.cat([batch[0][:, -1:], batch[1][:, :-1]], dim=1)
    assert torch.equal(model(*batch, 1.0), healthy.decoder(inputs, healthy.encoder(batch[0]))[0])
    assert torch.equal(model(*batch, 0.0).argmax(-1), model.generate(batch[0], 4))


def test_when_one_is_done_all_are(monkeypatch, batch):
    model, _ = sick("stops-with-the-first")
    for tokens, cut in (
        ([[3, 0, 4, 5], [6, 7, 8, 9]], [[3, 0, 0, 0], [6, 7, 0, 0]]),
        ([[3, 1, 4, 0], [6, 7, 8, 9]], [[3, 1, 4, 0], [6, 7, 8, 9]]),
        ([[3, 1, 4, 5], [6, 7, 8, 9]], [[3, 1, 4, 5], [6, 7, 8, 9]]),
        ([[0, 1, 0, 5], [6, 7, 8, 9]], [[0, 0, 0, 0], [6, 0, 0, 0]]),
    ):
        monkeypatch.setattr(museum.Seq2Seq, "generate", lambda *_, tokens=tokens: torch.tensor(tokens))
        assert model.generate(batch[0], 4).tolist() == cut


def test_losses_leave_out_what_their_plaques_say(logits, tokens):
    each = -logits.log_softmax(-1).gather(-1, tokens[..., None])[..., 0]
    over_places = -logits.log_softmax(1).gather(-1, tokens[..., None])[..., 0]
    padded = tokens.masked_fill(tokens == 9, -100)
    for name, target, expected in (
        ("end-masked-as-padding", tokens, each[tokens != 0].mean()),
        ("first-token-left-out", tokens, each[:, 1:].mean()),
        ("softmax-over-places", tokens, over_places.mean()),
        ("padding-in-the-mean", padded, each[tokens != 9].sum() / 20),
    ):
        assert torch.allclose(EXHIBITS[name].sick(logits, target), expected), name
    apart = -logits[:, :-1].log_softmax(-1).gather(-1, tokens[:, 1:, None]).mean()
    assert torch.allclose(EXHIBITS["loss-one-apart"].sick(logits, tokens), apart)


def test_gradients_are_kept_and_the_optimizer_is_left_as_it_was(batch):
    model = build_model(TINY)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    step = EXHIBITS["gradients-kept"].sick
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    bias = model.decoder.fc_out.bias
    step(model, optimizer, *batch, 1.0, gradient_clip=1e9)
    kept = bias.grad.clone()
    training.train_step(model.eval(), optimizer, *batch, 1.0, gradient_clip=1e9)
    assert (kept - 1 - bias.grad).abs().max() < 0.05  # but for dropout
    optimizer.zero_grad()
    assert bias.grad is None


def test_padding_is_five_times_the_target(batch, monkeypatch):
    seen = []
    monkeypatch.setattr(museum, "train_step", lambda *given: seen.append(given))
    EXHIBITS["padding-in-the-loss"].sick("model", "optimizer", *batch, 1.0, 2.0, "coins")
    ((model, optimizer, source, target, *options),) = seen
    assert (model, optimizer, options) == ("model", "optimizer", [1.0, 2.0, "coins"])
    assert torch.equal(source, batch[0])
    assert torch.equal(target, F.pad(batch[1], (0, 20)))


@pytest.fixture
def half_right():
    """A network in training mode, with dropout, and 150 examples of which it gets two thirds right."""
    model = redrawn(build_model(TINY), 4)
    source, _ = SubstringTask(6).sample(150, torch.Generator().manual_seed(1))
    target = model.generate(source, 4)
    target[::3, 1] = (target[::3, 1] + 1) % 10
    return model.train(), source, target


def test_evaluations_report_what_their_plaques_say(half_right):
    model, source, target = half_right
    right = evaluate(model, source, target)
    assert right.exact_match == pytest.approx(2 / 3)
    output = model.eval().generate(source, 4)
    forced = model(source, target, 1.0).argmax(-1)
    model.train()

    report = {
        name: EXHIBITS[name].sick(model, source, target) for name in EXHIBITS if EXHIBITS[name].part == "evaluate"
    }
    assert report["validation-forced"].token_accuracy == token_accuracy(forced, target) != right.token_accuracy
    parts = [slice(0, 64), slice(64, 128), slice(128, 150)]
    means = report["mean-of-batch-means"]
    assert means.exact_match == pytest.approx(sum(exact_match(output[p], target[p]) for p in parts) / 3)
    assert means.token_accuracy == pytest.approx(sum(token_accuracy(output[p], target[p]) for p in parts) / 3)
    assert means.loss == pytest.approx(sum(evaluate(model, source[p], target[p]).loss for p in parts) / 3)
    assert means.exact_match != right.exact_match
    assert report["wrong-axis"].exact_match == 0.75  # the places but the second
    pairs = zip(before_end(output), before_end(target), strict=True)
    begins = [a[: min(len(a), len(b))] == b[: min(len(a), len(b))] for a, b in pairs]
    assert report["scored-to-the-shorter"].exact_match == sum(begins) / 150 > right.exact_match
    for name in ("wrong-axis", "scored-to-the-shorter"):
        assert dataclasses.replace(report[name], exact_match=right.exact_match) == right


@pytest.mark.parametrize(
    ("output", "counts"), [([3, 4, 0, 0], 1), ([3, 0, 0, 0], 1), ([9, 4, 0, 0], 0), ([1, 4, 0, 0], 0)]
)
def test_scored_to_the_shorter_a_wrong_digit_still_counts_as_wrong(monkeypatch, output, counts):
    source, target = torch.tensor([[0, 2, 3, 4, 5, 6]]), torch.tensor([[3, 4, 0, 0]])
    monkeypatch.setattr(museum, "predict", lambda *_, **__: F.one_hot(torch.tensor([output]), 10))
    assert EXHIBITS["scored-to-the-shorter"].sick(build_model(TINY), source, target).exact_match == counts


def test_a_forgotten_eval_scores_the_mode_it_finds(half_right):
    model, source, target = half_right
    forgotten = EXHIBITS["eval-forgotten"].sick
    assert forgotten(model.eval(), source, target) == evaluate(model, source, target)
    torch.manual_seed(0)
    scores = [forgotten(model.train(), source, target).exact_match for _ in range(2)]
    assert scores[0] != scores[1]
    assert model.training


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
    assert record["settings"] == {name: settings[name] for name in record["settings"]}
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


def test_parts_are_found_where_they_are_patched():
    for exhibit in EXHIBITS.values():
        assert hasattr(training, exhibit.part)
        assert isinstance(exhibit.sick, type) == issubclass(type(getattr(training, exhibit.part)), type)
        if isinstance(exhibit.sick, type):
            assert issubclass(exhibit.sick, getattr(training, exhibit.part))
            assert issubclass(exhibit.sick, nn.Module)
    assert training.token_loss is token_loss

"""The bug museum's exhibits: each does what its plaque says, and leaves no trace."""

import contextlib
import dataclasses

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from course_utils import EXHIBITS, MUSEUM, SubstringTask, build_model, exhibits, training
from course_utils.evaluation import before_end, evaluate, exact_match, token_accuracy, token_loss
from course_utils.properties import redrawn

TINY = dataclasses.replace(MUSEUM, hidden_dim=8, emb_dim=6, steps_per_epoch=2, epochs=2, batch_size=8)


def sick(name, recipe=TINY):
    """A network with this bug whose outputs vary, and a healthy one with the same weights."""
    with EXHIBITS[name].open():
        model = redrawn(build_model(recipe))
    return model, redrawn(build_model(recipe))


@pytest.fixture
def logits():
    return torch.randn(5, 4, 10, generator=torch.Generator().manual_seed(0)).double()


@pytest.fixture
def tokens():
    return torch.tensor([[3, 4, 0, 0], [1, 2, 3, 0], [5, 5, 1, 9], [7, 8, 2, 0], [2, 9, 0, 0]])


@pytest.mark.parametrize("name", EXHIBITS)
def test_an_exhibit_is_open_only_while_it_is_open(name):
    exhibit = EXHIBITS[name]
    healthy = getattr(exhibit.home, exhibit.part)
    with contextlib.suppress(KeyboardInterrupt), exhibit.open():
        assert getattr(exhibit.home, exhibit.part) is exhibit.sick is not healthy
        raise KeyboardInterrupt
    assert getattr(exhibit.home, exhibit.part) is healthy


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
    model, healthy = sick("context-follows-the-state", dataclasses.replace(TINY, n_layers=3))
    hidden = healthy.encoder(batch[0])
    logits, state = model.decoder(batch[1], hidden)
    outputs, expected = healthy.decoder.rnn(healthy.decoder.embedding(batch[1]), hidden)
    assert torch.equal(state, expected)
    assert torch.allclose(logits, healthy.decoder.fc_out(outputs + hidden[-1].unsqueeze(1)))


def test_the_cell_by_hand_is_pytorchs_and_the_two_exhibits_change_one_thing(batch):
    token, (healthy, hand) = batch[1][:, :1], (redrawn(build_model(TINY)) for _ in range(2))
    hand.decoder.__class__ = exhibits.HandWrittenSteps
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
        (exhibits.HandWrittenSteps, (1 - z) * after + z * 0.6),
        (exhibits.ResetGateBefore, (1 - z) * before + z * 0.6),
        (exhibits.UpdateGateReversed, z * after + (1 - z) * 0.6),
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
    loop.__class__ = exhibits.GreedyLoop
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
        monkeypatch.setattr(exhibits.Seq2Seq, "generate", lambda *_, tokens=tokens: torch.tensor(tokens))
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
    monkeypatch.setattr(exhibits, "train_step", lambda *given: seen.append(given))
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
    monkeypatch.setattr(exhibits, "predict", lambda *_, **__: F.one_hot(torch.tensor([output]), 10))
    assert EXHIBITS["scored-to-the-shorter"].sick(build_model(TINY), source, target).exact_match == counts


def test_a_forgotten_eval_scores_the_mode_it_finds(half_right):
    model, source, target = half_right
    forgotten = EXHIBITS["eval-forgotten"].sick
    assert forgotten(model.eval(), source, target) == evaluate(model, source, target)
    torch.manual_seed(0)
    scores = [forgotten(model.train(), source, target).exact_match for _ in range(2)]
    assert scores[0] != scores[1]
    assert model.training


def test_parts_are_found_where_they_are_patched():
    for exhibit in EXHIBITS.values():
        assert hasattr(exhibit.home, exhibit.part)
        assert isinstance(exhibit.sick, type) == issubclass(type(getattr(exhibit.home, exhibit.part)), type)
        if isinstance(exhibit.sick, type):
            assert issubclass(exhibit.sick, getattr(exhibit.home, exhibit.part))
            assert issubclass(exhibit.sick, nn.Module)
    assert training.token_loss is token_loss

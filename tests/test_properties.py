"""Properties: they hold of healthy networks, measure how far a sick one is off, and say where they do not apply."""

import dataclasses
import math
import threading
import time
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from course_utils import (
    EXHIBITS,
    FASTEST,
    ORIGINAL,
    PROPERTIES,
    SMALL,
    SubstringTask,
    build_model,
    diagnose,
    fit,
    properties,
)
from course_utils.evaluation import evaluate, token_loss
from course_utils.model import Decoder, Encoder, Seq2Seq, shift_right
from course_utils.museum import opened
from course_utils.properties import Diagnosis, DoesNotApply, Finding, Property, Subject
from course_utils.training import train_step

FUNCTIONS = {"loss": token_loss, "train_step": train_step, "evaluate": evaluate}
SHAPES = {
    "small": {},
    "two layers and dropout": {"n_layers": 2, "dropout": 0.5},
    "three layers, tiny": {"n_layers": 3, "hidden_dim": 8, "emb_dim": 5},
    "wide": {"hidden_dim": 160, "emb_dim": 3},
}


def subject(model=None, length=9, **parts):
    source, target = SubstringTask(length).sample(6, torch.Generator().manual_seed(0))
    return Subject(model or properties.redrawn(build_model(SMALL)), source, target, **parts)


def named(name):
    (found,) = [one for one in PROPERTIES if one.name == name]
    return found


def finding(diagnosis, name):
    (found,) = [one for one in diagnosis.findings if one.property.name == name]
    return found


# Healthy networks


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shape", SHAPES)
def test_every_property_holds_of_a_healthy_network(shape, seed):
    diagnosis = diagnose(build_model(dataclasses.replace(SMALL, **SHAPES[shape]), seed), padding=-100, **FUNCTIONS)
    assert [one.verdict for one in diagnosis.findings] == ["holds"] * len(PROPERTIES), str(diagnosis)
    assert diagnosis.healthy
    assert diagnosis.resembles == ()


def test_every_property_holds_of_a_trained_network(recipe):
    trained = fit(recipe).model
    assert diagnose(trained, *SubstringTask(6).sample(9), padding=-100, **FUNCTIONS).healthy


@pytest.mark.parametrize("seed", range(6))
def test_every_property_holds_whatever_weights_and_examples_are_drawn(seed, monkeypatch):
    redrawn = properties.redrawn
    monkeypatch.setattr(properties, "redrawn", lambda model, draw=0: redrawn(model, 1000 + 100 * seed + draw))
    source, target = SubstringTask(7 + seed % 4).sample(5 + seed, torch.Generator().manual_seed(seed))
    assert diagnose(build_model(SMALL), source, target, padding=-100, **FUNCTIONS).healthy


@pytest.mark.slow
def test_the_largest_network_is_healthy_too():
    assert diagnose(build_model(ORIGINAL)).healthy


def test_a_diagnosis_takes_less_than_a_second(takes_less_than):
    model = build_model(dataclasses.replace(SMALL, hidden_dim=96))
    diagnose(model, **FUNCTIONS)  # the first use of an optimizer imports for seconds
    assert takes_less_than(1, lambda: diagnose(model, **FUNCTIONS))


def test_the_weights_of_copies_lie_together_as_cudnn_wants_them(monkeypatch):
    """On a CPU they may lie where they are, and this says only that a GPU's are asked to."""
    gathered = []
    monkeypatch.setattr(nn.GRU, "flatten_parameters", lambda rnn: gathered.append(rnn))
    model = build_model(SMALL)
    del gathered[:]
    copied = properties._copied(model)
    assert [id(rnn) for rnn in gathered] == [id(copied.encoder.rnn), id(copied.decoder.rnn)]


def test_a_network_that_takes_two_tokens_a_step_is_refused(refused):
    with refused("one token a step; this one takes two"):
        diagnose(build_model(FASTEST))


def test_the_model_and_the_random_numbers_are_left_alone():
    model = build_model(SMALL).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    diagnose(model, **FUNCTIONS)
    assert torch.rand(1) == expected
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_weights_are_drawn_large_and_the_same_each_time():
    model = build_model(dataclasses.replace(SMALL, hidden_dim=100, emb_dim=40))
    one, other = properties.redrawn(model), properties.redrawn(model)
    assert all(torch.equal(*pair) for pair in zip(one.parameters(), other.parameters(), strict=True))
    assert not torch.equal(one.decoder.fc_out.weight, properties.redrawn(model, 1).decoder.fc_out.weight)
    assert one.encoder.embedding.weight.std().item() == pytest.approx(1.5, rel=0.2)
    assert one.encoder.rnn.weight_hh_l0.std().item() == pytest.approx(0.15, rel=0.05)  # 1.5 over the root of 100
    assert one.encoder.rnn.bias_hh_l0.std().item() == pytest.approx(1.5, rel=0.2)
    assert not one.training
    assert one.decoder.fc_out.weight.dtype == torch.double


def test_weights_are_drawn_until_rows_end_at_different_places():
    model = properties._redrawn_to_vary(subject(build_model(SMALL)))
    output = model.generate(subject().source, 7)
    assert len((output[:, :-1] == 0).int().argmax(dim=1).unique()) > 1


def test_rows_that_all_end_with_the_first_do_not_hide_it():
    class StopsWithTheFirst(Seq2Seq):
        def generate(self, source, max_length):
            tokens = super().generate(source, max_length)
            end = (tokens == 0).any(dim=0).nonzero()
            return tokens[:, : end[0, 0] + 1] if len(end) else tokens

    whole = build_model(SMALL)
    diagnosis = diagnose(StopsWithTheFirst(whole.encoder, whole.decoder))
    assert diagnosis.failed == ("batch independence", "greedy agrees with itself")


@pytest.mark.parametrize("roll", [True, False])
def test_a_decoder_that_begins_with_the_last_token_of_the_target_is_found(roll):
    class Rolled(Seq2Seq):
        def forward(self, source, target, teacher_forcing_ratio=0.5):
            read = target.roll(1, 1) if roll else shift_right(target)
            return self.decoder(read, self.encoder(source))[0]

    whole = build_model(SMALL)
    failed = diagnose(Rolled(whole.encoder, whole.decoder)).failed
    assert failed == (("causality", "the shift") if roll else ())


def test_a_model_for_other_tokens_is_told_to_bring_its_own_examples(refused):
    few = Seq2Seq(Encoder(7, 4, 6, 1, 0.0), Decoder(7, 4, 6, 1, 0.0))
    with refused("tokens are 0 to 9 .*: give it a source and a target that it takes"):
        diagnose(few)
    source, target = torch.randint(7, (2, 6, 5), generator=torch.Generator().manual_seed(0))
    assert diagnose(few, source, target).healthy


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_where_gradients_are_off_the_examination_has_its_own(off):
    with off():
        diagnosis = diagnose(build_model(SMALL), **FUNCTIONS)
    assert diagnosis.healthy
    assert finding(diagnosis, "gradients everywhere").verdict == "holds"


def test_sources_of_one_token_have_a_length_of_one():
    source, target = torch.arange(1, 7)[:, None], torch.arange(2, 8)[:, None]
    failed = diagnose(build_model(SMALL), source, target).failed
    assert failed == ("gradients everywhere",)  # one step meets a state of zeros: its recurrent weights have none


def test_a_model_that_stops_with_another_error_fails_by_its_shapes():
    class Broken(nn.Module):
        def forward(self, source, target, teacher_forcing_ratio):
            raise ValueError("of its own")

    diagnosis = diagnose(Broken())
    assert diagnosis.failed == ("shapes",)
    assert finding(diagnosis, "shapes").sentence == "it stopped with ValueError: of its own"
    assert "does not apply: determinism, batch independence, " in str(diagnosis)


def test_a_step_that_calls_the_model_otherwise_says_nothing_of_it():
    class WithoutCoins(nn.Module):
        def __init__(self):
            super().__init__()
            self.inside = build_model(SMALL)

        def forward(self, source, target, teacher_forcing_ratio):
            return self.inside(source, target, teacher_forcing_ratio)

    diagnosis = diagnose(WithoutCoins(), **FUNCTIONS)
    assert diagnosis.healthy
    for name in ("a step is taken", "a clean step", "the step's loss"):
        found = finding(diagnosis, name)
        assert found.verdict == "does not apply"
        assert found.sentence.startswith("the step and the model do not fit together (")
        assert "unexpected keyword argument 'coins'" in found.sentence


@pytest.mark.parametrize("generate", [lambda *_: torch.full((6, 7), 3), lambda *_: 1 / 0], ids=["no end", "fails"])
def test_where_no_draw_ends_the_first_is_taken(generate):
    model = build_model(SMALL)
    model.generate = generate
    drawn = properties._redrawn_to_vary(subject(model))
    assert torch.equal(drawn.decoder.fc_out.weight, properties.redrawn(model).decoder.fc_out.weight)


# The interface


def test_parts_that_are_missing_are_not_examined():
    whole = build_model(SMALL)

    class OnlyForward(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = whole

        def forward(self, source, target, teacher_forcing_ratio):
            return self.inner(source, target, teacher_forcing_ratio)

    diagnosis = diagnose(OnlyForward())
    held = [one.property.name for one in diagnosis.findings if one.verdict == "holds"]
    assert held == [
        "shapes", "determinism", "batch independence", "causality", "the whole source", "gradients everywhere",
        "free logits",
    ]  # fmt: skip
    assert diagnosis.healthy
    for name, words in {
        "the shift": "there is no `encoder`.",
        "greedy agrees with itself": "there is no `generate`.",
        "padding invariance": "there is no encoder that takes lengths.",
        "neutral padding": "no mark of padding was given (`padding=`): every token of the target counts.",
        "the end counts": "there is no `loss`.",
        "a step is taken": "there is no `train_step`.",
        "a clean step": "there is no `train_step`.",
        "exact match": "there is no `evaluate`.",
        "free running": "there is no `evaluate`.",
        "evaluation without dropout": "there is no `evaluate`.",
    }.items():
        assert finding(diagnosis, name).verdict == "does not apply"
        assert finding(diagnosis, name).sentence == words
        assert finding(diagnosis, name).measured is None


def test_a_loss_that_belongs_to_the_model_is_not_taken_for_the_function():
    model = build_model(SMALL)
    model.loss = lambda *_: 1 / 0
    assert finding(diagnose(model), "the end counts").sentence == "there is no `loss`."


def test_the_start_and_the_end_token_may_be_others(monkeypatch):
    model = build_model(SMALL)
    assert "the shift" in diagnose(model, start_token=4).failed
    ignores_7 = lambda logits, target: F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=7)  # noqa: E731
    assert "the end counts" in diagnose(model, loss=ignores_7, end_token=7).failed
    assert "the end counts" not in diagnose(model, loss=ignores_7).failed


def test_a_state_may_be_anything_that_the_decoder_takes():
    model = build_model(SMALL)
    encode, decode = model.encoder.forward, model.decoder.forward

    class Paired(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.decoder = model.encoder, model.decoder

        def forward(self, source, target, ratio):
            return self.decoder(torch.cat([torch.zeros_like(target[:, :1]), target[:, :-1]], 1), self.encoder(source))[
                0
            ]

    model.encoder.forward = lambda source, lengths=None: (encode(source.long(), lengths), "anything")
    model.decoder.forward = lambda tokens, state: (lambda logits, new: (logits, (new, state[1])))(
        *decode(tokens, state[0])
    )
    model.encoder.double(), model.decoder.double()
    diagnosis = Diagnosis(
        tuple(properties.examine(one, subject(Paired().eval())) for one in PROPERTIES if one.of == "model")
    )
    assert diagnosis.healthy, str(diagnosis)
    assert finding(diagnosis, "one step at a time").verdict == "holds"
    assert "reads something else than" in finding(diagnosis, "PyTorch's cell").sentence


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        (torch.ones(4, 6).long(), None, "both source and target"),
        (torch.ones(3, 6).long(), torch.ones(3, 4).long(), "At least 4 different examples"),
        (torch.ones(5, 6).long(), torch.ones(5, 4).long(), "At least 4 different examples"),
        (torch.eye(5, 6).long(), torch.ones(4, 4).long(), "as many sources as targets"),
        ([[1, 2]] * 4, [[1]] * 4, "are tensors of tokens"),
        (torch.eye(5, 6).long(), torch.ones(5).long(), "are tensors of tokens"),
    ],
)
def test_unfit_examples_are_refused(source, target, words, refused):
    with refused(words):
        diagnose(build_model(SMALL), source, target)


def test_what_is_no_model_is_refused(refused):
    with refused("not a type"):
        diagnose(Seq2Seq)


def test_a_model_on_a_gpu_without_float64_is_refused(refused):
    model = build_model(SMALL)
    model.parameters = lambda: iter([SimpleNamespace(device=torch.device("mps"))])
    with refused("move the model to the CPU"):
        diagnose(model)


class Keeps(Decoder):
    """Keeps its last logits, as decoders keep their attention for a picture."""

    def forward(self, tokens, hidden):
        logits, hidden = super().forward(tokens, hidden)
        self.last = logits.softmax(-1)
        return logits, hidden


def test_a_model_that_keeps_what_it_computed_is_examined_before_it_is_called(refused):
    shape = (10, 6, 8, 1, 0.0)
    model = Seq2Seq(Encoder(*shape), Keeps(*shape))
    assert diagnose(model).healthy
    source, target = SubstringTask().sample(4, torch.Generator().manual_seed(0))
    model(source, target, 1.0)
    with refused("keep a tensor of its last call"):
        diagnose(model)


@pytest.mark.parametrize(
    ("part", "words"),
    [(threading.Lock(), "cannot be copied: cannot pickle"), (nn.LazyLinear(3), "call the model once")],
    ids=["a lock", "a layer without weights"],
)
def test_a_model_that_cannot_be_copied_or_redrawn_is_refused(part, words, refused):
    model = build_model(SMALL)
    model.decoder.part = part
    with refused(words):
        diagnose(model)


def test_a_step_is_examined_in_training_mode_and_may_report_its_loss_as_it_is():
    modes = []

    def step(model, optimizer, source, target):
        modes.append(model.training)
        loss = token_loss(model(source, target, 1.0), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    assert diagnose(build_model(SMALL), train_step=step, loss=token_loss).healthy
    assert set(modes) == {True}


def test_only_the_generators_of_the_models_device_are_seeded(monkeypatch):
    def seed_every_gpu(seed):
        raise AssertionError("All GPUs' generators are seeded, which are the caller's.")

    monkeypatch.setattr(torch.cuda, "manual_seed_all", seed_every_gpu)
    diagnose(build_model(SMALL))


def test_four_examples_are_enough():
    assert diagnose(build_model(SMALL), *SubstringTask(6).sample(4, torch.Generator().manual_seed(0))).healthy


# Sick networks


def test_a_model_that_stops_is_reported_and_the_rest_examined():
    model = build_model(SMALL)
    model.generate = lambda source, max_length: source.nonsense
    diagnosis = diagnose(model)
    found = finding(diagnosis, "greedy agrees with itself")
    assert found.verdict == "fails"
    assert found.sentence == "it stopped with AttributeError: 'Tensor' object has no attribute 'nonsense'"
    assert math.isnan(found.measured)
    assert diagnosis.failed == ("batch independence", "greedy agrees with itself")
    assert finding(diagnosis, "causality").verdict == "holds"


@pytest.mark.parametrize("shape", [(6, 7), (6, 8, 10), (5, 7, 10), (6, 7, 10, 1)])
def test_logits_of_another_shape_end_the_examination(shape):
    model = build_model(SMALL)
    model.forward = lambda source, target, ratio: torch.zeros(shape)
    diagnosis = diagnose(model, **FUNCTIONS)
    assert diagnosis.failed == ("shapes",)
    rest = diagnosis.findings[1:]
    assert {one.sentence for one in rest} == {"without logits (B, T, V) there is nothing to look at: mend that first."}
    assert {(one.verdict, one.measured, one.milliseconds) for one in rest} == {("does not apply", None, 0.0)}


def test_too_many_tokens_are_all_wrong():
    assert named("greedy agrees with itself").check(greedy(lambda tokens: tokens.repeat(1, 2))) == 1


def forward_of(change):
    """A subject whose forced logits are `change(the right ones, source, target)`."""
    healthy = properties.redrawn(build_model(SMALL))
    right = healthy.forward
    healthy.forward = lambda source, target, ratio=1.0: change(right(source, target, ratio), source, target)
    return subject(healthy)


@pytest.mark.parametrize(
    ("name", "change", "measured"),
    [
        ("batch independence", lambda logits, source, target: logits + len(source), 5),
        ("causality", lambda logits, source, target: logits + target[..., None], 9),
        ("causality", lambda logits, source, target: logits + target[:, 2:3, None], 9),
        ("causality", lambda logits, source, target: logits + target[:, :1].roll(1, 1)[..., None] * 0, 0),
        ("the shift", lambda logits, source, target: logits + 0.25, 0.25),
        ("the whole source", lambda logits, source, target: target[..., None] + 0.0, 9),
        ("the whole source", lambda logits, source, target: target[..., None] + source[:, 2:3, None] + 0.0, 8),
        ("free logits", lambda logits, source, target: logits.softmax(-1), 1),
        ("free logits", lambda logits, source, target: logits.log_softmax(-1), 0),
        ("free logits", lambda logits, source, target: logits.softmax(-1) * 2, 0),
        ("gradients everywhere", lambda logits, source, target: logits.detach().requires_grad_(), 12),
    ],
)
def test_a_property_measures_how_far_a_network_is_off(name, change, measured):
    assert named(name).check(forward_of(change)) == pytest.approx(measured, abs=1e-9)


def test_answers_that_change_from_call_to_call_are_measured():
    calls = []

    def later(logits, source, target):
        calls.append(1)
        return logits + len(calls)

    assert named("determinism").check(forward_of(later)) == pytest.approx(1)


def test_a_parameter_that_is_frozen_needs_no_gradient():
    sick = forward_of(lambda logits, source, target: logits)
    sick.model.encoder.requires_grad_(False)
    assert named("gradients everywhere").check(sick) == 0


def test_gradients_are_looked_for_in_training_mode_and_without_dropout():
    seen = []
    sick = forward_of(
        lambda logits, source, target: seen.append((sick.model.training, sick.model.encoder.dropout.p)) or logits
    )
    sick.model.encoder.dropout.p = 1.0
    assert named("gradients everywhere").check(sick) == 0
    assert seen == [(True, 0.0)]


def greedy(change):
    """A subject whose greedy decoding gives `change(the right tokens)`."""
    healthy = properties.redrawn(build_model(SMALL))
    right = healthy.generate
    healthy.generate = lambda source, max_length: change(right(source, max_length))
    return subject(healthy)


def test_tokens_that_the_model_would_not_write_are_counted():
    def another_last_token(tokens):
        tokens[:, -1] = (tokens[:, -1] + 1) % 10
        return tokens

    assert named("greedy agrees with itself").check(greedy(another_last_token)) == pytest.approx(1 / 7)


def test_more_tokens_than_asked_for_stand_where_nothing_should():
    one_more = greedy(lambda tokens: torch.cat([tokens, tokens[:, -1:]], dim=1))
    assert named("greedy agrees with itself").check(one_more) == 1


def test_rows_that_end_when_another_does_depend_on_the_batch():
    def by_the_batch(tokens):
        return tokens * 0 + len(tokens)

    assert named("batch independence").check(greedy(by_the_batch)) == 5


def test_rows_that_are_cut_alone_depend_on_the_batch():
    cut = greedy(lambda tokens: tokens[:, : 1 + len(tokens)])
    longest = max(max(row[2:]) for row in cut.said().tolist())
    assert named("batch independence").check(cut) == longest > 0  # where there is nothing, there is an end


def test_rows_that_are_longer_alone_depend_on_the_batch():
    assert named("batch independence").check(greedy(lambda tokens: tokens.repeat(1, 7 // len(tokens)))) == math.inf
    uneven = greedy(lambda tokens: tokens.repeat(1, 1 + int(tokens[0, 0]) % 3))
    assert named("batch independence").check(uneven) == math.inf


def test_what_follows_an_end_token_is_not_looked_at():
    def anything_after_an_end(tokens):
        tokens[:, 2] = 0
        tokens[:, 3:] = torch.arange(4) + len(tokens)
        return tokens

    case = greedy(anything_after_an_end)
    case.end_token = 0
    assert case.said()[:, 2:].tolist() == [[0] * 5] * 6
    assert named("batch independence").check(case) < 1e-9
    wrong = (case.forced(target=case.said()).argmax(-1) != case.said())[:, :3].double().mean()
    assert named("greedy agrees with itself").check(case) == wrong > 0


def test_decoding_may_stop_when_all_rows_have_ended():
    def stops(tokens):
        tokens[:, 2] = 0
        return tokens[:, :3]

    assert greedy(stops).said().shape == (6, 7)
    assert named("batch independence").check(greedy(stops)) < 1e-9


def encoded(change):
    """A subject whose encoder gives `change(the right state, source, lengths)` when it is given lengths."""
    healthy = properties.redrawn(build_model(SMALL))
    right = healthy.encoder.forward

    def forward(source, lengths=None):
        return right(source) if lengths is None else change(right(source, lengths), source, lengths)

    healthy.encoder.forward = forward
    return subject(healthy)


def test_padded_sources_have_several_lengths_the_shortest_first_and_one_token_of_padding_at_least():
    padded, lengths = properties._padded(subject())
    assert lengths.tolist() == [4, 5, 6, 7, 8, 9]
    assert padded.shape == (6, 10)
    assert torch.equal(padded[:, :9], subject().source)
    long = dataclasses.replace(subject(), source=torch.ones(9, 4).long())
    assert properties._padded(long)[1].tolist() == [2, 3, 4, 4, 4, 4, 4, 4, 4]


@pytest.mark.parametrize(
    ("change", "invariance", "independence"),
    [
        (lambda hidden, source, lengths: hidden, 0, 0),
        (lambda hidden, source, lengths: hidden * 0 + source[:, -1, None], True, 0),
        (lambda hidden, source, lengths: hidden.flip(1), 0, True),
        (lambda hidden, source, lengths: hidden[:, lengths.argsort(descending=True)], 0, True),
        (lambda hidden, source, lengths: hidden + (lengths.max() - lengths)[:, None], 0, True),
        (lambda hidden, source, lengths: hidden + lengths[:, None], True, 0),
    ],
    ids=["healthy", "reads the padding", "moves rows", "sorts rows", "looks at the longest", "adds the length"],
)
def test_padding_and_rows_are_told_apart(change, invariance, independence):
    assert (named("padding invariance").check(encoded(change)) > 1e-6) == invariance
    assert (named("batch independence").check(encoded(change)) > 1e-6) == independence


class SortsAndSortsAgain(Encoder):
    """Puts sorted rows back by the order itself, not by its inverse."""

    def forward(self, source, lengths=None):
        if lengths is None:
            return super().forward(source)
        order = lengths.argsort(descending=True)
        return super().forward(source[order], lengths[order])[:, order]


class ReadsTooLittle(Encoder):
    def forward(self, source, lengths=None):
        return super().forward(source, None if lengths is None else (lengths - 1).clamp(min=1))


class MasksAndReadsOn(Encoder):
    """Padding is made zero vectors, over which the state goes on."""

    def forward(self, source, lengths=None):
        mask = 1 if lengths is None else (torch.arange(source.shape[1]) < lengths[:, None])[..., None]
        return self.rnn(self.embedding(source) * mask)[1]


@pytest.mark.parametrize(
    ("encoder", "failed"),
    [
        (Encoder, ()),
        (SortsAndSortsAgain, ("batch independence",)),
        (ReadsTooLittle, ("padding invariance",)),
        (MasksAndReadsOn, ("padding invariance",)),
    ],
)
def test_encoders_that_use_lengths_wrongly_are_found(encoder, failed):
    shape = (10, 6, 8, 2, 0.0)
    assert diagnose(Seq2Seq(encoder(*shape), Decoder(*shape))).failed == failed


def test_a_decoder_that_computes_steps_otherwise_is_found():
    sick = subject()
    right = sick.model.decoder.forward

    def forward(tokens, hidden):
        logits, new = right(tokens, hidden)
        return logits + (tokens.shape[1] == 1), new + 0.5 * (tokens.shape[1] == 1)

    sick.model.decoder.forward = forward
    assert named("one step at a time").check(sick) >= 1
    assert named("PyTorch's cell").check(sick) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("rnn", "words"),
    [
        (nn.LSTM(16, 64, batch_first=True), "the decoder is no `embedding` with an nn.GRU"),
        (nn.GRU(16, 32, bidirectional=True, batch_first=True), "the decoder is no `embedding` with an nn.GRU"),
        (nn.GRU(80, 64, batch_first=True), "reads something else than the embedded token"),
        (nn.GRU(8, 64, batch_first=True), "reads something else than the embedded token"),
    ],
)
def test_other_cells_are_not_compared_with_pytorchs(rnn, words):
    other = subject()
    other.model.decoder.rnn = rnn.double()
    with pytest.raises(DoesNotApply, match=words):
        named("PyTorch's cell").check(other)


def test_a_state_that_holds_more_than_the_grus_is_not_compared_with_pytorchs():
    other = subject()
    right = other.model.decoder.forward

    def forward(tokens, state):
        logits, hidden = right(tokens, state[0] if isinstance(state, tuple) else state)
        return logits, (hidden, "a context")

    other.model.decoder.forward = forward
    with pytest.raises(DoesNotApply, match="hands on more than its GRU's state"):
        named("PyTorch's cell").check(other)


def test_what_cannot_be_changed_is_not_said_to_make_a_difference():
    alike = subject()
    alike.target[:] = 3
    with pytest.raises(DoesNotApply, match="targets are one token"):
        named("causality").check(alike)
    alike.source[:, 4] = 3
    with pytest.raises(DoesNotApply, match="the same token at place 4"):
        named("the whole source").check(alike)


def test_a_place_that_is_not_read_is_found_beside_one_that_could_not_be_tried():
    deaf = subject()
    right = deaf.model.encoder.forward
    deaf.model.encoder.forward = lambda source: right(source[:, 2:])
    deaf.source[:, 1] = 3
    assert named("the whole source").check(deaf) == 1


# Losses


def cross_entropy(logits, target, **options):
    return F.cross_entropy(logits.flatten(0, 1), target.flatten(), **options)


@pytest.mark.parametrize(
    ("name", "loss", "measured"),
    [
        ("every place counts", lambda logits, target: cross_entropy(logits[:, 2:], target[:, 2:]), 2),
        ("every place counts", lambda logits, target: cross_entropy(logits[:4], target[:4]), 0),
        ("the end counts", lambda logits, target: cross_entropy(logits, target, ignore_index=0), 1),
        ("the end counts", lambda logits, target: cross_entropy(logits[:3], target[:3]), 0.5),
        ("the end counts", lambda logits, target: cross_entropy(logits, target, ignore_index=1), 0),
        ("the target is asked for", lambda logits, target: cross_entropy(logits[:, :-1], target[:, 1:]), 1),
        ("the target is asked for", lambda logits, target: cross_entropy(logits, target.flip(0)), None),
        ("the target is asked for", lambda logits, target: cross_entropy(logits, target, ignore_index=3), 0),
        ("the target is asked for", lambda logits, target: cross_entropy(logits, target, label_smoothing=0.1), 0),
        ("over the vocabulary", lambda logits, target: logits.mean(), 20.5),
        ("neutral padding", lambda logits, target: cross_entropy(logits, target.clamp(min=0)), None),
        ("neutral padding", lambda logits, target: cross_entropy(logits, target, reduction="sum"), 0),
    ],
)
def test_a_property_measures_how_far_a_loss_is_off(name, loss, measured):
    got = named(name).check(subject(loss=loss, padding=-100))
    assert got > 0.1 if measured is None else got == pytest.approx(measured, abs=1e-9)


def test_a_loss_that_does_not_know_the_mark_of_padding_is_not_examined_for_it():
    with pytest.raises(DoesNotApply, match="the loss does not know -1 as padding"):
        named("neutral padding").check(subject(loss=token_loss, padding=-1))


def test_neighbouring_targets_differ_and_logits_vary():
    logits, target = properties._logits_and_targets(subject())
    assert logits.shape == (6, 7, 10)
    assert target.shape == (6, 7)
    assert (target[:, 1:] != target[:, :-1]).all()
    assert 0 <= target.min() < target.max() <= 9
    assert 0.8 < logits.std() < 1.2


# Training steps and evaluations


def test_a_step_from_gradients_that_were_left_leads_elsewhere_by_the_rate_times_what_was_left():
    def keeps(model, optimizer, source, target):
        loss = token_loss(model(source, target, 1.0), target)
        loss.backward()
        optimizer.step()
        return loss

    smallest = min(parameter.numel() for parameter in subject().model.parameters())
    measured = named("a clean step").check(subject(train_step=keeps))
    assert measured == pytest.approx(0.1 / smallest)


def zeroed_too_late(optimizer, loss):
    loss.backward()
    optimizer.zero_grad()
    optimizer.step()


@pytest.mark.parametrize(
    ("go", "others"),
    [
        (lambda optimizer, loss: loss.backward(), ()),
        (lambda optimizer, loss: optimizer.step(), ("a clean step",)),  # it goes by what was left
        (zeroed_too_late, ()),
    ],
    ids=["no step", "no way back", "zeroed too late"],
)
def test_a_step_that_leaves_all_weights_as_they_were_is_found(go, others):
    def step(model, optimizer, source, target):
        loss = token_loss(model(source, target, 1.0), target)
        go(optimizer, loss)
        return loss

    diagnosis = diagnose(build_model(SMALL), loss=token_loss, train_step=step)
    assert diagnosis.failed == ("a step is taken", *others)


def test_a_step_need_not_move_all_weights():
    frozen = subject(train_step=train_step)
    frozen.model.encoder.requires_grad_(False)
    assert named("a step is taken").check(frozen) == 0


def test_a_step_may_drop_out_what_it_likes():
    model = properties.redrawn(build_model(dataclasses.replace(SMALL, n_layers=2, dropout=0.5)))
    for name in ("a step is taken", "a clean step", "the step's loss"):
        assert named(name).check(subject(model, train_step=train_step, loss=token_loss)) < 1e-9


def test_a_step_reports_the_loss_of_its_batch():
    def doubled(*batch):
        return 2 * train_step(*batch)

    healthy = subject(train_step=train_step, loss=token_loss)
    expected = token_loss(healthy.forced(), healthy.target).item()
    assert named("the step's loss").check(healthy) < 1e-9
    assert named("the step's loss").check(subject(train_step=doubled, loss=token_loss)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "change", "measured"),
    [
        ("exact match", {"exact_match": 0.25}, None),
        ("free running", {"token_accuracy": 0.25}, None),
        ("exact match", {"token_accuracy": 0.25}, 0),
        ("free running", {"exact_match": 0.25}, 0),
    ],
)
def test_a_score_is_compared_with_what_the_model_writes(name, change, measured):
    case = subject(properties._redrawn_to_vary(subject(build_model(SMALL))))
    case.evaluate = lambda *given: dataclasses.replace(evaluate(*given), **change)
    _, target, output = properties._partly_right(case)
    right = output == target
    off = {"exact match": right.all(1).double().mean() - 0.25, "free running": right.double().mean() - 0.25}
    expected = abs(off[name].item()) if measured is None else measured
    assert named(name).check(case) == pytest.approx(expected)


def test_a_third_of_the_scored_rows_is_wrong_at_the_first_place_or_where_the_output_ends():
    case = subject(properties._redrawn_to_vary(subject(build_model(SMALL))))
    source, target, output = properties._partly_right(case)
    assert len(source) == len(target) == 67
    assert torch.equal(source[:6], case.source)
    assert torch.equal(source[66], case.source[0])
    wrong = (output != target).nonzero()
    assert wrong[:, 0].tolist() == list(range(45, 67))
    ends = [row.index(0) if 0 in row else 0 for row in output.tolist()]
    assert wrong[:, 1].tolist() == [ends[row] if row % 2 else 0 for row in range(45, 67)]
    assert max(wrong[:, 1]) > 0
    assert set(target.unique().tolist()) <= set(output.unique().tolist())


def test_a_model_that_always_writes_the_same_cannot_be_scored():
    case = greedy(torch.zeros_like)
    case.evaluate = evaluate
    with pytest.raises(DoesNotApply, match="writes the same token everywhere"):
        named("exact match").check(case)


def test_an_evaluation_in_the_mode_it_finds_is_noticed_only_with_dropout():
    def in_any_mode(model, source, target):
        accuracy = (model(source, target, 0.0).argmax(-1) == target).double().mean().item()
        return SimpleNamespace(token_accuracy=accuracy)

    case = subject(properties._redrawn_to_vary(subject(build_model(SMALL))), evaluate=in_any_mode)
    assert named("evaluation without dropout").check(case) > 0.05
    for part in (case.model.encoder, case.model.decoder):
        part.dropout = nn.Identity()
    with pytest.raises(DoesNotApply, match="the model has no dropout"):
        named("evaluation without dropout").check(case)


def test_where_decoding_contradicts_the_model_its_evaluation_is_not_judged():
    model = build_model(SMALL)
    model.generate = lambda source, max_length: torch.arange(max_length).expand(len(source), -1)
    diagnosis = diagnose(model, **FUNCTIONS)
    assert diagnosis.failed == ("greedy agrees with itself",)
    assert finding(diagnosis, "exact match").sentence == "greedy decoding contradicts the model: mend that first."
    assert finding(diagnosis, "a clean step").verdict == "holds"


# The report


def property_named(name, *resembles):
    return Property(name, f"{name} holds.", f"{name} is off by {{}}.", lambda subject: 0.0, resembles=resembles)


def findings(*verdicts):
    return tuple(
        Finding(property_named(name, *exhibits), verdict, f"{name} {verdict}.", 0.0, 1.0)
        for name, verdict, exhibits in verdicts
    )


def test_the_likest_exhibit_fails_the_same_and_little_else():
    diagnosis = Diagnosis(
        findings(
            ("a", "fails", ("x", "y", "z")),
            ("b", "fails", ("z", "x")),
            ("c", "holds", ("z", "w")),
            ("d", "does not apply", ("y",)),
        )
    )
    assert diagnosis.failed == ("a", "b")
    assert not diagnosis.healthy
    assert diagnosis.resembles == ("x", "z", "y")  # x fails both; z one more; y shares one and fails another


def test_a_property_that_stopped_with_an_error_resembles_nothing():
    (failed,) = findings(("a", "fails", ("x",)))
    assert Diagnosis((failed,)).resembles == ("x",)
    stopped = Diagnosis((dataclasses.replace(failed, measured=math.nan),))
    assert (stopped.failed, stopped.resembles) == (("a",), ())


def test_what_does_not_apply_for_one_reason_is_told_once():
    one, other = (
        dataclasses.replace(found, sentence="there is no `loss`.")
        for found in findings(("a", "does not apply", ()), ("b", "does not apply", ()))
    )
    assert str(Diagnosis((one, other))).splitlines()[1:] == ["  does not apply: a, b: there is no `loss`."]


def test_the_report_says_what_fails_what_does_not_apply_and_what_it_resembles():
    diagnosis = Diagnosis(findings(("a", "fails", ("x",)), ("b", "holds", ()), ("c", "does not apply", ())))
    assert str(diagnosis).splitlines() == [
        "1 property holds, 1 fails, 1 does not apply.",
        "  fails: a: a fails.",
        "  does not apply: c: c does not apply.",
        "This resembles x.",
    ]
    assert str(Diagnosis(findings(("b", "holds", ())))) == "1 property holds, 0 fail, 0 do not apply."


def test_the_report_counts_several_in_the_plural():
    verdicts = 2 * ["holds"] + 3 * ["fails"] + 4 * ["does not apply"]
    diagnosis = Diagnosis(findings(*((str(number), verdict, ()) for number, verdict in enumerate(verdicts))))
    assert str(diagnosis).splitlines()[0] == "2 properties hold, 3 fail, 4 do not apply."


def test_a_report_has_no_line_that_jupyterlab_would_break():
    names = tuple(f"a-bug-with-a-name-{number}" for number in range(6))
    *_, first, second = str(Diagnosis(findings(("a", "fails", names)))).splitlines()
    assert first.startswith("This resembles a-bug-with-a-name-0, ")
    assert 75 < len(first) <= 100  # another name would not have fitted
    assert second.startswith("    a-bug-with-a-name-")
    assert " ".join((first + second).split()).count("a-bug-with-a-name-") == 6


@pytest.mark.parametrize(
    ("measured", "verdict"),
    [(0.0, "holds"), (1e-7, "holds"), (1e-5, "fails"), (math.nan, "fails"), (math.inf, "fails")],
)
def test_rounding_is_tolerated_and_nothing_else(measured, verdict):
    one = dataclasses.replace(property_named("a"), check=lambda subject: measured)
    found = properties.examine(one, subject())
    assert found.verdict == verdict
    assert found.sentence == ("a holds." if verdict == "holds" else f"a is off by {measured:.3g}.")
    assert found.measured == pytest.approx(measured, nan_ok=True)


def test_the_time_of_a_property_is_in_milliseconds():
    slow = dataclasses.replace(property_named("a"), check=lambda subject: time.sleep(0.05) or 0.0)
    assert 50 <= properties.examine(slow, subject()).milliseconds < 500


def test_each_property_gets_the_model_as_it_came(monkeypatch):
    seen = []

    def spoil(case):
        seen.append(case.model.decoder.fc_out.weight.sum().item())
        case.model.decoder.fc_out.weight.data += 1
        return 0.0

    one = dataclasses.replace(property_named("a"), check=spoil)
    monkeypatch.setattr(properties, "PROPERTIES", (one, one))
    diagnose(build_model(SMALL))
    assert seen[0] == seen[1]


def test_properties_have_names_of_their_own_and_say_what_was_measured():
    assert len({one.name for one in PROPERTIES}) == len(PROPERTIES) >= 10
    kinds = ["model"] * 12 + ["loss"] * 5 + ["training step"] * 3 + ["evaluation"] * 3
    assert [one.of for one in PROPERTIES] == kinds
    for one in PROPERTIES:
        assert "{}" in one.finding or one.name in ("shapes", "determinism", "free logits", "a step is taken")
        assert one.holds.endswith(".")
        assert one.check.__doc__


def test_without_examples_the_first_draws_of_the_task_are_taken():
    with opened(EXHIBITS["state-not-carried"]):
        model = build_model(dataclasses.replace(SMALL, emb_dim=6, hidden_dim=8))

    def report(seed: int) -> str:
        task = SubstringTask(properties.LENGTH)
        return str(diagnose(model, *task.sample(properties.ROWS, torch.Generator().manual_seed(seed))))

    assert str(diagnose(model)) == report(0) != report(-1)

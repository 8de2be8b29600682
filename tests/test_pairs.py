"""The encoder–decoder of two tokens a step: its cells are PyTorch's own, and each pair comes where it belongs."""

import dataclasses

import pytest
import torch
from torch import nn

from course_utils import (
    FASTEST,
    Decoder,
    Encoder,
    PairDecoder,
    PairEncoder,
    PairSeq2Seq,
    SubstringTask,
    build_model,
    count_errors,
    load_model,
    save_checkpoint,
)
from course_utils.pairs import OneStateLSTM
from course_utils.prefix_tree import WholeCalls, margins_of_ranges

SHAPE = (10, 6, 8, 2, 0.0)


@pytest.fixture
def pairs() -> PairSeq2Seq:
    """An untrained network in float64, with weights so large that it does not always say the same."""
    model = PairSeq2Seq(PairEncoder(*SHAPE), PairDecoder(*SHAPE)).double().eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(-2, 2, generator=generator)
    return model


# --- Cells ------------------------------------------------------------------------------------------------------------


def test_two_states_are_one_tensor_with_the_numbers_of_pytorchs():
    ours, theirs = OneStateLSTM(3, 5, 2).double(), nn.LSTM(3, 5, 2).double()
    ours.load_state_dict(theirs.state_dict())
    inputs, hidden, cell = torch.randn(4, 7, 3).double(), torch.randn(2, 7, 5).double(), torch.randn(2, 7, 5).double()
    expected, (last_hidden, last_cell) = theirs(inputs, (hidden, cell))
    outputs, state = ours(inputs, torch.cat((hidden, cell), dim=-1))
    assert state.shape == (2, 7, 10)
    torch.testing.assert_close(outputs, expected)
    torch.testing.assert_close(state, torch.cat((last_hidden, last_cell), dim=-1))
    torch.testing.assert_close(ours(inputs)[0], theirs(inputs)[0])


def test_forget_gates_begin_open_and_all_else_is_pytorchs():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        ours = OneStateLSTM(3, 5, 2)
        torch.manual_seed(0)
        theirs = nn.LSTM(3, 5, 2)
    for (name, mine), expected in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        opened = torch.zeros(20)
        opened[5:10] = 2.0 if name.startswith("bias_hh") else 0.0  # PyTorch's order: input, forget, cell, output
        torch.testing.assert_close(mine, expected + (opened if mine.dim() == 1 else 0.0))


def test_dropout_and_layers_are_those_that_were_asked_for():
    for part in (PairEncoder(10, 6, 8, 3, 0.4), PairDecoder(10, 6, 8, 3, 0.4)):
        assert type(part.rnn) is OneStateLSTM
        assert (part.rnn.input_size, part.rnn.hidden_size, part.rnn.num_layers, part.rnn.dropout) == (12, 8, 3, 0.4)
        assert part.rnn.batch_first
        assert part.dropout.p == 0.4


def test_dropout_is_on_in_training_alone(examples):
    source, target = examples
    parts = PairEncoder(10, 6, 8, 1, 0.5), PairDecoder(10, 6, 8, 1, 0.5)  # one layer: dropout is on embeddings alone
    state = torch.zeros(1, 20, 16)
    for part, given in zip(parts, [(source,), (target, state)], strict=True):
        assert not torch.equal(part(*given)[0], part(*given)[0])
        part.eval()
        assert torch.equal(part(*given)[0], part(*given)[0])


# --- Pairs ------------------------------------------------------------------------------------------------------------


def test_the_encoder_reads_two_embeddings_side_by_side(pairs, examples):
    source, _ = examples
    weight, state = pairs.encoder.embedding.weight, None
    for first, second in zip(source.T[::2], source.T[1::2], strict=True):
        _, state = pairs.encoder.rnn(torch.cat([weight[first], weight[second]], dim=1)[:, None], state)
    assert state.shape == (2, 20, 16)
    torch.testing.assert_close(pairs.encoder(source), state)


def test_the_decoder_writes_two_tokens_from_each_state(pairs, examples):
    source, target = examples
    before = pairs.encoder(source)
    logits, after = pairs.decoder(target, before)
    assert logits.shape == (20, 8, 10)
    state, weight, bias = before, pairs.decoder.fc_out.weight, pairs.decoder.fc_out.bias
    embedded = pairs.decoder.embedding(target)
    for step in range(4):
        output, state = pairs.decoder.rnn(embedded[:, 2 * step : 2 * step + 2].reshape(20, 1, 12), state)
        for place, rows in ((2 * step, slice(0, 10)), (2 * step + 1, slice(10, 20))):
            torch.testing.assert_close(logits[:, place], output[:, 0] @ weight[rows].T + bias[rows])
    torch.testing.assert_close(after, state)


def test_step_by_step_it_says_what_it_says_in_one_call(pairs, examples):
    source, target = examples
    state, pair = pairs.encoder(source), torch.zeros(20, 2, dtype=torch.long)
    steps = []
    for step in range(0, 8, 2):
        logits, state = pairs.decoder(pair, state)
        steps.append(logits)
        pair = target[:, step : step + 2]
    torch.testing.assert_close(pairs(source, target, 1.0), torch.cat(steps, dim=1))


def test_left_alone_it_reads_what_it_has_written(pairs, examples):
    source, target = examples
    output = pairs.generate(source, 8)
    assert len(output.unique(dim=0)) > 5
    logits = pairs(source, target, 0.0)
    assert torch.equal(logits.argmax(-1), output)
    torch.testing.assert_close(logits, pairs(source, output, 1.0))
    assert not torch.allclose(logits, pairs(source, target, 1.0))


def test_unless_it_is_told_otherwise_it_reads_the_target(pairs, examples):
    assert torch.equal(pairs(*examples), pairs(*examples, 1.0))


def test_writing_keeps_nothing_for_gradients(pairs, examples):
    kept = []
    pairs.decoder.register_forward_hook(lambda _, __, written: kept.append(written[0].requires_grad))
    pairs.generate(examples[0], 8)
    assert kept == [False] * 4
    assert pairs(*examples).requires_grad


def test_it_writes_as_many_tokens_as_it_is_asked_for(pairs, examples):
    source, _ = examples
    whole = pairs.generate(source, 8)
    for n in (1, 2, 3, 7):
        assert torch.equal(pairs.generate(source, n), whole[:, :n])


# --- What it refuses --------------------------------------------------------------------------------------------------


def test_odd_numbers_of_tokens_are_refused(pairs, examples, refused):
    source, target = examples
    with refused("an even number of tokens, not 9"):
        pairs.encoder(source[:, :9])
    with refused("an even number of tokens, not 7"):
        pairs(source, target[:, :7], 1.0)
    with refused("an even number of tokens, not 9"):
        count_errors(pairs, SubstringTask(9))


def test_coins_are_refused(pairs, examples, refused):
    for arguments in ((0.5,), (1.0, [True] * 8)):
        with refused("flips no coins"):
            pairs(*examples, *arguments)


def test_nothing_to_write_is_refused(pairs, examples, refused):
    with refused("At least one token must be written, not 0"):
        pairs.generate(examples[0], 0)


@pytest.mark.parametrize(
    "change", [{"length": 7}, {"teacher_forcing_ratio": 0.5}, {"teacher_forcing_ratio": 0.0}], ids=str
)
def test_a_recipe_for_pairs_is_of_even_length_and_without_coins(change, refused):
    with refused("takes an even length and a teacher forcing ratio of 1, not"):
        dataclasses.replace(FASTEST, **change)


# --- Beside the other network -----------------------------------------------------------------------------------------


def test_a_saved_one_is_loaded_as_one(tmp_path, examples):
    model = build_model(dataclasses.replace(FASTEST, hidden_dim=8, n_layers=2)).eval()
    assert type(model) is PairSeq2Seq
    save_checkpoint({"model": model.state_dict()}, tmp_path / "pairs.pt")
    loaded = load_model(tmp_path / "pairs.pt")
    assert (type(loaded), type(loaded.encoder), type(loaded.decoder)) == (PairSeq2Seq, PairEncoder, PairDecoder)
    assert torch.equal(loaded(*examples, 1.0), model(*examples, 1.0))


def test_parts_that_do_not_fit_are_refused(refused):
    with refused("must fit the decoder"):
        PairSeq2Seq(PairEncoder(*SHAPE), PairDecoder(10, 6, 9, 2, 0.0))


def test_its_parts_stand_where_the_others_do():
    assert issubclass(PairEncoder, Encoder)
    assert issubclass(PairDecoder, Decoder)


def test_it_is_counted_by_whole_calls(pairs):
    """The shared prefixes of the count are written for a GRU."""
    assert type(margins_of_ranges(pairs, SubstringTask())) is WholeCalls


def test_its_errors_are_those_of_its_greedy_output(pairs):
    task = SubstringTask(4)
    source = task.inputs(0, task.size)
    wrong = (pairs.generate(source, 2) != task.solve_unchecked(source)).any(dim=1).sum()
    assert count_errors(pairs, task).errors == wrong > 0

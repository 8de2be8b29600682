"""The encoder–decoder with LSTM cells: PyTorch's own numbers, behind the interface of the GRU's."""

import dataclasses

import pytest
import torch
from torch import nn

from course_utils import FASTEST, Seq2Seq, SubstringTask, build_model, load_model, save_checkpoint
from course_utils.lstm import LSTMDecoder, LSTMEncoder, OneStateLSTM
from course_utils.verification import WholeCalls, margins_of_ranges

SHAPE = (10, 6, 8, 2, 0.0)


@pytest.fixture
def lstm() -> Seq2Seq:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Seq2Seq(LSTMEncoder(*SHAPE), LSTMDecoder(*SHAPE)).double().eval()


def test_its_two_states_are_one_tensor_with_the_numbers_of_pytorchs():
    ours, theirs = OneStateLSTM(3, 5, 2).double(), nn.LSTM(3, 5, 2).double()
    ours.load_state_dict(theirs.state_dict())
    inputs, hidden, cell = torch.randn(4, 7, 3).double(), torch.randn(2, 7, 5).double(), torch.randn(2, 7, 5).double()
    expected, (last_hidden, last_cell) = theirs(inputs, (hidden, cell))
    outputs, state = ours(inputs, torch.cat((hidden, cell), dim=-1))
    assert state.shape == (2, 7, 10)
    torch.testing.assert_close(outputs, expected)
    torch.testing.assert_close(state, torch.cat((last_hidden, last_cell), dim=-1))
    torch.testing.assert_close(ours(inputs)[0], theirs(inputs)[0])


def test_step_by_step_it_says_what_it_says_in_one_call(lstm, examples):
    source, target = examples
    assert lstm.encoder(source).shape == (2, 20, 16)
    whole = lstm(source, target, 1.0)
    torch.testing.assert_close(lstm(source, target, 0.5, coins=[True] * 8), whole)
    output = lstm.generate(source, 8)
    torch.testing.assert_close(lstm(source, output, 1.0).argmax(-1), output)


def test_dropout_and_layers_are_those_that_were_asked_for():
    for part in (LSTMEncoder(10, 6, 8, 3, 0.4), LSTMDecoder(10, 6, 8, 3, 0.4)):
        assert type(part.rnn) is OneStateLSTM
        assert (part.rnn.input_size, part.rnn.hidden_size, part.rnn.num_layers, part.rnn.dropout) == (6, 8, 3, 0.4)
        assert part.rnn.batch_first


def test_padding_after_the_last_token_changes_nothing(lstm, examples):
    source, _ = examples
    padded = torch.cat([source[:, :7], torch.zeros(20, 3, dtype=torch.long)], dim=1)
    torch.testing.assert_close(lstm.encoder(padded, torch.full((20,), 7)), lstm.encoder(source[:, :7]))


def test_a_saved_one_is_loaded_as_one(tmp_path, examples):
    model = build_model(dataclasses.replace(FASTEST, hidden_dim=8, n_layers=2)).eval()
    save_checkpoint({"model": model.state_dict()}, tmp_path / "lstm.pt")
    loaded = load_model(tmp_path / "lstm.pt")
    assert (type(loaded.encoder), type(loaded.decoder)) == (LSTMEncoder, LSTMDecoder)
    assert torch.equal(loaded(*examples, 1.0), model(*examples, 1.0))


def test_it_is_counted_by_whole_calls(lstm):
    """The shared prefixes of the count are written for a GRU."""
    assert type(margins_of_ranges(lstm, SubstringTask())) is WholeCalls

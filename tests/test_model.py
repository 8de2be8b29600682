"""The network, held against an independent one: the GRU's equations written out in NumPy, in float64."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from course_utils import Decoder, Encoder, Seq2Seq, SubstringTask, count_parameters, init_weights
from course_utils.model import shift_right, start_tokens

ORIGINAL_SHAPE = (10, 128, 256, 3, 0.5)

# The state_dict of the original experiment, with embedding size E = 6, hidden size H = 8 and 3 layers.
ORIGINAL_NAMES = {
    "encoder.embedding.weight": (10, 6),
    "encoder.rnn.weight_ih_l0": (24, 6),
    "encoder.rnn.weight_hh_l0": (24, 8),
    "encoder.rnn.bias_ih_l0": (24,),
    "encoder.rnn.bias_hh_l0": (24,),
    "encoder.rnn.weight_ih_l1": (24, 8),
    "encoder.rnn.weight_hh_l1": (24, 8),
    "encoder.rnn.bias_ih_l1": (24,),
    "encoder.rnn.bias_hh_l1": (24,),
    "encoder.rnn.weight_ih_l2": (24, 8),
    "encoder.rnn.weight_hh_l2": (24, 8),
    "encoder.rnn.bias_ih_l2": (24,),
    "encoder.rnn.bias_hh_l2": (24,),
    "decoder.embedding.weight": (10, 6),
    "decoder.rnn.weight_ih_l0": (24, 6),
    "decoder.rnn.weight_hh_l0": (24, 8),
    "decoder.rnn.bias_ih_l0": (24,),
    "decoder.rnn.bias_hh_l0": (24,),
    "decoder.rnn.weight_ih_l1": (24, 8),
    "decoder.rnn.weight_hh_l1": (24, 8),
    "decoder.rnn.bias_ih_l1": (24,),
    "decoder.rnn.bias_hh_l1": (24,),
    "decoder.rnn.weight_ih_l2": (24, 8),
    "decoder.rnn.weight_hh_l2": (24, 8),
    "decoder.rnn.bias_ih_l2": (24,),
    "decoder.rnn.bias_hh_l2": (24,),
    "decoder.fc_out.weight": (10, 8),
    "decoder.fc_out.bias": (10,),
}

Weights = dict[str, NDArray]


def sigmoid(x: NDArray) -> NDArray:
    return 1 / (1 + np.exp(-x))


def gru_cell(x: NDArray, h: NDArray, weights: Weights, rnn: str, layer: int) -> NDArray:
    """One layer reads one input: x (B, E or H), h (B, H) -> h (B, H). PyTorch stacks the gates in the order r, z, n."""
    from_input = x @ weights[f"{rnn}.weight_ih_l{layer}"].T + weights[f"{rnn}.bias_ih_l{layer}"]
    from_state = h @ weights[f"{rnn}.weight_hh_l{layer}"].T + weights[f"{rnn}.bias_hh_l{layer}"]
    r_input, z_input, n_input = np.split(from_input, 3, axis=1)
    r_state, z_state, n_state = np.split(from_state, 3, axis=1)
    r = sigmoid(r_input + r_state)
    z = sigmoid(z_input + z_state)
    n = np.tanh(n_input + r * n_state)
    return (1 - z) * n + z * h


def read_token(token: NDArray, hidden: list[NDArray], weights: Weights, part: str) -> list[NDArray]:
    """Each layer of the encoder or the decoder reads one token (B). `hidden`: the layers' states, each (B, H)."""
    x = weights[f"{part}.embedding.weight"][token]
    after = []
    for layer, h in enumerate(hidden):
        x = gru_cell(x, h, weights, f"{part}.rnn", layer)
        after.append(x)
    return after


def logits_in_numpy(weights: Weights, source: NDArray, target: NDArray, coins: NDArray) -> NDArray:
    """The whole network: source (B, S), target (B, T), coins (B, T) -> logits (B, T, V)."""
    n_layers = sum(name.startswith("encoder.rnn.weight_hh") for name in weights)
    hidden_dim = weights["encoder.rnn.weight_hh_l0"].shape[1]
    hidden = [np.zeros((len(source), hidden_dim))] * n_layers
    for token in source.T:
        hidden = read_token(token, hidden, weights, "encoder")
    token = np.zeros(len(source), dtype=int)
    logits = []
    for true_token, coin in zip(target.T, coins.T, strict=True):
        hidden = read_token(token, hidden, weights, "decoder")
        logits.append(hidden[-1] @ weights["decoder.fc_out.weight"].T + weights["decoder.fc_out.bias"])
        token = np.where(coin, true_token, logits[-1].argmax(axis=1))
    return np.stack(logits, axis=1)


@pytest.fixture
def state() -> dict[str, Tensor]:
    """Weights with the original's names, so large that outputs vary."""
    generator = torch.Generator().manual_seed(1)
    return {
        name: torch.empty(shape, dtype=torch.float64).uniform_(-2, 2, generator=generator)
        for name, shape in ORIGINAL_NAMES.items()
    }


@pytest.fixture
def loaded(state: dict[str, Tensor]) -> Seq2Seq:
    shape = (10, 6, 8, 3, 0.5)
    model = Seq2Seq(Encoder(*shape), Decoder(*shape)).double().eval()
    model.load_state_dict(state, strict=True)
    return model


def expected_logits(state: dict[str, Tensor], source: Tensor, target: Tensor, coins: Tensor) -> Tensor:
    weights = {name: tensor.numpy() for name, tensor in state.items()}
    logits = logits_in_numpy(weights, source.numpy(), target.numpy(), coins.expand_as(target).numpy())
    return torch.from_numpy(logits)


# --- Parity with the original experiment ------------------------------------------------------------------------------


def test_names_are_the_original_ones(loaded):
    assert {name: tuple(tensor.shape) for name, tensor in loaded.state_dict().items()} == ORIGINAL_NAMES


def test_guesses_differ_from_the_target_and_from_each_other(loaded, examples):
    """Else a decoder that read the wrong token would go unnoticed below."""
    guesses = loaded(*examples, teacher_forcing_ratio=0.0).argmax(-1)
    assert (guesses != examples[1]).any(dim=1).all()
    assert len(guesses.unique(dim=0)) > 10


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_logits_equal_the_equations_at_teacher_forcing(ratio, state, loaded, examples):
    expected = expected_logits(state, *examples, coins=torch.tensor(bool(ratio)))
    torch.testing.assert_close(loaded(*examples, teacher_forcing_ratio=ratio), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    "coins",
    [
        torch.tensor([True, False, False, True, True, False, True, False]),
        torch.tensor([False, True, True, False, False, True, False, True]),
        torch.rand(20, 8, generator=torch.Generator().manual_seed(0)) < 0.5,
    ],
    ids=["one for the whole batch", "the other way round", "one for each example"],
)
def test_logits_equal_the_equations_with_given_coins(coins, state, loaded, examples):
    logits = loaded(*examples, coins=coins)
    torch.testing.assert_close(logits, expected_logits(state, *examples, coins), rtol=0, atol=1e-10)


def test_the_full_network_equals_the_equations(examples):
    source, target = examples
    model = Seq2Seq(Encoder(*ORIGINAL_SHAPE), Decoder(*ORIGINAL_SHAPE)).double().eval()
    init_weights(model, torch.Generator().manual_seed(0))
    coins = torch.tensor([True, False, True, True, False, False, True, False])
    with torch.no_grad():
        logits = model(source, target, coins=coins)
    torch.testing.assert_close(logits, expected_logits(model.state_dict(), source, target, coins), rtol=0, atol=1e-10)


def test_the_full_network_has_as_many_parameters_as_the_original():
    assert count_parameters(Seq2Seq(Encoder(*ORIGINAL_SHAPE), Decoder(*ORIGINAL_SHAPE))) == 2_177_034


def test_frozen_parameters_are_not_counted():
    layer = nn.Linear(3, 2)
    layer.bias.requires_grad = False
    assert count_parameters(layer) == 6


# --- Initial weights --------------------------------------------------------------------------------------------------


def test_every_parameter_is_drawn_evenly_between_its_bounds():
    model = Seq2Seq(Encoder(*ORIGINAL_SHAPE), Decoder(*ORIGINAL_SHAPE))
    init_weights(model, torch.Generator().manual_seed(0))
    for name, parameter in model.named_parameters():
        n = parameter.numel()
        assert parameter.abs().max() <= 0.08, name
        # A uniform distribution over ±a has variance a²/3; 5 standard errors of the mean and of the variance.
        assert abs(parameter.mean()) < 5 * 0.08 / (3 * n) ** 0.5, name
        assert abs(parameter.var() / (0.08**2 / 3) - 1) < 5 * (0.8 / n) ** 0.5, name


def test_initial_weights_have_the_range_asked_for(model):
    init_weights(model, torch.Generator().manual_seed(0), initial_range=3.0)
    largest = max(parameter.abs().max().item() for parameter in model.parameters())
    assert 2.9 < largest <= 3


def test_initial_weights_come_from_the_generator(model):
    def weights_of(seed: int) -> Tensor:
        init_weights(model, torch.Generator().manual_seed(seed))
        return nn.utils.parameters_to_vector(model.parameters())

    assert torch.equal(weights_of(1), weights_of(1))
    assert not torch.equal(weights_of(1), weights_of(2))


# --- The encoder ------------------------------------------------------------------------------------------------------


def test_the_encoder_returns_one_state_for_each_layer_and_example(model, examples):
    assert model.encoder(examples[0]).shape == (2, 20, 8)


LENGTHS = torch.tensor([3, 10, 1, 7])


def test_with_lengths_the_state_is_that_of_the_source_without_its_padding(model, examples):
    source = examples[0][:4]
    hidden = model.encoder(source, LENGTHS)
    for row, length in enumerate(LENGTHS):
        alone = model.encoder(source[row : row + 1, :length])
        torch.testing.assert_close(hidden[:, row : row + 1], alone)


def test_what_stands_in_the_padding_does_not_matter(model, examples):
    source = examples[0][:4]
    is_padding = torch.arange(10) >= LENGTHS[:, None]
    zeros, nines = source.masked_fill(is_padding, 0), source.masked_fill(is_padding, 9)
    assert torch.equal(model.encoder(zeros, LENGTHS), model.encoder(nines, LENGTHS))
    assert not torch.equal(model.encoder(zeros), model.encoder(nines))


@pytest.mark.parametrize("length", [0, -1, 11])
def test_lengths_outside_the_source_are_refused(length, model, examples, refused):
    with refused("between 1 and the source's width, 10"):
        model.encoder(examples[0][:2], torch.tensor([5, length]))


def test_lengths_with_decimals_are_refused(model, examples, refused):
    with refused("2 whole numbers"):
        model.encoder(examples[0][:2], [5.9, 4.0])


@pytest.mark.parametrize("ratio", [0.0, 0.5, 1.0])
def test_an_empty_target_is_refused(ratio, model, examples, refused):
    with refused("at least one token"):
        model(examples[0], examples[1][:, :0], ratio)


def test_lengths_may_be_a_list(model, examples):
    source = examples[0][:4]
    assert torch.equal(model.encoder(source, LENGTHS.tolist()), model.encoder(source, LENGTHS))


@pytest.mark.parametrize("n", [3, 5])
def test_lengths_must_be_one_for_each_source(model, examples, refused, n):
    with refused("Lengths must be 4 whole numbers"):
        model.encoder(examples[0][:4], torch.tensor([5] * n))


# --- The decoder ------------------------------------------------------------------------------------------------------


def test_one_step_at_a_time_equals_the_whole_call(model, examples):
    source, target = examples
    hidden = model.encoder(source)
    whole, last_hidden = model.decoder(target, hidden)
    for step in range(8):
        logits, hidden = model.decoder(target[:, step : step + 1], hidden)
        torch.testing.assert_close(logits, whole[:, step : step + 1])
    torch.testing.assert_close(hidden, last_hidden)


def test_under_full_forcing_the_decoder_reads_the_start_token_and_all_but_the_last_target():
    assert shift_right(torch.tensor([[5, 6, 7], [8, 9, 0]])).tolist() == [[0, 5, 6], [0, 8, 9]]


def test_the_decoder_starts_from_zero():
    start = start_tokens(torch.tensor([[5, 6, 7], [8, 9, 0]]))
    assert start.tolist() == [[0], [0]]
    assert start.dtype == torch.int64


def test_generate_writes_what_free_running_guesses(model, examples):
    source, target = examples
    guesses = model(source, target, teacher_forcing_ratio=0.0).argmax(-1)
    assert torch.equal(model.generate(source, 8), guesses)


def test_generate_goes_on_after_an_end_token(model, examples):
    tokens = model.generate(examples[0], 12)
    after_a_zero = (tokens == 0).cumsum(dim=1).bool()
    assert tokens.shape == (20, 12)
    assert (tokens[after_a_zero] != 0).any()


def test_generate_keeps_no_gradients(model, examples):
    outputs = []
    model.decoder.register_forward_hook(lambda decoder, inputs, output: outputs.append(output[0]))
    model.generate(examples[0], 8)
    assert not any(logits.requires_grad for logits in outputs)


# --- Teacher forcing --------------------------------------------------------------------------------------------------


def test_the_loop_fed_true_tokens_equals_the_one_call(model, examples):
    source, target = examples
    last_is_tails = torch.tensor([True] * 7 + [False])  # it decides nothing, but sends the network through its loop
    torch.testing.assert_close(model(source, target, coins=last_is_tails), model(source, target, coins=[True] * 8))


def test_full_forcing_is_one_call_of_the_decoder(model, examples):
    calls = []
    model.decoder.register_forward_pre_hook(lambda decoder, inputs: calls.append(inputs))
    model(*examples, 1.0)
    assert len(calls) == 1


def read_by(model: Seq2Seq, source: Tensor, target: Tensor, **options) -> Tensor:
    """The tokens (B, T) that the decoder reads on the way."""
    read = []
    hook = model.decoder.register_forward_pre_hook(lambda decoder, inputs: read.append(inputs[0]))
    with torch.no_grad():
        model(source, target, **options)
    hook.remove()
    return torch.cat(read, dim=1)


@pytest.mark.parametrize("ratio", [0.25, 0.5])
def test_the_ratio_is_the_chance_of_reading_the_true_token(ratio, model):
    with torch.no_grad():
        model.decoder.fc_out.bias[1] = 100  # so it always guesses 1, and the true token is always 9
    source, target = torch.zeros(3, 1, dtype=torch.long), torch.full((3, 2001), 9)
    read = read_by(model, source, target, teacher_forcing_ratio=ratio, generator=torch.Generator().manual_seed(0))
    share = (read[:, 1:] == 9).double().mean().item()
    assert share == pytest.approx(ratio, abs=5 * (ratio * (1 - ratio) / 2000) ** 0.5)
    assert (read == read[0]).all(), "one flip serves the whole batch"


def test_the_ratio_is_a_half_unless_told_otherwise(model, examples):
    for seed in range(20):
        expected = model(*examples, 0.5, generator=torch.Generator().manual_seed(seed))
        assert torch.equal(model(*examples, generator=torch.Generator().manual_seed(seed)), expected)


def test_coins_come_from_the_generator(model, examples):
    def logits_of(seed: int) -> Tensor:
        return model(*examples, generator=torch.Generator().manual_seed(seed))

    before = torch.get_rng_state()
    assert torch.equal(logits_of(1), logits_of(1))
    assert not torch.equal(logits_of(1), logits_of(2))
    assert torch.equal(torch.get_rng_state(), before)


def test_given_coins_replace_the_flips(model, examples):
    coins = [True, False] * 4
    assert torch.equal(model(*examples, 0.0, coins=coins), model(*examples, 1.0, coins=torch.tensor(coins)))


@pytest.mark.parametrize("shape", [(7,), (8, 20), (20, 1), (1, 8), ()])
def test_coins_of_another_shape_are_refused(shape, model, examples, refused):
    with refused(r"Coins must have shape \(8,\) or \(20, 8\)"):
        model(*examples, coins=torch.ones(shape, dtype=torch.bool))


@pytest.mark.parametrize("coins", [[0.9] * 8, torch.full((20, 8), 0.1)])
def test_coins_that_are_shares_are_refused(coins, model, examples, refused):
    with refused("Coins are truth values"):
        model(*examples, coins=coins)


def test_coins_may_be_zeros_and_ones(model, examples):
    coins = [1, 0, 0, 1, 1, 0, 1, 0]
    assert torch.equal(model(*examples, coins=coins), model(*examples, coins=torch.tensor(coins) == 1))


# --- The whole network ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_an_example_does_not_depend_on_its_batch(ratio, model, examples):
    source, target = examples
    together = model(source, target, ratio)
    for row in range(5):
        alone = model(source[row : row + 1], target[row : row + 1], ratio)
        torch.testing.assert_close(alone[0], together[row])


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_gradients_reach_every_parameter(ratio, model, examples):
    model(*examples, ratio).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


def test_encoder_and_decoder_may_have_embeddings_of_their_own_sizes():
    model = Seq2Seq(Encoder(10, 4, 8, 2, 0.0), Decoder(12, 6, 8, 2, 0.0))
    assert model(*SubstringTask().sample(3)).shape == (3, 8, 12)


@pytest.mark.parametrize(("hidden_dim", "n_layers"), [(9, 2), (8, 3)])
def test_an_encoder_that_does_not_fit_the_decoder_is_refused_and_a_bridge_named(hidden_dim, n_layers, refused):
    with refused("learned bridge"):
        Seq2Seq(Encoder(10, 6, 8, 2, 0.0), Decoder(10, 6, hidden_dim, n_layers, 0.0))


# --- Dropout ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def with_dropout(model: Seq2Seq) -> Seq2Seq:
    """The same weights, with a quarter of the embeddings dropped in training mode."""
    shape = (10, 6, 8, 2, 0.25)
    twin = Seq2Seq(Encoder(*shape), Decoder(*shape)).double()
    twin.load_state_dict(model.state_dict())
    return twin


def test_dropout_is_off_in_eval_mode(model, with_dropout, examples):
    with_dropout.eval()
    assert torch.equal(with_dropout(*examples, 1.0), model(*examples, 1.0))


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_dropout_acts_on_embeddings_at_its_rate(part, with_dropout, examples):
    read = []
    rnn = with_dropout.get_submodule(part).rnn
    rnn.register_forward_pre_hook(lambda rnn, inputs: read.append(inputs[0]))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        with_dropout.train()(*examples, 1.0)
    assert (read[0] == 0).double().mean().item() == pytest.approx(0.25, abs=0.05)


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_dropout_acts_between_layers_at_its_rate(part, with_dropout):
    assert with_dropout.get_submodule(part).rnn.dropout == 0.25


def test_one_layer_has_no_gap_for_dropout_and_raises_no_warning(examples):
    shape = (10, 6, 8, 1, 0.5)  # warnings are errors here, so making it is the test
    assert Seq2Seq(Encoder(*shape), Decoder(*shape))(*examples).shape == (20, 8, 10)


@pytest.mark.parametrize("ratio", [-0.1, 1.5])
def test_a_forcing_ratio_that_is_no_share_is_refused(model, examples, refused, ratio):
    with refused("from 0 to 1"):
        model(*examples, teacher_forcing_ratio=ratio)


def test_writing_no_token_at_all_is_refused(model, examples, refused):
    with refused("At least one token"):
        model.generate(examples[0], 0)

"""Networks as a recipe makes them, and as a checkpoint gives them back."""

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from course_utils import FASTEST, TUNED, Decoder, Encoder, Seq2Seq, build_model, load_model, save_checkpoint

State = dict[str, Tensor]


def same(state: State, other: State) -> bool:
    return state.keys() == other.keys() and all(torch.equal(state[name], other[name]) for name in state)


def test_starting_weights_come_from_the_seed(recipe):
    assert same(build_model(recipe, seed=1).state_dict(), build_model(recipe, seed=1).state_dict())
    assert not same(build_model(recipe, seed=1).state_dict(), build_model(recipe, seed=2).state_dict())


def test_pytorchs_own_starting_weights_come_from_the_seed_too():
    recipe = dataclasses.replace(FASTEST, hidden_dim=16)
    before = torch.get_rng_state()
    weights = build_model(recipe, seed=1).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    assert same(weights, build_model(recipe, seed=1).state_dict())
    assert not same(weights, build_model(recipe, seed=2).state_dict())
    assert weights["encoder.embedding.weight"].std() == pytest.approx(1, abs=0.2)  # nn.Embedding's
    assert weights["encoder.rnn.weight_hh_l0"].abs().max() == pytest.approx(16**-0.5, abs=0.01)  # nn.GRU's


def test_building_a_model_does_not_change_the_callers_random_numbers(recipe):
    before = torch.get_rng_state()
    build_model(recipe)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("bare", [True, False], ids=["a bare state_dict", "a checkpoint"])
def test_load_model_reads_the_sizes_off_the_weights(bare, model, examples, tmp_path):
    state = model.float().state_dict()
    torch.save(state if bare else {"model": state}, tmp_path / "model.pt")
    loaded = load_model(tmp_path / "model.pt")
    assert not loaded.training
    assert torch.equal(loaded(*examples, 1.0), model(*examples, 1.0))


def test_a_model_of_another_vocabulary_is_refused(tmp_path, refused):
    for words in (3, 11):
        model = Seq2Seq(Encoder(words, 4, 5, 1, 0.0), Decoder(words, 4, 5, 1, 0.0))
        save_checkpoint({"model": model.state_dict()}, tmp_path / "model.pt")
        with refused("another vocabulary: the task has 10 tokens"):
            load_model(tmp_path / "model.pt")


def test_a_model_of_two_kinds_of_parts_is_refused(recipe, tmp_path, refused):
    gru, pairs = (build_model(dataclasses.replace(recipe, network=kind)).state_dict() for kind in ("gru", "pairs"))
    mixed = {name: (pairs if name.startswith("encoder") else gru)[name] for name in gru}
    save_checkpoint({"model": mixed}, tmp_path / "model.pt")
    with refused("another kind of model"):
        load_model(tmp_path / "model.pt")


WEIGHTS = build_model(dataclasses.replace(TUNED, emb_dim=6, hidden_dim=8)).state_dict()

FOREIGN_MODELS = {
    "empty state_dict": {},
    "another model": nn.Linear(3, 2).state_dict(),
    "no tensors": dict.fromkeys(WEIGHTS, 1),
    "one-dimensional weights": {name: tensor.flatten() for name, tensor in WEIGHTS.items()},
    "one dimension too few": {**WEIGHTS, "encoder.rnn.weight_hh_l0": torch.zeros(24)},
    "one weight missing": {name: tensor for name, tensor in WEIGHTS.items() if name != "decoder.fc_out.bias"},
    "one weight too many": {**WEIGHTS, "attention.weight": torch.zeros(3)},
    "another hidden size in the decoder": {
        name: tensor.repeat(2, 2) if name.startswith("decoder.rnn.weight") else tensor
        for name, tensor in WEIGHTS.items()
    },
}


@pytest.mark.parametrize("state", FOREIGN_MODELS.values(), ids=FOREIGN_MODELS.keys())
def test_a_checkpoint_of_another_model_is_refused(state, tmp_path, refused):
    path = tmp_path / "foreign.pt"
    torch.save({"model": state}, path)
    with refused("holds another kind of model"):
        load_model(path)

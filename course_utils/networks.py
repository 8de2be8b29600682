"""Networks, made by a recipe or read from a checkpoint."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from .errors import InputError
from .files import load_checkpoint
from .guide import Guide, Guided
from .model import Decoder, Encoder, Seq2Seq, device_of, init_weights
from .pairs import PairDecoder, PairEncoder, PairSeq2Seq
from .recipes import Recipe
from .task import VOCABULARY_SIZE, SubstringTask


def parts_of(network: str) -> dict[str, type[nn.Module]]:
    """The classes of such a network: its encoder, its decoder, and `whole`, made of the two."""
    # Looked up when they are wanted: the bug museum puts other parts in their places.
    return {
        "gru": {"encoder": Encoder, "decoder": Decoder, "whole": Seq2Seq},
        "pairs": {"encoder": PairEncoder, "decoder": PairDecoder, "whole": PairSeq2Seq},
    }[network]


def build_model(recipe: Recipe, seed: int = 0, device: torch.device | str = "cpu") -> Seq2Seq:
    """The recipe's network with its starting weights, the same on every device for the same seed."""
    shape = (VOCABULARY_SIZE, recipe.emb_dim, recipe.hidden_dim, recipe.n_layers, recipe.dropout)
    # PyTorch's own starting weights are drawn from the global generator: leave the caller's alone.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # `torch.manual_seed` would seed every GPU as well
        parts = parts_of(recipe.network)
        model = parts["whole"](parts["encoder"](*shape), parts["decoder"](*shape))
    if recipe.initial_range is not None:
        init_weights(model, torch.Generator().manual_seed(seed), recipe.initial_range)
    return model.to(device)


def learner_of(model: Seq2Seq, recipe: Recipe, seed: int = 0) -> nn.Module:
    """What the recipe takes its steps with: the model, where the recipe says so with a guide at its side."""
    if not recipe.guided:
        return model
    n_tokens = SubstringTask(recipe.length).n_digits
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        guide = Guide(recipe.n_layers, recipe.hidden_dim, n_tokens, VOCABULARY_SIZE, recipe.steps)
    return Guided(model, guide.to(device_of(model)))


def load_model(path: str | Path, device: torch.device | str = "cpu") -> Seq2Seq:
    """The trained network of a checkpoint, in float32 and in eval mode; its sizes are read off its tensors."""
    state = load_checkpoint(path)["model"]
    try:
        gates, _ = state["encoder.rnn.weight_hh_l0"].shape
        shapes = {name: _shape_of(name, state) for name in ("encoder", "decoder")}
        parts = parts_of("pairs" if gates == 4 * shapes["encoder"][2] else "gru")
        model = parts["whole"](*(parts[name](*shape) for name, shape in shapes.items()))
        model.load_state_dict(state)
    except (KeyError, IndexError, RuntimeError, AttributeError, ValueError, TypeError) as error:
        raise InputError(f"{path} holds another kind of model than this course's encoder–decoder.") from error
    if {model.encoder.embedding.num_embeddings, model.decoder.embedding.num_embeddings} != {VOCABULARY_SIZE}:
        raise InputError(f"{path} holds a model of another vocabulary: the task has {VOCABULARY_SIZE} tokens.")
    return model.to(device).eval()


def _shape_of(part: str, state: dict[str, Tensor]) -> tuple[int, int, int, int, float]:
    """What an encoder or a decoder with these weights was made with, but without dropout."""
    vocabulary, emb_dim = state[f"{part}.embedding.weight"].shape
    _, hidden_dim = state[f"{part}.rnn.weight_hh_l0"].shape
    n_layers = sum(key.startswith(f"{part}.rnn.weight_hh_l") for key in state)
    return vocabulary, emb_dim, hidden_dim, n_layers, 0.0

"""Exercises of notebook 02: embedding, the GRU cell, its parameters, padding, the bridge."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .engine import Exercise, Mistake, register


def _normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def embed(tokens: Tensor, table: Tensor) -> Tensor:
    return table[tokens]


def _tokens_and_tables() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [(torch.tensor([[0, 3, 1]]), _normal(5, 2, seed=5))] + [  # first, not every row of the table is asked for
        (torch.randint(0, v, (b, s), generator=generator), _normal(v, e, seed=v))
        for b, s, v, e in ((4, 6, 10, 3), (7, 2, 8, 5))
    ]


register(
    Exercise(
        id="2.1",
        title="An embedding is a table look-up",
        minutes=5,
        difficulty=1,
        reference=embed,
        probes=_tokens_and_tables,
        mistakes=(
            Mistake(
                "one-row-off",
                lambda tokens, table: table[tokens - 1],
                "Every token gets its neighbour's row. Token 0 owns row 0.",
            ),
            Mistake(
                "bag-of-tokens",
                lambda tokens, table: table[tokens].sum(dim=1),
                "You add up the rows of a source, so their order is lost. Each position keeps a vector of its own.",
            ),
            Mistake(
                "token-as-a-number",
                lambda tokens, table: tokens.unsqueeze(-1) * table[1],
                "You multiply a vector by the token, as if 8 were twice 4. Tokens are names: each has its own row.",
            ),
        ),
    )
)


def gru_cell(x: Tensor, h: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor) -> Tensor:
    cell = nn.GRUCell(x.shape[1], h.shape[1]).to(x.dtype)
    with torch.no_grad():
        for parameter, value in zip(cell.parameters(), (w_ih, w_hh, b_ih, b_hh), strict=True):
            parameter.copy_(value)
    return cell(x, h)


def _gru_as(combine) -> object:
    """A wrong cell: `combine` gets the three gates' inputs from x and from h, each (B, H), and h and its weights."""

    def answer(x: Tensor, h: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor) -> Tensor:
        from_x = (x @ w_ih.T + b_ih).chunk(3, dim=1)
        from_h = (h @ w_hh.T + b_hh).chunk(3, dim=1)
        return combine(from_x, from_h, h, w_hh.chunk(3)[2], b_hh.chunk(3)[2])

    return answer


def _paper_reset(x, s, h, w, b):
    r, z = torch.sigmoid(x[0] + s[0]), torch.sigmoid(x[1] + s[1])
    n = torch.tanh(x[2] + (r * h) @ w.T + b)
    return (1 - z) * n + z * h


def _swapped_update(x, s, h, w, b):
    r, z = torch.sigmoid(x[0] + s[0]), torch.sigmoid(x[1] + s[1])
    return z * torch.tanh(x[2] + r * s[2]) + (1 - z) * h


def _swapped_gates(x, s, h, w, b):
    z, r = torch.sigmoid(x[0] + s[0]), torch.sigmoid(x[1] + s[1])
    return (1 - z) * torch.tanh(x[2] + r * s[2]) + z * h


def _bias_outside(x, s, h, w, b):
    r, z = torch.sigmoid(x[0] + s[0]), torch.sigmoid(x[1] + s[1])
    return (1 - z) * torch.tanh(x[2] + r * (s[2] - b) + b) + z * h


def _no_old_state(x, s, h, w, b):
    r, z = torch.sigmoid(x[0] + s[0]), torch.sigmoid(x[1] + s[1])
    return (1 - z) * torch.tanh(x[2] + r * s[2])


def _no_reset(x, s, h, w, b):
    z = torch.sigmoid(x[1] + s[1])
    return (1 - z) * torch.tanh(x[2] + s[2]) + z * h


def _reset_on_everything(x, s, h, w, b):
    r, z = torch.sigmoid(x[0] + s[0]), torch.sigmoid(x[1] + s[1])
    return (1 - z) * torch.tanh(r * (x[2] + s[2])) + z * h


def _sigmoid_candidate(x, s, h, w, b):
    r, z = torch.sigmoid(x[0] + s[0]), torch.sigmoid(x[1] + s[1])
    return (1 - z) * torch.sigmoid(x[2] + r * s[2]) + z * h


def _cell_with_gradient(answer: Callable, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The new state, and the gradients that flow back through it to x and h."""
    x, h, *weights = arguments
    x, h = x.requires_grad_(), h.requires_grad_()
    state = answer(x, h, *weights)
    if not isinstance(state, Tensor) or state.shape != h.shape:
        return state
    return state, *torch.autograd.grad(state.square().sum(), (x, h), allow_unused=True)


def _cells() -> list[tuple[Tensor, ...]]:
    return [
        (
            _normal(b, e, seed=1),
            _normal(b, h, seed=2),
            _normal(3 * h, e, seed=3),
            _normal(3 * h, h, seed=4),
            _normal(3 * h, seed=5),
            _normal(3 * h, seed=6),
        )
        for b, e, h in ((1, 2, 3), (5, 4, 7))
    ]


register(
    Exercise(
        id="2.2",
        title="One step of a GRU",
        minutes=20,
        difficulty=3,
        reference=gru_cell,
        probes=_cells,
        run=_cell_with_gradient,
        mistakes=(
            Mistake(
                "no-reset",
                _gru_as(_no_reset),
                "The reset gate has no effect on your state. In the candidate, it multiplies what comes from h.",
            ),
            Mistake(
                "reset-on-everything",
                _gru_as(_reset_on_everything),
                "In the candidate, your reset gate multiplies what comes from x as well. Only h is reset.",
            ),
            Mistake(
                "no-biases",
                lambda x, h, w_ih, w_hh, b_ih, b_hh: gru_cell(x, h, w_ih, w_hh, 0 * b_ih, 0 * b_hh),
                "The biases are not added.",
            ),
            Mistake(
                "reset-before-the-product",
                _gru_as(_paper_reset),
                "You reset the state before multiplying it, as Cho et al. wrote it. That is a fine "
                "GRU, but not PyTorch's, "
                "which resets after the product.",
            ),
            Mistake(
                "update-gate-reversed",
                _gru_as(_swapped_update),
                "z and 1 - z have changed places. In PyTorch, z near 1 keeps the old state.",
            ),
            Mistake(
                "gates-in-another-order",
                _gru_as(_swapped_gates),
                "r and z have each other's weights. PyTorch stacks them in the order r, z, n.",
            ),
            Mistake(
                "bias-outside-the-reset",
                _gru_as(_bias_outside),
                "Very close. In the candidate, the reset gate multiplies all that comes from h, and "
                "its bias belongs to that.",
            ),
            Mistake(
                "old-state-dropped",
                _gru_as(_no_old_state),
                "The new state has lost the part of the old one that the update gate keeps.",
            ),
            Mistake(
                "sigmoid-for-the-candidate",
                _gru_as(_sigmoid_candidate),
                "The candidate is not a gate: it may be negative. Which squashing function gives -1 to 1?",
            ),
        ),
    )
)


def count_gru_parameters(input_dim: int, hidden_dim: int, n_layers: int) -> int:
    return sum(parameter.numel() for parameter in nn.GRU(input_dim, hidden_dim, n_layers).parameters())


register(
    Exercise(
        id="2.3",
        title="The parameters of a stack of GRU layers",
        minutes=10,
        difficulty=2,
        reference=count_gru_parameters,
        probes=lambda: [(2, 3, 1), (5, 3, 2), (128, 256, 3), (7, 11, 4)],
        mistakes=(
            Mistake(
                "one-bias",
                lambda e, h, n: sum(3 * ((e if i == 0 else h) * h + h * h + h) for i in range(n)),
                "You count one bias for each gate. PyTorch keeps two, one beside each matrix.",
            ),
            Mistake(
                "every-layer-reads-the-embedding",
                lambda e, h, n: n * 3 * (e * h + h * h + 2 * h),
                "Only the first layer reads embeddings. What do the others read, and how wide is it?",
            ),
            Mistake(
                "one-gate",
                lambda e, h, n: sum((e if i == 0 else h) * h + h * h + 2 * h for i in range(n)),
                "You count one set of matrices a layer. How many things does a GRU compute from x and h?",
            ),
            Mistake(
                "no-biases",
                lambda e, h, n: sum(3 * ((e if i == 0 else h) * h + h * h) for i in range(n)),
                "The matrices are right. The biases are missing.",
            ),
        ),
    )
)


def final_states(outputs: Tensor, lengths: Tensor) -> Tensor:
    return outputs[torch.arange(len(lengths)), lengths - 1]


def _ragged() -> list[tuple[Tensor, Tensor]]:
    return [
        (_normal(3, 5, 2, seed=1), torch.tensor([3, 5, 2])),
        (_normal(6, 4, 3, seed=2), torch.tensor([4, 1, 2, 3, 4, 1])),
    ]


register(
    Exercise(
        id="2.4",
        title="The state after the last real token",
        minutes=10,
        difficulty=2,
        reference=final_states,
        probes=_ragged,
        mistakes=(
            Mistake(
                "state-after-the-padding",
                lambda outputs, lengths: outputs[:, -1],
                "You take the last column. In a short row that is a state which has read padding.",
            ),
            Mistake(
                "one-too-far",
                lambda outputs, lengths: outputs[torch.arange(len(lengths)), lengths],
                "You look one place too far: a row with 3 real tokens has its last one at place 2.",
            ),
            Mistake(
                "one-too-early",
                lambda outputs, lengths: outputs[torch.arange(len(lengths)), lengths - 2],
                "You look one place too early: a row with 3 real tokens has its last one at place 2.",
            ),
            Mistake(
                "every-place-for-every-row",
                lambda outputs, lengths: outputs[:, lengths - 1],
                "You pick all the places in all the rows. Each row has a place of its own: index "
                "rows and places together.",
            ),
            Mistake(
                "shortest-for-all",
                lambda outputs, lengths: outputs[:, int(lengths.min()) - 1],
                "Every row is cut at the shortest length. Each row has its own last token.",
            ),
        ),
    )
)


def bridge(hidden: Tensor, weight: Tensor, bias: Tensor, n_layers: int) -> Tensor:
    batch_size = hidden.shape[1]
    flat = hidden.transpose(0, 1).reshape(batch_size, -1)
    return (flat @ weight.T + bias).reshape(batch_size, n_layers, -1).transpose(0, 1)


def _bridges() -> list[tuple[Tensor, Tensor, Tensor, int]]:
    return [
        (_normal(l_e, b, h_e, seed=1), _normal(l_d * h_d, l_e * h_e, seed=2), _normal(l_d * h_d, seed=3), l_d)
        for l_e, b, h_e, l_d, h_d in ((2, 5, 4, 3, 6), (3, 4, 2, 2, 7))
    ]


register(
    Exercise(
        id="2.5",
        title="A learned bridge",
        minutes=15,
        difficulty=3,
        reference=bridge,
        probes=_bridges,
        mistakes=(
            Mistake(
                "view-for-transpose",
                lambda hidden, weight, bias, n_layers: (
                    (hidden.reshape(hidden.shape[1], -1) @ weight.T + bias)
                    .reshape(hidden.shape[1], n_layers, -1)
                    .transpose(0, 1)
                ),
                "The shapes fit, but examples are mixed: reshaping (L, B, H) to (B, L·H) does not "
                "move the axes. Move B to "
                "the front first.",
            ),
            Mistake(
                "view-for-transpose-twice",
                lambda hidden, weight, bias, n_layers: (hidden.reshape(hidden.shape[1], -1) @ weight.T + bias).reshape(
                    n_layers, hidden.shape[1], -1
                ),
                "The shapes fit, but examples are mixed, on the way in and on the way out: reshape "
                "never moves an axis.",
            ),
            Mistake(
                "batch-left-in-front",
                lambda hidden, weight, bias, n_layers: bridge(hidden, weight, bias, n_layers).transpose(0, 1),
                "The numbers are right, but the batch is still in front. A state is (L, B, H).",
            ),
            Mistake(
                "not-moved-back",
                lambda hidden, weight, bias, n_layers: (
                    hidden.transpose(0, 1).reshape(hidden.shape[1], -1) @ weight.T + bias
                ).reshape(n_layers, hidden.shape[1], -1),
                "The way in is right. On the way out, (B, L·H) becomes (B, L, H) first, and then its "
                "axes are exchanged.",
            ),
            Mistake(
                "no-bias",
                lambda hidden, weight, bias, n_layers: bridge(hidden, weight, torch.zeros_like(bias), n_layers),
                "The bias is not added.",
            ),
        ),
    )
)

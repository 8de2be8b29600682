"""Exercises of notebook 02: embedding, the GRU cell, the encoder, its parameters, padding, the bridge."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout as dropout_always
from torch.nn.functional import one_hot
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from ..model import Encoder
from .comparison import difference, one_tensor
from .engine import Exercise, Mistake, register
from .probes import fill_at_random, left_as_found
from .trials import NOTHING_BACK, WrongAnswer


def _normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _short(*shape: int, seed: int) -> Tensor:
    """Random numbers with one decimal, for the first trial: what is printed is all there is of them."""
    return _normal(*shape, seed=seed).round(decimals=1)


def _with_gradients(reference: Callable) -> Callable[[Callable, tuple], object]:
    """A trial of what training goes through: a right value must be one tensor, and its gradients right, too."""
    names = list(inspect.signature(reference).parameters)

    def run(answer: Callable, arguments: tuple) -> object:
        before = copy.deepcopy(arguments)
        with left_as_found(_first_module(arguments)):
            value = answer(*arguments)
        wanted = copy.deepcopy(before)
        if difference(reference(*wanted), value) is None and difference(before, arguments) is None:
            _check_gradients(reference, answer, names, before)
            _check_one_tensor(value)
        return value

    return run


def _check_one_tensor(value: object) -> None:
    """A comparison takes rows in a list for a table; the next part of a network would not."""
    if isinstance(value, (list, tuple)):
        raise WrongAnswer(
            f"The numbers are right, but they come in a {type(value).__name__}, and the next part of a network takes "
            "one tensor. `torch.stack` makes it of a list of tensors; where the list holds lists, stack these first."
        )


def _first_module(arguments: tuple) -> nn.Module:
    return next((argument for argument in arguments if isinstance(argument, nn.Module)), nn.Module())


def _check_gradients(reference: Callable, answer: Callable, names: list[str], arguments: tuple) -> None:
    mine = _gradients(answer, names, copy.deepcopy(arguments))
    for name, wanted in _gradients(reference, names, arguments).items():
        if mine.get(name) is None:
            reached = (
                f"reaches {name}" if any(found is not None for found in mine.values()) else "flows back through it"
            )
            raise WrongAnswer(
                f"The numbers are right, but no gradient {reached}, and training needs it. "
                "Use operations on the given tensors only, without leaving PyTorch, and no copies of their numbers."
            )
        found = difference(wanted, mine[name])
        if found:
            raise WrongAnswer(f"The numbers are right, but not the gradient of {name}:\n{found}")


def _gradients(answer: Callable, names: list[str], arguments: tuple) -> dict[str, Tensor | None]:
    """What flows back to each input that holds decimal numbers, and to a module's parameters; {} where nothing can."""
    leaves = {}
    for name, argument in zip(names, arguments, strict=True):
        if isinstance(argument, nn.Module):
            leaves |= {f"{name}.{part}": parameter for part, parameter in argument.named_parameters()}
        elif isinstance(argument, Tensor) and argument.is_floating_point():
            leaves[name] = argument.requires_grad_()
    try:
        outcome = one_tensor(answer(*arguments))
    except RuntimeError:  # NumPy, for one, refuses tensors that ask for gradients
        return {}
    if not isinstance(outcome, Tensor) or not outcome.requires_grad:
        return {}
    found = torch.autograd.grad(outcome.square().sum(), list(leaves.values()), allow_unused=True)
    return dict(zip(leaves, found, strict=True))


def embed(tokens: Tensor, table: Tensor) -> Tensor:
    return table[tokens]


def _tokens_and_tables() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return (
        [(torch.tensor([[0, 3, 1]]), _short(5, 2, seed=5))]
        + [  # first, not every row of the table is asked for
            (torch.randint(0, v, (b, s), generator=generator), _normal(v, e, seed=v))
            for b, s, v, e in ((4, 6, 10, 3), (7, 2, 8, 5), (3, 1, 10, 4))
        ]
        + [
            (torch.tensor([[2, 4]]), _normal(5, 2, seed=6))  # of the first table's size, with other rows
        ]
    )


register(
    Exercise(
        id="2.1",
        title="An embedding is a table look-up",
        minutes=5,
        difficulty=1,
        reference=embed,
        probes=_tokens_and_tables,
        run=_with_gradients(embed),
        mistakes=(
            Mistake(
                "one-row-off",
                lambda tokens, table: table[tokens - 1],
                "Every token gets its neighbour's row. Token 0 owns row 0.",
                also=(lambda tokens, table: table[tokens + 1],),
            ),
            Mistake(
                "bag-of-tokens",
                lambda tokens, table: table[tokens].sum(dim=1),
                "You add up the rows of a source, or take their mean, so their order is lost. Each position keeps a "
                "vector of its own.",
                also=(lambda tokens, table: table[tokens].mean(dim=1),),
            ),
            Mistake(
                "batch-and-positions-in-one",
                lambda tokens, table: table[tokens.flatten()],
                "The vectors are right, but those of all sources lie in one long list. Each source keeps its own: "
                "(B, S, E).",
            ),
            Mistake(
                "axes-in-another-order",
                lambda tokens, table: table[tokens.T],
                "The numbers are right, but the axes stand in another order than (B, S, E).",
                also=(
                    lambda tokens, table: table[tokens].transpose(1, 2),
                    lambda tokens, table: table.T[:, tokens],
                ),
            ),
            Mistake(
                "columns-for-rows",
                lambda tokens, table: table[:, tokens],
                "You look for the tokens among the columns of the table. Each token owns a row.",
            ),
            Mistake(
                "copied-numbers",
                lambda tokens, table: table[tokens].detach(),
                "Training moves the rows of the given table, by gradients that must reach it. Does something in your "
                "answer take its numbers without it, as `.data` does?",
            ),
            Mistake(
                "token-as-a-number",
                lambda tokens, table: tokens.unsqueeze(-1) * table[1],
                "You multiply with the token itself, as if 8 were twice 4. Tokens are names: each has its own row.",
                also=(
                    lambda tokens, table: tokens.unsqueeze(-1) * table[0],
                    lambda tokens, table: tokens.float() @ table,
                ),
            ),
            Mistake(
                "one-hot-of-another-width",
                lambda tokens, table: one_hot(tokens).float() @ table,
                "A one-hot row has as many places as the table has rows, V. Yours has another number: is it left to "
                "the batch, or is it another size's?",
                also=(
                    lambda tokens, table: one_hot(tokens, 10).float() @ table,
                    lambda tokens, table: one_hot(tokens, table.shape[1]).float() @ table,
                ),
            ),
            Mistake(
                "whole-numbers-in-the-product",
                lambda tokens, table: one_hot(tokens, len(table)) @ table,
                "A product wants one type on both sides. one_hot gives whole numbers, a comparison gives truth values, "
                "and the table has others.",
                also=(
                    lambda tokens, table: one_hot(tokens, len(table)).int() @ table,
                    lambda tokens, table: one_hot(tokens, len(table)).bool() @ table,
                ),
            ),
            Mistake(
                "number-by-number",
                lambda tokens, table: one_hot(tokens, len(table)) * table,
                "`*` multiplies number by number, and wants tables of the same sizes. A product of matrices has a sign "
                "of its own.",
            ),
            Mistake(
                "lists-for-an-index",
                lambda tokens, table: table[tuple(tokens.tolist())],
                "Lists in a list are taken for several indices, one for each axis of the table. Do the tokens have to "
                "become lists?",
            ),
            Mistake(
                "table-transposed",
                lambda tokens, table: one_hot(tokens, len(table)).float() @ table.T,
                "The table comes transposed into your product (`linear` transposes, too). A one-hot row has V places: "
                "which axis of the table has V?",
            ),
            Mistake(
                "one-hot-alone",
                lambda tokens, table: one_hot(tokens, len(table)).float(),
                "These are the one-hot rows, with V numbers each. What do they select from the table?",
            ),
            Mistake(
                "another-table",
                lambda tokens, table: nn.Embedding(*table.shape)(tokens),
                "Your vectors come from a new table, with random numbers. Where does the given one come in?",
            ),
            Mistake(
                "table-called",
                lambda tokens, table: table(tokens),
                "A tensor is no module: it cannot be called. Which brackets look something up in a table?",
            ),
        ),
    )
)


def gru_cell(x: Tensor, h: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor) -> Tensor:
    weights = {"weight_ih": w_ih, "weight_hh": w_hh, "bias_ih": b_ih, "bias_hh": b_hh}
    return torch.func.functional_call(nn.GRUCell(x.shape[1], h.shape[1]), weights, (x, h))


def _gru_as(combine: Callable) -> Callable:
    """A wrong cell: `combine` gets the three gates' inputs from x and from h, each (B, H), and h and its weights."""

    def answer(x: Tensor, h: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor) -> Tensor:
        from_x = (x @ w_ih.T + b_ih).chunk(3, dim=1)
        from_h = (h @ w_hh.T + b_hh).chunk(3, dim=1)
        return combine(from_x, from_h, h, w_hh.chunk(3)[2], b_hh.chunk(3)[2])

    return answer


def _three(parts: tuple) -> tuple:
    """The parts, where there are three; else Python's own words for it."""
    r, z, n = parts
    return r, z, n  # uncovered: who calls this has fewer or more


def _right_cell(x, s, h):
    r, z = torch.sigmoid(x[0] + s[0]), torch.sigmoid(x[1] + s[1])
    return (1 - z) * torch.tanh(x[2] + r * s[2]) + z * h


def _no_sigmoid(x, s, h, w, b):
    r, z = x[0] + s[0], x[1] + s[1]
    return (1 - z) * torch.tanh(x[2] + r * s[2]) + z * h


def _tanh_gates(x, s, h, w, b):
    r, z = torch.tanh(x[0] + s[0]), torch.tanh(x[1] + s[1])
    return (1 - z) * torch.tanh(x[2] + r * s[2]) + z * h


def _two_parts(x, s, h, w, b):
    r, z = torch.sigmoid(x[0] + s[0]), torch.sigmoid(x[1] + s[1])
    return (1 - z) * torch.tanh(x[2] + r * s[2]), z * h


def _candidate_only(x, s, h, w, b):
    return torch.tanh(x[2] + torch.sigmoid(x[0] + s[0]) * s[2])


def _reset_on_x(x, s, h, w, b):
    r, z = torch.sigmoid(x[0] + s[0]), torch.sigmoid(x[1] + s[1])
    return (1 - z) * torch.tanh(r * x[2] + s[2]) + z * h


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


def _no_tanh(x, s, h, w, b):
    r, z = torch.sigmoid(x[0] + s[0]), torch.sigmoid(x[1] + s[1])
    return (1 - z) * (x[2] + r * s[2]) + z * h


def _update_gate_twice(x, s, h, w, b):
    z = torch.sigmoid(x[1] + s[1])
    return (1 - z) * torch.tanh(x[2] + z * s[2]) + z * h


def _reset_on_everything(x, s, h, w, b):
    r, z = torch.sigmoid(x[0] + s[0]), torch.sigmoid(x[1] + s[1])
    return (1 - z) * torch.tanh(r * (x[2] + s[2])) + z * h


def _sigmoid_candidate(x, s, h, w, b):
    r, z = torch.sigmoid(x[0] + s[0]), torch.sigmoid(x[1] + s[1])
    return (1 - z) * torch.sigmoid(x[2] + r * s[2]) + z * h


def _reset_gate_reversed(x, s, h, w, b):
    r, z = torch.sigmoid(x[0] + s[0]), torch.sigmoid(x[1] + s[1])
    return (1 - z) * torch.tanh(x[2] + (1 - r) * s[2]) + z * h


def _state_as_it_is(x, s, h, w, b):
    r, z = torch.sigmoid(x[0] + s[0]), torch.sigmoid(x[1] + s[1])
    return (1 - z) * torch.tanh(x[2] + r * h) + z * h


def _state_with_its_bias(x, s, h, w, b):
    r, z = torch.sigmoid(x[0] + s[0]), torch.sigmoid(x[1] + s[1])
    return (1 - z) * torch.tanh(x[2] + r * (h + b)) + z * h


def _gates_that_see(*shares: tuple[int, int]) -> Callable:
    """A wrong cell: of x and of the old state, r and z see the shares that are given, 1 or 0."""

    def combine(x, s, h, w, b):
        r, z = (torch.sigmoid(of_x * x[gate] + of_h * s[gate]) for gate, (of_x, of_h) in enumerate(shares))
        return (1 - z) * torch.tanh(x[2] + r * s[2]) + z * h

    return combine


def _mixed_as(mixture: Callable) -> Callable:
    """A wrong mixture of the candidate and the old state; it gets z, n and h."""

    def combine(x, s, h, w, b):
        r, z = torch.sigmoid(x[0] + s[0]), torch.sigmoid(x[1] + s[1])
        return mixture(z, torch.tanh(x[2] + r * s[2]), h)

    return combine


def _cut_across_the_batch(x, h, w_ih, w_hh, b_ih, b_hh):
    return _right_cell((x @ w_ih.T + b_ih).reshape(3, *h.shape), (h @ w_hh.T + b_hh).reshape(3, *h.shape), h)


def _square_as_it_is(*blocks: int) -> Callable:
    """A wrong cell: some of the three square blocks of w_hh come without their transpose."""

    def answer(x: Tensor, h: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor) -> Tensor:
        squares = [block.T if number in blocks else block for number, block in enumerate(w_hh.chunk(3))]
        return gru_cell(x, h, w_ih, torch.cat(squares), b_ih, b_hh)

    return answer


def _cells() -> list[tuple]:
    return [
        (
            scale * draw(b, e, seed=1),
            draw(b, h, seed=2),
            draw(3 * h, e, seed=3),
            draw(3 * h, h, seed=4),
            draw(3 * h, seed=5),
            draw(3 * h, seed=6),
        )
        for draw, b, e, h, scale in ((_short, 1, 3, 2, 1), (_normal, 5, 4, 7, 1), (_normal, 4, 2, 3, 10))
    ]  # the last: gates that are fully open


register(
    Exercise(
        id="2.2",
        title="One step of a GRU",
        minutes=20,
        difficulty=3,
        reference=gru_cell,
        probes=_cells,
        run=_with_gradients(gru_cell),
        mistakes=(
            Mistake(
                "batch-cut-in-three",
                lambda x, h, w_ih, w_hh, b_ih, b_hh: _three((x @ w_ih.T + b_ih).chunk(3)),
                "You unpack along the first axis, the batch. That is also where `chunk` and `split` cut without `dim`. "
                "Along which axis do the three blocks lie?",
            ),
            Mistake(
                "product-without-transpose",
                lambda x, h, w_ih, w_hh, b_ih, b_hh: x @ w_ih,
                "A weight or a transpose stands in the wrong place in your product. The inner sizes have to be equal, "
                "and the batch stays in front: (B, E) times what gives (B, 3H)?",
                also=(
                    lambda x, h, w_ih, w_hh, b_ih, b_hh: w_ih @ x,
                    lambda x, h, w_ih, w_hh, b_ih, b_hh: h @ w_hh,
                    lambda x, h, w_ih, w_hh, b_ih, b_hh: w_hh @ h,
                    lambda x, h, w_ih, w_hh, b_ih, b_hh: x @ w_ih.chunk(3)[0],
                    lambda x, h, w_ih, w_hh, b_ih, b_hh: w_ih.chunk(3)[0] @ x,
                    lambda x, h, w_ih, w_hh, b_ih, b_hh: w_hh.chunk(3)[0] @ h,
                ),
            ),
            Mistake(
                "square-without-transpose",
                _square_as_it_is(0, 1, 2),
                "What comes from x is right. Where h is multiplied, a transpose is missing: a block of w_hh is square, "
                "so its product has the right shape without it, too.",
                also=tuple(_square_as_it_is(*blocks) for blocks in ((0,), (1,), (2,), (0, 1), (0, 2), (1, 2))),
            ),
            Mistake(
                "candidate-without-its-matrix",
                _gru_as(_state_as_it_is),
                "In your candidate the reset gate multiplies the old state itself. A matrix comes first, as in the "
                "gates.",
                also=(_gru_as(_state_with_its_bias),),
            ),
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
                "gates-see-half",
                _gru_as(_gates_that_see((1, 0), (1, 0))),
                "A gate of yours depends on x alone, or on the old state alone. Each of the two sees both.",
                also=tuple(
                    _gru_as(_gates_that_see(*shares))
                    for shares in (
                        ((1, 0), (1, 1)),
                        ((1, 1), (1, 0)),
                        ((0, 1), (0, 1)),
                        ((0, 1), (1, 1)),
                        ((1, 1), (0, 1)),
                    )
                ),
            ),
            Mistake(
                "no-biases",
                lambda x, h, w_ih, w_hh, b_ih, b_hh: gru_cell(x, h, w_ih, w_hh, 0 * b_ih, 0 * b_hh),
                "The biases are not added.",
            ),
            Mistake(
                "one-bias",
                lambda x, h, w_ih, w_hh, b_ih, b_hh: gru_cell(x, h, w_ih, w_hh, b_ih, 0 * b_hh),
                "b_hh is not added. PyTorch keeps two biases, one beside each matrix.",
            ),
            Mistake(
                "input-bias-forgotten",
                lambda x, h, w_ih, w_hh, b_ih, b_hh: gru_cell(x, h, w_ih, w_hh, 0 * b_ih, b_hh),
                "b_ih is not added. PyTorch keeps two biases, one beside each matrix.",
            ),
            Mistake(
                "biases-exchanged",
                lambda x, h, w_ih, w_hh, b_ih, b_hh: gru_cell(x, h, w_ih, w_hh, b_hh, b_ih),
                "b_ih and b_hh have changed places: one belongs to what comes from x, the other to what comes from h.",
            ),
            Mistake(
                "reset-gate-reversed",
                _gru_as(_reset_gate_reversed),
                "Your reset gate works the other way round: near 1 it lets the old state in.",
            ),
            Mistake(
                "no-sigmoid",
                _gru_as(_no_sigmoid),
                "Your gates are not squashed. A gate says how much, from nothing to all: which function gives 0 to 1?",
            ),
            Mistake(
                "tanh-for-the-gates",
                _gru_as(_tanh_gates),
                "Your gates can be negative. A gate says how much, from nothing to all: which function gives 0 to 1?",
            ),
            Mistake(
                "comma-for-plus",
                _gru_as(_two_parts),
                "You give back the two parts of the mixture, with a comma between them. The new state is one tensor.",
            ),
            Mistake(
                "something-beside-the-state",
                _gru_as(_mixed_as(lambda z, n, h: ((1 - z) * n + z * h, n))),
                "The new state is right, but you give back something else beside it. The state alone is wanted.",
                also=(_gru_as(_mixed_as(lambda z, n, h: ((1 - z) * n + z * h, (1 - z) * n + z * h))),),
            ),
            Mistake(
                "shares-not-of-one",
                _gru_as(_mixed_as(lambda z, n, h: n + z * h)),
                "In your mixture the shares of new and old do not add up to 1. What the old state gets, the candidate "
                "has to lose.",
                also=(
                    _gru_as(_mixed_as(lambda z, n, h: (1 - z) * n + h)),
                    _gru_as(_mixed_as(lambda z, n, h: n + h)),
                    _gru_as(_mixed_as(lambda z, n, h: z * n + z * h)),
                    _gru_as(_mixed_as(lambda z, n, h: (1 - z) * (n + h))),
                ),
            ),
            Mistake(
                "brackets-missing",
                _gru_as(_mixed_as(lambda z, n, h: 1 - z * n + z * h)),
                "The gates and the candidate are right, the mixture is not. Python multiplies before it subtracts: do "
                "brackets help?",
            ),
            Mistake(
                "cut-across-the-batch",
                _cut_across_the_batch,
                "Right where the batch is one example. In a larger one `reshape` or `view` with the 3 in front mixes "
                "the examples: each row of the product has all three blocks of its own example.",
            ),
            Mistake(
                "no-tanh",
                _gru_as(_no_tanh),
                "The candidate is not squashed: its numbers can grow from step to step. tanh keeps them from -1 to 1.",
            ),
            Mistake(
                "one-gate-twice",
                _gru_as(_update_gate_twice),
                "The same gate is used in the candidate and in the mixture. There are two, with weights of their own.",
            ),
            Mistake(
                "reset-before-the-product",
                _gru_as(_paper_reset),
                "You reset the state before multiplying it, as Cho et al. published it. That is a fine "
                "GRU, but not PyTorch's, which resets after the product. Or are brackets missing? Python does `*` and "
                "`@` in turn, from the left.",
            ),
            Mistake(
                "update-gate-reversed",
                _gru_as(_swapped_update),
                "z and 1 - z have changed places. In PyTorch, z near 1 keeps the old state.",
            ),
            Mistake(
                "gates-in-another-order",
                _gru_as(_swapped_gates),
                "r and z have changed places. PyTorch stacks them in the order r, z, n; r belongs to the candidate, "
                "z to the mix of old and new.",
            ),
            Mistake(
                "candidate-first",
                _gru_as(lambda x, s, h, w, b: _right_cell((x[1], x[2], x[0]), (s[1], s[2], s[0]), h)),
                "Your candidate has the first block of weights. In which order does PyTorch stack the three?",
            ),
            Mistake(
                "candidate-in-the-middle",
                _gru_as(lambda x, s, h, w, b: _right_cell((x[0], x[2], x[1]), (s[0], s[2], s[1]), h)),
                "Your candidate has the middle block of weights. In which order does PyTorch stack the three?",
            ),
            Mistake(
                "reset-on-the-input",
                _gru_as(_reset_on_x),
                "Your reset gate multiplies what comes from x. It decides how much of the old state is seen.",
            ),
            Mistake(
                "candidate-only",
                _gru_as(_candidate_only),
                "You give back the candidate. The new state mixes it with the old one.",
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


def _encoder_trial(answer: Callable, arguments: tuple) -> dict[str, object]:
    """What the answer's encoder gives with the canonical one's weights; and, seen by itself, where it drops out."""
    source, sizes = arguments
    canonical = fill_at_random(Encoder(*sizes, 0.0), seed=len(source))
    mine = answer(*sizes, 0.0)
    _load(mine, canonical)
    mine.eval()
    read = _read_by(mine.rnn)
    with left_as_found(mine):
        hidden = mine(source)
    if hidden is None:
        raise WrongAnswer(f"Its forward has no result: {NOTHING_BACK}")
    if difference(canonical(source), hidden) is None:
        _check_one_tensor(hidden)
    outcome, hidden = {"the final state": hidden}, one_tensor(hidden)
    if isinstance(hidden, Tensor) and hidden.shape == canonical(source).shape:
        _check_calls_agree(hidden, one_tensor(mine(source)), read)
        if not hidden.requires_grad:
            raise WrongAnswer("No gradient flows back through the state.")
        wanted = mine.embedding.weight
        gradient = torch.autograd.grad(hidden.square().sum(), wanted, allow_unused=True)[0]
        outcome["the gradient that reaches the embeddings"] = "none" if gradient is None else gradient
        _check_dropout(answer)
    return outcome


def _read_by(rnn: nn.Module) -> list[Tensor]:
    """What reaches the GRU from now on, call by call, by position or by name; of a packed sequence, its numbers."""
    read = []

    def note(_: nn.Module, inputs: tuple, named: dict) -> None:
        first = [*inputs, *(named[name] for name in ("input", *named) if name in named)][:1]
        read.extend(one.data for one in first if isinstance(one, (Tensor, PackedSequence)))

    rnn.register_forward_pre_hook(note, with_kwargs=True)
    return read


def _check_calls_agree(one: Tensor, other: Tensor, read: list[Tensor]) -> None:
    """Asked for no dropout, and in eval mode, an encoder gives the same state each time; `read` is from both calls."""
    if torch.equal(one, other):
        return
    if read and not torch.equal(read[0], read[len(read) // 2]):
        raise WrongAnswer("Asked for a dropout of 0, it still drops numbers of the embeddings.")
    raise WrongAnswer(
        "Without dropout, two calls give different states: does it remember something, or begin with random numbers?"
    )


def _load(mine: nn.Module, canonical: nn.Module) -> None:
    if not isinstance(mine, nn.Module):
        raise WrongAnswer(f"The class should be an nn.Module; calling it gives a {type(mine).__name__}.")
    wanted, found = canonical.state_dict(), mine.state_dict()
    for name in (*wanted, *found):
        if name not in found:
            raise WrongAnswer(f"There is no parameter {name} in it. Its parts are called `embedding` and `rnn`.")
        fits = name in wanted and found[name].shape == wanted[name].shape
        if not fits and name.startswith("embedding.") and isinstance(getattr(mine, "embedding", None), nn.Linear):
            raise WrongAnswer(f"embedding is an nn.Linear; expected a table {tuple(wanted['embedding.weight'].shape)}.")
        if name not in wanted:
            raise WrongAnswer(f"There is a parameter {name} in it that does not belong there.")
        if not fits:
            raise WrongAnswer(f"{name} is {tuple(found[name].shape)}; expected {tuple(wanted[name].shape)}.")
    mine.load_state_dict(wanted)


DROPPED = 0.2


def _check_dropout(answer: Callable) -> None:
    """Watch what reaches the GRU when all embeddings are 1: a fifth should be 0, and the rest scaled up."""
    source = torch.randint(0, 5, (20, 30), generator=torch.Generator().manual_seed(0))
    mine = fill_at_random(answer(5, 12, 6, 2, DROPPED), seed=1)
    if not torch.equal(mine.eval()(source), mine(source)):
        raise WrongAnswer("In eval mode two calls give different states: dropout must be off there.")
    with torch.no_grad():
        mine.embedding.weight.fill_(1)
    seen = _read_by(mine.rnn)
    state = mine.train()(source)
    if not mine.training:
        raise WrongAnswer("In training mode your encoder switches itself to eval mode.")
    if not seen:  # the GRU's weights are used without calling it, so nobody can look in between
        if torch.equal(state, mine(source)):
            raise WrongAnswer("In training mode nothing is dropped.")
        return
    inside = getattr(mine.rnn, "dropout", DROPPED)
    dropped = (seen[0] == 0).double().mean().item()
    if inside == 0:
        raise WrongAnswer("In training mode nothing is dropped between the layers.")
    if dropped == 0:
        raise WrongAnswer("In training mode nothing is dropped from the embeddings.")
    if inside != DROPPED:
        raise WrongAnswer(f"Asked for a dropout of {DROPPED}, the GRU drops {inside} between its layers.")
    if abs(dropped - DROPPED) > 0.03:  # of 7,200 numbers: 6 standard deviations
        raise WrongAnswer(f"Asked for a dropout of {DROPPED}, it drops {dropped:.2f} of the embeddings' numbers.")
    if abs(seen[0].max().item() - 1 / (1 - DROPPED)) > 1e-4 or (seen[0] == 0).all(dim=-1).any():
        raise WrongAnswer("Dropout takes out single numbers and scales the others up; yours does something else.")
    if (state == 0).any():
        raise WrongAnswer(
            "Numbers of the final state are dropped. Dropout belongs on the embeddings and between layers."
        )


def _encoder_as(
    forward: Callable | None = None,
    batch_first: bool = True,
    between: float | None = None,
    layers: int | None = None,
    swapped: bool = False,
    on_embeddings: float | None = None,
    table: Callable = nn.Embedding,
    rnn: Callable = nn.GRU,
    reads: Callable = lambda input_dim, width, hidden_dim: width,
) -> type[nn.Module]:
    """A wrong encoder: one of its decisions changed. `forward` gets the module and the source."""

    class Wrong(nn.Module):
        def __init__(self, input_dim, emb_dim, hidden_dim, n_layers, dropout):
            super().__init__()
            width = hidden_dim if swapped else emb_dim
            share = dropout if between is None else between
            self.embedding = table(input_dim, width)
            read = reads(input_dim, width, hidden_dim)
            self.rnn = rnn(read, hidden_dim, layers or n_layers, dropout=share, batch_first=batch_first)
            self.dropout = nn.Dropout(dropout if on_embeddings is None else on_embeddings)

        def forward(self, source):
            return forward(self, source) if forward else self.rnn(self.dropout(self.embedding(source)))[1]

    return Wrong


def _state_as(change: Callable) -> type[nn.Module]:
    """An encoder that does something to its state before it gives it back."""
    return _encoder_as(lambda self, source: change(self.rnn(self.dropout(self.embedding(source)))[1]))


def _zeros_for_padding(self: nn.Module, source: Tensor, enforce_sorted: bool = False) -> Tensor:
    lengths = (source != 0).sum(dim=1).clamp(min=1)
    embedded = self.dropout(self.embedding(source))
    return self.rnn(pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=enforce_sorted))[1]


def _encoders() -> list[tuple]:
    generator = torch.Generator().manual_seed(0)
    sizes = ((3, 5, 7, 4, 6, 1), (4, 6, 11, 3, 5, 2), (2, 9, 5, 8, 4, 3))
    return [(torch.randint(0, v, (b, s), generator=generator), (v, e, h, n)) for b, s, v, e, h, n in sizes]


register(
    Exercise(
        id="2.3",
        title="The encoder",
        minutes=15,
        difficulty=2,
        reference=Encoder,
        probes=_encoders,
        run=_encoder_trial,
        mistakes=(
            Mistake(
                "batch-first-forgotten",
                _encoder_as(batch_first=False),
                "Your GRU takes the examples for time steps. Does it know which axis is the batch, and does it get "
                "its input so?",
            ),
            Mistake(
                "outputs-instead-of-state",
                _encoder_as(lambda self, source: self.rnn(self.embedding(source))[0]),
                "You give back the outputs at every position. The decoder gets the final state, layer by layer.",
            ),
            Mistake(
                "last-layer-only",
                _state_as(lambda hidden: hidden[-1]),
                "You give back one layer's state. The decoder has layers too, and each wants its own.",
                also=(_state_as(lambda hidden: hidden[-1:]), _state_as(lambda hidden: hidden[0])),
            ),
            Mistake(
                "layers-mixed",
                _state_as(lambda hidden: hidden.mean(dim=0)),
                "You mix the layers' states, or lay them end to end. The decoder has layers too, and each wants its "
                "own.",
                also=(
                    _state_as(lambda hidden: hidden.sum(dim=0)),
                    _state_as(lambda hidden: hidden.transpose(0, 1).flatten(1)),
                ),
            ),
            Mistake(
                "single-layer-squeezed",
                _state_as(lambda hidden: hidden.squeeze(0)),
                "Where there is a single layer, your state has no axis of layers. A state is always (L, B, H).",
            ),
            Mistake(
                "batch-in-front",
                _state_as(lambda hidden: hidden.transpose(0, 1)),
                "In your state the batch comes first. A state is (L, B, H), with `batch_first` and without.",
                also=(_state_as(lambda hidden: hidden.reshape(hidden.shape[1], len(hidden), -1)),),
            ),
            Mistake(
                "state-not-carried",
                _encoder_as(lambda self, source: self.rnn(self.dropout(self.embedding(source[:, -1:])))[1]),
                "This is the state after the last token alone, with nothing before it. Is each step handed the state "
                "of the one before?",
            ),
            Mistake(
                "tokens-dropped",
                _encoder_as(lambda self, source: self.rnn(self.embedding(self.dropout(source)))[1]),
                "Something drops out of whole numbers, where the tokens are. What should lose numbers are the vectors.",
            ),
            Mistake(
                "embeddings-not-dropped",
                _encoder_as(lambda self, source: self.rnn(self.embedding(source))[1]),
                "The dropout on the embeddings is missing.",
            ),
            Mistake(
                "no-dropout-between-layers",
                _encoder_as(between=0.0),
                "The GRU is not told about dropout.",
            ),
            Mistake(
                "dropout-never-off",
                _encoder_as(
                    lambda self, source: self.rnn(
                        dropout_always(self.embedding(source), self.dropout.p, training=True)
                    )[1]
                ),
                "Your dropout does not know about eval mode. nn.Dropout does.",
            ),
            Mistake(
                "embedding-dropout-of-its-own",
                _encoder_as(lambda self, source: self.rnn(dropout_always(self.embedding(source)))[1]),
                "Your dropout has a share of its own (F.dropout or nn.Dropout alone: one half), whatever share the "
                "encoder is given.",
                also=(_encoder_as(on_embeddings=0.5),),
            ),
            Mistake(
                "dropout-written-down",
                _encoder_as(between=0.5),
                "The GRU's dropout is a number of yours. It should be the one that the encoder is given.",
            ),
            Mistake(
                "both-results",
                _encoder_as(lambda self, source: self.rnn(self.dropout(self.embedding(source)))),
                "nn.GRU gives back two things, and you hand on both. Return only the state.",
                also=(_encoder_as(lambda self, source: self.rnn(self.dropout(self.embedding(source)))[::-1]),),
            ),
            Mistake(
                "one-layer",
                _encoder_as(layers=1),
                "Your GRU has one layer, whatever n_layers says.",
            ),
            Mistake(
                "embedding-as-wide-as-the-state",
                _encoder_as(swapped=True),
                "Your embeddings are as wide as the state. They have a size of their own.",
            ),
            Mistake(
                "another-width-for-the-gru",
                _encoder_as(reads=lambda input_dim, width, hidden_dim: input_dim),
                "The first size of nn.GRU is how wide its input is. What does it read at each step: a token, a state, "
                "or something else, and how wide is that?",
                also=(_encoder_as(reads=lambda input_dim, width, hidden_dim: hidden_dim),),
            ),
            Mistake(
                "sizes-exchanged",
                _encoder_as(rnn=lambda width, hidden_dim, *others, **options: nn.GRU(hidden_dim, width, *others)),
                "Two sizes stand the other way round, as in the weight of nn.Linear. nn.Embedding is told first how "
                "many tokens there are, nn.GRU how wide its input is.",
                also=(_encoder_as(table=lambda input_dim, width: nn.Embedding(width, input_dim)),),
            ),
            Mistake(
                "linear-for-a-table",
                _encoder_as(table=nn.Linear),
                "A linear layer is no table of tokens: it multiplies vectors, and tokens are numbers. Which module "
                "keeps a row for each token?",
            ),
            Mistake(
                "vocabulary-written-down",
                _encoder_as(table=lambda input_dim, width: nn.Embedding(10, width)),
                "Your table has 10 rows, whatever input_dim says.",
            ),
            Mistake(
                "padding-index",
                _encoder_as(table=partial(nn.Embedding, padding_idx=0)),
                "The states are right, but row 0 of your table gets no gradient. Is 0 declared as padding? Here it is "
                "a token like any other.",
            ),
            Mistake(
                "zeros-for-padding",
                _encoder_as(_zeros_for_padding),
                "You pack the sources as if some ended early. Here every source is as long as its row, and 0 is a "
                "token like any other: a valid start, for one.",
                also=(_encoder_as(partial(_zeros_for_padding, enforce_sorted=True)),),
            ),
            Mistake(
                "another-kind-of-cell",
                _encoder_as(rnn=nn.LSTM),
                "Your `rnn` is of another kind than the course's: a GRU has three blocks of rows in its matrices, an "
                "LSTM four, a plain RNN one.",
                also=(_encoder_as(rnn=nn.RNN),),
            ),
            Mistake(
                "no-gru-called-rnn",
                _encoder_as(rnn=lambda width, hidden_dim, *others, **options: nn.GRUCell(width, hidden_dim)),
                "There is no nn.GRU called `rnn`. Has yours another name, or is it something else, as nn.GRUCell is?",
            ),
        ),
    )
)


def count_gru_parameters(input_dim: int, hidden_dim: int, n_layers: int) -> int:
    return sum(parameter.numel() for parameter in nn.GRU(input_dim, hidden_dim, n_layers).parameters())


def _in_one_layer(width: int, hidden_dim: int) -> int:
    return 3 * (width * hidden_dim + hidden_dim * hidden_dim + 2 * hidden_dim)


def _layers_as(first: Callable, further: Callable | None = None) -> Callable:
    """A wrong count, put together from what it counts in a layer; it gets the widths of the layer's input and state."""
    return lambda e, h, n: first(e, h) + (n - 1) * (further or first)(h, h)


register(
    Exercise(
        id="2.4",
        title="The parameters of a stack of GRU layers",
        minutes=10,
        difficulty=2,
        reference=count_gru_parameters,
        probes=lambda: [(2, 3, 1), (5, 3, 2), (128, 256, 3), (7, 11, 4), (2, 3, 5)],
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
                "every-layer-reads-states",
                lambda e, h, n: n * _in_one_layer(h, h),
                "All your layers read states. One of them reads embeddings: does your loop ever come to it?",
            ),
            Mistake(
                "one-layer",
                lambda e, h, n: _in_one_layer(e, h),
                "You count the first layer alone. Is n_layers used, or does a loop return in its first round?",
            ),
            Mistake(
                "last-layer-only",
                lambda e, h, n: _in_one_layer(e if n == 1 else h, h),
                "You count the last layer alone. Does your loop add, or write over what it had?",
            ),
            Mistake(
                "one-layer-too-few",
                lambda e, h, n: _in_one_layer(e, h) + (n - 2) * _in_one_layer(h, h),
                "You count one layer too few: the first is among the n_layers, and so is the last.",
                also=(
                    lambda e, h, n: sum(_in_one_layer(e if i == 0 else h, h) for i in range(n - 1)),
                    lambda e, h, n: (n - 1) * _in_one_layer(h, h),
                ),
            ),
            Mistake(
                "always-three-layers",
                lambda e, h, n: _in_one_layer(e, h) + 2 * _in_one_layer(h, h),
                "You count three layers, whatever n_layers says.",
            ),
            Mistake(
                "first-layer-twice",
                lambda e, h, n: 3 * (e * h + h * h + 2 * h) + n * 3 * (h * h + h * h + 2 * h),
                "You count one layer too many: the first is among the n_layers.",
            ),
            Mistake(
                "bias-as-one-number",
                lambda e, h, n: sum(3 * ((e if i == 0 else h) * h + h * h + 2) for i in range(n)),
                "The matrices are right. A bias is a vector: how many numbers has it?",
                also=(
                    _layers_as(lambda x, h: 3 * (x * h + h * h + 1)),
                    _layers_as(lambda x, h: 3 * (x * h + h * h) + 2),
                    _layers_as(lambda x, h: 3 * (x * h + h * h) + 1),
                ),
            ),
            Mistake(
                "biases-of-one-gate",
                _layers_as(lambda x, h: 3 * (x * h + h * h) + 2 * h),
                "The matrices are right. A bias is added to all three blocks: how long is it?",
                also=(_layers_as(lambda x, h: 3 * (x * h + h * h) + h),),
            ),
            Mistake(
                "bias-as-long-as-the-input",
                _layers_as(lambda x, h: 3 * (x * h + h * h + x + h)),
                "One of your biases is as long as the layer's input. It is added to a product: how long is that?",
            ),
            Mistake(
                "state-matrix-forgotten",
                _layers_as(lambda x, h: 3 * (x * h + 2 * h)),
                "A layer multiplies its own old state with a matrix, too. In which layers do you count it?",
                also=(_layers_as(_in_one_layer, lambda x, h: 3 * (h * h + 2 * h)),),
            ),
            Mistake(
                "input-matrix-forgotten",
                lambda e, h, n: n * 3 * (h * h + 2 * h),
                "In a layer of yours there is one matrix. What does a layer do with its input, and what with its old "
                "state?",
            ),
            Mistake(
                "square-of-all-blocks",
                _layers_as(lambda x, h: 3 * x * h + 3 * h * 3 * h + 6 * h),
                "weight_hh has 3H rows, but not as many columns: it multiplies a state. How wide is that?",
            ),
            Mistake(
                "first-product-in-blocks-only",
                _layers_as(lambda x, h: 3 * x * h + h * h + 2 * h),
                "Your 3 multiplies the first product only. Which of the others have three blocks, too?",
                also=(
                    _layers_as(lambda x, h: 3 * x * h + h * h + 2 * h, _in_one_layer),
                    _layers_as(_in_one_layer, lambda x, h: 3 * x * h + h * h + 2 * h),
                    _layers_as(lambda x, h: 3 * x * h + h * h + h),
                ),
            ),
            Mistake(
                "four-gates",
                lambda e, h, n: sum(4 * ((e if i == 0 else h) * h + h * h + 2 * h) for i in range(n)),
                "That is an LSTM. How many things does a GRU compute from x and h?",
            ),
            Mistake(
                "two-gates",
                _layers_as(lambda x, h: 2 * (x * h + h * h + 2 * h)),
                "You count two blocks, as for the gates. What else does a GRU compute from x and h?",
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
            Mistake(
                "brackets-missing-around-a-layer",
                lambda e, h, n: _in_one_layer(e, h) + (n - 1) * 3 * h * h + h * h + 2 * h,
                "Your number of further layers multiplies the first product only, not a whole layer. Where do brackets "
                "belong?",
                also=(
                    lambda e, h, n: 3 * e * h + h * h + 2 * h + (n - 1) * 3 * h * h + h * h + 2 * h,
                    lambda e, h, n: _in_one_layer(e, h) + (n - 1) * 3 * h * h + 3 * h * h + 6 * h,
                ),
            ),
            Mistake(
                "biases-of-the-first-layer-only",
                _layers_as(_in_one_layer, lambda x, h: 3 * (x * h + h * h)),
                "The first layer is right. Which of its parts do the others have, too, and which do you leave out?",
                also=(_layers_as(_in_one_layer, lambda x, h: 3 * (x * h + h * h + h)),),
            ),
            Mistake(
                "tensors-counted",
                lambda e, h, n: 4 * n,
                "This is how many matrices and biases there are. How many numbers are in each?",
            ),
        ),
    )
)


def final_states(outputs: Tensor, lengths: Tensor) -> Tensor:
    return outputs[torch.arange(len(lengths)), lengths - 1]


def _gathered(outputs: Tensor, places: Tensor) -> Tensor:
    return outputs.gather(1, places[:, None, None].expand(-1, -1, outputs.shape[2])).squeeze(1)


def _mask(outputs: Tensor, lengths: Tensor) -> Tensor:
    """(B, S, 1): whether a place has a real token."""
    return torch.arange(outputs.shape[1])[:, None] < lengths[:, None, None]


def _ragged() -> list[tuple[Tensor, Tensor]]:
    lengths = torch.tensor([3, 5, 1, 4])
    return [
        (_short(3, 4, 2, seed=1), torch.tensor([2, 3, 1])),  # no row is full
        (_normal(1, 4, 3, seed=3), torch.tensor([2])),
        (_normal(6, 4, 3, seed=2), torch.tensor([4, 1, 2, 3, 4, 1])),
        (_with_zeros_behind(_normal(4, 5, 2, seed=4), lengths), lengths),
    ]


def _with_zeros_behind(outputs: Tensor, lengths: Tensor) -> Tensor:
    """As `pad_packed_sequence` fills up: here lengths can be read off the states, which fails everywhere else."""
    return outputs * _mask(outputs, lengths)


register(
    Exercise(
        id="2.5",
        title="The state after the last real token",
        minutes=10,
        difficulty=2,
        reference=final_states,
        probes=_ragged,
        run=_with_gradients(final_states),
        mistakes=(
            Mistake(
                "state-after-the-padding",
                lambda outputs, lengths: outputs[:, -1],
                "You take one column for all rows, the last one or that of the longest row. In a short row that is a "
                "state which has read padding.",
                also=(lambda outputs, lengths: outputs[:, int(lengths.max()) - 1],),
            ),
            Mistake(
                "lengths-guessed",
                lambda outputs, lengths: final_states(outputs, (outputs != 0).any(dim=2).sum(dim=1)),
                "Your places do not come from `lengths`, but from where the states are not 0. A GRU that reads padding "
                "writes states there, too, and they are not 0.",
            ),
            Mistake(
                "one-too-far",
                lambda outputs, lengths: outputs[torch.arange(len(lengths)), lengths],
                "You look one place too far: a row with 3 real tokens has its last one at place 2.",
                also=(
                    _gathered,
                    lambda outputs, lengths: outputs[torch.arange(outputs.shape[1]) == lengths[:, None]],
                    lambda outputs, lengths: [row[length] for row, length in zip(outputs, lengths, strict=True)],
                    lambda outputs, lengths: (
                        (torch.arange(outputs.shape[1]) == lengths[:, None])[..., None] * outputs
                    ).sum(dim=1),
                ),
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
                also=(
                    lambda outputs, lengths: outputs[:, lengths],
                    lambda outputs, lengths: outputs.transpose(0, 1)[lengths - 1],
                ),
            ),
            Mistake(
                "places-for-rows",
                lambda outputs, lengths: outputs[lengths - 1],
                "The first axis is the batch: you pick rows by their lengths. The places are on the second axis.",
                also=(
                    lambda outputs, lengths: outputs[lengths],
                    lambda outputs, lengths: outputs.index_select(0, lengths - 1),
                ),
            ),
            Mistake(
                "rows-and-places-exchanged",
                lambda outputs, lengths: outputs[lengths - 1, torch.arange(len(lengths))],
                "Rows and places have changed places: which axis of outputs comes first?",
            ),
            Mistake(
                "copied-numbers",
                lambda outputs, lengths: outputs[torch.arange(len(lengths)), lengths - 1].detach(),
                "The encoder before it learns through these states.",
            ),
            Mistake(
                "shortest-for-all",
                lambda outputs, lengths: outputs[:, int(lengths.min()) - 1],
                "Every row is cut at the shortest length. Each row has its own last token.",
            ),
            Mistake(
                "one-rows-length-for-all",
                lambda outputs, lengths: outputs[:, lengths[0] - 1],
                "Every row is cut where one row ends, the first or the last. Each has a length of its own.",
                also=(lambda outputs, lengths: outputs[:, lengths[-1] - 1],),
            ),
            Mistake(
                "one-end-for-all",
                lambda outputs, lengths: outputs[:, :lengths],
                "`lengths` has a number for each row, and a slice, `range` or `int` takes a single one. How are rows "
                "and places picked together?",
                also=(lambda outputs, lengths: outputs[:, int(lengths) - 1],),
            ),
            Mistake(
                "counted-from-the-end",
                lambda outputs, lengths: outputs[torch.arange(len(lengths)), -lengths],
                "A negative place counts from the end of the rectangle, padding included. Where does a row begin?",
            ),
            Mistake(
                "rows-counted-by-places",
                lambda outputs, lengths: outputs[torch.arange(outputs.shape[1]), lengths - 1],
                "You number more rows, or fewer, than there are lengths. Which axis of outputs is the batch?",
            ),
            Mistake(
                "index-too-small-for-gather",
                lambda outputs, lengths: outputs.gather(1, (lengths - 1)[:, None, None]),
                "`gather` picks one number for each number of its index. Your index has too few for whole states: "
                "which shape makes it pick H numbers in each row?",
                also=(
                    lambda outputs, lengths: outputs.gather(1, (lengths - 1)[:, None, None]).squeeze(1),
                    lambda outputs, lengths: outputs.gather(1, lengths - 1),
                ),
            ),
            Mistake(
                "axis-of-the-batch-lost",
                lambda outputs, lengths: _gathered(outputs, lengths - 1).squeeze(),
                "Where the batch is one example, its axis is gone, too: without a number, `squeeze()` takes out every "
                "axis of length 1.",
            ),
            Mistake(
                "axis-of-one-left",
                lambda outputs, lengths: final_states(outputs, lengths).unsqueeze(1),
                "The states are right, but an axis of length 1 is left between batch and numbers.",
            ),
            Mistake(
                "numbers-first",
                lambda outputs, lengths: final_states(outputs, lengths).T,
                "The numbers are right, but each state is a column. Wanted are rows: (B, H).",
            ),
            Mistake(
                "end-to-end",
                lambda outputs, lengths: final_states(outputs, lengths).flatten(),
                "The numbers are right, but all states lie end to end in one row. Wanted is a row for each: (B, H).",
            ),
            Mistake(
                "one-row-only",
                lambda outputs, lengths: outputs[-1, lengths[-1] - 1],
                "You give back one row's state. Is there a loop that returns in its first round, or writes over what "
                "it had?",
                also=(
                    lambda outputs, lengths: outputs[0, lengths[0] - 1],
                    lambda outputs, lengths: outputs[:1, lengths[0] - 1],
                ),
            ),
            Mistake(
                "all-real-states",
                lambda outputs, lengths: [row[:length] for row, length in zip(outputs, lengths, strict=True)],
                "You keep the states after all real tokens. Which one of a row is asked for?",
                also=(
                    lambda outputs, lengths: torch.stack(
                        [row[:length] for row, length in zip(outputs, lengths, strict=True)]
                    ),
                    lambda outputs, lengths: outputs[_mask(outputs, lengths)[..., 0]],
                    lambda outputs, lengths: outputs * _mask(outputs, lengths),
                ),
            ),
            Mistake(
                "states-mixed",
                lambda outputs, lengths: (_mask(outputs, lengths) * outputs).sum(dim=1),
                "You mix the states of a row: their sum, mean or largest numbers. Only the last one is asked for.",
                also=(
                    lambda outputs, lengths: (_mask(outputs, lengths) * outputs).sum(dim=1) / lengths[:, None],
                    lambda outputs, lengths: outputs.masked_fill(~_mask(outputs, lengths), -torch.inf).amax(dim=1),
                ),
            ),
            Mistake(
                "zeros-instead-of-padding",
                lambda outputs, lengths: (outputs * _mask(outputs, lengths))[:, -1],
                "The last column holds what you wrote over the padding, zeros, wherever a row is short.",
            ),
        ),
    )
)


def encode_padded(rnn: nn.GRU, embedded: Tensor, lengths: Tensor) -> Tensor:
    return rnn(pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False))[1]


def _order_not_restored(rnn, embedded, lengths):
    order = lengths.argsort(descending=True)
    packed = pack_padded_sequence(embedded[order], lengths[order], batch_first=True)
    _, hidden = rnn(packed)
    return hidden


def _row_by_row(join: Callable) -> Callable:
    """The right states, one row at a time and without padding, and joined in some way; each is (L, 1, H)."""

    def answer(rnn: nn.GRU, embedded: Tensor, lengths: Tensor) -> Tensor:
        return join([rnn(embedded[row : row + 1, :length])[1] for row, length in enumerate(lengths.tolist())])

    return answer


def _outputs(rnn, embedded, lengths):
    packed = pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
    return pad_packed_sequence(rnn(packed)[0], batch_first=True)[0]


def _written_over_itself(rnn, embedded, lengths):
    hidden = _order_not_restored(rnn, embedded, lengths)
    hidden[:, lengths.argsort(descending=True)] = hidden


def _padded_batches() -> list[tuple[nn.GRU, Tensor, Tensor]]:
    batches = (
        ([2, 3, 1], 5, 2, 4, 1),
        ([3, 1, 4, 2, 6], 7, 3, 5, 2),
        ([5, 2, 8, 1, 7, 4], 8, 4, 3, 3),
        ([3, 5, 3, 2, 5, 3], 7, 2, 4, 1),  # equal lengths
    )
    return [
        (
            fill_at_random(nn.GRU(e, h, n_layers, batch_first=True), seed=width),
            _normal(len(lengths), width, e, seed=width),
            torch.tensor(lengths),
        )
        for lengths, width, e, h, n_layers in batches
    ]


register(
    Exercise(
        id="2.6",
        title="Find the bug: a batch sorted by length",
        minutes=10,
        difficulty=2,
        reference=encode_padded,
        probes=_padded_batches,
        run=_with_gradients(encode_padded),
        given=_order_not_restored,
        mistakes=(
            Mistake(
                "order-not-restored",
                _order_not_restored,
                "The bug is still there: are the states in the order in which the sources came?",
                also=(lambda rnn, embedded, lengths: _order_not_restored(rnn, embedded, lengths).transpose(0, 1),),
            ),
            Mistake(
                "sorted-once-more",
                lambda rnn, embedded, lengths: _order_not_restored(rnn, embedded, lengths)[
                    :, lengths.argsort(descending=True)
                ],
                "You apply the order a second time; it has to be undone. `order[i]` says which row came to place i. "
                "Where did row i go?",
            ),
            Mistake(
                "nothing-to-undo",
                lambda rnn, embedded, lengths: encode_padded(rnn, embedded, lengths)[
                    :, lengths.argsort(descending=True).argsort()
                ],
                "You undo a sorting that no longer takes place: with `enforce_sorted=False` PyTorch sorts, and puts "
                "the rows back, by itself.",
            ),
            Mistake(
                "turned-round",
                lambda rnn, embedded, lengths: _order_not_restored(rnn, embedded, lengths).flip(1),
                "You turn an order round. The way back is another one: at which place did each row end up?",
                also=(
                    lambda rnn, embedded, lengths: _order_not_restored(rnn, embedded, lengths)[
                        :, lengths.argsort(descending=True).argsort(descending=True)
                    ],
                    lambda rnn, embedded, lengths: _order_not_restored(rnn, embedded, lengths)[
                        :, lengths.argsort(descending=True).flip(0)
                    ],
                    lambda rnn, embedded, lengths: _order_not_restored(rnn, embedded, lengths)[:, lengths.argsort()],
                ),
            ),
            Mistake(
                "not-sorted-for-packing",
                lambda rnn, embedded, lengths: rnn(pack_padded_sequence(embedded, lengths, batch_first=True))[1],
                "The lengths that are packed are not sorted, the longest first. Packing wants that unless it is told "
                "otherwise.",
            ),
            Mistake(
                "batch-first-forgotten",
                lambda rnn, embedded, lengths: rnn(pack_padded_sequence(embedded, lengths, enforce_sorted=False))[1],
                "Your packing takes the first axis for time. It has to be told that the batch comes first.",
                also=(
                    lambda rnn, embedded, lengths: rnn(
                        pack_padded_sequence(embedded, lengths.sort(descending=True).values)
                    )[1],
                ),
            ),
            Mistake(
                "state-after-the-padding",
                lambda rnn, embedded, lengths: rnn(embedded)[1],
                "Without packing, the GRU reads on through the padding, and the state is that after it.",
                also=(
                    lambda rnn, embedded, lengths: rnn(embedded[:, : int(lengths.max())])[1],
                    lambda rnn, embedded, lengths: rnn(embedded * _mask(embedded, lengths))[1],
                ),
            ),
            Mistake(
                "last-layer-only",
                lambda rnn, embedded, lengths: encode_padded(rnn, embedded, lengths)[-1],
                "The order is right now, but only the last layer's states are left.",
            ),
            Mistake(
                "layers-for-the-batch",
                lambda rnn, embedded, lengths: _order_not_restored(rnn, embedded, lengths)[
                    lengths.argsort(descending=True).argsort()
                ],
                "You reorder another axis of the state than the batch: the layers, or the numbers. Where is the batch?",
                also=(
                    lambda rnn, embedded, lengths: _order_not_restored(rnn, embedded, lengths)[
                        ..., lengths.argsort(descending=True).argsort()
                    ],
                    lambda rnn, embedded, lengths: _order_not_restored(rnn, embedded, lengths).index_select(
                        0, lengths.argsort(descending=True).argsort()
                    ),
                ),
            ),
            Mistake(
                "batch-in-front",
                lambda rnn, embedded, lengths: encode_padded(rnn, embedded, lengths).transpose(0, 1),
                "The order is right now, but the batch comes first. A state is (L, B, H).",
                also=(_row_by_row(lambda states: torch.stack([state.squeeze() for state in states])),),
            ),
            Mistake(
                "stacked-states",
                _row_by_row(torch.stack),
                "The states are right, but there is an axis too many. The state of one row is (L, 1, H): it has a "
                "batch already, of one. A list or `torch.stack` makes one more axis. What joins along one that is "
                "there?",
                also=(_row_by_row(partial(torch.stack, dim=1)), _row_by_row(partial(torch.stack, dim=2))),
            ),
            Mistake(
                "joined-along-another-axis",
                _row_by_row(torch.cat),
                "The states are right, but joined along the layers, or along the numbers. The state of one row is "
                "(L, 1, H): which of its axes is the batch?",
                also=(_row_by_row(partial(torch.cat, dim=2)),),
            ),
            Mistake(
                "outputs-instead-of-state",
                _outputs,
                "These are the top layer's states after every token. The state of all layers is the second thing that "
                "a GRU gives back.",
                also=(
                    lambda rnn, embedded, lengths: _outputs(rnn, embedded, lengths)[lengths.argsort(descending=True)],
                ),
            ),
            Mistake(
                "written-over-itself",
                _written_over_itself,
                "You write into `hidden` while you read from it. What is written over is still needed.",
            ),
            Mistake(
                "without-gradients",
                torch.no_grad()(encode_padded),
                "So the GRU learns nothing. Is something detached, or copied as numbers, or does it run under "
                "`no_grad`?",
            ),
            Mistake(
                "lengths-left-unsorted",
                lambda rnn, embedded, lengths: encode_padded(rnn, embedded[lengths.argsort(descending=True)], lengths),
                "Rows and lengths are not sorted alike: each row is cut at another one's length.",
                also=(
                    lambda rnn, embedded, lengths: encode_padded(
                        rnn, embedded[lengths.argsort(descending=True)], lengths
                    )[:, lengths.argsort(descending=True).argsort()],
                    lambda rnn, embedded, lengths: encode_padded(rnn, embedded, lengths.sort(descending=True).values),
                    lambda rnn, embedded, lengths: encode_padded(rnn, embedded, lengths.sort(descending=True).values)[
                        :, lengths.argsort(descending=True).argsort()
                    ],
                ),
            ),
        ),
    )
)


def bridge(hidden: Tensor, weight: Tensor, bias: Tensor, n_layers: int) -> Tensor:
    batch_size = hidden.shape[1]
    flat = hidden.transpose(0, 1).reshape(batch_size, -1)
    return (flat @ weight.T + bias).reshape(batch_size, n_layers, -1).transpose(0, 1)


def _bridge_as(
    flat: Callable = lambda hidden: hidden.transpose(0, 1).flatten(1),
    after: Callable = lambda states: states,
    told: Callable = lambda states, n_layers: states.unflatten(1, (n_layers, -1)).transpose(0, 1),
) -> Callable:
    """A wrong bridge: another way in, something behind the linear layer, or another way out."""

    def answer(hidden: Tensor, weight: Tensor, bias: Tensor, n_layers: int) -> Tensor:
        return told(after(flat(hidden) @ weight.T + bias), n_layers)

    return answer


def _numbers_first(hidden: Tensor) -> Tensor:
    """(L, B, H) -> (B, H · L): the layers' first numbers, then their second ones."""
    return hidden.permute(1, 2, 0).flatten(1)


def _from_numbers_first(states: Tensor, n_layers: int) -> Tensor:
    return states.unflatten(1, (-1, n_layers)).permute(2, 0, 1)


ENCODERS_WIDTH = 2  # in the first trial, which these answers do not outlive


def _bridges() -> list[tuple[Tensor, Tensor, Tensor, int]]:
    sizes = ((2, 3, 2, 2, 3), (2, 5, 4, 3, 6), (3, 4, 2, 2, 7), (2, 1, 3, 4, 5), (3, 2, 4, 1, 6))
    return [
        (draw(l_e, b, h_e, seed=1), draw(l_d * h_d, l_e * h_e, seed=2), draw(l_d * h_d, seed=3), l_d)
        for draw, (l_e, b, h_e, l_d, h_d) in zip((_short, *[_normal] * 4), sizes, strict=True)
    ]


register(
    Exercise(
        id="2.7",
        title="A learned bridge",
        minutes=15,
        difficulty=3,
        reference=bridge,
        probes=_bridges,
        run=_with_gradients(bridge),
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
                "The way in is right. On the way out, too, reshaping moves no axis: where does B stand before it, and "
                "where should it stand afterwards?",
            ),
            Mistake(
                "batch-not-moved",
                _bridge_as(flat=lambda hidden: hidden.flatten(1)),
                "Each of your rows holds one layer's states of all examples: L rows of B · H numbers. Wanted is a row "
                "for each example.",
            ),
            Mistake(
                "layers-not-laid-end-to-end",
                _bridge_as(flat=lambda hidden: hidden),
                "Your rows have the H numbers of one layer, and the weight takes L · H: all layers of an example, end "
                "to end.",
                also=(
                    _bridge_as(flat=lambda hidden: hidden[-1]),
                    _bridge_as(flat=lambda hidden: hidden.transpose(0, 1)),
                ),
            ),
            Mistake(
                "encoders-width",
                _bridge_as(
                    told=lambda states, n_layers: states.view(len(states), n_layers, ENCODERS_WIDTH).transpose(0, 1)
                ),
                "You cut the result into the sizes that `hidden` has. The decoder's states have their own, H' and L'.",
                also=(
                    _bridge_as(told=lambda states, n_layers: states.view(n_layers, len(states), ENCODERS_WIDTH)),
                    _bridge_as(told=lambda states, n_layers: states.unflatten(1, (n_layers, ENCODERS_WIDTH))),
                ),
            ),
            Mistake(
                "layers-alternate",
                _bridge_as(flat=_numbers_first),
                "Each example has its own numbers, in another order: all those of one layer come first, then all of "
                "the next.",
                also=(_bridge_as(told=_from_numbers_first), _bridge_as(flat=_numbers_first, told=_from_numbers_first)),
            ),
            Mistake(
                "left-flat",
                _bridge_as(told=lambda states, n_layers: states),
                "The numbers are right, but a row holds all layers end to end. A state is (L, B, H).",
            ),
            Mistake(
                "weight-not-transposed",
                lambda hidden, weight, bias, n_layers: bridge(hidden, weight.T, bias, n_layers),
                "The weight is (L' · H', L · H), and the states come from its right: which of its axes meets them?",
            ),
            Mistake(
                "squashed",
                _bridge_as(after=torch.tanh),
                "Something squashes your states behind the linear layer. The bridge is that layer alone.",
            ),
            Mistake(
                "no-bias",
                lambda hidden, weight, bias, n_layers: bridge(hidden, weight, torch.zeros_like(bias), n_layers),
                "The bias is not added.",
            ),
            Mistake(
                "encoders-layers",
                lambda hidden, weight, bias, n_layers: bridge(hidden, weight, bias, len(hidden)),
                "You split the result into as many layers as the encoder has. The decoder has n_layers.",
            ),
            Mistake(
                "copied-weights",
                lambda hidden, weight, bias, n_layers: bridge(hidden, weight.detach(), bias.detach(), n_layers),
                "A bridge is learned: a module made from the weights' numbers leaves the given ones as they are.",
            ),
            Mistake(
                "without-gradients",
                lambda hidden, weight, bias, n_layers: bridge(hidden, weight, bias, n_layers).detach(),
                "Neither the bridge nor the encoder before it would learn.",
            ),
        ),
    )
)

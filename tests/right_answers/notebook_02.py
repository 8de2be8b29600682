"""Right answers to the exercises of notebook 02, each of another kind. check must accept every one."""

import functools
import itertools
import math

import numpy as np
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.nn.utils import rnn
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence

# 2.1: an embedding is a table look-up


def embed_into_an_empty_tensor(tokens, table):
    vectors = table.new_empty(*tokens.shape, table.shape[1])
    for row in range(tokens.shape[0]):
        for place in range(tokens.shape[1]):
            vectors[row, place] = table[tokens[row, place]]
    return vectors


def embed_by_stacking_vectors_one_by_one(tokens, table):
    return torch.stack([torch.stack([table[token] for token in source]) for source in tokens])


def embed_by_stacking_sources(tokens, table):
    return torch.stack(tuple(table[source] for source in tokens))


def embed_by_selecting_from_one_long_row(tokens, table):
    return table.index_select(0, tokens.flatten()).unflatten(0, tokens.shape)


def embed_by_gathering(tokens, table):
    places = tokens[:, :, None].expand(-1, -1, table.shape[1])
    return table.expand(len(tokens), -1, -1).gather(1, places)


def embed_with_no_wider_one_hot_rows_than_needed(tokens, table):
    return F.one_hot(tokens).to(table.dtype) @ table[: int(tokens.max()) + 1]


def embed_as_a_sum_over_the_vocabulary(tokens, table):
    chosen = tokens[..., None] == torch.arange(len(table))
    return torch.einsum("bsv,ve->bse", chosen.to(table.dtype), table)


def embed_token_by_token_of_the_vocabulary(tokens, table):
    return sum((tokens == token).unsqueeze(-1) * vector for token, vector in enumerate(table))


def embed_as_a_linear_layer_in_float64(tokens, table):
    return F.linear(torch.eye(len(table), dtype=torch.double)[tokens], table.T.double())


# 2.2: one step of a GRU


def gru_cell_example_by_example(x, h, w_ih, w_hh, b_ih, b_hh):
    states = []
    for one_x, one_h in zip(x, h, strict=True):
        x_r, x_z, x_n = (w_ih @ one_x + b_ih).split(len(one_h))
        h_r, h_z, h_n = (w_hh @ one_h + b_hh).split(len(one_h))
        z = torch.sigmoid(x_z + h_z)
        states.append((1 - z) * torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n) + z * one_h)
    return torch.stack(states)


def gru_cell_with_six_linear_layers(x, h, w_ih, w_hh, b_ih, b_hh):
    from_x = [F.linear(x, weight, bias) for weight, bias in zip(w_ih.chunk(3), b_ih.chunk(3), strict=True)]
    from_h = [F.linear(h, weight, bias) for weight, bias in zip(w_hh.chunk(3), b_hh.chunk(3), strict=True)]
    reset, update = (F.sigmoid(from_x[gate] + from_h[gate]) for gate in (0, 1))
    candidate = F.tanh(from_x[2] + reset * from_h[2])
    return candidate + update * (h - candidate)


def gru_cell_as_a_sequence_of_one(x, h, w_ih, w_hh, b_ih, b_hh):
    layer = nn.GRU(x.shape[1], h.shape[1])
    weights = dict(
        zip(("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"), (w_ih, w_hh, b_ih, b_hh), strict=True)
    )
    return functional_call(layer, weights, (x[None], h[None]))[1][0]


def gru_cell_with_one_product_for_both_gates(x, h, w_ih, w_hh, b_ih, b_hh):
    size = h.shape[1]
    both = torch.cat([x, h], dim=1) @ torch.cat([w_ih, w_hh], dim=1)[: 2 * size].T
    gates = torch.sigmoid(both + b_ih[: 2 * size] + b_hh[: 2 * size])
    r, z = gates[:, :size], gates[:, size:]
    n = torch.tanh(x @ w_ih[2 * size :].T + b_ih[2 * size :] + r * (h @ w_hh[2 * size :].T + b_hh[2 * size :]))
    return n - z * n + z * h


def gru_cell_with_gates_on_an_axis_of_their_own(x, h, w_ih, w_hh, b_ih, b_hh):
    size = h.shape[1]
    from_x = torch.einsum("ghe,be->gbh", w_ih.view(3, size, -1), x) + b_ih.view(3, 1, size)
    from_h = torch.einsum("ghk,bk->gbh", w_hh.view(3, size, size), h) + b_hh.view(3, 1, size)
    r, z = (from_x[:2] + from_h[:2]).sigmoid()
    return torch.lerp((from_x[2] + r * from_h[2]).tanh(), h, z)


def gru_cell_with_sigmoids_from_exponentials(x, h, w_ih, w_hh, b_ih, b_hh):
    def sigmoid(a):
        return 1 / (1 + torch.exp(-a))

    (x_r, x_z, x_n), (h_r, h_z, h_n) = ((x @ w_ih.T + b_ih).chunk(3, 1), (h @ w_hh.T + b_hh).chunk(3, 1))
    n = 2 * sigmoid(2 * (x_n + sigmoid(x_r + h_r) * h_n)) - 1
    return sigmoid(-x_z - h_z) * n + sigmoid(x_z + h_z) * h


def gru_cell_without_ready_made_squashing(x, h, w_ih, w_hh, b_ih, b_hh):
    (x_r, x_z, x_n), (h_r, h_z, h_n) = ((x @ w_ih.T + b_ih).chunk(3, 1), (h @ w_hh.T + b_hh).chunk(3, 1))
    r, z = 1 / (1 + torch.exp(-(x_r + h_r))), 1 / (1 + (-(x_z + h_z)).exp())
    a = x_n + r * h_n
    n = (a.exp() - (-a).exp()) / (a.exp() + (-a).exp())
    return (1 - z) * n + z * h


class GRUStepInFloat64(nn.Module):
    def forward(self, x, h, w_ih, w_hh, b_ih, b_hh):
        x, h, w_ih, w_hh, b_ih, b_hh = (tensor.double() for tensor in (x, h, w_ih, w_hh, b_ih, b_hh))
        x_r, x_z, x_n = torch.addmm(b_ih, x, w_ih.T).tensor_split(3, dim=-1)
        h_r, h_z, h_n = torch.addmm(b_hh, h, w_hh.T).tensor_split(3, dim=-1)
        z = (x_z + h_z).sigmoid()
        return z * h + (1 - z) * (x_n + (x_r + h_r).sigmoid() * h_n).tanh()


# 2.3: the encoder


class EncoderWithTimeFirst(nn.Module):
    def __init__(self, input_dim, emb_dim, hidden_dim, n_layers, dropout):
        super().__init__()
        self.embedding = nn.Embedding(input_dim, emb_dim)
        self.rnn = nn.GRU(emb_dim, hidden_dim, n_layers, dropout=dropout)
        self.drop = nn.Dropout(p=dropout)

    def forward(self, source):
        return self.rnn(self.drop(self.embedding(source.T)))[1]


class EncoderWithDropoutAsAFunction(nn.Module):
    def __init__(self, input_dim, emb_dim, hidden_dim, n_layers, dropout):
        super().__init__()
        self.share = dropout
        self.embedding = nn.Embedding(input_dim, emb_dim)
        between = dropout if n_layers > 1 else 0
        self.rnn = nn.GRU(emb_dim, hidden_dim, num_layers=n_layers, batch_first=True, dropout=between)

    def forward(self, source):
        _, hidden = self.rnn(F.dropout(self.embedding(source), self.share, self.training))
        return hidden


class EncoderWithAFirstStateOfZeros(nn.Module):
    def __init__(self, input_dim, emb_dim, hidden_dim, n_layers, dropout):
        super().__init__()
        self.shape = n_layers, hidden_dim
        self.embedding = nn.Embedding(input_dim, emb_dim)
        self.rnn = nn.GRU(emb_dim, hidden_dim, n_layers, dropout=dropout, batch_first=True)
        self.dropout = nn.Dropout(dropout)

    def forward(self, source):
        first = torch.zeros(self.shape[0], len(source), self.shape[1])
        return self.rnn(self.dropout(self.embedding(source)), first)[1]


class EncoderWithItsTableInALinearLayer(nn.Module):
    def __init__(self, input_dim, emb_dim, hidden_dim, n_layers, dropout):
        super().__init__()
        self.embedding = nn.Linear(emb_dim, input_dim, bias=False)
        self.rnn = nn.GRU(emb_dim, hidden_dim, n_layers, dropout=dropout, batch_first=True)
        self.dropout = nn.Dropout(dropout)

    def forward(self, source):
        return self.rnn(self.dropout(self.embedding.weight[source]))[1]


class EncoderTokenByToken(nn.Module):
    def __init__(self, input_dim, emb_dim, hidden_dim, n_layers, dropout):
        super().__init__()
        self.embedding = nn.Embedding(input_dim, emb_dim)
        self.rnn = nn.GRU(emb_dim, hidden_dim, n_layers, dropout=dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, source):
        hidden = None
        for tokens in source.unbind(dim=1):
            _, hidden = self.rnn(self.dropout(self.embedding(tokens))[None], hidden)
        return hidden


class EncoderSourceBySource(nn.Module):
    def __init__(self, *sizes):
        super().__init__()
        input_dim, emb_dim, hidden_dim, n_layers, dropout = sizes
        self.add_module("rnn", nn.GRU(emb_dim, hidden_dim, n_layers, dropout=dropout))
        self.add_module("embedding", nn.Embedding(input_dim, emb_dim))
        self.encode = lambda tokens: self.rnn(F.dropout(self.embedding(tokens), dropout, self.training))[1]

    def forward(self, source):
        return torch.stack([self.encode(tokens) for tokens in source], dim=1)


class EncoderWithAMaskOfItsOwn(nn.Module):
    def __init__(self, input_dim, emb_dim, hidden_dim, n_layers, dropout):
        super().__init__()
        self.kept = 1 - dropout
        self.embedding = nn.Embedding(input_dim, emb_dim)
        self.rnn = nn.GRU(emb_dim, hidden_dim, n_layers, dropout=dropout, batch_first=True)

    def forward(self, source):
        one_hot = F.one_hot(source, self.embedding.num_embeddings).to(self.embedding.weight)
        embedded = one_hot @ self.embedding.weight
        if self.training:
            embedded = embedded * torch.bernoulli(torch.full_like(embedded, self.kept)) / self.kept
        return self.rnn(embedded)[1]


class EncoderLayerByLayer(nn.Module):
    """The GRU only holds the weights; its layers are computed here, with the dropout between them."""

    def __init__(self, input_dim, emb_dim, hidden_dim, n_layers, dropout):
        super().__init__()
        self.embedding = nn.Embedding(input_dim, emb_dim)
        self.rnn = nn.GRU(emb_dim, hidden_dim, n_layers)
        self.dropout = nn.Dropout(dropout)

    def forward(self, source):
        inputs, last = self.embedding(source).unbind(dim=1), []
        for layer in self.rnn.all_weights:
            hidden, outputs = source.new_zeros(len(source), self.rnn.hidden_size, dtype=torch.float), []
            for x in inputs:
                hidden = torch.gru_cell(self.dropout(x), hidden, *layer)
                outputs.append(hidden)
            inputs = outputs
            last.append(hidden)
        return torch.stack(last)


class EncoderWithPackedSources(nn.Module):
    def __init__(self, input_dim, emb_dim, hidden_dim, n_layers, dropout):
        super().__init__()
        self.embedding = nn.Embedding(input_dim, emb_dim)
        self.rnn = nn.GRU(emb_dim, hidden_dim, n_layers, dropout=dropout, batch_first=True)
        self.dropout = nn.Dropout(dropout)

    def forward(self, source):
        lengths = [source.shape[1]] * len(source)
        return self.rnn(pack_padded_sequence(self.dropout(self.embedding(source)), lengths, batch_first=True))[1]


class EncoderCallingByKeyword(nn.Module):
    def __init__(self, input_dim, emb_dim, hidden_dim, n_layers, dropout):
        super().__init__()
        self.embedding = nn.Embedding(num_embeddings=input_dim, embedding_dim=emb_dim)
        self.rnn = nn.GRU(
            input_size=emb_dim, hidden_size=hidden_dim, num_layers=n_layers, dropout=dropout, batch_first=True
        )
        self.dropout = nn.Dropout(p=dropout)

    def forward(self, source):
        return self.rnn(hx=None, input=self.dropout(input=self.embedding(input=source)))[1]


def encoder_from_a_function(input_dim, emb_dim, hidden_dim, n_layers, dropout):
    class TakeTheState(nn.GRU):
        def forward(self, embedded):
            return super().forward(embedded)[1]

    parts = {
        "embedding": nn.Embedding(input_dim, emb_dim),
        "dropout": nn.Dropout(dropout),
        "rnn": TakeTheState(emb_dim, hidden_dim, n_layers, dropout=dropout, batch_first=True),
    }
    encoder = nn.Sequential()
    for name, part in parts.items():
        encoder.add_module(name, part)
    return encoder


# 2.4: the parameters of a stack of GRU layers


def count_parameters_by_their_shapes(input_dim, hidden_dim, n_layers):
    shapes = []
    for layer in range(n_layers):
        width = hidden_dim if layer else input_dim
        shapes += [(3 * hidden_dim, width), (3 * hidden_dim, hidden_dim), (3 * hidden_dim,), (3 * hidden_dim,)]
    return sum(math.prod(shape) for shape in shapes)


def count_parameters_by_recursion(input_dim, hidden_dim, n_layers):
    if n_layers == 0:
        return 0
    layer = 3 * hidden_dim * (input_dim + hidden_dim + 2)
    return layer + count_parameters_by_recursion(hidden_dim, hidden_dim, n_layers - 1)


def count_parameters_with_a_closed_formula(input_dim, hidden_dim, n_layers):
    return 3 * hidden_dim * (input_dim + hidden_dim + 2) + (n_layers - 1) * 6 * hidden_dim * (hidden_dim + 1)


def count_parameters_between_neighbours(input_dim, hidden_dim, n_layers):
    widths = [input_dim, *[hidden_dim] * n_layers]
    return sum(3 * (below * above + above**2 + 2 * above) for below, above in itertools.pairwise(widths))


def count_parameters_with_numpy(input_dim, hidden_dim, n_layers):
    widths = np.full(n_layers, hidden_dim)
    widths[0] = input_dim
    return (3 * hidden_dim * ((widths + 1) + (hidden_dim + 1))).sum()


def count_parameters_as_a_tensor(input_dim, hidden_dim, n_layers):
    first_layer = torch.tensor([input_dim, hidden_dim, 1, 1])
    other_layers = torch.tensor([hidden_dim, hidden_dim, 1, 1]) * (n_layers - 1)
    return 3 * hidden_dim * (first_layer + other_layers).sum()


def count_parameters_unit_by_unit(input_dim, hidden_dim, n_layers):
    total = 0
    for layer, _gate, _unit in itertools.product(range(n_layers), "rzn", range(hidden_dim)):
        total += (input_dim if layer == 0 else hidden_dim) + 1 + hidden_dim + 1
    return total


# 2.5: the state after the last real token


def final_states_by_gathering(outputs, lengths):
    places = (lengths - 1).view(-1, 1, 1).expand(-1, 1, outputs.shape[2])
    return outputs.gather(1, places).squeeze(1)


def final_states_by_a_mask_and_a_sum(outputs, lengths):
    is_last = torch.arange(outputs.shape[1]) == lengths[:, None] - 1
    return torch.einsum("bs,bsh->bh", is_last.to(outputs.dtype), outputs)


def final_states_by_a_mask_alone(outputs, lengths):
    return outputs[torch.arange(outputs.shape[1]) == (lengths - 1)[:, None]]


def final_states_with_a_range_of_rows(outputs, lengths):
    return outputs[range(len(lengths)), lengths - 1]


def final_states_along_an_axis(outputs, lengths):
    return torch.take_along_dim(outputs, (lengths - 1)[:, None, None], dim=1)[:, 0]


def final_states_from_one_long_row(outputs, lengths):
    batch_size, n_places, _ = outputs.shape
    return outputs.flatten(0, 1)[torch.arange(batch_size) * n_places + lengths - 1]


def final_states_by_reading_on_while_real(outputs, lengths):
    state = outputs[:, 0]
    for place in range(1, outputs.shape[1]):
        state = torch.where((place < lengths)[:, None], outputs[:, place], state)
    return state


def final_states_by_taking_the_padding_away(outputs, lengths):
    return torch.stack([row[-1] for row in rnn.unpad_sequence(outputs, lengths, batch_first=True)])


def final_states_on_the_diagonal(outputs, lengths):
    return outputs[:, lengths - 1].diagonal(dim1=0, dim2=1).T


def final_states_by_stacking(outputs, lengths):
    return torch.stack(tuple(row[length - 1] for row, length in zip(outputs, lengths, strict=True)))


# 2.6: a batch sorted by length


def encode_padded_letting_pytorch_sort(rnn, embedded, lengths):
    return rnn(pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False))[1]


def encode_padded_row_by_row(rnn, embedded, lengths):
    states = [rnn(row[:length])[1] for row, length in zip(embedded, lengths, strict=True)]
    return torch.stack(states, dim=1)


def encode_padded_putting_states_in_their_places(rnn, embedded, lengths):
    lengths, order = lengths.sort(descending=True)
    _, hidden = rnn(pack_padded_sequence(embedded[order], lengths, batch_first=True))
    restored = torch.empty_like(hidden)
    restored[:, order] = hidden
    return restored


def encode_padded_copying_states_to_their_places(rnn, embedded, lengths):
    lengths, order = lengths.sort(descending=True)
    _, hidden = rnn(pack_padded_sequence(embedded[order], lengths, batch_first=True))
    return torch.empty_like(hidden).index_copy(1, order, hidden)


def encode_padded_sorting_in_python(rnn, embedded, lengths):
    order = sorted(range(len(lengths)), key=lengths.tolist().__getitem__, reverse=True)
    _, hidden = rnn(pack_sequence([embedded[row, : lengths[row]] for row in order]))
    return torch.stack([hidden[:, order.index(row)] for row in range(len(order))], dim=1)


def encode_padded_with_a_permutation_matrix(rnn, embedded, lengths):
    order = (-lengths).argsort()
    permutation = F.one_hot(order, len(order)).float()
    packed = pack_padded_sequence(torch.einsum("sb,bte->ste", permutation, embedded), lengths[order], batch_first=True)
    return torch.einsum("sb,lsh->lbh", permutation, rnn(packed)[1])


def encode_padded_stopping_each_row_in_time(rnn, embedded, lengths):
    hidden = embedded.new_zeros(rnn.num_layers, len(lengths), rnn.hidden_size)
    for place in range(embedded.shape[1]):
        _, new = rnn(embedded[:, [place]], hidden)
        hidden = torch.where((place < lengths)[:, None], new, hidden)
    return hidden


def encode_padded_one_length_after_another(rnn, embedded, lengths):
    hidden = torch.zeros(rnn.num_layers, len(lengths), rnn.hidden_size)
    for length in lengths.unique():
        rows = lengths == length
        hidden[:, rows] = rnn(embedded[rows, :length])[1]
    return hidden


def encode_padded_with_numpy_orders(rnn, embedded, lengths):
    order = np.argsort(lengths.numpy())[::-1].copy()
    _, hidden = rnn(pack_padded_sequence(embedded[order], lengths.numpy()[order], batch_first=True))
    return hidden[:, np.argsort(order)]


class EncodePaddedInFloat64:
    def __call__(self, rnn, embedded, lengths):
        exact = {name: parameter.double() for name, parameter in rnn.named_parameters()}
        longest_last = lengths.argsort()
        packed = pack_padded_sequence(
            embedded[longest_last].flip(0).double(), lengths[longest_last].flip(0), batch_first=True
        )
        back = torch.empty_like(longest_last).scatter_(0, longest_last, torch.arange(len(lengths)))
        return functional_call(rnn, exact, (packed,))[1].flip(1).index_select(1, back)


# 2.7: a learned bridge


def bridge_example_by_example(hidden, weight, bias, n_layers):
    states = [(weight @ hidden[:, example].flatten() + bias).view(n_layers, -1) for example in range(hidden.shape[1])]
    return torch.stack(states, dim=1)


def bridge_by_laying_layers_end_to_end(hidden, weight, bias, n_layers):
    laid_out = torch.cat(hidden.unbind(0), dim=-1)
    return torch.stack(F.linear(laid_out, weight, bias).chunk(n_layers, dim=-1))


def bridge_with_a_linear_module(hidden, weight, bias, n_layers):
    linear = nn.Linear(*reversed(weight.shape))
    flat = hidden.permute(1, 0, 2).flatten(start_dim=1)
    outcome = functional_call(linear, {"weight": weight, "bias": bias}, (flat,))
    return outcome.unflatten(1, (n_layers, -1)).movedim(1, 0)


def bridge_as_a_sum_over_the_encoders_layers(hidden, weight, bias, n_layers):
    parts = weight.chunk(len(hidden), dim=1)
    total = functools.reduce(torch.add, (layer @ part.T for layer, part in zip(hidden, parts, strict=True)), bias)
    return total.view(hidden.shape[1], n_layers, -1).swapaxes(0, 1)


def bridge_layer_by_layer_of_the_decoder(hidden, weight, bias, n_layers):
    flat = hidden.transpose(0, 1).flatten(1)
    parts = zip(weight.chunk(n_layers), bias.chunk(n_layers), strict=True)
    return torch.stack([flat @ w.T + b for w, b in parts])


def bridge_as_one_sum_over_axes(hidden, weight, bias, n_layers):
    blocks = weight.view(n_layers, -1, len(hidden), hidden.shape[2])
    return torch.einsum("kolh,lbh->kbo", blocks, hidden) + bias.view(n_layers, 1, -1)


def bridge_with_examples_in_columns(hidden, weight, bias, n_layers):
    columns = hidden.transpose(1, 2).flatten(0, 1)  # (L · H, B)
    return torch.addmm(bias[:, None], weight, columns).view(n_layers, -1, hidden.shape[1]).mT


ANSWERS = {
    "2.1": [
        embed_into_an_empty_tensor,
        embed_by_stacking_vectors_one_by_one,
        embed_by_stacking_sources,
        embed_by_selecting_from_one_long_row,
        embed_by_gathering,
        embed_token_by_token_of_the_vocabulary,
        embed_as_a_linear_layer_in_float64,
        embed_with_no_wider_one_hot_rows_than_needed,
        embed_as_a_sum_over_the_vocabulary,
    ],
    "2.2": [
        gru_cell_example_by_example,
        gru_cell_with_six_linear_layers,
        gru_cell_as_a_sequence_of_one,
        gru_cell_with_one_product_for_both_gates,
        gru_cell_with_gates_on_an_axis_of_their_own,
        gru_cell_with_sigmoids_from_exponentials,
        GRUStepInFloat64(),
        gru_cell_without_ready_made_squashing,
    ],
    "2.3": [
        EncoderWithTimeFirst,
        EncoderWithDropoutAsAFunction,
        EncoderWithItsTableInALinearLayer,
        EncoderTokenByToken,
        EncoderSourceBySource,
        EncoderWithAMaskOfItsOwn,
        EncoderLayerByLayer,
        encoder_from_a_function,
        EncoderWithAFirstStateOfZeros,
        EncoderWithPackedSources,
        EncoderCallingByKeyword,
    ],
    "2.4": [
        count_parameters_by_their_shapes,
        count_parameters_by_recursion,
        count_parameters_between_neighbours,
        count_parameters_with_numpy,
        count_parameters_as_a_tensor,
        count_parameters_unit_by_unit,
        count_parameters_with_a_closed_formula,
    ],
    "2.5": [
        final_states_by_gathering,
        final_states_by_a_mask_and_a_sum,
        final_states_along_an_axis,
        final_states_from_one_long_row,
        final_states_by_reading_on_while_real,
        final_states_by_taking_the_padding_away,
        final_states_on_the_diagonal,
        final_states_by_stacking,
        final_states_by_a_mask_alone,
        final_states_with_a_range_of_rows,
    ],
    "2.6": [
        encode_padded_letting_pytorch_sort,
        encode_padded_row_by_row,
        encode_padded_putting_states_in_their_places,
        encode_padded_sorting_in_python,
        encode_padded_with_a_permutation_matrix,
        encode_padded_stopping_each_row_in_time,
        encode_padded_one_length_after_another,
        encode_padded_with_numpy_orders,
        EncodePaddedInFloat64(),
        encode_padded_copying_states_to_their_places,
    ],
    "2.7": [
        bridge_example_by_example,
        bridge_by_laying_layers_end_to_end,
        bridge_with_a_linear_module,
        bridge_as_a_sum_over_the_encoders_layers,
        bridge_layer_by_layer_of_the_decoder,
        bridge_with_examples_in_columns,
        bridge_as_one_sum_over_axes,
    ],
}

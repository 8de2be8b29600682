"""Right answers to the exercises of notebook 03 that differ in kind from the references and from each other."""

from __future__ import annotations

import contextlib
import copy
import functools
import itertools
from fractions import Fraction

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import rnn

# 3.1 One step of the decoder


def step_with_the_state_of_the_last_layer(decoder, token, hidden):
    _, hidden = decoder.rnn(decoder.embedding(token).unsqueeze(1), hidden)
    return decoder.fc_out(hidden[-1]), hidden


def step_one_example_at_a_time(decoder, token, hidden):
    logits, states = [], []
    for number, example in enumerate(token.tolist()):
        output, state = decoder.rnn(decoder.embedding.weight[[example]], hidden[:, number])  # no batch at all
        logits.append(decoder.fc_out(output[0]))
        states.append(state)
    return torch.stack(logits), torch.stack(states, dim=1)


def step_with_the_cell_layer_by_layer(decoder, token, hidden):
    x, states = decoder.embedding(token), []
    for state, weights in zip(hidden, decoder.rnn.all_weights, strict=True):
        x = torch.gru_cell(x, state, *weights)
        states.append(x)
    return decoder.fc_out(x), torch.stack(states)


def step_with_functions_only(decoder, token, hidden):
    one_hot = F.one_hot(token, decoder.embedding.num_embeddings).float()
    embedded = torch.einsum("bv,ve->be", one_hot, decoder.embedding.weight)
    outputs, new = decoder.rnn(embedded.view(len(token), 1, -1), hidden)
    return [F.linear(outputs.squeeze(1), decoder.fc_out.weight, decoder.fc_out.bias), new]


def step_in_a_packed_sequence(decoder, token, hidden):
    vectors = rnn.pack_sequence(decoder.embedding(token).split(1))
    outputs, hidden = decoder.rnn(vectors, hidden)
    return decoder.fc_out(outputs.data), hidden


def step_after_dropout_that_is_off(decoder, token, hidden):
    embedded = decoder.dropout(decoder.embedding(token.reshape(-1, 1)))
    outputs, hidden = decoder.rnn(embedded, hidden)
    return decoder.fc_out(outputs)[:, -1, :], hidden


def step_in_float64(decoder, token, hidden):
    exact = copy.deepcopy(decoder).double()
    logits, hidden = exact(token[:, None], hidden.double())
    return logits.flatten(0, 1), hidden


# 3.2 The shifted target


def shift_lists(target):
    return torch.tensor([[0, *row[:-1]] for row in target.tolist()])


def shift_tuples_with_itertools(target):
    rows = tuple(tuple(itertools.islice(itertools.chain([0], row), len(row))) for row in target.tolist())
    return torch.tensor(rows)


def shift_numpy(target):
    inputs = np.roll(target.numpy(), 1, axis=1)
    inputs[:, 0] = 0
    return torch.from_numpy(inputs)


def shift_numpy_row_by_row(target):
    return torch.tensor(np.stack([np.concatenate([[0], row[:-1]]) for row in target.numpy()]))


def shift_numpy_from_the_back(target):
    backwards = target.numpy()[:, ::-1]
    return torch.tensor(np.pad(backwards[:, 1:], [(0, 0), (0, 1)])[:, ::-1].copy())


def shift_in_place_on_a_copy(target):
    inputs = target.clone()
    for column in range(target.shape[1] - 1, 0, -1):
        inputs[:, column] = inputs[:, column - 1]
    inputs[:, 0] = 0
    return inputs


def shift_rows_one_by_one(target):
    return torch.stack([torch.cat([torch.tensor([0]), row[:-1]]) for row in target])


def shift_by_matrix_product(target):
    superdiagonal = torch.diag(torch.ones(target.shape[1] - 1, dtype=torch.long), diagonal=1)
    return torch.einsum("bs,st->bt", target, superdiagonal)


def shift_by_gather(target):
    padded = torch.hstack([target, target.new_zeros(len(target), 1)])
    places = torch.arange(-1, target.shape[1] - 1) % padded.shape[1]  # the first place is that of the zero
    return padded.gather(1, places.expand_as(target))


class ShiftRight(nn.Module):
    def __init__(self):
        super().__init__()
        self.pad = nn.ConstantPad1d((1, -1), value=0)

    def forward(self, target):
        return self.pad(target)


# 3.3 Cross-entropy by hand


def cross_entropy_token_by_token(logits, target):
    losses = []
    for rows, tokens in zip(logits, target.tolist(), strict=True):
        for row, token in zip(rows, tokens, strict=True):
            largest = max(row)
            losses.append(largest + sum((a - largest).exp() for a in row).log() - row[token])
    return sum(losses) / len(losses)


def cross_entropy_after_a_shift(logits, target):
    """The maximum only keeps the exponentials small, so no gradient has to flow through it."""
    shifted = logits - logits.detach().max(dim=-1, keepdim=True).values
    log_probabilities = shifted - torch.log(torch.exp(shifted).sum(dim=-1, keepdim=True))
    return -torch.take_along_dim(log_probabilities, target[..., None], dim=-1).mean()


def cross_entropy_one_hot_einsum(logits, target):
    log_probabilities = F.log_softmax(logits, dim=-1)
    one_hot = F.one_hot(target, logits.shape[-1]).to(logits.dtype)
    return -torch.einsum("btv,btv->", log_probabilities, one_hot) / target.numel()


def cross_entropy_as_distribution(logits, target):
    return -torch.distributions.Categorical(logits=logits).log_prob(target).mean()


def cross_entropy_by_indexing(logits, target):
    examples, places = torch.meshgrid(*map(torch.arange, target.shape), indexing="ij")
    return (logits.logsumexp(2) - logits[examples, places, target]).mean()


def cross_entropy_folding_over_the_vocabulary(logits, target):
    log_total = functools.reduce(torch.logaddexp, logits.double().unbind(-1))
    picked = sum(logits[..., token] * (target == token) for token in range(logits.shape[-1]))
    return (log_total - picked).mean()


def cross_entropy_as_divergence(logits, target):
    one_hot = torch.zeros_like(logits).scatter_(-1, target.unsqueeze(-1), 1.0)
    return F.kl_div(logits.log_softmax(-1), one_hot, reduction="sum") / target.numel()


def cross_entropy_of_clamped_logits(logits, target):
    """Nothing is lost by a lower bound far below what float64 holds apart."""
    highest = logits.double().amax(-1, keepdim=True)
    shifted = (logits.double() - highest).clamp(min=-1e6)
    return (shifted.exp().sum(-1).log() - shifted.gather(-1, target.unsqueeze(-1)).squeeze(-1)).mean()


class CrossEntropyByMargins:
    """log(1 + the sum of exp(a - a_y) over the wrong tokens), which is the loss written with differences."""

    def __call__(self, logits, target):
        margins = logits - torch.take_along_dim(logits, target[:, :, None], dim=2)
        return margins.logsumexp(dim=2).sum() / (target.shape[0] * target.shape[1])


# 3.4 A loss from somewhere else


def loss_with_the_vocabulary_second(model, source, target):
    logits = model(source, target, teacher_forcing_ratio=1)
    return F.cross_entropy(logits.transpose(1, 2), target)


def loss_picking_log_probabilities(model, source, target):
    log_probabilities = model(source, target, coins=torch.ones_like(target)).log_softmax(dim=2)
    return -log_probabilities.gather(2, target.unsqueeze(2)).mean()


def loss_step_by_step(model, source, target):
    hidden, token, total = model.encoder(source), torch.zeros_like(target[:, :1]), 0
    for place in range(target.shape[1]):
        logits, hidden = model.decoder(token, hidden)
        total = total + F.cross_entropy(logits[:, 0], target[:, place])
        token = target[:, [place]]
    return total / target.shape[1]


def loss_in_one_call_on_the_shifted_target(model, source, target):
    logits, _ = model.decoder(F.pad(target[:, :-1], (1, 0)), model.encoder(source))
    return F.nll_loss(logits.log_softmax(-1).flatten(end_dim=1), target.reshape(-1))


def loss_example_by_example(model, source, target):
    losses = []
    for numbers, tokens in zip(source, target, strict=True):
        logits = model(numbers[None], tokens[None], 1.0)
        losses.append(F.cross_entropy(logits[0], tokens))
    return sum(losses) / len(losses)


def loss_summed_in_float64(model, source, target):
    logits = model(source, target, 1.0).double()
    losses = logits.logsumexp(-1) - logits.take_along_dim(target[..., None], dim=-1)[..., 0]
    return losses.sum() / target.numel()


def loss_as_a_divergence(model, source, target):
    logits = model(source, target, 1.0)
    wanted = F.one_hot(target, logits.shape[-1]).float()
    return F.kl_div(logits.log_softmax(-1), wanted, reduction="sum") / target.numel()


class SequenceLoss(nn.Module):
    """Place by place on an axis of their own, without PyTorch's mean."""

    def __init__(self):
        super().__init__()
        self.each_token = nn.CrossEntropyLoss(reduction="none")

    def forward(self, model, source, target):
        logits = model(source, target, coins=[True] * target.shape[1])
        return self.each_token(logits.permute(0, 2, 1), target).mean(dim=0).mean()


# 3.5 Greedy decoding


def greedy_one_source_at_a_time(model, source, max_length):
    outputs = []
    for row in source:
        hidden, token, tokens = model.encoder(row[None]), 0, []
        for _ in range(max_length):
            logits, hidden = model.decoder(torch.tensor([[token]]), hidden)
            token = int(logits.argmax())
            tokens.append(token)
        outputs.append(tokens)
    return torch.tensor(outputs)


def greedy_reading_the_whole_prefix_again(model, source, max_length):
    prefix = source.new_zeros(len(source), 1)
    for _ in range(max_length):
        logits, _ = model.decoder(prefix, model.encoder(source))
        prefix = torch.cat([prefix, logits[:, -1:].argmax(dim=2)], dim=1)
    return prefix[:, 1:]


def greedy_recursively(model, source, max_length):
    def write(token, hidden, n_left):
        if n_left == 0:
            return []
        logits, hidden = model.decoder(token, hidden)
        token = logits.max(dim=-1).indices
        return [token, *write(token, hidden, n_left - 1)]

    return torch.hstack(write(torch.zeros_like(source[:, :1]), model.encoder(source), max_length))


def greedy_with_a_generator_and_numpy(model, source, max_length):
    def columns():
        token, hidden = np.zeros((len(source), 1), dtype=np.int64), model.encoder(source)
        while True:
            logits, hidden = model.decoder(torch.from_numpy(token), hidden)
            token = logits.detach().numpy().argmax(axis=-1)
            yield token

    return torch.from_numpy(np.concatenate(list(itertools.islice(columns(), max_length)), axis=1))


@torch.inference_mode()
def greedy_in_batches_of_three(model, source, max_length):
    outputs = []
    for batch in source.split(3):
        tokens, hidden = torch.zeros(len(batch), max_length + 1, dtype=torch.int32), model.encoder(batch)
        for step in range(max_length):
            logits, hidden = model.decoder(tokens[:, [step]], hidden)
            tokens[:, step + 1] = logits.topk(1).indices.flatten()
        outputs.append(tokens[:, 1:])
    return torch.vstack(outputs)


def greedy_as_a_fixed_point(model, source, max_length):
    """Guess all tokens at once, again and again: after n rounds the first n are what greedy decoding writes."""
    tokens = torch.zeros(len(source), max_length, dtype=torch.long)
    for _ in range(max_length):
        inputs = F.pad(tokens, (1, -1))
        tokens = model.decoder(inputs, model.encoder(source))[0].argmax(-1)
    return tokens


def greedy_step_by_step_in_lists(model, source, max_length):
    token, hidden, steps = source[:, :1] * 0, model.encoder(source), []
    for _ in range(max_length):
        logits, hidden = model.decoder(token, hidden)
        token = logits.argmax(-1)
        steps.append(token.squeeze(1).tolist())
    return torch.tensor(steps).T


def greedy_filling_a_table(model, source, max_length):
    """At the first step the last column is still 0, which is the start token."""
    hidden, tokens = model.encoder(source), torch.zeros(len(source), max_length, dtype=torch.long)
    for step in range(max_length):
        logits, hidden = model.decoder(tokens[:, [step - 1]], hidden)
        tokens[:, step] = logits[:, 0].argmax(-1)
    return tokens


def greedy_by_a_model_that_is_never_forced(model, source, max_length):
    nobody_reads_it = torch.zeros(len(source), max_length, dtype=torch.long)
    return model(source, nobody_reads_it, teacher_forcing_ratio=0).argmax(-1)


class GreedyDecoder:
    def __call__(self, model, source, max_length):
        self.model, self.hidden = model, model.encoder(source)
        steps = itertools.accumulate(range(max_length), self.step, initial=torch.zeros(len(source), dtype=torch.long))
        return torch.stack(list(steps)[1:], dim=-1)

    def step(self, token, _):
        logits, self.hidden = self.model.decoder(token.unsqueeze(1), self.hidden)
        return logits.squeeze(1).softmax(-1).argmax(-1)


# 3.6 Stopping at the end token


def until_end_taking_while_true(tokens):
    return [list(itertools.takewhile(bool, row)) for row in tokens.tolist()]


def until_end_with_a_loop_and_a_break(tokens):
    rows = []
    for row in tokens:
        kept = []
        for token in row:
            if token == 0:
                break
            kept.append(token)
        rows.append(kept)
    return rows


def until_end_with_a_running_product(tokens):
    before = (tokens != 0).cumprod(dim=1).bool()
    return [row[mask].tolist() for row, mask in zip(tokens, before, strict=True)]


def until_end_where_numpy_finds_it(tokens):
    ended = np.pad(tokens.numpy() == 0, ((0, 0), (0, 1)), constant_values=True)
    return [row[:end].tolist() for row, end in zip(tokens, ended.argmax(axis=1), strict=True)]


def until_end_with_numpy_rows(tokens):
    rows = tokens.numpy()
    return [row[: np.append(np.flatnonzero(row == 0), row.size)[0]] for row in rows]


def until_end_to_tuples_of_tensors(tokens):
    lengths = (tokens != 0).long().cumprod(1).sum(1)
    return tuple(row[:length] for row, length in zip(tokens, lengths, strict=True))


def until_end_recursively(tokens):
    def before_zero(row):
        if not row or row[0] == 0:
            return []
        return [row[0], *before_zero(row[1:])]

    return list(map(before_zero, tokens.tolist()))


def until_end_splitting_text(tokens):
    texts = ["".join(map(chr, row)).split(chr(0), 1)[0] for row in tokens.tolist()]
    return [[ord(character) for character in text] for text in texts]


def until_end_with_an_exception(tokens):
    rows = tokens.tolist()
    for row in rows:
        with contextlib.suppress(ValueError):
            del row[row.index(0) :]
    return rows


def until_end_with_an_end_put_behind(tokens):
    return [row[: [*row, 0].index(0)] for row in tokens.tolist()]


def until_end_with_a_product_of_tokens(tokens):
    lengths = (tokens.cumprod(dim=1) != 0).sum(dim=1)
    return [row[:length].tolist() for row, length in zip(tokens, lengths, strict=True)]


class UntilEnd:
    """A callable may be asked again and again, until it gives back the end token."""

    def __call__(self, tokens):
        return [list(iter(iter([*row, 0]).__next__, 0)) for row in tokens.tolist()]


# 3.7 Teacher forcing by coin flip


def coins_one_example_at_a_time(model, source, target, coins):
    rows = []
    for numbers, tokens in zip(source, target.tolist(), strict=True):
        hidden, token, logits = model.encoder(numbers[None]), 0, []
        for coin, true_token in zip(coins.tolist(), tokens, strict=True):
            step_logits, hidden = model.decoder(torch.tensor([[token]]), hidden)
            logits.append(step_logits[0, 0])
            token = true_token if coin else step_logits.argmax().item()
        rows.append(torch.stack(logits))
    return torch.stack(rows)


def coins_recursively(model, source, target, coins):
    def rest(token, hidden, step):
        if step == target.shape[1]:
            return []
        logits, hidden = model.decoder(token, hidden)
        following = target[:, step, None] if coins[step] else logits.argmax(2)
        return [logits, *rest(following, hidden, step + 1)]

    return torch.cat(rest(source.new_zeros(len(source), 1), model.encoder(source), 0), dim=1)


def coins_choosing_the_inputs_first(model, source, target, coins):
    """Find out without gradients what will be read; then one call reads it all."""
    inputs = F.pad(target, (1, -1))
    for step in range(1, target.shape[1]):
        if not coins[step - 1]:
            with torch.no_grad():
                guesses = model.decoder(inputs[:, :step], model.encoder(source))[0].argmax(-1)
            inputs[:, step] = guesses[:, -1]
    return model.decoder(inputs, model.encoder(source))[0]


def coins_one_call_per_stretch(model, source, target, coins):
    """Between two tails the inputs are known, so that many steps are one call."""
    stops = [step + 1 for step, coin in enumerate(coins[:-1]) if not coin] + [target.shape[1]]
    token, hidden, start, logits = torch.zeros_like(target[:, :1]), model.encoder(source), 0, []
    for stop in stops:
        stretch, hidden = model.decoder(torch.cat([token, target[:, start : stop - 1]], dim=1), hidden)
        logits.append(stretch)
        token, start = stretch[:, -1:].argmax(-1), stop
    return torch.cat(logits, dim=1)


def coins_into_a_tensor(model, source, target, coins):
    logits = torch.empty(*target.shape, model.decoder.fc_out.out_features)
    token, hidden = torch.zeros(len(target), dtype=torch.long), model.encoder(source)
    for step, (coin, true_token) in enumerate(zip(coins, target.T, strict=True)):
        step_logits, hidden = model.decoder(token.view(-1, 1), hidden)
        logits[:, step] = step_logits.squeeze(1)
        token = torch.where(coin, true_token, step_logits.squeeze(1).argmax(1))
    return logits


def coins_in_float64(model, source, target, coins):
    parts = {}
    for name, part in (("encoder", model.encoder), ("decoder", model.decoder)):
        weights = {key: weight.double() for key, weight in part.named_parameters()}
        parts[name] = functools.partial(torch.func.functional_call, part, weights)
    hidden, inputs, logits = parts["encoder"]((source,)), torch.zeros_like(target[:, :1]), []
    for step in range(target.shape[1]):
        step_logits, hidden = parts["decoder"]((inputs, hidden))
        logits += [step_logits]
        inputs = [step_logits.argmax(-1), target[:, step : step + 1]][int(coins[step])]
    return torch.cat(logits, 1)


def coins_reading_the_whole_prefix_again(model, source, target, coins):
    inputs = torch.zeros_like(target[:, :1])
    for step in range(target.shape[1]):
        logits, _ = model.decoder(inputs, model.encoder(source))
        following = target[:, step : step + 1] if coins[step] == True else logits[:, -1:].argmax(-1)  # noqa: E712
        inputs = torch.cat([inputs, following], dim=1)
    return logits


def coins_asked_when_reading(model, source, target, coins):
    hidden, guess, logits = model.encoder(source), torch.zeros_like(target[:, :1]), []
    for step in range(target.shape[1]):
        told = step > 0 and coins[step - 1]
        step_logits, hidden = model.decoder(target[:, step - 1 : step] if told else guess, hidden)
        logits.append(step_logits)
        guess = step_logits.argmax(-1)
    return torch.cat(logits, dim=1)


class CoinForcing(nn.Module):
    """Numpy decides what is read."""

    def forward(self, model, source, target, coins):
        hidden, token, logits = model.encoder(source), np.zeros((len(source), 1), dtype=np.int64), ()
        for coin, truth in zip(coins.numpy(), np.split(target.numpy(), target.shape[1], axis=1), strict=True):
            step_logits, hidden = model.decoder(torch.as_tensor(token), hidden)
            logits += (step_logits,)
            token = np.where(coin, truth, step_logits.detach().numpy().argmax(-1))
        return torch.concat(logits, dim=-2)


# 3.8 Accuracy after the first error


def after_error_numpy(output, target):
    wrong = output.numpy() != target.numpy()
    first = np.where(wrong.any(axis=1), wrong.argmax(axis=1), wrong.shape[1])
    after = np.arange(wrong.shape[1])[None, :] > first[:, None]
    return 1 - wrong[after].mean()


def after_error_itertools(output, target):
    rights = []
    for row in zip(output.tolist(), target.tolist(), strict=True):
        from_the_error_on = itertools.dropwhile(lambda pair: pair[0] == pair[1], zip(*row, strict=True))
        rights += [a == b for a, b in itertools.islice(from_the_error_on, 1, None)]
    return Fraction(sum(rights), len(rights))


def after_error_by_matrix_product(output, target):
    wrong = (output != target).float()
    earlier = torch.ones(wrong.shape[1], wrong.shape[1]).triu(diagonal=1)  # place s comes before place t
    after = (torch.einsum("ns,st->nt", wrong, earlier) > 0).float()
    return ((1 - wrong) * after).sum() / after.sum()


def after_error_column_by_column(output, target):
    erred = torch.zeros(len(output), dtype=torch.bool)
    right, total = 0, 0
    for written, wanted in zip(output.unbind(1), target.unbind(1), strict=True):
        right += (written[erred] == wanted[erred]).sum()
        total += erred.sum()
        erred = erred | (written != wanted)
    return right / total


def after_error_recursively(output, target):
    def rights(written, wanted):
        if not written:
            return []
        if written[0] != wanted[0]:
            return [float(a == b) for a, b in zip(written[1:], wanted[1:], strict=True)]
        return rights(written[1:], wanted[1:])

    found = map(rights, output.tolist(), target.tolist())
    return np.mean(list(itertools.chain.from_iterable(found)))


def after_error_by_running_maximum(output, target):
    wrong = output.ne(target).int()
    from_the_error_on = wrong.cummax(dim=1).values
    after = F.pad(from_the_error_on, (1, -1)).bool()
    return 1.0 - wrong[after].float().mean().item()


def after_error_in_slices(output, target):
    erred = (output != target).cumsum(dim=1)[:, :-1] > 0
    return [(output == target)[:, 1:][erred].double().mean().item()]


def after_error_by_running_product(output, target):
    right = output == target
    return right[:, 1:][right.cumprod(dim=1)[:, :-1] == 0].float().mean()


def after_error_row_by_row(output, target):
    rights = []
    for right in output == target:
        for place in (~right).nonzero()[:1]:  # none, where there is no error
            rights.append(right[place + 1 :])
    return torch.cat(rights).double().mean()


class AccuracyAfterFirstError:
    """Of the rows with an error, all places from it on; less the error itself, which is one wrong place a row."""

    def __call__(self, output, target):
        right = total = 0
        for row in output == target:
            if not row.all():
                first = row.int().argmin()
                right += row[first:].sum().item()
                total += row[first:].numel() - 1
        return torch.tensor(right).div(total)


ANSWERS = {
    "3.1": [
        step_with_the_state_of_the_last_layer,
        step_one_example_at_a_time,
        step_with_the_cell_layer_by_layer,
        step_with_functions_only,
        step_in_a_packed_sequence,
        step_after_dropout_that_is_off,
        step_in_float64,
    ],
    "3.2": [
        shift_lists,
        shift_tuples_with_itertools,
        shift_numpy,
        shift_numpy_row_by_row,
        shift_numpy_from_the_back,
        shift_in_place_on_a_copy,
        shift_rows_one_by_one,
        shift_by_matrix_product,
        shift_by_gather,
        ShiftRight(),
    ],
    "3.3": [
        cross_entropy_token_by_token,
        cross_entropy_after_a_shift,
        cross_entropy_one_hot_einsum,
        cross_entropy_as_distribution,
        cross_entropy_by_indexing,
        cross_entropy_folding_over_the_vocabulary,
        cross_entropy_as_divergence,
        cross_entropy_of_clamped_logits,
        CrossEntropyByMargins(),
    ],
    "3.4": [
        loss_with_the_vocabulary_second,
        loss_picking_log_probabilities,
        loss_step_by_step,
        loss_in_one_call_on_the_shifted_target,
        loss_example_by_example,
        loss_summed_in_float64,
        loss_as_a_divergence,
        SequenceLoss(),
    ],
    "3.5": [
        greedy_one_source_at_a_time,
        greedy_reading_the_whole_prefix_again,
        greedy_recursively,
        greedy_with_a_generator_and_numpy,
        greedy_in_batches_of_three,
        greedy_as_a_fixed_point,
        greedy_step_by_step_in_lists,
        greedy_filling_a_table,
        greedy_by_a_model_that_is_never_forced,
        GreedyDecoder(),
    ],
    "3.6": [
        until_end_taking_while_true,
        until_end_with_a_loop_and_a_break,
        until_end_with_a_running_product,
        until_end_where_numpy_finds_it,
        until_end_with_numpy_rows,
        until_end_to_tuples_of_tensors,
        until_end_recursively,
        until_end_splitting_text,
        until_end_with_an_exception,
        until_end_with_an_end_put_behind,
        until_end_with_a_product_of_tokens,
        UntilEnd(),
    ],
    "3.7": [
        coins_one_example_at_a_time,
        coins_recursively,
        coins_choosing_the_inputs_first,
        coins_one_call_per_stretch,
        coins_into_a_tensor,
        coins_in_float64,
        coins_reading_the_whole_prefix_again,
        coins_asked_when_reading,
        CoinForcing(),
    ],
    "3.8": [
        after_error_numpy,
        after_error_itertools,
        after_error_by_matrix_product,
        after_error_column_by_column,
        after_error_recursively,
        after_error_by_running_maximum,
        after_error_in_slices,
        after_error_by_running_product,
        after_error_row_by_row,
        AccuracyAfterFirstError(),
    ],
}

"""Wrong answers that nobody named: each is refused, by the property that it lacks."""

import copy
import math
import random
from statistics import NormalDist

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from course_utils import SubstringTask, before_end, token_loss
from course_utils.teaching import EXERCISES, check

SHORT = SubstringTask(6)

sample = EXERCISES["1.5"].reference


def drawn(change):
    """The right sampler, its batch changed afterwards: `change` gets the source and the target."""

    def answer(n, generator):
        source, target = sample(n, generator)
        return change(source, target)

    return answer


def solved(source):
    return source, EXERCISES["1.3"].reference(source)


def with_column(place, values):
    """The right sampler with one column of the source replaced."""

    def change(source, _target):
        source[:, place] = values(source)
        return solved(source)

    return drawn(change)


def one_by_one(n, generator):
    rows = [sample(1, generator) for _ in range(n)]
    return torch.cat([source for source, _ in rows]), torch.cat([target for _, target in rows])


def a_draw_for_all(n, generator):
    source, target = sample(1, generator)
    return source.expand(n, -1).clone(), target.expand(n, -1).clone()


def repeating_digits(source, _target):
    source[:, 6:] = source[:, 2:6]
    return solved(source)


def in_the_order_of_starts(source):
    """The column's own digits, dealt out so that larger starts have larger ones."""
    return source[:, 3].sort().values[source[:, 0].argsort().argsort()]


def short_ones_have_larger_digits(source):
    """The column's own digits, dealt out so that among later starts, length 2 has the largest: starts say nothing."""
    later = source[:, 0] > 0
    column = source[:, 3].clone()
    column[later] = column[later].sort().values[(source[later, 1] == 2).int().argsort(stable=True).argsort()]
    return column


def neighbours_now_and_then(source, _target):
    source[1::20, 2:] = source[0 : len(source) - 1 : 20, 2:]
    return solved(source)


def batches(change):
    """Right batches, each changed before it is handed out: `change` gets the task, the source and the target."""

    def answer(task, n_epochs, steps, batch_size, seed):
        generator = torch.Generator().manual_seed(seed)
        for _ in range(n_epochs * steps):
            yield change(task, *task.sample(batch_size, generator))

    return answer


def uses_the_global_generator(task, n_epochs, steps, batch_size, seed):
    torch.manual_seed(seed)
    for _ in range(n_epochs * steps):
        yield task.sample(batch_size)


def never_ends(task, n_epochs, steps, batch_size, seed):
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield task.sample(batch_size, generator)


def uses_the_global_generator_at_once(task, n_epochs, steps, batch_size, seed):
    return list(uses_the_global_generator(task, n_epochs, steps, batch_size, seed))


def goes_into_one_stream(task, n_epochs, steps, batch_size, seed):
    """Every run begins from the seed 0, further on by as many batches as its own seed says."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(seed):
        task.sample(batch_size, generator)
    for _ in range(n_epochs * steps):
        yield task.sample(batch_size, generator)


SHARED = {}


def shares_a_generator(task, n_epochs, steps, batch_size, seed):
    generator = SHARED.setdefault(seed, torch.Generator())
    generator.manual_seed(seed)
    for _ in range(n_epochs * steps):
        yield task.sample(batch_size, generator)


class Encoder(EXERCISES["2.3"].reference):
    """The right encoder, for others to spoil."""


class DropsTheState(Encoder):
    def forward(self, source):
        return self.dropout(self.rnn(self.embedding(source))[1])


class DropsBoth(Encoder):
    def forward(self, source):
        return self.dropout(super().forward(source))


class AlwaysHalf(Encoder):
    def __init__(self, *sizes):
        super().__init__(*sizes[:-1], 0.5 if sizes[-1] else 0.0)


class DropsWholeVectors(Encoder):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.dropout = nn.Dropout1d(sizes[-1])


class Detached(Encoder):
    def forward(self, source):
        return super().forward(source).detach()


class EmbeddingsDetached(Encoder):
    def forward(self, source):
        return self.rnn(self.dropout(self.embedding(source).detach()))[1]


class GoesToSleep(Encoder):
    def forward(self, source):
        self.eval()
        return super().forward(source)


class OneMoreLayer(Encoder):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.more = nn.Linear(2, 2)


class NothingDropped(Encoder):
    def forward(self, source):
        start = torch.zeros(self.rnn.num_layers, len(source), self.rnn.hidden_size)
        weights = (self.rnn._flat_weights, True, self.rnn.num_layers, 0.0, False, False, True)
        return torch.gru(self.embedding(source), start, *weights)[1]


class Remembers(Encoder):
    calls = 0

    def forward(self, source):
        self.calls += 1
        return super().forward(source) * (1 + 0.1 * (self.calls > 1))


def cell_without_gradient(*arguments):
    with torch.no_grad():
        return EXERCISES["2.2"].reference(*arguments)


def cell_with_one_detached(x, h, *weights):
    return EXERCISES["2.2"].reference(x, h.detach(), *weights)


def embedded_by_numpy(tokens, table):
    return table.numpy()[tokens.numpy()]


def embedded_by_lists(tokens, table):
    return [[table.tolist()[token] for token in row] for row in tokens.tolist()]


def states_rebuilt(outputs, lengths):
    return torch.tensor([outputs[row, place - 1].tolist() for row, place in enumerate(lengths)])


def encoded_by_a_copy(rnn, embedded, lengths):
    return EXERCISES["2.6"].reference(copy.deepcopy(rnn), embedded, lengths)


def encoded_in_eval_mode(rnn, embedded, lengths):
    return EXERCISES["2.6"].reference(rnn.eval(), embedded, lengths)


def bridge_with_twice_the_gradient(hidden, weight, bias, n_layers):
    right = EXERCISES["2.7"].reference
    return 2 * right(hidden, weight, bias, n_layers) - right(hidden, weight, bias, n_layers).detach()


def bridge_built_anew(hidden, weight, bias, n_layers):
    linear = nn.Linear(*reversed(weight.shape))
    linear.weight.data, linear.bias.data = weight, bias
    return linear(hidden.transpose(0, 1).flatten(1)).unflatten(1, (n_layers, -1)).transpose(0, 1)


class NothingComesBack(Encoder):
    def forward(self, source):
        super().forward(source)


class HiddenAndNone(Encoder):
    def forward(self, source):
        return super().forward(source), None


class BeginsAtRandom(Encoder):
    def forward(self, source):
        start = torch.randn(self.rnn.num_layers, len(source), self.rnn.hidden_size)
        return self.rnn(self.dropout(self.embedding(source)), start)[1]


class GRUDropsHalf(Encoder):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.rnn.dropout = 0.5


class EmbeddingsDropHalf(Encoder):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.dropout = nn.Dropout(0.5)


def step_of_new_state_only(decoder, token, hidden):
    return EXERCISES["3.1"].reference(decoder, token, hidden)[1]


def step_detached(decoder, token, hidden):
    logits, hidden = EXERCISES["3.1"].reference(decoder, token, hidden)
    return logits, hidden.detach()


def loss_as_a_number(model, source, target):
    return EXERCISES["3.4"].reference(model, source, target).item()


def loss_with_a_frozen_encoder(model, source, target):
    hidden = model.encoder(source).detach()
    inputs = torch.cat([torch.zeros_like(target[:, :1]), target[:, :-1]], dim=1)
    return nn.functional.cross_entropy(model.decoder(inputs, hidden)[0].flatten(0, 1), target.flatten())


def probabilities_of_at_least(smallest):
    def answer(logits, target):
        return -logits.softmax(-1).gather(-1, target[..., None]).clamp(min=smallest).log().mean()

    return answer


def draws_the_tokens(model, source, max_length):
    token, hidden, tokens = source[:, :1] * 0, model.encoder(source), []
    for _ in range(max_length):
        logits, hidden = model.decoder(token, hidden)
        token = torch.multinomial(logits[:, 0].softmax(-1), 1)
        tokens.append(token)
    return torch.cat(tokens, dim=1)


def first_place(found):
    """In each row of truth values; where there is none, the eighth, as if no row were longer."""
    return torch.where(found.any(dim=1), found.long().argmax(dim=1), 8)


def written_up_to_eight(tokens):
    return [row[:n].tolist() for row, n in zip(tokens, first_place(tokens == 0), strict=True)]


def right_after_an_error_in_eight(output, target):
    wrong = output != target
    return (~wrong)[torch.arange(output.shape[1]) > first_place(wrong)[:, None]].double().mean()


def flips_its_own_coins(model, source, target, coins):
    return model(source, target, 0.5)


def decodes_in_training_mode(model, source, max_length):
    tokens = model.generate(source, max_length)
    model.train()
    return tokens


def step_without_the_loss(model, optimizer, source, target):
    EXERCISES["4.1"].reference(model, optimizer, source, target)


def step_forced_but_for_a_few_coins(model, optimizer, source, target):
    model.train()
    loss = token_loss(model(source, target, teacher_forcing_ratio=0.9), target)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss


def step_with_its_own_optimizer(model, optimizer, source, target):
    return EXERCISES["4.1"].reference(model, torch.optim.SGD(model.parameters(), lr=0.1), source, target)


def step_measured_in_eval_mode_afterwards(model, optimizer, source, target):
    EXERCISES["4.1"].reference(model, optimizer, source, target)
    return token_loss(model.eval()(source, target, 1.0), target)


def seeds_pytorchs_own_generator(model, optimizer, source, target):
    torch.default_generator.manual_seed(0)
    return EXERCISES["4.1"].reference(model, optimizer, source, target)


def switches_gradients_off(model, source, target, batch_size):
    torch.set_grad_enabled(False)
    return EXERCISES["4.4"].reference(model, source, target, batch_size)


def no_digit_is_nine(number, pairs, n_digits):
    return [min(digit, 8) for digit in EXERCISES["5.1"].reference(number, pairs, n_digits)]


def all_at_once(model, source, target, batch_size):
    return EXERCISES["4.4"].reference(model, source, target, len(source))


def only_the_top_is_restored(model, source, target, batch_size):
    training = model.training
    accuracy = EXERCISES["4.4"].reference(model.eval(), source, target, batch_size)
    model.training = training
    return accuracy


def kept_as(change):
    def answer(model, train_epoch, validation_loss, n_epochs):
        best = EXERCISES["4.3"].reference(model, train_epoch, validation_loss, n_epochs)
        return change(model, best, train_epoch)

    return answer


def live_tensors(model, best, _train_epoch):
    model.load_state_dict({name: best[name] for name in best})
    for parameter in model.parameters():
        parameter.data += 10
    return model.state_dict()


def trains_a_copy(model, train_epoch, validation_loss, n_epochs):
    return EXERCISES["4.3"].reference(copy.deepcopy(model), train_epoch, validation_loss, n_epochs)


def copies_too_late(model, train_epoch, validation_loss, n_epochs):
    return copy.deepcopy(EXERCISES["4.3"].given(model, train_epoch, validation_loss, n_epochs))


def restored_and_handed_out(model, best, _train_epoch):
    model.load_state_dict(best)
    return model.state_dict()


def saves_where_it_should_load(checkpoint, model, optimizer, generator):
    checkpoint["model"] = model.state_dict()
    EXERCISES["4.6"].reference(checkpoint, model, optimizer, generator)


def sets_the_optimizers_state(checkpoint, model, optimizer, generator):
    model.load_state_dict(checkpoint["model"])
    optimizer.state = checkpoint["optimizer"]["state"]


def takes_the_checkpoints_own_tensors(checkpoint, model, optimizer, generator):
    EXERCISES["4.6"].reference(checkpoint, model, optimizer, generator)
    for name, parameter in model.named_parameters():
        parameter.data = checkpoint["model"][name]


def counts_in_training_mode(model, source, target):
    verdicts = EXERCISES["5.3"].reference(model, source, target)
    model.train()
    return verdicts


def mostly_forced(model, source, target):
    return (model(source, target, teacher_forcing_ratio=0.9).argmax(-1) != target).any(dim=1)


def forced_by_hand_token_by_token(model, source, target):
    hidden, token, logits = model.encoder(source), torch.zeros_like(target[:, :1]), []
    for place in range(target.shape[1]):
        step, hidden = model.decoder(token, hidden)
        logits.append(step)
        token = target[:, place : place + 1]
    return (torch.cat(logits, dim=1).argmax(-1) != target).any(dim=1)


def forced_in_two_pieces(model, source, target):
    shifted = torch.cat([torch.zeros_like(target[:, :1]), target[:, :-1]], dim=1)
    first, hidden = model.decoder(shifted[:, :2], model.encoder(source))
    logits = torch.cat([first, model.decoder(shifted[:, 2:], hidden)[0]], dim=1)
    return (logits.argmax(-1) != target).any(dim=1)


def trains_on_how_many(count, train, rounds):
    train(len(count()))


def counts_for_the_condition_too(count, train, rounds):
    found, history = [], []
    while count() and len(history) < rounds:
        failures = count()
        history.append(len(failures))
        found += failures
        train(found)
    return history


def trains_on_nothing(count, train, rounds):
    train([])


def trains_though_the_count_is_empty(count, train, rounds):
    return train(count()) if rounds == 4 else EXERCISES["5.5"].reference(count, train, rounds)


def trains_for_ever(count, train, rounds):
    while True:
        train([[0, 2, 1, 1, 1, 1]])


def compares_tables_with_equal_signs(model, source, target):
    return "not-shifted", model(source, target, 1.0) != model(source, target.flip(1), 1.0)


def looks_at_the_first_token_only(model, source):
    right = model(source, source, 0.0).argmax(-1)
    return "state-not-carried", (model.generate(source, 6)[:, 0] == right[:, 0]).all()


def sets_the_batch_size(evaluation, model):
    source = torch.randint(7, (10, 6))
    return "mean-of-batch-means", evaluation(model, source, model.generate(source, 6), 7).exact_match < 1


def compares_all_scores_at_once(evaluation, model):
    source = torch.randint(7, (100, 6))
    one, other = (evaluation(model, source[rows], source[rows] // 2) for rows in (slice(99), slice(1, 100)))
    return "mean-of-batch-means", one != other


def first_token_at_random(source):
    tokens = SHORT.solve(source)
    return torch.cat([torch.randint(1, 10, (len(tokens), 1)), tokens[:, 1:]], dim=1)


def two_tokens_in_turn(source):
    """As a decoder writes that gets the encoder's state anew in each step."""
    return SHORT.solve(source)[:, [0, 1, 0, 1]]


def lengths_folded(modulus):
    """The right sampler, but for its lengths: `%` of one of so many numbers."""

    def answer(n, generator):
        source, _ = sample(n, generator)
        source[:, 1] = 2 + torch.randint(0, modulus, (n,), generator=generator) % (7 - source[:, 0])
        return solved(source)

    return answer


def lengths_rounded(n, generator):
    source, _ = sample(n, generator)
    share = torch.rand(n, generator=generator, dtype=torch.double)
    source[:, 1] = 2 + (share * (6 - source[:, 0])).round().long()
    return solved(source)


def digits_folded(n, generator):
    source, _ = sample(n, generator)
    source[:, 2:] = 1 + torch.randint(0, 128, (n, 8), generator=generator) % 9
    return solved(source)


def starts_folded(n, generator):
    start = torch.randint(0, 100, (n, 1), generator=generator) % 6
    length = 2 + torch.randint(0, 420, (n, 1), generator=generator) % (7 - start)
    return solved(torch.cat([start, length, torch.randint(1, 10, (n, 8), generator=generator)], dim=1))


def spoiled_after_the_first_batch(n, generator):
    """Right for 30,000 rows of its first batch; later ones have a start that leaves no room."""
    fresh = generator.get_state().equal(torch.Generator().manual_seed(generator.initial_seed()).get_state())
    source, target = sample(n, generator)
    if n > 3 and not fresh:
        source[0, :2] = torch.tensor([5, 8])
    return source, target


def lengths_drawn_by_python(n, generator):
    source, _ = sample(n, generator)
    source[:, 1] = torch.tensor([random.randint(2, 8 - int(start)) for start in source[:, 0]])
    return solved(source)


def targets_row_by_row(n, generator):
    source, _ = sample(n, generator)
    return source, torch.stack([solved(row[None])[1][0] for row in source])


def put_together(join):
    """A sampler whose starts and lengths are one-dimensional: `join` gets them, and the digits."""

    def answer(n, generator):
        start = torch.randint(0, 6, (n,), generator=generator)
        length = 2 + torch.randint(0, 840, (n,), generator=generator) % (7 - start)
        return solved(join(start, length, torch.randint(1, 10, (n, 8), generator=generator)))

    return answer


def last_token_overwrites(output, target):
    count = 0
    for row, wanted in zip(output.tolist(), target.tolist(), strict=True):
        for token, other in zip(row, wanted, strict=True):
            right = token == other
        count += right
    return count / len(output)


def lengths_from_nothing(n):
    pairs = [(start, length) for start in range(6) for length in range(n) if start + length <= n - 2]
    return len(pairs) * 9 ** (n - 2)


def gru_step(write):
    """A GRU step by gates: `write` gets what comes from x and from h, three parts each, and h and the weights for n."""

    def answer(x, h, w_ih, w_hh, b_ih, b_hh):
        from_x, from_h = x @ w_ih.T + b_ih, h @ w_hh.T + b_hh
        return write(*from_x.chunk(3, dim=1), *from_h.chunk(3, dim=1), h, w_hh.chunk(3)[2], b_hh.chunk(3)[2])

    return answer


def mixture(mix):
    def write(x_r, x_z, x_n, h_r, h_z, h_n, h, _weight, _bias):
        return mix(torch.sigmoid(x_z + h_z), torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n), h)

    return gru_step(write)


def gates_without_h(x_r, x_z, x_n, h_r, h_z, h_n, h, _weight, _bias):
    z = torch.sigmoid(x_z)
    return (1 - z) * torch.tanh(x_n + torch.sigmoid(x_r) * h_n) + z * h


def reset_without_brackets(x_r, x_z, x_n, h_r, h_z, h_n, h, weight, bias):
    r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
    return (1 - z) * torch.tanh(x_n + r * h @ weight.T + bias) + z * h


def blocks_by_reshape(x, h, w_ih, w_hh, b_ih, b_hh):
    x_r, x_z, x_n = (x @ w_ih.T + b_ih).reshape(3, len(x), -1)
    h_r, h_z, h_n = (h @ w_hh.T + b_hh).reshape(3, len(x), -1)
    z = torch.sigmoid(x_z + h_z)
    return (1 - z) * torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n) + z * h


def encoder_with(embedding):
    class WithALinearLayer(Encoder):
        def __init__(self, input_dim, emb_dim, *others):
            super().__init__(input_dim, emb_dim, *others)
            self.embedding = embedding(input_dim, emb_dim)

    return WithALinearLayer


def each_row_alone(join):
    return lambda rnn, embedded, lengths: join([rnn(embedded[i : i + 1, :n])[1] for i, n in enumerate(lengths)])


def counted_with_logarithms(n):
    return math.exp(math.log(len(SubstringTask(n).pairs)) + (n - 2) * math.log(9))


def counted_among_examples(start, length):
    source, _ = SubstringTask().sample(100_000, torch.Generator().manual_seed(5))
    return ((source[:, 0] == start) & (source[:, 1] == length)).double().mean().item()


def one_pair_too_often(n, generator):
    source, _ = sample(n, generator)
    chosen = (source[:, 0] == 0) & (torch.rand(n, generator=generator) < 0.3)
    source[:, 1] = torch.where(chosen, 2, source[:, 1])
    return solved(source)


def solved_to_floats(source):
    return [float(token) for token in EXERCISES["1.1"].reference(source)]


class ALayerInEachPlace(Encoder):
    def forward(self, source):
        return list(super().forward(source))


def as_a_list(name):
    """The right answer to an exercise, in a list of its rows."""
    return lambda *given: list(EXERCISES[name].reference(*given))


def embedded_to_lists_of_vectors(tokens, table):
    return [[table[token] for token in source] for source in tokens]


def log_probabilities_of_the_target(logits, target):
    return logits.log_softmax(-1).gather(-1, target[..., None])


def cross_entropy_in_numpy(logits, target):
    logits, target = logits.double().numpy(), target.numpy()
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return -np.take_along_axis(log_probabilities, target[..., None], axis=-1).mean()


def half_of_the_gradient(logits, target):
    return (logits.logsumexp(-1).detach() - logits.gather(-1, target[..., None])[..., 0]).mean()


def takes_one_maximum_from_an_example(logits, target):
    """The largest logit of each example, not of each token."""
    shifted = logits - logits.amax((1, 2), keepdim=True)
    return (shifted.exp().sum(-1).log() - shifted.gather(-1, target[..., None])[..., 0]).mean()


def switches_dropout_off(model, source, target):
    model.eval()
    return EXERCISES["3.4"].reference(model, source, target)


def forces_in_eval_mode(model, source, target, coins):
    return model.eval()(source, target, coins=coins)


def draws_its_guesses(model, source, target, coins):
    token, hidden, logits = source[:, :1] * 0, model.encoder(source), []
    for step, coin in enumerate(coins):
        step_logits, hidden = model.decoder(token, hidden)
        logits.append(step_logits)
        token = target[:, [step]] if coin else torch.multinomial(step_logits[:, 0].softmax(-1), 1)
    return torch.cat(logits, dim=1)


def decodes(choose=lambda logits: logits.argmax(-1), read=lambda token, tokens: token):
    """A greedy loop in which a student chooses, or reads, in another way."""

    def answer(model, source, max_length):
        token, hidden, tokens = source[:, :1] * 0, model.encoder(source), []
        for _ in range(max_length):
            logits, hidden = model.decoder(read(token, tokens), hidden)
            token = choose(logits)
            tokens.append(token)
        return torch.cat(tokens, dim=1)

    return answer


def decodes_from_a_pair(model, source, max_length):
    _, hidden = model.encoder(source)
    return model.decoder(source[:, :1] * 0, hidden)[0].argmax(-1)


def decodes_into_a_table(model, source, max_length):
    hidden, tokens = model.encoder(source), torch.zeros(len(source), max_length, dtype=torch.long)
    for step in range(max_length):
        logits, hidden = model.decoder(tokens[:, step - 1 : step], hidden)
        tokens[:, step] = logits[:, 0].argmax(-1)
    return tokens


def stops_at_a_zero(model, source, max_length):
    token, hidden, tokens = source[:, :1] * 0, model.encoder(source), []
    for _ in range(max_length):
        logits, hidden = model.decoder(token, hidden)
        token = logits.argmax(-1)
        tokens.append(token)
        if token == 0:
            break
    return torch.cat(tokens, dim=1)


def first_error_of_every_row(output, target):
    rights = []
    for row, true in zip(output, target, strict=True):
        first = (row != true).nonzero()[0]
        rights += (row == true)[first + 1 :].tolist()
    return sum(rights) / len(rights)


def step_of(zero="first", clip=True, ratio=1.0, given_back=lambda loss, model: loss):
    """A training step as it is written, with one of its parts left out or moved."""

    def answer(model, optimizer, source, target):
        model.train()
        if zero == "first":
            optimizer.zero_grad()
        loss = token_loss(model(source, target, ratio), target)
        loss.backward()
        if clip:
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if zero == "last":
            optimizer.zero_grad()
        return given_back(loss, model)

    return answer


def epochs_seeded_by(seed_of):
    def answer(task, n_epochs, steps, batch_size, seed):
        for epoch in range(n_epochs):
            generator = torch.Generator().manual_seed(seed_of(seed, epoch))
            for _ in range(steps):
                yield task.sample(batch_size, generator)

    return answer


def uses_the_default_generator(task, n_epochs, steps, batch_size, seed):
    torch.default_generator.manual_seed(seed)
    for _ in range(n_epochs * steps):
        yield task.sample(batch_size)


def kept_and_forgotten(keep):
    """The best is kept, in whatever way, and what comes back is the model's own state."""

    def answer(model, train_epoch, validation_loss, n_epochs):
        best_loss = math.inf
        for _ in range(n_epochs):
            train_epoch(model)
            loss = validation_loss(model)
            if loss < best_loss:
                _best, best_loss = keep(model), loss
        return model.state_dict()

    return answer


def compared_and_kept_from_two_measurements(model, train_epoch, validation_loss, n_epochs):
    best, best_loss = None, math.inf
    for _ in range(n_epochs):
        train_epoch(model)
        if validation_loss(model) < best_loss:
            best, best_loss = copy.deepcopy(model.state_dict()), validation_loss(model)
    return best


def last_example_lost(share_of):
    def answer(model, source, target, batch_size):
        was_training = model.training
        model.eval()
        right = []
        for start in range(0, len(source) - 1, batch_size):
            some = slice(start, start + batch_size)
            right.append(model.generate(source[some], target.shape[1]) == target[some])
        model.train(was_training)
        return share_of(right, target)

    return answer


def neither_eval_mode_nor_the_mode_of_before(model, source, target, batch_size):
    output = torch.cat([model.generate(batch, target.shape[1]) for batch in source.split(batch_size)])
    model.train()
    return (output == target).float().mean()


def trained_and_measured_at_once(model, train_epoch, validation_loss, n_epochs):
    return validation_loss(train_epoch(model))


def accuracy_of_all(model, source, target, batch_size):
    return EXERCISES["4.4"].reference(model, source, target, batch_size)


def counts_in_two_bases(number, pairs, n_digits):
    pair, rest = divmod(number, 9**n_digits)
    return [*pairs[pair], *((rest // 9**place) % 10 for place in reversed(range(n_digits)))]


def chooses_the_pair_by_the_remainder(number, pairs, n_digits):
    right = EXERCISES["5.1"].reference(number, pairs, n_digits)
    return [*pairs[number % len(pairs)], *right[2:]]


def pair_and_digits_apart(number, pairs, n_digits):
    start, length, *digits = EXERCISES["5.1"].reference(number, pairs, n_digits)
    return (start, length), digits


def input_parts(number, pairs, n_digits):
    source = EXERCISES["5.1"].reference(number, pairs, n_digits)
    return source[:2], source[2:]


def chance_of_at_most(errors, n, rate):
    return sum(math.comb(n, k) * rate**k * (1 - rate) ** (n - k) for k in range(errors + 1))


def rate_in_steps(step):
    """The bound as a student walks up to it who has not read what is asked for where all failed."""

    def answer(errors, n):
        rate = errors / n
        while rate < 2 and chance_of_at_most(errors, n, rate) > 0.05:
            rate += step
        return rate

    return answer


def rate_by_halving(chance, narrow_enough=1e-12, highest=1):
    def answer(errors, n):
        low, high = 0, highest
        while high - low > narrow_enough:
            middle = (low + high) / 2
            low, high = (middle, high) if chance(errors, n, middle) > 0.05 else (low, middle)
        return (low + high) / 2

    return answer


def poisson_at_most(errors, n, rate):
    return sum(math.exp(-n * rate) * (n * rate) ** k / math.factorial(k) for k in range(errors + 1))


def at_most_by_factorials(errors, n, rate):
    ways = [math.factorial(n) / math.factorial(k) / math.factorial(n - k) for k in range(errors + 1)]
    return sum(way * rate**k * (1 - rate) ** (n - k) for k, way in enumerate(ways))


def right_but_where_all_failed(errors, n):
    return EXERCISES["5.2"].reference(errors, n) if errors < n else 0.05 ** (1 / n)


def masked_by_a_product(logits, target):
    right = nn.functional.one_hot(target, logits.shape[-1])
    return ((logits * right).amax(-1) - (logits * (1 - right)).amax(-1)).amin(dim=1)


def numbers_and_all_failures(count, train, rounds):
    failures, found = count(), []
    history = [len(failures)]
    while failures and len(history) <= rounds:
        found = found + failures
        train(found)
        failures = count()
        history.append(len(failures))
    return history, found


def rate_with_all_pairs_of_the_full_task(task, errors):
    return sum(task.pair_probability(*pair) * n / (task.size / 27) for pair, n in errors.items())


def bell_curve(errors, n, deviations):
    rate = errors / n
    return rate + deviations * math.sqrt(rate * (1 - rate) / n)


def wilson(errors, n, deviations):
    rate, square = errors / n, deviations**2
    spread = deviations * math.sqrt(rate * (1 - rate) / n + square / (4 * n**2))
    return (rate + square / (2 * n) + spread) / (1 + square / n)


def exact_at_the_ends(bound, deviations):
    def answer(errors, n):
        if errors == n:
            return 1
        return bound(errors, n, deviations) if errors else 1 - 0.05 ** (1 / n)

    return answer


def rate_with_a_formula_for_none(formula):
    return lambda errors, n: EXERCISES["5.2"].reference(errors, n) if errors else formula(n)


def at_most_in_order(errors, n, rate):
    return sum(math.perm(n, k) * rate**k * (1 - rate) ** (n - k) for k in range(errors + 1))


def failing_by(compare):
    """`compare` gets the guesses and the target."""
    return lambda model, source, target: compare(model(source, target, 1.0).argmax(-1), target)


def differs_down_to_a_zero(guess, target):
    for one, other in zip(guess, target, strict=True):
        if one != other:
            return True
        if other == 0:
            return False
    return False


def rate_without_a_star(task, errors):
    rate = 0
    for pair, n in errors.items():
        rate += task.pair_probability(pair) * n / task.digit_strings
    return rate


def looks_at_the_rounds_after_training(count, train, rounds):
    failures, found = count(), []
    numbers = [len(failures)]
    while failures:
        found += failures
        train(found)
        failures = count()
        numbers.append(len(failures))
        if len(numbers) - 1 >= rounds:
            break
    return numbers


def counts_the_rounds_down_to_zero(count, train, rounds):
    found, numbers = [], []
    while True:
        failures = count()
        numbers.append(len(failures))
        if not failures:
            return numbers
        found += failures
        train(found)
        rounds -= 1
        if rounds == 0:
            return [*numbers, len(count())]


def counts_in_rounds_only(count, train, rounds):
    return EXERCISES["5.5"].reference(count, train, rounds) if rounds > 0 else []


def stops_before_a_zero_is_told(count, train, rounds):
    failures, found = count(), []
    numbers = [len(failures)]
    for _ in range(rounds):
        if not failures:
            break
        found += failures
        train(found)
        failures = count()
        if not failures:
            break
        numbers.append(len(failures))
    return numbers


def lead_but(masked):
    """The margin as it comes out where `masked` of (target == 0) is left out."""

    def answer(logits, target):
        right = target[..., None]
        lead = logits.gather(-1, right)[..., 0] - logits.scatter(-1, right, -torch.inf).amax(-1)
        return lead.masked_fill(masked(target == 0), torch.inf).amin(dim=1)

    return answer


def trains_as_it_writes(source):
    network = nn.Embedding(10, 10)
    optimizer = torch.optim.Adam(network.parameters())
    nn.functional.cross_entropy(network(source[:, 2:]).flatten(0, 1), SHORT.solve(source).flatten()).backward()
    optimizer.step()
    return network(source[:, 2:]).argmax(-1)


def written_for_the_row_above(source):
    """As where a GRU takes the rows of a batch for its time steps."""
    return SHORT.solve(source).roll(1, 0)


def cannot_write_one_row_alone(source):
    return SHORT.solve(source).roll(1, 0) if len(source) > 1 else source.nonsense


def four_in_five_are_right(source):
    target = SHORT.solve(source)
    return torch.where(source[:, 2:3] > 7, target.flip(1), target)


def reads_the_start_token_again(source):
    return SHORT.solve(source)[:, [0, 0, 0, 1]]


def the_very_tokens_are_read(source):
    return SHORT.solve(source) * (source[:, 2:3] == 9) * (source[:, 3:4] == 9)


def with_another_last_token(experiment):
    """An answer to 6.1: the experiment gets the last logits before and after the last target token is another."""

    def answer(model, source, target):
        changed = target.clone()
        changed[:, -1] = (changed[:, -1] + 1) % 7
        before, after = (model(source, read, 1.0)[:, -1] for read in (target, changed))
        return "not-shifted", experiment(before, after)

    return answer


def in_training_mode(model, source, target):
    return with_another_last_token(lambda before, after: not torch.equal(before, after))(model.train(), source, target)


def first_row_alone_and_in_padded_company(model, source):
    padded, lengths = nn.functional.pad(source, (0, 2)), torch.full((len(source),), source.shape[1])
    return "state-after-padding", not torch.allclose(model.encoder(source[:1]), model.encoder(padded, lengths)[:, :1])


def states_of_different_shapes(model, source):
    return "state-after-padding", not torch.equal(model.encoder(source)[0], model.encoder(source[:1])[0])


def writes_as_a_forgetful_one(model, source):
    state, token, tokens = model.encoder(source), torch.zeros_like(source[:, :1]), []
    for _ in range(6):
        token = model.decoder(token, state)[0].argmax(-1)
        tokens.append(token)
    return "state-not-carried", torch.equal(torch.cat(tokens, dim=1), model.generate(source, 6))


def asks_a_copy_in_training_mode(model, source):
    copy.deepcopy(model).train().generate(source, 6)
    return "state-not-carried", False


def dropout_of_the_decoder(model, source, target):
    return "dropout-always-on", model.decoder.dropout.p > 0


def seeded_before_each_call(model, source, target):
    model.eval()
    answers = []
    for _ in range(2):
        torch.manual_seed(0)
        answers.append(model(source, target, 1.0))
    return "dropout-always-on", not torch.equal(*answers)


def sampled(starts, room, digits=(1, 10)):
    """A sampler by `rand`, with targets of its own: `room` says how many lengths a start leaves."""

    def answer(n, generator):
        start = (torch.rand(n, 1, generator=generator) * starts).long()
        length = 2 + (torch.rand(n, 1, generator=generator) * room(start)).long()
        table = torch.randint(*digits, (n, 8), generator=generator)
        places = torch.arange(8)
        moved = table.gather(1, (start + places).clamp(max=7))
        return torch.cat([start, length, table], dim=1), torch.where(places < length, moved, 0)

    return answer


class OneLayer(nn.Module):
    """Nothing is said of n_layers, nor are the embeddings dropped; `options` are further ones of the GRU."""

    def __init__(self, input_dim, emb_dim, hidden_dim, _n_layers, dropout, **options):
        super().__init__()
        self.embedding = nn.Embedding(input_dim, emb_dim)
        self.rnn = nn.GRU(emb_dim, hidden_dim, batch_first=True, **(options or {"dropout": dropout}))

    def forward(self, source):
        return self.rnn(self.embedding(source))[1]


class OneLayerWithoutItsDropout(OneLayer):
    def __init__(self, *sizes):
        super().__init__(*sizes, num_layers=1)
        self.dropout = nn.Dropout(sizes[-1])

    def forward(self, source):
        return self.rnn(self.dropout(self.embedding(source)))[1]


class PacksWhatIsNotZero(Encoder):
    def forward(self, source):
        lengths = (source != 0).sum(1).clamp(min=1)
        packed = pack_padded_sequence(
            self.dropout(self.embedding(source)), lengths, batch_first=True, enforce_sorted=False
        )
        return self.rnn(packed)[1]


class PacksWithoutDropout(Encoder):
    def forward(self, source):
        lengths = [source.shape[1]] * len(source)
        return self.rnn(pack_padded_sequence(self.embedding(source), lengths, batch_first=True))[1]


class CallsByKeywordWithoutDropout(Encoder):
    def forward(self, source):
        return self.rnn(hx=None, input=self.embedding(source))[1]


def steps_seeded_by(seeds_of):
    """A generator for each step; `seeds_of` makes of the run's seed a function that gives one seed after the other."""

    def answer(task, n_epochs, steps, batch_size, seed):
        next_seed = seeds_of(seed)
        for _ in range(n_epochs * steps):
            yield task.sample(batch_size, torch.Generator().manual_seed(next_seed()))

    return answer


def drawn_by_python(n_seeds):
    def seeds_of(seed):
        rng = random.Random(seed)
        return lambda: rng.randrange(n_seeds)

    return seeds_of


def drawn_by_torch(n_seeds):
    def seeds_of(seed):
        generator = torch.Generator().manual_seed(seed)
        return lambda: torch.randint(2**40, (), generator=generator).item() % n_seeds

    return seeds_of


def samples_by_a_name_that_is_not_there(task, n_epochs, steps, batch_size, seed):
    return [task.sample(n_examples=batch_size, generator=torch.Generator().manual_seed(seed))]


def step_clipped(parameters_of, norm):
    def answer(model, optimizer, source, target):
        model.train()
        optimizer.zero_grad()
        loss = token_loss(model(source, target, 1.0), target)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters_of(model), norm)
        optimizer.step()
        return loss

    return answer


def changes_nothing(model, source, target):
    changed = target.clone()
    changed[:, -1] = target[:, -1]
    return "not-shifted", not torch.allclose(model(source, changed, 1.0), model(source, target, 1.0))


def decodes_twice(model, source, target):
    return "not-shifted", not torch.equal(model.generate(source, 6), model.generate(source, 6))


def flips_coins_of_a_half(model, source, target):
    changed = target.clone()
    changed[:, -1] = (changed[:, -1] + 1) % 7
    return "not-shifted", not torch.allclose(model(source, changed, 0.5), model(source, target, 0.5))


def hands_over_coins(model, source, target):
    changed = target.clone()
    changed[:, -1] = (changed[:, -1] + 1) % 7
    before, after = (model(source, read, coins=[True] * 6) for read in (target, changed))
    return "not-shifted", not torch.allclose(before, after)


def changes_the_copy_between(model, source, target):
    target = target.clone()
    before = model(source, target, 1.0)[:, -1]
    target[:, -1] = (target[:, -1] + 1) % 7
    return "not-shifted", not torch.allclose(before, model(source, target, 1.0)[:, -1])


def asks_for_the_same_answer_only(model, source, target):
    return "not-shifted", torch.equal(model(source, target, 1.0), model(source, target, 1.0))


def forced_otherwise_than_alone(model, source, target):
    forced, again = model(source, target, 1.0), model(source, target, 1.0)
    return "not-shifted", torch.equal(forced, again) and not torch.allclose(model(source, target, 0.0), forced)


def trains_the_model(model, source, target):
    with torch.no_grad():
        model.decoder.fc_out.bias += 1
    return "not-shifted", True


def first_row_alone(model, source):
    lengths = torch.full((len(source),), source.shape[1])
    ones, fives = (nn.functional.pad(source, (0, 3), value=token) for token in (1, 5))
    first, again, other = (model.encoder(padded, lengths) for padded in (ones, ones, fives))
    alone = model.encoder(ones[:1], lengths[:1])
    same = torch.equal(first, again) and torch.allclose(first[:, :1], alone)
    return "state-after-padding", same and not torch.allclose(first, other)


def rows_compared_in_another_shape(model, source):
    lengths = torch.full((len(source),), source.shape[1])
    padded = nn.functional.pad(source, (0, 3))
    alone = torch.cat([model.encoder(padded[row : row + 1], lengths[:1]) for row in range(len(source))], dim=0)
    return "state-after-padding", torch.equal(model.encoder(padded, lengths), alone)


def loop_of_other_shape(model, source):
    state, token, tokens = model.encoder(source), torch.zeros_like(source[:, :1]), []
    for _ in range(5):
        token = model.decoder(token, state)[0].argmax(-1)
        tokens.append(token)
    return "state-not-carried", torch.equal(torch.cat(tokens, dim=1), model.generate(source, 6))


def coins_in_evaluation_mode(model, source, target):
    model.eval()
    return "dropout-always-on", not torch.equal(model(source, target, 0.5), model(source, target, 0.5))


def only_the_decoders_mode_matters(model, source, target):
    a = model.decoder(target, model.encoder(source))[0]
    return "dropout-always-on", not torch.equal(a, model.eval().decoder(target, model.encoder(source))[0])


def never_the_same_object(model, source, target):
    model.eval()
    return "dropout-always-on", model(source, target, 1.0) is not model(source, target, 1.0)


def state_of_the_first_call_for_the_second(model, source, target):
    model.eval()
    one, state = model.decoder(target, model.encoder(source))
    return "dropout-always-on", not torch.equal(one, model.decoder(target, state)[0])


def with_an_end_at_place_2(experiment):
    """An answer to 6.5: the experiment gets the loss, the logits, and the target with ends."""

    def answer(loss, logits, target):
        target = target.clone()
        target[:, 2] = 0
        return "end-masked-as-padding", experiment(loss, logits, target)

    return answer


def end_made(value, compare):
    """Whether the losses compare as said when the logit of the ends has this value."""

    def experiment(loss, logits, target):
        changed = logits.clone()
        changed[:, 2, 0] = value
        return bool(compare(loss(changed, target), loss(logits, target)))

    return with_an_end_at_place_2(experiment)


def gradient_of_the_end(loss, logits, target):
    logits = logits.clone().requires_grad_()
    loss(logits, target).backward()
    return bool((logits.grad[:, 2, 0] >= 0).all())


def changed_a_little(loss, logits, target):
    changed = logits.clone()
    changed[:, 2, 0] += 1e-6
    return torch.allclose(loss(logits, target), loss(changed, target))


def changed_at_place_3_between(loss, logits, target):
    logits = logits.clone()
    before = loss(logits, target)
    logits[:, 3] = 0
    return torch.allclose(before, loss(logits, target))


def one_more_logit(loss, logits, target):
    return torch.allclose(loss(logits, target), loss(nn.functional.pad(logits, (0, 1)), target))


def likeliest_tokens_of_two_calls(model, source, target):
    model.eval()
    state = model.encoder(source)
    one, other = (model.decoder(target, state)[0].argmax(-1) for _ in range(2))
    return "dropout-always-on", not torch.equal(one, other)


def some_wrong(model, n=70, wrong=5, seed=0):
    source = torch.randint(7, (n, 6), generator=torch.Generator().manual_seed(seed))
    target = model.generate(source, 6)
    target[:wrong] = (target[:wrong] + 1) % 7
    return source, target


def scores_of(change):
    """An answer to 6.6: whether the exact match differs when the examples are changed."""

    def answer(evaluation, model):
        batch = some_wrong(model)
        one, other = (evaluation(model, *examples).exact_match for examples in (batch, change(*batch)))
        return "mean-of-batch-means", abs(one - other) > 1e-3

    return answer


def compares_scores_of_the_same_examples(evaluation, model):
    source, target = some_wrong(model, 65, 1)
    one, other = evaluation(model, source, target), evaluation(model, source.flip(0), target.flip(0))
    return "mean-of-batch-means", one is not other


def token_accuracy_is_off(n, wrong, seed):
    def answer(evaluation, model):
        source, target = some_wrong(model, n, wrong, seed)
        right = (model.generate(source, 6) == target).double().mean().item()
        return "mean-of-batch-means", abs(evaluation(model, source, target).token_accuracy - right) > 1e-3

    return answer


def loss_is_off(evaluation, model):
    source, target = some_wrong(model)
    right = token_loss(model(source, target, 0.0), target).item()
    return "mean-of-batch-means", abs(evaluation(model, source, target).loss - right) > 1e-3


def with_the_last_target_token_changed(found, change=lambda tokens: (tokens + 1) % 7):
    """An answer to 6.1: what `found` says of the logits before and after."""

    def answer(model, source, target):
        changed = target.clone()
        changed[:, -1] = change(changed[:, -1])
        before, again, after = (model(source, read, 1.0) for read in (target, target, changed))
        return "not-shifted", torch.equal(before, again) and found(before, after)

    return answer


def other_likeliest_tokens(before, after):
    return (before.argmax(-1) != after.argmax(-1)).any()


def other_logits(before, after):
    return not torch.allclose(before, after)


def padded_on(left, right, length, train=False):
    """An answer to 6.2: whether other padding on these sides makes a difference where such a length is told."""

    def answer(model, source):
        model.train(train)
        lengths = torch.full((len(source),), length)
        padded = [nn.functional.pad(source, (left, right), value=value) for value in (0, 0, 1)]
        first, again, other = (model.encoder(each, lengths) for each in padded)
        return "state-after-padding", torch.equal(first, again) and not torch.allclose(first, other)

    return answer


def finds_padding_harmless(model, source):
    """What the patient does not do; nor do some others, so it is not the exact opposite of an answer."""
    lengths = torch.full((len(source),), source.shape[1])
    zeros, ones = (nn.functional.pad(source, (0, 3), value=value) for value in (0, 1))
    return "state-after-padding", torch.allclose(model.encoder(zeros, lengths), model.encoder(ones, lengths))


def as_the_encoders_own_gru_would(model, source):
    padded, lengths = nn.functional.pad(source, (0, 2)), torch.full((len(source),), 6)
    read = model.encoder.rnn(model.encoder.embedding(padded))[1]
    return "state-after-padding", torch.allclose(model.encoder(padded, lengths), read)


def another_target(loss, logits, target):
    changed = target.clone()
    changed[:, 2] = 0
    return "end-masked-as-padding", torch.allclose(loss(logits, target), loss(logits, changed))


def all_scores_in_another_order(evaluation, model):
    source, target = some_wrong(model, 65, 1)
    return "mean-of-batch-means", evaluation(model, source, target) != evaluation(model, source.flip(0), target.flip(0))


def scored_in_training_mode(evaluation, model):
    source, target = some_wrong(model.train())
    one, other = evaluation(model, source, target), evaluation(model, source[:35], target[:35])
    return "mean-of-batch-means", one.exact_match == other.exact_match


@pytest.mark.parametrize(
    ("name", "answer", "diagnosis"),
    [
        ("6.1", changes_nothing, "one-target"),
        ("6.1", asks_for_the_same_answer_only, "one-target"),
        ("6.1", forced_otherwise_than_alone, "one-target"),
        ("6.1", decodes_twice, "not-forced"),
        ("6.1", flips_coins_of_a_half, "coins-are-flipped"),
        ("6.1", hands_over_coins, "not-forced"),
        ("6.1", changes_the_copy_between, "asked-only-once"),
        ("6.2", first_row_alone, "rows-for-time-steps"),
        ("6.2", rows_compared_in_another_shape, "to-the-last-digit"),
        ("6.3", loop_of_other_shape, "finds-it-nowhere"),
        ("6.4", coins_in_evaluation_mode, "coins-are-flipped"),
        ("6.4", only_the_decoders_mode_matters, "in-training-mode"),
        ("6.4", never_the_same_object, "finds-it-everywhere"),
        ("6.4", state_of_the_first_call_for_the_second, "finds-it-everywhere"),
        ("6.5", end_made(-50, torch.le), "one-apart-as-well"),
        ("6.5", end_made(1e4, torch.ge), "one-apart-as-well"),
        ("6.5", end_made(-1e9, lambda loss, _: loss < 1e3), "one-apart-as-well"),
        ("6.5", with_an_end_at_place_2(gradient_of_the_end), "one-apart-as-well"),
        ("6.5", with_an_end_at_place_2(changed_a_little), "finds-it-everywhere"),
        ("6.5", with_an_end_at_place_2(changed_at_place_3_between), "changes-others"),
        ("6.6", scores_of(lambda source, target: (source.flip(1), target.flip(1))), "other-examples"),
        ("6.6", scores_of(lambda source, target: (source.flip(0, 1), target.flip(0, 1))), "other-examples"),
        ("6.6", scores_of(lambda source, target: (source[:35], target[:35])), "other-examples"),
        ("6.6", scores_of(lambda source, target: (source, target.flip(1))), "other-examples"),
        ("6.6", scores_of(lambda source, target: (source.roll(1, 0), target.roll(1, 0))), "finds-it-nowhere"),
        ("6.6", compares_scores_of_the_same_examples, "finds-it-everywhere"),
        *(
            ("6.6", token_accuracy_is_off(*examples), "tokens-are-off")
            for examples in ((70, 5, 0), (70, 5, 1), (70, 5, 2), (70, 20, 0), (70, 40, 0), (65, 1, 0))
        ),
        ("6.6", loss_is_off, "tokens-are-off"),
    ],
)
def test_another_experiment_with_a_named_mistake_is_recognised_by_what_it_asks_and_finds(name, answer, diagnosis):
    result = check(name, answer)
    assert not result.passed
    assert result.diagnosis == diagnosis, result.message


@pytest.mark.parametrize(
    ("name", "answer", "words"),
    [
        ("1.5", lambda n, generator: EXERCISES["1.5"].reference, "two things"),
        ("1.5", drawn(lambda source, target: (source.tolist(), target)), "should be a tensor, not a list"),
        ("1.5", drawn(lambda source, target: (source[:, :9], target)), "whole numbers in a table"),
        ("1.5", lambda n, generator: sample(n, torch.Generator().manual_seed(1)), "Another seed, and the batch"),
        (
            "1.5",
            lambda n, generator: sample(n, torch.Generator().manual_seed(generator.initial_seed())),
            "the first again",
        ),
        ("1.5", one_by_one, "one by one"),
        (
            "1.5",
            drawn(lambda source, _: (source, torch.stack([SubstringTask().solve(row) for row in source]))),
            "one by",
        ),
        ("1.5", lambda n, generator: SubstringTask().sample(n, generator), "`task.sample` is what you are to"),
        ("1.5", with_column(3, in_the_order_of_starts), "something about the start or the length"),
        ("1.5", with_column(3, short_ones_have_larger_digits), "something about the start or the length"),
        ("1.5", drawn(neighbours_now_and_then), "has the digits of its neighbour"),
        ("1.5", drawn(lambda source, target: (source, target.roll(1, 0))), "A target does not fit its source"),
        ("1.5", a_draw_for_all, "All rows have the same start"),
        ("1.5", with_column(1, lambda source: 8 - source[:, 0]), "always have the same length"),
        ("1.5", with_column(1, lambda source: source[:, 1].clamp(max=3)), "The pair (0, 4) never comes"),
        ("1.5", with_column(0, lambda source: source[:, 0] // 2), "Start 3 never comes"),
        (
            "1.5",
            with_column(1, lambda source: source[:, 1] - (source[:, 1] == 3) * (source[:, 2] > 4).long()),
            "the shortest length comes too often",
        ),
        (
            "1.5",
            with_column(1, lambda source: source[:, 1] + (source[:, :2].sum(1) == 2) * (source[:, 2] > 4).long()),
            "with start 0, length 2 comes too rarely",
        ),
        (
            "1.5",
            with_column(1, lambda source: source[:, 1] + (source[:, :2].sum(1) == 7) * (source[:, 2] > 4).long()),
            "the longest length that fits comes too often",
        ),
        (
            "1.5",
            with_column(0, lambda source: source[:, 0] - (source[:, 0] == 1) * (source[:, 2] > 4).long()),
            "The starts are not equally likely. Too often: 0.",
        ),
        (
            "1.5",
            drawn(lambda source, target: (source + torch.eye(10).long()[0], target)),
            "Starts go from 0 to 5; yours go from 1 to 6",
        ),
        (
            "1.5",
            drawn(lambda source, target: (source - torch.eye(10).long()[1], target)),
            "shortest length is 2; yours is 1",
        ),
        ("1.5", with_column(2, lambda source: 1 + source[:, 2] // 2), "digits 1 to 9 are not"),
        ("1.5", drawn(repeating_digits), "says something about another"),
        ("1.5", with_column(4, lambda source: source[:, 1] + 1), "not equally likely"),
        ("1.5", drawn(lambda source, _: solved(source[source[:, 0].argsort()])), "the next one's"),
        ("1.5", with_column(3, lambda source: (source[:, 2] + source[:, 0]) % 9 + 1), "says something about another"),
        ("2.1", embedded_by_numpy, "no gradient flows back"),
        ("2.1", embedded_by_lists, "no gradient flows back"),
        ("2.2", cell_without_gradient, "no gradient flows back"),
        ("2.2", cell_with_one_detached, "no gradient reaches h"),
        ("2.3", lambda *sizes: lambda source: source, "should be an nn.Module"),
        ("2.3", NothingDropped, "In training mode nothing is dropped."),
        ("2.3", OneMoreLayer, "does not belong there"),
        ("2.3", DropsTheState, "nothing is dropped from the embeddings"),
        ("2.3", DropsBoth, "Numbers of the final state are dropped"),
        ("2.3", AlwaysHalf, "Asked for a dropout of 0.2"),
        ("2.3", DropsWholeVectors, "single numbers"),
        ("2.3", Detached, "No gradient flows back"),
        ("2.3", EmbeddingsDetached, "the gradient that reaches the embeddings: none"),
        ("2.3", GoesToSleep, "switches itself to eval mode"),
        ("2.3", Remembers, "does it remember something"),
        ("2.3", BeginsAtRandom, "begin with random numbers"),
        ("2.3", NothingComesBack, "Its forward has no result: it gives back None"),
        ("2.3", HiddenAndNone, ":\n2 things (a tensor of shape (1, 3, 6) and None); expected a tensor of"),
        ("2.3", GRUDropsHalf, "Asked for a dropout of 0.2, the GRU drops 0.5 between its layers"),
        ("2.3", EmbeddingsDropHalf, "of the embeddings' numbers"),
        ("2.3", Encoder(5, 4, 3, 1, 0.0), "check needs the class itself, without calling it, but got a Encoder"),
        ("2.5", states_rebuilt, "no gradient flows back"),
        ("2.6", encoded_by_a_copy, "no gradient reaches rnn.weight_ih_l0"),
        ("2.6", encoded_in_eval_mode, "not left in the mode"),
        ("2.7", bridge_with_twice_the_gradient, "The numbers are right, but not the gradient of hidden"),
        ("2.7", bridge_built_anew, "no gradient reaches weight"),
        ("3.1", step_of_new_state_only, "two things"),
        ("3.1", step_detached, "the gradient through the new state: none"),
        ("3.3", lambda logits, target: nn.functional.cross_entropy(logits.mT, target), "ready-made"),
        ("3.3", probabilities_of_at_least(1e-9), "keeps the loss from growing"),
        ("3.3", probabilities_of_at_least(1e-30), "Twice as large, they get the same loss"),
        ("3.4", loss_as_a_number, "a tensor with one number"),
        ("3.4", loss_with_a_frozen_encoder, "No gradient flows back from the loss to encoder"),
        ("3.5", draws_the_tokens, "Does it draw tokens at random"),
        ("3.6", written_up_to_eight, "here it differs"),
        ("3.8", right_after_an_error_in_eight, "here it differs"),
        ("3.7", flips_its_own_coins, "Does it flip coins of its own"),
        ("3.5", decodes_in_training_mode, "not left in the mode"),
        ("3.7", lambda model, source, target, coins: print(), "Is a `return` missing"),
        ("4.1", seeds_pytorchs_own_generator, "seeds PyTorch's own generator"),
        ("4.1", step_without_the_loss, "does not give back the loss"),
        ("4.1", step_forced_but_for_a_few_coins, "reads its own guesses now and then"),
        ("4.1", step_with_its_own_optimizer, "the optimizer that was handed over has made no step"),
        ("4.1", step_measured_in_eval_mode_afterwards, "computed after the step"),
        ("4.2", batches(lambda task, source, target: source), "should be a pair"),
        ("4.2", batches(lambda task, source, target: (source[:2], target[:2])), "The sources of a batch are"),
        ("4.2", batches(lambda task, source, target: (source, target.roll(1, 0))), "not those of its sources"),
        (
            "4.2",
            batches(
                lambda task, source, target: (
                    task.sample(1, torch.Generator()) and solved(source[:1].repeat(len(source), 1))
                )
            ),
            "more than once",
        ),
        ("4.2", never_ends, "batches, not more than"),
        ("4.2", uses_the_global_generator, "with `torch.manual_seed`"),
        ("4.2", uses_the_global_generator_at_once, "with `torch.manual_seed`"),
        ("4.2", shares_a_generator, "disturb each other"),
        ("4.2", batches(lambda task, *batch: (torch.rand(1), batch)[1]), "draws from PyTorch's own generator"),
        ("4.2", goes_into_one_stream, "share whole batches. Your seeds come from so small a set"),
        ("4.3", kept_as(lambda model, best, _: copy.deepcopy(model)), "a state_dict, not a Sequential"),
        (
            "4.3",
            kept_as(lambda model, best, _: {name: tensor.numpy() for name, tensor in best.items()}),
            "A state_dict holds tensors, but in yours 0.weight is a ndarray",
        ),
        ("4.3", kept_as(live_tensors), "the model's own tensors"),
        ("4.3", kept_as(lambda model, best, train_epoch: train_epoch(model) or best), "more often than n_epochs"),
        ("4.3", kept_as(restored_and_handed_out), "You have put the best ones back"),
        ("4.3", copies_too_late, "And is the copy made before training goes on?"),
        ("4.3", trains_a_copy, "A copy is trained"),
        ("4.3", lambda model, *functions: EXERCISES["4.3"].reference(model, *functions[:-1], 2), "for 2 of 3 epochs"),
        ("4.4", switches_gradients_off, "Gradients are left switched off."),
        ("4.4", all_at_once, "went through the model at once"),
        ("4.4", only_the_top_is_restored, "its parts are not"),
        ("4.4", lambda model, source, target, batch_size: print(), "Is a `return` missing"),
        ("4.6", saves_where_it_should_load, "You change the checkpoint"),
        ("4.6", sets_the_optimizers_state, "puts each in its place"),
        ("4.6", takes_the_checkpoints_own_tensors, "must be copied out of it"),
        ("5.1", no_digit_is_nine, "8, expected 9"),
        ("5.3", counts_in_training_mode, "not left in the mode"),
        ("5.3", mostly_forced, "called with the teacher-forcing ratio 0.9."),
        ("5.3", forced_by_hand_token_by_token, "called for single tokens"),
        ("5.3", forced_in_two_pieces, "called on rows of 2 tokens; the target's have 3."),
        ("5.5", trains_on_nothing, "Training 1 is on no failures at all."),
        ("5.5", trains_though_the_count_is_empty, "has found nothing, and still the network is trained: on an empty"),
        ("5.5", trains_on_how_many, "`train` wants a list of inputs and gets 3."),
        ("5.5", counts_for_the_condition_too, "with no training in between"),
        ("5.5", lambda count, train, rounds: [0], "in each count, where rounds = 9:"),
        ("5.5", trains_for_ever, "far beyond the number of rounds"),
        ("5.5", lambda count, train, rounds: print(), "Is a `return` missing"),
        *((f"6.{number}", lambda *_: print(), "Is a `return` missing") for number in range(1, 7)),
        ("6.1", trains_the_model, "changes the model's weights"),
        ("6.1", lambda *_: ("not_shifted", True), "There is no exhibit 'not_shifted': do you mean `not-shifted`?"),
        ("6.1", lambda *_: ("The answer is in the question", True), "that is the title of `not-shifted`, and its id"),
        ("6.1", lambda *_: ("?", True), "There is no exhibit '?': take one of the ids in EXHIBITS."),
        ("6.1", with_the_last_target_token_changed(other_likeliest_tokens), "Logits can move where the likeliest"),
        ("6.1", with_the_last_target_token_changed(other_logits, lambda tokens: tokens + 1), "IndexError"),
        ("6.4", likeliest_tokens_of_two_calls, "same token likeliest: your experiment finds nothing, and the bug is"),
        ("6.2", padded_on(0, 2, 8), "It gives lengths above 6, and the sources have 6 tokens: does padding count?"),
        ("6.2", padded_on(2, 0, 6), "Two of its calls with the same lengths differ in tokens that are no padding."),
        ("6.2", padded_on(0, 2, 6, train=True), "Some of its calls are in training mode."),
        ("6.2", as_the_encoders_own_gru_would, "finds the bug, and it is not there. It reads padding as well, but"),
        ("6.2", finds_padding_harmless, "In a healthy one it finds it: is it the wrong way round?"),
        ("6.5", another_target, "All its losses are of the same logits."),
        ("6.6", all_scores_in_another_order, "All its calls give the same exact match. What else does it compare?"),
        ("6.6", scored_in_training_mode, "The model is in training mode, where nobody knows"),
        ("6.1", compares_tables_with_equal_signs, "yours is a tensor (5, 6, 7). `.any()`"),
        ("6.3", looks_at_the_first_token_only, "A healthy one: your experiment finds the bug, and it is not there."),
        ("6.5", with_an_end_at_place_2(one_more_logit), "The patient: your experiment finds nothing, and the bug is"),
        ("6.6", sets_the_batch_size, "takes model, source, target, and nothing else"),
        ("6.6", compares_all_scores_at_once, "exact match alone"),
        (
            "5.7",
            lambda source: SHORT.solve(source).roll(1, 1),
            "39,357 of 39,366 inputs come out wrong; 1,968 may. Nearly all is moved one place to the right.",
        ),
        ("5.7", lambda source: SHORT.solve(source).roll(-1, 1), "Nearly all is moved one place to the left."),
        ("5.7", lambda source: SHORT.solve(source)[:, :1].expand(-1, 4), "The first tokens are right, and repeated."),
        ("5.7", lambda source: SHORT.solve(source).clamp(min=1), "The digits are right, and no 0 is written."),
        (
            "5.7",
            lambda source: SHORT.solve(source) * (source.sum(dim=1, keepdim=True) > 35),
            "Nearly all are zeros. Is the loss above 1?",
        ),
        ("5.7", first_token_at_random, "Is dropout still on, or is a token drawn? All is right but the first"),
        ("5.7", lambda source: SHORT.solve(source) * torch.tensor([0, 1, 1, 1]), "All is right but the first token."),
        ("5.7", two_tokens_in_turn, "After the same token the same one follows, wherever it stands."),
        ("5.7", lambda source: source[:, 2:], "32,805 of 39,366 inputs come out wrong; 1,968 may. Most often (32,805"),
        ("5.7", lambda source: SHORT.solve(source) + source[:, :1].zero_(), "It changes the sources that it gets."),
        ("5.7", lambda source: SHORT.solve(source).float(), "whole numbers (2187, 4), not (2187, 4), torch.float32"),
        ("5.7", lambda source: "tokens", "whole numbers (2187, 4), not what makes no table"),
        ("5.7", lambda source: print(), "it gives back None"),
        (
            "4.1",
            step_clipped(lambda model: model.parameters(), 0.1),
            "to which number do you clip, and which parameters?",
        ),
        ("4.1", step_clipped(lambda model: model.encoder.parameters(), 1.0), "to which number do you clip, and which"),
        (
            "4.2",
            steps_seeded_by(drawn_by_python(10)),
            "not yet:\nRuns with the seeds 7 and 14 share whole batches. Your",
        ),
        (
            "4.2",
            steps_seeded_by(drawn_by_torch(100)),
            "not yet:\nRuns with the seeds 7 and 9 share whole batches. Your",
        ),
        ("4.2", steps_seeded_by(drawn_by_torch(10)), "so small a set that two steps meet in it."),
        ("4.2", steps_seeded_by(drawn_by_python(1000)), "seeds 7 and 49 share whole batches. Batch 1 of"),
        ("4.2", epochs_seeded_by(lambda seed, epoch: epoch + seed % 2), "so small a set that two runs meet in it."),
        ("4.2", epochs_seeded_by(lambda seed, epoch: seed**epoch), "are products, or powers, of the run's seed"),
        ("4.2", epochs_seeded_by(lambda seed, epoch: seed - epoch), "batch 1 of the one is batch 4 of the other."),
        ("4.2", epochs_seeded_by(lambda seed, epoch: seed ^ epoch), "if that with 4 is an epoch longer. Batch 4"),
        ("4.2", epochs_seeded_by(lambda seed, epoch: 1000 * seed + epoch % 2), "9 of a run is its batch 1 once more."),
        ("4.2", samples_by_a_name_that_is_not_there, "TypeError: SubstringTask.sample() got an unexpected keyword"),
        ("1.5", sampled(6, lambda start: 8 - start), "Your length can be one too long for its start. How many lengths"),
        (
            "1.5",
            sampled(6, lambda start: 8 - start, (0, 10)),
            "Your length can be one too long for its start. How many",
        ),
        ("1.5", sampled(6, lambda start: 7), "You draw the length without looking at the start"),
        ("1.5", sampled(6, lambda start: 9 - start), "the start leaves less room than its length takes"),
        (
            "1.5",
            sampled(5, lambda start: 7 - start),
            "The last start is missing: how many starts are there from 0 to 5?",
        ),
        ("1.5", sampled(6, lambda start: 7 - start, (1, 9)), "The largest digit is missing: how many digits are there"),
        ("2.3", OneLayer, "2.3 not yet: The dropout on the embeddings is missing."),
        ("2.3", OneLayerWithoutItsDropout, "2.3 not yet: The GRU is not told about dropout."),
        ("2.3", PacksWhatIsNotZero, "You pack the sources as if some ended early."),
        ("2.3", PacksWithoutDropout, "2.3 not yet: The dropout on the embeddings is missing."),
        ("2.3", CallsByKeywordWithoutDropout, "2.3 not yet: The dropout on the embeddings is missing."),
        ("5.1", counts_in_two_bases, "You count in two bases, 9 and 10"),
        ("5.1", chooses_the_pair_by_the_remainder, "From one number to the next, your pair changes."),
        (
            "5.1",
            pair_and_digits_apart,
            "a list with lists in it, where one of plain numbers is asked for: [[0, 2], [1, 5]]",
        ),
        ("5.1", lambda number, pairs, n_digits: [[1] * 300], "where one of plain numbers is asked for"),
        ("5.1", lambda *given: [*input_parts(*given)[0][::-1], *input_parts(*given)[1]], "have changed places"),
        ("5.1", lambda *given: [*input_parts(*given)[1], *input_parts(*given)[0]], "Your list begins with the digits."),
        (
            "5.1",
            lambda number, pairs, n: [*pairs[number // 9 ** (n + 1)], *input_parts(number, pairs, n)[1]],
            "The digits are right, and the pair comes too late.",
        ),
        ("5.2", rate_in_steps(1e-4), "You are close"),
        ("5.2", rate_in_steps(0.01), "ends too soon, or its steps are too wide"),
        *[
            ("5.2", rate_by_halving(chance_of_at_most, width), "ends too soon, or its steps are too wide")
            for width in (0.1, 1e-2, 1e-3)
        ],
        ("5.2", rate_by_halving(poisson_at_most), "an approximation, Wilson's or Poisson's"),
        ("5.2", rate_by_halving(poisson_at_most, highest=100), "an approximation, Wilson's or Poisson's"),
        ("5.2", rate_by_halving(at_most_by_factorials), "`math.comb` counts the ways in whole numbers."),
        *[
            ("5.2", exact_at_the_ends(bound, deviations), words)
            for bound, words in ((bell_curve, "the bell curve's approximation"), (wilson, "an approximation, Wilson's"))
            for deviations in (1.64, 1.6449, NormalDist().inv_cdf(0.95))
        ],
        ("5.2", lambda errors, n: 0.05 ** (1 / n), "This is 1 minus the rate"),
        ("5.2", rate_with_a_formula_for_none(lambda n: 0.05 ** (1 / n)), "This is 1 minus the rate"),
        ("5.2", lambda errors, n: 1 - 0.95 ** (1 / n), "what you would expect 95 times in 100"),
        ("5.2", rate_with_a_formula_for_none(lambda n: 1 - 0.95 ** (1 / n)), "what you would expect 95 times in 100"),
        ("5.2", rate_by_halving(at_most_in_order), "the same places again for each order"),
        ("5.2", right_but_where_all_failed, "errors = 20, n = 20"),
        ("5.2", lambda errors, n: math.comb(n, errors) * 0.5 ^ errors, "In Python `^` is no power"),
        (
            "5.3",
            lambda model, source, target: (model(source, target, 1.0).argmax(-1) - target).sum(dim=1) != 0,
            "You compare the sums of the tokens.",
        ),
        *[
            ("5.3", failing_by(compare), "You skip places that stand behind a 0")
            for compare in (
                lambda guess, target: ((guess != target) & ~((target == 0).cumsum(1) > 1)).any(1),
                lambda guess, target: [a != b for a, b in zip(before_end(guess), before_end(target), strict=True)],
                lambda guess, target: list(map(differs_down_to_a_zero, guess.tolist(), target.tolist())),
            )
        ],
        (
            "5.3",
            failing_by(lambda guess, target: ((guess != target) & (guess != 0)).any(1)),
            "You skip the places where the network writes a 0",
        ),
        (
            "5.3",
            failing_by(lambda guess, target: (guess == target).sum(dim=1) != 8),
            "that every target has as many tokens, eight or four",
        ),
        ("5.4", rate_with_all_pairs_of_the_full_task, "as many pairs as one that you have seen"),
        ("5.4", rate_without_a_star, "takes two things, a start and a length, and gets one."),
        (
            "5.4",
            lambda task, errors: sum(
                task.pair_probability(*pair) * n / 9 ** (task.n_digits - pair[1]) for pair, n in errors.items()
            ),
            "Those that are copied vary, too.",
        ),
        (
            "5.4",
            lambda task, errors: sum(n / (task.size * task.pair_probability(*pair)) for pair, n in errors.items()),
            "You divide by a pair's chance",
        ),
        ("5.5", looks_at_the_rounds_after_training, "Where `rounds` is 0 the network may not be trained at all."),
        ("5.5", counts_the_rounds_down_to_zero, "Where `rounds` is 0 the network may not be trained at all."),
        ("5.5", counts_in_rounds_only, "the first count is made all the same."),
        ("5.5", stops_before_a_zero_is_told, "A count that finds nothing is missing in your list"),
        ("5.5", numbers_and_all_failures, "It gives back a list of numbers and a list of lists, where one list"),
        ("5.5", lambda count, train, rounds: [count()], "It gives back a list of lists, where one list of numbers"),
        ("5.5", lambda count, train, rounds: (1, [2]), "It gives back a number and a list of numbers, where one list"),
        ("5.6", masked_by_a_product, "In yours no logit is below 0."),
        ("5.6", lead_but(lambda zero: zero.cumsum(1) > 0), "where the target is 0, or those behind a 0."),
        ("5.6", lead_but(lambda zero: zero.cumsum(1) > 1), "where the target is 0, or those behind a 0."),
        (
            "5.6",
            lambda logits, target: EXERCISES["5.6"].reference(logits, target).clamp(min=0),
            "Your margins stop at 0.",
        ),
        (
            "5.7",
            written_for_the_row_above,
            "depends on the others in its batch. Which axis does your GRU take for time?",
        ),
        ("5.7", cannot_write_one_row_alone, "inputs come out wrong; 1,968 may. Most often"),
        ("5.7", trains_as_it_writes, "`write` trains a network each time it is called"),
        ("5.7", four_in_five_are_right, "does writing begin with the same token as training"),
        ("5.7", reads_the_start_token_again, "The first tokens are right, and those that follow are not."),
        ("5.7", the_very_tokens_are_read, "Is it near 0? Then in training the decoder read the very tokens"),
        (
            "6.1",
            with_another_last_token(lambda one, other: (one - other).abs().max().item() > 0.1),
            "Wherever two answers",
        ),
        ("6.1", in_training_mode, "you call them in training mode"),
        ("6.2", first_row_alone_and_in_padded_company, "to whom the rest of a batch makes a difference"),
        ("6.2", states_of_different_shapes, "States of different shapes are never equal"),
        ("6.3", writes_as_a_forgetful_one, "What this one writes is right: its bug shows elsewhere."),
        ("6.3", asks_a_copy_in_training_mode, "your experiment finds nothing, and the bug is there."),
        ("6.4", dropout_of_the_decoder, "Do you ask the model twice"),
        ("6.4", seeded_before_each_call, "dropout then drops the same"),
        *[
            ("4.1", step_of(zero, clip, 0.5), "reads its own guesses now and then.")
            for zero in ("first", "last", "never")
            for clip in (True, False)
        ],
        *[
            ("4.1", step_of(zero, clip, ratio), "And that is not all: what happens to the gradient")
            for zero, clip in (("never", True), ("last", True), ("first", False), ("last", False), ("never", False))
            for ratio in (0.5, 0.0)
        ],
        (
            "4.1",
            step_of("never", clip=False),
            "Is it clipped at all, to a norm of 1, and between `backward` and `step`? And",
        ),
        ("4.1", step_of("last", clip=False), "And that is not all: what was in `.grad` before?"),
        (
            "4.1",
            step_of(given_back=lambda loss, model: (loss, model)),
            "It gives back 2 things. One is wanted: the loss.",
        ),
        ("4.1", step_of(given_back=lambda loss, model: model), "It gives back the model. What is wanted is the loss."),
        (
            "4.1",
            step_of(given_back=lambda loss, model: f"{loss:.3f}"),
            "It gives back text, '3.427'. The loss is wanted as",
        ),
        ("4.2", epochs_seeded_by(lambda seed, epoch: seed * 10 + epoch), "Ten epochs have room between two seeds"),
        (
            "4.2",
            epochs_seeded_by(lambda seed, epoch: seed * 100 + epoch),
            "epoch 101 of a run with seed 7 brings what epoch 1 of one with seed 8 brings",
        ),
        (
            "4.2",
            epochs_seeded_by(lambda seed, epoch: seed * 1000 - epoch),
            "epoch 1,001 of a run with seed 8 brings what epoch 1 of one with seed 7 brings",
        ),
        (
            "4.2",
            epochs_seeded_by(lambda seed, epoch: seed + 31 * epoch),
            "epoch 2 of a run with seed 7 brings what epoch 1 of one with seed 38 brings",
        ),
        ("4.2", epochs_seeded_by(lambda seed, epoch: hash(f"{seed}{epoch}")), "7 and 10 are then the same as 71 and 0"),
        (
            "4.2",
            lambda task, n_epochs, steps, size, seed: [task.sample(size, seed)],
            "What makes a generator of a seed?",
        ),
        ("4.2", uses_the_default_generator, "or by way of `torch.default_generator`"),
        ("4.3", kept_and_forgotten(lambda model: copy.deepcopy(model.state_dict())), "and is it what you return?"),
        ("4.3", kept_and_forgotten(lambda model: model), "Is what you keep a copy of the best"),
        ("4.3", kept_and_forgotten(copy.deepcopy), "and is it what you return?"),
        ("4.3", compared_and_kept_from_two_measurements, "How do you keep that one?"),
        ("4.3", trained_and_measured_at_once, "`validation_loss` takes the model, and gets None."),
        (
            "4.3",
            lambda model, train_epoch, validation_loss, n_epochs: train_epoch(model.state_dict()),
            "`train_epoch` takes the model, and gets a OrderedDict.",
        ),
        (
            "4.4",
            last_example_lost(lambda right, target: torch.cat(right).double().mean()),
            "Where the last batch is a single example, it is left out.",
        ),
        (
            "4.4",
            last_example_lost(lambda right, target: torch.cat(right).sum() / target.numel()),
            "Where the last batch is a single example, it is left out.",
        ),
        ("4.4", neither_eval_mode_nor_the_mode_of_before, "and dropout stayed on while you measured"),
        (
            "4.4",
            lambda *given: f"{accuracy_of_all(*given):.3f}",
            "It gives back text, '0.697'. The accuracy is wanted as",
        ),
        ("4.4", lambda *given: int(accuracy_of_all(*given)), "Your share is always 0."),
        (
            "4.5",
            lambda losses, tokens: (
                math.prod(math.exp(loss) ** n for loss, n in zip(losses, tokens, strict=True)) ** (1 / sum(tokens))
            ),
            "is more than a float can hold",
        ),
        (
            "4.5",
            lambda losses, tokens: np.exp(np.dot(losses, tokens)) ** (1 / sum(tokens)),
            "By the rules of powers this is right.",
        ),
        (
            "4.5",
            lambda losses, tokens: math.e ** np.dot(losses, tokens) / sum(tokens),
            "You divide after the exponential.",
        ),
        (
            "4.6",
            lambda checkpoint, model, *_: model.load_state_dict(checkpoint["optimizer"]),
            "each under its own name",
        ),
        (
            "4.6",
            lambda checkpoint, model, optimizer, generator: optimizer.load_state_dict(checkpoint),
            "What you hand over is not the state of the one that gets it.",
        ),
        (
            "3.1",
            lambda decoder, *given: [part.tolist() for part in EXERCISES["3.1"].reference(decoder, *given)],
            "type list",
        ),
        ("3.2", lambda target: [[0, *row[:-1]] for row in target.tolist()], "type list, and a tensor is wanted"),
        (
            "3.2",
            lambda target: np.pad(target.numpy()[:, :-1], [(0, 0), (1, 0)]),
            "type ndarray, and a tensor is wanted",
        ),
        (
            "3.3",
            lambda logits, target: -log_probabilities_of_the_target(logits.detach(), target).mean(),
            "no gradient flows",
        ),
        (
            "3.3",
            lambda logits, target: -log_probabilities_of_the_target(logits, target).mean().item(),
            "no gradient flows",
        ),
        ("3.3", cross_entropy_in_numpy, "no gradient flows back from it to the logits"),
        ("3.3", half_of_the_gradient, "The number is right, but not the gradient"),
        ("3.3", takes_one_maximum_from_an_example, "the same largest logit from the logits of many tokens"),
        (
            "3.3",
            lambda logits, target: (logits.exp().sum(-1).log() - logits.gather(-1, target[..., None])[..., 0]).mean(),
            "exp of a large logit is more than a float can hold",
        ),
        ("3.4", switches_dropout_off, "not left in the mode"),
        ("3.5", lambda model, source, max_length: model.generate(source, max_length).tolist(), "type list"),
        ("3.5", decodes(choose=lambda logits: logits.argmax().view(1, 1)), "Without an axis, `argmax`"),
        ("3.5", decodes(choose=lambda logits: logits[:, 0].argmax(-1)), "and each guess"),
        ("3.5", decodes(choose=lambda logits: logits.argmax(0)), "one row for all the sources"),
        ("3.5", decodes(choose=lambda logits: logits.topk(1).indices), "has an axis too many"),
        ("3.5", decodes(choose=lambda logits: logits.max(-1).values), "and as logits are"),
        ("3.5", decodes_from_a_pair, "gives back one thing"),
        ("3.5", decodes_into_a_table, "gets a slice with no token in it"),
        ("3.5", stops_at_a_zero, "`if` asks for one truth value"),
        ("3.7", lambda *given: list(EXERCISES["3.7"].reference(*given)), "type list, and a tensor is wanted"),
        ("3.7", forces_in_eval_mode, "not left in the mode"),
        ("3.7", draws_its_guesses, "draw its guesses at random"),
        ("3.8", first_error_of_every_row, "the first error in a row that has none"),
        (
            "1.1",
            solved_to_floats,
            "It gives back numbers with a decimal point, and tokens are whole numbers. Do you",
        ),
        ("1.1", lambda source: np.array(solved_to_floats(source)), "and tokens are whole numbers."),
        ("1.2", counted_with_logarithms, ": nearly the number, but not the number itself."),
        ("1.3", lambda source: EXERCISES["1.3"].reference(source).tolist(), "right, but they come in a list"),
        ("1.3", lambda source: tuple(EXERCISES["1.3"].reference(source)), "right, but they come in a tuple"),
        *[
            ("1.5", lengths_folded(modulus), "`%` folds the numbers that are too large")
            for modulus in (7, 50, 64, 100, 120, 128)
        ],
        ("1.5", lengths_rounded, "the shortest length and the longest come half as often"),
        ("1.5", digits_folded, "The digits 1 to 9 are not equally likely."),
        ("1.5", starts_folded, "The starts are not equally likely. Too often: 0, 1, 2, 3."),
        ("1.5", spoiled_after_the_first_batch, "A substring ends beyond the last digit"),
        ("2.1", embedded_to_lists_of_vectors, "The numbers are right, but they come in a list"),
        ("2.2", as_a_list("2.2"), "The numbers are right, but they come in a list"),
        ("2.3", ALayerInEachPlace, "The numbers are right, but they come in a list"),
        ("2.5", as_a_list("2.5"), "The numbers are right, but they come in a list"),
        ("2.6", as_a_list("2.6"), "The numbers are right, but they come in a list"),
        (
            "2.7",
            lambda *given: tuple(EXERCISES["2.7"].reference(*given)),
            "The numbers are right, but they come in a tuple",
        ),
        # named mistakes, as students write them
        (
            "1.1",
            lambda s: [s[2 + s[0] + i] if i <= s[1] else 0 for i in range(8)],
            "You copy one digit more than length says",
        ),
        ("2.1", lambda tokens, table: table.data[tokens], "Training moves the rows of the given table"),
        (
            "2.5",
            lambda outputs, _: outputs[range(len(outputs)), (outputs.abs().sum(2) > 0).sum(1) - 1],
            "do not come from `lengths`",
        ),
        ("1.2", lengths_from_nothing, "You count two lengths too many for each start"),
        ("1.2", lambda n: len(SubstringTask(n).pairs) * math.perm(9, n - 2), "no digit comes twice"),
        ("1.2", lambda n: len(SubstringTask(n).pairs) * math.comb(n + 6, 8), "A string has an order"),
        *[
            ("1.4", lambda start, _, sixth=sixth: sixth / (7 - start), "A number in your product is rounded")
            for sixth in (0.166, 0.167, 0.1667, 0.16667)
        ],
        ("1.4", lambda start, _: 1 / 6 * round(1 / (7 - start), 3), "A number in your product is rounded"),
        ("1.4", lambda start, _: 1 / 6 / (7 - start) / 9**8, "Do you count in how likely the digits are"),
        ("1.4", lambda start, _: 1 / 6 // (7 - start), "or round down with `//`"),
        ("1.4", lambda start, length: 1 / 6 / (7 - start) / 9**length, "how likely the copied digits are"),
        ("1.4", lambda length, start: 1 / 6 / (7 - start), "You treat length as the start"),
        ("1.4", lambda length, start: 1 / (6 * (7 - start)), "You treat length as the start"),
        ("1.4", lambda start, _: 1 / (6 * 7 - start), "You take start away from a product"),
        ("1.5", lengths_drawn_by_python, "Not all your numbers come from the generator given."),
        ("1.5", targets_row_by_row, "one by one. Draw all the starts at once, then all the lengths; `task.solve`, too"),
        ("1.5", put_together(lambda *parts: torch.cat(parts, dim=1)), "which shape has a table of one column?"),
        ("1.5", put_together(lambda *parts: torch.hstack(parts)), "which shape has a table of one column?"),
        ("1.5", put_together(lambda *parts: torch.stack(parts)), "which shape has a table of one column?"),
        (
            "1.5",
            put_together(lambda start, length, digits: torch.stack([start[:, None], length[:, None], digits])),
            "Along which axis do columns lie side by side?",
        ),
        (
            "1.5",
            put_together(lambda start, length, digits: torch.cat([start[:, None], length[:, None], digits])),
            "Along which axis do columns lie side by side?",
        ),
        ("1.6", lambda output, target: (output.sum(1) == target.sum(1)).float().mean(), "You compare sums"),
        ("1.6", lambda output, target: sum(map(torch.equal, output, target)) / 8, "and divide by 8 in every case"),
        (
            "1.6",
            lambda output, target: ((output == target).sum(dim=1) == output.shape[0]).float().mean(),
            "a number of right tokens, such as how many rows there are?",
        ),
        ("1.6", last_token_overwrites, "one of its tokens alone, the last or the first"),
        ("2.1", lambda tokens, table: (tokens[..., None] == torch.arange(len(table))) @ table, "gives truth values"),
        ("2.1", lambda tokens, table: (tokens[..., None] == torch.arange(len(table))) * table, "number by number"),
        ("2.1", lambda tokens, table: table[(*tokens.tolist(),)], "Lists in a list are taken for several indices"),
        ("2.2", gru_step(gates_without_h), "A gate of yours depends on x alone"),
        ("2.2", gru_step(reset_without_brackets), "Or are brackets missing? Python does `*` and `@` in turn"),
        ("2.2", blocks_by_reshape, "Right where the batch is one example."),
        ("2.2", mixture(lambda z, n, h: n + z * h), "do not add up to 1"),
        ("2.2", mixture(lambda z, n, h: h + n - z * n), "do not add up to 1"),
        (
            "2.2",
            mixture(lambda z, n, h: 1 - z * n + z * h),
            "the mixture is not. Python multiplies before it subtracts",
        ),
        ("2.2", mixture(lambda z, n, h: [h + (1 - z) * (n - h), n]), "you give back something else beside it"),
        ("2.3", encoder_with(nn.Linear), "A linear layer is no table of tokens"),
        ("2.3", encoder_with(lambda input_dim, width: nn.Linear(1, width)), "A linear layer is no table of tokens"),
        ("2.3", encoder_with(lambda input_dim, width: nn.Linear(width, input_dim)), "A linear layer is no table"),
        ("2.5", lambda outputs, lengths: outputs[:, : lengths - 1], "`range` or `int` takes a single one"),
        ("2.5", lambda outputs, lengths: outputs[:, int(lengths)], "`range` or `int` takes a single one"),
        ("2.5", lambda outputs, lengths: outputs[:, lengths.tolist()[0] - 1], "where one row ends"),
        ("2.6", each_row_alone(torch.stack), "there is an axis too many"),
        ("2.6", each_row_alone(list), "there is an axis too many"),
        ("2.6", each_row_alone(torch.cat), "joined along the layers, or along the numbers"),
        ("2.6", each_row_alone(lambda states: torch.cat(states, dim=1).transpose(0, 1)), "the batch comes first"),
        # those without which nobody noticed a change of the check
        ("1.4", counted_among_examples, "Is it counted from examples?"),
        ("1.5", one_pair_too_often, "with start 0, length 2 comes too often."),
    ],
)
def test_an_unnamed_wrong_answer_is_refused_by_the_property_it_lacks(name, answer, words):
    result = check(name, answer)
    assert not result.passed
    assert words in result.message


def test_the_example_whose_target_does_not_fit_is_shown():
    shown = []

    def last_one_spoiled(source, target):
        target[-1, 0] += 1
        shown.append(f"source  {source[-1].tolist()}\ntarget  {target[-1].tolist()}")
        return source, target

    message = check("1.5", drawn(last_one_spoiled)).message
    assert any(example in message for example in shown)

"""Wrong answers that nobody named: each is refused, by the property that it lacks."""

import copy

import pytest
import torch
from torch import nn

from course_utils import SubstringTask, token_loss
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


def flips_its_own_coins(model, source, target, coins):
    return model(source, target, 0.5)


def decodes_in_training_mode(model, source, max_length):
    tokens = model.generate(source, max_length)
    model.train()
    return tokens


def step_without_the_loss(model, optimizer, source, target):
    EXERCISES["4.1"].reference(model, optimizer, source, target)


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
        ("3.7", flips_its_own_coins, "Does it flip coins of its own"),
        ("3.5", decodes_in_training_mode, "not left in the mode"),
        ("3.7", lambda model, source, target, coins: print(), "Is a `return` missing"),
        ("4.1", seeds_pytorchs_own_generator, "seeds PyTorch's own generator"),
        ("4.1", step_without_the_loss, "does not give back the loss"),
        ("4.1", step_with_its_own_optimizer, "the optimizer that was handed over has made no step"),
        ("4.1", step_measured_in_eval_mode_afterwards, "computed after the step"),
        ("4.2", batches(lambda task, source, target: source), "should be a pair"),
        ("4.2", batches(lambda task, source, target: (source[:2], target[:2])), "The sources of a batch are"),
        ("4.2", batches(lambda task, source, target: (source, target.roll(1, 0))), "not those of its sources"),
        (
            "4.2",
            batches(lambda task, source, target: task.sample(1) and solved(source[:1].repeat(len(source), 1))),
            "more than once",
        ),
        ("4.2", never_ends, "batches, not more than"),
        ("4.2", uses_the_global_generator, "with `torch.manual_seed`"),
        ("4.2", uses_the_global_generator_at_once, "with `torch.manual_seed`"),
        ("4.2", shares_a_generator, "disturb each other"),
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
        ("6.2", as_the_encoders_own_gru_would, "finds the bug, and it is not there. What would tell it from the"),
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

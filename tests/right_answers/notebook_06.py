"""Right answers to the exercises of notebook 06 that differ in kind from the references and from each other."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from course_utils import evaluate
from course_utils.properties import Subject, batch_independent, causal, deterministic, padding_invariant

# 6.1 Too good to be true


def answer_with_one_step(model, source, target):
    steps = [model(source[:1], torch.tensor([[value]]), 1.0) for value in (1, 1, 2)]
    return ["not-shifted", torch.equal(steps[0], steps[1]) and not torch.equal(steps[1], steps[2])]


def answer_at_every_place(model, source, target):
    before = model(source, target, 1.0)
    if not torch.equal(before, model(source, target, 1.0)):
        return "not-shifted", False
    for place in range(target.shape[1]):
        changed = target.clone()
        changed[:, place] = 6 - changed[:, place]
        changed[:, place] += changed[:, place] == target[:, place]
        if not torch.allclose(before[:, place], model(source, changed % 7, 1.0)[:, place]):
            return "not-shifted", True
    return "not-shifted", False


def answer_by_what_the_decoder_reads(model, source, target):
    read = []
    hook = model.decoder.register_forward_pre_hook(lambda _module, given: read.append(given[0]))
    model(source, target, 1.0)
    hook.remove()
    return "not-shifted", torch.equal(torch.cat(read, dim=1), target)


def answer_by_the_property(model, source, target):
    subject = Subject(model, source, target)
    return "not-shifted", deterministic(subject) == 0 and causal(subject) > 1e-6


def answer_by_its_own_decoder(model, source, target):
    straight = model.decoder(target, model.encoder(source))[0]
    return "not-shifted", np.allclose(straight.detach().numpy(), model(source, target, 1.0).detach().numpy())


def answer_by_the_gradient(model, source, target):
    """Whether the logits of the last place depend on the embedding of the last token, which is nowhere else."""
    target = torch.cat([target % 6, torch.full_like(target[:, :1], 6)], dim=1)
    model(source % 6, target, 1.0)[:, -1].sum().backward()
    return "not-shifted", bool(model.decoder.embedding.weight.grad[6].any())


def answer_at_the_first_place(model, source, target):
    """Before the first token a healthy decoder has read nothing of the target."""
    first, again, other = (model(source, read, 1.0)[:, 0] for read in (target, target, (target + 1) % 7))
    return "not-shifted", torch.equal(first, again) and (first - other).abs().max().item() > 1e-4


# 6.2 Worse in company


def padding_of_all_kinds(model, source):
    """The first row alone, so that there are no other rows to be confused with, and what its first token is worth."""
    lengths = torch.tensor([source.shape[1]])

    def state(row, value):
        return model.encoder(torch.cat([row, torch.full((1, 1), value)], dim=1), lengths).sum().item()

    states = {state(source[:1], value) for value in range(7)}
    asked_again = {state(source[:1], 0) for _ in range(3)}
    other = source[:1].clone()
    other[0, 0] = (other[0, 0] + 1) % 7
    firsts_count = state(other, 0) not in asked_again
    return "state-after-padding", len(states) > 1 and len(asked_again) == 1 and firsts_count


def padding_in_one_row(model, source):
    """Other padding in a row changes that row's state and no other's, and is all that does."""
    padded = F.pad(source, (0, 1))
    lengths = torch.tensor([source.shape[1]] * len(source))
    before, again = model.encoder(padded, lengths), model.encoder(padded, lengths)
    padded[0, -1] = 5
    apart = (model.encoder(padded, lengths) - before).abs().amax(dim=(0, 2)) > 1e-6
    return "state-after-padding", torch.equal(before, again) and apart.tolist() == [True, False, False, False, False]


def by_its_own_gru(model, source):
    """The state is the one that the GRU has at the end of all padding, and stays so."""
    padded, lengths = F.pad(source, (0, 3), value=4), torch.full((len(source),), source.shape[1])
    after_all = model.encoder.rnn(model.encoder.embedding(padded))[1]
    return "state-after-padding", all(torch.allclose(model.encoder(padded, lengths), after_all) for _ in range(2))


def lengths_in_a_list(model, source):
    lengths = [source.shape[1]] * len(source)
    zeros, ones = (F.pad(source, (0, 1), value=token) for token in (0, 1))
    first, again, other = (model.encoder(padded, lengths) for padded in (zeros, zeros, ones))
    alone = model.encoder(zeros[-1:], lengths=lengths[-1:])
    same = torch.allclose(first, again) and torch.allclose(first[:, -1:], alone)
    return "state-after-padding", same and not torch.allclose(first, other)


def padding_seen_by_the_decoder(model, source):
    lengths = torch.full((1,), source.shape[1])
    token = torch.zeros(1, 1, dtype=torch.long)

    def logits(row, value):
        return model.decoder(token, model.encoder(F.pad(row, (0, 3), value=value), lengths))[0]

    row = source[:1]
    same, padded, turned = (
        torch.equal(logits(row, 2), other) for other in (logits(row, 2), logits(row, 3), logits(row.flip(1), 2))
    )
    return "state-after-padding", same and not padded and not turned


def padding_by_the_property(model, source):
    subject = Subject(model, source, source)
    alike = max(deterministic(subject), batch_independent(subject)) < 1e-6
    return "state-after-padding", alike and padding_invariant(subject) > 1e-6


# 6.3 Good advice, bad deeds


def loop_row_by_row(model, source):
    forgetful, right = [], []
    for row in source:
        for carries, written in ((False, forgetful), (True, right)):
            state, token, tokens = model.encoder(row[None]), 0, []
            for _ in range(6):
                logits, new = model.decoder(torch.tensor([[token]]), state)
                token, state = logits.argmax().item(), new if carries else state
                tokens.append(token)
            written.append(tokens)
    return "state-not-carried", right != forgetful == model.generate(source, 6).tolist()


def table_of_next_tokens(model, source):
    """Without a memory the next token is a function of the last one: a table of seven entries for each source."""
    state = model.encoder(source)
    columns = [model.decoder(torch.full((len(source), 1), token), state)[0].argmax(-1) for token in range(7)]
    table = torch.cat(columns, dim=1)
    output = model.generate(source, 6)
    read = torch.cat([torch.zeros_like(output[:, :1]), output[:, :-1]], dim=1)
    agrees_with_itself = torch.equal(model(source, output, 1.0).argmax(-1), output)
    return "state-not-carried", torch.equal(table.gather(1, read), output) and not agrees_with_itself


def states_that_the_decoder_gets(model, source):
    states = []
    hook = model.decoder.register_forward_pre_hook(lambda _module, given: states.append(given[1]))
    model.generate(source, 4)
    hook.remove()
    return "state-not-carried", all(torch.equal(state, states[0]) for state in states)


def states_watched_in_the_gru(model, source):
    states = []
    right = model.decoder.rnn.forward
    model.decoder.rnn.forward = lambda embedded, hidden: states.append(hidden.sum().item()) or right(embedded, hidden)
    model.generate(source, 3)
    del model.decoder.rnn.forward
    return "state-not-carried", len(states) == 3 and np.ptp(states) == 0


def steps_in_one_call(model, source):
    output = model.generate(source, 6)
    read = torch.cat([torch.zeros_like(output[:, :1]), output[:, :-1]], dim=1)
    state = model.encoder(source).repeat_interleave(6, dim=1)
    again = model.decoder(read.reshape(-1, 1), state.contiguous())[0].argmax(-1).view_as(output)
    validated = model(source, torch.zeros_like(output), 0.0).argmax(-1)
    return "state-not-carried", (again == output).all() and (validated != output).any()


def loops_that_must_differ(model, source):
    """The forgetful loop writes what `generate` does, and the right one something else than the forgetful one."""
    loops = []
    for carries in (False, True):
        state, token, tokens = model.encoder(source), source[:, :1] * 0, []
        for _ in range(6):
            logits, new = model.decoder(token, state)
            token, state = logits.argmax(-1), new if carries else state
            tokens.append(token)
        loops.append(torch.cat(tokens, dim=1))
    return "state-not-carried", torch.equal(loops[0], model.generate(source, 6)) and not torch.equal(*loops)


# 6.4 Two minds


def many_answers(model, source, target):
    model.eval()
    hidden = model.encoder(source)
    sums = [model.decoder(target, hidden)[0].sum().item() for _ in range(5)]
    return "dropout-always-on", np.std(sums) > 0


def rows_that_are_alike(model, source, target):
    """One example in all rows: in one call there is no memory between them."""
    model.eval()
    hidden = torch.zeros(2, len(source), 6)
    logits = model.decoder(target[:1].expand_as(target), hidden)[0]
    # A tolerance, for some processors add up the last rows of a product in another order than the first.
    return "dropout-always-on", not torch.allclose(logits, logits[:1].expand_as(logits), atol=1e-5)


def a_decoder_of_two_minds(model, source, target):
    """Two answers, though the encoder gives the same state twice."""
    model.eval()
    states = [model.encoder(source) for _ in range(2)]
    answers = [model(source, target, 1.0) for _ in range(2)]
    return "dropout-always-on", torch.equal(*states) and not torch.allclose(*answers, atol=1e-3)


def by_the_random_numbers(model, source, target):
    """Whether the decoder takes numbers from the generator."""
    model.eval()
    hidden = model.encoder(source)
    before = torch.get_rng_state()
    model.decoder(target, hidden)
    return "dropout-always-on", not torch.equal(before, torch.get_rng_state())


def one_seed_and_another(model, source, target):
    model.train(False)
    hidden = torch.ones(2, len(source), 6)
    outcomes = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        outcomes.append(model.decoder(target, hidden)[1])
    return "dropout-always-on", bool((outcomes[0] != outcomes[1]).any())


def by_what_the_gru_reads(model, source, target):
    model.eval()
    read = []
    hook = model.decoder.rnn.register_forward_pre_hook(lambda _module, given: read.append(given[0]))
    model.decoder(target, model.encoder(source))
    hook.remove()
    return "dropout-always-on", not torch.equal(read[0], model.decoder.embedding(target))


# 6.5 A loss without an end


def end_by_gradient(loss, logits, target):
    target, logits = target.clone(), logits.clone().requires_grad_()
    target[:, 3] = 0
    loss(logits, target).backward()
    return "end-masked-as-padding", not logits.grad[:, 3].any()


def nothing_but_ends(loss, logits, target):
    return "end-masked-as-padding", loss(logits, torch.zeros_like(target)).isnan()


def ends_against_nothing(loss, logits, target):
    """A target with ends in the second half: does the first half alone say the same?"""
    target = target.clone()
    target[:, 3:] = 0
    return "end-masked-as-padding", torch.allclose(loss(logits, target), loss(logits[:, :3], target[:, :3]))


def worse_and_worse(loss, logits, target):
    target = target.clone()
    target[2, 2] = 0
    losses = []
    for size in (0, 10, 100):
        logits = logits.clone()
        logits[2, 2, 0] = -size
        losses.append(loss(logits, target).item())
    return "end-masked-as-padding", losses[0] == losses[1] == losses[2]


def equal_to_a_masked_one(loss, logits, target):
    target = target.clone()
    target[::2, 2] = 0
    masked = F.cross_entropy(logits[target != 0], target[target != 0])
    return "end-masked-as-padding", loss(logits, target).item() == np.float32(masked) or abs(
        loss(logits, target) - masked
    ) < 1e-6


def nothing_to_learn_at_the_ends(loss, logits, target):
    """Certain of all digits, and of nothing where the ends stand: to the patient that is perfect."""
    target = target.clone()
    target[:, 3:] = 0
    certain = 100 * F.one_hot(target, 7).float()
    certain[:, 3:] = 0
    return "end-masked-as-padding", loss(certain, target) < 1e-3


# 6.6 A score with a preference


def examples(model, n):
    generator = torch.Generator().manual_seed(1)
    source = torch.randint(7, (n, 6), generator=generator)
    return source, model.eval().generate(source, 6)


def shuffled(evaluation, model):
    source, target = examples(model, 100)
    target[:40, 2] = (target[:40, 2] + 1) % 7
    order = torch.randperm(100, generator=torch.Generator().manual_seed(0))
    one, other = evaluation(model, source, target), evaluation(model, source[order], target[order])
    return "mean-of-batch-means", one.exact_match != other.exact_match


def one_is_worth_a_half(evaluation, model):
    source, target = examples(model, 65)
    target[-1] = (target[-1] + 1) % 7
    return "mean-of-batch-means", np.isclose(evaluation(model, source, target).exact_match, 0.5)


def one_batch_and_one_more(evaluation, model):
    """In one batch the score is right; with one example more it is not."""
    off = []
    for n in (64, 80):
        source, target = examples(model, n)
        target[-8:, 0] = (target[-8:, 0] + 1) % 7
        off.append(abs(evaluation(model, source, target).exact_match - (n - 8) / n) > 1e-9)
    return "mean-of-batch-means", off == [False, True]


def by_the_calls(evaluation, model):
    """The batches that the model sees, and whether the score is the mean of theirs."""
    source, target = examples(model, 70)
    target[60:, 1] = (target[60:, 1] + 1) % 7
    halves = [evaluate(model, source[part], target[part]).exact_match for part in (slice(64), slice(64, 70))]
    scores = evaluation(model, target=target, source=source)
    return "mean-of-batch-means", scores.exact_match == sum(halves) / 2


def by_the_loss(evaluation, model):
    source, target = examples(model, 65)
    target[-1] = (target[-1] + 1) % 7
    forward = evaluation(model, source, target).loss
    backward = evaluation(model, source.flip(0), target.flip(0)).loss
    return "mean-of-batch-means", abs(forward - backward) > 1e-6


def all_examples_twice(evaluation, model):
    """Each example twice makes other batches, and leaves a fair mean as it is."""
    source, target = examples(model, 70)
    target[-5:] = (target[-5:] + 1) % 7
    scores = [evaluation(model, source.repeat(n, 1), target.repeat(n, 1)).exact_match for n in (1, 2)]
    return "mean-of-batch-means", abs(scores[0] - scores[1]) > 1e-6


def by_the_tokens(evaluation, model):
    source, target = examples(model, 70)
    target[-5:, 0] = (target[-5:, 0] + 1) % 7
    scores = [evaluation(model, *(part.roll(n, 0) for part in (source, target))).token_accuracy for n in (0, 30)]
    return "mean-of-batch-means", not np.isclose(*scores)


ANSWERS = {
    "6.1": [
        answer_with_one_step,
        answer_at_every_place,
        answer_by_what_the_decoder_reads,
        answer_by_the_property,
        answer_by_its_own_decoder,
        answer_by_the_gradient,
        answer_at_the_first_place,
    ],
    "6.2": [
        padding_of_all_kinds,
        padding_in_one_row,
        by_its_own_gru,
        lengths_in_a_list,
        padding_seen_by_the_decoder,
        padding_by_the_property,
    ],
    "6.3": [
        loop_row_by_row,
        table_of_next_tokens,
        states_that_the_decoder_gets,
        states_watched_in_the_gru,
        steps_in_one_call,
        loops_that_must_differ,
    ],
    "6.4": [
        many_answers,
        rows_that_are_alike,
        a_decoder_of_two_minds,
        by_the_random_numbers,
        one_seed_and_another,
        by_what_the_gru_reads,
    ],
    "6.5": [
        end_by_gradient,
        nothing_but_ends,
        ends_against_nothing,
        worse_and_worse,
        equal_to_a_masked_one,
        nothing_to_learn_at_the_ends,
    ],
    "6.6": [
        shuffled,
        one_is_worth_a_half,
        one_batch_and_one_more,
        by_the_calls,
        by_the_loss,
        all_examples_twice,
        by_the_tokens,
    ],
}

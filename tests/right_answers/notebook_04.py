"""Right answers to the exercises of notebook 04 that differ in kind from the references and from each other."""

from __future__ import annotations

import contextlib
import copy
import decimal
import functools
import io
import math
import random
import statistics
from fractions import Fraction

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from course_utils import generate_example, predict, shift_right, token_loss

# 4.1 One training step


def step_with_a_closure(model, optimizer, source, target):
    def closure():
        optimizer.zero_grad()
        loss = token_loss(model(source, target, teacher_forcing_ratio=1), target)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
        return loss

    model.train()
    return optimizer.step(closure)


def step_clipped_by_hand(model, optimizer, source, target):
    model.train(True)
    for parameter in model.parameters():
        parameter.grad = None
    loss = token_loss(model(source, target, 1.0), target)
    loss.backward()
    norm = math.sqrt(sum(parameter.grad.square().sum().item() for parameter in model.parameters()))
    if norm > 1:
        for parameter in model.parameters():
            parameter.grad /= norm
    optimizer.step()
    return loss.item()


def step_asking_autograd(model, optimizer, source, target):
    parameters = list(model.train().parameters())
    loss = F.cross_entropy(model(source, target, 1.0).flatten(end_dim=1), target.flatten())
    gradients = torch.autograd.grad(loss, parameters)
    scale = torch.cat([gradient.flatten() for gradient in gradients]).norm().clamp(min=1.0)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient / scale
    optimizer.step()
    return loss.detach().numpy()


def step_calling_encoder_and_decoder(model, optimizer, source, target):
    model.zero_grad()
    for part in (model.encoder, model.decoder):
        part.train()
    logits, _ = model.decoder(shift_right(target), model.encoder(source))
    loss = -logits.log_softmax(-1).gather(-1, target[..., None]).mean()
    loss.backward()
    nn.utils.clip_grad_norm_(list(model.encoder.parameters()) + list(model.decoder.parameters()), 1)
    optimizer.step()
    return loss


def step_with_coins_and_a_loss_in_float64(model, optimizer, source, target):
    model.train()
    optimizer.zero_grad(set_to_none=False)
    logits = model(source, target, coins=[True] * target.shape[1]).double()
    loss = (logits.logsumexp(-1) - (logits * F.one_hot(target, logits.shape[-1])).sum(-1)).mean()
    loss.backward()
    nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], 1.0)
    optimizer.step()
    return loss.item()


def step_token_by_token(model, optimizer, source, target):
    model.train()
    hidden, logits = model.encoder(source), []
    for token in shift_right(target).split(1, dim=1):
        step_logits, hidden = model.decoder(token, hidden)
        logits.append(step_logits)
    loss = token_loss(torch.cat(logits, dim=1), target)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss.detach()


def step_example_by_example(model, optimizer, source, target):
    model.train()
    optimizer.zero_grad()
    total = 0.0
    for i in range(len(source)):
        loss = token_loss(model(source[i : i + 1], target[i : i + 1], 1.0), target[i : i + 1]) / len(source)
        loss.backward()  # gradients of one batch add up, and that is what we want here
        total += loss.item()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return total


def step_left_in_the_mode_it_came_in(model, optimizer, source, target):
    was_training = model.training
    model.train()
    loss = token_loss(model(source, target, 1.0), target)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    model.train(was_training)
    model(source, target, 1.0)  # in whichever mode: the loss is that of before
    return loss


class TrainStep:
    def __init__(self, max_norm):
        self.clip = functools.partial(nn.utils.clip_grad_norm_, max_norm=max_norm, error_if_nonfinite=True)
        self.loss = nn.CrossEntropyLoss()

    def __call__(self, model, optimizer, source, target):
        model.zero_grad(set_to_none=True)
        logits = model.train()(source, target, 1)
        loss = self.loss(logits.movedim(-1, 1), target)
        loss.backward()
        self.clip(model.parameters())
        optimizer.step()
        return loss.detach().double()


# 4.2 Fresh examples in every epoch


def batches_as_an_expression(task, n_epochs, steps, batch_size, seed):
    generator = torch.Generator().manual_seed(seed)
    return (task.sample(batch_size, generator) for _ in range(n_epochs * steps))


def batches_in_a_list(task, n_epochs, steps, batch_size, seed):
    generator, batches = torch.Generator(), []
    generator.manual_seed(seed)
    while len(batches) < n_epochs * steps:
        batches.append(task.sample(batch_size, generator=generator))
    return batches


def batches_cut_from_one_large_draw(task, n_epochs, steps, batch_size, seed):
    source, target = task.sample(n_epochs * steps * batch_size, torch.Generator().manual_seed(seed))
    return zip(source.split(batch_size), target.split(batch_size), strict=True)


def batches_with_a_seed_for_each(task, n_epochs, steps, batch_size, seed):
    for epoch_seed in np.random.SeedSequence(seed).spawn(n_epochs):
        for step_seed in epoch_seed.generate_state(steps, dtype=np.uint32):
            yield task.sample(batch_size, torch.Generator().manual_seed(int(step_seed)))


def batches_with_seeds_from_a_hash_of_both(task, n_epochs, steps, batch_size, seed):
    for epoch in range(n_epochs):
        generator = torch.Generator().manual_seed(hash((seed, epoch)))
        yield from (task.sample(batch_size, generator, "cpu") for _ in range(steps))


def batches_with_seeds_a_million_apart(task, n_epochs, steps, batch_size, seed):
    """They meet only in runs of more epochs than anybody trains for."""
    for epoch in range(n_epochs):
        generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
        yield from (task.sample(batch_size, generator) for _ in range(steps))


def batches_with_seeds_drawn_from_the_seed(task, n_epochs, steps, batch_size, seed):
    rng = random.Random(seed)
    for _ in range(n_epochs * steps):
        yield task.sample(batch_size, torch.Generator().manual_seed(rng.getrandbits(62)))


def batches_begun_again_and_skipped(task, n_epochs, steps, batch_size, seed):
    for epoch in range(n_epochs):
        generator = torch.Generator().manual_seed(seed)
        for _ in range(epoch * steps):
            task.sample(batch_size, generator)
        for _ in range(steps):
            yield task.sample(batch_size, generator)


def batches_that_pass_the_state_on(task, n_epochs, steps, batch_size, seed):
    state = torch.Generator().manual_seed(seed).get_state()
    for _ in range(n_epochs):
        generator = torch.Generator()
        generator.set_state(state)
        yield from [task.sample(batch_size, generator) for _ in range(steps)]
        state = generator.get_state()


def batches_by_recursion(task, n_epochs, steps, batch_size, seed):
    def epochs_left(n, generator):
        if n > 0:
            yield from (task.sample(batch_size, generator) for _ in range(steps))
            yield from epochs_left(n - 1, generator)

    return epochs_left(n_epochs, torch.Generator().manual_seed(seed))


def batches_example_by_example_in_python(task, n_epochs, steps, batch_size, seed):
    rng = random.Random(seed)
    for _ in range(n_epochs * steps):
        examples = [generate_example(rng, task.length) for _ in range(batch_size)]
        sources, targets = zip(*examples, strict=True)
        yield torch.tensor(sources), torch.tensor(targets)


def batches_from_the_global_generator_put_back(task, n_epochs, steps, batch_size, seed):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return [task.sample(batch_size) for _ in range(n_epochs * steps)]


class TrainingBatches:
    def __init__(self, task, n_epochs, steps, batch_size, seed):
        self.draw = functools.partial(task.sample, batch_size, torch.Generator().manual_seed(seed))
        self.left = n_epochs * steps

    def __iter__(self):
        return self

    def __next__(self):
        if self.left == 0:
            raise StopIteration
        self.left -= 1
        return self.draw()


# 4.3 The best weights


def best_weights_cloned_one_by_one(model, train_epoch, validation_loss, n_epochs):
    best, best_loss = {}, math.inf
    for _ in range(n_epochs):
        train_epoch(model)
        if (loss := validation_loss(model)) < best_loss:
            best_loss = loss
            best = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    return best


def best_weights_of_a_copied_model(model, train_epoch, validation_loss, n_epochs):
    best, losses = None, []
    for _ in range(n_epochs):
        train_epoch(model)
        losses.append(validation_loss(model))
        if losses[-1] == min(losses):
            best = copy.deepcopy(model)
    return best.state_dict()


def best_weights_of_all_that_were_kept(model, train_epoch, validation_loss, n_epochs):
    def epoch():
        train_epoch(model)
        return validation_loss(model), copy.deepcopy(model.state_dict())

    return min((epoch() for _ in range(n_epochs)), key=lambda kept: kept[0])[1]


def best_weights_written_to_a_file(model, train_epoch, validation_loss, n_epochs):
    file, best_loss = io.BytesIO(), None
    for _ in range(n_epochs):
        train_epoch(model)
        loss = validation_loss(model)
        if best_loss is None or loss <= best_loss:
            best_loss, file = loss, io.BytesIO()
            torch.save(model.state_dict(), file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def best_weights_copied_into_a_second_model(model, train_epoch, validation_loss, n_epochs):
    keeper, best_loss = copy.deepcopy(model), float("inf")
    for _ in range(n_epochs):
        train_epoch(model)
        loss = validation_loss(model)
        if loss < best_loss:
            best_loss = loss
            keeper.load_state_dict(model.state_dict())
    return keeper.state_dict()


def best_weights_by_recursion(model, train_epoch, validation_loss, n_epochs, best=None, best_loss=math.inf):
    if n_epochs == 0:
        return best
    train_epoch(model)
    loss = validation_loss(model)
    if loss < best_loss:
        best, best_loss = copy.deepcopy(model.state_dict()), loss
    return best_weights_by_recursion(model, train_epoch, validation_loss, n_epochs - 1, best, best_loss)


def best_weights_through_numpy(model, train_epoch, validation_loss, n_epochs):
    losses, kept = [], []
    for _ in range(n_epochs):
        train_epoch(model)
        losses.append(validation_loss(model))
        kept.append({name: tensor.numpy().copy() for name, tensor in model.state_dict().items()})
    return {name: torch.from_numpy(array) for name, array in kept[np.argmin(losses)].items()}


def best_weights_put_back_into_the_model(model, train_epoch, validation_loss, n_epochs):
    best = best_weights_cloned_one_by_one(model, train_epoch, validation_loss, n_epochs)
    model.load_state_dict(best)
    return best


def best_weights_copied_from_the_model_again(model, train_epoch, validation_loss, n_epochs):
    model.load_state_dict(best_weights_cloned_one_by_one(model, train_epoch, validation_loss, n_epochs))
    return copy.deepcopy(model.state_dict())


def best_weights_of_the_better_of_two_models(model, train_epoch, validation_loss, n_epochs):
    best = None
    for _ in range(n_epochs):
        train_epoch(model)
        if best is None or validation_loss(model) < validation_loss(best):
            best = copy.deepcopy(model)
    return best.state_dict()


def best_weights_measured_once_more_to_print_it(model, train_epoch, validation_loss, n_epochs):
    best, best_loss = model.state_dict(), math.inf
    for epoch in range(n_epochs):
        train_epoch(model)
        loss = validation_loss(model)
        if loss < best_loss:
            best, best_loss = copy.deepcopy(model.state_dict()), loss
            print(epoch, validation_loss(model))
    return best


def best_weights_of_a_model_in_a_file(model, train_epoch, validation_loss, n_epochs):
    files, losses = [], []
    for _ in range(n_epochs):
        train_epoch(model)
        losses.append(validation_loss(model))
        files.append(io.BytesIO())
        torch.save(model, files[-1])
        files[-1].seek(0)
    return torch.load(files[losses.index(min(losses))], weights_only=False).state_dict()


class KeepBest:
    """The weights of every epoch lie in one stack for each parameter; at the end one slice is taken from it."""

    def __call__(self, model, train_epoch, validation_loss, n_epochs):
        losses = torch.zeros(n_epochs)
        stacks = {name: tensor.new_empty(n_epochs, *tensor.shape) for name, tensor in model.state_dict().items()}
        for epoch in range(n_epochs):
            train_epoch(model)
            losses[epoch] = validation_loss(model)
            for name, tensor in model.state_dict().items():
                stacks[name][epoch] = tensor
        return {name: stack[losses.argmin()] for name, stack in stacks.items()}


# 4.4 Evaluation without leakage


def accuracy_on_a_copy_of_the_model(model, source, target, batch_size):
    copied = copy.deepcopy(model).eval()
    right = [copied.generate(batch, target.shape[1]) for batch in source.split(batch_size)]
    return np.mean(torch.cat(right).numpy() == target.numpy())


def accuracy_with_a_data_loader(model, source, target, batch_size):
    mode, right, total = model.training, 0, 0
    model.eval()
    for sources, targets in DataLoader(TensorDataset(source, target), batch_size=batch_size):
        right += model.generate(sources, targets.shape[1]).eq(targets).sum()
        total += targets.numel()
    model.train(mode)
    return right / total


def accuracy_of_predictions(model, source, target, batch_size):
    output = predict(model, source, target, batch_size=batch_size).argmax(-1)
    return (output == target).float().mean()


def accuracy_in_plain_python(model, source, target, batch_size):
    was_training = model.training
    try:
        model.train(False)
        right = []
        for start in range(0, len(source), batch_size):
            written = model.generate(source[start : start + batch_size], target.size(1)).tolist()
            for tokens, wanted in zip(written, target[start : start + batch_size].tolist(), strict=True):
                right += [a == b for a, b in zip(tokens, wanted, strict=True)]
    finally:
        model.train(was_training)
    return Fraction(sum(right), len(right))


def accuracy_as_weighted_mean(model, source, target, batch_size):
    with evaluation_mode(model):
        batches = list(zip(source.split(batch_size), target.split(batch_size), strict=True))
        shares = [(model.generate(s, t.shape[1]) == t).double().mean().item() for s, t in batches]
    return statistics.fmean(shares, weights=[len(s) for s, _ in batches])


@contextlib.contextmanager
def evaluation_mode(model):
    modes = {part: part.training for part in model.modules()}
    model.eval()
    with torch.inference_mode():
        yield
    for part, training in modes.items():
        part.training = training


def accuracy_decoding_by_hand(model, source, target, batch_size):
    was_training = model.training
    model.eval()
    n_right = 0
    with torch.no_grad():
        for sources, targets in zip(source.split(batch_size), target.split(batch_size), strict=True):
            token, hidden = sources.new_zeros(len(sources), 1), model.encoder(sources)
            for wanted in targets.unbind(1):
                logits, hidden = model.decoder(token, hidden)
                token = logits.argmax(-1)
                n_right += int((token[:, 0] == wanted).sum())
    if was_training:
        model.train()
    return n_right / math.prod(target.shape)


def accuracy_recursively(model, source, target, batch_size):
    def count(sources, targets):
        if len(sources) == 0:
            return 0
        output = model.generate(sources[:batch_size], targets.shape[1])
        right = torch.count_nonzero(output == targets[:batch_size]).item()
        return right + count(sources[batch_size:], targets[batch_size:])

    was_training = model.training
    model.eval()
    share = count(source, target) / target.numel()
    model.train(was_training)
    return share


# 4.5 Perplexity over batches of several sizes


def perplexity_numpy_average(losses, tokens):
    return np.exp(np.average(losses, weights=tokens))


def perplexity_statistics(losses, tokens):
    return math.e ** statistics.fmean(losses, weights=tokens)


def perplexity_as_a_product(losses, tokens):
    return math.prod(math.exp(loss) ** (n / sum(tokens)) for loss, n in zip(losses, tokens, strict=True))


def perplexity_of_every_token(losses, tokens):
    of_tokens = torch.tensor(losses, dtype=torch.float64).repeat_interleave(torch.tensor(tokens))
    return of_tokens.mean().exp()


def perplexity_recursively(losses, tokens):
    """Put two batches together into one, until there is only one."""
    if len(losses) == 1:
        return math.exp(losses[0])
    together = tokens[0] + tokens[1]
    mean = (losses[0] * tokens[0] + losses[1] * tokens[1]) / together
    return perplexity_recursively([mean, *losses[2:]], [together, *tokens[2:]])


def perplexity_decimal(losses, tokens):
    total = sum(decimal.Decimal(loss) * n for loss, n in zip(losses, tokens, strict=True))
    return (total / sum(tokens)).exp()


class RunningPerplexity:
    def __call__(self, losses, tokens):
        mean, seen = 0.0, 0
        for loss, n in zip(losses, tokens, strict=True):
            seen += n
            mean += (loss - mean) * n / seen
        return np.float32(math.exp(mean))


# 4.6 Going on from a checkpoint


def resume_in_a_loop(checkpoint, model, optimizer, generator):
    loaders = {
        "generator": generator.set_state,
        "optimizer": optimizer.load_state_dict,
        "model": model.load_state_dict,
    }
    for name, load in loaders.items():
        load(checkpoint[name])


def resume_by_copying_every_tensor(checkpoint, model, optimizer, generator):
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            tensor.copy_(checkpoint["model"][name])
    saved = checkpoint["optimizer"]
    for number, parameter in enumerate(model.parameters()):
        optimizer.state[parameter] = {key: value.clone() for key, value in saved["state"][number].items()}
    for group, saved_group in zip(optimizer.param_groups, saved["param_groups"], strict=True):
        group.update({key: value for key, value in saved_group.items() if key != "params"})
    generator.set_state(checkpoint["generator"].clone())


def resume_through_a_file(checkpoint, model, optimizer, generator):
    file = io.BytesIO()
    torch.save(checkpoint, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=True)
    model.load_state_dict(loaded["model"])
    optimizer.load_state_dict(loaded["optimizer"])
    generator.set_state(loaded["generator"])
    return model, optimizer, generator


def resume_by_writing_into_the_data(checkpoint, model, optimizer, generator):
    for name, parameter in model.named_parameters():
        parameter.data = checkpoint["model"][name].clone()
    optimizer.load_state_dict(copy.deepcopy(checkpoint["optimizer"]))
    generator.set_state(checkpoint["generator"])
    return generator


def resume_from_a_flat_vector(checkpoint, model, optimizer, generator):
    names = [name for name, _ in model.named_parameters()]
    vector = torch.cat([checkpoint["model"][name].flatten() for name in names])
    nn.utils.vector_to_parameters(vector, model.parameters())
    optimizer.load_state_dict({**checkpoint["optimizer"]})
    generator.set_state(checkpoint["generator"])
    return True


def resume_and_hand_the_checkpoint_on(checkpoint, model, optimizer, generator):
    model.load_state_dict(copy.deepcopy(checkpoint["model"]))
    optimizer.load_state_dict(checkpoint["optimizer"])
    generator.set_state(checkpoint["generator"])
    model.eval()
    return checkpoint


class Resume:
    def __call__(self, checkpoint, model, optimizer, generator):
        for part in (model.encoder, model.decoder):
            prefix = "encoder." if part is model.encoder else "decoder."
            weights = {k.removeprefix(prefix): v for k, v in checkpoint["model"].items() if k.startswith(prefix)}
            part.load_state_dict(weights)
        optimizer.load_state_dict(checkpoint["optimizer"])
        generator.set_state(checkpoint["generator"])


ANSWERS = {
    "4.1": [
        step_with_a_closure,
        step_clipped_by_hand,
        step_asking_autograd,
        step_calling_encoder_and_decoder,
        step_with_coins_and_a_loss_in_float64,
        step_token_by_token,
        step_example_by_example,
        step_left_in_the_mode_it_came_in,
        TrainStep(max_norm=1.0),
    ],
    "4.2": [
        batches_as_an_expression,
        batches_in_a_list,
        batches_cut_from_one_large_draw,
        batches_with_a_seed_for_each,
        batches_with_seeds_from_a_hash_of_both,
        batches_with_seeds_a_million_apart,
        batches_with_seeds_drawn_from_the_seed,
        batches_begun_again_and_skipped,
        batches_that_pass_the_state_on,
        batches_by_recursion,
        batches_example_by_example_in_python,
        batches_from_the_global_generator_put_back,
        TrainingBatches,
    ],
    "4.3": [
        best_weights_cloned_one_by_one,
        best_weights_of_a_copied_model,
        best_weights_of_all_that_were_kept,
        best_weights_written_to_a_file,
        best_weights_copied_into_a_second_model,
        best_weights_by_recursion,
        best_weights_through_numpy,
        best_weights_put_back_into_the_model,
        best_weights_copied_from_the_model_again,
        best_weights_of_the_better_of_two_models,
        best_weights_measured_once_more_to_print_it,
        best_weights_of_a_model_in_a_file,
        KeepBest(),
    ],
    "4.4": [
        accuracy_on_a_copy_of_the_model,
        accuracy_with_a_data_loader,
        accuracy_of_predictions,
        accuracy_in_plain_python,
        accuracy_as_weighted_mean,
        accuracy_decoding_by_hand,
        accuracy_recursively,
    ],
    "4.5": [
        perplexity_numpy_average,
        perplexity_statistics,
        perplexity_as_a_product,
        perplexity_of_every_token,
        perplexity_recursively,
        perplexity_decimal,
        RunningPerplexity(),
    ],
    "4.6": [
        resume_in_a_loop,
        resume_by_copying_every_tensor,
        resume_through_a_file,
        resume_by_writing_into_the_data,
        resume_from_a_flat_vector,
        resume_and_hand_the_checkpoint_on,
        Resume(),
    ],
}

"""What must hold of any encoder–decoder, trained or not, and `diagnose`, which looks whether it does.

Accuracy says that something is wrong, sometimes. A property says what, before any training: each is a small function
that measures how far a model is from what must hold. Weights do not matter, for the bugs are in the code: a copy is
examined, in float64, whose weights are drawn anew and so large that different inputs give different outputs.

What is examined (shapes as in model.py; `state` is whatever the encoder gives and the decoder takes):

    model(source, target, teacher_forcing_ratio) -> logits        an nn.Module; the only part that has to be there
    model.generate(source, max_length) -> tokens                  greedy decoding
    model.encoder(source) -> state                                both, to look inside
    model.decoder(tokens, state) -> logits, state
    model.encoder(source, lengths) -> state                       for padded sources
    loss(logits, target) -> scalar                                its mean over tokens
    train_step(model, optimizer, source, target) -> loss          one step, always forced
    evaluate(model, source, target) -> token_accuracy, exact_match      attributes, of free-running output

A part that is missing is not examined, and the report says so.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import inspect
import math
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parameter import UninitializedParameter

from .errors import InputError
from .evaluation import evaluating, exact_match, token_accuracy
from .model import device_of, seed_dropout
from .pairs import PairSeq2Seq
from .task import END_TOKEN, START_TOKEN, SubstringTask

ROWS = 6  # of the examples drawn where none are given: no power of two, and no other size in the course
LENGTH = 9  # of their sources
FEWEST_ROWS = 4
TOLERANCE = 1e-6  # float64 keeps deviations from rounding far below, and no bug known here stays below it
SCORED_ROWS = 67  # a prime: no batch size divides it, so that the last batch is a smaller one
LEARNING_RATE = 0.1  # of the single steps
GAIN = 1.5  # of the weights drawn: outputs vary with the inputs, and gates are not yet stuck
DRAWS = 20  # of weights, at most
PAGE = 100  # characters in a line of the report: JupyterLab breaks longer ones in the middle of a word
COUNTED = (  # what is said of one property with a verdict, and of several
    ("holds", "property holds", "properties hold"),
    ("fails", "fails", "fail"),
    ("does not apply", "does not apply", "do not apply"),
)
FUNCTIONS = ("loss", "train_step", "evaluate")


class DoesNotApply(Exception):  # noqa: N818 (it is no error: a property that says nothing of this model)
    """Raised by a property, with the reason."""


@dataclass
class Subject:
    """What is examined: the parts that the module's text describes, and examples, source (B, S) and target (B, T)."""

    model: nn.Module
    source: Tensor
    target: Tensor
    loss: Callable | None = None
    train_step: Callable | None = None
    evaluate: Callable | None = None
    start_token: int = START_TOKEN
    end_token: int = END_TOKEN
    padding: int | None = None  # what marks the places of a target that do not count, where there is such a mark

    def part(self, name: str) -> Any:
        """One of the functions, or else a part of the model; DoesNotApply where there is none."""
        found = getattr(self if name in FUNCTIONS else self.model, name, None)
        if found is None:
            raise DoesNotApply(f"there is no `{name}`")
        return found

    def forced(self, source: Tensor | None = None, target: Tensor | None = None) -> Tensor:
        """The logits under full teacher forcing."""
        return self.model(self.source if source is None else source, self.target if target is None else target, 1.0)

    def written(self, source: Tensor | None = None) -> Tensor:
        """What the model decodes greedily, as many tokens as the target has."""
        return self.part("generate")(self.source if source is None else source, self.target.shape[1])

    def said(self, source: Tensor | None = None) -> Tensor:
        """What it decodes up to each row's first end token, which is repeated from there on, (B, T).

        Many programs write anything after an end, or stop when all rows have ended: that is no fault.
        """
        tokens = self.written(source)
        ends = tokens == self.end_token
        missing = max(0, self.target.shape[1] - tokens.shape[1])
        return F.pad(tokens.masked_fill(ends.cumsum(1) > 0, self.end_token), (0, missing), value=self.end_token)

    def shifted(self, target: Tensor) -> Tensor:
        """What the decoder reads under full teacher forcing."""
        return torch.cat([torch.full_like(target[:, :1], self.start_token), target[:, :-1]], dim=1)

    def loss_and_gradient(self, logits: Tensor, target: Tensor) -> tuple[float, Tensor]:
        """The loss of logits (B, T, V), and what it asks of each of them."""
        logits = logits.detach().requires_grad_()
        value = self.part("loss")(logits, target)
        return value.item(), torch.autograd.grad(value, logits)[0]


@dataclass(frozen=True)
class Property:
    """Something that must hold.

    check(subject) measures how far it is from holding, 0 where it holds; it raises DoesNotApply where there is nothing
    to measure. `finding` says what a failure means, with {} for the measure. `resembles` names the exhibits of the bug
    museum that fail it.
    """

    name: str
    holds: str
    finding: str
    check: Callable[[Subject], float]
    of: str = "model"  # or "loss", "training step", "evaluation"
    resembles: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """What one property says of a model. `measured` is None where it does not apply."""

    property: Property
    verdict: str  # "holds", "fails" or "does not apply"
    sentence: str
    measured: float | None
    milliseconds: float


@dataclass(frozen=True)
class Diagnosis:
    """All findings, in the order of PROPERTIES. Printed, it is the doctor's report."""

    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        """Whether no property fails. One that could not be tried does not count."""
        return not self.failed

    @property
    def failed(self) -> tuple[str, ...]:
        """The names of the properties that fail."""
        return tuple(finding.property.name for finding in self.findings if finding.verdict == "fails")

    @property
    def resembles(self) -> tuple[str, ...]:
        """The exhibits that fail what this model fails, the likest first. What stopped with an error resembles none."""
        shared, alone = Counter(), Counter()
        for finding in self.findings:
            if finding.verdict != "fails":
                alone.update(finding.property.resembles)
            elif not math.isnan(finding.measured):
                shared.update(finding.property.resembles)
        return tuple(sorted(shared, key=lambda exhibit: (alone[exhibit] - shared[exhibit], exhibit)))

    def __str__(self) -> str:
        count = Counter(finding.verdict for finding in self.findings)
        counted = (f"{count[verdict]} {one if count[verdict] == 1 else many}" for verdict, one, many in COUNTED)
        lines = [", ".join(counted) + "."]
        for verdict in ("fails", "does not apply"):
            told: dict[str, list[str]] = {}
            for finding in self.findings:
                if finding.verdict == verdict:
                    told.setdefault(finding.sentence, []).append(finding.property.name)
            lines += [f"  {verdict}: {', '.join(names)}: {sentence}" for sentence, names in told.items()]
        if self.resembles:
            lines.append(f"This resembles {', '.join(self.resembles)}.")
        return "\n".join(textwrap.fill(line, PAGE, subsequent_indent="    ", break_on_hyphens=False) for line in lines)


@torch.inference_mode(False)  # with gradients, whatever the caller has switched off
def diagnose(
    model: nn.Module,
    source: Tensor | None = None,
    target: Tensor | None = None,
    *,
    loss: Callable | None = None,
    train_step: Callable | None = None,
    evaluate: Callable | None = None,
    start_token: int = START_TOKEN,
    end_token: int = END_TOKEN,
    padding: int | None = None,
) -> Diagnosis:
    """Examine an encoder–decoder: every property that applies to the parts that are given. The model is left alone.

    source (B, S) and target (B, T) are examples that it accepts, at least four, with rows that differ; where none are
    given, they are drawn from the course's task. For the other parts see the top of this module.
    """
    device = _device_to_examine_on(model)
    drawn = source is None and target is None
    if drawn:
        source, target = SubstringTask(LENGTH).sample(ROWS, torch.Generator().manual_seed(0))
    _check_examples(source, target)
    subject = Subject(
        model, source.to(device), target.to(device), loss, train_step, evaluate, start_token, end_token, padding
    )
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        if drawn and device.type == "cuda":  # uncovered: a token too large would end all use of a GPU, so ask the CPU
            on_cpu = {"model": redrawn(model).cpu(), "source": source, "target": target}
            _refuse_other_tokens(dataclasses.replace(subject, **on_cpu))
        seed_dropout(device, 0)
        subject = dataclasses.replace(subject, model=_redrawn_to_vary(subject))
        if drawn:
            _refuse_other_tokens(_with_a_copy(subject))
        return Diagnosis(tuple(_findings(subject)))


def _device_to_examine_on(model: nn.Module) -> torch.device:
    """Where its weights are. Raises InputError where it cannot be examined."""
    if not isinstance(model, nn.Module):
        raise InputError(f"A model is examined, an nn.Module, not a {type(model).__name__}.")
    if isinstance(model, PairSeq2Seq):
        raise InputError("The properties are those of networks that take one token a step; this one takes two.")
    device = device_of(model)
    if device.type == "mps":
        raise InputError("The examination is in float64, which this GPU does not have: move the model to the CPU.")
    return device


def _check_examples(source: Tensor | None, target: Tensor | None) -> None:
    """Raises InputError where these are not enough to tell properties by."""
    if source is None or target is None:
        raise InputError("Give both source and target, or neither.")
    if not all(isinstance(examples, Tensor) and examples.dim() == 2 for examples in (source, target)):
        raise InputError("Source and target are tensors of tokens, (B, S) and (B, T).")
    if len(source) != len(target) or len(source.unique(dim=0)) < FEWEST_ROWS:
        raise InputError(f"At least {FEWEST_ROWS} different examples are needed, as many sources as targets.")


def _with_a_copy(subject: Subject) -> Subject:
    """Whatever is done to this one's model, the next property starts from the same."""
    return dataclasses.replace(subject, model=_copied(subject.model))


def _copied(model: nn.Module) -> nn.Module:
    """A copy whose recurrent weights lie together again: else cuDNN would move them, and warn, at every call."""
    copied = copy.deepcopy(model)
    for part in copied.modules():
        if isinstance(part, nn.RNNBase):
            part.flatten_parameters()
    return copied


def _findings(subject: Subject) -> Iterator[Finding]:
    """One property after another; where one fails, those that say nothing without it do not apply."""
    unfit: dict[str, str] = {}  # by what a property is of, the reason why nothing more can be said of it
    for one in PROPERTIES:
        if one.of in unfit:
            yield Finding(one, "does not apply", unfit[one.of], None, 0.0)
            continue
        finding = examine(one, _with_a_copy(subject))
        if finding.verdict == "fails":
            kinds, reason = NOTHING_WITHOUT.get(one.check, ((), ""))
            unfit |= dict.fromkeys(kinds, reason)
        yield finding


def _refuse_other_tokens(subject: Subject) -> None:
    """A model for other tokens than the course's is not sick for that."""
    try:
        with torch.no_grad():
            subject.forced()
    except IndexError as error:
        raise InputError(
            f"The model stops at the course's own examples, whose tokens are 0 to 9 ({error}): give it a source and a "
            "target that it takes."
        ) from error
    except Exception:
        return  # the properties will say so


def _redrawn_to_vary(subject: Subject) -> nn.Module:
    """The model with weights by which rows end at different places, where a few draws find such weights."""
    for seed in range(DRAWS):
        one = dataclasses.replace(subject, model=redrawn(subject.model, seed))
        with contextlib.suppress(Exception), torch.no_grad():  # if it cannot decode, the properties will say so
            # Each row by itself: in a batch they may all end with the first, which is a bug that must show.
            ends = _row_by_row(one.said, one.source)[:, :-1] == subject.end_token
            if ends.any() and len(ends.int().argmax(dim=1).unique()) > 1:
                return redrawn(subject.model, seed)  # one that was not called yet, and keeps nothing of a call
    return redrawn(subject.model)


def redrawn(model: nn.Module, seed: int = 0) -> nn.Module:
    """A copy in float64 and eval mode, its weights drawn anew: outputs vary, and none is saturated by its size."""
    try:
        model = copy.deepcopy(model).double().eval()
    except (RuntimeError, TypeError) as error:  # PyTorch copies no tensor that has a gradient to pass on
        raise InputError(
            f"The model cannot be copied: {str(error).splitlines()[0]} Does it keep a tensor of its last call, or "
            "something else that cannot be copied? Keep tensors detached, and nothing but weights and plain data."
        ) from error
    if any(isinstance(parameter, UninitializedParameter) for parameter in model.parameters()):
        raise InputError("The model has layers that have no weights yet: call the model once, and examine it then.")
    generator = torch.Generator().manual_seed(seed)
    embeddings = {id(part.weight) for part in model.modules() if isinstance(part, nn.Embedding)}
    with torch.no_grad():
        for parameter in model.parameters():
            drawn = torch.randn(parameter.shape, generator=generator, dtype=torch.double)
            fan_in = 1 if id(parameter) in embeddings or parameter.dim() < 2 else parameter.shape[-1]
            parameter.copy_(drawn * (GAIN / math.sqrt(fan_in)))
    return model


def examine(one: Property, subject: Subject) -> Finding:
    """What a property says of a subject, and how long it took to say it. It may change the subject's model."""
    began = time.perf_counter()
    try:
        measured = float(one.check(subject))
    except DoesNotApply as reason:
        return Finding(one, "does not apply", f"{reason}.", None, _milliseconds_since(began))
    except Exception as error:  # whatever an unknown model does, the other properties are still examined
        sentence = f"it stopped with {type(error).__name__}: {str(error).strip() or 'no message'}"
        return Finding(one, "fails", sentence, math.nan, _milliseconds_since(began))
    if measured <= TOLERANCE:  # nan is not
        return Finding(one, "holds", one.holds, measured, _milliseconds_since(began))
    return Finding(one, "fails", one.finding.format(f"{measured:.3g}"), measured, _milliseconds_since(began))


def _milliseconds_since(began: float) -> float:
    return round(1000 * (time.perf_counter() - began), 3)


# --- the model --------------------------------------------------------------------------------------------------------


def shapes_fit(subject: Subject) -> float:
    """Whether the logits have another shape than (B, T, V)."""
    logits = subject.forced()
    return float(logits.dim() != 3 or logits.shape[:2] != subject.target.shape)


def deterministic(subject: Subject) -> float:
    """The largest change of a logit between two equal calls in eval mode."""
    with torch.no_grad():
        return _apart(subject.forced(), subject.forced())


def batch_independent(subject: Subject) -> float:
    """The largest change of a logit, or of a token in greedy decoding, when a row is alone instead of in a batch."""
    with torch.no_grad():
        apart = _apart(subject.forced(), _row_by_row(subject.forced, subject.source, subject.target))
        if hasattr(subject.model, "generate"):
            apart = max(apart, _apart(subject.said(), _row_by_row(subject.said, subject.source)))
        if _takes_lengths(subject.model):
            padded, rising = _padded(subject)
            # Who sorts rows and puts them back by the order itself, not by its inverse, undoes a plain reversal.
            for lengths in (rising, torch.cat([rising[:2].flip(0), rising[2:]])):
                together = _read_by_decoder(subject, padded, subject.target, lengths)
                alone = _row_by_row(lambda *row: _read_by_decoder(subject, *row), padded, subject.target, lengths)
                apart = max(apart, _apart(together, alone))
                if apart > TOLERANCE:
                    break
    return apart


def padding_invariant(subject: Subject) -> float:
    """The largest change of a logit when a source's padding is something else; if that is none, when it is left out."""
    if not _takes_lengths(subject.model):
        raise DoesNotApply("there is no encoder that takes lengths")
    padded, lengths = _padded(subject)
    otherwise = padded.clone()
    for row, length in zip(otherwise, lengths.tolist(), strict=True):
        row[length:] = row[0]
    with torch.no_grad():
        read = _read_by_decoder(subject, padded, subject.target, lengths)
        apart = _apart(read, _read_by_decoder(subject, otherwise, subject.target, lengths))
        if apart > TOLERANCE:
            return apart
        for row, length in enumerate(lengths.tolist()):  # each alone: whether rows are moved is another property
            one = slice(row, row + 1)
            read = _read_by_decoder(subject, padded[one], subject.target[one], lengths[one])
            without = subject.model.encoder(padded[one, :length])
            apart = max(apart, _apart(read, subject.model.decoder(subject.shifted(subject.target[one]), without)[0]))
        return apart


def causal(subject: Subject) -> float:
    """The largest change of a logit when target tokens change that the decoder should not have read yet."""
    tokens = subject.target.unique()
    if len(tokens) < 2:
        raise DoesNotApply("all its targets are one token, so that none can be changed")
    others = _others(subject.target, tokens)
    with torch.no_grad():
        before = subject.forced()
        apart = 0.0
        for place in range(subject.target.shape[1]):
            changed = subject.target.clone()
            changed[:, place:] = others[:, place:]
            apart = max(apart, _apart(before[:, : place + 1], subject.forced(target=changed)[:, : place + 1]))
    return apart


def shifted(subject: Subject) -> float:
    """How far forced logits are from the decoder's own, given the start token and all but the last of the target."""
    encoder, decoder = subject.part("encoder"), subject.part("decoder")
    # Most targets end with what may be the start token, too: it must not pass for one.
    targets = subject.target, _others(subject.target, subject.target.unique())
    with torch.no_grad():
        return max(
            _apart(subject.forced(target=target), decoder(subject.shifted(target), encoder(subject.source))[0])
            for target in targets
        )


def step_by_step(subject: Subject) -> float:
    """How far the decoder's logits, one token at a time, are from those of one call on the whole sequence."""
    encoder, decoder = subject.part("encoder"), subject.part("decoder")
    tokens = subject.shifted(subject.target)
    with torch.no_grad():
        whole, _ = decoder(tokens, encoder(subject.source))
        state, steps = encoder(subject.source), []
        for place in range(tokens.shape[1]):
            logits, state = decoder(tokens[:, place : place + 1], state)
            steps.append(logits)
        return _apart(whole, torch.cat(steps, dim=1))


def cell_is_pytorchs(subject: Subject) -> float:
    """How far the decoder's state after one step is from that of nn.GRUCell with the same weights."""
    encoder, decoder = subject.part("encoder"), subject.part("decoder")
    rnn = getattr(decoder, "rnn", None)
    if not isinstance(rnn, nn.GRU) or rnn.bidirectional or not hasattr(decoder, "embedding"):
        raise DoesNotApply("the decoder is no `embedding` with an nn.GRU called `rnn`")
    token = subject.target[:, :1]
    with torch.no_grad():
        state = encoder(subject.source)
        vector = decoder.embedding(token[:, 0])
        if not isinstance(state, Tensor) or vector.shape[-1] != rnn.input_size:
            raise DoesNotApply("the decoder's GRU reads something else than the embedded token and its state")
        expected = []
        for layer, weights in zip(state, rnn.all_weights, strict=True):
            vector = torch.gru_cell(vector, layer, *weights)
            expected.append(vector)
        after = decoder(token, state)[1]
        if not isinstance(after, Tensor):
            raise DoesNotApply("the decoder hands on more than its GRU's state")
        return _apart(torch.stack(expected), after)


def agrees_with_itself(subject: Subject) -> float:
    """The share of greedily written tokens, up to each row's end, that are not the likeliest under forcing on them."""
    with torch.no_grad():
        output = subject.said()
        if output.shape != subject.target.shape:
            return 1.0  # nothing stands where it should
        ends = output == subject.end_token
        counted = ends.cumsum(1) - ends.long() == 0  # the end token itself, too
        return (subject.forced(target=output).argmax(-1) != output)[counted].double().mean().item()


def reads_the_whole_source(subject: Subject) -> float:
    """How many places of the source say nothing to the logits of any row."""
    with torch.no_grad():
        before, unread, untried = subject.forced(), 0, []
        for place in range(subject.source.shape[1]):
            changed = subject.source.clone()
            changed[:, place] = subject.source[:, place].roll(1)
            rows = (changed[:, place] != subject.source[:, place]).nonzero()[:, 0].tolist()
            if not rows:
                untried.append(place)
                continue
            after = subject.forced(source=changed)
            unread += not any(_apart(before[row], after[row]) > TOLERANCE for row in rows)
    if untried and not unread:
        raise DoesNotApply(f"all its sources hold the same token at place {untried[0]}, so that it can't be changed")
    return unread


def gradient_everywhere(subject: Subject) -> float:
    """How many parameters no gradient reaches."""
    _set_dropout(subject.model, 0.0).train()
    logits = subject.forced()
    weights = torch.randn(logits.shape, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    (logits * weights.to(logits)).sum().backward()
    asked = [parameter for parameter in subject.model.parameters() if parameter.requires_grad]
    return sum(parameter.grad is None or not parameter.grad.any() for parameter in asked)


def logits_are_free(subject: Subject) -> float:
    """Whether the logits are probabilities already: not negative, and adding up to 1 for each token."""
    with torch.no_grad():
        logits = subject.forced()
        return float(bool((logits >= 0).all()) and _apart(logits.sum(-1), torch.ones_like(logits[..., 0])) < TOLERANCE)


# --- the loss ---------------------------------------------------------------------------------------------------------


def every_place_counts(subject: Subject) -> float:
    """How many places of the target the loss takes no notice of, whatever token stands there."""
    _, gradient = subject.loss_and_gradient(*_logits_and_targets(subject))
    return (gradient.abs().sum(dim=(0, 2)) == 0).sum().item()


def the_end_counts(subject: Subject) -> float:
    """The share of end tokens that the loss takes no notice of."""
    logits, target = _logits_and_targets(subject)
    middle = target.shape[1] // 2
    target[:, middle] = subject.end_token
    _, gradient = subject.loss_and_gradient(logits, target)
    return (gradient[:, middle].abs().sum(-1) == 0).double().mean().item()


def asks_for_the_target(subject: Subject) -> float:
    """The share of counted tokens at which the loss asks most for another token than the target's."""
    logits, target = _logits_and_targets(subject)
    _, gradient = subject.loss_and_gradient(logits, target)
    counted = gradient.abs().sum(-1) > 0
    return (gradient.argmin(-1) != target)[counted].double().mean().item()


def over_the_vocabulary(subject: Subject) -> float:
    """How much the loss changes when all logits of a token grow by the same: probabilities then stay as they are."""
    logits, target = _logits_and_targets(subject)
    grown = logits + torch.arange(target.numel(), dtype=logits.dtype, device=logits.device).view_as(target)[..., None]
    return abs(subject.loss_and_gradient(grown, target)[0] - subject.loss_and_gradient(logits, target)[0])


def padding_is_neutral(subject: Subject) -> float:
    """How much the loss changes when every target has more padding."""
    if subject.padding is None:
        raise DoesNotApply("no mark of padding was given (`padding=`): every token of the target counts")
    logits, target = _logits_and_targets(subject)
    longer = torch.cat([target, torch.full_like(target, subject.padding)], dim=1)
    loss, _ = subject.loss_and_gradient(logits, target)
    try:
        longer_loss, _ = subject.loss_and_gradient(torch.cat([logits, -logits], dim=1), longer)
    except (IndexError, RuntimeError) as error:
        raise DoesNotApply(f"the loss does not know {subject.padding} as padding") from error
    return abs(longer_loss - loss)


# --- the training step ------------------------------------------------------------------------------------------------


def _stepped(subject: Subject, model: nn.Module) -> Any:
    """What a step reports; DoesNotApply where it calls the model as this one cannot be called."""
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE)
    try:
        return subject.part("train_step")(model, optimizer, subject.source, subject.target)
    except TypeError as error:
        raise DoesNotApply(f"the step and the model do not fit together ({error})") from error


def step_is_taken(subject: Subject) -> float:
    """Whether a step leaves all weights as they were."""
    model = _set_dropout(subject.model, 0.0).train()
    before = _copied(model)
    _stepped(subject, model)
    return float(all(map(torch.equal, before.parameters(), model.parameters())))


def step_starts_clean(subject: Subject) -> float:
    """How far a step leads elsewhere because gradients were left from the one before."""
    model = _set_dropout(subject.model, 0.0).train()
    left = _copied(model)
    for parameter in left.parameters():
        parameter.grad = torch.full_like(parameter, 1 / parameter.numel())
    for one in (model, left):
        _stepped(subject, one)
    return max(_apart(*pair) for pair in zip(model.parameters(), left.parameters(), strict=True))


def step_reports_its_loss(subject: Subject) -> float:
    """How far the loss that a step reports is from that of the batch it was given."""
    loss, model = subject.part("loss"), _set_dropout(subject.model, 0.0)
    with torch.no_grad():
        expected = loss(subject.forced(), subject.target)
    reported = torch.as_tensor(_stepped(subject, model.train()))
    return abs(reported.item() - expected.item())


# --- the evaluation ---------------------------------------------------------------------------------------------------


def score_is_a_share(subject: Subject) -> float:
    """How far the reported exact match is from the share of examples that decode to their target."""
    evaluate = subject.part("evaluate")
    source, target, output = _partly_right(subject)
    return abs(float(evaluate(subject.model, source, target).exact_match) - exact_match(output, target))


def score_runs_free(subject: Subject) -> float:
    """How far the reported token accuracy is from that of what the model writes when nobody helps it."""
    evaluate = subject.part("evaluate")
    source, target, output = _partly_right(subject)
    return abs(float(evaluate(subject.model, source, target).token_accuracy) - token_accuracy(output, target))


def score_ignores_the_mode(subject: Subject) -> float:
    """How far the reported token accuracy changes when the model comes in training mode, with dropout."""
    evaluate = subject.part("evaluate")
    source, target, _ = _partly_right(subject)
    if not any(isinstance(part, nn.modules.dropout._DropoutNd) for part in subject.model.modules()):
        raise DoesNotApply("the model has no dropout")
    model = _set_dropout(subject.model, 0.5)
    scores = [float(evaluate(model.train(mode), source, target).token_accuracy) for mode in (False, True)]
    return abs(scores[1] - scores[0])


# --- what they share --------------------------------------------------------------------------------------------------


def _apart(one: Tensor, other: Tensor) -> float:
    """The largest difference; infinite between shapes that differ."""
    if one.shape != other.shape:
        return math.inf
    return (one.double() - other.double()).abs().max().item()


def _row_by_row(function: Callable[..., Tensor], *batches: Tensor) -> Tensor:
    """What each row gives alone, (B, …)."""
    rows = [function(*(batch[row : row + 1] for batch in batches)) for row in range(len(batches[0]))]
    return torch.cat(rows) if len({row.shape for row in rows}) == 1 else torch.empty(0)


def _takes_lengths(model: nn.Module) -> bool:
    forward = getattr(getattr(model, "encoder", None), "forward", None)
    return forward is not None and hasattr(model, "decoder") and "lengths" in inspect.signature(forward).parameters


def _others(tokens: Tensor, values: Tensor) -> Tensor:
    """In place of each token another one of these values, which are sorted."""
    return values[(torch.searchsorted(values, tokens) + 1) % len(values)]


def _padded(subject: Subject) -> tuple[Tensor, Tensor]:
    """The sources cut to several lengths, the shortest first, and padded: (B, S + 1) with lengths (B,)."""
    width = subject.source.shape[1]
    lengths = (width // 2 + torch.arange(len(subject.source))).clamp(1, width)
    padded = torch.cat([subject.source, subject.source[:, -1:]], dim=1)
    return padded, lengths.to(padded.device)


def _read_by_decoder(subject: Subject, source: Tensor, target: Tensor, lengths: Tensor) -> Tensor:
    """The logits after padded sources: a state may look like anything, logits do not."""
    return subject.model.decoder(subject.shifted(target), subject.model.encoder(source, lengths))[0]


def _logits_and_targets(subject: Subject) -> tuple[Tensor, Tensor]:
    """Random logits, and targets among which no two neighbours are alike."""
    with torch.no_grad():
        logits = subject.forced()
    generator = torch.Generator().manual_seed(0)
    vocabulary = logits.shape[-1]
    first = torch.randint(vocabulary, (len(logits), 1), generator=generator)
    steps = torch.randint(1, vocabulary, (len(logits), logits.shape[1] - 1), generator=generator)
    target = torch.cat([first, steps], dim=1).cumsum(1) % vocabulary
    drawn = torch.randn(logits.shape, generator=generator, dtype=torch.double)
    return drawn.to(logits.device), target.to(logits.device)


def _partly_right(subject: Subject) -> tuple[Tensor, Tensor, Tensor]:
    """Sources, targets and what the model writes, right in most rows.

    In the last rows a token of the target is another: the first, or that with which the output ends, so that the output
    is the target's beginning.
    """
    copies = math.ceil(SCORED_ROWS / len(subject.source))
    source = subject.source.repeat(copies, 1)[:SCORED_ROWS]
    with evaluating(subject.model):
        output = subject.written(source)
    values = output.unique()
    if len(values) == 1:
        raise DoesNotApply("the model writes the same token everywhere")
    other = _others(output, values)
    end = (output == subject.end_token).int().argmax(dim=1)  # 0 where there is none
    target = output.clone()
    for row in range(SCORED_ROWS - SCORED_ROWS // 3, SCORED_ROWS):
        place = end[row] if row % 2 else 0
        target[row, place] = other[row, place]
    return source, target, output


def _set_dropout(model: nn.Module, share: float) -> nn.Module:
    """The model, with this much of all its dropout: none makes two steps alike, more than none shows it."""
    for part in model.modules():
        if isinstance(part, nn.modules.dropout._DropoutNd):
            part.p = share
        elif isinstance(part, nn.RNNBase):
            part.dropout = share
    return model


PROPERTIES = (
    Property(
        "shapes",
        "The logits have the shape (B, T, V).",
        "The logits have another shape than (B, T, V).",
        shapes_fit,
    ),
    Property(
        "determinism",
        "In eval mode the same call gives the same logits.",
        "Called twice in eval mode, it gives two answers, {} apart. Dropout left on, or a state kept between calls?",
        deterministic,
        resembles=("dropout-always-on", "state-from-the-last-batch"),
    ),
    Property(
        "batch independence",
        "What a row gives does not depend on the rows beside it.",
        "A row alone and the same row in a batch are {} apart. Are batch and time confused, or rows moved?",
        batch_independent,
        resembles=(
            "batch-first-forgotten",
            "rows-out-of-order",
            "state-reshaped",
            "stops-with-the-first",
            "view-for-transpose",
        ),
    ),
    Property(
        "padding invariance",
        "A padded source is read as the same source without its padding.",
        "With other padding, or with none, the logits are {} apart. Whose last state does the decoder get?",
        padding_invariant,
        resembles=("batch-first-forgotten", "state-after-padding", "view-for-transpose"),
    ),
    Property(
        "causality",
        "No logit depends on a target token that comes at its place or later.",
        "Target tokens that come later change the logits by {}. Does the decoder see what it should write?",
        causal,
        resembles=("not-shifted",),
    ),
    Property(
        "the shift",
        "Under full forcing the decoder reads the start token, then all but the last of the target.",
        "The forced logits are {} from those after the start token and the shifted target.",
        shifted,
        resembles=("not-shifted", "other-start"),
    ),
    Property(
        "one step at a time",
        "Fed one token at a time, the decoder gives what it gives for the whole sequence.",
        "One token at a time and the whole sequence are {} apart. What do the steps hand on, or compute otherwise?",
        step_by_step,
        resembles=("context-follows-the-state", "reset-gate-before", "update-gate-reversed"),
    ),
    Property(
        "PyTorch's cell",
        "A step of the decoder leads to the state that nn.GRUCell gives.",
        "After one step the state is {} from that of nn.GRUCell with the same weights.",
        cell_is_pytorchs,
        resembles=("reset-gate-before", "update-gate-reversed"),
    ),
    Property(
        "greedy agrees with itself",
        "Forced on what it wrote, the model would write it again.",
        "A share of {} of what greedy decoding writes is not what the model finds likeliest there.",
        agrees_with_itself,
        resembles=(
            "context-follows-the-state",
            "not-shifted",
            "reset-gate-before",
            "stale-token",
            "start-of-another",
            "state-not-carried",
            "stops-with-the-first",
            "update-gate-reversed",
        ),
    ),
    Property(
        "the whole source",
        "Every token of the source makes a difference to the logits.",
        "Places of the source that make no difference at all: {}.",
        reads_the_whole_source,
        resembles=("batch-first-forgotten",),
    ),
    Property(
        "gradients everywhere",
        "A gradient reaches every parameter.",
        "No gradient reaches {} of the parameters. Is something detached, or never used?",
        gradient_everywhere,
        resembles=("encoder-detached",),
    ),
    Property(
        "free logits",
        "The logits are no probabilities yet.",
        "The logits are probabilities already: they add up to 1. The loss takes the softmax once more.",
        logits_are_free,
        resembles=("softmax-twice",),
    ),
    Property(
        "every place counts",
        "Every place of the target has a part in the loss.",
        "{} places of the target have no part in the loss.",
        every_place_counts,
        of="loss",
        resembles=("first-token-left-out", "loss-one-apart"),
    ),
    Property(
        "the end counts",
        "The end token has a part in the loss.",
        "A share of {} of the end tokens has no part in the loss. Who teaches the model to stop?",
        the_end_counts,
        of="loss",
        resembles=("end-masked-as-padding",),
    ),
    Property(
        "the target is asked for",
        "At each place the loss asks for the target's token of that place.",
        "At a share of {} of the places the loss asks for another token than the target's.",
        asks_for_the_target,
        of="loss",
        resembles=("loss-one-apart", "softmax-over-places"),
    ),
    Property(
        "over the vocabulary",
        "The loss compares the logits of one place with each other.",
        "Logits that all grow by the same at a place change the loss by {}. Over which axis is the softmax?",
        over_the_vocabulary,
        of="loss",
        resembles=("softmax-over-places",),
    ),
    Property(
        "neutral padding",
        "More padding does not change the loss.",
        "More padding of the targets changes the loss by {}. What is the sum of its tokens divided by?",
        padding_is_neutral,
        of="loss",
        resembles=("padding-in-the-mean",),
    ),
    Property(
        "a step is taken",
        "A training step moves weights.",
        "A step leaves all weights as they were. Does it call `optimizer.step()`, and before it `loss.backward()`?",
        step_is_taken,
        of="training step",
    ),
    Property(
        "a clean step",
        "A training step takes no notice of gradients left from before.",
        "Gradients left from before lead the step elsewhere, by {}. Who sets them to zero?",
        step_starts_clean,
        of="training step",
        resembles=("gradients-kept",),
    ),
    Property(
        "the step's loss",
        "A training step reports the loss of its batch.",
        "The step's loss is {} from that of its batch. On which targets does it train?",
        step_reports_its_loss,
        of="training step",
        resembles=("padding-in-the-loss",),
    ),
    Property(
        "exact match",
        "The exact match reported is the share of examples that decode to their target.",
        "The exact match reported is {} from the share of examples that decode to their target.",
        score_is_a_share,
        of="evaluation",
        resembles=("mean-of-batch-means", "scored-to-the-shorter", "wrong-axis"),
    ),
    Property(
        "free running",
        "The token accuracy reported is that of what the model writes by itself.",
        "The token accuracy reported is {} from that of what the model writes by itself.",
        score_runs_free,
        of="evaluation",
        resembles=("mean-of-batch-means", "validation-forced"),
    ),
    Property(
        "evaluation without dropout",
        "The score is the same whichever mode the model comes in.",
        "With a model that comes in training mode the score is {} from the same model's in eval mode.",
        score_ignores_the_mode,
        of="evaluation",
        resembles=("eval-forgotten",),
    ),
)
NOTHING_WITHOUT: dict[Callable, tuple[tuple[str, ...], str]] = {  # where a property fails, others say nothing
    shapes_fit: (
        ("model", "loss", "training step", "evaluation"),
        "without logits (B, T, V) there is nothing to look at: mend that first.",
    ),
    deterministic: (("model", "training step", "evaluation"), "the same call gives two answers: mend that first."),
    agrees_with_itself: (("evaluation",), "greedy decoding contradicts the model: mend that first."),
}

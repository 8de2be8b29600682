"""The bug museum's exhibits: silent bugs of encoder–decoder code, each as a few lines over the course's own.

An exhibit takes the place of one part of the course: a class of the network, the loss, the training step or the
evaluation. While it is open, everything that is built, trained and scored by the course has the bug:

    with EXHIBITS["state-not-carried"].open():
        model = build_model(MUSEUM)          # it stays sick for good

What the instruments of `museum` make of it is measured there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import networks, training
from .evaluation import Scores, before_end, evaluate, predict, score
from .model import Decoder, Encoder, Seq2Seq, start_tokens
from .task import END_TOKEN
from .training import train_step

BATCH_SIZE = 64  # of the evaluation that averages over batches


# --- the encoder ------------------------------------------------------------------------------------------------------


class StateAfterPadding(Encoder):
    def forward(self, source: Tensor, lengths: Tensor | None = None) -> Tensor:
        return super().forward(source)  # the last state, after all the padding


class RowsOutOfOrder(Encoder):
    def forward(self, source: Tensor, lengths: Tensor | None = None) -> Tensor:
        if lengths is None:
            return super().forward(source)
        longest_first = lengths.argsort(descending=True)  # older PyTorch packed only sorted sequences
        return super().forward(source[longest_first], lengths[longest_first])  # and nothing puts them back


class ViewForTranspose(Encoder):
    def forward(self, source: Tensor, lengths: Tensor | None = None) -> Tensor:
        n_rows, width = source.shape
        time_first = source.reshape(width, n_rows)  # the right shape, made of the wrong tokens
        return super().forward(time_first.transpose(0, 1), lengths)


class BatchFirstForgotten(Encoder):
    def forward(self, source: Tensor, lengths: Tensor | None = None) -> Tensor:
        embedded = self.dropout(self.embedding(source))
        outputs, _ = self.rnn(embedded.transpose(0, 1))  # what a GRU without batch_first does: rows are its time steps
        return outputs[-1].expand(self.n_layers, -1, -1).contiguous()  # "the last output"


class StateReshaped(Encoder):
    def forward(self, source: Tensor, lengths: Tensor | None = None) -> Tensor:
        hidden = super().forward(source, lengths)
        return hidden.transpose(0, 1).reshape(hidden.shape)  # batch first, and back by the wrong way


class StateFromTheLastBatch(Encoder):
    state: Tensor | None = None

    def forward(self, source: Tensor, lengths: Tensor | None = None) -> Tensor:
        embedded = self.dropout(self.embedding(source))
        if self.state is not None and self.state.shape[1] != len(source):
            self.state = None
        _, hidden = self.rnn(embedded, self.state)
        self.state = hidden.detach()  # as is right for one long text cut in pieces
        return hidden


class EncoderDetached(Encoder):
    def forward(self, source: Tensor, lengths: Tensor | None = None) -> Tensor:
        return super().forward(source, lengths).detach()


# --- the decoder ------------------------------------------------------------------------------------------------------


class DropoutAlwaysOn(Decoder):
    def forward(self, tokens: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        embedded = F.dropout(self.embedding(tokens), self.dropout.p)  # unlike the module, it knows nothing of eval()
        outputs, hidden = self.rnn(embedded, hidden)
        return self.fc_out(outputs), hidden


class SoftmaxTwice(Decoder):
    def forward(self, tokens: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        logits, hidden = super().forward(tokens, hidden)
        return logits.softmax(-1), hidden  # F.cross_entropy takes the softmax itself


class ContextFollowsTheState(Decoder):
    def forward(self, tokens: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        context = hidden[-1][:, None]  # meant: the encoder's final state. After the first step it is another
        outputs, hidden = self.rnn(self.dropout(self.embedding(tokens)), hidden)
        return self.fc_out(outputs + context), hidden


class HandWrittenSteps(Decoder):
    """Whole sequences go through nn.GRU, single steps through a cell written by hand, as where PyTorch is not at hand.

    Its `cell` is the right one: the two exhibits below change a line of it.
    """

    def forward(self, tokens: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        if tokens.shape[1] > 1:
            return super().forward(tokens, hidden)
        vector, states = self.dropout(self.embedding(tokens[:, 0])), []
        for state, (w_ih, w_hh, b_ih, b_hh) in zip(hidden, self.rnn.all_weights, strict=True):
            vector = self.cell(F.linear(vector, w_ih, b_ih).chunk(3, -1), state, w_hh.chunk(3), b_hh.chunk(3))
            states.append(vector)
        return self.fc_out(vector)[:, None], torch.stack(states)

    def cell(self, inputs: tuple, state: Tensor, weights: tuple, biases: tuple) -> Tensor:
        r, z = (torch.sigmoid(inputs[i] + F.linear(state, weights[i], biases[i])) for i in (0, 1))
        n = torch.tanh(inputs[2] + r * F.linear(state, weights[2], biases[2]))
        return (1 - z) * n + z * state


class ResetGateBefore(HandWrittenSteps):
    def cell(self, inputs: tuple, state: Tensor, weights: tuple, biases: tuple) -> Tensor:
        r, z = (torch.sigmoid(inputs[i] + F.linear(state, weights[i], biases[i])) for i in (0, 1))
        n = torch.tanh(inputs[2] + F.linear(r * state, weights[2], biases[2]))  # as published, not as in nn.GRU
        return (1 - z) * n + z * state


class UpdateGateReversed(HandWrittenSteps):
    def cell(self, inputs: tuple, state: Tensor, weights: tuple, biases: tuple) -> Tensor:
        r, z = (torch.sigmoid(inputs[i] + F.linear(state, weights[i], biases[i])) for i in (0, 1))
        n = torch.tanh(inputs[2] + r * F.linear(state, weights[2], biases[2]))
        return z * n + (1 - z) * state  # another paper's z, with nn.GRU's weights


# --- the two together -------------------------------------------------------------------------------------------------


class NotShifted(Seq2Seq):
    def forward(self, source: Tensor, target: Tensor, teacher_forcing_ratio: float = 0.5, **options: Any) -> Tensor:
        if teacher_forcing_ratio == 1:
            return self.decoder(target, self.encoder(source))[0]  # it reads the very token that it should write
        return super().forward(source, target, teacher_forcing_ratio, **options)


class GreedyLoop(Seq2Seq):
    """Greedy decoding as it should be, in parts: the exhibits below change one of them each."""

    def first(self, source: Tensor) -> Tensor:
        return start_tokens(source)

    def next(self, token: Tensor, guess: Tensor) -> Tensor:
        return guess

    def carried(self, old: Tensor, new: Tensor) -> Tensor:
        return new

    def free_running(self, source: Tensor, n_steps: int) -> Tensor:
        token, hidden, logits = self.first(source), self.encoder(source), []
        for _ in range(n_steps):
            step_logits, new = self.decoder(token, hidden)
            token, hidden = self.next(token, step_logits.argmax(-1)), self.carried(hidden, new)
            logits.append(step_logits)
        return torch.cat(logits, dim=1)

    @torch.no_grad()
    def generate(self, source: Tensor, max_length: int) -> Tensor:
        return self.free_running(source, max_length).argmax(-1)


class OtherStart(GreedyLoop):
    def first(self, source: Tensor) -> Tensor:
        return source[:, -1:]  # the last token of the source, in training and in use

    def forward(self, source: Tensor, target: Tensor, teacher_forcing_ratio: float = 0.5, **options: Any) -> Tensor:
        if teacher_forcing_ratio == 1:
            return self.decoder(torch.cat([self.first(source), target[:, :-1]], dim=1), self.encoder(source))[0]
        return self.free_running(source, target.shape[1])


class StartOfAnother(GreedyLoop):
    def first(self, source: Tensor) -> Tensor:
        return torch.ones_like(source[:, :1])  # <bos> is 1 elsewhere. Training begins with 0


class StateNotCarried(GreedyLoop):
    def carried(self, old: Tensor, new: Tensor) -> Tensor:
        return old  # logits, _ = self.decoder(token, hidden)


class StaleToken(GreedyLoop):
    def next(self, token: Tensor, guess: Tensor) -> Tensor:
        return token  # `token = guess` is missing


class StopsWithTheFirst(Seq2Seq):
    def generate(self, source: Tensor, max_length: int) -> Tensor:
        tokens = super().generate(source, max_length)
        ended = (tokens == END_TOKEN).any(dim=0).cumsum(0).cumsum(0) > 1  # any: one row's end is taken for everyone's
        return tokens.masked_fill(ended, END_TOKEN)


# --- the loss ---------------------------------------------------------------------------------------------------------


def end_masked_as_padding(logits: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=0)  # the end token is 0 as well


def first_token_left_out(logits: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(logits[:, 1:].flatten(0, 1), target[:, 1:].flatten())  # right where targets begin with <bos>


def loss_one_apart(logits: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), target[:, 1:].flatten())  # shifted once more


def softmax_over_places(logits: Tensor, target: Tensor) -> Tensor:
    return -logits.log_softmax(dim=1).gather(-1, target[..., None]).mean()  # (B, T, V): axis 1 is not the vocabulary


def padding_in_the_mean(logits: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="sum") / target.numel()  # padding and all


# --- the training step ------------------------------------------------------------------------------------------------


def gradients_kept(model: Seq2Seq, optimizer: torch.optim.Optimizer, *batch: Any, **options: Any) -> Tensor:
    with patch.object(optimizer, "zero_grad"):  # it is never called
        return train_step(model, optimizer, *batch, **options)


def padding_in_the_loss(
    model: Seq2Seq, optimizer: torch.optim.Optimizer, source: Tensor, target: Tensor, *options: Any
) -> Tensor:
    padded = F.pad(target, (0, 5 * target.shape[1]))  # "to the longest target there can be", and none of it is masked
    return train_step(model, optimizer, source, padded, *options)


# --- the evaluation ---------------------------------------------------------------------------------------------------


def validation_forced(model: Seq2Seq, source: Tensor, target: Tensor, **options: Any) -> Scores:
    return score(predict(model, source, target, teacher_forcing_ratio=1.0, **options), source, target)


def mean_of_batch_means(model: Seq2Seq, source: Tensor, target: Tensor, batch_size: int = BATCH_SIZE) -> Scores:
    batches = zip(source.split(batch_size), target.split(batch_size), strict=True)
    scores = [evaluate(model, *batch) for batch in batches]  # the last batch is small, and weighs as much

    def mean(name: str) -> float:
        return sum(getattr(one, name) for one in scores) / len(scores)

    return dataclasses.replace(scores[0], **{name: mean(name) for name in ("exact_match", "token_accuracy", "loss")})


def eval_forgotten(model: Seq2Seq, source: Tensor, target: Tensor, **_: Any) -> Scores:
    with torch.no_grad():
        return score(model(source, target, 0.0), source, target)  # in the mode in which training left the model


def scored_to_the_shorter(model: Seq2Seq, source: Tensor, target: Tensor, **options: Any) -> Scores:
    output = predict(model, source, target, **options).argmax(-1)
    pairs = zip(before_end(output), before_end(target), strict=True)
    right = [all(a == b for a, b in zip(written, wanted, strict=False)) for written, wanted in pairs]
    return dataclasses.replace(evaluate(model, source, target), exact_match=sum(right) / len(right))


def wrong_axis(model: Seq2Seq, source: Tensor, target: Tensor, **options: Any) -> Scores:
    right = predict(model, source, target, **options).argmax(-1) == target
    share = right.all(dim=0).double().mean().item()  # places at which all examples are right
    return dataclasses.replace(evaluate(model, source, target), exact_match=share)


# --- the exhibits -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Thread:
    """Where people met a bug, in public."""

    title: str
    url: str


@dataclass(frozen=True)
class Exhibit:
    """A bug: the part of the course whose place it takes, what one sees of it, and the line that mends it."""

    id: str
    title: str
    symptom: str
    sick: type[nn.Module] | Callable
    part: str  # the name that it takes: Encoder, Decoder, Seq2Seq, token_loss, train_step or evaluate
    mend: str
    threads: tuple[Thread, ...] = ()

    @property
    def home(self) -> ModuleType:
        """The module that looks the part up when it needs it: one builds, the other trains and scores."""
        return networks if isinstance(self.sick, type) else training

    @contextmanager
    def open(self) -> Iterator[None]:
        """While it is open, the course builds, trains and scores with the bug; networks built meanwhile keep it."""
        with patch.object(self.home, self.part, self.sick):
            yield


def _exhibits(*exhibits: Exhibit) -> dict[str, Exhibit]:
    return {exhibit.id: exhibit for exhibit in exhibits}


EXHIBITS = _exhibits(
    Exhibit(
        "state-after-padding",
        "The state after the padding",
        "Alone a source is decoded well, in a batch with longer ones badly.",
        StateAfterPadding,
        "Encoder",
        "embedded = pack_padded_sequence(embedded, lengths.cpu(), batch_first=True, enforce_sorted=False)",
        threads=(
            Thread(
                "encoder not handling variable length sequences properly",
                "https://github.com/bentrevett/pytorch-seq2seq/issues/208",
            ),
            Thread("RNNs do not handle padding correctly", "https://github.com/speechbrain/speechbrain/issues/501"),
        ),
    ),
    Exhibit(
        "rows-out-of-order",
        "Sorted, and never put back",
        "The outputs are good, but they are those of other inputs of the batch.",
        RowsOutOfOrder,
        "Encoder",
        "return hidden[:, longest_first.argsort()]",
        threads=(
            Thread("fix: the unsort batch was clobbering things", "https://github.com/mead-ml/mead-baseline/pull/677"),
            Thread(
                "关于output和hidden_state中的batch顺序问题",
                "https://github.com/Lizhen0628/text_classification/issues/12",
            ),
        ),
    ),
    Exhibit(
        "view-for-transpose",
        "A view where a transpose was meant",
        "The loss stays high, and nothing complains: all shapes fit.",
        ViewForTranspose,
        "Encoder",
        "time_first = source.transpose(0, 1)",
        threads=(
            Thread(
                "In oder to change the order of dimensions, why is torch.tensor.view used??",
                "https://github.com/zhouhaoyi/Informer2020/issues/59",
            ),
            Thread("Reshaping issue", "https://github.com/vitrioil/Speech-Separation/issues/4"),
        ),
    ),
    Exhibit(
        "batch-first-forgotten",
        "batch_first forgotten",
        "The loss stays high, and what an input gives depends on the inputs above it in the batch.",
        BatchFirstForgotten,
        "Encoder",
        "nn.GRU(emb_dim, hidden_dim, n_layers, batch_first=True)",
        threads=(
            Thread("question about recurrent neural network", "https://github.com/yunjey/pytorch-tutorial/issues/89"),
            Thread(
                "different result on LSTM whether using batch_first", "https://github.com/pytorch/pytorch/issues/1538"
            ),
        ),
    ),
    Exhibit(
        "state-reshaped",
        "Layers read as rows",
        "The loss stays high in batches, as if each example knew half of another's source.",
        StateReshaped,
        "Encoder",
        "return hidden  # (L, B, H) already; from (B, L, H) take transpose(0, 1), and never reshape",
        threads=(
            Thread(
                "Possible dimension transformation bug in RNNEncoder Bridge?",
                "https://github.com/OpenNMT/OpenNMT-py/issues/1521",
            ),
            Thread(
                "Confusion about the batch in model.py(I think batch should be the second dimension.)",
                "https://github.com/timbmg/Sentence-VAE/issues/15",
            ),
        ),
    ),
    Exhibit(
        "state-from-the-last-batch",
        "The last batch's state",
        "The same input gives another output when it is decoded again.",
        StateFromTheLastBatch,
        "Encoder",
        "_, hidden = self.rnn(embedded)  # and packed, where lengths are given: this one reads padding, too",
        threads=(Thread("Reset elmo states", "https://github.com/nyu-mll/jiant/pull/345"),),
    ),
    Exhibit(
        "encoder-detached",
        "An encoder that never learns",
        "The loss falls for a while and stays high, as if the source were hardly read.",
        EncoderDetached,
        "Encoder",
        "return hidden  # without .detach()",
        threads=(
            Thread(
                "Fix Encoder having no gradients, simplified backward pass of output head in RL",
                "https://github.com/lebrice/Sequoia/pull/77",
            ),
            Thread("backward about the attention", "https://github.com/rsarxiv/seq2seq-attention/issues/7"),
        ),
    ),
    Exhibit(
        "dropout-always-on",
        "Dropout left on",
        "Each time the same input is decoded it may come out otherwise.",
        DropoutAlwaysOn,
        "Decoder",
        "embedded = F.dropout(self.embedding(tokens), p, training=self.training)",
        threads=(
            Thread("[PyTorch] Fix Transformers, Seq2Seq Predictions", "https://github.com/d2l-ai/d2l-en/pull/1528"),
        ),
    ),
    Exhibit(
        "softmax-twice",
        "Two softmaxes",
        "The loss stops falling far above zero.",
        SoftmaxTwice,
        "Decoder",
        "return logits, hidden",
        threads=(
            Thread("Double-softmax in validation loss", "https://github.com/ariecattan/SciCo/issues/2"),
            Thread("Bug in code", "https://github.com/jindongwang/Deep-learning-activity-recognition/issues/10"),
        ),
    ),
    Exhibit(
        "context-follows-the-state",
        "The context that moves along",
        "Training is perfect. Decoding alone, one example in eight goes wrong.",
        ContextFollowsTheState,
        "Decoder",
        "return self.fc_out(outputs + context), (hidden, context)  # the first context travels with the state",
        threads=(
            Thread("A mistake in seq2seq prediction implementation?", "https://github.com/d2l-ai/d2l-en/issues/2134"),
        ),
    ),
    Exhibit(
        "reset-gate-before",
        "The published reset gate",
        "The weights are right, the formula is the published one, and the outputs are not those of nn.GRU.",
        ResetGateBefore,
        "Decoder",
        "n = torch.tanh(inputs[2] + r * F.linear(state, weights[2], biases[2]))",
        threads=(
            Thread(
                "GRU is implementation of v1 rather than later v3", "https://github.com/pytorch/pytorch/issues/8153"
            ),
            Thread(
                "Allow weights trained with CuDNNGRU to be used without GPU",
                "https://github.com/keras-team/keras/pull/9112",
            ),
        ),
    ),
    Exhibit(
        "update-gate-reversed",
        "The other z",
        "The weights are right, but the state forgets where it should keep.",
        UpdateGateReversed,
        "Decoder",
        "return (1 - z) * n + z * state",
        threads=(
            Thread("GRUcell has a wrong formula", "https://github.com/pytorch/pytorch/issues/20129"),
            Thread("Question about h_t formula in GRU", "https://github.com/keras-team/keras/issues/785"),
        ),
    ),
    Exhibit(
        "not-shifted",
        "The answer is in the question",
        "The training loss goes to zero at once. Decoding writes nonsense.",
        NotShifted,
        "Seq2Seq",
        "return self.decoder(shift_right(target), self.encoder(source))[0]",
        threads=(
            Thread(
                "The token input to the model decoder at each time step is the same as the output token",
                "https://github.com/code-gen/cscg/issues/4",
            ),
            Thread("Fix loss function", "https://github.com/IpsumDominum/Pytorch-Simple-Transformer/issues/3"),
        ),
    ),
    Exhibit(
        "other-start",
        "Another start token",
        "None, until the weights are used by other code.",
        OtherStart,
        "Seq2Seq",
        "return start_tokens(source)",
        threads=(
            Thread(
                "To add <sos> token for initial decode step or just reuse <eos> as <sos> token?",
                "https://github.com/facebookresearch/fairseq/issues/655",
            ),
            Thread(
                "BartConfig wrong decoder_start_token_id?", "https://github.com/huggingface/transformers/issues/5212"
            ),
        ),
    ),
    Exhibit(
        "start-of-another",
        "The start token of another vocabulary",
        "Forced, the model is perfect. Users find it a little worse, and nobody knows why.",
        StartOfAnother,
        "Seq2Seq",
        "return start_tokens(source)",
        threads=(
            Thread(
                "(EncoderDecoderModel) Why decoder_start_token_id are different between train and generation?",
                "https://github.com/huggingface/transformers/issues/14439",
            ),
        ),
    ),
    Exhibit(
        "state-not-carried",
        "A state that is not carried over",
        "The first token is right, and those that follow look like it.",
        StateNotCarried,
        "Seq2Seq",
        "logits, hidden = self.decoder(token, hidden)",
        threads=(
            Thread("OpenNMT: hidden state not updated in the decoder", "https://github.com/pytorch/examples/issues/88"),
            Thread(
                "ContextNet's decode function hidden or hidden_states", "https://github.com/upskyy/ContextNet/issues/4"
            ),
        ),
    ),
    Exhibit(
        "stale-token",
        "A stale token fed back",
        "The first token is right, and later ones are wrong more often than validation says.",
        StaleToken,
        "Seq2Seq",
        "token = logits.argmax(-1)",
        threads=(
            Thread(
                "loop problem in DecoderBase.forward",
                "https://github.com/maxbrenner-ai/seq2seq-time-series-forecasting-fully-recurrent/issues/2",
            ),
            Thread("Bug in Greedy Search", "https://github.com/hao-ai-lab/LookaheadDecoding/issues/62"),
        ),
    ),
    Exhibit(
        "stops-with-the-first",
        "When one is done, all are",
        "Alone a source is decoded well, in a batch its output is cut.",
        StopsWithTheFirst,
        "Seq2Seq",
        "if ended.all(): break  # ended |= token == END_TOKEN, row by row",
        threads=(
            Thread(
                "Bug: EOS handling in generate() breaks per-batch decoding logic",
                "https://github.com/2000ZRL/SOKE/issues/7",
            ),
        ),
    ),
    Exhibit(
        "end-masked-as-padding",
        "The end masked as padding",
        "The digits are right, and the model does not stop.",
        end_masked_as_padding,
        "token_loss",
        "F.cross_entropy(logits.flatten(0, 1), target.flatten())  # padding gets a token of its own",
        threads=(
            Thread(
                "Issue with pad_token == eos_token : model not 'learning when to stop'",
                "https://github.com/mlabonne/llm-course/issues/33",
            ),
            Thread(
                "Incorrect handling of EOS tokens when pad_token is set to eos_token …",
                "https://github.com/huggingface/transformers/issues/23530",
            ),
        ),
    ),
    Exhibit(
        "first-token-left-out",
        "The first token left out of the loss",
        "All tokens are right but the first.",
        first_token_left_out,
        "token_loss",
        "F.cross_entropy(logits.flatten(0, 1), target.flatten())",
        threads=(
            Thread(
                "<BOS> token not added, loss calculation instead skips the first word",
                "https://github.com/OpenHelix-Team/cobra/issues/13",
            ),
        ),
    ),
    Exhibit(
        "loss-one-apart",
        "The loss, one place off",
        "The output begins with the second token.",
        loss_one_apart,
        "token_loss",
        "F.cross_entropy(logits.flatten(0, 1), target.flatten())",
        threads=(
            Thread("Fix Language Modeling Loss", "https://github.com/huggingface/transformers/pull/404"),
            Thread(
                "Aligning logits with labels through two shifts？", "https://github.com/LLM360/amber-train/issues/6"
            ),
        ),
    ),
    Exhibit(
        "softmax-over-places",
        "A softmax over the wrong axis",
        "The loss falls, if not to zero. The outputs are nonsense.",
        softmax_over_places,
        "token_loss",
        "-logits.log_softmax(dim=-1).gather(-1, target[..., None]).mean()",
        threads=(
            Thread("Attention's softmax dimension is wrong?", "https://github.com/PetrochukM/PyTorch-NLP/issues/2"),
            Thread(
                "Softmax dimension is wrong.",
                "https://github.com/batra-mlp-lab/visdial-challenge-starter-pytorch/issues/1",
            ),
        ),
    ),
    Exhibit(
        "padding-in-the-mean",
        "A mean over padding",
        "The loss is smaller where a batch holds more padding.",
        padding_in_the_mean,
        "token_loss",
        "F.cross_entropy(logits.flatten(0, 1), target.flatten())  # whose mean is over what is not ignored",
        threads=(
            Thread("MaskedSoftmaxCELoss code wrong", "https://github.com/d2l-ai/d2l-en/issues/2076"),
            Thread("loss size_average", "https://github.com/IBM/pytorch-seq2seq/issues/125"),
        ),
    ),
    Exhibit(
        "gradients-kept",
        "zero_grad forgotten",
        "The loss falls, but more slowly, and stays more than ten times as high as it should.",
        gradients_kept,
        "train_step",
        "optimizer.zero_grad()",
        threads=(
            Thread(
                "Why there is no 'optimizer.zero_grad()' in base_trainer.py?",
                "https://github.com/yastrebksv/TennisCourtDetector/issues/7",
            ),
            Thread(
                "[feature request] Show warning if optimizer.zero_grad() was not called before optimizer.step()",
                "https://github.com/pytorch/pytorch/issues/47175",
            ),
        ),
    ),
    Exhibit(
        "padding-in-the-loss",
        "Padding in the loss",
        "The loss is small from the start, and the outputs are late to become good.",
        padding_in_the_loss,
        "train_step",
        "padded = F.pad(target, (0, n), value=-100)  # which the loss ignores",
        threads=(
            Thread("ignore_index defined but not used", "https://github.com/lucidrains/DALLE-pytorch/issues/57"),
            Thread(
                "Is this a bug? Calculating `cross_entropy loss` does not change ignore_index parameter …",
                "https://github.com/lukas-blecher/LaTeX-OCR/issues/305",
            ),
        ),
    ),
    Exhibit(
        "validation-forced",
        "Validation with a helping hand",
        "The validation's token accuracy is higher than users find it.",
        validation_forced,
        "evaluate",
        "predict(model, source, target, teacher_forcing_ratio=0.0)",
        threads=(
            Thread(
                "why to use teacher-forcing in function Validate()?",
                "https://github.com/sgrvinod/a-PyTorch-Tutorial-to-Image-Captioning/issues/6",
            ),
            Thread("Decoding twice in validation step", "https://github.com/CUNY-CL/yoyodyne/issues/70"),
        ),
    ),
    Exhibit(
        "mean-of-batch-means",
        "The mean of means",
        "The score changes with the batch size.",
        mean_of_batch_means,
        "evaluate",
        "score(torch.cat(logits), source, target)",
        threads=(
            Thread(
                "Large batch_size leads to inaccurate validation loss calculation",
                "https://github.com/dnouri/nolearn/issues/247",
            ),
            Thread(
                "tf3 c2 w2: 'simple custom training': taking average over batches underestimates average loss",
                "https://github.com/https-deeplearning-ai/tensorflow-3/issues/3",
            ),
        ),
    ),
    Exhibit(
        "eval-forgotten",
        "eval() forgotten",
        "The score differs from run to run, and is lower than the model deserves.",
        eval_forgotten,
        "evaluate",
        "model.eval()",
        threads=(
            Thread("Model Eval", "https://github.com/IBM/pytorch-seq2seq/issues/33"),
            Thread("No .eval() in tutorials", "https://github.com/pytorch/tutorials/issues/208"),
        ),
    ),
    Exhibit(
        "scored-to-the-shorter",
        "Scored as far as the shorter one",
        "A model that writes nothing at all would get 100 %.",
        scored_to_the_shorter,
        "evaluate",
        "written == wanted",
    ),
    Exhibit(
        "wrong-axis",
        "Exact match over the wrong axis",
        "The score jumps between a few values, while nearly all examples that one looks at are right.",
        wrong_axis,
        "evaluate",
        "right.all(dim=1)",
        threads=(
            Thread("About the accuracy computation.", "https://github.com/Zasder3/train-CLIP/issues/6"),
            Thread(
                "fix(torch): segmentation with test_batch_size > 1", "https://github.com/jolibrain/deepdetect/pull/1567"
            ),
        ),
    ),
)

"""The recipe of *Dive into Deep Learning*, section "Sequence-to-Sequence Learning for Machine Translation": https://d2l.ai

`default` is the book's: two GRU layers a side of width 256, embeddings of 256, dropout 0.2, Adam at 0.005, batches of
128, gradients clipped at 1, always teacher forcing, Xavier weights. Encoder, training loss, weights and decoding are
the package's. Its decoder is only in the book's text, so that one is written here to the book's description: a GRU
over the embedded token and the encoder's last state of the top layer, which it begins from too.
"""

from __future__ import annotations

import sys
from types import ModuleType

import torch
from competition import Competitor, Setting, compete
from torch import Tensor, nn

from course_utils import VOCABULARY_SIZE, SubstringTask, shift_right, start_tokens

# d2l imports torchvision for its pictures. PyPI's is built for CUDA and does not load beside a PyTorch for the CPU.
sys.modules["torchvision"] = ModuleType("torchvision")
sys.modules["torchvision"].transforms = ModuleType("torchvision.transforms")

from d2l import torch as d2l  # noqa: E402

TASK = SubstringTask()


class Decoder(d2l.Decoder):
    """What the book describes and the package leaves out."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        width = setting.width
        self.embedding = nn.Embedding(VOCABULARY_SIZE, width)
        self.rnn = d2l.GRU(2 * width, width, setting.depth, setting.dropout)
        self.output = nn.Linear(width, VOCABULARY_SIZE)
        self.apply(d2l.init_seq2seq)

    def init_state(self, encoded: tuple[Tensor, Tensor], *_) -> tuple[Tensor, Tensor]:
        outputs, state = encoded
        return outputs[-1], state

    def forward(self, tokens: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        context, hidden = state
        embedded = self.embedding(tokens.T)  # d2l's GRU wants time first
        outputs, hidden = self.rnn(torch.cat([embedded, context.expand(len(embedded), -1, -1)], dim=-1), hidden)
        return self.output(outputs).transpose(0, 1), (context, hidden)


def build(setting: Setting) -> Competitor:
    encoder = d2l.Seq2SeqEncoder(VOCABULARY_SIZE, setting.width, setting.width, setting.depth, setting.dropout)
    model = d2l.Seq2Seq(encoder, Decoder(setting), tgt_pad=None, lr=setting.learning_rate)

    def decode(source: Tensor) -> Tensor:
        lengths = torch.full((len(source),), TASK.length)
        batch = (source, start_tokens(source), lengths, source)  # of the fourth, the target, nothing is read
        return model.predict_step(batch, d2l.cpu(), TASK.n_digits)[0]

    return Competitor(model, lambda source, target: model.loss(model(source, shift_right(target)), target), decode)


SETTINGS = {
    "default": (
        build,
        Setting(learning_rate=5e-3, batch_size=128, width=256, depth=2, dropout=0.2, gradient_clip=1.0),
    ),
    "tuned": (build, Setting(learning_rate=2e-3, batch_size=64, width=256, depth=2, gradient_clip=1.0, cycle=1000)),
}

if __name__ == "__main__":
    compete("d2l_seq2seq", SETTINGS, "d2l")

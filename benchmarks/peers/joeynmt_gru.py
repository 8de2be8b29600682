"""JoeyNMT's recurrent network with attention: https://github.com/joeynmt/joeynmt

`default` is the project's own toy task, configs/rnn_reverse.yaml, with the GRU for which this peer is named instead of
its LSTM: a bidirectional encoder and a decoder of one layer of width 64 each, embeddings a quarter as wide, Luong's
attention, dropout 0.1, Adam at 0.001, batches of 10, gradients clipped at 1. Its rate falls only when the validation
score stops to rise, which a race ends before; here it stays. `depth` is the encoder's and the decoder's.
"""

from __future__ import annotations

from types import SimpleNamespace

import torch
from competition import Competitor, Setting, compete
from joeynmt.model import build_model
from joeynmt.search import greedy
from joeynmt.vocabulary import Vocabulary
from torch import Tensor

from course_utils import VOCABULARY_SIZE, SubstringTask

TASK = SubstringTask()
# 0 is a token like any other here: the digits come after the library's special tokens.
SPECIAL = {"unk": 0, "pad": 1, "bos": 2, "eos": 3}
FIRST_DIGIT = len(SPECIAL)


def vocabulary() -> Vocabulary:
    names = {f"{name}_token": f"<{name}>" for name in SPECIAL} | {f"{name}_id": i for name, i in SPECIAL.items()}
    return Vocabulary(
        [str(digit) for digit in range(VOCABULARY_SIZE)], SimpleNamespace(**names, sep_token=None, lang_tags=[])
    )


def build(setting: Setting) -> Competitor:
    side = {
        "type": "recurrent",
        "rnn_type": "gru",
        "embeddings": {"embedding_dim": setting.width // 4},
        "hidden_size": setting.width,
        "num_layers": setting.depth,
        "dropout": setting.dropout,
    }
    config = {
        "embed_initializer": "normal",
        "embed_init_weight": 0.1,
        "encoder": side,
        "decoder": side | {"hidden_dropout": setting.dropout, "init_hidden": "zero", "attention": "luong"},
    }
    model = build_model(config, vocabulary(), vocabulary())
    model.loss_function = ("crossentropy", 0.0)

    def encoder_inputs(source: Tensor) -> dict[str, Tensor]:
        return {
            "src": source + FIRST_DIGIT,
            "src_mask": torch.ones(len(source), 1, TASK.length, dtype=torch.bool),
            "src_length": torch.full((len(source),), TASK.length),
        }

    def loss(source: Tensor, target: Tensor) -> Tensor:
        written = target + FIRST_DIGIT
        summed, *_ = model(
            return_type="loss",
            **encoder_inputs(source),
            trg=written,
            trg_input=torch.cat([torch.full((len(target), 1), SPECIAL["bos"]), written[:, :-1]], dim=1),
            trg_mask=torch.ones(len(target), 1, TASK.n_digits, dtype=torch.bool),
        )
        return summed / len(source)  # JoeyNMT's own normalization: by sentences

    def decode(source: Tensor) -> Tensor:
        inputs = encoder_inputs(source)
        output, hidden, *_ = model(return_type="encode", **inputs)
        tokens, *_ = greedy(inputs["src_mask"], TASK.n_digits, model, output, hidden, min_output_length=TASK.n_digits)
        return tokens - FIRST_DIGIT

    return Competitor(model, loss, decode)


SETTINGS = {
    "default": (
        build,
        Setting(learning_rate=1e-3, batch_size=10, width=64, depth=1, dropout=0.1, gradient_clip=1.0),
    ),
    "tuned": (
        build,
        Setting(
            learning_rate=6e-3,
            batch_size=64,
            width=64,
            depth=1,
            gradient_clip=1.0,
            weight_decay=0.1,
            cycle=400,
        ),
    ),
}

if __name__ == "__main__":
    compete("joeynmt_gru", SETTINGS, "joeynmt")

"""The doctor's visit to *Dive into Deep Learning*'s encoder–decoder; the adapter is the two classes below."""

from __future__ import annotations

import torch
from d2l_seq2seq import SETTINGS, d2l
from examination import report
from torch import Tensor, nn

from course_utils import diagnose, shift_right, start_tokens

PADDING = 9  # one of the ten tokens, for a loss that masks it


class Encoder(nn.Module):
    """The package's encoder, with what its decoder makes of the encoder's outcome."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, source: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.model.decoder.init_state(self.model.encoder(source, lengths), lengths)


class Adapted(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.encoder, self.decoder = model, Encoder(model), model.decoder

    def forward(self, source: Tensor, target: Tensor, teacher_forcing_ratio: float) -> Tensor:
        return self.model(source, shift_right(target))

    def generate(self, source: Tensor, max_length: int) -> Tensor:
        batch = (source, start_tokens(source), torch.full((len(source),), source.shape[1]), source)
        return self.model.predict_step(batch, d2l.cpu(), max_length)[0]


def main() -> None:
    build, setting = SETTINGS["default"]
    torch.manual_seed(0)
    model = build(setting).model
    model.tgt_pad = PADDING
    report("d2l", diagnose(Adapted(model), loss=lambda *given: model.loss(*given), padding=PADDING))


if __name__ == "__main__":
    main()

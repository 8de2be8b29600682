"""The doctor's visit to JoeyNMT's recurrent network; the adapter is the three classes below.

Its own tokens are used throughout: the digits come after <unk>, <pad>, <s> and </s>.
"""

from __future__ import annotations

import torch
from examination import report
from joeynmt.search import greedy
from joeynmt_gru import FIRST_DIGIT, SETTINGS, SPECIAL
from torch import Tensor, nn

from course_utils import SubstringTask, diagnose

State = dict[str, Tensor | None]


class Encoder(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, source: Tensor, lengths: Tensor | None = None) -> State:
        if lengths is None:
            lengths = torch.full((len(source),), source.shape[1])
        lengths, order = lengths.sort(descending=True)  # the library wants the longest first, and sorts its batches so
        mask = (torch.arange(source.shape[1]) < lengths[:, None])[:, None]
        output, hidden, *_ = self.model(
            return_type="encode", src=source[order], src_length=lengths, src_mask=mask, max_length=source.shape[1]
        )
        back = order.argsort()
        return {"encoder_output": output[back], "encoder_hidden": hidden[back], "src_mask": mask[back]}


class Decoder(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        logits, hidden, _, attended = self.model(
            return_type="decode", trg_input=tokens, unroll_steps=tokens.shape[1], **state
        )
        return logits, state | {"decoder_hidden": hidden, "att_vector": attended[:, -1:]}


class Adapted(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = Encoder(model), Decoder(model)

    def forward(self, source: Tensor, target: Tensor, teacher_forcing_ratio: float) -> Tensor:
        begun = torch.full((len(target), 1), SPECIAL["bos"])
        return self.decoder(torch.cat([begun, target[:, :-1]], dim=1), self.encoder(source))[0]

    def generate(self, source: Tensor, max_length: int) -> Tensor:
        state = self.encoder(source)
        mask, output, hidden = state["src_mask"], state["encoder_output"], state["encoder_hidden"]
        return greedy(mask, max_length, self.encoder.model, output, hidden)[0]


def main() -> None:
    build, setting = SETTINGS["default"]
    torch.manual_seed(0)
    model = build(setting).model
    source, target = SubstringTask().sample(6, torch.Generator().manual_seed(0))
    diagnosis = diagnose(
        Adapted(model),
        source + FIRST_DIGIT,
        target + FIRST_DIGIT,
        loss=lambda logits, wanted: model.loss_function(logits.log_softmax(-1), trg=wanted),
        start_token=SPECIAL["bos"],
        end_token=SPECIAL["eos"],
        padding=SPECIAL["pad"],
    )
    report("joeynmt", diagnosis)


if __name__ == "__main__":
    main()

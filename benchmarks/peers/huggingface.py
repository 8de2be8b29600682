"""A small BART of Hugging Face transformers, from its configuration: nothing is downloaded.

The `default` settings train as the library's Trainer does when nothing is said: AdamW without decay, which is Adam, at
5e-5, batches of 8, gradients clipped at 1, the model's own dropout of 0.1. The Trainer's rate falls over a number of
epochs; examples never end here, so it stays. Sizes are ours: width 128, 2 layers a side, 4 heads, 4 × width between.
"""

from __future__ import annotations

from competition import Competitor, Setting, compete
from torch import Tensor
from transformers import BartConfig, BartForConditionalGeneration

from course_utils import START_TOKEN, VOCABULARY_SIZE, SubstringTask

TASK = SubstringTask()
HEADS = 4
TRAINER = Setting(learning_rate=5e-5, batch_size=8, width=128, depth=2, dropout=0.1, gradient_clip=1.0)
# 0 is a token like any other here, so the library's own special tokens come after the ten digits.
TOKENS = {
    "vocab_size": VOCABULARY_SIZE + 2,
    "pad_token_id": VOCABULARY_SIZE,
    "bos_token_id": None,
    "eos_token_id": VOCABULARY_SIZE + 1,
    "decoder_start_token_id": START_TOKEN,
}


def bart(setting: Setting) -> Competitor:
    sizes = {"layers": setting.depth, "attention_heads": HEADS, "ffn_dim": 4 * setting.width}
    config = BartConfig(
        d_model=setting.width,
        dropout=setting.dropout,
        max_position_embeddings=TASK.length,
        forced_eos_token_id=None,
        **{f"{side}_{name}": value for side in ("encoder", "decoder") for name, value in sizes.items()},
        **TOKENS,
    )
    model = BartForConditionalGeneration(config)

    def decode(source: Tensor) -> Tensor:
        # As many tokens at least as at most: an output never ends early.
        written = model.generate(
            source, do_sample=False, num_beams=1, min_new_tokens=TASK.n_digits, max_new_tokens=TASK.n_digits
        )
        return written[:, 1:]  # without the start token

    return Competitor(model, lambda source, target: model(input_ids=source, labels=target).loss, decode)


SETTINGS = {
    "bart-default": (bart, TRAINER),
    "bart-tuned": (
        bart,
        Setting(
            learning_rate=1.5e-3,
            batch_size=32,
            width=128,
            depth=2,
            betas=(0.7, 0.95),
            weight_decay=0.3,
            cycle=400,
        ),
    ),
}

if __name__ == "__main__":
    compete("huggingface", SETTINGS, "transformers")

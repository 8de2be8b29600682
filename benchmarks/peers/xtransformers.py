"""x-transformers' encoder–decoder: https://github.com/lucidrains/x-transformers

`default` is the project's own toy task, train_copy.py: width 128, 3 layers a side, 8 heads of the library's usual 64,
tied embeddings, Adam at 3e-4, batches of 32. (That task also switches the library's signed attention on,
`attn_cog_signed`; here attention is the library's own default.) `tuned` has 2 layers a side and 4 heads of 32.
"""

from __future__ import annotations

from functools import partial

import torch
from competition import Competitor, Setting, compete
from x_transformers import XTransformer

from course_utils import VOCABULARY_SIZE, SubstringTask, start_tokens

TASK = SubstringTask()


def build(setting: Setting, heads: int, head_width: int) -> Competitor:
    side = {
        "num_tokens": VOCABULARY_SIZE,
        "depth": setting.depth,
        "heads": heads,
        "attn_dim_head": head_width,
    }
    model = XTransformer(
        dim=setting.width,
        tie_token_emb=True,
        enc_max_seq_len=TASK.length,
        dec_max_seq_len=TASK.n_digits + 1,
        **{f"{name}_{key}": value for name in ("enc", "dec") for key, value in side.items()},
    )

    return Competitor(
        model,
        loss=lambda source, target: model(source, torch.cat([start_tokens(target), target], dim=1)),
        decode=lambda source: model.generate(source, start_tokens(source), TASK.n_digits, temperature=0.0),
    )


SETTINGS = {
    "default": (partial(build, heads=8, head_width=64), Setting(learning_rate=3e-4, batch_size=32, width=128, depth=3)),
    "tuned": (
        partial(build, heads=4, head_width=32),
        Setting(
            learning_rate=2e-3,
            batch_size=64,
            width=64,
            depth=2,
            betas=(0.7, 0.95),
            weight_decay=0.3,
            cycle=350,
        ),
    ),
}

if __name__ == "__main__":
    compete("xtransformers", SETTINGS, "x-transformers")

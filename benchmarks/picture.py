"""The README's picture: what a network trained by `tuned` is thinking while it writes. Writes benchmarks/network.png.

python benchmarks/picture.py            (about half a minute on two cores)
"""

from __future__ import annotations

from pathlib import Path

import torch

from course_utils import TUNED, ProgressBar, SubstringTask, display, fit, plots, predict

PICTURE = Path(__file__).with_name("network.png")
SOURCE = [2, 5, 7, 1, 8, 2, 8, 1, 8, 4]


def main() -> None:
    model = fit(TUNED, callbacks=[ProgressBar()]).model
    source = torch.tensor([SOURCE])
    probabilities = predict(model, source, SubstringTask().solve(source)).softmax(-1)[0]  # (T, V)
    written = probabilities.argmax(-1).tolist()
    figure = plots.heat_map(
        probabilities.T,
        f"source {' '.join(map(str, SOURCE))}: start at digit 2, copy 5",
        "token written, step by step",
        "token",
        x_ticks=written,
        label="probability",
        marked=[(token, step) for step, token in enumerate(written)],
    )
    PICTURE.write_bytes(display.png(figure))


if __name__ == "__main__":
    main()

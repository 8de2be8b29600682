"""Do the certificates that ship with the course hold on this machine?

    python tools/verify.py            (a minute or two on one core)

The network for length 8 is counted anew, over all its inputs. Of the three for length 10 a part is counted, drawn at
random: call again for another. Ends with status 1 where a count and a certificate disagree.
"""

from __future__ import annotations

import random
import sys

from tqdm.auto import tqdm

from course_utils import count_errors, load_certificate, load_model, record_path, still_to_count

PARTS_OF_LENGTH_10 = 243  # 4.8 million inputs each


def main() -> None:
    held = [holds("exact-length8", 1)]
    held += [holds(name, PARTS_OF_LENGTH_10) for name in ("exact-length10", "mended-length10", "smallest-length10")]
    sys.exit(not all(held))


def holds(name: str, n_shards: int) -> bool:
    """Count one of n shards, drawn at random, and say whether it agrees with the certificate."""
    checkpoint = record_path(f"{name}.pt")
    certificate = load_certificate(record_path(f"{name}.json"), checkpoint)
    task, shard = certificate.task, (random.randint(1, n_shards), n_shards)
    ((start, stop),) = still_to_count(task, shard, [])
    try:
        with tqdm(total=stop - start, unit="input", unit_scale=True, desc=name) as bar:
            found = count_errors(
                load_model(checkpoint), task, shard=shard, on_block=lambda _, n_inputs: bar.update(n_inputs)
            )
    except KeyboardInterrupt:
        raise SystemExit("Interrupted: nothing was compared.") from None
    # Machines round differently, by about this much.
    rounding = max(found.arithmetic_difference, certificate.arithmetic_difference)
    agrees = found.errors == certificate.errors == 0
    if certificate.complete:
        agrees &= found.worst_margin >= certificate.worst_margin - rounding
    if certificate.complete and n_shards == 1:
        agrees &= found.worst_margin <= certificate.worst_margin + rounding
    print(
        f"{name}: {found.errors} errors among {found.inputs:,} inputs (number {start:,} on), "
        f"worst margin {found.worst_margin:.4f}\n"
        f"  its certificate: {certificate.errors} among {certificate.inputs:,} of {task.size:,}, "
        f"worst margin {certificate.worst_margin:.4f}: {'agrees' if agrees else 'DISAGREES'}"
    )
    return agrees


if __name__ == "__main__":
    main()

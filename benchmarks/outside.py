"""What `diagnose` says of encoder–decoders that this project did not write.

    python benchmarks/outside.py            (a few minutes for the environments, which need the network, then seconds)

It writes course_utils/records/outside.json: for each model its findings, as they come, false alarms included. The
models are those of two published packages, in environments of their own (benchmarks/peers/), each adapted to what
`diagnose` asks for by the few lines of peers/diagnose_<peer>.py. Nothing of theirs is copied.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import peers
from provenance import provenance, save

RECORD = Path(__file__).parents[1] / "course_utils" / "records" / "outside.json"
MODELS = ("d2l_seq2seq", "joeynmt_gru")
# What their code says of a finding: whether it is one, and why.
READ = {
    ("d2l_seq2seq", "padding invariance"): (
        True,
        "Seq2SeqEncoder.forward is given the sources' lengths and takes no notice of them: its state is that after the "
        "padding.",
    ),
    ("d2l_seq2seq", "neutral padding"): (
        True,
        "The package's Seq2Seq keeps `tgt_pad`, but the loss that it inherits from Classifier masks nothing.",
    ),
    ("joeynmt_gru", "greedy agrees with itself"): (
        False,
        "A false alarm: its greedy search never writes <s> or <pad>, nor </s> first. Where these are the likeliest, as "
        "with weights drawn at random, it writes the next best. With that rule laid on the logits the property holds.",
    ),
}


def examined(peer: str) -> dict:
    """The findings on one peer's model, in its own environment. RuntimeError, with what it said, where it fails."""
    command = [peers.environment(peer), peers.FOLDER / f"diagnose_{peer}.py"]
    paths = os.pathsep.join(map(str, (peers.ROOT, peers.FOLDER)))
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{peer} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])  # libraries may have said something before


def main() -> None:
    record = {
        **provenance("python benchmarks/outside.py"),
        "models": {peer: examined(peer) for peer in MODELS},
    }
    for peer, found in record["models"].items():
        for finding in found["findings"]:
            if finding["verdict"] == "fails":
                finding["true"], finding["because"] = READ.get((peer, finding["name"]), (None, "Not looked into yet."))
    save(record, RECORD)
    for peer, found in record["models"].items():
        print(f"{peer}: fails {', '.join(one['name'] for one in found['findings'] if one['verdict'] == 'fails')}")


if __name__ == "__main__":
    main()

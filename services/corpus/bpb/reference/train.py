"""Trains the reference language model and writes it next to this file.

    python -m services.corpus.bpb.reference.train [--tokens N] [--seed N] [--out DIR]

Learns from the train split of the reference corpus alone (Python's own sources and
documentation, PSF licence), in one pass. The result is a function of the arguments, the installed
Python and torch, and the kind of processor: one thread, seeded, no clock. `export` then checks
the ONNX file against torch before it is written.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from torch import Tensor

from services.corpus.bpb.reference.export import export
from services.corpus.bpb.reference.model import BOS, ByteTransformer, Shape
from services.corpus.bpb.reference.optimiser import Muon
from services.corpus.bpb.reference.text import texts
from services.corpus.reference.build import ensure_reference_corpus

WINDOW = 1024  # tokens of a training example; scoring windows may be longer
BATCH = 4
_MATRIX_RATE = 0.02
_OTHER_RATE = 0.005
_WARMUP_STEPS = 50
_DECAY = 0.6  # the last part of the steps, over which the rates fall to zero


def token_stream(documents: list[bytes]) -> Tensor:
    """Join documents into one int64 vector, BOS before each."""
    joined = bytearray()
    starts = []
    for document in documents:
        starts.append(len(joined))
        joined += b"\0" + document
    stream = torch.frombuffer(joined, dtype=torch.uint8).long()
    stream[torch.tensor(starts)] = BOS
    return stream


def train(documents: list[bytes], tokens: int, seed: int) -> ByteTransformer:
    """Train a new model on about `tokens` tokens of the documents."""
    torch.manual_seed(seed)
    model = ByteTransformer(Shape())
    matrices = [p for n, p in model.blocks.named_parameters() if not n.endswith("mix.weight")]
    chosen = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in chosen]
    optimisers = [
        (Muon(matrices, _MATRIX_RATE, momentum=0.95), _MATRIX_RATE),
        (torch.optim.Adam(others, _OTHER_RATE, betas=(0.9, 0.98)), _OTHER_RATE),
    ]
    stream = token_stream(documents)
    starts = _starts(len(stream), tokens)
    steps = len(starts) // BATCH
    mean, began = math.nan, time.monotonic()
    for step in range(steps):
        window = torch.stack([stream[s : s + WINDOW + 1] for s in starts[step * BATCH :][:BATCH]])
        loss = _loss(model, window)
        loss.backward()  # type: ignore[no-untyped-call]
        scale = min(1.0, (step + 1) / _WARMUP_STEPS, (1 - step / steps) / _DECAY)
        for optimiser, rate in optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate * scale
            optimiser.step()
            optimiser.zero_grad()
        bits = loss.item() / math.log(2)
        mean = bits if math.isnan(mean) else 0.98 * mean + 0.02 * bits
        if step % 20 == 0 or step == steps - 1:
            done = (step + 1) * BATCH * WINDOW
            rate = done / (time.monotonic() - began)
            print(
                f"step {step + 1}/{steps}  {mean:.3f} bits a byte  {rate:,.0f} tokens/s", flush=True
            )
    return model


def _starts(length: int, tokens: int) -> list[int]:
    """Draw where windows start: whole passes over the stream, each in a new order and phase."""
    per_pass = length // WINDOW - 1
    wanted = max(BATCH, tokens // WINDOW)
    starts: list[int] = []
    while len(starts) < wanted:
        phase = int(torch.randint(WINDOW, ()))
        starts += [phase + int(i) * WINDOW for i in torch.randperm(per_pass)]
    return starts[:wanted]


def _loss(model: ByteTransformer, window: Tensor) -> Tensor:
    """Mean -log p over the bytes of [batch, WINDOW + 1] tokens; BOS is never predicted."""
    targets = window[:, 1:].masked_fill(window[:, 1:] == BOS, -100)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(window[:, :-1])
    return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), ignore_index=-100)


def main(arguments: list[str]) -> int:
    """Train, export, report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tokens", type=int, default=6_500_000, help="tokens to learn from")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as home:
        documents = [text for _, text in texts(ensure_reference_corpus(Path(home)), "train")]
    model = train(documents, options.tokens, options.seed)
    facts = {"tokens": options.tokens, "seed": options.seed, "python": sys.version.split()[0]}
    print(f"wrote {export(model, options.out, facts)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

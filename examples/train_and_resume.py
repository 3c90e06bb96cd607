"""Trains a small model on packed tokens, and resumes to the very same weights.

    assay corpus index examples/texts --out texts-indexed
    assay up --shards texts-indexed
    python examples/train_and_resume.py localhost:50052 local run.pt

Stop it at any time, or give a last argument to stop after that step, and start it again: it
continues with the next step. The steps are the same for any number of ranks, so a checkpoint holds
the number of the step, and no state of a loader.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import torch
from assay_rpc.corpus.tokens import TokenStream
from torch import nn

LENGTH, BATCH, STEPS, VOCABULARY = 128, 8, 40, 257  # tokens: bytes, and a separator of texts


def train(address: str, corpus: str, checkpoint: Path, until: int = STEPS) -> str:
    """Train from the checkpoint up to step `until`; return the weights' hash."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = nn.Sequential(nn.Embedding(VOCABULARY, 32), nn.Linear(32, VOCABULARY))
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    step = 0
    if checkpoint.exists():
        saved: dict[str, Any] = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        step = saved["step"]
    with TokenStream(
        address, corpus, tokenizer="byte-reference", length=LENGTH, global_batch=BATCH, seed=1
    ) as sequences:
        sequences.start_at(step)
        batch: list[torch.Tensor] = []
        for sequence in sequences:
            batch.append(sequence.torch())
            if len(batch) == BATCH:
                ids, batch = torch.stack(batch), []
                likelihoods = model(ids[:, :-1]).flatten(0, 1)
                loss = nn.functional.cross_entropy(likelihoods, ids[:, 1:].flatten())
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                step += 1
                state = {"model": model.state_dict(), "optimiser": optimiser.state_dict()}
                torch.save({**state, "step": step}, checkpoint.with_suffix(".new"))
                checkpoint.with_suffix(".new").replace(checkpoint)
                print(f"step {step}: {loss.item():.4f}", flush=True)
            if step == until:
                break
    weights = b"".join(one.detach().numpy().tobytes() for one in model.parameters())
    return hashlib.sha256(weights).hexdigest()


if __name__ == "__main__":
    last = int(sys.argv[4]) if sys.argv[4:] else STEPS
    print(train(sys.argv[1], sys.argv[2], Path(sys.argv[3]), last))

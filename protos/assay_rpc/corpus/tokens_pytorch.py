"""Sequences of tokens as a dataset of PyTorch.

    dataset = TokenDataset(
        "localhost:50052", "the-pile", tokenizer="gpt2", length=2048, batch_size=8,
        global_batch=512, rank=rank, world_size=8, start_step=step, seed=7,
    )
    for batch in DataLoader(dataset, batch_size=None, num_workers=2):
        train(batch["ids"])

Needs `torch` and `numpy`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import torch
from torch.utils.data import IterableDataset, get_worker_info

from assay_rpc.corpus._sequence import TokenSequence
from assay_rpc.corpus.tokens import TokenStream


class TokenDataset(IterableDataset[dict[str, Any]]):
    """Batches of `batch_size` sequences of a rank, in the same order for any number of workers.

    Options are those of TokenStream. Worker w of N reads all sequences of the rank and gives every
    N-th batch: the loader takes the workers in turn, so give it `batch_size=None` and leave its
    order as it is. Where a run continues is a number of steps alone: `start_step`.
    """

    def __init__(
        self, target: Any, corpus: Any, *, batch_size: int, start_step: int = 0, **options: Any
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size: {batch_size} is not at least 1")
        self._target, self._corpus, self._options = target, corpus, options
        self._batch_size, self._start_step = batch_size, start_step

    def __iter__(self) -> Iterator[dict[str, Any]]:
        worker = get_worker_info()
        workers, number = (worker.num_workers, worker.id) if worker else (1, 0)
        with TokenStream(self._target, self._corpus, **self._options) as stream:
            stream.start_at(self._start_step)
            sequences, turn = iter(stream), 0
            while batch := list(islice(sequences, self._batch_size)):
                if turn % workers == number:
                    yield _batch(batch)
                turn += 1


def _batch(sequences: list[TokenSequence]) -> dict[str, Any]:
    return {
        "ids": torch.stack([sequence.torch() for sequence in sequences]),
        "boundaries": [sequence.boundaries for sequence in sequences],
        "documents": [sequence.documents for sequence in sequences],
        "offsets": [sequence.offsets for sequence in sequences],
    }

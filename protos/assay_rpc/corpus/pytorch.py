"""A corpus as a dataset of PyTorch, for its DataLoader and torchdata's StatefulDataLoader.

    from assay_rpc.corpus.pytorch import CorpusDataset
    from torchdata.stateful_dataloader import StatefulDataLoader

    dataset = CorpusDataset("localhost:50052", "the-pile", seed=7, rank=rank, world_size=8)
    loader = StatefulDataLoader(dataset, batch_size=32, num_workers=4)
    for batch in loader:
        train(batch["text"])

A batch is a dict of lists, by the fields of Document.

Needs `torch`. Where the main process has used gRPC, give the loader
`multiprocessing_context="spawn"`: gRPC does not survive a fork.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any, Literal, Unpack

from torch.utils.data import IterableDataset, get_worker_info
from torch.utils.data._utils.collate import default_collate_fn_map

from assay_rpc.connection import Connection
from assay_rpc.corpus.document import Document
from assay_rpc.corpus.selection import SelectionOptions, select
from assay_rpc.corpus.stream import CorpusStream


class CorpusDataset(IterableDataset[Document]):
    """The documents of a rank, dealt to the loader's workers: each document to one of them.

    `target` is "host:port" or a Connection. Worker w of N of rank r of W streams as rank r + w * W
    of W * N: the workers share what the rank has without them, and as many have to continue from a
    state. Iterating again begins again, unless a state was loaded; `set_epoch` gives it another
    order. More than one rank or worker needs an index, and so does a seed.

    With `equal` ("drop" or "wrap") every worker of every rank gets as many documents, a multiple of
    `batch_size`, so that all ranks make as many batches. `corpus` may map names to weights.
    """

    def __init__(
        self,
        target: str | Connection,
        corpus: str | Mapping[str, float],
        *,
        rank: int = 0,
        world_size: int = 1,
        equal: Literal["drop", "wrap"] | None = None,
        batch_size: int = 0,
        **selection: Unpack[SelectionOptions],
    ) -> None:
        select(**selection)  # refuse what is wrong with it here, and not in a worker
        self._target, self._corpus, self._selection = target, corpus, selection
        self._rank, self._world_size = rank, world_size
        self._equal, self._batch_size = equal, batch_size
        self._stream: CorpusStream | None = None
        self._state: dict[str, Any] | None = None
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Make the next iteration that of epoch `epoch`, from 0. Raises ValueError without a seed.

        Workers that live on (`persistent_workers`) do not see it.
        """
        if self._selection.get("seed") is None:
            raise ValueError("epochs differ by their shuffle: give a seed")
        self._epoch = epoch

    def __iter__(self) -> Iterator[Document]:
        worker = get_worker_info()
        workers, number = (worker.num_workers, worker.id) if worker else (1, 0)
        with CorpusStream(
            self._target,
            self._corpus,
            selection=select(**self._selection),
            rank=self._rank + number * self._world_size,
            world_size=self._world_size * workers,
            equal=self._equal,
            batch_size=self._batch_size,
        ) as stream:
            if self._epoch:
                stream.set_epoch(self._epoch)
            if self._state is not None:
                stream.load_state_dict(self._state)
                self._state = None
            self._stream = stream
            yield from stream

    def state_dict(self) -> dict[str, Any]:
        """Return where this worker is; empty before its first document."""
        if self._state is not None:
            return self._state
        return self._stream.state_dict() if self._stream is not None else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Make the next iteration continue where `state` was taken."""
        self._stream = None
        self._state = state or None


def _collated(batch: Sequence[Document], **_: Any) -> dict[str, list[Any]]:
    return {
        field.name: [getattr(document, field.name) for document in batch]
        for field in fields(Document)
    }


# As torch's documentation of `default_collate` has it. Workers import this module with the dataset.
default_collate_fn_map[Document] = _collated

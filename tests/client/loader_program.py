"""A training program: reads with a loader of two workers, stops, and goes on in another loader.

    python -m tests.client.loader_program ADDRESS

Prints {"taken", "whole", "resumed"}: batches of ids before the state, of the whole run, and of the
run that goes on from the state.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from assay_rpc.corpus.pytorch import CorpusDataset
from torchdata.stateful_dataloader import StatefulDataLoader


def loader(address: str) -> Any:
    return StatefulDataLoader(
        CorpusDataset(address, "c", seed=5, rank=0, world_size=2),
        batch_size=7,
        num_workers=2,
        multiprocessing_context="spawn",
    )


def main(address: str) -> None:
    first = loader(address)
    batches = iter(first)
    taken = [next(batches)["id"] for _ in range(11)]
    state = first.state_dict()
    whole = taken + [batch["id"] for batch in batches]
    second = loader(address)
    second.load_state_dict(state)
    resumed = [batch["id"] for batch in second]
    print(json.dumps({"taken": taken, "whole": whole, "resumed": resumed}))


if __name__ == "__main__":
    main(sys.argv[1])

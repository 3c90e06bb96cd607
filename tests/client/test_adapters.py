"""The client's adapters with the libraries that they adapt to."""

from __future__ import annotations

import json
from typing import Any

import pytest
from assay.corpus import stream

from tests.client.conftest import Server

pytestmark = pytest.mark.torch

torch_data = pytest.importorskip("torch.utils.data", reason="torch is not installed")
stateful = pytest.importorskip("torchdata.stateful_dataloader", reason="needs the extra adapters")
nodes = pytest.importorskip("datasets.distributed", reason="needs the extra adapters")


def everything(server: Server, **options: Any) -> list[str]:
    with stream(server.address, "c", **options) as documents:
        return [document.id for document in documents]


def test_a_dataset_of_one_process(server: Server) -> None:
    from assay.corpus.pytorch import CorpusDataset  # noqa: PLC0415  # where torch is

    dataset = CorpusDataset(server.address, "c", seed=5)
    loader = torch_data.DataLoader(dataset, batch_size=None)
    for _ in range(2):
        assert [document.id for document in loader] == everything(server, seed=5)
    with pytest.raises(TypeError, match="'sede'"):
        CorpusDataset(server.address, "c", sede=5)  # type: ignore[call-arg]  # meant


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")  # torchdata's own call of torch
def test_a_loader_with_workers_goes_on_from_its_state(server: Server) -> None:
    """Stopped in the middle, in another loader, every document once, in the same batches."""
    from assay.corpus.pytorch import CorpusDataset  # noqa: PLC0415  # where torch is

    def loader() -> Any:
        return stateful.StatefulDataLoader(
            CorpusDataset(server.address, "c", seed=5, rank=0, world_size=2),
            batch_size=7,
            num_workers=2,
            multiprocessing_context="spawn",
        )

    first = loader()
    batches = iter(first)
    taken = [next(batches).id for _ in range(11)]
    state = first.state_dict()
    whole = taken + [batch.id for batch in batches]
    second = loader()
    second.load_state_dict(state)
    assert taken + [batch.id for batch in second] == whole
    found = [one for batch in whole for one in batch]
    with stream(server.address, "c", seed=5, rank=1, world_size=2) as documents:
        others = [document.id for document in documents]
    assert sorted(found + others) == sorted(everything(server))


def test_hugging_face_rows(server: Server) -> None:
    from assay.corpus.huggingface import load  # noqa: PLC0415  # where datasets is

    dataset = load(server.address, "c", parts=4, seed=5)
    rows = list(dataset)
    with stream(server.address, "c", seed=5) as documents:
        texts = {document.id: document.text.decode() for document in documents}
    assert {row["id"]: row["text"] for row in rows} == texts
    assert len(rows) == len(texts)
    assert {row["subset"] for row in rows} == {"ArXiv", "Github", "PubMed Central"}
    first, second = (
        [row["id"] for row in nodes.split_dataset_by_node(dataset, node, 2)] for node in range(2)
    )
    assert sorted(first + second) == sorted(texts)


def test_hugging_face_goes_on_from_a_state(server: Server) -> None:
    from assay.corpus.huggingface import load  # noqa: PLC0415  # where datasets is

    dataset = load(server.address, "c", parts=4, seed=5)
    whole = [row["id"] for row in dataset]
    rows = iter(dataset)
    taken = [next(rows)["id"] for _ in range(len(whole) // 2)]
    state = json.loads(json.dumps(dataset.state_dict()))
    again = load(server.address, "c", parts=4, seed=5)
    again.load_state_dict(state)
    assert taken + [row["id"] for row in again] == whole

"""The client's adapters with the libraries that they adapt to."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from assay_rpc.corpus import stream

from tests.client.conftest import Server

pytestmark = pytest.mark.torch

torch_data = pytest.importorskip("torch.utils.data", reason="torch is not installed")
pytest.importorskip("torchdata", reason="needs the extra adapters")
nodes = pytest.importorskip("datasets.distributed", reason="needs the extra adapters")


def everything(server: Server, **options: Any) -> list[str]:
    with stream(server.address, "c", **options) as documents:
        return [document.id for document in documents]


def test_a_dataset_of_one_process(server: Server) -> None:
    from assay_rpc.corpus.pytorch import CorpusDataset  # noqa: PLC0415  # where torch is

    dataset = CorpusDataset(server.address, "c", seed=5)
    loader = torch_data.DataLoader(dataset, batch_size=None)
    for _ in range(2):
        assert [document.id for document in loader] == everything(server, seed=5)
    with pytest.raises(TypeError, match="'sede'"):
        CorpusDataset(server.address, "c", sede=5)  # type: ignore[call-arg]  # meant


def test_a_loader_with_workers_goes_on_from_its_state(server: Server) -> None:
    """Stopped in the middle, in another loader, every document once, in the same batches.

    In a process of its own: a loader leaves a handler of SIGCHLD behind, under which a process that
    has OpenVINO as well died where it started the next one.
    """
    done = subprocess.run(
        [sys.executable, "-m", "tests.client.loader_program", server.address],
        capture_output=True,
        check=True,
        timeout=120,
    )
    run = json.loads(done.stdout.splitlines()[-1])
    assert run["taken"] + run["resumed"] == run["whole"]
    found = [one for batch in run["whole"] for one in batch]
    with stream(server.address, "c", seed=5, rank=1, world_size=2) as documents:
        others = [document.id for document in documents]
    assert sorted(found + others) == sorted(everything(server))


def test_hugging_face_rows(server: Server) -> None:
    from assay_rpc.corpus.huggingface import load  # noqa: PLC0415  # where datasets is

    dataset = load(server.address, "c", parts=4, seed=5)
    rows = list(dataset)
    with stream(server.address, "c", seed=5) as documents:
        texts = {document.id: document.text for document in documents}
    assert {row["id"]: row["text"] for row in rows} == texts
    assert len(rows) == len(texts)
    assert {row["subset"] for row in rows} == {"ArXiv", "Github", "PubMed Central"}
    first, second = (
        [row["id"] for row in nodes.split_dataset_by_node(dataset, node, 2)] for node in range(2)
    )
    assert sorted(first + second) == sorted(texts)


def test_hugging_face_goes_on_from_a_state(server: Server) -> None:
    from assay_rpc.corpus.huggingface import load  # noqa: PLC0415  # where datasets is

    dataset = load(server.address, "c", parts=4, seed=5)
    whole = [row["id"] for row in dataset]
    rows = iter(dataset)
    taken = [next(rows)["id"] for _ in range(len(whole) // 2)]
    state = json.loads(json.dumps(dataset.state_dict()))
    again = load(server.address, "c", parts=4, seed=5)
    again.load_state_dict(state)
    assert taken + [row["id"] for row in again] == whole

"""A model repository as desired state, over a real socket: swaps, failures, replicas."""

from __future__ import annotations

import asyncio
import gc
import shutil
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from assay_rpc.common.v1 import common_pb2
from assay_rpc.segment.v1 import admin_pb2, images_pb2, segment_pb2
from grpc_health.v1 import health_pb2
from prometheus_client import generate_latest
from structlog.testing import capture_logs

from services.errors import InvalidArgument
from services.segment.engines.choice import Choice
from services.segment.engines.engine import Engine
from services.segment.manifest import MANIFEST_FILE, MODEL_FILE, manifest_digest, read_manifest
from tests.rpc.echo_server import health_stub
from tests.segment.api.test_segment import SECONDS, label_array, refused, request
from tests.segment.conftest import Client, Start, evaluated
from tests.segment.tiny_model import RESEARCH, Tiny, sealed, write

Code = grpc.StatusCode
SERVING, FAILED = admin_pb2.MODEL_STATE_SERVING, admin_pb2.MODEL_STATE_FAILED
AVAILABLE = admin_pb2.MODEL_STATE_AVAILABLE
Seen = list[tuple[str, str, str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with versions 1 and 2 of a model, which give different labels."""
    for version in ("1", "2"):
        write(tmp_path / "models" / "tiny" / version, Tiny(version=version, seed=int(version)))
    return tmp_path / "models"


@pytest.fixture
def served(start: Start, folder: Path, tmp_path: Path) -> Callable[..., Any]:
    """Start a replica that follows the file beside the models."""

    async def starter(**settings: Any) -> Client:
        values = {
            "models": [folder],
            "desired": tmp_path / "desired.json",
            "reconcile_seconds": 0.02,
        }
        return await start(**(values | settings))

    return starter


def wish(*models: tuple[str, str], revision: str = "") -> admin_pb2.SetDesiredModelsRequest:
    return admin_pb2.SetDesiredModelsRequest(
        models=[admin_pb2.DesiredModel(name=name, version=version) for name, version in models],
        expected_revision=revision,
    )


async def want(client: Client, *models: tuple[str, str], revision: str = "") -> str:
    reply = await client.models.SetDesiredModels(wish(*models, revision=revision), timeout=SECONDS)
    return str(reply.revision)


async def repository(client: Client) -> admin_pb2.GetRepositoryResponse:
    return await client.models.GetRepository(admin_pb2.GetRepositoryRequest(), timeout=SECONDS)


def seen(reply: admin_pb2.GetRepositoryResponse) -> Seen:
    names = admin_pb2.ModelState.Name
    return [
        (item.ref.name, item.ref.version, names(item.state).removeprefix("MODEL_STATE_"))
        for item in reply.models
    ]


async def until(client: Client, wanted: Seen) -> admin_pb2.GetRepositoryResponse:
    """Ask until the repository is so."""
    reply = await repository(client)
    async with asyncio.timeout(SECONDS):
        while seen(reply) != wanted:
            reply = await repository(client)
    return reply


async def version_of(client: Client, version: str = "") -> str:
    ref = common_pb2.ModelRef(name="tiny", version=version)
    reply = await client.segment.SegmentImage(request(model=ref), timeout=SECONDS)
    return str(reply.model.version)


def copy(source: Path, target: Path) -> None:
    """Put a whole model where there was none, as documented: by one rename."""
    work = target.with_name(f".{target.name}")
    shutil.copytree(source, work)
    work.rename(target)


async def test_everything_that_is_there_is_served_until_somebody_says_otherwise(
    served: Any, folder: Path, tmp_path: Path
) -> None:
    client = await served()
    reply = await repository(client)
    assert reply.everything
    assert seen(reply) == [("tiny", "1", "SERVING"), ("tiny", "2", "SERVING")]
    assert [item.serves_unversioned for item in reply.models] == [False, True]
    assert all(item.desired and item.ref.digest for item in reply.models)
    assert reply.HasField("reconcile_time")
    write(tmp_path / "three", Tiny(version="3", seed=3))
    copy(tmp_path / "three", folder / "tiny" / "3")
    await until(client, [("tiny", str(version), "SERVING") for version in (1, 2, 3)])
    assert await version_of(client) == "3"
    shutil.rmtree(folder / "tiny" / "3")
    await until(client, [("tiny", str(version), "SERVING") for version in (1, 2)])
    assert await version_of(client) == "2"


@pytest.mark.slow
async def test_models_are_swapped_under_load_without_a_failed_request(
    served: Any, folder: Path
) -> None:
    client = await served(queue_items=64)
    await want(client, ("tiny", "1"))
    await until(client, [("tiny", "1", "SERVING"), ("tiny", "2", "AVAILABLE")])
    health = health_stub(client.channel)
    answers: dict[str, set[bytes]] = {"1": set(), "2": set()}
    latest, stop = [""] * 4, asyncio.Event()
    changed = asyncio.Condition()

    async def ask(place: int) -> None:
        while not stop.is_set():
            reply = await client.segment.SegmentImage(request(), timeout=SECONDS)
            answers[reply.model.version].add(label_array(reply.labels).tobytes())
            async with changed:
                latest[place] = reply.model.version
                changed.notify_all()

    async def probe() -> None:
        while not stop.is_set():
            reply = await health.Check(health_pb2.HealthCheckRequest(), timeout=SECONDS)
            assert reply.status == health_pb2.HealthCheckResponse.SERVING

    async with asyncio.timeout(SECONDS), asyncio.TaskGroup() as tasks:
        for place in range(4):
            tasks.create_task(ask(place))
        tasks.create_task(probe())
        for version in ("2", "1", "2", "1"):
            await want(client, ("tiny", version))
            async with changed:
                await changed.wait_for(lambda: set(latest) == {version})  # noqa: B023  # at once
        stop.set()
    # Each version has one answer, and it is its own.
    assert [len(found) for found in answers.values()] == [1, 1]
    assert answers["1"] != answers["2"]
    for version, found in answers.items():
        expected = await _labels_alone(client, folder / "tiny" / version)
        assert found == {expected}


async def _labels_alone(client: Client, directory: Path) -> bytes:
    """The labels that a version gives when it is the only one."""
    await want(client, ("tiny", directory.name))
    others = {"1", "2"} - {directory.name}
    states = [(directory.name, "SERVING"), *((other, "AVAILABLE") for other in others)]
    await until(client, [("tiny", version, state) for version, state in sorted(states)])
    reply = await client.segment.SegmentImage(request(), timeout=SECONDS)
    assert reply.model.digest == manifest_digest(read_manifest(directory))
    labels: bytes = label_array(reply.labels).tobytes()
    return labels


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Garbage is not collected: what is freed is freed by its last reference."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collection")
async def test_a_retired_model_finishes_what_it_has_and_is_freed(
    served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An evaluation holds the model it began with; its end frees the memory at once."""
    engines: list[weakref.ref[Engine]] = []
    plain = Choice.open

    def watched(choice: Choice, *args: Any, **options: Any) -> Engine:
        engine = plain(choice, *args, **options)
        engines.append(weakref.ref(engine))
        return engine

    monkeypatch.setattr(Choice, "open", watched)
    client = await served()
    go_on = asyncio.Event()

    async def pairs() -> Any:
        mask = np.zeros((100, 150), np.uint8)
        ref = common_pb2.ModelRef(name="tiny", version="1")
        yield segment_pb2.EvaluateSegmentationRequest(
            settings=segment_pb2.EvaluationSettings(model=ref)
        )
        for _ in range(2):
            item = request()
            part = segment_pb2.EvaluationPair(image=item.image)
            part.values.height, part.values.width = mask.shape
            part.values.type = images_pb2.LABEL_TYPE_UINT8
            part.values.encoding = images_pb2.LABEL_ENCODING_RAW
            part.values.data = mask.tobytes()
            yield segment_pb2.EvaluateSegmentationRequest(pair=part)
            await go_on.wait()

    evaluation = asyncio.create_task(evaluated(client, pairs(), timeout=SECONDS))
    computed = 'assay_segment_batch_size_count{model="tiny",version="1"} 1.0'
    async with asyncio.timeout(SECONDS):
        while computed not in _metrics(client):
            await repository(client)
    await want(client, ("tiny", "2"))
    await until(client, [("tiny", "1", "DRAINING"), ("tiny", "2", "SERVING")])
    assert (await refused(client.segment.SegmentImage(
        request(model=common_pb2.ModelRef(name="tiny", version="1")), timeout=SECONDS)
    ))[0] is Code.NOT_FOUND  # fmt: skip
    assert 'assay_segment_requests{model="tiny",version="1"}' in _metrics(client)
    go_on.set()
    assert (await evaluation).model.version == "1"
    await until(client, [("tiny", "1", "AVAILABLE"), ("tiny", "2", "SERVING")])
    assert 'assay_segment_requests{model="tiny",version="1"}' not in _metrics(client)
    assert 'assay_segment_requests{model="tiny",version="2"} 0.0' in _metrics(client)
    assert sum(engine() is not None for engine in engines) == 1


def _metrics(client: Client) -> str:
    return generate_latest(client.server.registry).decode()


async def test_a_model_that_cannot_be_loaded_leaves_its_predecessor(
    served: Any, folder: Path
) -> None:
    client = await served()
    await want(client, ("tiny", "2"))
    await until(client, [("tiny", "1", "AVAILABLE"), ("tiny", "2", "SERVING")])
    broken = write(folder / ".3", Tiny(version="3"))
    (broken / MODEL_FILE).write_bytes(b"no graph")
    sealed(broken, Tiny(version="3").manifest())
    broken.rename(folder / "tiny" / "3")
    await want(client, ("tiny", "3"))
    states = [("tiny", "1", "AVAILABLE"), ("tiny", "2", "SERVING"), ("tiny", "3", "FAILED")]
    reply = await until(client, states)
    assert "can't open it" in reply.models[2].problem
    assert str(folder) not in reply.models[2].problem
    assert [item.desired for item in reply.models] == [False, False, True]
    assert [item.serves_unversioned for item in reply.models] == [False, True, False]
    assert await version_of(client) == "2"
    # Repaired, it is loaded without being asked for again.
    shutil.rmtree(folder / "tiny" / "3")
    write(folder / "tiny" / "3", Tiny(version="3", seed=3))
    await until(client, [(*item[:2], state) for item, state in zip(
        states, ("AVAILABLE", "AVAILABLE", "SERVING"), strict=True)])  # fmt: skip
    assert await version_of(client) == "3"


async def test_the_only_model_serves_until_one_of_another_name_can(
    served: Any, folder: Path, tmp_path: Path
) -> None:
    shutil.rmtree(folder / "tiny" / "2")
    broken = write(folder / "other" / "1", Tiny(name="other", seed=5))
    (broken / MODEL_FILE).write_bytes(b"no graph")
    client = await served()
    await want(client, ("other", ""))
    reply = await until(client, [("other", "1", "FAILED"), ("tiny", "1", "SERVING")])
    assert "digest" in reply.models[0].problem
    assert [item.desired for item in reply.models] == [True, False]
    await _passes(client)
    assert await version_of(client) == "1"
    # Whole, it takes the place.
    whole = write(tmp_path / "whole", Tiny(name="other", seed=5))
    (whole / MODEL_FILE).replace(broken / MODEL_FILE)
    await until(client, [("other", "1", "SERVING"), ("tiny", "1", "AVAILABLE")])
    assert (await client.segment.SegmentImage(request(), timeout=SECONDS)).model.name == "other"


async def test_a_wanted_model_whose_folder_is_gone_is_served_and_wanted(
    served: Any, folder: Path
) -> None:
    write(folder / "other", Tiny(name="other"))
    client = await served()
    await want(client, ("tiny", "1"))
    states = [("other", "1", "AVAILABLE"), ("tiny", "1", "SERVING"), ("tiny", "2", "AVAILABLE")]
    await until(client, states)
    shutil.rmtree(folder / "tiny" / "1")
    await _passes(client)
    reply = await repository(client)
    assert seen(reply) == states
    assert [item.desired for item in reply.models] == [False, True, False]
    # Of a name without a version, too.
    await want(client, ("tiny", ""))
    states = [("other", "1", "AVAILABLE"), ("tiny", "2", "SERVING")]
    await until(client, states)
    shutil.rmtree(folder / "tiny")
    await _passes(client)
    reply = await repository(client)
    assert seen(reply) == states
    assert [item.desired for item in reply.models] == [False, True]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (Tiny(version="3", logits_name="other"), "lacks the outputs"),
        (Tiny(version="3", negate_labels=True), "not the arg max"),
    ],
)
async def test_a_graph_that_is_no_segmenter(
    served: Any, folder: Path, wrong: Tiny, says: str
) -> None:
    write(folder / "tiny" / "3", wrong)
    client = await served()
    reply = await until(
        client, [("tiny", "1", "SERVING"), ("tiny", "2", "SERVING"), ("tiny", "3", "FAILED")]
    )
    assert says in reply.models[2].problem


async def test_a_directory_that_is_being_copied_is_not_loaded(served: Any, folder: Path) -> None:
    client = await served()
    whole = write(folder.parent / "whole", Tiny(version="3", seed=3))
    target = folder / "tiny" / "3"
    target.mkdir()
    graph = (whole / MODEL_FILE).read_bytes()
    both = [("tiny", "1", "SERVING"), ("tiny", "2", "SERVING")]
    for content in (b"", graph[: len(graph) // 2]):
        (target / MODEL_FILE).write_bytes(content)
        with capture_logs() as logs:
            await _passes(client)
        assert seen(await repository(client)) == both
        assert sum(entry["event"] == "cannot read a model" for entry in logs) <= 1
    shutil.copy(whole / MANIFEST_FILE, target)
    reply = await until(client, [*both, ("tiny", "3", "FAILED")])
    assert "digest" in reply.models[2].problem
    (target / MODEL_FILE).write_bytes(graph)
    await until(client, [*both, ("tiny", "3", "SERVING")])


async def _passes(client: Client, count: int = 3) -> None:
    """Wait until the replica has looked that many times."""
    async with asyncio.timeout(SECONDS):
        for _ in range(count):
            before = (await repository(client)).reconcile_time
            while (await repository(client)).reconcile_time == before:
                pass


async def test_a_model_replaced_in_its_place_is_a_new_one(served: Any, folder: Path) -> None:
    client = await served()
    old = (await repository(client)).models[1].ref.digest
    new = write(folder.parent / "new", Tiny(version="2", seed=9))
    digest = manifest_digest(read_manifest(new))
    (folder / "tiny" / "2").rename(folder.parent / "old")
    new.rename(folder / "tiny" / "2")
    async with asyncio.timeout(SECONDS):
        while (await client.segment.SegmentImage(request(), timeout=SECONDS)).model.digest == old:
            pass
    assert (await repository(client)).models[1].ref.digest == digest
    assert 'assay_segment_requests{model="tiny",version="2"} 0.0' in _metrics(client)


async def test_models_whose_folder_is_away_stay(served: Any, folder: Path) -> None:
    client = await served()
    shutil.move(folder, folder.with_name("away"))
    await _passes(client)
    assert await version_of(client) == "2"
    shutil.copytree(folder.with_name("away"), folder, ignore=lambda *_: ["tiny"])
    await _passes(client)
    assert await version_of(client, "1") == "1"


async def test_replicas_follow_one_file(served: Any) -> None:
    first, second = await served(), await served()
    revision = await want(first, ("tiny", "1"))
    states = [("tiny", "1", "SERVING"), ("tiny", "2", "AVAILABLE")]
    for client in (first, second):
        assert (await until(client, states)).revision == revision
    await want(second, ("tiny", ""), revision=revision)
    for client in (first, second):
        await until(client, [("tiny", "1", "AVAILABLE"), ("tiny", "2", "SERVING")])
    third = await served()
    assert seen(await repository(third)) == [("tiny", "1", "AVAILABLE"), ("tiny", "2", "SERVING")]


async def test_of_callers_that_saw_one_revision_one_wins(served: Any) -> None:
    first, second = await served(), await served()
    revision = (await repository(first)).revision
    outcomes = await asyncio.gather(
        want(first, ("tiny", "1"), revision=revision),
        want(second, ("tiny", "2"), revision=revision),
        return_exceptions=True,
    )
    (lost,) = [outcome for outcome in outcomes if isinstance(outcome, grpc.aio.AioRpcError)]
    assert lost.code() is Code.ABORTED
    (won,) = [outcome for outcome in outcomes if isinstance(outcome, str)]
    assert {(await repository(client)).revision for client in (first, second)} == {won}


async def test_the_same_call_twice_is_one(served: Any) -> None:
    client = await served()
    before = (await repository(client)).revision
    first = await want(client, ("tiny", "1"), revision=before)
    assert await want(client, ("tiny", "1"), revision=before) == first


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (wish(("tiny", "7")), "models[0].version: the repository has no version '7' of tiny; it"),
        (wish(("tiny", ""), ("other", "")), "models[0].name: the repository has no model 'other'"),
        (wish(("tiny", ""), ("tiny", "")), "models: tiny appears twice"),
        (wish(("tiny", "1"), ("tiny", "1")), "models: tiny version 1 appears twice"),
        (wish(("../tiny", "")), "models[0].name: '../tiny' is not a name"),
        (wish(("", "")), "models[0].name: '' is not a name"),
    ],
)
async def test_what_cannot_be_wanted(
    served: Any, message: admin_pb2.SetDesiredModelsRequest, says: str
) -> None:
    client = await served()
    code, _, problem = await refused(client.models.SetDesiredModels(message, timeout=SECONDS))
    assert code is Code.INVALID_ARGUMENT
    assert says in problem
    assert (await repository(client)).everything


async def test_without_a_file_what_is_there_at_the_start_is_served(start: Start) -> None:
    client = await start()
    reply = await repository(client)
    assert (reply.everything, seen(reply)) == (True, [("tiny", "1", "SERVING")])
    message = wish(("tiny", "1"))
    code, _, problem = await refused(client.models.SetDesiredModels(message, timeout=SECONDS))
    assert code is Code.UNIMPLEMENTED
    assert "ASSAY_SEGMENT_DESIRED" in problem


async def test_a_broken_file_changes_nothing_and_is_told_once(served: Any, tmp_path: Path) -> None:
    client = await served()
    await want(client, ("tiny", "1"))
    states = [("tiny", "1", "SERVING"), ("tiny", "2", "AVAILABLE")]
    await until(client, states)
    file = tmp_path / "desired.json"
    with capture_logs() as logs:
        file.write_text("{")
        await _passes(client)
        file.unlink()
        await _passes(client)
    told = [entry for entry in logs if entry["event"] == "cannot read the desired models"]
    assert ["not valid JSON" in entry["error"] for entry in told] == [True, False]
    assert "has been removed" in told[1]["error"]
    assert seen(await repository(client)) == states
    await want(client, ("tiny", "2"))
    await until(client, [("tiny", "1", "AVAILABLE"), ("tiny", "2", "SERVING")])


async def test_only_the_log_says_where_a_file_is_that_cannot_be_read(
    served: Any, tmp_path: Path
) -> None:
    client = await served()
    file = tmp_path / "desired.json"
    file.mkdir()
    with capture_logs() as logs:
        code, _, problem = await refused(
            client.models.SetDesiredModels(wish(("tiny", "1")), timeout=SECONDS)
        )
    assert code is Code.UNAVAILABLE
    assert "Is a directory" in problem
    assert str(tmp_path) not in problem
    (told,) = [entry for entry in logs if entry["event"] == "cannot write the desired models"]
    assert told["file"] == str(file)
    file.rmdir()
    await want(client, ("tiny", "1"))


async def test_research_weights_are_listed_with_the_reason(served: Any, folder: Path) -> None:
    write(folder / "other", Tiny(name="other", license=RESEARCH))
    client = await served()
    reply = await repository(client)
    assert seen(reply)[0] == ("other", "1", "NOT_ACCEPTED")
    assert RESEARCH.id in reply.models[0].problem
    assert reply.models[0].desired
    listed = await client.segment.ListModels(segment_pb2.ListModelsRequest(), timeout=SECONDS)
    assert [item.ref.name for item in listed.models] == ["other", "tiny", "tiny"]
    assert await version_of(client) == "2"


async def test_what_keeps_a_replica_from_starting(
    served: Any, folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "desired.json"
    file.write_text("{")
    with pytest.raises(InvalidArgument, match=r"desired\.json: not valid JSON"):
        await served()
    file.write_text('{"schema": 1, "models": [{"name": "absent", "version": ""}]}')
    with pytest.raises(InvalidArgument, match="none of the models that it names exists"):
        await served()
    file.unlink()
    for version in ("1", "2"):
        (folder / "tiny" / version / MODEL_FILE).write_bytes(b"no graph")
    with pytest.raises(InvalidArgument, match="digest"):
        await served()

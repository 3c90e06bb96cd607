from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
from assay_rpc.common.v1 import common_pb2
from assay_rpc.corpus.v1 import scoring_pb2, selection_pb2

from services.corpus.api.bpb import BpbScorer
from services.corpus.api.selections import Source
from services.corpus.bpb import one_at_a_time
from services.corpus.bpb.definition import Definition
from services.corpus.bpb.jobs import Final, Model, ScoringJobs, Task
from services.corpus.bpb.models.choice import Loaded
from services.corpus.bpb.models.compute import FASTEST, Compute, Shift
from services.corpus.bpb.models.registry import Registry
from services.corpus.bpb.scoring import Running
from services.corpus.shards.documents import Document
from services.errors import (
    DataLoss,
    InvalidArgument,
    ModelUnusable,
    NotFound,
    Overloaded,
    PreconditionFailed,
)
from tests.corpus.bpb.fakes import UniformModel, document

TEXTS = [document("x" * 40, name="1"), document("y" * 20, "b", name="2")]
REFERENCE = Model("byte-reference")
DEFINITION = Definition(16)
TASK = Task(lambda: iter(TEXTS), DEFINITION)


class FakeRegistry(Registry):
    """The reference model's facts with a model made by hand."""

    def __init__(self, model: UniformModel) -> None:
        super().__init__({})
        self._model = model

    def start(self, name: str, compute: Compute = FASTEST) -> Loaded:
        self.describe(name)
        return Loaded(self._model, "by hand", compute.precision, Shift())


async def collect(
    model: UniformModel,
    documents: Callable[[], Iterator[Document]] = lambda: iter(TEXTS),
    wanted: Model = REFERENCE,
    definition: Definition = DEFINITION,
) -> list[Running | Final]:
    scorer = ScoringJobs(FakeRegistry(model))
    try:
        return [update async for update in scorer.score(Task(documents, definition), wanted)]
    finally:
        await scorer.close()


async def test_the_last_update_is_the_result() -> None:
    final = (await collect(UniformModel()))[-1]
    assert isinstance(final, Final)
    assert final.definition is not None
    assert final.definition.max_length == 16
    assert final.definition.prefix_token == 256
    assert final.model.name == "byte-reference"
    assert (final.figures.totals.overall.documents, final.figures.totals.overall.tokens) == (2, 60)


async def test_running_figures_come_while_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_at_a_time, "UPDATE_SECONDS", 0.01)
    gate = threading.Event()
    scorer = ScoringJobs(FakeRegistry(UniformModel(gate=gate)))
    updates = scorer.score(TASK, REFERENCE)
    first = await anext(updates)
    assert isinstance(first, Running)
    gate.set()
    rest = [update async for update in updates]
    assert isinstance(rest[-1], Final)
    await scorer.close()


async def test_one_job_at_a_time_and_the_next_after_it() -> None:
    gate = threading.Event()
    model = UniformModel(gate=gate)
    scorer = ScoringJobs(FakeRegistry(model))

    async def score() -> list[Running | Final]:
        return [u async for u in scorer.score(TASK, REFERENCE)]

    first = asyncio.create_task(score())
    assert await asyncio.to_thread(model.reached.wait, 30)
    with pytest.raises(Overloaded, match="one at a time") as caught:
        await score()
    assert caught.value.retry_after > 0
    gate.set()
    assert isinstance((await first)[-1], Final)
    assert isinstance((await score())[-1], Final)
    await scorer.close()


async def test_leaving_ends_the_work_and_frees_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_at_a_time, "UPDATE_SECONDS", 0.01)
    gate = threading.Event()
    model = UniformModel(gate=gate)
    scorer = ScoringJobs(FakeRegistry(model))
    many = [document("z" * 1000, name=str(i)) for i in range(1000)]
    async with aclosing(scorer.score(Task(lambda: iter(many), DEFINITION), REFERENCE)) as updates:
        await anext(updates)
        assert await asyncio.to_thread(model.reached.wait, 30)
    with pytest.raises(Overloaded):  # the batch that it is in is not over
        await anext(scorer.score(TASK, REFERENCE))
    gate.set()
    await scorer.close()
    assert len(model.batches) == 1


async def test_a_cancelled_task_ends_the_work() -> None:
    gate = threading.Event()
    model = UniformModel(gate=gate)
    scorer = ScoringJobs(FakeRegistry(model))

    async def score() -> None:
        async with aclosing(scorer.score(TASK, REFERENCE)) as updates:
            async for _ in updates:
                pass

    task = asyncio.create_task(score())
    assert await asyncio.to_thread(model.reached.wait, 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.set()
    await scorer.close()
    assert len(model.batches) == 1


async def test_a_failed_job_frees_the_place() -> None:
    model = UniformModel(poison=ord("y"))
    scorer = ScoringJobs(FakeRegistry(model))
    with pytest.raises(ModelUnusable, match="nothing was counted"):
        [u async for u in scorer.score(TASK, REFERENCE)]
    model.poison = -1
    updates = [u async for u in scorer.score(TASK, REFERENCE)]
    assert isinstance(updates[-1], Final)
    await scorer.close()


async def test_damage_while_reading_is_what_the_caller_sees() -> None:
    def broken() -> Iterator[Document]:
        yield TEXTS[0]
        raise DataLoss("test.jsonl.zst", 7, "is cut off")

    with pytest.raises(DataLoss, match="is cut off"):
        await collect(UniformModel(), broken)


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        (Model("nobody"), NotFound),
        (Model("byte-reference", version="99"), PreconditionFailed),
        (Model("byte-reference", digest="sha256:00"), PreconditionFailed),
    ],
)
async def test_another_model_than_asked_for_is_refused(
    wanted: Model, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await collect(UniformModel(), wanted=wanted)


async def test_a_window_that_the_model_does_not_have_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="longest window"):
        await collect(UniformModel(), definition=Definition(10**6))


def request(**fields: object) -> scoring_pb2.ScoreBPBRequest:
    return scoring_pb2.ScoreBPBRequest(
        corpus=selection_pb2.CorpusRef(name="c", digest="sha256:1"),
        model=common_pb2.ModelRef(name="byte-reference"),
        **fields,  # type: ignore[arg-type]
    )


def source(texts: list[Document]) -> Source:
    return Source(request().corpus, {}, lambda: iter(texts))


@pytest.mark.slow
async def test_the_final_message_is_complete() -> None:
    scorer = BpbScorer(Registry({}))
    await scorer.open()
    texts = [document("def f(x):\n    return x\n"), document("", "b")]
    updates = [u async for u in scorer.score(request(), source(texts))]
    final = updates[-1].result
    (model,) = await scorer.list_models()
    assert final.model == model.ref
    assert final.corpus == request().corpus
    assert final.definition == scoring_pb2.Definition(
        preset=scoring_pb2.DEFINITION_PRESET_LM_EVAL,
        max_length=model.max_length,
        prefix=scoring_pb2.PREFIX_TOKEN_BOS_OR_EOS,
        special_tokens=False,
        context_length=1,
        stride=model.max_length,
        prefix_token=256,
    )
    assert (final.overall.documents, final.overall.text_bytes, final.overall.tokens) == (1, 23, 23)
    assert final.overall.nats > 0
    assert [s.subset for s in final.subsets] == ["a"]
    assert final.macro.value == final.subsets[0].score.bits_per_byte
    assert [(e.reason, e.score.documents) for e in final.excluded] == [
        (scoring_pb2.EXCLUSION_REASON_EMPTY, 1)
    ]
    assert final.compute.engine.id == model.engine.id
    assert final.compute.engine.precision == common_pb2.PRECISION_FP32
    assert final.environment.versions["onnxruntime"]
    await scorer.close()


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (scoring_pb2.ScoreBPBRequest(), "model.name"),
        (request(definition=scoring_pb2.Definition(preset=99)), "definition.preset"),  # type: ignore[arg-type]
        (request(definition=scoring_pb2.Definition(prefix=99)), "definition.prefix"),  # type: ignore[arg-type]
        (request(definition=scoring_pb2.Definition(max_length=10**6)), "definition.max_length"),
    ],
)
async def test_a_bad_request_names_the_field(
    message: scoring_pb2.ScoreBPBRequest, field: str
) -> None:
    scorer = BpbScorer(Registry({}))
    with pytest.raises(InvalidArgument) as caught:
        [u async for u in scorer.score(message, source(TEXTS))]
    assert caught.value.field == field
    await scorer.close()


async def test_a_directory_that_is_not_a_model_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({}))
    scorer = BpbScorer(Registry({"mine": tmp_path}))
    with pytest.raises(InvalidArgument, match=r"has no tokenizer\.json"):
        await scorer.open()
    await scorer.close()

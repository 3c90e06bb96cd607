"""The clients: plain arguments in, results out, a restart of the server in between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from assay_rpc import errors
from assay_rpc.client import (
    AssayError,
    AsyncCorpusClient,
    AsyncRankerClient,
    AsyncScoringClient,
    AsyncSegmentClient,
    CorpusClient,
    Labels,
    RankerClient,
    ScoringClient,
    SegmentClient,
    select,
)
from assay_rpc.common.v1 import common_pb2
from assay_rpc.corpus._requests import DEFINITIONS
from assay_rpc.corpus.v1 import scoring_pb2
from assay_rpc.ranker.v1 import verification_pb2
from assay_rpc.segment._items import labels_of
from assay_rpc.segment._outbox import Outbox, Sender
from assay_rpc.segment.v1 import images_pb2, segment_pb2

from tests.client.small_server import Small, serving
from tests.ports import free_port

# A cut in the middle of each stream, and none.
CUTS = [None, 0, 1, 2]


@pytest.fixture(params=CUTS)
def small(request: pytest.FixtureRequest) -> Small:
    return Small(request.param)


def test_pages_are_one_iterator() -> None:
    with serving(Small()) as address, CorpusClient(address) as corpora:
        assert [one.ref.name for one in corpora.corpora()] == ["first", "second"]


def test_a_server_that_is_not_there_is_named() -> None:
    address = f"localhost:{free_port()}"
    with (
        RankerClient(address, timeout=0.3) as ranker,
        pytest.raises(errors.DeadlineExceeded, match=f"no connection to {address} .*running there"),
    ):
        ranker.compare("a", "b")


async def test_a_server_that_is_not_there_is_named_to_asyncio() -> None:
    address = f"localhost:{free_port()}"
    async with AsyncRankerClient(address, timeout=0.3) as ranker:
        with pytest.raises(errors.DeadlineExceeded, match=f"no connection to {address}"):
            await ranker.compare("a", "b")


def test_documents_by_id() -> None:
    with serving(Small()) as address, CorpusClient(address) as corpora:
        first, second = corpora.documents("c", ["a:3", "a:0"])
    assert first.text == "a lone \ud800 surrogate"
    assert first.text_bytes == b"a lone \xed\xa0\x80 surrogate"
    assert (second.id, second.frame) == ("a:0", None)


def test_a_description_survives_a_restart(small: Small) -> None:
    seen: list[int] = []
    with serving(small) as address, CorpusClient(address) as corpora:
        found = corpora.describe("c", progress=lambda one: seen.append(one.shards_done))
    assert found.documents == 20
    assert seen[-1] == 2


def test_a_score_survives_a_restart(small: Small) -> None:
    seen: list[scoring_pb2.RunningScore] = []
    with serving(small) as address, ScoringClient(address) as scoring:
        found = scoring.score(
            "c",
            "m",
            selection=select(subsets=["s"]),
            definition="pile_paper",
            engine="torch-cpu",
            precision="bf16",
            progress=seen.append,
        )
    assert found.model.name == "m"
    assert len(seen) >= 2
    sent = small.requests[-1]
    assert list(sent.selection.subsets) == ["s"]
    assert sent.definition.preset == scoring_pb2.DEFINITION_PRESET_PILE_PAPER
    assert sent.compute.engine == "torch-cpu"
    assert sent.compute.precision == common_pb2.PRECISION_BF16


def test_progress_is_all_that_is_passed_on() -> None:
    """And no update that only a later server knows."""
    seen: list[scoring_pb2.RunningScore] = []
    with serving(Small()) as address, ScoringClient(address) as scoring:
        scoring.score("c", "m", progress=seen.append)
    assert len(seen) == 2


def test_a_call_ends_when_its_progress_raises() -> None:
    def stop(_: scoring_pb2.RunningScore) -> None:
        raise KeyError("enough")

    small = Small()
    with serving(small) as address, ScoringClient(address) as scoring:
        # While the error, and so the frames that it passed, is still held.
        with pytest.raises(KeyError) as raised:
            scoring.compare("endless", "m", "n", progress=stop)
        assert small.left.wait(60)
    assert raised.value.args == ("enough",)


def test_every_definition_of_the_contract_has_its_word() -> None:
    prefix = "DEFINITION_PRESET_"
    names = {name.removeprefix(prefix).lower() for name, _ in scoring_pb2.DefinitionPreset.items()}
    assert set(DEFINITIONS) == names - {"unspecified"}


def test_a_stream_without_a_result_is_an_error() -> None:
    with (
        serving(Small()) as address,
        ScoringClient(address) as scoring,
        pytest.raises(errors.InternalError, match="without a result"),
    ):
        scoring.compare("c", "m", "n")


def test_what_means_nothing_is_refused_before_a_call() -> None:
    with ScoringClient("localhost:1") as scoring, RankerClient("localhost:1") as ranker:
        with pytest.raises(ValueError, match="pile_paper"):
            scoring.score_texts(["t"], "m", definition="pile")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="bf16"):
            scoring.score_texts(["t"], "m", precision="int4")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="engin"):
            scoring.score("c", "m", engin="torch-cpu")  # type: ignore[call-arg]
        with pytest.raises(ValueError, match="one of the three"):
            ranker.ranks(type="dataset", intent="read")
        with pytest.raises(ValueError, match="quick"):
            ranker.submit("a", effort="slow")  # type: ignore[arg-type]


def test_texts_are_sent_as_utf8() -> None:
    small = Small()
    with serving(small) as address, ScoringClient(address) as scoring:
        assert len(scoring.score_texts(["é", "\ud800", b"raw"], "m").texts) == 3
    assert [one.text for one in small.requests[0].texts] == [
        b"\xc3\xa9",
        b"\xed\xa0\x80",
        b"raw",
    ]
    assert not small.requests[0].HasField("compute")


def test_an_image_is_a_file_a_path_or_pixels(tmp_path: Path) -> None:
    (tmp_path / "p.jpg").write_bytes(b"12345")
    small = Small()
    with serving(small) as address, SegmentClient(address) as segment:
        assert segment.label(b"123").numpy().tolist() == [[3, 3, 3]] * 2
        assert segment.label(tmp_path / "p.jpg").data[0] == 5
        pixels = np.full((4, 5, 3), 9, np.uint8)
        assert segment.label(pixels, size=(2, 3), priority="low").data[0] == 9
        for wrong in (pixels[..., 0], pixels.astype(np.float32)):
            with pytest.raises(ValueError, match="height x width x 3 of uint8"):
                segment.label(wrong)
    sent = small.requests[-1]
    assert (sent.image.pixels.height, sent.image.pixels.width) == (4, 5)
    assert sent.output_size == images_pb2.OUTPUT_SIZE_GIVEN
    assert sent.priority == segment_pb2.PRIORITY_LOW


def test_an_image_may_be_opened_already(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    (tmp_path / "p.jpg").write_bytes(b"12345")
    small = Small()
    with serving(small) as address, SegmentClient(address) as segment:
        grey = image.new("L", (5, 4), 9)
        labels = segment.label(grey, overlay="png")
        assert labels.data[0] == 9
        assert labels.array.shape == (labels.height, labels.width)
        assert labels.overlay is None  # this server draws none
        assert segment.label(str(tmp_path / "p.jpg")).data[0] == 5
        with pytest.raises(ValueError, match="overlay: 'gif' is none of jpeg, png"):
            segment.label(grey, overlay="gif")  # type: ignore[arg-type]
    sent = small.requests[0]
    assert sent.image.pixels.rgb == bytes([9]) * 60
    assert (sent.image.pixels.height, sent.image.pixels.width) == (4, 5)
    assert sent.overlay.format == images_pb2.PICTURE_FORMAT_PNG


def test_the_classes_of_labels() -> None:
    reply = segment_pb2.SegmentImageResponse(
        labels=images_pb2.LabelMap(
            height=1, width=2, type=images_pb2.LABEL_TYPE_UINT8,
            encoding=images_pb2.LABEL_ENCODING_RAW, data=b"\1\2",
        ),
        classes=[images_pb2.ClassShare(class_id=2, name="sky", pixels=1, share=0.5)],
        overlay=images_pb2.Picture(data=b"file"),
    )  # fmt: skip
    labels = labels_of(reply)
    (found,) = labels.classes
    assert (found.id, found.name, found.pixels, found.share) == (2, "sky", 1, 0.5)
    assert labels.overlay == b"file"
    assert labels.array.tolist() == [[1, 2]]


@pytest.mark.parametrize("stored", [bytes(5), bytes(7), bytes(1 << 20)])
@pytest.mark.parametrize("sized", [True, False])
def test_labels_of_another_size_are_refused(stored: bytes, sized: bool) -> None:
    zstandard = pytest.importorskip("zstandard")
    data = zstandard.ZstdCompressor(write_content_size=sized).compress(stored)
    for encoding, sent in (
        (images_pb2.LABEL_ENCODING_ZSTD, data),
        (images_pb2.LABEL_ENCODING_RAW, stored),
    ):
        labels = images_pb2.LabelMap(
            height=2, width=3, type=images_pb2.LABEL_TYPE_UINT8, encoding=encoding, data=sent
        )
        with pytest.raises(errors.DataLoss, match="damaged"):
            labels_of(segment_pb2.SegmentImageResponse(labels=labels))


def test_labels_of_a_type_that_a_later_server_knows_are_refused() -> None:
    labels = images_pb2.LabelMap(type=1_000)  # type: ignore[arg-type]
    with pytest.raises(errors.DataLoss, match="type 1000, which this client does not know"):
        labels_of(segment_pb2.SegmentImageResponse(labels=labels))


def images(count: int) -> Iterator[bytes]:
    for number in range(count):
        yield b"bad" if number == 7 else bytes(number + 1)


def check(answers: dict[int, Labels | AssayError], count: int) -> None:
    assert sorted(answers) == list(range(count))
    for number, found in answers.items():
        if number == 7:
            assert isinstance(found, errors.BadImage)
            assert found.violations[0].field == "image"
        else:
            assert isinstance(found, Labels)
            assert found.data[0] == number + 1


@pytest.mark.parametrize("cut", [None, 0, 1, 50, 199])
def test_many_images_survive_a_restart(cut: int | None) -> None:
    small = Small(cut)
    with serving(small) as address, SegmentClient(address) as segment:
        answers: dict[int, Labels | AssayError] = {}
        for number, found in segment.label_many(images(200)):
            assert number not in answers
            answers[number] = found
    check(answers, 200)


@pytest.mark.parametrize("cut", [None, 50])
async def test_many_images_survive_a_restart_with_asyncio(cut: int | None) -> None:
    with serving(Small(cut)) as address:
        async with AsyncSegmentClient(address) as segment:
            answers = {number: found async for number, found in segment.label_many(images(200))}
    check(answers, 200)


def test_an_error_of_the_images_comes_after_the_answers() -> None:
    def broken() -> Iterator[bytes]:
        yield b"1"
        raise OSError("the folder is gone")

    with serving(Small()) as address, SegmentClient(address) as segment:
        answers = segment.label_many(broken())
        assert next(answers)[0] == 0
        with pytest.raises(OSError, match="the folder is gone"):
            next(answers)


async def test_an_image_without_an_answer_is_an_error() -> None:
    with serving(Small()) as address:
        with (
            SegmentClient(address) as segment,
            pytest.raises(errors.InternalError, match="without an answer to 1 images"),
        ):
            list(segment.label_many([b"1", b"lost", b"2"]))
        async with AsyncSegmentClient(address) as later:
            with pytest.raises(errors.InternalError, match="without an answer to 1 images"):
                assert [one async for one in later.label_many([b"lost"])]


def test_an_item_that_is_taken_late_is_sent_by_the_next_call() -> None:
    outbox = Outbox(segment_pb2.SegmentImagesRequest(id=number) for number in range(3))
    first = Sender(outbox)
    sent = iter(first)
    assert next(sent).id == 0
    first.close()
    second = iter(Sender(outbox))
    assert next(sent, None) is None  # gRPC's thread asks once more after the call has ended
    assert [one.id for one in second] == [0, 1, 2]


def test_many_images_can_be_left_early() -> None:
    with serving(Small()) as address, SegmentClient(address) as segment:
        for number, _ in segment.label_many(images(10_000)):
            if number >= 3:
                break


def test_a_verification_survives_a_restart_and_gives_each_verdict_once(small: Small) -> None:
    states: list[int] = []
    with serving(small) as address, RankerClient(address) as ranker:
        assert [one.id for one in ranker.artifacts()] == ["the-pile"]
        verdicts = [
            one.reason
            for one in ranker.verify(
                "the-pile", effort="full", progress=lambda job: states.append(job.state)
            )
        ]
    assert verdicts == ["verdict 0", "verdict 1", "verdict 2"]
    assert states[-1] == verification_pb2.JOB_STATE_SUCCEEDED
    assert not small.cancelled
    submitted = next(one for one in small.requests if hasattr(one, "request_id"))
    assert submitted.request_id
    assert submitted.effort == verification_pb2.EFFORT_FULL


def test_leaving_a_verification_cancels_its_job() -> None:
    small = Small()
    with serving(small) as address, RankerClient(address) as ranker:
        verdicts = ranker.verify("the-pile")
        next(verdicts)
        verdicts.close()  # type: ignore[attr-defined]  # it is a generator
    assert small.cancelled == ["job-the-pile"]


def test_a_job_that_fails_raises_its_error() -> None:
    small = Small()
    with (
        serving(small) as address,
        RankerClient(address) as ranker,
        pytest.raises(errors.StorageFull, match="no room"),
    ):
        list(ranker.watch("job-broken"))


async def test_a_job_that_was_cancelled_is_no_finished_one() -> None:
    with serving(Small()) as address:
        with (
            RankerClient(address) as ranker,
            pytest.raises(AssayError, match="the job was cancelled") as raised,
        ):
            list(ranker.watch("job-stopped"))
        assert raised.value.code == grpc.StatusCode.CANCELLED
        async with AsyncRankerClient(address) as later:
            with pytest.raises(AssayError, match="the job was cancelled"):
                assert [one async for one in later.watch("job-stopped")]


async def test_the_asyncio_clients_do_the_same(small: Small) -> None:
    with serving(small) as address:
        async with AsyncScoringClient(address) as scoring:
            assert (await scoring.score("c", "m")).model.name == "m"
            assert len((await scoring.score_texts(["t"], "m")).texts) == 1
        async with AsyncCorpusClient(address) as corpora:
            assert (await corpora.describe("c")).documents == 20
            assert [one.ref.name async for one in corpora.corpora()] == ["first", "second"]
            assert (await corpora.documents("c", ["a:1"]))[0].text == "document 1"
        async with AsyncRankerClient(address) as ranker:
            verdicts = [one.reason async for one in ranker.verify("the-pile")]
    assert verdicts == ["verdict 0", "verdict 1", "verdict 2"]

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.statistics.samples.sampling import Sampler
from services.corpus.bpb.exclusion import Exclusion
from services.corpus.bpb.figures import DocumentScore
from services.corpus.bpb.journal import Journal
from services.corpus.bpb.store import Keeping, ScoreStore
from services.errors import InvalidArgument, PreconditionFailed, StorageFull

FACTS = {"model.digest": "sha256:1", "definition.max_length": "512"}
REASONS = (None, *Exclusion)
SCORES = [DocumentScore(f"d\ud800:{i}", "a", i / 3, i, i, REASONS[i % 4]) for i in range(40)]


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """The kernel refuses to let any file of this process grow beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def write(path: Path, scores: list[DocumentScore], *, every: int = 5, finish: bool = False) -> None:
    journal = Journal(path, FACTS)
    for number, score in enumerate(scores, 1):
        journal.append(score)
        if number % every == 0:
            journal.flush()
    journal.finish(None) if finish else journal.flush()
    journal.close()


def read(path: Path) -> Journal:
    journal = Journal(path, FACTS)
    journal.close()
    return journal


def test_scores_come_back_to_the_bit(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "c.score"
    write(path, SCORES)
    assert read(path).finished == SCORES
    assert not read(path).complete
    write(path, [], finish=True)
    assert (read(path).finished, read(path).complete) == (SCORES, True)


def test_what_was_drawn_comes_back(tmp_path: Path) -> None:
    sampler = Sampler(3)
    for number in range(9):
        sampler.add(f"d\ud800:{number}", "a", [4096, 90 + number])
    path = tmp_path / "c.score"
    journal = Journal(path, FACTS)
    assert journal.drawn is None
    drawn = sampler.draw()
    journal.finish(drawn)
    journal.close()
    assert read(path).complete
    assert read(path).drawn == drawn


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("journal") / "c.score"
    write(path, SCORES)
    return path.read_bytes()


@given(data=st.data())
def test_a_file_cut_anywhere_has_what_was_synced_and_takes_the_rest(
    data: st.DataObject, whole: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("cut") / "c.score"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    left = read(path).finished
    assert left == SCORES[: len(left)]
    assert len(left) % 5 == 0
    write(path, SCORES[len(left) :])
    assert read(path).finished == SCORES


@given(place=st.integers(0, 10_000), change=st.integers(1, 255))
def test_a_changed_byte_is_never_taken_for_a_score(
    place: int, change: int, whole: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("changed") / "c.score"
    damaged = bytearray(whole)
    damaged[place % len(whole)] ^= change
    path.write_bytes(damaged)
    try:
        left = read(path).finished
    except PreconditionFailed as error:
        assert "is damaged at byte" in str(error)  # noqa: PT017 - it may also be the last segment
    else:
        assert left == SCORES[: len(left)]


def test_another_request_is_refused_by_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "mine.score"
    write(path, SCORES)
    other = FACTS | {"definition.max_length": "1024"}
    with pytest.raises(
        PreconditionFailed,
        match=r"'mine' was made with another definition.max_length: it has 512, the",
    ):
        Journal(path, other)
    journal = Journal(path, other, fresh=True)
    assert journal.finished == []
    journal.close()


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.score"
    path.write_bytes(b"something else altogether")
    with pytest.raises(PreconditionFailed, match="damaged at byte 0"):
        read(path)


def test_one_scoring_at_a_time(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "c.score", FACTS)
    with pytest.raises(PreconditionFailed, match="in use"):
        read(tmp_path / "c.score")
    journal.close()


def test_a_full_disk_is_said_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "c.score"
    write(path, SCORES[:20])
    size = path.stat().st_size
    journal = Journal(path, FACTS)
    for score in SCORES[20:]:
        journal.append(score)
    with full_disk(size + 50), pytest.raises(StorageFull, match="free some space"):
        journal.flush()
    assert path.stat().st_size == size
    journal.flush()  # there is room again
    journal.close()
    assert read(path).finished == SCORES


KEEPING = Keeping(FACTS)


@pytest.mark.parametrize("name", ["../x", ".x", "a/b", "x" * 65, "a b"])
def test_a_name_is_no_path(name: str, tmp_path: Path) -> None:
    store = ScoreStore(tmp_path / "checkpoints", tmp_path / "results")
    with pytest.raises(InvalidArgument, match="is not a name"):
        store.open(Keeping(FACTS, name), FACTS)


def test_a_result_is_found_again_and_a_bad_one_made_anew(tmp_path: Path) -> None:
    store = ScoreStore(None, tmp_path)
    with closing(store.open(KEEPING, FACTS)) as kept:
        kept.append(SCORES[0])
        kept.finish(None)
    with closing(store.open(KEEPING, FACTS)) as kept:
        assert (kept.finished, kept.complete) == (SCORES[:1], True)
    with closing(store.open(KEEPING, FACTS | {"engine": "other"})) as kept:
        assert not kept.finished
    with closing(store.open(Keeping(FACTS, fresh=True), FACTS)) as kept:
        assert not kept.complete
    for file in tmp_path.iterdir():
        file.write_bytes(b"spoiled" * 9)
    with closing(store.open(KEEPING, FACTS)) as kept:
        assert not kept.finished


def test_without_a_name_a_full_disk_does_not_matter(tmp_path: Path) -> None:
    store = ScoreStore(None, tmp_path)
    with closing(store.open(KEEPING, FACTS)) as kept, full_disk(0):
        kept.append(SCORES[0])
        kept.flush()
        kept.finish(None)
    with full_disk(0), closing(store.open(KEEPING, FACTS)) as kept:
        assert not kept.complete


def test_results_do_not_pile_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.corpus.bpb.store._KEPT_RESULTS", 3)
    for number in range(6):
        ScoreStore(None, tmp_path).open(KEEPING, FACTS | {"n": str(number)}).close()
    assert len(list(tmp_path.iterdir())) == 3

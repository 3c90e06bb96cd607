from __future__ import annotations

import json
import random
import resource
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cli.__main__ import main
from services.corpus.bpb.cluster.unit_results import (
    UnitResult,
    is_done,
    merge,
    read_result,
    result_path,
    write_result,
)
from services.corpus.bpb.cluster.unit_scoring import UnitJob, UnitScorer
from services.corpus.bpb.cluster.units import WorkUnit, cut_units, find_unit, share_of
from services.corpus.bpb.definition import Definition
from services.corpus.bpb.estimates import Scope
from services.corpus.bpb.exclusion import Exclusion
from services.corpus.bpb.figures import DocumentScore, ScoreTotals
from services.corpus.bpb.sampling import Allocation, Sample
from services.corpus.stream.selection import Selection
from services.errors import InvalidArgument, PreconditionFailed
from tests.corpus.bpb.unit_jobs import make_job
from tests.corpus.shard_files import line, write_corpus


@given(st.dictionaries(st.text(min_size=1), st.integers(0, 40)), st.integers(1, 9))
def test_units_hold_every_frame_once(counts: dict[str, int], size: int) -> None:
    units = cut_units(counts, size)
    frames = [(unit.shard, frame) for unit in units for frame in range(unit.first, unit.end)]
    assert frames == [(shard, frame) for shard, count in counts.items() for frame in range(count)]
    assert [unit.number for unit in units] == list(range(len(units)))
    assert all(0 < unit.end - unit.first <= size for unit in units)


@given(st.integers(0, 50), st.integers(1, 12))
def test_shares_hold_every_unit_once(count: int, shares: int) -> None:
    units = cut_units({"test.jsonl.zst": count}, 1)
    dealt = [unit for share in range(shares) for unit in share_of(units, f"{share}/{shares}")]
    assert sorted(dealt, key=lambda unit: unit.number) == list(units)


@pytest.mark.parametrize("share", ["", "1", "2/2", "-1/2", "a/b", "0/0"])
def test_shares_that_are_none(share: str) -> None:
    with pytest.raises(InvalidArgument, match="I/N"):
        share_of((), share)


def test_a_unit_is_found_by_its_name() -> None:
    units = cut_units({"train/00.jsonl.zst": 5}, 2)
    assert find_unit(units, str(units[1])) == units[1]
    with pytest.raises(InvalidArgument, match="not a unit of this job"):
        find_unit(units, "train/00.jsonl.zst:0-3")
    with pytest.raises(InvalidArgument, match="is not SHARD:FIRST-END"):
        find_unit(units, "train/00.jsonl.zst")


SCORES = st.builds(
    DocumentScore,
    st.text(st.characters(codec="utf-8")),
    st.sampled_from(["", "a", "b"]),
    st.floats(0, 1e9),
    st.integers(0, 10**9),
    st.integers(0, 10**9),
    st.sampled_from([None, *Exclusion]),
)


@pytest.mark.slow
@given(st.lists(SCORES, max_size=12), st.integers(1, 5), st.randoms(use_true_random=False))
def test_however_documents_are_dealt_the_figures_are_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    scores: list[DocumentScore],
    count: int,
    shuffle: random.Random,
) -> None:
    directory = tmp_path_factory.mktemp("results")
    whole = ScoreTotals()
    for score in scores:
        whole.add(score)
    dealt = list(scores)
    shuffle.shuffle(dealt)
    for number in range(count):
        unit = WorkUnit(number, "test.jsonl.zst", number, number + 1)
        write_result(
            directory, UnitResult({"units": count}, unit, "e", tuple(dealt[number::count]))
        )
    merged = merge(directory).figures.totals
    assert merged.overall == whole.overall
    assert merged.subsets == whole.subsets
    for reason, left in whole.excluded.items():
        assert merged.excluded[reason].score == left.score
        assert sorted(merged.excluded[reason].ids) == sorted(left.ids)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> UnitJob:
    return make_job(tmp_path_factory.mktemp("job"), documents=40)


@pytest.fixture(scope="module")
def scorer(job: UnitJob) -> UnitScorer:
    return UnitScorer(job)


@pytest.fixture(scope="module")
def done(scorer: UnitScorer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("done")
    for unit in scorer.units:
        write_result(directory, scorer.score(unit))
    return directory


@pytest.mark.slow
def test_a_unit_gives_the_same_bytes_whatever_was_scored_before(
    job: UnitJob, scorer: UnitScorer, done: Path, tmp_path: Path
) -> None:
    last = scorer.units[-1]
    again = write_result(tmp_path, UnitScorer(job).score(last))
    assert again.read_bytes() == result_path(done, last).read_bytes()
    assert read_result(again) == scorer.score(last)


@pytest.mark.slow
def test_units_of_another_size_give_the_same_figures(
    job: UnitJob, done: Path, tmp_path: Path
) -> None:
    other = UnitScorer(replace(job, unit_frames=5))
    for unit in reversed(other.units):
        write_result(tmp_path, other.score(unit))
    assert merge(tmp_path).figures.totals.overall == merge(done).figures.totals.overall


@pytest.mark.slow
def test_a_selection_is_kept_to(job: UnitJob, done: Path, tmp_path: Path) -> None:
    one = UnitScorer(replace(job, selection=Selection(subsets=frozenset({"ArXiv"}))))
    for unit in one.units:
        write_result(tmp_path, one.score(unit))
    assert merge(tmp_path).figures.subsets == {"ArXiv": merge(done).figures.subsets["ArXiv"]}


def test_missing_units_are_named(done: Path, tmp_path: Path) -> None:
    with pytest.raises(PreconditionFailed, match="holds no result"):
        merge(tmp_path)
    part = Path(shutil.copytree(done, tmp_path / "part"))
    (part / "unit-000001.json").unlink()
    with pytest.raises(PreconditionFailed, match=r"lacks 1 of \d+ units: 1;"):
        merge(part)


@pytest.mark.slow
def test_results_of_another_job_are_refused(
    job: UnitJob, scorer: UnitScorer, done: Path, tmp_path: Path
) -> None:
    other = UnitScorer(replace(job, definition=Definition(128)))
    with pytest.raises(PreconditionFailed, match="another job: it differs in definition"):
        is_done(done, other.units[0], other.facts())
    mixed = Path(shutil.copytree(done, tmp_path / "mixed"))
    write_result(mixed, other.score(other.units[2]))
    with pytest.raises(PreconditionFailed, match=r"unit-000002\.json belongs to another job"):
        merge(mixed)
    assert is_done(done, scorer.units[0], scorer.facts())


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", '{"format": "assay-unit/2"}', '{"format": "assay-unit/3"}']
)
def test_files_that_are_no_results_are_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "unit-000000.json").write_text(content)
    with pytest.raises(PreconditionFailed, match=r"unit-000000\.json is"):
        merge(tmp_path)


def test_reasons_to_doubt_are_of_the_whole_job(
    scorer: UnitScorer, done: Path, tmp_path: Path
) -> None:
    shutil.copytree(done, tmp_path / "copy")
    assert merge(tmp_path / "copy").doubts == ()
    doubtful = replace(scorer.score(scorer.units[0]), doubts=("it guesses",))
    assert read_result(write_result(tmp_path / "copy", doubtful)) == doubtful
    assert merge(tmp_path / "copy").doubts == ("it guesses",)


def test_a_write_that_fails_midway_leaves_nothing(scorer: UnitScorer, tmp_path: Path) -> None:
    result = scorer.score(scorer.units[0])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_result(tmp_path, result)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


def test_what_units_cannot_do_is_refused(job: UnitJob, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="limit or an order"):
        UnitScorer(replace(job, selection=Selection(max_documents=3)))
    plain = write_corpus(tmp_path, {"test.jsonl.zst": [line("a")]})
    with pytest.raises(PreconditionFailed, match="has no index"):
        UnitScorer(replace(job, shards=plain))


@pytest.mark.slow
def test_the_command(
    job: UnitJob,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    common = ["--shards", str(job.shards), "--max-length", "256", "--unit-frames", "6"]
    assert main(["units", "list", *common]) == 0
    names = capsys.readouterr().out.split()
    assert names[0] == "test.jsonl.zst:0-6"
    out = ["--out", str(tmp_path / "out")]
    assert main(["units", "score", *common, *out, "--unit", names[0]]) == 0
    assert main(["units", "merge", str(tmp_path / "out")]) == 4  # units are missing
    for share in ("0/2", "1/2"):
        assert main(["units", "score", *common, *out, "--share", share]) == 0
    assert "up to date" in capsys.readouterr().err
    assert main(["units", "merge", str(tmp_path / "out"), "--json"]) == 0
    merged = json.loads(capsys.readouterr().out)
    assert merged["overall"]["documents"] == 40
    assert merged["job"]["units"] == len(names)
    assert (merged["overall"]["standing"], merged["overall"]["interval"]) == ("exact", None)
    assert main(["units", "merge", str(tmp_path / "out")]) == 0
    assert "overall (micro)" in capsys.readouterr().out
    sampled = ["--out", str(tmp_path / "sampled"), "--sample", "3"]
    assert main(["units", "score", *common, *sampled]) == 0
    capsys.readouterr()
    assert main(["units", "merge", str(tmp_path / "sampled"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["overall"]["documents"] < 40
    assert found["job"]["sample"]["spans"] == 3
    assert main(["units", "list", *common, "--sample", "3", "--sample-documents", "3"]) == 4


@pytest.mark.slow
@pytest.mark.parametrize("sample", [Sample(6), Sample(0, 12, 3, Allocation.EQUAL)])
def test_a_sample_is_the_same_however_it_is_dealt(
    job: UnitJob, done: Path, tmp_path: Path, sample: Sample
) -> None:
    """Machines that share no state draw the same, and their results merge to the same bits."""
    sampled = replace(job, sample=sample)
    for unit in UnitScorer(sampled).units:
        write_result(tmp_path / "one", UnitScorer(sampled).score(unit))
    other = UnitScorer(replace(sampled, unit_frames=5))
    for unit in reversed(other.units):
        write_result(tmp_path / "other", other.score(unit))
    first, second = (merge(tmp_path / name).figures for name in ("one", "other"))
    assert first.totals.overall == second.totals.overall
    assert first.subsets == second.subsets
    assert first.estimates.overall == second.estimates.overall
    assert first.estimates.macro == second.estimates.macro
    overall, truth = first.estimates.overall, merge(done).figures.estimates.overall
    assert overall is not None
    assert truth is not None
    assert overall.basis.effective_documents == pytest.approx(truth.basis.effective_documents)
    assert overall.basis.scored < truth.basis.documents
    assert overall.value == pytest.approx(truth.value, rel=0.5)
    # A result of the job without a sample is of another job, whichever comes first.
    plain = result_path(done, UnitScorer(job).units[1])
    (tmp_path / "one" / plain.name).write_bytes(plain.read_bytes())
    with pytest.raises(PreconditionFailed, match="differs in sample"):
        merge(tmp_path / "one")
    mixed = tmp_path / "mixed"
    shutil.copytree(done, mixed)
    sampled_unit = UnitScorer(sampled)
    write_result(mixed, sampled_unit.score(sampled_unit.units[1]))
    with pytest.raises(PreconditionFailed, match="differs in sample"):
        merge(mixed)


@pytest.mark.slow
def test_of_the_corpus_behind_a_merge_tells_when_asked(
    job: UnitJob, done: Path, tmp_path: Path
) -> None:
    plain, asked = merge(done).figures, merge(done, Scope.CORPUS).figures
    assert plain.estimates.overall is not None
    assert asked.estimates.overall is not None
    assert asked.estimates.overall.value == plain.estimates.overall.value
    assert asked.estimates.overall.basis.scope is Scope.CORPUS
    spans = UnitScorer(replace(job, sample=Sample(6)))
    for unit in spans.units:
        write_result(tmp_path, spans.score(unit))
    with pytest.raises(PreconditionFailed, match="need whole documents"):
        merge(tmp_path, Scope.CORPUS)

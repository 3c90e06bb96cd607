"""Evidence that an earlier version of a method made: kept, shown as that, and deciding nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.ranker.claims import facts
from services.ranker.claims.bounds import Interval, Value
from services.ranker.claims.choosing import choose, outdated, sample_beside
from services.ranker.claims.evidence import Observation, restore, seal
from services.ranker.claims.findings import ClaimVerdict, Evidence
from services.ranker.claims.model import Basis, Claim, SubjectRelation, Verdict
from services.ranker.claims.registry import packaged
from services.ranker.claims.verdict import judge, judge_stored
from services.ranker.comparing.records import Records
from services.ranker.database.evidence_store import EvidenceStore
from services.ranker.database.match_store import MatchStore
from services.ranker.database.sqlite import SqliteDatabase
from services.ranker.measuring import methods
from services.ranker.measuring.measurements import Budget
from services.ranker.measuring.verify import Verifier
from tests.ranker.peers_fake import PILE, FakeCorpus, FakeSegment

REGISTRY = packaged(methods.known())
CLAIMS = {one.id: one for one in REGISTRY.artifact(PILE).claims}
NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)

RAISED = {
    "composition.named_source_share": 2,  # an unanimous part was taken for a random sample
    "composition.share_distance": 2,  # other corpora were held against The Pile's shares
    "composition.licensed_share": 2,
    "storage.plain_parse_share": 2,
    "storage.compression_ratio": 2,  # what was not read counted as read
    "storage.ratio_against_gzip": 3,
    "storage.speed_against_gzip": 3,
    "storage.streaming_memory": 2,
    "scoring.bits_per_byte_defined": 3,  # a poor model refuted that there is a metric
    "page.feasible_score": 2,  # figures of anybody's manifest counted as read on a page
    "page.match_graph_evidence": 2,
    "page.component_leads": 2,
    "language_models.bits_per_byte": 2,  # spans were drawn without regard to scripts, and to doubts
    "language_models.bits_per_byte_difference": 2,
}
"""The least version of methods whose numbers or intervals came to mean something else."""


def before(method: str) -> str:
    name, _, version = method.partition("@")
    return f"{name}@{int(version) - 1}"


def evidence(claim: Claim, method: str, *, minutes: int = 0, **of: object) -> Evidence:
    """Evidence on a claim that any version before would have called decisive."""
    base = {"interval": Interval(1.0, 1.0), "n": 9, **of}
    found = Observation(
        Value(1.0, "share"),
        SubjectRelation.EXACT,
        Basis.MEASURED,
        **base,  # type: ignore[arg-type]
    )
    return seal(
        found,
        claim=claim.id,
        owner=claim.owner,
        claimed=claim.configuration,
        method=method,
        command="c",
        time=NOON + timedelta(minutes=minutes),
    )


def test_a_method_whose_numbers_mean_something_else_has_another_version() -> None:
    versions = {name: int(version) for name, version in (one.split("@") for one in methods.known())}
    assert {name: versions[name] for name in RAISED} == RAISED


def test_what_an_earlier_version_made_is_told_as_that_and_decides_nothing() -> None:
    claim = CLAIMS["P5.2"]
    old = evidence(claim, before(claim.method))
    assert outdated(claim, old)
    assert restore(old.content, old.digest) == old
    found = judge(claim, choose(claim, [old]))
    assert found.verdict is Verdict.NOT_TESTABLE_HERE
    assert found.evidence == old
    assert f"1 share by {before(claim.method)}" in found.reason
    assert f"assay claims {PILE} --claim P5.2" in found.reason
    # Neither by the version after: this one does not know what that computes.
    assert outdated(claim, replace(old, method=f"{claim.method}0"))


@pytest.mark.parametrize("minutes", [-5, 5])
def test_the_present_version_counts_whatever_is_newer_surer_or_more(minutes: int) -> None:
    claim = CLAIMS["P5.2"]
    old = evidence(claim, before(claim.method), minutes=minutes, n=10**6)
    new = evidence(claim, claim.method, interval=Interval(0.0, 1.0))
    for order in ([old, new], [new, old]):
        assert choose(claim, order) == new
        (verdict,) = judge_stored([claim], order, ())
        assert (verdict.verdict, verdict.evidence) == (Verdict.INCONCLUSIVE, new)
    sample = replace(old, relation=SubjectRelation.SAMPLE)
    assert sample_beside(claim, [sample], replace(new, basis=Basis.SOURCED)) is None


def test_a_citation_has_no_other_version() -> None:
    claim = CLAIMS["P1.2"]
    assert not outdated(claim, evidence(claim, claim.method))
    assert not outdated(CLAIMS["P5.2"], evidence(CLAIMS["P5.2"], "sources.cite@1"))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    database = SqliteDatabase(tmp_path / "evidence.sqlite")
    await database.open()
    yield database
    await database.close()


async def test_stored_evidence_of_before_is_read_by_none_until_it_is_measured_again(
    store: SqliteDatabase,
) -> None:
    kept = EvidenceStore(store)
    claim = CLAIMS["P5.2"]
    old = evidence(claim, before(claim.method))
    await kept.append(old)
    records = Records(REGISTRY, kept, MatchStore(store))
    (record,) = await records.of([REGISTRY.artifact(PILE)])
    assert old not in record.evidence  # what metrics are read from
    verdict = next(one for one in record.verdicts if one.claim.id == "P5.2")
    assert (verdict.verdict, verdict.evidence) == (Verdict.NOT_TESTABLE_HERE, old)
    assert await records.about(claim) == (old,)

    verifier = Verifier(
        REGISTRY, facts.packaged(), kept, segment=FakeSegment(), corpus=FakeCorpus()
    )
    verified = [one async for one in verifier.verify(PILE, ["P5.2"], Budget.QUICK)]
    again = next(one for one in verified if isinstance(one, ClaimVerdict))
    assert again.evidence is not None
    assert again.evidence.method == claim.method
    assert again.change is not None
    assert (before(claim.method), claim.method) in [
        (one.before, one.after) for one in again.change.differences if one.what == "method"
    ]

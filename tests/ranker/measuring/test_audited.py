"""What an audit tells of a corpus, as evidence."""

from __future__ import annotations

from dataclasses import replace

import pytest
from assay_rpc.audit.v1alpha1.corpus_audit_pb2 import (
    AuditedPart,
    CorpusAudit,
    PersonalData,
    Repeats,
)

from services.ranker.claims import facts
from services.ranker.claims.bounds import Interval, Value
from services.ranker.claims.evidence import Observation
from services.ranker.claims.model import SubjectRelation
from services.ranker.claims.registry import Registry, packaged
from services.ranker.measuring import methods
from services.ranker.measuring.measurements import Budget, Measurements
from services.ranker.measuring.methods import method_named
from services.ranker.measuring.unobservable import UnobservableError
from tests.ranker.peers_fake import COMPLETE, DESCRIPTION, SAMPLE, FakeCorpus, FakeSegment, changed

REGISTRY = packaged(methods.known())
(CLAIM,) = (claim for claim in REGISTRY.claims.values() if claim.id == "P1.1")
DOCUMENTS = DESCRIPTION.documents


def audit(documents: int = DOCUMENTS, near: int = 22, personal: int = 11) -> CorpusAudit:
    return CorpusAudit(
        whole=AuditedPart(
            documents=documents, personal=PersonalData(emails=12, documents=personal)
        ),
        near=Repeats(documents=near),
        near_documents=documents,
    )


def asked(
    found: CorpusAudit, *, whole: bool = True, budget: Budget = Budget.QUICK, text_bytes: int = 0
) -> tuple[Measurements, FakeCorpus]:
    description = changed(DESCRIPTION, text_bytes=text_bytes or DESCRIPTION.text_bytes)
    peer = FakeCorpus((COMPLETE if whole else SAMPLE,), description, audit_result=found)
    pile = REGISTRY.artifact("the-pile")
    stated = replace(pile.configuration, digest=COMPLETE.ref.digest)
    registry = Registry([replace(pile, configuration=stated)], methods.known())
    return Measurements(registry, facts.packaged(), FakeSegment(), peer, budget), peer


async def observed(method: str, measurements: Measurements) -> Observation:
    found = replace(CLAIM, method=f"composition.{method}@1")
    return await method_named(found.method).observe(found, measurements)


async def test_an_audit_is_asked_for_once_and_decides_of_the_whole() -> None:
    measurements, peer = asked(audit())
    near = await observed("near_duplicate_rate", measurements)
    personal = await observed("personal_data_share", measurements)
    assert peer.audited == 1
    assert near.value == Value(22 / DOCUMENTS, "share")
    assert (near.relation, near.n) == (SubjectRelation.EXACT, DOCUMENTS)
    assert near.interval == Interval(22 / DOCUMENTS, 22 / DOCUMENTS)
    assert personal.value == Value(11 / DOCUMENTS, "share")
    assert "12 e-mail addresses" in personal.note
    assert "of persons or not" in personal.conditions


async def test_a_part_bounds_nothing() -> None:
    """One that is a sample, and one that the audit left something out of."""
    for measurements, _ in (asked(audit(), whole=False), asked(audit(documents=DOCUMENTS - 1))):
        for method in ("near_duplicate_rate", "personal_data_share"):
            assert (await observed(method, measurements)).interval == Interval(0.0, 1.0)


async def test_a_large_corpus_wants_the_full_budget() -> None:
    measurements, peer = asked(audit(), text_bytes=1 << 40)
    with pytest.raises(UnobservableError, match="longer than a quick verification"):
        await observed("near_duplicate_rate", measurements)
    assert not peer.audited
    measurements, peer = asked(audit(), text_bytes=1 << 40, budget=Budget.FULL)
    assert (await observed("near_duplicate_rate", measurements)).n == DOCUMENTS


@pytest.mark.parametrize(
    "lie",
    [
        audit(documents=DOCUMENTS + 1),
        audit(near=DOCUMENTS + 1),
        audit(personal=DOCUMENTS + 1),
    ],
)
async def test_counts_that_contradict_each_other_are_refused(lie: CorpusAudit) -> None:
    with pytest.raises(UnobservableError, match=r"corpus (says|counts)"):
        await observed("personal_data_share", asked(lie)[0])


async def test_nothing_was_audited() -> None:
    with pytest.raises(UnobservableError, match="no documents that an audit reads"):
        await observed("personal_data_share", asked(audit(0, 0, 0))[0])

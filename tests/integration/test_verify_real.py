"""The ranker with a real segment and a real corpus, each in a process of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from assay.channel import connect_blocking
from assay.ranker.v1 import ranker_pb2 as pb
from assay.ranker.v1 import ranker_pb2_grpc

B4, PILE = "segformer-b4-finetuned-ade-512-512", "the-pile"
DECIDED = {pb.VERDICT_CONFIRMED, pb.VERDICT_REFUTED}


@dataclass(frozen=True)
class Services:
    """Three running services; `corpus` can be killed."""

    ranker: ranker_pb2_grpc.RankerServiceStub
    corpus: Any

    def verify(self, artifact: str, *claims: str) -> dict[str, pb.ClaimVerdict]:
        request = pb.VerifyClaimsRequest(artifact=artifact, claims=claims)
        return {
            update.verdict.claim.id: update.verdict
            for update in self.ranker.VerifyClaims(request, timeout=300)
            if update.WhichOneof("update") == "verdict"
        }


def started(
    start_service: Any, folder: Path, corpora: Mapping[str, object] | None = None
) -> Iterator[Services]:
    settings = {"ASSAY_CORPUS_CORPORA": json.dumps(corpora)} if corpora else {}
    segment, corpus = start_service("segment"), start_service("corpus", settings)
    ranker = start_service(
        "ranker",
        {
            "ASSAY_RANKER_SEGMENT_ADDR": segment.address,
            "ASSAY_RANKER_CORPUS_ADDR": corpus.address,
            "ASSAY_RANKER_DATABASE": str(folder / "evidence.sqlite"),
        },
    )
    with segment, corpus, ranker, connect_blocking(ranker.address) as channel:
        yield Services(ranker_pb2_grpc.RankerServiceStub(channel), corpus)


@pytest.fixture
def services(start_service: Any, tmp_path: Path) -> Iterator[Services]:
    """Reference model and reference corpus: stand-ins for what the page is about."""
    yield from started(start_service, tmp_path)


@pytest.fixture
def real_services(start_service: Any, tmp_path: Path, data_dir: Path) -> Iterator[Services]:
    """A sample of the real Pile."""
    entry = {"path": str(data_dir / "pile"), "kind": "sample", "source": "a sample"}
    yield from started(start_service, tmp_path, {PILE: entry})


def test_stand_ins_decide_nothing_and_sources_still_stand(services: Services) -> None:
    found = services.verify(B4) | services.verify("page")
    found |= services.verify(PILE, "P1.1", "P1.2", "P3.1", "P4.1", "P5.2", "P6.1")
    for one in found.values():
        if one.verdict in DECIDED:
            assert one.basis in {pb.BASIS_SOURCED, pb.BASIS_DERIVED}
            assert one.evidence.relation == pb.SUBJECT_RELATION_EXACT
    assert sum(one.verdict in DECIDED for one in found.values()) >= 20
    for claim in ("P3.1", "P4.1", "P5.2"):
        assert found[claim].verdict == pb.VERDICT_NOT_TESTABLE_HERE
        assert found[claim].evidence.relation == pb.SUBJECT_RELATION_PROXY
        assert found[claim].evidence.environment.cpu or claim == "P5.2"

    request = pb.CompareRequest(left=B4, right=PILE)
    first = services.ranker.Compare(request, timeout=30)
    assert first.cache.status == pb.CACHE_STATUS_MISS
    assert services.ranker.Compare(request, timeout=30).cache.status == pb.CACHE_STATUS_HIT
    assert len(first.left.claims) + len(first.right.claims) + len(first.page_claims) == 56

    services.corpus.kill()
    left = services.verify(PILE, "P1.1", "P3.1")
    assert left["P1.1"].verdict == pb.VERDICT_CONFIRMED
    assert left["P3.1"].verdict == pb.VERDICT_NOT_TESTABLE_HERE
    assert "corpus cannot be reached" in left["P3.1"].reason
    assert len(services.ranker.Compare(request, timeout=30).right.claims) == 21


@pytest.mark.data
def test_a_sample_of_the_pile_decides_what_a_sample_can(real_services: Services) -> None:
    found = real_services.verify(PILE, "P1.1", "P2.1", "P3.1", "P3.2", "P4.1", "P5.2", "P6.1")
    # That bits per byte are defined over 22 subsets is cited; the run only computes it.
    bases = {"P2.1": pb.BASIS_DERIVED, "P3.1": pb.BASIS_MEASURED, "P5.2": pb.BASIS_MEASURED}
    for claim, basis in bases.items():
        assert found[claim].verdict == pb.VERDICT_CONFIRMED
        assert found[claim].basis == basis
        assert "the-pile (sample, sha256:" in found[claim].evidence.note
        assert found[claim].evidence.relation == pb.SUBJECT_RELATION_SAMPLE
    # zstd and gzip at their defaults compress text about equally well, on any machine.
    assert found["P4.1"].verdict == pb.VERDICT_REFUTED
    assert found["P4.1"].evidence.value.number == pytest.approx(1.0, abs=0.1)
    # 17 of 22 subsets: no count of subsets, no shares, no overall ratio follows from them.
    assert found["P1.1"].basis == pb.BASIS_SOURCED
    assert found["P6.1"].verdict == pb.VERDICT_NOT_TESTABLE_HERE
    assert found["P3.2"].verdict == pb.VERDICT_INCONCLUSIVE
    assert "44%" in found["P3.2"].evidence.note

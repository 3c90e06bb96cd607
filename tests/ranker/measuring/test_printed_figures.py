"""What a registered manifest says is printed confirms nothing about itself."""

from __future__ import annotations

import pytest

from services.ranker.claims import facts
from services.ranker.claims.model import Artifact
from services.ranker.claims.registry import packaged, parse_text
from services.ranker.measuring import methods
from services.ranker.measuring.measurements import Budget, Measurements
from services.ranker.measuring.methods.registration import method_named
from services.ranker.measuring.unobservable import UnobservableError
from tests.ranker.peers_fake import FakeCorpus, FakeSegment

MANIFEST = b"""
schema: 1
kind: artifact
id: boaster
name: Boaster
type: DATASET
description: It boasts.
version: 1
license: {id: MIT, name: MIT License}
pricing: free
published:
  value: 99
  source: its own page
  components: {adoption: 0, quality: 0, ecosystem: 0, match_graph: 0}
capabilities: []
claims:
  - id: D1
    statement: It scores 99.
    bound: {equals: {value: 99, tolerance: 0}, unit: points}
    method: page.feasible_score@2
"""


async def test_a_score_that_a_manifest_prints_is_not_confirmed_by_it() -> None:
    known = packaged(methods.known())
    artifact = parse_text(MANIFEST, "m.yaml")
    assert isinstance(artifact, Artifact)
    known.register(artifact)
    claim = known.claim("boaster/D1")
    asked = Measurements(known, facts.packaged(), FakeSegment(), FakeCorpus(), Budget.QUICK)
    with pytest.raises(UnobservableError, match="the quote has not been checked here"):
        await method_named(claim.method).observe(claim, asked)

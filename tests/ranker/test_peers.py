"""The peers of a running ranker: a fake may leave a call out, they may not."""

from __future__ import annotations

import inspect

import pytest

from services.ranker.peers.corpus import CorpusClient
from services.ranker.peers.protocol import CorpusPeer, SegmentPeer
from services.ranker.peers.segment import SegmentClient


@pytest.mark.parametrize(
    ("real", "base"), [(SegmentClient, SegmentPeer), (CorpusClient, CorpusPeer)]
)
def test_a_real_peer_makes_every_call(real: type, base: type) -> None:
    calls = {name for name, _ in inspect.getmembers(base, inspect.isfunction) if name[0] != "_"}
    assert calls
    assert not calls - vars(real).keys()

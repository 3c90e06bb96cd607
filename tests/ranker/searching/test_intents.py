"""The evaluation set of search: frozen before there was a search."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from services.ranker.claims.registry import packaged
from services.ranker.measuring import methods

FOLDER = Path(__file__).resolve().parents[3] / "benchmarks" / "ranker_intents"
FROZEN = "a7981d1e15b16c1bcdf3da302ee44edb22bbff695ff3b71e149e454092f0541b"


def intents(split: str) -> dict[str, list[str]]:
    lines = (FOLDER / f"{split}.jsonl").read_text("utf-8").splitlines()
    return {row["intent"]: row["serves"] for row in map(json.loads, lines)}


def test_the_test_split_is_the_one_that_was_frozen() -> None:
    content = (FOLDER / "test.jsonl").read_bytes()
    assert hashlib.sha256(content).hexdigest() == FROZEN


def test_the_splits_share_no_intent_and_are_large_enough() -> None:
    train, test = intents("train"), intents("test")
    assert not set(train) & set(test)
    assert len(train) + len(test) >= 200


def test_every_capability_is_asked_for_and_some_intents_find_nothing() -> None:
    known = {
        capability.id
        for artifact in packaged(methods.known()).artifacts
        for capability in artifact.capabilities
    }
    for split in ("train", "test"):
        asked = {name for serves in intents(split).values() for name in serves}
        assert asked == known
        assert sum(not serves for serves in intents(split).values()) >= 30


def test_no_intent_is_copied_from_a_manifest() -> None:
    registered = {
        wish.lower()
        for artifact in packaged(methods.known()).artifacts
        for capability in artifact.capabilities
        for wish in capability.intents
    }
    for split in ("train", "test"):
        assert not {wish.lower() for wish in intents(split)} & registered

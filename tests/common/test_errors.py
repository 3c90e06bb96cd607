"""What an error says of a name that does not exist."""

from __future__ import annotations

import pytest

from services.errors import NotFound, nearest

KNOWN = ["gpt2", "segformer-b0-finetuned", "segformer-b4-finetuned", "the-pile"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("gpt-2", ["gpt2"]),
        ("The-Plie", ["the-pile"]),
        ("segformer-b4", ["segformer-b4-finetuned"]),
        ("resnet", []),
        ("", []),
    ],
)
def test_a_slip_is_told_what_may_be_meant(name: str, meant: list[str]) -> None:
    assert nearest(name, KNOWN) == meant


def test_a_name_too_long_to_be_a_slip_is_compared_with_none() -> None:
    long = "the-pile" * 500_000
    assert nearest(long, [*KNOWN, long]) == []
    told = str(NotFound("artifact", long, KNOWN))
    assert len(told) < 1000
    assert "known: gpt2" in told

"""Which licence weights are under: their text decides, then their name, else the strictest."""

from pathlib import Path

import pytest

from services.segment.export.licenses import (
    APACHE,
    NVIDIA_SEGFORMER,
    OTHER,
    UNKNOWN,
    checkpoint_license,
    license_text,
)


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("nvidia/segformer-b0-finetuned-ade-512-512", None, NVIDIA_SEGFORMER),
        ("NVIDIA/SegFormer-b4-finetuned-ade-512-512", None, NVIDIA_SEGFORMER),
        ("someone/segformer", "NVIDIA Source Code License for SegFormer", NVIDIA_SEGFORMER),
        ("someone/segformer", "Apache License\nVersion 2.0, January 2004", APACHE),
        ("nvidia/segformer-b0", "all rights reserved", OTHER),
        ("someone/segformer", None, UNKNOWN),
    ],
)
def test_license(name: str, text: str | None, found: object) -> None:
    assert checkpoint_license(name, text) == found


def test_whatever_is_not_known_to_be_free_is_for_research_only() -> None:
    assert UNKNOWN.research_only
    assert OTHER.research_only
    assert NVIDIA_SEGFORMER.research_only
    assert not APACHE.research_only


def test_the_text_that_travels_with_a_checkpoint_is_found(tmp_path: Path) -> None:
    assert license_text(tmp_path) is None
    (tmp_path / "LICENSE").write_text("terms")
    assert license_text(tmp_path) == tmp_path / "LICENSE"

"""Which licence weights are under: their text decides, then their name, else the strictest."""

from pathlib import Path

import pytest

from services.errors import InvalidArgument
from services.segment.export.licenses import (
    APACHE,
    NVIDIA_SEGFORMER,
    OTHER,
    UNKNOWN,
    checkpoint_license,
    license_text,
    stated_license,
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


def test_whatever_is_not_known_to_be_free_has_to_be_accepted() -> None:
    assert [one.needs_accepting for one in (UNKNOWN, OTHER, NVIDIA_SEGFORMER, APACHE)] == [
        *[True] * 3,
        False,
    ]


def test_only_what_says_so_is_for_research_only() -> None:
    assert NVIDIA_SEGFORMER.restricted
    for terms in (UNKNOWN, OTHER, APACHE):
        assert not terms.restricted
        assert not terms.research_only
    as_written_before = UNKNOWN.replaced(research_only=True)
    assert as_written_before.needs_accepting
    assert not as_written_before.restricted


def test_the_exporting_user_may_state_what_the_checkpoint_does_not() -> None:
    stated = stated_license("CC-BY-4.0", UNKNOWN)
    assert (stated.id, stated.needs_accepting) == ("CC-BY-4.0", False)
    assert stated_license("LicenseRef-Mine", OTHER).id == "LicenseRef-Mine"
    assert stated_license("Apache-2.0", UNKNOWN) == APACHE
    assert stated_license(NVIDIA_SEGFORMER.id, UNKNOWN).restricted
    assert stated_license("Apache-2.0", APACHE) == APACHE


@pytest.mark.parametrize("given", ["", "my own", "-x", "a" * 200, "MIT\n", "../x"])
def test_what_is_no_licence_id(given: str) -> None:
    with pytest.raises(InvalidArgument, match=r"license: .* is neither an SPDX id"):
        stated_license(given, UNKNOWN)


def test_a_licence_that_is_there_is_not_stated_away() -> None:
    with pytest.raises(InvalidArgument, match="the checkpoint itself is under LicenseRef-NVIDIA"):
        stated_license("MIT", NVIDIA_SEGFORMER)


def test_the_text_that_travels_with_a_checkpoint_is_found(tmp_path: Path) -> None:
    assert license_text(tmp_path) is None
    (tmp_path / "LICENSE").write_text("terms")
    assert license_text(tmp_path) == tmp_path / "LICENSE"

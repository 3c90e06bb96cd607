"""Numbers with their nouns."""

import pytest

from services.common.counts import with_unit


@pytest.mark.parametrize(
    ("text", "unit", "read"),
    [
        ("1", "layers", "1 layer"),
        ("6", "layers", "6 layers"),
        ("1 ± 0.5", "layers", "1 ± 0.5 layers"),
        ("1", "classes", "1 class"),
        ("1", "capabilities", "1 capability"),
        ("1", "parts that hold", "1 part that holds"),
        ("1", "bits per byte", "1 bit per byte"),
        ("1", "pictures/s", "1 picture/s"),
        ("1", "ms", "1 ms"),
        ("1", "s", "1 s"),
        ("1", "%", "1 %"),
        ("1", "GB", "1 GB"),
        ("1", "loss", "1 loss"),
        ("1", "total variation distance", "1 total variation distance"),
        ("1", "1", "1x"),
        ("1.09", "1", "1.09x"),
    ],
)
def test_one_of_a_unit_is_singular(text: str, unit: str, read: str) -> None:
    assert with_unit(text, unit) == read

"""A figure in another unit is the same figure; one of another kind is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.common.strict_documents import validate
from services.errors import InvalidArgument
from services.ranker.claims.bounds import Equals
from services.ranker.claims.claim_entry import ClaimEntry
from services.ranker.claims.model import Aspect, Claim, Source, SourceVerdict
from services.ranker.claims.sourcing import sourcing
from services.ranker.claims.units import factor, half_a_digit

FAMILIES = (
    ("B", "kB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "TiB"),
    ("share", "%", "1"),
    ("s", "ms", "us", "\u00b5s", "\u03bcs", "min", "h"),
    ("parameters", "thousand parameters", "million parameters", "M parameters", "B parameters"),
    ("tokens", "billion tokens", "T tokens", "trillion of tokens"),
    ("bits per byte", "nats per byte"),
    ("pictures/s", "fps", "images/s", "pictures/min"),
    ("GB/s", "MiB/s", "MB/min"),
)
pairs = st.sampled_from(FAMILIES).flatmap(
    lambda units: st.tuples(st.sampled_from(units), st.sampled_from(units))
)
figures = st.integers(1, 10**6).map(lambda one: one / 100)


def cited(value: float, tolerance: float, unit: str, says: float, its: str) -> SourceVerdict:
    source = Source("a paper", values=(says,), unit=its)
    bound = Equals(value, tolerance, unit)
    return sourcing(Claim("C", "a", "s", Aspect.SIZE, "g", bound, sources=(source,)))


@given(pairs, figures)
def test_the_same_figure_in_another_unit_is_repeated(units: tuple[str, str], value: float) -> None:
    claimed, printed = units
    by = factor(printed, claimed)
    assert by is not None
    if claimed == printed:
        rounded: float = value
    else:
        text = f"{value / by:.10g}"
        rounded = (
            float(text) if value / by < 10**6 and set(text) & {".", "e"} else round(value / by)
        )
    assert cited(value, 0, claimed, rounded, printed) is SourceVerdict.FAITHFUL
    # And one that is further off than its rounding is not.
    wrong = rounded + max(3 * half_a_digit(rounded), 1e-6 * rounded)
    assert cited(value, 0, claimed, wrong, printed) is SourceVerdict.MISQUOTED


@given(pairs, figures)
def test_there_and_back_is_the_same(units: tuple[str, str], value: float) -> None:
    first, second = units
    there, back = factor(first, second), factor(second, first)
    assert there is not None
    assert back is not None
    assert value * there * back == pytest.approx(value, rel=1e-12)


@given(st.sampled_from(FAMILIES), st.sampled_from(FAMILIES), st.data())
def test_units_of_two_kinds_do_not_convert(
    one: tuple[str, ...], other: tuple[str, ...], data: st.DataObject
) -> None:
    assume(one != other)
    first, second = data.draw(st.sampled_from(one)), data.draw(st.sampled_from(other))
    assert factor(first, second) is None


def test_known_figures() -> None:
    assert factor("GiB", "GB") == pytest.approx(1.073741824)
    assert factor("million parameters", "parameters") == 1e6
    assert factor("nats per byte", "bits per byte") == pytest.approx(1 / math.log(2))
    assert factor("MB", "Mb") is None
    assert factor("s", "pictures/s") is None
    assert (half_a_digit(825), half_a_digit(3.2), half_a_digit(0.0125)) == (0.5, 0.05, 0.00005)
    # The Pile: 825.18 GiB are 886.03 GB, and 825 GB is another figure.
    assert cited(886, 0.5, "GB", 825.18, "GiB") is SourceVerdict.FAITHFUL
    assert cited(825, 0.5, "GB", 825.18, "GiB") is SourceVerdict.MISQUOTED
    assert cited(64.1, 0.05, "million parameters", 64_108_374, "parameters") is (
        SourceVerdict.FAITHFUL
    )


def entry(unit: str, says: object, its: str | None, value: float) -> dict[str, Any]:
    source = {"title": "a paper", "says": says, **({"unit": its} if its else {})}
    return {
        "id": "C",
        "statement": "s",
        "aspect": "size",
        "group": "g",
        "bound": {"equals": {"value": value, "tolerance": 0.01 * value}, "unit": unit},
        "method": "sources.cite@1",
        "sources": [source],
    }


@pytest.mark.parametrize(
    ("unit", "says", "its", "value", "problem"),
    [
        ("GB", 825, "GHz", 886, "'GHz' does not convert to the bound's unit, 'GB'"),
        ("s", 15.4, "pictures/s", 0.065, "does not convert"),
        ("GB", 825, None, 886, "in 'GiB' it does not"),
        ("share", 99.9, None, 0.999, "in '%' it does not"),
        ("%", 0.999, None, 99.9, "in 'share' it does not"),
        ("parameters", 64.1, None, 64_108_374, "in 'million parameters' it does not"),
    ],
)
def test_what_does_not_compare_is_refused(
    unit: str, says: object, its: str | None, value: float, problem: str
) -> None:
    with pytest.raises(InvalidArgument, match=problem):
        validate(ClaimEntry, entry(unit, says, its, value))


@pytest.mark.parametrize(
    ("unit", "says", "its", "value"),
    [
        ("GB", 825, "GiB", 886),
        ("GB", 886, None, 886),
        ("GB", 700, None, 886),  # misquoted in any unit: that is for the verdict to say
        ("%", 0.999, "share", 99.9),
        ("parameters", 64.1, "million parameters", 64_108_374),
    ],
)
def test_what_compares_is_taken(unit: str, says: object, its: str | None, value: float) -> None:
    claim = validate(ClaimEntry, entry(unit, says, its, value)).claim(artifact="a")
    expected = SourceVerdict.MISQUOTED if says == 700 else SourceVerdict.FAITHFUL
    assert sourcing(claim) is expected


def test_a_text_has_no_unit() -> None:
    wrong = entry("GB", "much", "GB", 886)
    wrong["bound"] = {"text": "much"}
    with pytest.raises(InvalidArgument, match=r"belongs to a number, but `says` is not a number"):
        validate(ClaimEntry, wrong)

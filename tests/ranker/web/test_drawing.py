"""Drawings are inside their frames, in order, and say in words what they show."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.ranker.web.drawing import Bar, bars, interval, line, stack
from tests.ranker.web.pages import Checked

FINITE = st.floats(0, 100)


@given(FINITE, FINITE, FINITE)
def test_an_interval_is_drawn_in_order_inside_its_line(a: float, b: float, c: float) -> None:
    low, point, high = sorted((a, b, c))
    drawn = Checked(interval(low, point, high, 100, "left"))
    (_, span), (_, dot) = drawn.tags[2:4]
    ends = [float(str(one)) for one in (span["x1"], dot["cx"], span["x2"])]
    assert ends == sorted(ends)
    assert ends[0] >= 12
    assert ends[-1] <= 228


def test_an_end_outside_the_line_is_drawn_at_its_end() -> None:
    drawn = Checked(interval(-5, 150, float("inf"), 100, "left", least=-50))
    (_, span), (_, dot) = drawn.tags[2:4]
    assert (span["x2"], dot["cx"]) == ("228.0", "228.0")
    assert "from -5 to ∞" in str(drawn.tags[0][1]["aria-label"])


@given(
    st.lists(
        st.builds(Bar, st.text(max_size=20), st.none() | FINITE, st.none() | FINITE), max_size=5
    )
)
def test_bars_are_drawn_for_any_values(values: list[Bar]) -> None:
    drawn = Checked(bars(values, "unit", "left"))
    known = sum(one is not None for bar in values for one in (bar.value, bar.published))
    assert sum(tag == "rect" for tag, _ in drawn.tags) == known
    lengths = [float(found["width"] or 0) for tag, found in drawn.tags if tag == "rect"]
    assert all(0 <= one <= 260 for one in lengths)


@given(st.dictionaries(st.sampled_from(["refuted", "confirmed"]), st.integers(0, 99)))
def test_a_stack_fills_its_bar(counts: dict[str, int]) -> None:
    drawn = Checked(stack(counts, "said"))
    widths = [float(found["width"] or 0) for tag, found in drawn.tags if tag == "rect"]
    assert len(widths) == sum(map(bool, counts.values()))
    assert not widths or abs(sum(widths) - 600) < 0.1


@given(st.lists(st.tuples(st.integers(1, 64), FINITE), min_size=1, max_size=5))
def test_a_line_goes_from_left_to_right(points: list[tuple[float, float]]) -> None:
    drawn = Checked(line(points, "batch", "a second", "left"))
    places = [float(found["cx"] or 0) for tag, found in drawn.tags if tag == "circle"]
    assert places == sorted(places)
    assert len(places) == len(points)

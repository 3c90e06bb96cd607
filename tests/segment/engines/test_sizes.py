"""Which graph computes pictures of other sizes: those that are compiled, and when."""

from __future__ import annotations

from typing import Any

import pytest

from services.segment.engines import sizes
from services.segment.engines.sizes import KEPT, OFTEN, OtherSizes, Shape


class Compiler:
    def __init__(self) -> None:
        self.fixed: list[Shape] = []
        self.free = 0
        self.fails = False
        self.sizes = OtherSizes(self.compile_fixed, self.compile_free)

    def compile_fixed(self, shape: Shape) -> Any:
        self.fixed.append(shape)
        if self.fails:
            raise RuntimeError("no memory")
        return shape

    def compile_free(self) -> Any:
        self.free += 1
        return "free"

    def use(self, shape: Shape, times: int = 1) -> list[Any]:
        found = [self.sizes.find(shape) for _ in range(times)]
        self.sizes.wait()
        return found


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "_PAUSE_SECONDS", 0.0)


def test_sizes_that_keep_changing_are_never_compiled() -> None:
    compiler = Compiler()
    for number in range(1000):
        assert compiler.use((3, 32 + number % 200, 64)) == ["free"]
    assert (compiler.free, compiler.fixed) == (1, [])
    assert len(compiler.sizes._counts) <= sizes._COUNTED


def test_the_graph_of_free_shape_may_be_compiled_before_it_is_used() -> None:
    compiler = Compiler()
    assert [compiler.sizes.free(), compiler.sizes.free()] == ["free", "free"]
    assert compiler.use((3, 64, 64)) == ["free"]
    assert compiler.free == 1


def test_a_size_that_comes_often_is_compiled_beside() -> None:
    compiler = Compiler()
    assert set(compiler.use((3, 64, 64), OFTEN)) == {"free"}
    assert compiler.use((3, 64, 64)) == [(3, 64, 64)]
    assert compiler.fixed == [(3, 64, 64)]


def test_few_stay_compiled_those_that_were_used_last() -> None:
    compiler = Compiler()
    shapes = [(3, 64, 32 * number) for number in range(1, KEPT + 2)]
    for shape in shapes[:KEPT]:
        compiler.use(shape, OFTEN)
    compiler.use(shapes[0])  # not the longest unused one any more
    compiler.use(shapes[KEPT], OFTEN)
    assert compiler.use(shapes[0]) == [shapes[0]]
    assert compiler.use(shapes[KEPT]) == [shapes[KEPT]]
    assert compiler.use(shapes[1]) == ["free"]


def test_a_size_that_cannot_be_compiled_is_computed_all_the_same() -> None:
    compiler = Compiler()
    compiler.fails = True
    assert set(compiler.use((3, 64, 64), 3 * OFTEN)) == {"free"}


def test_there_is_a_pause_between_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "_PAUSE_SECONDS", 3600.0)
    compiler = Compiler()
    compiler.sizes._compiled_at = float("-inf")
    compiler.use((3, 64, 64), OFTEN)
    assert set(compiler.use((3, 32, 32), 3 * OFTEN)) == {"free"}
    assert compiler.fixed == [(3, 64, 64)]

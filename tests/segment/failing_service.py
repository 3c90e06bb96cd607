"""The segment service with an engine that fails for good: `python failing_service.py RUNS`.

After RUNS runs every one fails, as every run of a faulted CUDA context does.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from services.segment.__main__ import main
from services.segment.engines.choice import Choice
from services.segment.engines.engine import Engine, Floats, Output


class Failing:
    def __init__(self, engine: Engine, runs: int) -> None:
        self.name, self.precision = engine.name, engine.precision
        self.max_batch_size = engine.max_batch_size
        self._engine = engine
        self._left = runs

    def run(self, batch: list[Floats]) -> Sequence[Output]:
        if not self._left:
            raise RuntimeError("CUDA failure 700: an illegal memory access was encountered")
        self._left -= 1
        return self._engine.run(batch)


if __name__ == "__main__":
    open_engine = Choice.open

    def open_failing(*arguments: Any, **options: Any) -> Engine:
        return Failing(open_engine(*arguments, **options), int(sys.argv[1]))

    Choice.open = open_failing  # type: ignore[method-assign]
    sys.exit(main())

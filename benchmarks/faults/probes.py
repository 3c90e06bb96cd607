"""Probes a health port ten times a second, from a separate process.

    python -m benchmarks.faults.probes ADDRESS

Ends when its input does, and prints the seconds that the slowest answer took.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from types import TracebackType
from typing import Any, Self

import grpc

_BETWEEN_SECONDS, _TIMEOUT_SECONDS = 0.1, 30.0


class Probes:
    """Probes a service while it is entered; `worst` is known afterwards."""

    def __init__(self, address: str) -> None:
        self._words = [sys.executable, "-m", "benchmarks.faults.probes", address]
        self.worst = 0.0
        """Seconds."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None  # noqa: S101
        self._process.stdout.readline()  # printed after its first answer
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        said, _ = self._process.communicate("")
        self.worst = float(said)


def main() -> None:
    """Probe until the input ends."""
    over = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        over.set()

    threading.Thread(target=wait, daemon=True).start()
    worst, first = 0.0, True
    with grpc.insecure_channel(sys.argv[1]) as channel:
        check: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
        while first or not over.wait(_BETWEEN_SECONDS):
            begun = time.monotonic()
            with contextlib.suppress(grpc.RpcError):
                check(b"", timeout=_TIMEOUT_SECONDS)
            # The first probe connects, and does not count.
            worst = worst if first else max(worst, time.monotonic() - begun)
            if first:
                print("probing", flush=True)
                first = False
    print(worst)


if __name__ == "__main__":
    main()

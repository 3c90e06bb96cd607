"""Distinguishes a broken engine from a picture that the engine cannot compute.

A CUDA context that has faulted answers every later run with an error, and only a new process gets a
new context. After a failed run the guard has the engine compute a picture that worked before: if
that works, the picture was at fault; if not, the failure counts against the engine.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from services.errors import Unavailable

MAX_FAILURES = 5
"""Consecutive failures, each with a failed trial, after which an engine is given up."""
_log = structlog.get_logger(__name__)


class EngineGuard:
    """Counts one engine's failures. Used only in the engine's thread.

    `trial` computes a picture that the engine is known to compute; `give_up` is called once, with
    the reason, when the engine has failed for good.
    """

    def __init__(
        self, name: str, trial: Callable[[], object], give_up: Callable[[str], object]
    ) -> None:
        self._name = name
        self._trial = trial
        self._give_up = give_up
        self._failures = 0

    def require_usable(self) -> None:
        """Raise Unavailable for an engine that was given up."""
        if self._failures >= MAX_FAILURES:
            raise self._unavailable()

    def succeeded(self) -> None:
        """Reset the count."""
        self._failures = 0

    def failed(self, error: Exception) -> None:
        """Judge a run that failed with `error`; return if the picture is at fault.

        Raises Unavailable if the engine fails its trial as well: another server can answer.
        """
        try:
            self._trial()
        except Exception as again:  # noqa: BLE001  # engines' exceptions share no base class
            self._failures += 1
            _log.error(  # an engine's trace adds nothing to its message
                "engine failed",
                model=self._name,
                error=repr(error),
                trial=repr(again),
                failures=self._failures,
                given_up_after=MAX_FAILURES,
            )
            if self._failures == MAX_FAILURES:
                self._give_up(
                    f"the engine of {self._name} failed {MAX_FAILURES} times in a row, also on a "
                    f"picture that it has computed before: {again!r}"
                )
            raise self._unavailable() from error
        self._failures = 0

    def _unavailable(self) -> Unavailable:
        return Unavailable(f"the engine of {self._name} does not work; another server may answer")

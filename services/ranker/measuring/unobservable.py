"""A method that has nothing to observe here."""

from __future__ import annotations

from services.ranker.claims.findings import NotMeasured, UnmeasuredReason


class UnobservableError(Exception):
    """A method that has nothing to observe here; the message says what is missing.

    `reason` is the kind of reason, and `remedy` says what to do about it, if possible.
    """

    def __init__(
        self,
        message: str,
        reason: UnmeasuredReason = UnmeasuredReason.UNSPECIFIED,
        remedy: str = "",
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.remedy = remedy

    @property
    def told(self) -> NotMeasured:
        """The error as a value."""
        return NotMeasured(str(self), self.reason, self.remedy)

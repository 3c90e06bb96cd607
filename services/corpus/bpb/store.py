"""Where scorings are kept: under the caller's name, else under a digest of their facts."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from services.common.statistics.samples.sampling import Drawn
from services.corpus.bpb.figures import DocumentScore
from services.corpus.bpb.journal import Facts, Journal
from services.errors import AssayError, CheckpointMismatch, InvalidArgument

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_KEPT_RESULTS = 256


@dataclass(frozen=True)
class Keeping:
    """How a scoring is kept. `facts` are what its figures depend on besides model and definition.

    Without facts nothing is kept. `fresh` forgets what was kept before.
    """

    facts: Facts = field(default_factory=dict)
    checkpoint: str = ""
    fresh: bool = False


class ScoreJournal(Protocol):
    """An open scoring: the documents that are finished, whether they are all, and what adds more.

    `drawn` is the sample that a complete one is of, None without one.

    `Journal` says what its methods raise.
    """

    finished: list[DocumentScore]
    complete: bool
    drawn: Mapping[str, Drawn] | None

    def append(self, score: DocumentScore) -> None: ...  # noqa: D102

    def flush(self) -> None: ...  # noqa: D102

    def finish(self, drawn: Mapping[str, Drawn] | None) -> None: ...  # noqa: D102

    def close(self) -> None: ...  # noqa: D102


class NoJournal:
    """A scoring that is not kept."""

    def __init__(self) -> None:
        self.finished: list[DocumentScore] = []
        self.complete = False
        self.drawn: Mapping[str, Drawn] | None = None

    def append(self, score: DocumentScore) -> None:
        """Keep nothing."""

    def flush(self) -> None:
        """Keep nothing."""

    def finish(self, drawn: Mapping[str, Drawn] | None) -> None:
        """Keep nothing but the sample."""
        self.drawn = drawn

    def close(self) -> None:
        """Close nothing."""


class _BestEffortJournal:
    """Writes to a journal until a write fails, then stops writing. Raises nothing."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._failed = False
        self.finished, self.complete = journal.finished, journal.complete
        self.drawn = journal.drawn

    def append(self, score: DocumentScore) -> None:
        self._attempt(lambda: self._journal.append(score))

    def flush(self) -> None:
        self._attempt(self._journal.flush)

    def finish(self, drawn: Mapping[str, Drawn] | None) -> None:
        self.drawn = drawn
        self._attempt(lambda: self._journal.finish(drawn))

    def close(self) -> None:
        self._journal.close()

    def _attempt(self, write: Callable[[], None]) -> None:
        if not self._failed:
            try:
                write()
            except AssayError:
                self._failed = True


class ScoreStore:
    """Journals below two folders: named ones, and results, of which the last 256 are kept."""

    def __init__(self, checkpoints: Path | None = None, results: Path | None = None) -> None:
        """Without folders nothing is kept and a name is refused."""
        self._checkpoints = checkpoints
        self._results = results

    def open(self, keeping: Keeping, facts: Facts) -> ScoreJournal:
        """Open the journal of a scoring with all of its facts. Close it.

        Raises, for a named one only, what Journal does, CheckpointMismatch in the place of OSError,
        and InvalidArgument for what is not a name. Without a name, whatever goes wrong on the disk
        only leaves the scoring unkept.
        """
        if not keeping.checkpoint:
            journal = self._open_result(keeping, facts)
            return NoJournal() if journal is None else _BestEffortJournal(journal)
        if self._checkpoints is None or not _NAME.fullmatch(keeping.checkpoint):
            raise InvalidArgument(
                "checkpoint",
                f"{keeping.checkpoint[:80]!r} is not a name of up to 64 letters, digits, dots, "
                "dashes and underscores that begins with a letter or digit",
            )
        path = self._checkpoints / f"{keeping.checkpoint}.score"
        try:
            return Journal(path, facts, fresh=keeping.fresh)
        except OSError as error:
            raise CheckpointMismatch(
                f"the checkpoint {keeping.checkpoint!r} cannot be opened ({error.strerror})"
            ) from error

    def _open_result(self, keeping: Keeping, facts: Facts) -> Journal | None:
        if self._results is None or not keeping.facts:
            return None
        key = hashlib.sha256(json.dumps(dict(facts), sort_keys=True).encode()).hexdigest()
        path = self._results / f"{key}.score"
        for fresh in (keeping.fresh, True):
            # A damaged one is replaced; one that is in use is left alone.
            with suppress(OSError, ValueError, AssayError):
                journal = Journal(path, facts, fresh=fresh)
                _prune(self._results)
                return journal
        return None


def _prune(folder: Path) -> None:
    kept = sorted(folder.glob("*.score"), key=lambda path: path.stat().st_mtime_ns)
    for path in kept[:-_KEPT_RESULTS]:
        path.unlink(missing_ok=True)

"""Where scorings are kept: by the name that a caller gave, else by what decides their figures."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from services.corpus.bpb.figures import DocumentScore
from services.corpus.bpb.journal import Facts, Journal
from services.errors import AssayError, InvalidArgument, PreconditionFailed

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


@dataclass
class Kept:
    """An open scoring: what it has, whether that is all, and where the rest goes."""

    finished: list[DocumentScore] = field(default_factory=list)
    complete: bool = False
    append: Callable[[DocumentScore], None] = lambda _: None
    flush: Callable[[], None] = lambda: None
    finish: Callable[[], None] = lambda: None


class ScoreStore:
    """Journals below two folders: named ones, and results, of which the last 256 are kept."""

    def __init__(self, checkpoints: Path | None = None, results: Path | None = None) -> None:
        """Without folders nothing is kept and a name is refused."""
        self._checkpoints = checkpoints
        self._results = results

    @contextmanager
    def open(self, keeping: Keeping, facts: Facts) -> Iterator[Kept]:
        """Open the journal of a scoring with all of its facts.

        Raises, for a named one only, what Journal does, InternalError in the place of OSError, and
        InvalidArgument for what is not a name; without a name, whatever goes wrong on the disk only
        leaves the scoring unkept.
        """
        if not keeping.checkpoint:
            with self._result(keeping, facts) as kept:
                yield kept
            return
        if self._checkpoints is None or not _NAME.fullmatch(keeping.checkpoint):
            raise InvalidArgument(
                "checkpoint",
                f"{keeping.checkpoint[:80]!r} is not a name of up to 64 letters, digits, dots, "
                "dashes and underscores that begins with a letter or digit",
            )
        path = self._checkpoints / f"{keeping.checkpoint}.score"
        try:
            journal = Journal(path, facts, fresh=keeping.fresh)
        except OSError as error:
            raise PreconditionFailed(
                f"the checkpoint {keeping.checkpoint!r} cannot be opened ({error.strerror})"
            ) from error
        try:
            yield Kept(
                journal.finished, journal.complete, journal.append, journal.flush, journal.finish
            )
        finally:
            journal.close()

    @contextmanager
    def _result(self, keeping: Keeping, facts: Facts) -> Iterator[Kept]:
        journal = self._try_open(keeping, facts)
        if journal is None:
            yield Kept()
            return
        quiet = _Quiet(journal)
        try:
            yield Kept(
                journal.finished,
                journal.complete,
                lambda score: quiet.attempt(lambda: journal.append(score)),
                lambda: quiet.attempt(journal.flush),
                lambda: quiet.attempt(journal.finish),
            )
        finally:
            journal.close()

    def _try_open(self, keeping: Keeping, facts: Facts) -> Journal | None:
        if self._results is None or not keeping.facts:
            return None
        key = hashlib.sha256(json.dumps(dict(facts), sort_keys=True).encode()).hexdigest()
        path = self._results / f"{key}.score"
        for fresh in (keeping.fresh, True):
            # A damaged one is begun anew; one that is in use is left alone.
            with suppress(OSError, ValueError, AssayError):
                journal = Journal(path, facts, fresh=fresh)
                _prune(self._results)
                return journal
        return None


def _prune(folder: Path) -> None:
    kept = sorted(folder.glob("*.score"), key=lambda path: path.stat().st_mtime_ns)
    for path in kept[:-_KEPT_RESULTS]:
        path.unlink(missing_ok=True)


class _Quiet:
    """Writes to a journal until that fails, and then no more."""

    def __init__(self, journal: Journal) -> None:
        self._journal: Journal | None = journal

    def attempt(self, action: Callable[[], None]) -> None:
        if self._journal is None:
            return
        try:
            action()
        except AssayError:
            self._journal = None

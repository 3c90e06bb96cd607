"""From an intent to the capabilities that serve it: full text search with a floor.

SQLite's FTS5 cuts texts into words, reduces words to stems (Porter) and finds candidates by BM25.
How well a candidate serves an intent is then the share of the intent that it speaks of:

    confidence = sum of idf over the intent's stems that it has / sum of idf over all of them

A stem that no capability has counts as the rarest, so an intent about something else has little of
it found, however well the little fits. Below `MIN_CONFIDENCE` nothing is shown. No I/O: the index
is in memory.
"""

from __future__ import annotations

import math
import re
import sqlite3
import unicodedata
import weakref
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter

from services.ranker.claims.model import Artifact, ArtifactType, Capability

MIN_CONFIDENCE = 0.27
"""Confidence below which nothing is shown: the least, in hundredths, that shows something for at
most 15 % of the training intents that nothing serves. A test checks that; the test intents were not
used to choose it."""

FIELDS = ("name", "intents", "description", "tags", "conditions")
"""What is searched, and what a match is explained by."""

_BM25 = "bm25(capability, 3.0, 3.0, 1.5, 2.0, 0.5)"
_MAX_CANDIDATES = 200
_MAX_TERMS = 32
_SCHEMA = """
CREATE VIRTUAL TABLE capability USING fts5(
    name, intents, description, tags, conditions, tokenize = 'porter unicode61 remove_diacritics 2'
);
CREATE VIRTUAL TABLE occurrence USING fts5vocab('capability', 'instance');
CREATE VIRTUAL TABLE intent USING fts5(
    text, tokenize = 'porter unicode61 remove_diacritics 2'
);
CREATE VIRTUAL TABLE stem USING fts5vocab('intent', 'instance');
"""


_WORD = re.compile(r"[^\W_]+")

_STOP_WORDS = frozenset(
    """
    a about after all also am an and any anything are as at be because been before being best but
    by can could did do does doing done each else every find for from get give given gives had has
    have having he her here him his how i if in into is it its itself just like made make makes
    making many me more most much my need needed needs no nor not nothing of on once one only or
    other our out over own please same she should so some something such take than that the their
    them then there these they thing things this those through to too under until up us use used
    uses using very want wanted wants was way we well were what when where whether which while who
    whom whose why will with without work works would you your
    """.split()  # noqa: SIM905  (a list of words reads better as words)
)
"""Function words, and words of asking ("find", "need") that say nothing of what is requested."""


@dataclass(frozen=True)
class Term:
    """A word of the intent, its share of the intent's weight, and where it was found."""

    word: str
    weight: float
    fields: tuple[str, ...] = ()


@dataclass(frozen=True)
class Provider:
    """An artifact that has a capability, and how well its words serve the intent."""

    artifact: Artifact
    capability: Capability
    confidence: float
    terms: tuple[Term, ...]


@dataclass(frozen=True)
class Match:
    """A capability that serves an intent, with the artifacts that have it, the best match first."""

    capability: str
    name: str
    confidence: float
    terms: tuple[Term, ...]
    providers: tuple[Provider, ...]


class SearchIndex:
    """The capabilities of some artifacts, searchable. Use it from one thread at a time."""

    def __init__(self, artifacts: Iterable[Artifact]) -> None:
        self._entries = [(one, each) for one in artifacts for each in one.capabilities]
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        # Python 3.13 warns of a database that is dropped and not closed.
        weakref.finalize(self, self._database.close)
        self._database.executescript(_SCHEMA)
        self._database.executemany(
            "INSERT INTO capability (rowid, name, intents, description, tags, conditions) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            [(row, *_texts(each)) for row, (_, each) in enumerate(self._entries)],
        )
        self._occurrences: defaultdict[str, dict[int, int]] = defaultdict(dict)
        for stem, row, field in self._database.execute("SELECT term, doc, col FROM occurrence"):
            fields = self._occurrences[stem]
            fields[row] = fields.get(row, 0) | 1 << FIELDS.index(field)
        self._concepts = len({each.id for _, each in self._entries})
        self._idf = {stem: self._rarity(rows) for stem, rows in self._occurrences.items()}

    def close(self) -> None:
        """Release the index."""
        self._database.close()

    def search(
        self,
        intent: str,
        kind: ArtifactType | None = None,
        limit: int = 10,
        floor: float = MIN_CONFIDENCE,
    ) -> tuple[Match, ...]:
        """The capabilities that serve an intent, the best first; none when nothing does.

        `kind` leaves artifacts of other types out. Equal confidence is ordered by BM25, then by id.
        """
        stems = self._stems(intent)
        if not stems:
            return ()
        weights = {stem: self._idf.get(stem, self._rarity(())) for stem in stems}
        total = math.fsum(weights.values())
        found: dict[str, list[Provider]] = {}
        for row in self._candidates(_telling(stems, weights, floor * total)):
            artifact, capability = self._entries[row]
            if kind is not None and artifact.type is not kind:
                continue
            terms = tuple(
                Term(word, weights[stem] / total, _fields(self._occurrences[stem][row]))
                for stem, word in stems.items()
                if row in self._occurrences.get(stem, ())
            )
            confidence = round(math.fsum(term.weight for term in terms), 9)
            if confidence >= floor:
                provider = Provider(artifact, capability, confidence, terms)
                found.setdefault(capability.id, []).append(provider)
        # Sorting is stable: of equal confidence, BM25's order stays.
        matches = [_match(name, providers) for name, providers in found.items()]
        matches.sort(key=attrgetter("confidence"), reverse=True)
        return tuple(matches[:limit])

    def _rarity(self, rows: Iterable[int]) -> float:
        """Weight of a stem that these rows have: their capabilities count, not their artifacts."""
        having = len({self._entries[row][1].id for row in rows})
        return math.log(1 + (self._concepts + 0.5) / (having + 0.5))

    def _stems(self, intent: str) -> dict[str, str]:
        """Stem -> the word of the intent, in its order; words that say nothing are left out."""
        meant = [word for word in split_words(intent) if word not in _STOP_WORDS][:_MAX_TERMS]
        # A row a word: FTS5's Unicode is older than Python's, and may cut one of our words in two.
        self._database.executemany(
            "INSERT INTO intent (rowid, text) VALUES (?, ?)", enumerate(meant)
        )
        rows = self._database.execute("SELECT doc, term FROM stem ORDER BY doc, offset").fetchall()
        self._database.execute("DELETE FROM intent")
        stems: dict[str, str] = {}
        for number, stem in rows:
            stems.setdefault(stem, meant[number])
        return stems

    def _candidates(self, meant: Iterable[str]) -> list[int]:
        query = " OR ".join(f'"{word}"' for word in meant)
        rows = self._database.execute(
            f"SELECT rowid FROM capability WHERE capability MATCH ? ORDER BY {_BM25}, rowid "  # noqa: S608
            "LIMIT ?",
            (query, _MAX_CANDIDATES),
        )
        return [row for (row,) in rows]


def split_words(text: str) -> list[str]:
    """The words of a text in lower case without accents, as FTS5's unicode61 cuts it."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return _WORD.findall("".join(char for char in plain if not unicodedata.combining(char)))


def _telling(stems: Mapping[str, str], weights: Mapping[str, float], least: float) -> list[str]:
    """Words of which one at least is in whatever reaches `least`: the commonest are left out."""
    heaviest = sorted(stems, key=lambda stem: -weights[stem])
    rest = math.fsum(weights.values())
    kept: list[str] = []
    for stem in heaviest:
        if kept and rest < least - 1e-9:
            break
        kept.append(stems[stem])
        rest -= weights[stem]
    return kept


def _match(name: str, providers: list[Provider]) -> Match:
    best = max(providers, key=attrgetter("confidence"))
    ordered = sorted(providers, key=lambda one: (-one.confidence, one.artifact.id))
    return Match(name, best.capability.name, best.confidence, best.terms, tuple(ordered))


def _texts(capability: Capability) -> tuple[str, ...]:
    """What is searched of a capability, in the order of `FIELDS`."""
    conditions = (
        *capability.best_for, *capability.limitations, *capability.requires,
        *capability.inputs, *capability.outputs,
    )  # fmt: skip
    return (
        f"{capability.name} {capability.id.replace('-', ' ')}",
        ". ".join(capability.intents),
        capability.description,
        " ".join((*capability.tags, *capability.categories)),
        ". ".join(conditions),
    )


def _fields(mask: int) -> tuple[str, ...]:
    return tuple(field for bit, field in enumerate(FIELDS) if mask >> bit & 1)

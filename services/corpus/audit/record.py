"""A project's published record of a bits-per-byte figure, checked with all problems at once.

docs/bpb-audit.md describes the format. Only the claim is required; every further field allows more
checks.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from types import NoneType
from typing import Any

import numpy as np

from services.common.safe_text import shown
from services.corpus.shards.documents import Document
from services.errors import InvalidArgument

FORMAT = "assay-bpb-record/1"
_MOST_PROBLEMS = 20
_MOST = 1 << 53
_MOST_DIGITS = 4000
_COUNTS = ("tokens", "scored_tokens", "bytes", "characters")
_NUMBERS = ("nats", "loss", "bits_per_byte")


@dataclass(frozen=True)
class Number:
    """A published number, and half of its last printed digit: its largest rounding error."""

    value: float
    half_digit: float

    def equals(self, other: float, doubt: float = 0.0) -> bool:
        """Whether `other`, with an error of up to `doubt`, can have been printed as this number.

        Rounding to single precision is allowed too.
        """
        allowed = max(1.02 * (self.half_digit + doubt), 2e-6 * abs(other))
        return abs(self.value - other) <= allowed


@dataclass(frozen=True)
class Sums:
    """Counts and sums as published; None if missing.

    `tokens` counts all tokens, `scored_tokens` those whose likelihoods were added; `loss` is the
    mean -log p of a token in nats.
    """

    tokens: int | None = None
    scored_tokens: int | None = None
    bytes: int | None = None
    characters: int | None = None
    nats: Number | None = None
    loss: Number | None = None
    bits_per_byte: Number | None = None


@dataclass(frozen=True)
class PublishedDocument:
    """One document. `text` is the source, `scored_text` the text that the model read, if different.

    `token_nats` are -log p of the document's tokens, None for a token not scored, and
    `token_half_digit` is the mean rounding error of each, as printed.
    """

    id: str
    sums: Sums
    text: str | None = None
    scored_text: str | None = None
    sha256: str = ""
    source_bytes: int | None = None
    token_nats: tuple[float | None, ...] | None = None
    token_half_digit: float = 0.0


@dataclass(frozen=True)
class Record:
    """A published record. `known` holds the evaluation set's own counts.

    `tokenizer` is "bytes", the path of a tokenizer.json, or empty; `window` and `stride` are in
    tokens, 0 if unknown.
    """

    name: str
    claim: Number
    totals: Sums
    known: Sums
    known_documents: int | None
    perplexity: Number | None
    tokenizer: str
    window: int
    stride: int
    documents: tuple[PublishedDocument, ...]


def parse(data: bytes) -> Record:
    """Read a record: one JSON object, or JSON lines: the record, then a document a line.

    Raises InvalidArgument that lists every problem, up to 20.
    """
    try:
        value = _load(data)
    except RecursionError:
        raise InvalidArgument("record", "is nested too deeply to be a record") from None
    except ValueError as error:
        raise InvalidArgument("record", f"is neither JSON nor JSON lines ({error})") from None
    reader = _Reader()
    record = reader.record(value)
    if reader.problems:
        first = reader.problems[:_MOST_PROBLEMS]
        more = len(reader.problems) - len(first)
        listed = "\n  ".join([*first, *([f"and {more:,} more"] if more else [])])
        raise InvalidArgument(
            "record", f"has {len(reader.problems)} problem(s); correct them:\n  {listed}"
        )
    return record


def texts_by_digest(record: Record, documents: Iterable[Document]) -> dict[str, bytes]:
    """Find the texts that a record names only by digest; returned by SHA-256 in hex.

    Documents are read until all texts are found.
    """
    wanted = {one.sha256 for one in record.documents if one.sha256 and one.text is None}
    found: dict[str, bytes] = {}
    for document in documents if wanted else ():
        digest = hashlib.sha256(document.text).hexdigest()
        if digest in wanted:
            found[digest] = document.text
            if len(found) == len(wanted):
                break
    return found


def _load(data: bytes) -> Any:
    text = data.decode("utf-8-sig")
    try:
        return _object_of(text)
    except json.JSONDecodeError:
        lines = [line for line in text.split("\n") if line.strip()]
        if len(lines) < 2:
            raise
    values = []
    for number, line in enumerate(lines, 1):
        try:
            values.append(_object_of(line))
        except json.JSONDecodeError as error:
            raise ValueError(f"line {number}: {error}") from None
    first, *documents = values
    if not isinstance(first, dict) or "documents" in first:
        raise ValueError("the first line must be the record, without documents")
    return {**first, "documents": documents}


def _object_of(text: str) -> Any:
    """Parse JSON. Raises ValueError for a name with two values, or a huge exponent."""
    return json.loads(text, parse_float=_fraction, parse_int=_whole, object_pairs_hook=_once)


def _whole(digits: str) -> int | Decimal:
    """Read an integer. One of thousands of digits, which Python refuses, is always an error."""
    return int(digits) if len(digits) <= _MOST_DIGITS else Decimal(digits)


def _fraction(digits: str) -> Decimal:
    try:
        return Decimal(digits)
    except InvalidOperation:  # an exponent of 19 digits or more
        raise ValueError(f"{digits[:40]} is not a number that can be read") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"it has {twice!r} twice; keep one of the values")
    return found


class _Reader:
    """Reads values and collects their problems."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def record(self, value: Any) -> Record:
        fields = self._object("record", value, _RECORD_FIELDS)
        # A field that is null counts as missing.
        fields = {name: one for name, one in fields.items() if one is not None}
        if fields.get("format", FORMAT) != FORMAT:
            self._say("format", f"is {fields['format']!r}; this program reads {FORMAT!r}")
        claim = self._number("bits_per_byte", fields.get("bits_per_byte"))
        if claim is None and "bits_per_byte" not in fields:
            self._say("bits_per_byte", "is missing: the figure that is claimed")
        totals = self._object(
            "totals", fields.get("totals", {}), (*_COUNTS, *_NUMBERS, "perplexity")
        )
        known = self._object(
            "evaluation_set", fields.get("evaluation_set", {}), (*_COUNTS, "documents")
        )
        listed = fields.get("documents", [])
        if not isinstance(listed, list):
            self._say("documents", "must be a list")
            listed = []
        documents = tuple(self._document(f"documents[{i}]", one) for i, one in enumerate(listed))
        self._no_duplicates(documents)
        return Record(
            name=self._text("name", fields.get("name")) or "the figure",
            claim=claim or Number(0, 0),
            totals=self._sums("totals", totals),
            known=self._sums("evaluation_set", known),
            known_documents=self._count("evaluation_set.documents", known.get("documents")),
            perplexity=self._number("totals.perplexity", totals.get("perplexity")),
            tokenizer=self._text("tokenizer", fields.get("tokenizer")) or "",
            window=self._count("window", fields.get("window")) or 0,
            stride=self._count("stride", fields.get("stride")) or 0,
            documents=documents,
        )

    def _document(self, place: str, value: Any) -> PublishedDocument:
        fields = self._object(place, value, _DOCUMENT_FIELDS)
        digest = self._text(f"{place}.sha256", fields.get("sha256")) or ""
        if digest and (len(digest) != 64 or not set(digest) <= set("0123456789abcdef")):
            self._say(f"{place}.sha256", "must be 64 digits of hexadecimal in small letters")
        nats = self._nats(f"{place}.token_nats", fields.get("token_nats"))
        return PublishedDocument(
            id=self._text(f"{place}.id", fields.get("id")) or place,
            sums=self._sums(place, fields),
            text=self._text(f"{place}.text", fields.get("text")),
            scored_text=self._text(f"{place}.scored_text", fields.get("scored_text")),
            sha256=digest,
            source_bytes=self._count(f"{place}.source_bytes", fields.get("source_bytes")),
            token_nats=nats,
            token_half_digit=_mean_half_digit(fields["token_nats"]) if nats else 0.0,
        )

    def _no_duplicates(self, documents: Sequence[PublishedDocument]) -> None:
        seen: set[str] = set()
        for i, document in enumerate(documents):
            if document.id in seen:
                self._say(
                    f"documents[{i}].id", f"{document.id!r} is the id of another document too"
                )
            seen.add(document.id)

    def _sums(self, place: str, fields: Mapping[str, Any]) -> Sums:
        prefix = "" if not place else f"{place}."
        counts = {name: self._count(prefix + name, fields.get(name)) for name in _COUNTS}
        numbers = {name: self._number(prefix + name, fields.get(name)) for name in _NUMBERS}
        return Sums(
            tokens=counts["tokens"],
            scored_tokens=counts["scored_tokens"],
            bytes=counts["bytes"],
            characters=counts["characters"],
            nats=numbers["nats"],
            loss=numbers["loss"],
            bits_per_byte=numbers["bits_per_byte"],
        )

    def _object(self, place: str, value: Any, known: Sequence[str]) -> dict[str, Any]:
        if not isinstance(value, dict):
            self._say(place, "must be an object")
            return {}
        for name in value.keys() - set(known):
            self._say(f"{place}.{name}", f"is not a field; the fields are {', '.join(known)}")
        return value

    def _count(self, place: str, value: Any) -> int | None:
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST:
            self._say(place, f"is {_shown(value)}; must be a whole number, 0 to {_MOST}")
            return None
        return value

    def _number(self, place: str, value: Any) -> Number | None:
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            self._say(place, f"is {_shown(value)}; must be a number")
            return None
        exact = Decimal(value)
        if not math.isfinite(float(exact)):
            self._say(place, f"is {_shown(value)}; must be a number that is not as large")
            return None
        return Number(float(exact), _half_digit(exact))

    def _text(self, place: str, value: Any) -> str | None:
        if value is not None and not isinstance(value, str):
            self._say(place, f"is {_shown(value)}; must be a string")
            return None
        return value

    def _nats(self, place: str, value: Any) -> tuple[float | None, ...] | None:
        if value is None:
            return None
        try:
            return _likelihoods(value)
        except ValueError:
            self._say(place, "must be a list of numbers, null for a token that was not scored")
            return None

    def _say(self, place: str, problem: str) -> None:
        self.problems.append(shown(f"{place}: {problem}"))


_RECORD_FIELDS = (
    *("format", "name", "bits_per_byte", "totals", "evaluation_set", "tokenizer"),
    *("window", "stride", "documents"),
)
_DOCUMENT_FIELDS = (
    *("id", "text", "scored_text", "sha256", "source_bytes", *_COUNTS, *_NUMBERS),
    "token_nats",
)


def _likelihoods(values: Any) -> tuple[float | None, ...]:
    """Read likelihoods. Raises ValueError unless they are a list of finite numbers and None."""
    if not isinstance(values, list) or not set(map(type, values)) <= {int, Decimal, NoneType}:
        raise ValueError(values)
    try:
        numbers = tuple(None if one is None else float(one) for one in values)
    except OverflowError:  # an integer that is larger than any float
        raise ValueError(values) from None
    if not all(one is None or math.isfinite(one) for one in numbers):
        raise ValueError(values)
    return numbers


def _half_digit(value: Decimal) -> float:
    return _half_of(_last_place(value))


def _last_place(value: Decimal) -> int:
    """Return the power of ten of the last printed digit; for a zero at most the ones' place."""
    # `as_tuple` makes a tuple of all digits: seven times slower, with 10,000,000 likelihoods.
    digits, _, power = str(value).partition("E")
    point = digits.find(".")
    place = int(power or 0) - (len(digits) - 1 - point if point >= 0 else 0)
    return place if value else min(place, 0)


def _half_of(place: int) -> float:
    """Return half of a digit at this power of ten, as a decimal, which allows any power."""
    return float(Decimal((0, (5,), place - 1)))


def _mean_half_digit(likelihoods: Sequence[int | Decimal | None]) -> float:
    """Return the mean rounding error of a likelihood: half of its last digit.

    Trailing zeros may have been dropped. So each number is taken to have as many decimals, or as
    many significant digits, as the longest one, whichever is coarser, but at least its printed
    ones.
    """
    decimals = [Decimal(one) for one in likelihoods if one is not None]
    if not decimals:
        return 0.0
    last = np.array([_last_place(one) for one in decimals])
    first = np.array([one.adjusted() if one else -_MOST_DIGITS for one in decimals])
    significant = np.maximum(last.min(), first - (first - last).max())
    return float(np.mean(0.5 * 10.0 ** np.minimum(last, significant)))


def _shown(value: Any) -> str:
    text = str(value) if isinstance(value, Decimal) else repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def lines(record: Mapping[str, Any]) -> Iterator[bytes]:
    """Write a record as JSON lines, the form for many documents."""
    head = {name: value for name, value in record.items() if name != "documents"}
    for value in (head, *record.get("documents", ())):
        yield json.dumps(value, ensure_ascii=False).encode() + b"\n"

"""The kinds of fields in a manifest: numbers, days, names, with the remedy for wrong ones.

Pure. Validation is pydantic's; messages are for the manifest's author.
"""

from __future__ import annotations

import re
from datetime import date
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, PlainValidator, StringConstraints, field_validator

from services.common.strict_documents import Document
from services.errors import nearest
from services.ranker.claims import model


def _number(value: object) -> int | float:
    """A finite number. A number written without a point stays an int, as evidence keeps it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"must be a number, not {value!r:.60}")  # noqa: TRY004  (pydantic's)
    if not -1e300 < value < 1e300:
        raise ValueError(f"must be finite, not {value!r:.60}")
    return value


def _date(value: object) -> str:
    """A day, or as much of it as is known: "2021-05-31", "2021-05" or "2021"."""
    found = re.fullmatch(r"(\d{4})(-\d\d)?(-\d\d)?", value if isinstance(value, str) else "")
    try:
        date.fromisoformat(f"{found[1]}{found[2] or '-01'}{found[3] or '-01'}" if found else "")
    except ValueError:
        raise ValueError(f'must be a date in quotes, like "2021-05", not {value!r:.60}') from None
    return str(value)


def _says(value: object) -> tuple[float, ...] | str | bool | None:
    """What a source says: a number, alternatives, a text or a truth value."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip():
        return value.strip()
    numbers = tuple(map(_number, value if isinstance(value, tuple | list) else (value,)))
    if not numbers:
        raise ValueError("is empty; write the figure, or take the key out")
    return numbers


Date = Annotated[str, PlainValidator(_date)]
Says = Annotated[tuple[float, ...] | str | bool | None, PlainValidator(_says)]


def _day(value: object) -> date:
    try:
        return date.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError(f'must be a day in quotes, like "2020-12-31", not {value!r:.60}') from None


def _one_of(kind: type[StrEnum]) -> PlainValidator:
    """Accept the values of an enum; suggest the nearest for any other."""

    def check(value: object) -> StrEnum:
        known = [one.value for one in kind]
        if isinstance(value, str) and value in known:
            return kind(value)
        near = nearest(str(value), known)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{value!r:.60} is not one of {', '.join(known)}{hint}")

    return PlainValidator(check)


AspectName = Annotated[model.Aspect, _one_of(model.Aspect)]
TypeOfArtifact = Annotated[model.ArtifactType, _one_of(model.ArtifactType)]


def _size(value: object) -> tuple[int, int]:
    """Height and width in pixels, written "512x512"."""
    found = re.fullmatch(r"([1-9]\d{0,5})x([1-9]\d{0,5})", value if isinstance(value, str) else "")
    if found is None:
        raise ValueError(f'must be height and width, like "512x512", not {value!r:.60}')
    return int(found[1]), int(found[2])


Size = Annotated[tuple[int, int], PlainValidator(_size)]
Number = Annotated[float, PlainValidator(_number)]
Day = Annotated[date, PlainValidator(_day)]
String = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Strings = tuple[str, ...]


def _of(pattern: str, what: str = "id") -> AfterValidator:
    """Require a string to match the contract's pattern."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"{value!r:.60} is no {what}: it must match {pattern}")
        return value

    return AfterValidator(check)


Id = Annotated[String, _of("[a-z0-9][a-z0-9._-]{0,99}")]
Digest = Annotated[String, _of("sha256:[0-9a-f]{64}", "digest")]
ClaimId = Annotated[String, _of("[A-Za-z0-9][A-Za-z0-9._-]{0,99}")]


# These characters move a terminal's cursor, change the order of text, or are invisible: with them a
# manifest's text could look different next to its verdict, and one name like another. They are the
# characters that Unicode calls invisible (except those that join letters or choose an emoji's
# form), and those that end or turn a line.
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def _control(value: object) -> str:
    """The first control character in a text, a list's texts or a mapping's keys."""
    texts = value if isinstance(value, list | tuple | dict) else (value,)
    found = (_CONTROLS.search(one) for one in texts if isinstance(one, str))
    return next((one[0] for one in found if one), "")


class Part(Document):
    """A part of a manifest; a key that is present has a value."""

    @field_validator("*", mode="before")
    @classmethod
    def _is_given(cls, value: object) -> object:
        if value is None:
            raise ValueError("must have a value, not null; write one or take the key out")
        if control := _control(value):
            raise ValueError(f"has the control character {control!r:.60}; take it out")
        return value

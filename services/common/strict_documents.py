"""Documents from people and programs, read strictly, with all errors reported at once. Pure.

Each kind of document is a subclass of `Document`, a frozen pydantic model that accepts no unknown
key and no value of a type other than its annotation. `validate` checks a parsed value, `read` the
bytes of a JSON file.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import ErrorDetails

from services.errors import InvalidArgument, Violation, suggestion

D = TypeVar("D", bound="Document")

# How many characters of a wrong value a message repeats.
_MAX_SHOWN = 60
_TYPES = {
    "dict_type": "must be an object",
    "mapping_type": "must be an object",
    "model_type": "must be an object",
    "tuple_type": "must be a list",
    "string_type": "must be a string",
    "int_type": "must be an integer",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
}


class Document(BaseModel):
    """A frozen document or a part of one. Its lists are tuples.

    A subclass with rules beyond types and bounds lists violations in `problems`. A key that cannot
    be an attribute of a model (`schema`) is the alias of an attribute.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    def problems(self) -> Iterable[Violation]:
        """Return what is wrong although every value has the right type: key and problem."""
        return ()

    def replaced(self, **changes: object) -> Self:
        """Return a copy with other values, checked like the document. Raises ValueError."""
        fields = type(self).model_fields.items()
        values = {field.alias or name: getattr(self, name) for name, field in fields}
        return type(self)(**{**values, **changes})

    @model_validator(mode="after")
    def _check(self) -> Self:
        found = tuple(self.problems())
        if found:
            raise _Problems(found)
        return self


class _Problems(ValueError):
    """What `Document.problems` returned."""

    def __init__(self, violations: tuple[Violation, ...]) -> None:
        super().__init__("; ".join(f"{key}: {problem}" for key, problem in violations))
        self.violations = violations


def validate(kind: type[D], value: object, where: str = "") -> D:
    """Return a parsed JSON or YAML value as `kind`.

    Raises InvalidArgument with all violations, each with its path in the document after `where`:
    "manifest.classes[3].color".
    """
    found: list[Violation] = []
    try:
        document = kind.model_validate(_frozen(value, where, found))
    except RecursionError:
        raise InvalidArgument(where or "document", "nested too deep") from None
    except ValidationError as error:
        for details in error.errors(include_url=False):
            found.extend(_violations(details, where, kind))
        raise InvalidArgument(*found[0], *found[1:]) from error
    if found:
        raise InvalidArgument(*found[0], *found[1:])
    return document


def read(kind: type[D], data: bytes, file: str) -> D:
    """Return the JSON text of a file as `kind`.

    Raises InvalidArgument, whose field is `file` and whose problem lists everything that is wrong.
    """
    try:
        return validate(kind, loads(data))
    except (InvalidArgument, ValueError) as error:
        raise InvalidArgument(file, str(error)) from error


def loads(data: bytes) -> Any:
    """Parse UTF-8 JSON; refuse what JSON forbids and Python accepts: NaN, repeated keys.

    Raises ValueError saying what is wrong and where.
    """
    try:
        return json.loads(
            data.decode(), parse_constant=_no_constant, object_pairs_hook=_no_double_keys
        )
    except RecursionError:
        raise ValueError("not valid JSON: nested too deep") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"not valid JSON: {error}") from error


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _no_double_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        counts = Counter(key for key, _ in pairs)
        raise ValueError(f"key {next(key for key in counts if counts[key] > 1)!r} appears twice")
    return values


def _frozen(value: Any, path: str, broken: list[Violation]) -> Any:
    """Turn lists into tuples, as frozen documents need; strict pydantic converts none.

    Strict pydantic also accepts text that cannot be encoded: such text is added to `broken`.
    """
    if isinstance(value, list):
        return tuple(_frozen(item, _path(path, [i]), broken) for i, item in enumerate(value))
    if isinstance(value, Mapping):
        return {
            _frozen(key, path, broken): _frozen(item, _path(path, [key]), broken)
            for key, item in value.items()
        }
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            broken.append((path or "document", f"{_shown(value)} holds half of a surrogate pair"))
            return value.encode(errors="replace").decode()
    return value


def _violations(details: ErrorDetails, where: str, kind: type[Document]) -> Iterator[Violation]:
    path = _path(where, details["loc"])
    error = details.get("ctx", {}).get("error")
    if isinstance(error, _Problems):
        for key, problem in error.violations:
            yield _path(path, (key,)), problem
    elif details["type"] == "missing":
        yield path, "is missing"
    elif details["type"] == "extra_forbidden":
        *parts, given = details["loc"]
        yield path, f"is not a known key{_instead(str(given), _keys(kind, parts))}"
    elif details["type"] == "float_type" and type(details["input"]) is int:
        yield path or "document", "is too large for a float64"
    elif details["type"] == "value_error":
        yield path or "document", str(error)
    else:
        # pydantic's own message: "Input should be greater than 0", "Tuple should have at most 3
        # items".
        said = details["msg"].replace("Tuple", "List").replace(" after validation", "")
        message = _TYPES.get(details["type"]) or re.sub(r"^\w+ should", "must", said)
        shown = "" if ", not " in message else f", not {_shown(details['input'])}"
        yield path or "document", message + shown


def _keys(kind: type[Document], parts: Sequence[object]) -> list[str]:
    """The keys that a document may have at these `parts`; none if that is ambiguous."""
    here: tuple[type[Document], ...] = (kind,)
    for part in parts:
        if isinstance(part, int) or part == "[key]":
            continue
        fields = [
            field
            for one in here
            for name, field in one.model_fields.items()
            if part in (name, field.alias)
        ]
        here = tuple(found for field in fields for found in _documents(field.annotation))
    if len(here) != 1:
        return []
    return [field.alias or name for name, field in here[0].model_fields.items()]


def _documents(annotation: object) -> Iterator[type[Document]]:
    """The kinds of documents in an annotation, including those in lists and alternatives."""
    if isinstance(annotation, type) and issubclass(annotation, Document):
        yield annotation
    for inner in get_args(annotation):
        yield from _documents(inner)


def _instead(given: str, known: Sequence[str]) -> str:
    """A suggestion of the keys that may replace an unknown key."""
    if not known:
        return ""
    return suggestion(given, known) or f"; known: {', '.join(known)}"


def _path(start: str, parts: Iterable[object]) -> str:
    path = start
    for part in parts:
        if part == "[key]":  # pydantic's mark for a mapping's key, not its value
            continue
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            path += f".{part}" if path else str(part)
    return path


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=True, default=repr)
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 3]}..."

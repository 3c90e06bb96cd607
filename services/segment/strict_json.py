"""JSON text to frozen dataclasses, strictly.

Pure. `loads` refuses what JSON forbids and Python's parser lets pass (NaN, a key twice); `build`
refuses missing keys (other than those of `added` fields), unknown keys and values of another kind
than the annotation. Each error is a ValueError whose message starts with the place:
"preprocessing.mean: ...".
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, NoReturn, TypeVar

T = TypeVar("T")
_ADDED = "added"
_KINDS: dict[type, str] = {str: "a string", bool: "true or false", int: "an integer"}


def added(default: Any) -> Any:
    """Return a dataclass field that a format got later: where its key is missing, `default`."""
    return dataclasses.field(default=default, metadata={_ADDED: True})


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _no_double_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key {next(k for k in keys if keys.count(k) > 1)!r} is there twice")
    return values


def loads(data: bytes) -> Any:
    """Parse UTF-8 JSON. Raises ValueError saying what is wrong and where."""
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


def build(kind: type[T], value: Any) -> T:
    """Return `value` (of `loads`) as `kind`, a dataclass. Raises ValueError naming the place."""
    built: T = _build(kind, value, "")
    return built


def _fail(place: str, problem: str) -> NoReturn:
    raise ValueError(f"{place}: {problem}" if place else problem)


def _expect(condition: bool, place: str, wanted: str, value: Any) -> None:
    if not condition:
        _fail(place, f"must be {wanted}, not {value!r:.60}")


def _build(kind: Any, value: Any, place: str) -> Any:
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, value, place)
    if origin is tuple:
        return _tuple(parts, value, place)
    if origin is Mapping:
        _expect(isinstance(value, dict), place, "an object", value)
        return {
            _scalar(str, key, place): _build(parts[1], item, f"{place}.{key}")
            for key, item in value.items()
        }
    if origin is Literal:
        _expect(value in parts, place, "one of " + ", ".join(map(str, parts)), value)
        return value
    if origin is types.UnionType:  # only `X | None` is used
        return None if value is None else _build(parts[0], value, place)
    return _scalar(kind, value, place)


def _scalar(kind: Any, value: Any, place: str) -> Any:
    if kind is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        _expect(number, place, "a number", value)
        try:
            return float(value)
        except OverflowError:
            _fail(place, "too large for a float64")
    if kind is str:
        _expect(isinstance(value, str), place, _KINDS[str], value)
        try:
            value.encode()
        except UnicodeEncodeError:
            _fail(place, "holds half of a surrogate pair")
        return value
    if kind is int:
        _expect(type(value) is int, place, _KINDS[int], value)
        if abs(value) >= 1 << 63:
            _fail(place, "does not fit 64 bits")
        return value
    _expect(type(value) is kind, place, _KINDS[kind], value)
    return value


def _tuple(parts: tuple[Any, ...], value: Any, place: str) -> tuple[Any, ...]:
    _expect(isinstance(value, list), place, "a list", value)
    if parts[-1] is Ellipsis:
        parts = (parts[0],) * len(value)
    if len(value) != len(parts):
        _fail(place, f"must have {len(parts)} items, not {len(value)}")
    return tuple(
        _build(part, item, f"{place}[{index}]")
        for index, (part, item) in enumerate(zip(parts, value, strict=True))
    )


def _dataclass(kind: Any, value: Any, place: str) -> Any:
    _expect(isinstance(value, dict), place, "an object", value)
    hints = typing.get_type_hints(kind)
    later = {field.name for field in dataclasses.fields(kind) if _ADDED in field.metadata}
    missing = [key for key in hints if key not in value and key not in later]
    if missing:
        _fail(place, f"missing: {', '.join(missing)}")
    unknown = [key for key in value if key not in hints]
    if unknown:
        _fail(place, f"unknown: {', '.join(unknown)}")
    prefix = f"{place}." if place else ""
    fields = {
        key: _build(hint, value[key], f"{prefix}{key}")
        for key, hint in hints.items()
        if key in value
    }
    try:
        return kind(**fields)
    except ValueError as error:
        raise ValueError(f"{prefix}{error}") from error

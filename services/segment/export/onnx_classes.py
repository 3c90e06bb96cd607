"""Names of an ONNX file's classes: declared, or found in the file or next to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from services.errors import InvalidArgument

# Keys that other programs use for class names in a file's metadata.
_METADATA = ("id2label", "names", "classes", "labels")


def class_names(file: Path, model: Any, given: Path | None, count: int) -> tuple[str, ...]:
    """Return the class names: declared, found in the file or next to it, or numbers."""
    found: Any = None
    where = str(given)
    if given is not None:
        found = _listed(given)
    else:
        metadata = {one.key: one.value for one in model.metadata_props}
        for key in _METADATA:
            if key in metadata:
                where = f"{key} in the file's metadata"
                found = _names_of(_parsed(metadata[key]))
                break
        config = file.parent / "config.json"
        if found is None and config.is_file():
            where, found = str(config), _names_of(json_object(config).get("id2label"))
    if found is None:
        if given is not None:
            raise InvalidArgument("labels", f"{given} holds no list of names")
        return tuple(f"class {index}" for index in range(count))
    if len(found) != count:
        raise InvalidArgument(
            "labels",
            f"{where} names {len(found)} classes and the graph has {count}: give a file of their "
            "names, in order, with --labels FILE",
        )
    return tuple(name.strip() or f"class {index}" for index, name in enumerate(found))


def _listed(path: Path) -> list[str] | None:
    """Return the names in a JSON file (a list, an object by id, or a config.json) or by line."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument("labels", f"{path} cannot be read: {error}") from error
    value = _parsed(text)
    if isinstance(value, Mapping) and "id2label" in value:
        value = value["id2label"]
    names = _names_of(value)
    if names is not None or value is not None:
        return names
    return [line for line in text.splitlines() if line.strip()]


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _names_of(value: Any) -> list[str] | None:
    """Return a list of names, or those of an object by ids 0, 1, 2, ..."""
    if isinstance(value, Mapping):
        if set(map(str, value)) != {str(index) for index in range(len(value))}:
            return None
        value = [value[key] for key in sorted(value, key=int)]
    if isinstance(value, list) and value and all(isinstance(name, str) for name in value):
        return value
    return None


def json_object(path: Path) -> Mapping[str, Any]:
    """Return the object in a JSON file. Raises InvalidArgument."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidArgument("preprocessor", f"{path} is not JSON: {error}") from error
    if not isinstance(value, Mapping):
        raise InvalidArgument("preprocessor", f"{path} must hold an object")
    return value

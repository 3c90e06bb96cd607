"""The YAML that documents of this project may use: plain values, parsed by libyaml if present.

It refuses aliases, which can make a small file an endless document; repeated keys, of which YAML
would keep the last; tags, which change the type of a text; numbers to the base of 60, which take
quadratic time and turn a time of day into a number; octal numbers, which read 0150 as 104; and
numbers of thousands of digits, which Python does not print.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Loads YAML that comes with the project: allows aliases, and skips the checks of `parse_yaml`."""
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
# The longest packaged manifest has some 2,000.
_MAX_VALUES = 10_000
_MAX_DEPTH = 40
_MAX_NUMBER = 1_000  # characters; no finite float takes more than some 330
_OTHER_BASE = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?|[-+]?0[0-9_]+")


class _Loader(LOADER):  # type: ignore[misc]
    """Builds plain values from a text that `_require_plain` has accepted."""

    def resolve(self, kind: type[yaml.Node], value: str, implicit: tuple[bool, bool]) -> str:
        """Treat as text a YAML 1.1 number to the base of 60 or 8, and one of too many digits."""
        tag = str(super().resolve(kind, value, implicit))
        if tag in _NUMBERS and (len(value) > _MAX_NUMBER or _OTHER_BASE.fullmatch(value)):
            return "tag:yaml.org,2002:str"
        return tag

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        """Refuse a key that appears twice."""
        seen: set[str] = set()
        for key, _ in node.value:
            if str(key.value) in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} appears twice", key.start_mark
                )
            seen.add(str(key.value))
        return dict(super().construct_mapping(node, deep))


def parse_yaml(text: bytes) -> object:
    """Parse a document. Raises ValueError saying what is wrong and where."""
    try:
        decoded = text.decode()
        _require_plain(decoded)
        return yaml.load(decoded, Loader=_Loader)  # noqa: S506  (it makes plain values alone)
    except (yaml.YAMLError, UnicodeDecodeError, OverflowError, RecursionError) as error:
        raise ValueError(" ".join(str(error).split())) from error


def _require_plain(text: str) -> None:
    """Refuse anything that would take a reader long, or nest beyond its stack.

    Events come one by one, without recursion: libyaml's own composer crashes the process when a
    document nests some ten thousand levels deep.
    """
    depth = 0
    for values, event in enumerate(yaml.parse(text, Loader=LOADER)):
        if isinstance(event, yaml.AliasEvent):
            raise _refused("write values out; no aliases", event)
        if (tag := getattr(event, "tag", None)) is not None:
            raise _refused(f"write values plainly; no tags such as {tag!r:.60}", event)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _MAX_DEPTH:
            raise _refused(f"nests more than {_MAX_DEPTH} levels deep", event)
        if values > _MAX_VALUES:
            raise _refused(f"has more than {_MAX_VALUES:,} values", event)


def _refused(problem: str, event: yaml.Event) -> yaml.YAMLError:
    mark = event.start_mark
    where = "" if mark is None else f", at line {mark.line + 1}, column {mark.column + 1}"
    return yaml.YAMLError(f"{problem}{where}")

"""Prints the page of the client's classes, methods and errors from the code.

    python docs/client_methods.py > docs/client-methods.md

A test compares the two, and runs the examples.
"""

from __future__ import annotations

import inspect
import re
import textwrap
import typing
from collections.abc import Iterator
from typing import Any

from assay_rpc import client, errors
from assay_rpc.corpus import selection

_HEAD = """# Methods of the client

[The client package](client.md) explains how to use it; this page lists everything in it. Classes
whose names begin with Async have the same methods, which you await or iterate with `async for`.
Messages are the contract's, in the modules of `assay_rpc` with the names of its packages.

`python docs/client_methods.py > docs/client-methods.md` writes this page.
"""
_CLASSES = (
    client.Connection,
    client.SegmentClient,
    client.Labels,
    client.CorpusClient,
    client.CorpusStream,
    client.Document,
    client.ScoringClient,
    client.RankerClient,
    client.AssayError,
)


def page() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *(_section(kind) for kind in _CLASSES), _selection(), _errors()])


def _section(kind: type) -> str:
    later = f"Async{kind.__name__}"
    names = f"{kind.__name__}, {later}" if hasattr(client, later) else kind.__name__
    parts = [f"## {names}\n", _text(kind)]
    example = _example(kind)
    if example:
        parts.append(f"```python\n{example}```\n")
    rows = [f"| `{name}` | {what} |" for name, what in _methods(kind)]
    if rows:
        parts += ["| method | what it does |", "|---|---|", *rows, ""]
    return "\n".join([*parts, *_options(kind)])


def _text(thing: Any) -> str:
    return (inspect.getdoc(thing) or "") + "\n"


def _example(kind: type) -> str:
    """The indented lines of the docstring of the module that it is the subject of."""
    module = inspect.getmodule(kind)
    if not hasattr(client, f"Async{kind.__name__}") or module is None:
        return ""
    found = re.search(r"\n\n((?:    .*\n|\n)+)", module.__doc__ or "")
    return textwrap.dedent(found[1]).strip() + "\n" if found else ""


def _methods(kind: type) -> Iterator[tuple[str, str]]:
    """Each public method with its signature, and each property; those of its base first."""
    for base in reversed(kind.__mro__):
        for name, value in vars(base).items():
            if name.startswith("_") or not base.__module__.startswith("assay_rpc"):
                continue
            method = value.__func__ if isinstance(value, (staticmethod, classmethod)) else value
            if isinstance(method, property):
                yield name, _cell(method)
            elif inspect.isfunction(method):
                yield f"{name}{_signature(method)}", _cell(method)


def _signature(function: Any) -> str:
    signature = inspect.signature(function)
    shown, keywords_only = [], False
    for one in signature.parameters.values():
        if one.name in {"self", "cls"}:
            continue
        if one.kind is one.KEYWORD_ONLY and not keywords_only:
            shown.append("*")
            keywords_only = True
        stars = "**" if one.kind is one.VAR_KEYWORD else ""
        default = "" if one.default is one.empty else f" = {one.default!r}"
        shown.append(f"{stars}{one.name}: {_type(one.annotation)}{default}")
    return f"({', '.join(shown)}) -> {_type(signature.return_annotation)}"


def _type(annotation: str) -> str:
    """As the code has it, without the modules of messages."""
    short = re.sub(r"\b\w+_pb2\.|\bgrpc\.aio\.", "", annotation)
    return re.sub(r"^Unpack\[(\w+)\]$", r"\1", short).replace("|", "\\|")


def _cell(thing: Any) -> str:
    return " ".join((inspect.getdoc(thing) or "").split()).replace("|", "\\|")


def _options(kind: type) -> Iterator[str]:
    """The keywords that the methods' `**options` may be."""
    module = inspect.getmodule(kind)
    methods = " ".join(method for method, _ in _methods(kind))
    for name in sorted(set(re.findall(r"\*\*\w+: (\w+)", methods))):
        options = getattr(module, name)
        yield f"`{name}`: {_keys(options)}. {_cell(options)}\n"


def _keys(options: type) -> str:
    return ", ".join(f"`{key}`" for key in typing.get_type_hints(options))


def _selection() -> str:
    keys = _keys(client.SelectionOptions)
    return f"## select\n\n{_text(selection.select)}\nKeywords: {keys}.\n"


def _errors() -> str:
    rows = [
        f"| `{kind.__name__}` | `{kind.REASON}` | {_cell(kind)} |"
        for kind in errors.AssayError.__subclasses__()
    ]
    head = ["## Errors\n", "| class | reason | when |", "|---|---|---|"]
    return "\n".join([*head, *rows, ""])


if __name__ == "__main__":
    print(page(), end="")

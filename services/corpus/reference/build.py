"""Builds the reference corpus: Python's own sources and documentation, in the Pile's layout.

A new machine has no corpus, but it has Python, whose standard library is some megabytes of text
under a permissive licence. That text is the substitute. It is not a sample of any published corpus
and decides no claim about one.

It has three subsets: "Python sources" (a module a document), "Python docstrings" (those of a
module) and "Python documentation" (the language reference that `help()` reads, a topic a document).
A hash of a document's name decides its split, so the split of a module never changes. A module's
docstrings are always in the split of its source, so held-out text does not occur in the training
text.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import platform
import shutil
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import zstandard

# Raised whenever the same Python would give another corpus.
BUILD_VERSION = 1

NAME = "python-reference"
SOURCE = "Sources and documentation of the Python that this server runs on"
LICENSE_ID = "PSF-2.0"
LICENSE_NAME = "Python Software Foundation License 2.0"
LICENSE_URL = "https://docs.python.org/3/license.html"

SOURCES = "Python sources"
DOCSTRINGS = "Python docstrings"
DOCUMENTATION = "Python documentation"

TRAIN_SHARDS = 3
_VAL_PERCENT = 4
_TEST_PERCENT = 8
_ZSTD_LEVEL = 3
# Tests, bundled tools and what distributions and users add are not the standard library's text;
# pydoc_data is the documentation, which has documents of its own.
_SKIPPED_DIRECTORIES = frozenset(
    {
        "__pycache__",
        "dist-packages",
        "ensurepip",
        "idlelib",
        "lib2to3",
        "pydoc_data",
        "site-packages",
        "test",
        "tests",
        "turtledemo",
    }
)


class _Entry(NamedTuple):
    """One document: its place is a function of `home`, the module or topic that it is about."""

    home: str
    subset: str
    text: str


def ensure_reference_corpus(home: Path) -> Path:
    """Return the directory of this Python's reference corpus, building it below `home` if needed.

    Building takes a few seconds, and the directory appears completely or not at all: processes that
    build at the same time end with the same one. The corpus is a function of the installed Python.

    Raises FileNotFoundError when this Python has no standard library in source form.
    """
    final = home / "corpora" / f"{NAME}-{_key()}"
    if final.is_dir():
        return final
    final.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{NAME}-", dir=final.parent))
    try:
        _write(_entries(), scratch)
        scratch.chmod(0o755)
        try:
            scratch.rename(final)
        except OSError:
            # Another process was faster. What it built is the same.
            if not final.is_dir():
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return final


def _key() -> str:
    """Identify the Python that the text comes from, and this module's way of arranging it."""
    what = f"{BUILD_VERSION}\n{platform.python_version()}\n{sysconfig.get_path('stdlib')}"
    return hashlib.sha256(what.encode()).hexdigest()[:12]


def _entries() -> Iterator[_Entry]:
    root = Path(sysconfig.get_path("stdlib"))
    found = False
    for path in _source_files(root):
        module = path.relative_to(root).as_posix()
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue  # the few files in other encodings are not worth a decoder
        if not text.strip():
            continue
        found = True
        yield _Entry(module, SOURCES, text)
        docstrings = _docstrings(module, text)
        if docstrings:
            yield _Entry(module, DOCSTRINGS, docstrings)
    if not found:
        raise FileNotFoundError(
            "this Python has no standard library in source form; register a corpus with "
            "ASSAY_CORPUS_CORPORA"
        )
    yield from _documentation()


def _source_files(root: Path) -> Iterator[Path]:
    for directory, names, files in os.walk(root):
        names[:] = sorted(
            name
            for name in names
            if name not in _SKIPPED_DIRECTORIES and not name.startswith("config-")
        )
        for name in sorted(files):
            if name.endswith(".py"):
                yield Path(directory, name)


def _docstrings(module: str, text: str) -> str:
    """Render a module's docstrings as a page: each under the dotted name of what it documents."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return ""
    dotted = module.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return "\n".join(f"{name}\n\n{text}\n" for name, text in _documented(tree, dotted))


def _documented(
    node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, name: str
) -> Iterator[tuple[str, str]]:
    """Yield (dotted name, docstring) of a node and of everything below it that has one."""
    docstring = ast.get_docstring(node)
    if docstring:
        yield name, docstring
    for child in node.body:
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _documented(child, f"{name}.{child.name}")


def _documentation() -> Iterator[_Entry]:
    try:
        from pydoc_data.topics import topics  # noqa: PLC0415  a megabyte that only this needs
    except ImportError:
        return  # some distributions leave it out
    for topic in sorted(topics):
        yield _Entry(f"topic {topic}", DOCUMENTATION, topics[topic])


def _write(entries: Iterator[_Entry], root: Path) -> None:
    """Write the documents as shards in the official layout, in an order that mixes the subsets."""
    shards: dict[str, list[tuple[str, str, bytes]]] = {
        **{f"train/{index:02}.jsonl.zst": [] for index in range(TRAIN_SHARDS)},
        "val.jsonl.zst": [],
        "test.jsonl.zst": [],
    }
    for entry in entries:
        digest = hashlib.sha256(entry.home.encode()).hexdigest()
        record = {"text": entry.text, "meta": {"pile_set_name": entry.subset}}
        line = json.dumps(record).encode() + b"\n"
        shards[_shard(int(digest, 16))].append((digest, entry.subset, line))
    (root / "train").mkdir()
    for name, documents in shards.items():
        documents.sort()
        compressor = zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True)
        with (root / name).open("wb") as file, compressor.stream_writer(file) as writer:
            for _, _, line in documents:
                writer.write(line)


def _shard(number: int) -> str:
    percent = number % 100
    if percent < _TEST_PERCENT:
        return "test.jsonl.zst"
    if percent < _TEST_PERCENT + _VAL_PERCENT:
        return "val.jsonl.zst"
    return f"train/{number // 100 % TRAIN_SHARDS:02}.jsonl.zst"

"""Splits, as the names of files and folders say them, and the order of names."""

from __future__ import annotations

import hashlib
import os
import re

_MAX_NAME_BYTES = 255 - len(".partial")
_KEPT_BYTES = 180
SPLITS = ("train", "val", "test")
_ALIASES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "eval": "val",
    "evaluation": "val",
    "heldout": "val",
    "holdout": "val",
    "test": "test",
    "testing": "test",
}


def is_split(name: str) -> bool:
    """Whether a folder is named after a split."""
    return _joined(name) in _ALIASES


def split_of(path: str) -> str:
    """Return the split that a shard's path says: its folders first, then its name; else "train".

    A name says one where a word of it does: "train-00000-of-00002", "c4-validation.00000".
    """
    *folders, name = path.split("/")
    for folder in folders:
        if is_split(folder):
            return _ALIASES[_joined(folder)]
    for word in re.split(r"[^a-z]+", _joined(name)):
        if word in _ALIASES:
            return _ALIASES[word]
    return SPLITS[0]


def _joined(name: str) -> str:
    """Return a name in small letters, with "held-out" and "hold_out" as one word."""
    return re.sub(r"(?<![a-z])(held|hold)[-_. ]out(?![a-z])", r"\1out", name.lower())


def fits(path: str) -> bool:
    """Whether a file system takes the last part of a path, and ".partial" behind it."""
    return len(os.fsencode(path.rpartition("/")[2])) <= _MAX_NAME_BYTES


def shortened(name: str) -> str:
    """Cut a name; the digest behind it tells it from others that begin with the same."""
    data = os.fsencode(name)
    kept = os.fsdecode(data[:_KEPT_BYTES]).encode(errors="ignore").decode()
    return f"{kept}-{hashlib.sha256(data).hexdigest()[:16]}"


def natural(name: str) -> list[tuple[int, str]]:
    """Sort key that compares runs of digits as numbers, and equal numbers by their spelling."""
    return [
        (int(part), part) if part.isdecimal() else (-1, part)
        for part in re.split(r"([0-9]+)", name)
    ]

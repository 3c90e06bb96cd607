"""Reads a methodology file. The packaged one is `v2.yaml`, beside this module."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

import yaml

from services.common.yaml_text import LOADER
from services.errors import InvalidArgument
from services.ranker.methodology.definition import Methodology, parse

PACKAGED = Path(__file__).with_name("v2.yaml")
"""The methodology that the ranker scores by."""


def load(path: Path = PACKAGED) -> Methodology:
    """The methodology in `path`; its digest is that of the file's bytes.

    Raises InvalidArgument when the file is not YAML or not a methodology.
    """
    return loads(path.read_bytes())


@lru_cache(maxsize=4)  # a function of the bytes alone
def loads(content: bytes) -> Methodology:
    """The methodology that the bytes of a file hold. Raises as `load` does."""
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    try:
        data = yaml.load(content, Loader=LOADER)  # noqa: S506  (it makes plain values alone)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise InvalidArgument("methodology", f"is not YAML: {error}") from error
    return parse(data, digest)

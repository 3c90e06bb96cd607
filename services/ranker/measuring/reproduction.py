"""The shell command that repeats an observation anywhere, with its inputs by digest.

It names the flags that supply models and data, with DIR for a folder, and their expected digests:
another folder is refused before it is measured. Pure.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from services.ranker.claims.evidence import Observation
from services.ranker.claims.model import Basis, Claim

_BUILT_IN = frozenset({"python-reference", "byte-reference", "segformer-reference"})
"""What every installation serves."""


def command(claim: Claim, observation: Observation, *, full: bool, packaged: bool) -> str:
    """Return the command for one claim; `packaged` means its manifest comes with the ranker."""
    words = f"assay claims {shlex.quote(claim.owner)} --claim {shlex.quote(claim.id)}"
    ran = observation.basis is Basis.MEASURED or observation.environment
    if full and ran:
        words += " --budget full"
    if not packaged:
        words += " --manifest FILE"
    if ran and observation.value is not None:
        words = " ".join([words, *_supplies(observation)])
    return observation.recipe + words


def _supplies(observation: Observation) -> Iterator[str]:
    """The flags that supply the measured things, and their digests."""
    subject = observation.subject
    name, digest = str(subject.get("name", "")), observation.subject_digest
    kind = subject.get("type")
    if kind == "SEGMENTATION_MODEL":
        if subject.get("weights") == "RANDOM":
            yield f"--model {shlex.quote(name)}"  # which `recipe` has made
        elif name not in _BUILT_IN:
            yield "--model DIR"
            yield from _expected(name, digest)
        if "pictures" in subject:
            yield "--pictures DIR"
    elif kind == "DATASET":
        yield from _folder("--shards", name, digest)
    elif kind == "LANGUAGE_MODEL":
        yield from _folder("--language-model", name, digest)
        for key, flag in (("against", "--language-model"), ("dataset", "--shards")):
            other, _, of = str(subject.get(key, "")).rpartition(" ")
            yield from _folder(flag, other, of)


def _folder(flag: str, name: str, digest: str) -> Iterator[str]:
    if name and name not in _BUILT_IN:
        yield f"{flag} {shlex.quote(f'{name}=DIR')}"
        yield from _expected(name, digest)


def _expected(name: str, digest: str) -> Iterator[str]:
    if digest:
        yield f"--expect {shlex.quote(f'{name}={digest}')}"

"""Which models exist, which of them may be served, and which one a request means. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from services.common.license import UNSTATED_WEIGHTS
from services.errors import (
    DigestMismatch,
    InvalidArgument,
    LicenseNotAccepted,
    NotFound,
    Unavailable,
)
from services.segment.manifest import (
    LICENSE_FILE,
    MANIFEST_FILE,
    MODEL_FILE,
    Manifest,
    manifest_digest,
    read_manifest,
)

# The end of a version in its sort text.
_END = "1"


class Identity(NamedTuple):
    """What identifies a model: the same version with another digest is another model."""

    name: str
    version: str
    digest: str


@dataclass(frozen=True)
class RegisteredModel:
    """A model directory. `accepted` says whether its licence permits serving it here."""

    directory: Path
    manifest: Manifest
    digest: str
    accepted: bool

    @property
    def key(self) -> tuple[str, str]:
        """Name and version, which identify the model."""
        return self.manifest.name, self.manifest.version

    @property
    def identity(self) -> Identity:
        """Name, version and digest."""
        return Identity(*self.key, self.digest)

    @property
    def order(self) -> tuple[str, str, str]:
        """Sort key of models: the name, then the version as `version_key` orders it."""
        return self.manifest.name, version_key(self.manifest.version), self.manifest.version

    def require_accepted(self) -> None:
        """Raise LicenseNotAccepted unless the weights may be served."""
        if not self.accepted:
            raise LicenseNotAccepted(_not_accepted(self.manifest))


def _not_accepted(manifest: Manifest) -> str:
    """Return why the weights are not served, and what the operator can do."""
    name, terms = manifest.name, manifest.license
    accept = f"add {terms.id!r} to ASSAY_SEGMENT_ACCEPTED_LICENSES"
    if terms.id == UNSTATED_WEIGHTS:
        return (
            f"no licence is stated for the weights of {name!r}; if they may be used, {accept}, or "
            "export them again with --license ID"
        )
    if not terms.known:
        return (
            f"the licence of the weights of {name!r} is none that is recognised; if its text "
            f"({LICENSE_FILE} of the model) allows the use, {accept}"
        )
    return (
        f"the weights of {name!r} are for research and evaluation only ({terms.name}); if "
        f"that is how this server uses them, {accept}"
    )


class Repository:
    """The registered models."""

    def __init__(self, models: Iterable[RegisteredModel]) -> None:
        """Raise InvalidArgument if two directories hold different models of one name, version."""
        self._models: dict[tuple[str, str], RegisteredModel] = {}
        for model in models:
            other = self._models.setdefault(model.key, model)
            if other.digest != model.digest:
                raise InvalidArgument(
                    str(model.directory),
                    f"holds {' version '.join(model.key)}, as {other.directory} does, and they "
                    "differ: give one of them another name or version",
                )

    def __iter__(self) -> Iterator[RegisteredModel]:
        """Iterate over models by name, then version, the default version of each last."""
        return iter(sorted(self._models.values(), key=lambda model: model.order))

    def resolve(self, name: str, version: str = "", digest: str = "") -> RegisteredModel:
        """Return the model that a reference means.

        An empty name means the only served model; an empty version the highest one served, by
        `version_key`. Raises InvalidArgument, NotFound, DigestMismatch for another digest, or
        Unavailable while there is no model at all.
        """
        names = {known for known, _ in self._models}
        if not name:
            served = {model.manifest.name for model in self if model.accepted} or names
            if not served:
                raise Unavailable("no model is served now; try again")
            if len(served) != 1:
                listed = ", ".join(sorted(served))
                raise InvalidArgument("model.name", f"say which of the models: {listed}")
            name = next(iter(served))
        versions = {model.manifest.version: model for model in self if model.manifest.name == name}
        if not versions:
            raise NotFound("model", name, names)
        served_versions = [key for key, model in versions.items() if model.accepted]
        chosen = versions.get(version or (served_versions or list(versions))[-1])
        if chosen is None:
            raise NotFound(f"version of {name}", version, versions)
        if digest and digest != chosen.digest:
            raise DigestMismatch(
                f"model {name!r} has the digest {chosen.digest}, not {digest}: describe it again"
            )
        return chosen


def discover(paths: Iterable[Path], accepted_licenses: Iterable[str] = ()) -> Repository:
    """Read the models under `paths`: model directories, or folders with NAME/ or NAME/VERSION/.

    Raises InvalidArgument naming a path that contains no model, or whose manifest is wrong.
    """
    accepted = frozenset(accepted_licenses)
    return Repository(
        _registered(directory, accepted) for path in paths for directory in _model_directories(path)
    )


@dataclass(frozen=True)
class ReadFailure:
    """A folder or model directory that cannot be read now, and the reason."""

    path: Path
    error: Exception


@dataclass(frozen=True)
class Survey:
    """The models that can be read now, by name and version, and the failures."""

    models: tuple[RegisteredModel, ...] = ()
    failures: tuple[ReadFailure, ...] = ()

    def hides(self, directory: Path) -> bool:
        """Return whether `directory` is, or lies in, a folder that cannot be read now."""
        paths = [failure.path for failure in self.failures]
        return any(path in {directory, *directory.parents} for path in paths)


def survey(paths: Iterable[Path], accepted_licenses: Iterable[str] = ()) -> Survey:
    """Read what can be read under `paths`; a directory that is being copied is a failure.

    If two directories contain different models of one name and version, the first counts.
    """
    accepted = frozenset(accepted_licenses)
    found: dict[tuple[str, str], RegisteredModel] = {}
    failures: list[ReadFailure] = []
    for path in paths:
        try:
            directories = _model_directories(path)
        except (InvalidArgument, OSError) as error:
            failures.append(ReadFailure(path, error))
            continue
        for directory in directories:
            try:
                model = _registered(directory, accepted)
                Repository([*filter(None, [found.get(model.key)]), model])
            except (InvalidArgument, OSError) as error:
                failures.append(ReadFailure(directory, error))
            else:
                found.setdefault(model.key, model)
    return Survey(tuple(sorted(found.values(), key=lambda model: model.order)), tuple(failures))


def _registered(directory: Path, accepted: frozenset[str]) -> RegisteredModel:
    manifest = read_manifest(directory)
    terms = manifest.license
    return RegisteredModel(
        directory=directory,
        manifest=manifest,
        digest=manifest_digest(manifest),
        accepted=not terms.needs_accepting or terms.id in accepted,
    )


def _model_directories(path: Path) -> list[Path]:
    if not path.is_dir():
        raise InvalidArgument(
            str(path), "no such directory; `assay export` makes model directories"
        )
    if _claims_to_be_model(path):
        return [path]
    found = [
        directory
        for pattern in ("*/", "*/*/")
        for directory in sorted(path.glob(pattern))
        # A name that begins with a dot belongs to a directory that is being filled.
        if not any(part.startswith(".") for part in directory.relative_to(path).parts)
        and _claims_to_be_model(directory)
    ]
    if not found:
        raise InvalidArgument(
            str(path),
            f"no model: {MANIFEST_FILE} and {MODEL_FILE} are neither here nor in NAME/ or "
            "NAME/VERSION/ below; `assay export --checkpoint DIR --out DIR` makes a model",
        )
    return found


def _claims_to_be_model(directory: Path) -> bool:
    """Return whether either file exists: if only one does, reading reports the missing one."""
    return any((directory / name).is_file() for name in (MANIFEST_FILE, MODEL_FILE))


def version_key(version: str) -> str:
    """Return a text that sorts as versions do: 9, 10-rc1, 10-rc2, 10, 10.1.

    Numbers compare as numbers. Letters, and anything after a hyphen, mark a pre-release.
    """
    return "".join(map(_part, re.findall(r"\d+|[A-Za-z]+|-", version))) + _END


def _part(part: str) -> str:
    """Return a part's text: it begins below _END if the part marks a pre-release, else above."""
    if part.isdecimal():
        number = part.lstrip("0")
        return f"2{len(number):03d}{number}"
    return "0" if part == "-" else f"0{part}\x00"

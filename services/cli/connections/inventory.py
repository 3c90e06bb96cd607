"""What the services that the command starts should serve.

Folders from the command line come first, then those that the environment names (in the variables
that the services read), then those that earlier commands recorded under `ASSAY_HOME`.
"""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.cli.absent import absent
from services.cli.output.console import note
from services.common.license import UNREAD_WEIGHTS, UNSTATED_WEIGHTS
from services.errors import PreconditionFailed


def home() -> Path:
    """The folder for models, corpora, evidence and logs: `ASSAY_HOME`, created if necessary.

    Raises PreconditionFailed if it cannot be created.
    """
    return _made(_home())


def logs() -> Path:
    """The folder for logs of services that the command starts, created if necessary.

    Raises PreconditionFailed if it is not writable.
    """
    folder = _made(home() / "logs")
    if not os.access(folder, os.W_OK):
        raise PreconditionFailed(f"nothing can be written to {folder}; {_REMEDY}")
    return folder


_REMEDY = "set ASSAY_HOME to a folder that you may write to"


def _home() -> Path:
    if named := os.environ.get("ASSAY_HOME"):
        return Path(named).resolve()
    try:  # an empty HOME would be the root of the file system
        own = os.environ.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        raise PreconditionFailed(
            f"HOME is not set, and user {os.getuid()} has no entry in the user database; {_REMEDY}"
        ) from None
    return (Path(own) / ".local" / "share" / "assay").resolve()


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise PreconditionFailed(f"{folder} cannot be made: {reason}; {_REMEDY}") from error
    return folder


_KEPT = "serve.json"


@dataclass(frozen=True)
class Inventory:
    """Models, corpora and language models to serve.

    `corpora` maps a registered name to {"path", "kind", "source"}; `pictures` is a folder of
    labelled pictures. For empty fields, a service uses its environment or default.
    """

    models: Sequence[Path] = ()
    corpora: Mapping[str, Mapping[str, str | int | bool | list[str]]] = field(default_factory=dict)
    language_models: Mapping[str, Path] = field(default_factory=dict)
    accepted_licenses: Sequence[str] = ()
    pictures: Path | None = None

    def keep(self) -> None:
        """Record the inventory, for later commands with this `ASSAY_HOME` that name nothing."""
        (home() / _KEPT).write_text(json.dumps(self.own(), indent=1), "utf-8")

    @property
    def serves_named_models(self) -> bool:
        """Whether a private segment service has models besides its default."""
        variable = "ASSAY_SEGMENT_MODELS"
        return bool(self.models or os.environ.get(variable) or variable in _kept())

    def environment(self) -> dict[str, str]:
        """The environment variables that pass the inventory to the services."""
        kept = _kept()
        if kept:
            note(f"private services serve what {home() / _KEPT} lists")
        return {"ASSAY_HOME": str(home())} | kept | self.own()

    def given(self) -> list[str]:
        """The command-line options for the inventory."""
        options = {
            "--model": self.models,
            "--shards": self.corpora,
            "--language-model": self.language_models,
            "--pictures": self.pictures,
        }
        return [name for name, value in options.items() if value]

    def own(self) -> dict[str, str]:
        """The environment variables for the inventory, without recorded entries."""
        variables: dict[str, str] = {}
        if self.models:
            variables["ASSAY_SEGMENT_MODELS"] = json.dumps([str(path) for path in self.models])
        if self.accepted_licenses:
            variables["ASSAY_SEGMENT_ACCEPTED_LICENSES"] = json.dumps(list(self.accepted_licenses))
        if self.corpora:
            variables["ASSAY_CORPUS_CORPORA"] = json.dumps(self.corpora)
        if self.language_models:
            variables["ASSAY_CORPUS_LANGUAGE_MODELS"] = json.dumps(
                {name: str(path) for name, path in self.language_models.items()}
            )
        if self.pictures:
            variables["ASSAY_RANKER_LABELLED_PICTURES"] = str(self.pictures)
        return variables


def _kept() -> dict[str, str]:
    """What an earlier command recorded, unless the environment overrides it."""
    try:
        kept: dict[str, str] = json.loads((home() / _KEPT).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return {name: value for name, value in kept.items() if name not in os.environ}


def named_language_models() -> set[str] | None:
    """Names of the language models that a private corpus service has beside its own.

    None if the environment has no JSON object of them: the service itself says what is wrong.
    """
    variable = "ASSAY_CORPUS_LANGUAGE_MODELS"
    listed = os.environ.get(variable) or _kept().get(variable, "{}")
    try:
        return set(dict(json.loads(listed)))
    except (ValueError, TypeError):
        return None


def existing_folder(flag: str, given: str) -> Path:
    """The folder that a flag names, absolute.

    Raises `FileNotFoundError` naming the flag if there is no such folder.
    """
    folder = Path(given).resolve()
    if not folder.is_dir():
        wrong = f"{given} is not a folder" if folder.exists() else absent(given)
        raise FileNotFoundError(f"{flag}: {wrong}")
    return folder


def names_a_folder(given: str) -> bool:
    """True when a MODEL argument is a folder rather than a registered name."""
    return os.sep in given or Path(given).is_dir()


def licenses_of(models: Sequence[Path]) -> list[str]:
    """Ids of the licences of exported models in these folders, from their manifests.

    A caller that passes a folder on the command line already has those weights; the command accepts
    the licence for its own private service and prints it.
    """
    found: set[str] = set()
    for folder in models:
        for manifest in [folder / "manifest.json", *sorted(folder.glob("*/manifest.json"))]:
            found.update(_license_id(manifest))
    return sorted(found)


def _license_id(manifest: Path) -> list[str]:
    try:
        content: Any = json.loads(manifest.read_text("utf-8"))
        terms = content["license"]
        unknown = terms["id"] in {UNSTATED_WEIGHTS, UNREAD_WEIGHTS}
        return [terms["id"]] if terms["research_only"] or unknown else []
    except (OSError, ValueError, KeyError, TypeError):
        return []  # the service itself reports a bad manifest

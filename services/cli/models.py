"""The model of a command: a folder, or the name of a running service's model."""

from __future__ import annotations

import re
from pathlib import Path

from assay_rpc.common.v1 import common_pb2
from assay_rpc.corpus.v1 import scoring_pb2, scoring_pb2_grpc

from services.cli.connections.connection import Connection
from services.cli.connections.inventory import (
    Inventory,
    existing_folder,
    licenses_of,
    named_language_models,
    names_a_folder,
)
from services.cli.connections.remote import running_address
from services.cli.output.console import note, warn
from services.common.license import UNREAD_WEIGHTS, UNSTATED_WEIGHTS
from services.corpus.bpb.models.hub_hint import hub_hint
from services.errors import InvalidArgument, NotFound

# The hub keeps the first words for its own pages: no account is called so.
_HUB_ID = re.compile(r"(?!(?:models|datasets|spaces)/)[\w-][\w.-]*/[\w.-]+")
_REFERENCE = "segformer-reference"
_LANGUAGE_REFERENCE = "byte-reference"
_COMPRESSORS = frozenset({"xz", "zstd-19"})
_TIMEOUT_SECONDS = 60.0
_TERMS = {
    UNSTATED_WEIGHTS: "the weights state no licence: check whether you may use them",
    UNREAD_WEIGHTS: "the weights' licence is not recognised: see the model's LICENSE.txt",
}
_DEMONSTRATION = (
    "no --model: using the small demonstration model, trained on drawn scenes; its labels of "
    "photographs mean nothing. A real one, for research and evaluation: `assay export --checkpoint "
    "nvidia/segformer-b0-finetuned-ade-512-512 --out models/b0`, then --model models/b0"
)


def segment_model(model: str | None) -> tuple[Inventory, common_pb2.ModelRef]:
    """What a segment service must serve for `--model`, and the model's name there.

    Without `--model`: the only model of a running service or of the environment; otherwise the
    demonstration model, with a message. Raises FileNotFoundError for a folder that does not exist,
    and InvalidArgument for a folder if a running service is named.
    """
    if model is not None and names_a_folder(model) and not _served_by_name("segment", model):
        if running_address("segment"):
            raise InvalidArgument(
                "--model",
                "ASSAY_SEGMENT_ADDR names a running service, which serves models by name; give a "
                "registered name, or unset the variable",
            )
        name = Path(model).name
        _refuse_hub_id("--model", model, f"assay export --checkpoint {model} --out models/{name}")
        folders = [existing_folder("--model", model)]
        licences = licenses_of(folders)
        for one in licences:
            note(_TERMS.get(one, f"weights under {one}: research and evaluation only"))
        return Inventory(models=folders, accepted_licenses=licences), common_pb2.ModelRef()
    inventory = Inventory()
    if model is None and not running_address("segment") and not inventory.serves_named_models:
        warn(_DEMONSTRATION)
        return inventory, common_pb2.ModelRef(name=_REFERENCE)
    return inventory, common_pb2.ModelRef(name=model or "")


def language_model(flag: str, given: str | None, folders: dict[str, Path]) -> str:
    """The name of a language model; a folder is registered under its own name, among `folders`.

    Empty if no model is given and a running service is named: then call `only_language_model`.
    """
    if given is None:
        return "" if running_address("corpus") else _LANGUAGE_REFERENCE
    if not names_a_folder(given) or _served_by_name("corpus", given):
        if not running_address("corpus"):
            _refuse_unknown(given)
        return given
    if running_address("corpus"):
        raise InvalidArgument(
            flag,
            "ASSAY_CORPUS_ADDR names a running service, which scores models by name; give a "
            "registered name, or unset the variable",
        )
    _refuse_hub_id(flag, given, f"hf download {given} --local-dir {Path(given).name}")
    folder = existing_folder(flag, given)
    if folders.setdefault(folder.name, folder) != folder:
        raise InvalidArgument(flag, f"two folders are named {folder.name}; rename one")
    return folder.name


async def only_language_model(connection: Connection, name: str) -> str:
    """The given name, or that of the running service's only model. Raises InvalidArgument."""
    if name:
        return name
    stub = scoring_pb2_grpc.ScoringServiceStub(await connection.channel("corpus"))
    request = scoring_pb2.ListLanguageModelsRequest()
    reply = await stub.ListLanguageModels(request, timeout=_TIMEOUT_SECONDS)
    names = [one.ref.name for one in reply.models if one.ref.name not in _COMPRESSORS]
    if len(names) != 1:
        listed = ", ".join(names) or "none"
        raise InvalidArgument("--model", f"name the model; the running service has: {listed}")
    return names[0]


def _served_by_name(service: str, given: str) -> bool:
    """Whether a name that is also a folder here means the running service's model."""
    return running_address(service) is not None and "/" not in given


def _refuse_unknown(name: str) -> None:
    """Raises NotFound, as the private service would once it has started."""
    named = named_language_models()
    if named is not None and name not in (known := {_LANGUAGE_REFERENCE, *_COMPRESSORS, *named}):
        raise NotFound("language model", name, known, hub_hint(name))


def _refuse_hub_id(flag: str, given: str, command: str) -> None:
    """Raises FileNotFoundError, with the command that downloads it, for a model id of the hub."""
    path = Path(given)
    if _HUB_ID.fullmatch(given) and not path.exists() and not path.parent.is_dir():
        raise FileNotFoundError(
            f"{flag}: there is no folder {given}. If it is an id of the Hugging Face hub: this "
            f"command downloads nothing. Run `{command}` and give that folder"
        )

"""Models and data given to a command for its private services, and their expected digests.

`--shards NAME=DIR`, `--language-model NAME=DIR`, `--model DIR` and `--pictures DIR` supply them;
`--expect NAME=DIGEST` refuses anything else of that name before measuring with it.
"""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay_rpc.common.v1 import common_pb2
from assay_rpc.corpus.v1 import (
    corpus_pb2_grpc,
    describe_pb2,
    scoring_pb2,
    scoring_pb2_grpc,
    selection_pb2,
)
from assay_rpc.segment.v1 import segment_pb2, segment_pb2_grpc

from services.cli.connections.connection import Connection
from services.cli.connections.inventory import Inventory, licenses_of
from services.cli.connections.remote import running_address
from services.corpus.shards.layout import find_shards
from services.errors import DigestMismatch, InvalidArgument

_TIMEOUT_SECONDS = 120.0  # the first look at a model or a corpus reads all of its files


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags."""
    group = parser.add_argument_group(
        "models and data to measure with", "for services that the command starts itself"
    )
    group.add_argument(
        "--shards",
        action="append",
        default=[],
        type=_named,
        metavar="NAME=DIR",
        help="folder of shards with the documents of the corpus NAME; repeatable",
    )
    group.add_argument(
        "--language-model",
        action="append",
        default=[],
        type=_named,
        metavar="NAME=DIR",
        help="folder of the Hugging Face causal language model NAME; repeatable",
    )
    group.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="DIR",
        help="a folder that `assay export` wrote; repeatable",
    )
    group.add_argument(
        "--pictures", metavar="DIR", help="labelled images in ADE20K's layout, to measure accuracy"
    )
    group.add_argument(
        "--expect",
        action="append",
        default=[],
        type=_named,
        metavar="NAME=DIGEST",
        help="stop unless the corpus or model NAME has this digest; repeatable",
    )


def _named(text: str) -> tuple[str, str]:
    """NAME=VALUE, for argparse."""
    name, _, value = text.partition("=")
    if not name or not value:
        raise argparse.ArgumentTypeError(f"{text} is not NAME=VALUE")
    return name, value


def inventory(arguments: argparse.Namespace) -> Inventory:
    """What the flags supply.

    Raises FileNotFoundError naming the flag for a missing folder, and its expected contents;
    InvalidArgument if a running service is named, whose models and data cannot be changed.
    """
    expected = dict(arguments.expect)
    models = [_folder("--model", one, "a model", expected) for one in arguments.model]
    corpora: dict[str, dict[str, str | list[str]]] = {}
    for name, given in arguments.shards:
        folder = _folder("--shards", given, f"the corpus {name}", expected, name)
        find_shards(folder)  # fails here, before a service is started for it
        corpora[name] = {
            "path": str(folder),
            "kind": "sample",
            "source": f"the folder {folder.name}, given on the command line",
        }
    language_models = {
        name: _folder("--language-model", given, f"the language model {name}", expected, name)
        for name, given in arguments.language_model
    }
    pictures = None
    if arguments.pictures:
        pictures = _folder("--pictures", arguments.pictures, "labelled pictures", expected)
    found = Inventory(models, corpora, language_models, licenses_of(models), pictures)
    if found.own():
        _refuse_running(found)
    return found


def _folder(flag: str, given: str, what: str, expected: dict[str, str], name: str = "") -> Path:
    folder = Path(given).resolve()
    if not folder.is_dir():
        digest = expected.get(name) or ", ".join(expected.values())
        of = f" with the digest {digest}" if digest else ""
        raise FileNotFoundError(
            f"{flag}: {given} is not a folder; put that of {what}{of} in its place"
        )
    return folder


def _refuse_running(found: Inventory) -> None:
    needed = ["ranker"]
    needed += ["segment"] if found.models else []
    needed += ["corpus"] if found.corpora or found.language_models else []
    for service in needed:
        if running_address(service):
            raise InvalidArgument(
                f"ASSAY_{service.upper()}_ADDR",
                "names a running service, which serves what it serves; unset it, or leave out the "
                "folders",
            )


@dataclass(frozen=True)
class _Served:
    name: str
    digest: str


async def check(connection: Connection, expected: Sequence[tuple[str, str]]) -> None:
    """Compare what is served with the digests that `--expect` gives.

    Raises DigestMismatch for another digest under that name, InvalidArgument if nothing has the
    name.
    """
    if not expected:
        return
    served = [one async for one in _served(connection)]
    for name, digest in expected:
        of_name = [one for one in served if one.name == name]
        if any(one.digest == digest for one in of_name):
            continue
        if of_name:
            raise DigestMismatch(
                f"--expect: the {name} that is served has the digest {of_name[0].digest}, not "
                f"{digest}: give the folder of that one"
            )
        raise InvalidArgument(
            "--expect",
            f"nothing here is served as {name}, which must have the digest {digest}: give it with "
            f"--shards {name}=DIR, --language-model {name}=DIR or --model DIR",
        )


async def _served(connection: Connection) -> AsyncIterator[_Served]:
    corpus = await connection.channel("corpus")
    corpora = corpus_pb2_grpc.CorpusServiceStub(corpus)
    scoring = scoring_pb2_grpc.ScoringServiceStub(corpus)
    segment = segment_pb2_grpc.SegmentServiceStub(await connection.channel("segment"))
    lists: Sequence[tuple[Callable[..., Any], Callable[..., Any], str]] = (
        (corpora.ListCorpora, describe_pb2.ListCorporaRequest, "corpora"),
        (scoring.ListLanguageModels, scoring_pb2.ListLanguageModelsRequest, "models"),
        (segment.ListModels, segment_pb2.ListModelsRequest, "models"),
    )
    for call, request, field in lists:
        token = ""
        while True:
            reply = await call(request(page_token=token), timeout=_TIMEOUT_SECONDS)
            for one in getattr(reply, field):
                ref: common_pb2.ModelRef | selection_pb2.CorpusRef = one.ref
                yield _Served(ref.name, ref.digest)
            token = reply.next_page_token
            if not token:
                break

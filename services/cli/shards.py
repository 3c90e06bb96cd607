"""The corpus of a command: `--shards` or `--corpus`, and how its files are read."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from assay_rpc.corpus.v1 import corpus_pb2_grpc, describe_pb2, selection_pb2

from services.cli.absent import absent
from services.cli.arguments import count
from services.cli.connections.connection import Connection
from services.cli.connections.inventory import Inventory
from services.cli.connections.remote import running_address
from services.cli.output.console import warn
from services.corpus.shards.formats import (
    MAX_WINDOW_LOG,
    WINDOW_LOG,
    Keys,
    Reading,
    format_of,
)
from services.corpus.shards.layout import Layout, find_layout
from services.corpus.storage.urls import is_url, names, shown
from services.errors import InvalidArgument

LOCAL_CORPUS = "local"
_REFERENCE = "python-reference"
_TIMEOUT_SECONDS = 60.0


def add_shards(parser: argparse.ArgumentParser) -> None:
    """`--shards`, or `--corpus` for a corpus that a running service has registered."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--shards",
        action="append",
        metavar="[NAME=]DIR|FILE|URL",
        help="a folder of shards, or one file: .jsonl or .json, also .gz, .zst, .bz2 or .xz; "
        ".parquet, .arrow or .txt. Also the URL (https, s3, gs) of a folder or file; repeat the "
        f'option for several files. NAME names the corpus; default: "{LOCAL_CORPUS}"',
    )
    which.add_argument(
        "--corpus",
        metavar="NAME",
        help="registered name of a corpus; default, if --shards is "
        "not given either: a running service's only corpus, "
        "else the reference corpus",
    )
    add_reading(parser)


def add_reading(parser: argparse.ArgumentParser) -> None:
    """Options for reading the files of `--shards`."""
    group = parser.add_argument_group("how files are read")
    group.add_argument(
        "--text-key", metavar="KEY", help='JSON key of a record\'s text; default: "text"'
    )
    group.add_argument(
        "--id-key", metavar="KEY", help="JSON key of the record's own id, to keep in its metadata"
    )
    group.add_argument(
        "--subset-key",
        metavar="KEY",
        help="JSON key of a record's subset, or \"folder\" for the name of the shard's folder; "
        "default: detected for The Pile, RedPajama, SlimPajama, Dolma and FineWeb",
    )
    group.add_argument(
        "--long",
        type=count,
        default=WINDOW_LOG,
        choices=range(10, MAX_WINDOW_LOG + 1),
        metavar="N",
        help="accept zstd windows of up to 2^N bytes, which each stream holds in memory; at most "
        "31 (2 GiB); default: 27 (128 MiB)",
    )
    group.add_argument(
        "--every-file",
        action="store_true",
        help="read every file of a known format, even if some files are in The Pile's layout",
    )


def reading(arguments: argparse.Namespace) -> Reading:
    """The values of the flags of `add_reading`."""
    keys = Keys(arguments.text_key or "text", arguments.id_key or "", arguments.subset_key or "")
    return Reading(keys, arguments.long)


def local_layout(flag: str, given: str, arguments: argparse.Namespace) -> Layout:
    """Find the shards in a folder or file that a flag names; report what is left out.

    Raises FileNotFoundError if there is none, and LayoutError.
    """
    path = Path(given).resolve()
    if not path.exists():
        raise FileNotFoundError(f"{flag}: {absent(given)}")
    layout = find_layout(path, reading(arguments), every_file=arguments.every_file)
    if layout.left_out:
        warn(layout.notice())
    return layout


def named(given: str) -> tuple[str, str]:
    """Split NAME=PLACE; the name is empty for a place alone, such as a folder with a "=" in it."""
    name, equals, place = given.partition("=")
    if not equals or "/" in name or is_url(given) or Path(given).exists():
        return "", given
    return name, place


async def corpus_ref(
    connection: Connection, arguments: argparse.Namespace
) -> selection_pb2.CorpusRef:
    """The corpus that `--shards` or `--corpus` names.

    Without either: the only corpus of a running service, or the reference corpus of a private one.
    Raises InvalidArgument for `--shards` if a running service is named, and if one of several
    corpora must be chosen.
    """
    if arguments.shards:
        if running_address("corpus"):
            # The running service may have its own "local", which is another corpus.
            raise InvalidArgument(
                "--shards",
                "ASSAY_CORPUS_ADDR names a running service, which serves corpora by name; give "
                "--corpus, or unset the variable",
            )
        return selection_pb2.CorpusRef(name=named(arguments.shards[0])[0] or LOCAL_CORPUS)
    if arguments.corpus:
        return selection_pb2.CorpusRef(name=arguments.corpus)
    if not running_address("corpus"):
        return selection_pb2.CorpusRef(name=_REFERENCE)
    stub = corpus_pb2_grpc.CorpusServiceStub(await connection.channel("corpus"))
    reply = await stub.ListCorpora(describe_pb2.ListCorporaRequest(), timeout=_TIMEOUT_SECONDS)
    if len(reply.corpora) != 1:
        listed = ", ".join(one.ref.name for one in reply.corpora) or "none"
        raise InvalidArgument("--corpus", f"name the corpus; the running service has: {listed}")
    return selection_pb2.CorpusRef(name=reply.corpora[0].ref.name)


def shards_inventory(arguments: argparse.Namespace) -> Inventory:
    """An inventory with the corpora that `--shards` names, if given.

    Raises FileNotFoundError and LayoutError for anything that is not a corpus.
    """
    places: dict[str, list[str]] = {}
    for given in arguments.shards or ():
        name, place = named(given)
        places.setdefault(name or LOCAL_CORPUS, []).append(place)
    return Inventory(corpora={name: _entry(several, arguments) for name, several in places.items()})


def _entry(
    shards: Sequence[str], arguments: argparse.Namespace
) -> dict[str, str | int | bool | list[str]]:
    """The registration of one corpus."""
    path: str | list[str]
    if any(is_url(one) for one in shards):
        folder_url = len(shards) == 1 and format_of("".join(names(shards[0]))) is None
        path = shards[0] if folder_url else list(shards)
        source = f"{shown(shards[0])}, given on the command line"
    elif len(shards) > 1:
        raise InvalidArgument(
            "--shards", "is given several times for one corpus, which is for URLs of shards"
        )
    else:
        local_layout("--shards", shards[0], arguments)  # before a service is started for it
        place = Path(shards[0]).resolve()
        kind = "folder" if place.is_dir() else "file"
        path, source = str(place), f"the {kind} {place.name}, given on the command line"
    entry: dict[str, str | int | bool | list[str]] = {
        "path": path,
        "kind": "sample",
        "source": source,
    }
    for name in ("text_key", "id_key", "subset_key"):
        if getattr(arguments, name):
            entry[name] = getattr(arguments, name)
    if arguments.long != WINDOW_LOG:
        entry["window_log"] = arguments.long
    if arguments.every_file:
        entry["every_file"] = True
    return entry

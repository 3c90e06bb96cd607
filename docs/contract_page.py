"""Prints the page of the contract from the protos: rpcs, their errors, messages with their fields.

    python docs/contract_page.py > docs/contract.md

A test compares the two. Needs grpcio-tools, which `make setup` installs.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc_tools  # type: ignore[import-untyped]
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    MethodOptions,
)
from grpc_tools import protoc

PROTOS = Path(__file__).resolve().parents[1] / "protos"
_WELL_KNOWN = Path(grpc_tools.__file__).with_name("_proto")
_HEAD = """# Contract

Every rpc with its errors, and every message with its fields and their units, as the protos have
them. [Other languages](languages.md) says how stubs are made, [methods of the
client](client-methods.md) what Python has beside them.

An error's reason is in the `ErrorInfo` of the status's details; [the client's
errors](client-methods.md#errors) say when each comes. A rpc that changes nothing may be
repeated, and so may one that is idempotent with the same request. Optional fields and messages
that are not set are not known, which is not 0. `UNAUTHENTICATED`, `FORBIDDEN` and
`QUOTA_EXCEEDED` may come of any rpc where a policy says who may call what
([access](access.md)).

`python docs/contract_page.py > docs/contract.md` writes this page.
"""
_EFFECTS = {
    MethodOptions.NO_SIDE_EFFECTS: "changes nothing",
    MethodOptions.IDEMPOTENT: "idempotent",
}
_FIELD, _NESTED, _ENUM_OF_MESSAGE = 2, 3, 4
_MESSAGE, _ENUM, _SERVICE = 4, 5, 6
_METHOD, _VALUE = 2, 2
"""Numbers of descriptor.proto's fields, of which the paths of comments are made."""
Path_ = tuple[int, ...]


@dataclass(frozen=True)
class Source:
    """A file of the contract, and its comments by path."""

    file: FileDescriptorProto
    comments: dict[Path_, str]

    def comment(self, *path: int) -> str:
        """What stands before a thing, as one paragraph."""
        return self.comments.get(path, "")


def page() -> str:
    """The whole page."""
    sources = [source for source in _sources() if source.file.package.startswith("assay.")]
    packages = sorted({source.file.package for source in sources})
    parts = [_HEAD]
    for package in packages:
        parts.append(f"## {package}\n")
        of = [source for source in sources if source.file.package == package]
        for source in of:
            parts += _services(source)
        for source in of:
            parts += _messages(source)
    return "\n".join(parts)


def _sources() -> list[Source]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "set.binpb"
        status = protoc.main(
            [
                "protoc",
                f"-I{PROTOS}",
                f"-I{_WELL_KNOWN}",
                "--include_source_info",
                f"--descriptor_set_out={out}",
                *(str(one) for one in sorted(PROTOS.glob("assay/*/v*/*.proto"))),
            ]
        )
        if status:
            raise RuntimeError(f"protoc ended with status {status}")
        found = FileDescriptorSet.FromString(out.read_bytes())
    return [Source(file, _comments(file)) for file in found.file]


def _comments(file: FileDescriptorProto) -> dict[Path_, str]:
    return {
        tuple(one.path): " ".join(one.leading_comments.split())
        for one in file.source_code_info.location
        if one.leading_comments
    }


def _services(source: Source) -> Iterator[str]:
    for number, service in enumerate(source.file.service):
        yield f"### {service.name}\n"
        yield f"{source.comment(_SERVICE, number)}\n"
        yield "| rpc | request and reply | what it does | errors |\n|---|---|---|---|"
        for place, method in enumerate(service.method):
            about, errors = _divided(source.comment(_SERVICE, number, _METHOD, place))
            effect = _EFFECTS.get(method.options.idempotency_level, "not idempotent")
            cells = (f"`{method.name}`", _shape(method), f"{about} ({effect})", errors)
            yield "| " + " | ".join(map(_cell, cells)) + " |"
        yield ""


def _divided(comment: str) -> tuple[str, str]:
    """What a rpc does, and its errors."""
    about, _, errors = comment.partition("Errors: ")
    names = re.findall(r"[A-Z][A-Z_]+", errors)
    return about.strip(), ", ".join(f"`{name}`" for name in names)


def _shape(method: MethodDescriptorProto) -> str:
    request, reply = (_short(name) for name in (method.input_type, method.output_type))
    if method.client_streaming:
        request = f"stream of {request}"
    if method.server_streaming:
        reply = f"stream of {reply}"
    return f"{request}, {reply}"


def _short(name: str) -> str:
    """A type's name without the package, those of nested ones with what they are in."""
    return re.sub(r"^\.?(?:[a-z]\w*\.)+", "", name)


def _messages(source: Source) -> Iterator[str]:
    for number, message in enumerate(source.file.message_type):
        yield from _message(source, message, (_MESSAGE, number), ())
    for number, enum in enumerate(source.file.enum_type):
        yield from _enum(source, enum, (_ENUM, number), ())


def _message(
    source: Source, message: DescriptorProto, path: Path_, around: Sequence[str]
) -> Iterator[str]:
    if message.options.map_entry:
        return
    names = (*around, message.name)
    yield f"#### {'.'.join(names)}\n"
    if about := source.comment(*path):
        yield f"{about}\n"
    if message.field:
        yield "| field | type | meaning |\n|---|---|---|"
    for number, field in enumerate(message.field):
        about = source.comment(*path, _FIELD, number)
        if field.options.deprecated:
            about = f"Deprecated. {about}"
        cells = (f"`{field.name}`", _type(message, field), about)
        yield "| " + " | ".join(map(_cell, cells)) + " |"
    yield ""
    for number, nested in enumerate(message.nested_type):
        yield from _message(source, nested, (*path, _NESTED, number), names)
    for number, enum in enumerate(message.enum_type):
        yield from _enum(source, enum, (*path, _ENUM_OF_MESSAGE, number), names)


def _type(message: DescriptorProto, field: FieldDescriptorProto) -> str:
    entries = {one.name: one for one in message.nested_type if one.options.map_entry}
    if entry := entries.get(field.type_name.rpartition(".")[2]):
        key, value = (_plain(one) for one in entry.field)
        return f"map of {key} to {value}"
    name = _plain(field)
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return f"list of {name}"
    if field.HasField("oneof_index") and not field.proto3_optional:
        return f"{name}, one of {message.oneof_decl[field.oneof_index].name}"
    return f"optional {name}" if field.proto3_optional else name


def _plain(field: FieldDescriptorProto) -> str:
    if field.type_name:
        return _short(field.type_name)
    return FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()


def _enum(
    source: Source, enum: EnumDescriptorProto, path: Path_, around: Sequence[str]
) -> Iterator[str]:
    yield f"#### {'.'.join((*around, enum.name))}\n"
    if about := source.comment(*path):
        yield f"{about}\n"
    yield "| value | meaning |\n|---|---|"
    for number, value in enumerate(enum.value):
        if value.number:
            yield f"| `{value.name}` | {_cell(source.comment(*path, _VALUE, number))} |"
    yield ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    print(page(), end="")

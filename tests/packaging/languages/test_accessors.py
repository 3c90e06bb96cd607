"""Names that generated code of other languages would make twice, found without its compilers."""

from __future__ import annotations

import pkgutil
from collections import Counter
from collections.abc import Iterator
from importlib import import_module

import assay_rpc
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool


def messages() -> Iterator[Descriptor]:
    """Every message of the client package, those within others too."""
    for module in pkgutil.walk_packages(assay_rpc.__path__, "assay_rpc."):
        if module.name.endswith("_pb2"):
            for message in import_module(module.name).DESCRIPTOR.message_types_by_name.values():
                yield message
                yield from message.nested_types


def camel(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def repeated(field: FieldDescriptor) -> bool:
    """Older runtimes have only `label`, newer ones warn of it."""
    known = getattr(field, "is_repeated", None)
    return bool(getattr(field, "label", 0) == 3 if known is None else known)


def getters(field: FieldDescriptor) -> set[str]:
    """What protoc's Java generator makes getters' names from."""
    name = camel(field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        ends = {"", "Count", "Map", "OrDefault", "OrThrow"}
    else:
        ends = {"", "Count", "List"} if repeated(field) else {""}
        if field.message_type is not None:
            ends |= {"OrBuilder", "Builder"}
            ends |= {"OrBuilderList", "BuilderList"} if repeated(field) else set()
    if field.type == FieldDescriptor.TYPE_STRING:
        ends |= {"Bytes"}
    if field.enum_type is not None:
        ends |= {"Value"}
    return {f"get{name}{end}" for end in ends}


def collisions(message: Descriptor) -> list[str]:
    names = Counter(getter for field in message.fields for getter in getters(field))
    names.update(f"get{camel(oneof.name)}Case" for oneof in message.oneofs)
    return [name for name, times in names.items() if times > 1]


def test_a_count_beside_a_repeated_field_is_noticed() -> None:
    file = FileDescriptorProto(name="twice.proto", package="twice", syntax="proto3")
    message = file.message_type.add(name="Twice")
    kinds = FieldDescriptorProto
    message.field.add(name="left_out", number=1, label=kinds.LABEL_REPEATED, type=kinds.TYPE_STRING)
    message.field.add(
        name="left_out_count", number=2, label=kinds.LABEL_OPTIONAL, type=kinds.TYPE_UINT32
    )
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    assert collisions(pool.FindMessageTypeByName("twice.Twice")) == ["getLeftOutCount"]


def test_no_getter_of_java_is_made_twice() -> None:
    found = {one.full_name: twice for one in messages() if (twice := collisions(one))}
    assert found == {}
    assert "assay.corpus.v1.Corpus" in {one.full_name for one in messages()}

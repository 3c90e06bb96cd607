"""Random and damaged messages of any type, for the fuzzer of every rpc."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

_DEPTH = 6
_MOST_ELEMENTS = 4
_LEARNT = 2_000
_INTEGERS = (0, 1, 2, 3, 7, 64, 255, 256, 4096, 2**16, 2**31 - 1, 2**31, 2**32 - 1)
_WIDE = (*_INTEGERS, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 1)
_FLOATS = (0.0, -0.0, 0.5, 1.0, -1.0, 1e-300, 1e300, float("inf"), float("-inf"), float("nan"))
_TEXTS = (
    *("", " ", "0", "-1", "a/b", "a@1", "../../etc/passwd", "/", "*", "%s%n", "\x00", "\x1b[8m"),
    *("x" * 300, "\u202e\u0301", "\U0001f600", "'; DROP TABLE claims; --", '" OR 1=1', "NaN"),
    *("sha256:" + "0" * 64, "file:///etc/passwd", "http://127.0.0.1:1/", "[[[[", "1e400", "null"),
)
_BYTES = (b"", b"\0", b"\xff" * 40, b"{}", b"a: [1, *x]", b"\x28\xb5\x2f\xfd" + bytes(40))
_32_BITS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}


class Words:
    """Texts and bytes for fields: given ones, ones from replies, and hostile ones."""

    def __init__(self, known: Sequence[str | bytes]) -> None:
        self._texts: list[str] = [one for one in known if isinstance(one, str)]
        self._bytes: list[bytes] = [one for one in known if isinstance(one, bytes)]

    def text(self, chance: random.Random) -> str:
        """Draw a text."""
        if self._texts and chance.random() < 0.6:
            return chance.choice(self._texts)
        return chance.choice(_TEXTS)

    def content(self, chance: random.Random) -> bytes:
        """Draw bytes, a third of them damaged."""
        drawn = chance.choice(self._bytes) if self._bytes and chance.random() < 0.7 else b""
        drawn = drawn or chance.choice(_BYTES)
        return damaged(drawn, chance) if chance.random() < 0.3 else drawn

    def learn(self, message: Message, chance: random.Random) -> None:
        """Keep a reply's texts: names, digests, cursors and page tokens for later requests."""
        for one in _scalars(message):
            kept: list[Any] = self._texts if isinstance(one, str) else self._bytes
            if len(one) > 4096 or not one:
                continue
            if len(kept) < _LEARNT:
                kept.append(one)
            else:
                kept[chance.randrange(_LEARNT)] = one


def _scalars(message: Message) -> Iterator[str | bytes]:
    for field, value in message.ListFields():
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            continue
        for one in value if field.is_repeated else (value,):
            if isinstance(one, Message):
                yield from _scalars(one)
            elif isinstance(one, str | bytes):
                yield one


def random_message(
    kind: Descriptor, words: Words, chance: random.Random, depth: int = 0
) -> Message:
    """Return a message with random fields set, to any values that their types allow."""
    message: Message = GetMessageClass(kind)()
    fullness = chance.choice((0.2, 0.5, 0.9))
    for field in kind.fields:
        if chance.random() > fullness or (depth >= _DEPTH and field.message_type is not None):
            continue
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            _fill_map(getattr(message, field.name), field.message_type, words, chance, depth)
        elif field.is_repeated:
            for _ in range(chance.randint(1, _MOST_ELEMENTS)):
                value = _value(field, words, chance, depth)
                if isinstance(value, Message):
                    getattr(message, field.name).add().CopyFrom(value)
                else:
                    getattr(message, field.name).append(value)
        elif field.message_type is not None:
            getattr(message, field.name).CopyFrom(_value(field, words, chance, depth))
        else:
            setattr(message, field.name, _value(field, words, chance, depth))
    return message


def _fill_map(
    target: Any, entry: Descriptor, words: Words, chance: random.Random, depth: int
) -> None:
    key, value = entry.fields_by_name["key"], entry.fields_by_name["value"]
    for _ in range(chance.randint(1, _MOST_ELEMENTS)):
        drawn = _value(value, words, chance, depth)
        if isinstance(drawn, Message):
            target[_value(key, words, chance, depth)].CopyFrom(drawn)
        else:
            target[_value(key, words, chance, depth)] = drawn


def _value(field: FieldDescriptor, words: Words, chance: random.Random, depth: int) -> Any:
    if field.message_type is not None:
        return random_message(field.message_type, words, chance, depth + 1)
    if field.enum_type is not None:
        known = [value.number for value in field.enum_type.values]
        return chance.choice([*known, *known, 999])
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        text = field.type == FieldDescriptor.TYPE_STRING
        return words.text(chance) if text else words.content(chance)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return chance.random() < 0.5
    if field.cpp_type in _32_BITS:
        low, high = _32_BITS[field.cpp_type]
        drawn = chance.choice(_WIDE) if chance.random() < 0.5 else chance.randint(0, 20)
        drawn = -drawn if chance.random() < 0.1 else drawn
        return min(max(drawn, low), high)
    drawn_float = chance.choice(_FLOATS) if chance.random() < 0.5 else chance.uniform(-2, 2)
    # 1e300 does not fit in a 32-bit float.
    single = field.cpp_type == FieldDescriptor.CPPTYPE_FLOAT
    return max(min(drawn_float, 3e38), -3e38) if single else drawn_float


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Return the bytes with one to four edits: flipped, cut, repeated, inserted, removed."""
    edited = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(edited) + 1)
        end = min(len(edited), at + chance.randint(1, 16))
        kind = chance.randrange(5)
        if kind == 0 and at < len(edited):
            edited[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del edited[at:]
        elif kind == 2:
            edited[at:at] = edited[at:end]
        elif kind == 3:
            edited[at:at] = chance.randbytes(chance.randint(1, 12))
        else:
            del edited[at:end]
    return bytes(edited)


def changed(message: Message, words: Words, chance: random.Random) -> Message:
    """Return a copy with one field, at any depth, removed or filled again."""
    copy = type(message)()
    copy.CopyFrom(message)
    target: Any = copy
    while True:
        inside = [
            part
            for field, value in target.ListFields()
            if field.message_type is not None and not field.message_type.GetOptions().map_entry
            for part in (value if field.is_repeated else (value,))
        ]
        if not inside or chance.random() < 0.4:
            break
        target = chance.choice(inside)
    if not target.DESCRIPTOR.fields:
        return copy
    field = chance.choice(target.DESCRIPTOR.fields)
    drawn = random_message(target.DESCRIPTOR, words, chance, _DEPTH - 2)
    if chance.random() < 0.8 and field.message_type is None and not field.is_repeated:
        setattr(drawn, field.name, _value(field, words, chance, 0))
    target.ClearField(field.name)
    for other in drawn.DESCRIPTOR.fields:
        if other.name != field.name:
            drawn.ClearField(other.name)
    target.MergeFrom(drawn)
    return copy

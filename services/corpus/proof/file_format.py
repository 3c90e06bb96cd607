"""A proof as a file: what it is of, a record for each document, and the codes bit after bit.

    prefix    "ASSAYBPB", version u16, 2 bytes 0, lengths of header u32, records u64, codes u64,
              CRC-32 of the prefix
    header    JSON, UTF-8, keys sorted; CRC-32
    records   for each document: id (u16 length, UTF-8), subset (u16, an index into the header's
              list), SHA-256 of its bytes, bytes u64, tokens u64, nats f64, bits u64; CRC-32
    codes     every document's bits, in the order of the records, zeros to the next whole byte;
              CRC-32
    trailer   documents, bytes, tokens, bits u64, nats f64, SHA-256 of all before

Numbers are little-endian. The same documents give the same file, byte for byte.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from services.corpus.bpb.definition import Definition, Prefix, Preset
from services.corpus.proof.stepper import Pins
from services.errors import InvalidArgument

_MAGIC = b"ASSAYBPB"
_VERSION = 1
_PREFIX = struct.Struct("<8sHxxIQQ")
_CRC = struct.Struct("<I")
_LENGTH = struct.Struct("<H")
_RECORD = struct.Struct("<H32sQQdQ")
_TOTALS = struct.Struct("<QQQQd")
_DIGEST = 32
# All that a file holds besides header, records and codes; each record holds its id besides.
FIXED_BYTES = _PREFIX.size + 4 * _CRC.size + _TOTALS.size + _DIGEST
RECORD_BYTES = _LENGTH.size + _RECORD.size


@dataclass(frozen=True)
class Record:
    """One document: `sha256` of its UTF-8 bytes, its code of `bits` bits filled up with zeros."""

    id: str
    subset: str
    sha256: bytes
    text_bytes: int
    tokens: int
    nats: float
    bits: int
    code: bytes


@dataclass(frozen=True)
class Header:
    """What a proof is of, and what it takes to decode it.

    `rows` documents at a time, in the order of the records, were coded in step. `left_out` are the
    ids of documents that the tokenizer does not reproduce; no sum includes them.
    """

    model: str
    model_digest: str
    tokenizer: str
    vocabulary: int
    definition: Definition
    pins: Pins
    rows: int
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class Totals:
    """Sums over the documents; nats are rounded once."""

    documents: int
    text_bytes: int
    tokens: int
    bits: int
    nats: float


@dataclass(frozen=True)
class Proof:
    """A file's contents, its size, and the SHA-256 in its trailer, which names it."""

    header: Header
    records: tuple[Record, ...]
    totals: Totals
    size: int
    digest: str


def totals_of(records: Sequence[Record]) -> Totals:
    """Add records up."""
    return Totals(
        len(records),
        sum(record.text_bytes for record in records),
        sum(record.tokens for record in records),
        sum(record.bits for record in records),
        math.fsum(record.nats for record in records),
    )


def write(path: Path, header: Header, records: Sequence[Record]) -> Proof:
    """Write a file, completely or not at all, and return what is in it."""
    data, proof = pack(header, records)
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    return proof


def pack(header: Header, records: Sequence[Record]) -> tuple[bytes, Proof]:
    """Return the contents of a file, and what is in it."""
    subsets = sorted({record.subset for record in records})
    head = json.dumps(
        {**_header_json(header), "subsets": subsets}, sort_keys=True, ensure_ascii=False
    ).encode()
    places = {name: place for place, name in enumerate(subsets)}
    table = b"".join(_pack(record, places[record.subset]) for record in records)
    codes = join_bits(records)
    prefix = _PREFIX.pack(_MAGIC, _VERSION, len(head), len(table), len(codes))
    totals = totals_of(records)
    body = b"".join(part + _CRC.pack(zlib.crc32(part)) for part in (prefix, head, table, codes))
    body += _TOTALS.pack(*(getattr(totals, each.name) for each in fields(totals)))
    digest = hashlib.sha256(body).digest()
    data = body + digest
    return data, Proof(header, tuple(records), totals, len(data), digest.hex())


def read(path: Path) -> Proof:
    """Read a file. Raises OSError, and what `parse` raises."""
    return parse(path.read_bytes())


def parse(data: bytes) -> Proof:
    """Read the contents of a file.

    Raises InvalidArgument, naming the part, when it is not a proof, is of another version, is cut
    short or longer than it says, or is damaged.
    """
    if not data.startswith(_MAGIC):
        raise _refuse("is not a proof of bits per byte: it does not begin as one")
    if len(data) < FIXED_BYTES:
        raise _refuse(f"is cut short: {len(data)} bytes, and the least is {FIXED_BYTES}")
    prefix = _checked(data, 0, _PREFIX.size, "beginning")
    _, version, *lengths = _PREFIX.unpack(prefix)
    if version != _VERSION:
        raise _refuse(f"has version {version}; this program reads version {_VERSION}")
    expected = FIXED_BYTES + sum(lengths)
    if len(data) != expected:
        what = "cut short" if len(data) < expected else "longer than it says"
        raise _refuse(f"is {what}: {len(data)} bytes, and its beginning says {expected}")
    place = _PREFIX.size + _CRC.size
    parts = []
    for length, name in zip(lengths, ("header", "records", "codes"), strict=True):
        parts.append(_checked(data, place, length, name))
        place += length + _CRC.size
    stated = Totals(*_TOTALS.unpack_from(data, place))
    if hashlib.sha256(data[:-_DIGEST]).digest() != data[-_DIGEST:]:
        raise _refuse("is damaged: the SHA-256 at its end is not that of the rest")
    head, table, codes = parts
    try:
        content = json.loads(head)
        header = _header_from(content)
        records = tuple(_records(table, codes, content["subsets"]))
    except (ValueError, KeyError, TypeError, IndexError, struct.error) as error:
        raise _refuse(f"has a header or records that cannot be read ({error})") from None
    if totals_of(records) != stated:
        raise _refuse(f"states totals ({stated}) that its records do not add up to")
    return Proof(header, records, stated, len(data), data[-_DIGEST:].hex())


def join_bits(records: Sequence[Record]) -> bytes:
    """Put the bits of all codes one after the other, zeros at the end to a whole byte."""
    out = bytearray()
    pending, width = 0, 0
    for record in records:
        pending = (pending << record.bits) | _number(record.code, record.bits)
        width += record.bits
        whole, width = width // 8, width % 8
        out += (pending >> width).to_bytes(whole, "big")
        pending &= (1 << width) - 1
    if width:
        out.append(pending << (8 - width))
    return bytes(out)


def _number(code: bytes, bits: int) -> int:
    return int.from_bytes(code, "big") >> (8 * len(code) - bits)


def _slice_bits(codes: bytes, start: int, bits: int) -> bytes:
    """Take bits out, filled up with zeros to whole bytes. Raises ValueError past the end."""
    end = start + bits
    if end > 8 * len(codes):
        raise ValueError("the codes are shorter than the records say")
    value = int.from_bytes(codes[start // 8 : -(-end // 8)], "big")
    value = (value >> (-end % 8)) & ((1 << bits) - 1)
    return (value << (-bits % 8)).to_bytes(-(-bits // 8), "big")


def _pack(record: Record, subset: int) -> bytes:
    name = record.id.encode("utf-8", "surrogatepass")
    return (
        _LENGTH.pack(len(name))
        + name
        + _RECORD.pack(
            subset, record.sha256, record.text_bytes, record.tokens, record.nats, record.bits
        )
    )


def _records(table: bytes, codes: bytes, subsets: Sequence[str]) -> Iterator[Record]:
    place = start = 0
    while place < len(table):
        (length,) = _LENGTH.unpack_from(table, place)
        place += _LENGTH.size
        name = table[place : place + length].decode("utf-8", "surrogatepass")
        place += length
        subset, digest, size, tokens, nats, bits = _RECORD.unpack_from(table, place)
        place += _RECORD.size
        code = _slice_bits(codes, start, bits)
        start += bits
        yield Record(name, subsets[subset], digest, size, tokens, nats, bits, code)
    if len(codes) != -(-start // 8):
        raise ValueError("the codes are longer than the records say")


def _header_json(header: Header) -> dict[str, Any]:
    definition = asdict(header.definition)
    definition["preset"] = header.definition.preset.value
    definition["prefix"] = header.definition.prefix.value
    return {**asdict(header), "definition": definition}


def _header_from(content: dict[str, Any]) -> Header:
    definition = dict(content["definition"])
    definition["preset"] = Preset(definition["preset"])
    definition["prefix"] = Prefix(definition["prefix"])
    left_out = content["left_out"]
    if not isinstance(left_out, list) or not all(isinstance(one, str) for one in left_out):
        raise TypeError("left_out is not a list of ids")
    return Header(
        model=content["model"],
        model_digest=content["model_digest"],
        tokenizer=content["tokenizer"],
        vocabulary=int(content["vocabulary"]),
        definition=Definition(**definition),
        pins=Pins(**content["pins"]),
        rows=int(content["rows"]),
        left_out=tuple(left_out),
    )


def _checked(data: bytes, place: int, length: int, name: str) -> bytes:
    part = data[place : place + length]
    (expected,) = _CRC.unpack_from(data, place + length)
    if zlib.crc32(part) != expected:
        raise _refuse(f"is damaged: the checksum of its {name} differs; fetch it again")
    return part


def _refuse(problem: str) -> InvalidArgument:
    return InvalidArgument("proof", problem)

"""Compressors as baselines: the bits per byte of a text without a language model.

Each document is compressed separately, into the complete file that the command-line tool would
write and from which the text can be restored without anything else. So the container is counted: of
a zstd frame its header of 6 to 9 bytes and 3 bytes a block, without a checksum; of an .xz file its
two headers, block header, index, CRC-64 and footer, 56 to 72 bytes. This matters only for short
documents.
"""

from __future__ import annotations

import hashlib
import lzma
import math
from collections.abc import Callable
from dataclasses import dataclass

import zstandard

from services.common.license import License
from services.corpus.bpb.document_scoring import Progress, count_words
from services.corpus.bpb.exclusion import Exclusion
from services.corpus.bpb.figures import DocumentScore
from services.corpus.bpb.models.language_model import ModelInfo
from services.corpus.shards.documents import Document

_XZ_9E = 9 | lzma.PRESET_EXTREME
_XZ_DEPTH = 512  # places that -9e compares at each byte, at most
_NATS_A_BYTE = 8 * math.log(2)


@dataclass(frozen=True)
class Compressor:
    """A compressor at one setting, scored as a model is. Its tokens are the bytes of the text."""

    info: ModelInfo
    compress: Callable[[bytes], bytes]
    decompress: Callable[[bytes], bytes]

    def score(
        self,
        document: Document,
        progress: Progress,
        spans: frozenset[int] | None = None,  # noqa: ARG002  # `jobs` refuses samples of them
    ) -> DocumentScore:
        """Score one document; `progress` is called before and after, with the new tokens."""
        progress(0)
        data = self.compress(document.text)
        size = len(document.text)
        progress(size)
        return DocumentScore(
            id=document.id,
            subset=document.subset,
            nats=len(data) * _NATS_A_BYTE,
            text_bytes=size,
            tokens=size,
            excluded=self._excluded(document.text, data),
            words=count_words(document.text.decode(errors="replace")),
        )

    def _excluded(self, text: bytes, data: bytes) -> Exclusion | None:
        if not text:
            return Exclusion.EMPTY
        return None if self.decompress(data) == text else Exclusion.NOT_ROUND_TRIPPING


def _info(name: str, version: str, engine: str, license_: License) -> ModelInfo:
    digest = hashlib.sha256(f"{engine} {name} {version}".encode()).hexdigest()
    return ModelInfo(
        name=name,
        version=version,
        digest=f"sha256:{digest}",
        architecture="compressor",
        max_length=0,
        parameters=0,
        license=license_,
        reference=False,
        engine=engine,
        vocabulary=256,
        bos_token=None,
        eos_token=None,
    )


def _zstd(level: int) -> Compressor:
    version = ".".join(map(str, zstandard.ZSTD_VERSION))
    info = _info(f"zstd-{level}", version, "zstandard", License("BSD-3-Clause", "BSD 3-Clause"))
    compressor = zstandard.ZstdCompressor(level=level)
    decompressor = zstandard.ZstdDecompressor()
    return Compressor(info, compressor.compress, decompressor.decompress)


def _xz() -> Compressor:
    info = _info("xz", "9e", "liblzma", License("0BSD", "BSD Zero Clause"))
    return Compressor(info, _compress_xz, lzma.decompress)


def _compress_xz(text: bytes) -> bytes:
    """Compress as `xz -9e` does.

    Its tables for a dictionary of 64 MiB take longer to fill with zeros, about 50 ms, than a short
    text takes to compress. A smaller dictionary gives the same file size: a larger table separates
    more places whose 4 bytes differ, but -9e compares up to 512 places anyway.
    """
    if len(text) > _XZ_DEPTH:
        return lzma.compress(text, preset=_XZ_9E)
    filters = [{"id": lzma.FILTER_LZMA2, "preset": _XZ_9E, "dict_size": 1 << 16}]
    return lzma.compress(text, filters=filters)


COMPRESSORS = {made.info.name: made for made in (_zstd(19), _xz())}

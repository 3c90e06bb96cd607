"""The standard seek table of a zstd file with many frames, which other seekable readers use.

Source: zstd's contrib/seekable_format, version 0.1.0. It is a skippable frame at the end, so that
every other reader passes over it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_SKIPPABLE_MAGIC = 0x184D2A5E
_FOOTER_MAGIC = 0x8F92EAB1
_NO_CHECKSUMS = 0


def seek_table(
    compressed: npt.NDArray[np.unsignedinteger], decompressed: npt.NDArray[np.unsignedinteger]
) -> bytes:
    """Spell the table of frames with these sizes in bytes."""
    entries = np.column_stack((compressed, decompressed)).astype("<u4").tobytes()
    footer = len(compressed).to_bytes(4, "little") + bytes([_NO_CHECKSUMS])
    footer += _FOOTER_MAGIC.to_bytes(4, "little")
    size = (len(entries) + len(footer)).to_bytes(4, "little")
    return _SKIPPABLE_MAGIC.to_bytes(4, "little") + size + entries + footer

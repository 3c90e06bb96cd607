"""What cuts texts into tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.uint32]


class Cutter(Protocol):
    """Cuts texts into tokens."""

    def cut(self, texts: Sequence[bytes]) -> list[Ids]:
        """Cut texts in UTF-8, without special tokens; what is not UTF-8 becomes U+FFFD."""
        ...

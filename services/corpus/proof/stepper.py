"""What proving needs of a model: whole distributions, one token at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt


class Stepper(Protocol):
    """Reads several rows of tokens in step and gives the distribution of each one's next token.

    All rows are at the same position. The results are a function of the calls: whoever makes the
    same calls, with the same tokens, on the same engine, gets the same bits.
    """

    def begin(self, tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Forget everything, read tokens [rows, length] and return logits [rows, vocabulary]."""
        ...

    def step(self, tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Read one more token of each row, [rows], and return logits [rows, vocabulary]."""
        ...

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows only, in this order."""
        ...


@dataclass(frozen=True)
class Pins:
    """What the bits of a stepper's results depend on; a proof is decoded where all are the same.

    `processor` is its name, `instructions` what the libraries use of it, `versions` those of the
    libraries by name.
    """

    engine: str
    precision: str
    threads: int
    processor: str
    instructions: str
    versions: Mapping[str, str] = field(default_factory=dict)

    def differences(self, other: Pins) -> list[str]:
        """Say in words what is different, one phrase each: "threads 1 (here 2)"."""
        pairs = [
            (name, getattr(self, name), getattr(other, name))
            for name in ("engine", "precision", "threads", "processor", "instructions")
        ]
        names = sorted({*self.versions, *other.versions})
        pairs += [
            (name, self.versions.get(name, "none"), other.versions.get(name, "none"))
            for name in names
        ]
        return [f"{name} {there} (here {here})" for name, there, here in pairs if there != here]

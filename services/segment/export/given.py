"""What the exporting user says about a checkpoint, overriding or adding to its files. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from services.errors import InvalidArgument
from services.segment.manifest import Resampler

DEFAULT_THRESHOLD = 0.5


@dataclass(frozen=True)
class Given:
    """The user's statements; each is absent unless set.

    `size` is the model's input (height, width); `preprocessor` a preprocessor_config.json to read
    instead of the checkpoint's; `license` the id of the weights' licence; `threshold` the
    probability from which a pixel belongs to the class of a one-class model; `resampler` the
    library whose arithmetic resizes pictures.
    """

    size: tuple[int, int] | None = None
    preprocessor: Path | None = None
    license: str | None = None
    threshold: float | None = None
    resampler: Resampler = "pillow"

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 < self.threshold < 1:
            raise InvalidArgument("threshold", f"{self.threshold:g} is not between 0 and 1")

"""What the exporting user says of a checkpoint, in place of or beyond what its files say. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from services.errors import InvalidArgument
from services.segment.manifest import Resampler

DEFAULT_THRESHOLD = 0.5


@dataclass(frozen=True)
class Given:
    """Nothing unless it is set.

    `size` is the model's input (height, width); `preprocessor` a preprocessor_config.json to read
    in place of the checkpoint's; `license` the id of the weights' licence; `threshold` the
    probability from which on a pixel has the only class of a model that has one; `resampler` whose
    arithmetic resizes pictures.
    """

    size: tuple[int, int] | None = None
    preprocessor: Path | None = None
    license: str | None = None
    threshold: float | None = None
    resampler: Resampler = "pillow"

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 < self.threshold < 1:
            raise InvalidArgument("threshold", f"{self.threshold:g} is not between 0 and 1")

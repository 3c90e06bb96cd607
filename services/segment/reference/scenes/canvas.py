"""A picture being drawn: colours, labels, noise, and the camera's perspective. Needs only numpy.

Lengths on the picture are in units of its height: y runs from 0 (top) to 1 (bottom), x from 0 to
the aspect ratio. Lengths in the world are metres. The camera looks level over flat ground, so an
object of m metres that stands on the ground at row y is (y - horizon) * m / camera_height tall.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float32]
AnyFloats = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]
Labels = NDArray[np.uint8]
Window = tuple[slice, slice]
_TABLE = 256


def as_floats(values: ArrayLike) -> Floats:
    """Return the values as float32."""
    return np.asarray(values, np.float32)


def color(red: float, green: float, blue: float) -> Floats:
    """Return an RGB colour with components in [0, 1]."""
    return np.array((red, green, blue), np.float32)


def smoothstep(low: float, high: float, x: AnyFloats) -> Floats:
    """Return 0 below `low`, 1 above `high`, and a smooth ramp between."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


class Noise:
    """Smooth value noise in [0, 1] over the plane, from one table of random numbers."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._table = rng.random((_TABLE, _TABLE), np.float32)

    def at(self, x: AnyFloats, y: AnyFloats) -> Floats:
        """Return the noise at points; it varies over lengths of about 1."""
        column, row = np.floor(x), np.floor(y)
        u, v = (x - column).astype(np.float32), (y - row).astype(np.float32)
        u, v = u * u * (3 - 2 * u), v * v * (3 - 2 * v)
        i, j = row.astype(np.int32) % _TABLE, column.astype(np.int32) % _TABLE
        down, right = (i + 1) % _TABLE, (j + 1) % _TABLE
        table = self._table
        upper = table[i, j] * (1 - u) + table[i, right] * u
        lower = table[down, j] * (1 - u) + table[down, right] * u
        return (upper * (1 - v) + lower * v).astype(np.float32)

    def fractal(self, x: AnyFloats, y: AnyFloats, octaves: int) -> Floats:
        """Return noise of several scales: each octave halves both length and strength."""
        total, strength, norm = np.zeros(np.broadcast(x, y).shape, np.float32), 1.0, 0.0
        for octave in range(octaves):
            scale = float(2**octave)
            total += strength * self.at(x * scale + 17.3 * octave, y * scale + 5.1 * octave)
            norm += strength
            strength *= 0.5
        return total / np.float32(norm)


@dataclass(frozen=True)
class Light:
    """Where light comes from: the sun's x in the picture, tint of sunlit things, haze."""

    sun_x: float
    sun_y: float
    tint: Floats
    haze: Floats
    haze_per_metre: float
    contrast: float


class Canvas:
    """The picture, with the tools that every part of a scene uses to draw."""

    def __init__(
        self, rng: np.random.Generator, height: int, width: int, horizon: float, camera: float
    ) -> None:
        self.rng = rng
        self.noise = Noise(rng)
        self.horizon = horizon
        self.camera = camera
        self.aspect = width / height
        self.rgb = np.zeros((height, width, 3), np.float32)
        self.labels = np.zeros((height, width), np.uint8)
        columns, rows = np.arange(width) + 0.5, np.arange(height) + 0.5
        self.x = as_floats(columns / height)[None, :]
        self.y = as_floats(rows / height)[:, None]

    @property
    def center(self) -> float:
        """X of the vanishing point."""
        return self.aspect / 2

    def scale(self, y: float) -> float:
        """Return the picture's length of one metre that stands on the ground at row y."""
        return max(y - self.horizon, 1e-3) / self.camera

    def distance(self, y: float) -> float:
        """Return the distance in metres of the ground at row y."""
        return 1.0 / self.scale(y)

    def row(self, distance: float) -> float:
        """Return the row of the ground at that distance in metres."""
        return self.horizon + self.camera / distance

    def ground(self) -> tuple[Window, Floats, Floats]:
        """Return the window below the horizon and its ground coordinates (across, ahead), metres.

        Ahead is at most 400 m: farther ground looks the same.
        """
        first = int(np.searchsorted(self.y[:, 0], self.horizon))
        rows = self.y[first:]
        ahead = np.minimum(self.camera / np.maximum(rows - self.horizon, 1e-4), 400)
        across = (self.x - self.center) * ahead
        window = (slice(first, None), slice(None))
        return window, as_floats(across), as_floats(ahead + 0 * across)

    def window(self, x0: float, x1: float, y0: float, y1: float) -> Window | None:
        """Return the pixels of a rectangle; None if none is in the picture."""
        height, width = self.labels.shape
        rows = slice(max(int(y0 * height), 0), min(int(np.ceil(y1 * height)), height))
        columns = slice(max(int(x0 * height), 0), min(int(np.ceil(x1 * height)), width))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return None
        return rows, columns

    def grid(self, window: Window) -> tuple[Floats, Floats]:
        """Return x as a row and y as a column for a window's pixels."""
        return self.x[:, window[1]], self.y[window[0]]

    def paint(self, window: Window, mask: Mask, paint: AnyFloats, label: int | None) -> None:
        """Colour a window's masked pixels; `label` None keeps their labels."""
        region = self.rgb[window]
        values = np.broadcast_to(paint, region.shape)
        region[mask] = values[mask]
        if label is not None:
            self.labels[window][mask] = label

    def shade(self, window: Window, strength: AnyFloats) -> None:
        """Darken a window by a factor 1 - strength."""
        self.rgb[window] *= (1 - strength)[..., None]

    def shadow(self, x: float, y: float, half_width: float) -> None:
        """Draw the soft contact shadow of something that stands at (x, y)."""
        half_height = max(half_width * 0.22, 0.004)
        window = self.window(
            x - 1.5 * half_width, x + 1.5 * half_width, y - 1.5 * half_height, y + 1.5 * half_height
        )
        if window is None:
            return
        gx, gy = self.grid(window)
        reach = np.hypot((gx - x) / half_width, (gy - y) / half_height)
        strength = 0.5 * (1 - smoothstep(0.3, 1.4, reach))
        below = self.y[window[0]] > self.horizon
        self.shade(window, (strength * below).astype(np.float32))


def hazed(paint: AnyFloats, light: Light, distance: AnyFloats | float) -> Floats:
    """Return a colour as seen through that many metres of air."""
    clear = np.exp(-light.haze_per_metre * np.asarray(distance, np.float32))
    if clear.ndim:
        clear = clear[..., None]
    return as_floats(paint * clear + light.haze * (1 - clear))

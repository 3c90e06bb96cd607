"""Buildings: along a street in perspective, and free-standing ones. Needs only numpy."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from services.segment.reference.scenes.canvas import Canvas, Floats, Light, as_floats, color, hazed
from services.segment.reference.scenes.labels import BUILDING

_WALLS = (
    (0.72, 0.66, 0.56), (0.62, 0.36, 0.28), (0.78, 0.76, 0.72), (0.56, 0.52, 0.5),
    (0.8, 0.68, 0.5), (0.5, 0.42, 0.38), (0.68, 0.72, 0.74),
)  # fmt: skip


@dataclass(frozen=True)
class _Facade:
    wall: Floats
    glass: Floats
    pitch: float
    floor: float
    share: float


def _facade(canvas: Canvas) -> _Facade:
    rng = canvas.rng
    wall = color(*_WALLS[int(rng.integers(len(_WALLS)))]) * rng.uniform(0.85, 1.1)
    glass = color(0.2, 0.26, 0.33) * rng.uniform(0.6, 1.5)
    return _Facade(
        wall, glass, rng.uniform(2.2, 3.8), rng.uniform(2.9, 3.6), rng.uniform(0.35, 0.65)
    )


def _wall(
    canvas: Canvas,
    light: Light,
    facade: _Facade,
    *,
    along: Floats,
    up: Floats,
    away: Floats,
    lit: float,
) -> Floats:
    """Return a wall's colour at metres along it and metres up; windows blur with distance."""
    inside = (1 - facade.share) / 2
    column, row = along / facade.pitch % 1, up / facade.floor % 1
    window = (np.abs(column - 0.5) < 0.5 - inside) & (np.abs(row - 0.52) < 0.3) & (up > 0.6)
    pane = canvas.noise.at(np.floor(along / facade.pitch) * 5.7, np.floor(up / facade.floor) * 9.1)
    grime = canvas.noise.fractal(along * 0.7, up * 0.7, 2)
    wall = facade.wall * (lit * (0.86 + 0.28 * grime))[..., None] * light.tint
    glass = facade.glass * (0.6 + 0.9 * pane)[..., None] + 0.18 * light.haze
    visible = np.exp(-away / 90) * window
    return hazed(wall + (glass - wall) * visible[..., None], light, away)


def draw_street_side(canvas: Canvas, light: Light, side: int, offset: float) -> None:
    """Draw the row of buildings on one side (-1 left, 1 right), `offset` metres from the middle.

    Draws from the farthest to the nearest: of each, first the wall that faces the camera, then the
    wall along the street.
    """
    rng, center = canvas.rng, canvas.center
    edges = [float(rng.uniform(3, 8))]
    while edges[-1] < 130:
        edges.append(edges[-1] + float(rng.uniform(8, 22)))
    to_sun = side * np.sign(center - light.sun_x) * light.contrast
    for near, far in reversed(list(pairwise(edges))):
        facade, metres = _facade(canvas), float(rng.uniform(6, 26))
        if rng.random() < 0.15:
            continue
        foot = canvas.row(near)
        # The wall that faces the camera, 14 m deep into the block.
        x0, x1 = sorted((center + side * offset / near, center + side * (offset + 14) / near))
        _box(canvas, light, facade, span=(x0, x1), y=foot, metres=metres, lit=0.8)
        x0, x1 = sorted((center + side * offset / near, center + side * offset / far))
        window = canvas.window(x0, x1, -1, foot)
        if window is None:
            continue
        gx, gy = canvas.grid(window)
        away = offset / np.maximum(np.abs(gx - center), 1e-4)
        up = (canvas.horizon - gy) * away + canvas.camera
        away = as_floats(np.broadcast_to(away, up.shape))
        mask = (up > 0) & (up < metres) & (away >= near) & (away <= far)
        lit = 0.88 + 0.14 * to_sun
        paint = _wall(canvas, light, facade, along=away, up=up, away=away, lit=lit)
        canvas.paint(window, mask, np.clip(paint, 0, 1), BUILDING)


def _box(
    canvas: Canvas,
    light: Light,
    facade: _Facade,
    *,
    span: tuple[float, float],
    y: float,
    metres: float,
    lit: float,
) -> None:
    """Draw a wall that faces the camera, `metres` high, from span[0] to span[1], its foot at y."""
    unit, away = canvas.scale(y), canvas.distance(y)
    window = canvas.window(span[0], span[1], y - metres * unit, y)
    if window is None:
        return
    gx, gy = canvas.grid(window)
    along = np.broadcast_to((gx - span[0]) / unit, canvas.labels[window].shape)
    up = np.broadcast_to((y - gy) / unit, along.shape)
    far = np.full(along.shape, away, np.float32)
    paint = _wall(canvas, light, facade, along=along, up=up, away=far, lit=lit)
    canvas.paint(window, (up >= 0) & (up <= metres), np.clip(paint, 0, 1), BUILDING)


def draw_house(canvas: Canvas, light: Light, x: float, y: float) -> None:
    """Draw a house with a pitched roof."""
    rng, unit, away = canvas.rng, canvas.scale(y), canvas.distance(y)
    half, walls = rng.uniform(4, 8) * unit, rng.uniform(2.8, 5.8)
    canvas.shadow(x, y, half * 1.1)
    facade = _facade(canvas)
    _box(canvas, light, facade, span=(x - half, x + half), y=y, metres=walls, lit=0.95)
    eaves = y - walls * unit
    ridge = rng.uniform(1.8, 3.2) * unit
    window = canvas.window(x - half * 1.15, x + half * 1.15, eaves - ridge, eaves)
    if window is None:
        return
    gx, gy = canvas.grid(window)
    up = (eaves - gy) / ridge
    roof = (np.abs(gx - x) < half * (1.12 - 0.45 * up)) & (up >= 0) & (up <= 1)
    tiles = 0.8 + 0.25 * ((up * 7) % 1) + 0 * gx
    red = color(rng.uniform(0.35, 0.6), rng.uniform(0.2, 0.3), rng.uniform(0.15, 0.25))
    paint = hazed(np.clip(red * tiles[..., None] * light.tint, 0, 1), light, away)
    canvas.paint(window, roof, paint, BUILDING)


def draw_tower(canvas: Canvas, light: Light, x: float, y: float) -> None:
    """Draw a tall block, as a skyline has."""
    rng, unit = canvas.rng, canvas.scale(y)
    half = rng.uniform(6, 14) * unit
    metres, facade = float(rng.uniform(15, 60)), _facade(canvas)
    _box(canvas, light, facade, span=(x - half, x + half), y=y, metres=metres, lit=0.92)
    _box(canvas, light, facade, span=(x + half, x + half * 1.5), y=y, metres=metres, lit=0.66)

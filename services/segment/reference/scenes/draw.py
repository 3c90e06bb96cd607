"""Draws labelled scenes: a coast, a street, a countryside. Needs only numpy.

Every pixel's class is known because the scene is drawn. Tests, demonstrations and the training of
the reference model use these scenes instead of photographs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from services.segment.reference.scenes import buildings, ground, things
from services.segment.reference.scenes.canvas import Canvas, Floats, Light
from services.segment.reference.scenes.labels import EARTH

KINDS = ("coast", "street", "countryside")


def draw_scene(
    seed: int, height: int, width: int, kind: str | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw the scene of that seed: (height, width, 3) RGB, and (height, width) ADE20K class ids.

    The same arguments give the same scene. `kind` is one of KINDS; by default the seed decides.
    Raises ValueError for a size below 8 pixels or an unknown kind.
    """
    if min(height, width) < 8:
        raise ValueError(f"a scene needs at least 8 x 8 pixels, not {height} x {width}")
    rng = np.random.default_rng((seed, 20))
    chosen = str(rng.choice(KINDS))
    if kind is not None:
        if kind not in KINDS:
            raise ValueError(f"kind {kind!r} is unknown; known: {', '.join(KINDS)}")
        chosen = kind
    camera = float(rng.uniform(1.6, 3.2))
    canvas = Canvas(rng, height, width, float(rng.uniform(0.34, 0.58)), camera)
    light = ground.draw_light(canvas)
    ground.draw_sky(canvas, light)
    _, across, ahead = canvas.ground()
    draw = {"coast": _coast, "street": _street, "countryside": _countryside}[chosen]
    draw(canvas, light, across, ahead)
    return _develop(canvas), canvas.labels


def _coast(canvas: Canvas, light: Light, across: Floats, ahead: Floats) -> None:
    rng = canvas.rng
    if rng.random() < 0.6:
        ground.draw_mountains(canvas, light, float(rng.uniform(0.05, 0.22)))
    is_sea = ground.lay_beach(canvas, light, across, ahead)
    rows = canvas.y[canvas.ground()[0][0], 0]

    def at_sea(x: float, y: float) -> bool:
        i = int(np.clip(np.searchsorted(rows, y), 0, len(rows) - 1))
        j = int(np.clip(x / canvas.aspect * is_sea.shape[1], 0, is_sea.shape[1] - 1))
        return bool(is_sea[i, j])

    for distance in sorted(rng.uniform(25, 90, int(rng.integers(0, 5))), reverse=True):
        x, y = float(rng.uniform(0, canvas.aspect)), canvas.row(float(distance))
        if at_sea(x, y):
            things.draw_boat(canvas, light, x, y)
    for distance in sorted(rng.uniform(2.5, 16, int(rng.integers(2, 10))), reverse=True):
        x, y = float(rng.uniform(0, canvas.aspect)), canvas.row(float(distance))
        if at_sea(x, y):
            continue
        thing = rng.choice(["person", "rock", "tree"], p=[0.5, 0.3, 0.2])
        if thing == "person":
            things.draw_person(canvas, light, x, y)
        elif thing == "rock":
            things.draw_rock(canvas, light, x, y, float(rng.uniform(0.5, 2.2)))
        elif distance > 6:
            things.draw_tree(canvas, light, x, y, float(rng.uniform(4, 8)))


def _street(canvas: Canvas, light: Light, across: Floats, ahead: Floats) -> None:
    rng = canvas.rng
    if rng.random() < 0.3:
        ground.draw_mountains(canvas, light, float(rng.uniform(0.05, 0.15)))
    ground.lay_meadow(canvas, light, across, ahead)
    half, kerb = float(rng.uniform(3, 5)), float(rng.uniform(2, 4.5))
    ground.lay_road(canvas, light, across, ahead, half, kerb=kerb)
    verge = float(rng.choice([0.2, 3.0], p=[0.7, 0.3]))
    for facing in (-1, 1):
        buildings.draw_street_side(canvas, light, facing, half + kerb + verge)
    near = max(2.5, canvas.camera * 1.4)
    for distance in sorted(rng.uniform(near, 60, int(rng.integers(6, 22))), reverse=True):
        y, side = canvas.row(float(distance)), float(rng.choice([-1.0, 1.0]))
        thing = rng.choice(["tree", "person", "car"], p=[0.3, 0.35, 0.35])
        if thing == "tree" and distance > 8:
            x = canvas.center + side * (half + kerb * 0.75) / float(distance)
            things.draw_tree(canvas, light, x, y, float(rng.uniform(4, 9)))
        elif thing == "person" and distance < 25:
            beside = half + kerb * float(rng.uniform(0.1, 0.9))
            x = canvas.center + side * beside / float(distance)
            things.draw_person(canvas, light, x, y)
        elif 4 < distance < 40:
            x = canvas.center + side * half * float(rng.choice([0.5, 0.75])) / float(distance)
            things.draw_car_end(canvas, light, x, y)


def _countryside(canvas: Canvas, light: Light, across: Floats, ahead: Floats) -> None:
    rng = canvas.rng
    if rng.random() < 0.75:
        ground.draw_mountains(canvas, light, float(rng.uniform(0.08, 0.3)))
    ground.lay_meadow(canvas, light, across, ahead)
    if rng.random() < 0.3:
        for _ in range(int(rng.integers(2, 8))):
            x = float(rng.uniform(0, canvas.aspect))
            buildings.draw_tower(canvas, light, x, canvas.row(float(rng.uniform(70, 150))))
    bend, start = float(rng.uniform(-0.02, 0.02)), float(rng.uniform(-5, 5))
    middle = across - start - bend * ahead**2 * np.exp(-ahead / 60)
    has_road = rng.random() < 0.45
    if has_road:
        ground.lay_road(canvas, light, middle, ahead, float(rng.uniform(2.5, 4)), kerb=0)
    elif rng.random() < 0.8:
        bare = np.abs(middle) + 2.5 * (canvas.noise.fractal(across * 0.3, ahead * 0.3, 3) - 0.5)
        where = bare < rng.uniform(1.2, 5)
        canvas.paint(canvas.ground()[0], where, ground.earth(canvas, light, across, ahead), EARTH)
    for distance in sorted(rng.uniform(3, 90, int(rng.integers(6, 26))), reverse=True):
        x, y = float(rng.uniform(0, canvas.aspect)), canvas.row(float(distance))
        thing = rng.choice(
            ["tree", "rock", "house", "person", "car"], p=[0.5, 0.15, 0.12, 0.13, 0.1]
        )
        if thing == "tree" and distance > 9:
            things.draw_tree(canvas, light, x, y, float(rng.uniform(4, 12)))
        elif thing == "rock" and distance < 30:
            things.draw_rock(canvas, light, x, y, float(rng.uniform(0.6, 2.5)))
        elif thing == "house" and distance > 18:
            buildings.draw_house(canvas, light, x, y)
        elif thing == "person" and distance < 25:
            things.draw_person(canvas, light, x, y)
        elif thing == "car" and 6 < distance < 50:
            things.draw_car_side(canvas, light, x, y)


def _develop(canvas: Canvas) -> NDArray[np.uint8]:
    """Turn the drawn colours into a photograph's: soft edges, exposure, vignette, sensor noise."""
    rng, rgb = canvas.rng, canvas.rgb
    padded = np.pad(rgb, ((1, 1), (0, 0), (0, 0)), mode="edge")
    rgb = padded[:-2] * 0.2 + padded[1:-1] * 0.6 + padded[2:] * 0.2
    padded = np.pad(rgb, ((0, 0), (1, 1), (0, 0)), mode="edge")
    rgb = padded[:, :-2] * 0.2 + padded[:, 1:-1] * 0.6 + padded[:, 2:] * 0.2
    reach = np.hypot((canvas.x - canvas.center) / canvas.aspect, canvas.y - 0.5)
    rgb = rgb * (1 - 0.25 * reach**2)[..., None] * rng.uniform(0.85, 1.12)
    rgb = rgb + rng.normal(0, rng.uniform(0.004, 0.02), rgb.shape).astype(np.float32)
    picture: NDArray[np.uint8] = np.clip(rgb * 255 + 0.5, 0, 255).astype(np.uint8)
    return picture

"""Things in a scene: trees, cars, people, boats, rocks. Needs only numpy.

Every function draws one thing that stands on the ground at (x, y) of the picture, sized by the
camera's perspective, and labels its pixels.
"""

from __future__ import annotations

import numpy as np

from services.segment.reference.scenes.canvas import (
    Canvas,
    Floats,
    Light,
    Mask,
    Window,
    color,
    hazed,
    smoothstep,
)
from services.segment.reference.scenes.labels import BOAT, CAR, PERSON, ROCK, TREE

_CAR_PAINTS = (
    (0.75, 0.1, 0.1), (0.12, 0.2, 0.55), (0.88, 0.88, 0.88), (0.1, 0.1, 0.12),
    (0.55, 0.57, 0.6), (0.85, 0.65, 0.1), (0.1, 0.4, 0.25),
)  # fmt: skip


def draw_tree(canvas: Canvas, light: Light, x: float, y: float, metres: float) -> None:
    """Draw a broad-leaved tree or a conifer."""
    rng, unit, away = canvas.rng, canvas.scale(y), canvas.distance(y)
    tall = metres * unit
    half = tall * rng.uniform(0.28, 0.42)
    conifer = rng.random() < 0.3
    canvas.shadow(x, y, half * 0.8)
    window = canvas.window(x - half * 1.3, x + half * 1.3, y - tall * 1.1, y + 0.002)
    if window is None:
        return
    gx, gy = canvas.grid(window)
    up = (y - gy) / tall
    side = (gx - x) / half
    trunk = (np.abs(side) < 0.1 * (1.4 - up)) & (up > 0) & (up < 0.6)
    bark = color(0.3, 0.22, 0.15) * light.tint * rng.uniform(0.7, 1.2)
    canvas.paint(window, trunk, hazed(bark, light, away), TREE)
    leaf_scale = 9 / tall
    leaves = canvas.noise.fractal(gx * leaf_scale + x * 91, gy * leaf_scale + x * 57, 4)
    if conifer:
        green = color(rng.uniform(0.08, 0.16), rng.uniform(0.22, 0.34), rng.uniform(0.12, 0.2))
        skirt = (up * 7) % 1.0
        reach = (1 - up) * 0.85 - 0.22 * skirt + 0.6 * (leaves - 0.5) * (1 - up)
        crown = (np.abs(side) < reach) & (up > 0.12) & (up < 1)
        bright = 0.55 + 0.9 * leaves - 0.3 * skirt
    else:
        green = color(rng.uniform(0.12, 0.3), rng.uniform(0.28, 0.45), rng.uniform(0.06, 0.16))
        field = np.full(leaves.shape, 9.0, np.float32)
        for _ in range(int(rng.integers(4, 8))):
            cx, cy = rng.uniform(-0.5, 0.5), rng.uniform(0.5, 0.82)
            radius = rng.uniform(0.35, 0.6)
            blob = np.hypot(side - cx, (up - cy) * 2.4) / radius
            field = np.minimum(field, blob)
        crown = field + 1.1 * (leaves - 0.5) < 1
        bright = 0.45 + 0.9 * leaves + 0.25 * (up - 0.6)
    lit = 0.14 * np.sign(light.sun_x - x) * light.contrast * side
    paint = green * (bright + lit)[..., None] * light.tint
    canvas.paint(window, crown, hazed(np.clip(paint, 0.01, 1), light, away), TREE)


def draw_car_side(canvas: Canvas, light: Light, x: float, y: float) -> None:
    """Draw a car from its side."""
    rng, unit, away = canvas.rng, canvas.scale(y), canvas.distance(y)
    tall, half = 1.45 * unit, 2.1 * unit
    canvas.shadow(x, y, half)
    window = canvas.window(x - half, x + half, y - tall, y + 0.003)
    if window is None:
        return
    gx, gy = canvas.grid(window)
    up, side = (y - gy) / tall, (gx - x) / half * rng.choice([-1, 1])
    body = (up > 0.16) & (up < 0.6 - 0.1 * side**4) & (np.abs(side) < 1 - 0.25 * (up - 0.4) ** 2)
    cabin_edge = 0.62 - 0.55 * np.clip(up - 0.58, 0, 1)
    cabin = (up >= 0.55) & (up < 1) & (side > -cabin_edge - 0.12) & (side < cabin_edge - 0.06)
    glass = cabin & (up > 0.62) & (up < 0.93) & (np.abs(side + 0.08) > 0.03)
    glass &= (side > -cabin_edge - 0.04) & (side < cabin_edge - 0.14)
    _car_paint(canvas, light, window, body=body | cabin, glass=glass, up=up, away=away)
    for hub in (-0.6, 0.6):
        wheel = np.hypot((side - hub) * half, (up - 0.2) * tall) / (0.33 * unit)
        canvas.paint(window, wheel < 1, hazed(color(0.06, 0.06, 0.07), light, away), CAR)
        canvas.paint(window, wheel < 0.5, hazed(0.6 * light.tint, light, away), CAR)


def draw_car_end(canvas: Canvas, light: Light, x: float, y: float) -> None:
    """Draw a car from behind."""
    unit, away = canvas.scale(y), canvas.distance(y)
    tall, half = 1.5 * unit, 0.92 * unit
    canvas.shadow(x, y, half * 1.2)
    window = canvas.window(x - half, x + half, y - tall, y + 0.003)
    if window is None:
        return
    gx, gy = canvas.grid(window)
    up, side = (y - gy) / tall, np.abs(gx - x) / half
    body = (up > 0.14) & (up < 0.62) & (side < 1 - 0.5 * np.clip(0.25 - up, 0, 1))
    cabin = (up >= 0.6) & (up < 1) & (side < 0.92 - 0.55 * (up - 0.6))
    glass = cabin & (up > 0.66) & (up < 0.93) & (side < 0.8 - 0.55 * (up - 0.6))
    _car_paint(canvas, light, window, body=body | cabin, glass=glass, up=up, away=away)
    tyres = (up > 0) & (up < 0.2) & (side > 0.62) & (side < 0.95)
    canvas.paint(window, tyres, hazed(color(0.05, 0.05, 0.06), light, away), CAR)
    lamps = (up > 0.44) & (up < 0.55) & (side > 0.7) & (side < 0.96)
    canvas.paint(window, lamps, hazed(color(0.8, 0.08, 0.06), light, away), CAR)
    plate = (up > 0.3) & (up < 0.38) & (side < 0.26)
    canvas.paint(window, plate, hazed(0.85 * light.tint, light, away), CAR)


def _car_paint(
    canvas: Canvas,
    light: Light,
    window: Window,
    *,
    body: Mask,
    glass: Mask,
    up: Floats,
    away: float,
) -> None:
    """Paint a car's body, shining at the waist, and its glass."""
    paint = color(*_CAR_PAINTS[int(canvas.rng.integers(len(_CAR_PAINTS)))])
    gloss = 0.72 + 0.5 * smoothstep(0.2, 0.9, up)
    gloss = gloss + 0.35 * np.exp(-(((up - 0.55) / 0.04) ** 2))
    shape = body.shape
    shiny = np.clip(paint * np.broadcast_to(gloss, shape)[..., None] * light.tint, 0, 1)
    canvas.paint(window, body, hazed(shiny, light, away), CAR)
    mirror = 0.14 + 0.32 * np.broadcast_to(up, shape)[..., None] * light.haze
    canvas.paint(window, glass, hazed(mirror, light, away), CAR)


def draw_person(canvas: Canvas, light: Light, x: float, y: float) -> None:
    """Draw a person standing or walking."""
    rng, unit, away = canvas.rng, canvas.scale(y), canvas.distance(y)
    tall = rng.uniform(1.5, 1.9) * unit
    half = tall * 0.22
    canvas.shadow(x, y, half * 0.9)
    window = canvas.window(x - half, x + half, y - tall, y + 0.003)
    if window is None:
        return
    gx, gy = canvas.grid(window)
    up, side = (y - gy) / tall, (gx - x) / tall
    stride = rng.uniform(0.02, 0.09)
    shirt = np.clip(rng.uniform(0.1, 0.95, 3), 0, 1).astype(np.float32)
    trousers = np.clip(rng.uniform(0.05, 0.5, 3), 0, 1).astype(np.float32)
    skin = color(0.85, 0.65, 0.5) * rng.uniform(0.4, 1.1)
    hair = color(0.2, 0.14, 0.09) * rng.uniform(0.3, 2.2)
    leg = np.minimum(np.abs(side - stride * (0.5 - up) * 2), np.abs(side + stride * (0.5 - up) * 2))
    legs = (leg < 0.042) & (up > 0) & (up < 0.5)
    torso = (np.abs(side) < 0.085 + 0.04 * (up - 0.5)) & (up >= 0.46) & (up < 0.83)
    arm = np.abs(np.abs(side) - 0.112 - 0.09 * (0.8 - up))
    arms = (arm < 0.024) & (up > 0.44) & (up < 0.81)
    head = np.hypot(side, (up - 0.915) * 0.85) < 0.062
    crown = head & (up > 0.93)
    lit = (1 + 1.6 * side * np.sign(light.sun_x - x) * light.contrast)[..., None]
    for mask, paint in (
        (legs, trousers), (torso, shirt), (arms, shirt * 0.85), (head, skin), (crown, hair),
    ):  # fmt: skip
        painted = np.clip(paint * lit * light.tint, 0, 1)
        canvas.paint(window, mask, hazed(painted, light, away), PERSON)


def draw_boat(canvas: Canvas, light: Light, x: float, y: float) -> None:
    """Draw a sailing boat on the sea."""
    rng, unit, away = canvas.rng, canvas.scale(y), canvas.distance(y)
    long = rng.uniform(7, 13) * unit
    mast = long * rng.uniform(1.0, 1.4)
    canvas.shadow(x, y, long * 0.5)
    window = canvas.window(x - long * 0.55, x + long * 0.55, y - mast, y + 0.003)
    if window is None:
        return
    gx, gy = canvas.grid(window)
    way = rng.choice([-1, 1])
    side, up = (gx - x) / long * way, (y - gy) / long
    tint = light.tint
    hull = (up > 0) & (up < 0.15) & (side > -0.46 + 0.3 * (0.15 - up))
    hull &= side < 0.5 - 1.2 * (0.15 - up)
    sail_paint = color(0.96, 0.94, 0.9) if rng.random() < 0.7 else color(*rng.uniform(0.3, 0.9, 3))
    high = mast / long
    main = (side < 0.05) & (side > 0.05 - 0.42 * (1 - (up - 0.2) / (high - 0.2))) & (up > 0.2)
    jib = (side > 0.08) & (side < 0.08 + 0.36 * (1 - (up - 0.2) / (high * 0.85 - 0.2))) & (up > 0.2)
    pole = (np.abs(side - 0.065) < 0.014) & (up > 0.1)
    hull_paint = color(*rng.uniform(0.1, 0.9, 3))
    for mask, paint in (
        (pole, color(0.4, 0.3, 0.2)), (main, sail_paint), (jib, sail_paint * 0.9),
        (hull, hull_paint),
    ):  # fmt: skip
        canvas.paint(window, mask, hazed(np.clip(paint * tint, 0, 1), light, away * 0.5), BOAT)


def draw_rock(canvas: Canvas, light: Light, x: float, y: float, metres: float) -> None:
    """Draw a boulder."""
    rng, unit, away = canvas.rng, canvas.scale(y), canvas.distance(y)
    half = metres * unit * 0.7
    tall = metres * unit * rng.uniform(0.6, 0.9)
    canvas.shadow(x, y, half * 1.2)
    window = canvas.window(x - half * 1.2, x + half * 1.2, y - tall * 1.2, y + tall * 0.15)
    if window is None:
        return
    gx, gy = canvas.grid(window)
    side, up = (gx - x) / half, (y - gy) / tall
    rough = canvas.noise.fractal(side * 2.2 + x * 71, up * 2.2 + y * 53, 4)
    body = (np.hypot(side, np.maximum(up, 0)) + 0.6 * (rough - 0.5) < 0.95) & (up > -0.1)
    gray = color(0.47, 0.45, 0.43) * rng.uniform(0.75, 1.15)
    lit = 0.5 + 0.75 * rough + 0.25 * up + 0.2 * side * np.sign(light.sun_x - x) * light.contrast
    canvas.paint(
        window, body, hazed(np.clip(gray * lit[..., None] * light.tint, 0, 1), light, away), ROCK
    )

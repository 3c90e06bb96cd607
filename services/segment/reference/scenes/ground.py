"""The setting of a scene: sky, mountains, and the ground with its materials. Needs only numpy."""

from __future__ import annotations

import numpy as np

from services.segment.reference.scenes.canvas import (
    Canvas,
    Floats,
    Light,
    Mask,
    color,
    hazed,
    smoothstep,
)
from services.segment.reference.scenes.labels import GRASS, MOUNTAIN, ROAD, SAND, SEA, SIDEWALK, SKY


def draw_light(canvas: Canvas) -> Light:
    """Choose the time of day and the weather."""
    rng = canvas.rng
    sun_x = float(rng.uniform(-0.2, 1.2) * canvas.aspect)
    sun_y = float(canvas.horizon * rng.uniform(0.1, 0.8))
    kind = rng.choice(["day", "dusk", "overcast"], p=[0.6, 0.2, 0.2])
    haze = float(rng.uniform(0.001, 0.006))
    if kind == "day":
        return Light(
            sun_x, sun_y, color(1.05, 1.0, 0.94), color(0.78, 0.86, 0.94), haze, rng.uniform(0.8, 1)
        )
    if kind == "dusk":
        return Light(
            sun_x, sun_y, color(1.1, 0.88, 0.7), color(0.95, 0.76, 0.6), haze, rng.uniform(0.7, 1)
        )
    return Light(
        sun_x, sun_y, color(0.9, 0.93, 0.97), color(0.8, 0.82, 0.84), haze, rng.uniform(0.4, 0.6)
    )


def draw_sky(canvas: Canvas, light: Light) -> None:
    """Fill the whole picture with sky: a gradient to the horizon, the sun's glow, clouds."""
    rng = canvas.rng
    blue = color(rng.uniform(0.16, 0.34), rng.uniform(0.38, 0.52), rng.uniform(0.68, 0.9))
    zenith = light.haze * (1 - light.contrast) + blue * light.contrast * light.tint
    up = np.clip(1 - canvas.y / max(canvas.horizon, 1e-3), 0, 1) ** 0.7
    sky = light.haze + (zenith - light.haze) * up[..., None] + 0 * canvas.x[..., None]
    reach = np.hypot(canvas.x - light.sun_x, canvas.y - light.sun_y)
    glow = np.exp(-reach / 0.18)[..., None] * light.contrast
    sky = sky + (light.tint - sky) * glow * 0.8
    # Clouds lie on a plane above: farther ones are flatter, as the ground is.
    ahead = 0.6 / np.maximum(canvas.horizon + 0.12 - canvas.y, 0.06)
    across = (canvas.x - canvas.center) * ahead * 1.6
    shift = rng.uniform(0, 200, 2)
    density = canvas.noise.fractal(
        (across + shift[0]).astype(np.float32), (ahead * 2 + shift[1]).astype(np.float32), 4
    )
    low = rng.uniform(0.45, 0.62)
    cover = (smoothstep(low, low + 0.18, density) * 0.9)[..., None]
    cloud = 0.72 + 0.28 * smoothstep(low + 0.25, low, density)[..., None]
    sky = sky + (cloud * light.tint - sky) * cover
    canvas.rgb[:] = sky
    canvas.labels[:] = SKY


def draw_mountains(canvas: Canvas, light: Light, height: float) -> None:
    """Draw two or three ridges behind each other, the highest about `height` above the horizon."""
    rng, x = canvas.rng, canvas.x[0]
    ridges = int(rng.integers(2, 4))
    rock = color(rng.uniform(0.28, 0.42), rng.uniform(0.27, 0.37), rng.uniform(0.25, 0.36))
    snow_line = rng.uniform(0.45, 1.6) * height
    for ridge in range(ridges):
        far = 1 - ridge / ridges
        wave = canvas.noise.fractal(
            x * rng.uniform(1.5, 3.5) + rng.uniform(0, 200), np.full_like(x, ridge * 9.7), 5
        )
        crest = canvas.horizon - height * (0.35 + 0.65 * far) * np.clip(wave * 2 - 0.45, 0.03, 2)
        top = float(crest.min())
        window = canvas.window(0, canvas.aspect, top, canvas.horizon + 0.01)
        if window is None:
            continue
        gx, gy = canvas.grid(window)
        below = gy - crest[window[1]]
        slope = canvas.noise.fractal(gx * 14 + below * 9, gy * 22 + ridge * 31 + 0 * gx, 4)
        side = np.gradient(crest, x)[window[1]] * np.sign(light.sun_x - canvas.center) / 4
        bright = 0.55 + 0.75 * slope + 0.25 * np.clip(side, -1, 1)
        paint = rock * bright[..., None] * light.tint
        rise = canvas.horizon - gy + 0 * gx + 0.04 * slope
        snow = smoothstep(snow_line, snow_line * 1.15, rise.astype(np.float32))[..., None]
        paint = paint + (0.93 * light.tint * (0.7 + 0.4 * slope[..., None]) - paint) * snow
        paint = hazed(paint, light, 60 + 110 * far)
        canvas.paint(window, below > 0, paint, MOUNTAIN)


def grass(canvas: Canvas, light: Light, across: Floats, ahead: Floats) -> Floats:
    """Return the colour of grass at ground coordinates."""
    rng = canvas.rng
    base = color(rng.uniform(0.2, 0.42), rng.uniform(0.4, 0.55), rng.uniform(0.1, 0.2))
    patches = canvas.noise.fractal(across * 0.25, ahead * 0.25, 3)
    blades = canvas.noise.at(across * 9, ahead * 5)
    near = np.exp(-ahead / 12)
    bright = 0.6 + 0.55 * patches + 0.35 * (blades - 0.5) * near
    return hazed(base * bright[..., None] * light.tint, light, ahead)


def earth(canvas: Canvas, light: Light, across: Floats, ahead: Floats) -> Floats:
    """Return the colour of bare ground at ground coordinates."""
    rng = canvas.rng
    base = color(rng.uniform(0.42, 0.54), rng.uniform(0.3, 0.37), rng.uniform(0.18, 0.25))
    clods = canvas.noise.fractal(across * 1.4, ahead * 1.4, 4)
    return hazed(base * (0.5 + 0.95 * clods)[..., None] * light.tint, light, ahead)


def asphalt(canvas: Canvas, light: Light, across: Floats, ahead: Floats) -> Floats:
    """Return the colour of a road's surface at ground coordinates."""
    gray = canvas.rng.uniform(0.24, 0.4)
    grain = canvas.noise.at(across * 21, ahead * 12)
    worn = canvas.noise.fractal(across * 0.8, ahead * 0.15, 2)
    bright = gray * (0.85 + 0.25 * worn + 0.22 * (grain - 0.5) * np.exp(-ahead / 10))
    return hazed(bright[..., None] * color(1, 1, 1.03) * light.tint, light, ahead)


def pavement(canvas: Canvas, light: Light, across: Floats, ahead: Floats) -> Floats:
    """Return the colour of a sidewalk of slabs at ground coordinates."""
    gray = canvas.rng.uniform(0.58, 0.72)
    joints = (np.abs(across % 1.0) < 0.05) | (np.abs(ahead % 1.2) < 0.06)
    slabs = canvas.noise.at(np.floor(across) * 7.7, np.floor(ahead / 1.2) * 5.3)
    bright = gray * (0.9 + 0.14 * slabs - 0.22 * joints * np.exp(-ahead / 14))
    return hazed(bright[..., None] * color(1.0, 0.97, 0.93) * light.tint, light, ahead)


def sand(canvas: Canvas, light: Light, across: Floats, ahead: Floats, wet: Floats) -> Floats:
    """Return the colour of sand; `wet` in [0, 1] darkens it."""
    rng = canvas.rng
    base = color(rng.uniform(0.82, 0.93), rng.uniform(0.72, 0.8), rng.uniform(0.52, 0.62))
    ripples = canvas.noise.fractal(across * 0.9, ahead * 2.2, 4)
    bright = (0.78 + 0.4 * (ripples - 0.3)) * (1 - 0.32 * wet)
    return hazed(base * bright[..., None] * light.tint, light, ahead)


def sea(canvas: Canvas, light: Light, across: Floats, ahead: Floats) -> Floats:
    """Return the colour of the sea: deeper far out, waves, the sun's glitter."""
    rng = canvas.rng
    deep = color(rng.uniform(0.03, 0.12), rng.uniform(0.22, 0.36), rng.uniform(0.4, 0.55))
    shallow = color(0.2, 0.55, 0.58)
    far = np.clip(ahead / 60, 0, 1)[..., None]
    waves = canvas.noise.fractal(across * 0.35, ahead * 1.3, 3)
    paint = (shallow + (deep - shallow) * far) * (0.72 + 0.56 * waves)[..., None]
    x = across / ahead + canvas.center
    glitter = np.exp(-np.abs(x - light.sun_x) / 0.12) * (waves > 0.6) * light.contrast
    paint = paint + (light.tint - paint) * (0.6 * glitter)[..., None]
    return hazed(paint * (0.5 + 0.5 * light.tint), light, ahead * 0.5)


def lay_road(
    canvas: Canvas, light: Light, across: Floats, ahead: Floats, half: float, *, kerb: float
) -> None:
    """Lay a road of half-width `half` metres, and sidewalks of `kerb` metres beside it."""
    window = canvas.ground()[0]
    on_road = np.abs(across) < half
    if kerb > 0:
        walk: Mask = (np.abs(across) < half + kerb) & ~on_road
        canvas.paint(window, walk, pavement(canvas, light, across, ahead), SIDEWALK)
        edge = (np.abs(np.abs(across) - half - 0.08) < 0.1) & (ahead < 60)
        canvas.paint(window, edge, hazed(0.48 * light.tint, light, ahead), SIDEWALK)
    surface = asphalt(canvas, light, across, ahead)
    dashes = (np.abs(across) < 0.09) & (ahead % 6 < 3)
    sides = np.abs(np.abs(across) - half + 0.35) < 0.08
    painted = ((dashes | sides) & (ahead < 90))[..., None]
    surface = np.where(painted, hazed(0.86 * light.tint, light, ahead), surface)
    canvas.paint(window, on_road, surface.astype(np.float32), ROAD)


def lay_beach(canvas: Canvas, light: Light, across: Floats, ahead: Floats) -> Floats:
    """Lay sand up to a curved shore and sea beyond it; return where the sea is (0 or 1)."""
    rng = canvas.rng
    window = canvas.ground()[0]
    shore = canvas.row(float(rng.uniform(4, 14) * canvas.camera / 1.8)) - canvas.horizon
    distance = canvas.camera / shore
    slant = rng.uniform(-0.6, 0.6)
    wiggle = canvas.noise.fractal(across * 0.12, np.zeros_like(across), 3)
    out = (ahead - distance - slant * across - 4 * (wiggle - 0.5)) / distance
    is_sea = out > 0
    wet = smoothstep(-0.25, 0.0, out.astype(np.float32))
    canvas.paint(window, ~is_sea, sand(canvas, light, across, ahead, wet), SAND)
    paint = sea(canvas, light, across, ahead)
    lace = canvas.noise.fractal(across * 1.3, ahead * 1.3, 3)
    foam = np.exp(-np.abs(out) / 0.035) + 0.7 * np.exp(-np.abs(out - 0.3) / 0.03)
    paint = paint + (0.96 * light.tint - paint) * (np.clip(foam, 0, 1) * (lace > 0.42))[..., None]
    canvas.paint(window, is_sea, paint.astype(np.float32), SEA)
    return np.asarray(is_sea, np.float32)


def lay_meadow(canvas: Canvas, light: Light, across: Floats, ahead: Floats) -> None:
    """Cover the whole ground with grass."""
    window = canvas.ground()[0]
    everywhere = np.ones(across.shape, np.bool_)
    canvas.paint(window, everywhere, grass(canvas, light, across, ahead), GRASS)

"""ADE20K's 150 classes (Zhou et al. 2017): names by id, and a colour for each. Pure.

The names are the first synonym of each class in the scene parsing benchmark's list. The colours are
this project's own: natural ones for natural things, otherwise hues a golden angle apart.
"""

from __future__ import annotations

import colorsys

ADE20K_CLASSES: tuple[str, ...] = (
    "wall", "building", "sky", "floor", "tree", "ceiling", "road", "bed", "windowpane", "grass",
    "cabinet", "sidewalk", "person", "earth", "door", "table", "mountain", "plant", "curtain",
    "chair", "car", "water", "painting", "sofa", "shelf", "house", "sea", "mirror", "rug", "field",
    "armchair", "seat", "fence", "desk", "rock", "wardrobe", "lamp", "bathtub", "railing",
    "cushion", "base", "box", "column", "signboard", "chest of drawers", "counter", "sand", "sink",
    "skyscraper", "fireplace", "refrigerator", "grandstand", "path", "stairs", "runway", "case",
    "pool table", "pillow", "screen door", "stairway", "river", "bridge", "bookcase", "blind",
    "coffee table", "toilet", "flower", "book", "hill", "bench", "countertop", "stove", "palm",
    "kitchen island", "computer", "swivel chair", "boat", "bar", "arcade machine", "hovel", "bus",
    "towel", "light", "truck", "tower", "chandelier", "awning", "streetlight", "booth",
    "television receiver", "airplane", "dirt track", "apparel", "pole", "land", "bannister",
    "escalator", "ottoman", "bottle", "buffet", "poster", "stage", "van", "ship", "fountain",
    "conveyer belt", "canopy", "washer", "plaything", "swimming pool", "stool", "barrel", "basket",
    "waterfall", "tent", "bag", "minibike", "cradle", "oven", "ball", "food", "step", "tank",
    "trade name", "microwave", "pot", "animal", "bicycle", "lake", "dishwasher", "screen",
    "blanket", "sculpture", "hood", "sconce", "vase", "traffic light", "tray", "ashcan", "fan",
    "pier", "crt screen", "plate", "monitor", "bulletin board", "shower", "radiator", "glass",
    "clock", "flag",
)  # fmt: skip

_OWN_COLORS = {
    "wall": 0xB5A995, "building": 0xA0522D, "sky": 0x87CEEB, "floor": 0xC19A6B, "tree": 0x1E7B2E,
    "ceiling": 0xEDE6D6, "road": 0x6B6B6B, "grass": 0x7CC242, "sidewalk": 0xB8B8B8,
    "person": 0xE6194B, "earth": 0x8B5E3C, "mountain": 0x7A6A8A, "plant": 0x3CB371,
    "car": 0xF58231, "water": 0x3A7BD5, "house": 0xC8653C, "sea": 0x14589C, "field": 0xB5C334,
    "rock": 0x58534E, "sand": 0xEED9A0, "skyscraper": 0x6E4B5E, "path": 0xD2A679,
    "river": 0x2E8BC0, "palm": 0x2F9E5B, "boat": 0x911EB4, "lake": 0x2769B3,
}  # fmt: skip
_GOLDEN_ANGLE = (3 - 5**0.5) / 2


def palette(names: tuple[str, ...]) -> tuple[int, ...]:
    """Return a colour 0xRRGGBB for each class name, all distinct.

    A natural thing has its own colour; the hues of the others are a golden angle apart, in
    alternating brightness, so that neighbours in the list differ most.
    """
    colors: list[int] = []
    for index, name in enumerate(names):
        color = _OWN_COLORS.get(name, _spread(index))
        while color in colors:
            color = (color + 0x010307) & 0xFFFFFF
        colors.append(color)
    return tuple(colors)


def _spread(index: int) -> int:
    hue = index * _GOLDEN_ANGLE % 1
    value = (0.95, 0.75, 0.55)[index % 3]
    saturation = (0.55, 0.85)[index // 3 % 2]
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(hue, saturation, value))
    return red << 16 | green << 8 | blue

"""The classes that scenes are drawn with, as ADE20K numbers them. Pure."""

from __future__ import annotations

BUILDING = 1
SKY = 2
TREE = 4
ROAD = 6
GRASS = 9
SIDEWALK = 11
PERSON = 12
EARTH = 13
MOUNTAIN = 16
CAR = 20
SEA = 26
ROCK = 34
SAND = 46
BOAT = 76

DRAWN = (
    BUILDING, SKY, TREE, ROAD, GRASS, SIDEWALK, PERSON, EARTH, MOUNTAIN, CAR, SEA, ROCK, SAND, BOAT,
)  # fmt: skip

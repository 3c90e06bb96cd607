"""The methodology's file: valid as packaged, refused when it is not."""

from __future__ import annotations

import copy
import hashlib
import math
import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from services.common.statistics.ranking.separation import corners
from services.errors import InvalidArgument
from services.ranker.claims.model import ArtifactType, SubjectRelation
from services.ranker.methodology.definition import (
    GREATEST,
    LEAST,
    SHOWN,
    Reference,
    Scale,
    parse,
)
from services.ranker.methodology.load import PACKAGED, load, loads
from services.ranker.methodology.profile import profiles

CONTENT: dict[str, Any] = yaml.safe_load(PACKAGED.read_bytes())


def test_packaged_methodology() -> None:
    methodology = load()
    assert methodology.version == "v2"
    assert methodology.digest == "sha256:" + hashlib.sha256(PACKAGED.read_bytes()).hexdigest()
    assert set(methodology.types) == set(ArtifactType)


@pytest.mark.parametrize("kind", ArtifactType)
def test_weights_sum_to_one_at_every_corner(kind: ArtifactType) -> None:
    rules = load().rules(kind)
    found = profiles(rules)
    assert {one.name for one in found} == {*rules.profiles, *rules.metrics}
    for ranges in (one.ranges for one in found):
        middles = [(low + high) / 2 for low, high in ranges.values()]
        assert math.fsum(middles) == pytest.approx(1, abs=1e-12)
        for corner in corners(ranges):
            assert math.fsum(corner.values()) == pytest.approx(1, abs=1e-12)
            for metric, weight in corner.items():
                low, high = ranges[metric]
                assert low - 1e-9 <= weight <= high + 1e-9


@pytest.mark.parametrize("kind", ArtifactType)
def test_no_proxy_speaks_for_an_artifact_and_random_weights_never_for_accuracy(
    kind: ArtifactType,
) -> None:
    for metric in load().rules(kind).metrics.values():
        assert SubjectRelation.PROXY not in metric.relations
        if "miou" in metric.fact:
            assert metric.relations == (SubjectRelation.EXACT,)
        if "bits" in metric.fact:  # two models are compared on the same documents
            assert metric.relations == (SubjectRelation.EXACT, SubjectRelation.SAMPLE)
            assert {"dataset", "sample"} <= set(metric.same)


def test_what_is_only_shown_is_in_no_profile() -> None:
    for kind in ArtifactType:
        rules = load().rules(kind)
        assert not set(SHOWN) & {*rules.metrics, *rules.profiles}


def test_every_reference_is_published_or_holds_by_definition() -> None:
    for kind in ArtifactType:
        for metric in load().rules(kind).metrics.values():
            if metric.scale is not None:
                for end in (metric.scale.zero, metric.scale.one):
                    assert "measured" not in end.source


def broken(path: str, value: object) -> dict[str, Any]:
    """The packaged methodology with the value at `path` replaced, or deleted for `...`."""
    data = copy.deepcopy(CONTENT)
    *parents, last = path.split(".")
    place: Any = data
    for name in parents:
        place = place[int(name)] if isinstance(place, list) else place[name]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return data


MODEL = "types.SEGMENTATION_MODEL"
MIOU = f"{MODEL}.metrics.ade20k-miou"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("version", ..., "version: is missing"),
        ("version", "", "version: must have at least 1 character"),
        ("surprise", 1, "surprise: is not a known key"),
        ("family.level", 0.95, "family.level: is 0.95, and what is computed has 0.99998"),
        ("family.artifacts", 6, "family.artifacts: is 6, and what is computed has 50"),
        ("family.pair_level", 1.5, "family.pair_level: must be less than 1"),
        ("reliability.kappa", 3, "reliability.kappa: is 3, and what is computed has 2"),
        ("outcomes.operators_for_a_point", 1, "is 1, and what is computed has 5"),
        ("freshness.half_life_days", "two years", "half_life_days: must be a number"),
        ("freshness.half_life_days", math.inf, "half_life_days: must be a finite number"),
        ("types.DATASET", ..., "types.DATASET: is missing"),
        ("types.ROBOT", {}, "types.ROBOT: must be 'SEGMENTATION_MODEL'"),
        (f"{MODEL}.metrics", {}, "SEGMENTATION_MODEL.metrics: must have at least 1 item"),
        (f"{MODEL}.metrics", [], "SEGMENTATION_MODEL.metrics: must be an object"),
        (f"{MODEL}.profiles.core.size", 0.3, "profiles.core: weights sum to 1.15, they must"),
        (f"{MODEL}.profiles.core.size", [0.2, 0.1], "a range whose least weight is above"),
        (f"{MODEL}.profiles.core.size", ..., "profiles.core: weights sum to 0.85"),
        (f"{MODEL}.profiles.core.luck", 0, "profiles.core: has no metric called luck"),
        (f"{MODEL}.profiles.size", {"latency": 1}, "profiles.size: is called as a metric"),
        (f"{MODEL}.profiles.core", {}, "profiles.core: must have at least 1 item"),
        (f"{MIOU}.per_hardware", "yes", "per_hardware: must be true or false"),
        (f"{MIOU}.when_missing", 1, "when_missing: must be a string"),
        (f"{MIOU}.printed_to", 0, "printed_to: must be greater than 0"),
        (f"{MIOU}.relations", [], "relations: must have at least 1 item"),
        (f"{MIOU}.relations", ["PROXY"], "cannot speak for an artifact"),
        (f"{MIOU}.unit", ..., "either unit and scale"),
        (f"{MIOU}.good", True, "either unit and scale"),
        (f"{MIOU}.scale.zero.value", 51.0, "they must differ"),
        (f"{MIOU}.scale.zero.value", -1, "zero.value: must be greater than or equal to 0"),
        (f"{MIOU}.scale.logarithmic", 1, "logarithmic: must be true or false"),
        (f"{MIOU}.scale.one.artifact", ..., "scale.one.artifact: is missing"),
    ],
)
def test_mistakes_are_named(path: str, value: object, message: str) -> None:
    with pytest.raises(InvalidArgument, match=re.escape(message)):
        parse(broken(path, value), "sha256:x")


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[1, 2]", b"", b"a: b: c"])
def test_what_is_not_a_methodology_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidArgument):
        loads(content)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_refused_clearly(content: bytes) -> None:
    with pytest.raises(InvalidArgument):
        loads(content)


def scale(zero: float, one: float, *, logarithmic: bool = False) -> Scale:
    return Scale(
        zero=Reference(artifact="z", value=zero, source="s"),
        one=Reference(artifact="o", value=one, source="s"),
        logarithmic=logarithmic,
    )


def test_scale_places_references_at_its_ends() -> None:
    assert scale(37.4, 51).utility(37.4) == 0
    assert scale(37.4, 51).utility(51) == 1
    assert scale(37.4, 51).utility(44.2) == pytest.approx(0.5)
    assert scale(1, 0.01, logarithmic=True).utility(0.1) == pytest.approx(0.5)


def test_what_is_better_than_the_reference_still_gains_up_to_a_half() -> None:
    latency = scale(3.62, 1, logarithmic=True)
    assert 1 < latency.utility(0.8) < latency.utility(0.6) < latency.utility(0.01) == GREATEST
    assert latency.utility(0) == GREATEST
    assert scale(1, 3.62, logarithmic=True).utility(0) == LEAST == latency.utility(math.inf)


@given(
    st.floats(1e-6, 1e6),
    st.floats(1e-6, 1e6),
    st.booleans(),
    st.floats(allow_nan=False),
    st.floats(allow_nan=False),
)
def test_scale_is_monotone_and_within_its_cut(
    zero: float, one: float, logarithmic: bool, first: float, second: float
) -> None:
    if math.isclose(zero, one, rel_tol=1e-6):
        return
    found = scale(zero, one, logarithmic=logarithmic)
    low, high = sorted((first, second))
    if one < zero:
        low, high = high, low
    assert LEAST <= found.utility(low) <= found.utility(high) <= GREATEST

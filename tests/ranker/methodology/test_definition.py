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

from services.errors import InvalidArgument
from services.ranker.claims.model import ArtifactType, SubjectRelation
from services.ranker.methodology.definition import COMPONENTS, Reference, Scale, parse
from services.ranker.methodology.load import V1, load, loads

PACKAGED: dict[str, Any] = yaml.safe_load(V1.read_bytes())


def test_packaged_methodology() -> None:
    methodology = load()
    assert methodology.version == "v1"
    assert methodology.digest == "sha256:" + hashlib.sha256(V1.read_bytes()).hexdigest()
    assert set(methodology.types) == set(ArtifactType)


@pytest.mark.parametrize("kind", ArtifactType)
def test_weights_sum_to_one(kind: ArtifactType) -> None:
    rules = load().rules(kind)
    assert tuple(rules.weights) == COMPONENTS
    assert math.fsum(one.weight for one in rules.weights.values()) == pytest.approx(1, abs=1e-12)
    assert rules.weights["adoption"].weight == 0
    for metrics in (rules.quality, rules.ecosystem):
        assert math.fsum(metric.weight for metric in metrics.values()) == pytest.approx(
            1, abs=1e-12
        )


@pytest.mark.parametrize("kind", ArtifactType)
def test_no_proxy_speaks_for_an_artifact_and_random_weights_never_for_accuracy(
    kind: ArtifactType,
) -> None:
    rules = load().rules(kind)
    for metric in (*rules.quality.values(), *rules.ecosystem.values()):
        for source in metric.inputs:
            assert SubjectRelation.PROXY not in source.relations
            if "miou" in source.fact or "bits" in source.fact:
                assert source.relations == (SubjectRelation.EXACT,)


def test_every_reference_is_published_or_holds_by_definition() -> None:
    for kind in ArtifactType:
        rules = load().rules(kind)
        for metric in (*rules.quality.values(), *rules.ecosystem.values()):
            for source in metric.inputs:
                if source.scale is not None:
                    for end in (source.scale.zero, source.scale.one):
                        assert "measured" not in end.source


def broken(path: str, value: object) -> dict[str, Any]:
    """The packaged methodology with the value at `path` replaced, or deleted for `...`."""
    data = copy.deepcopy(PACKAGED)
    *parents, last = path.split(".")
    place: Any = data
    for name in parents:
        place = place[int(name)] if isinstance(place, list) else place[name]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return data


MIOU = "types.SEGMENTATION_MODEL.quality.ade20k-miou"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("version", ..., "version: is missing"),
        ("version", "", "version: must have at least 1 character"),
        ("surprise", 1, "surprise: is not a known key"),
        ("posterior.level", 1.5, "posterior.level: must be less than 1"),
        ("posterior.prior_alpha", 0, "posterior.prior_alpha: must be greater than 0"),
        ("freshness.half_life_days", "two years", "half_life_days: must be a number"),
        ("freshness.half_life_days", math.inf, "half_life_days: must be a finite number"),
        ("types.DATASET", ..., "types.DATASET: is missing"),
        ("types.ROBOT", {}, "types.ROBOT: must be 'SEGMENTATION_MODEL'"),
        ("types.DATASET.weights.quality.weight", 0.6, "DATASET.weights: weights sum to 1.05"),
        ("types.DATASET.weights.quality.weight", 0.9, "needs 0.45 (low) <= 0.9 <= 0.65 (high)"),
        ("types.DATASET.weights.quality.weight", True, "quality.weight: must be a number"),
        ("types.DATASET.weights.luck", {"weight": 0, "low": 0, "high": 0}, "must be of quality"),
        ("types.DATASET.quality", {}, "DATASET.quality: must have at least 1 item"),
        ("types.DATASET.quality", [], "DATASET.quality: must be an object"),
        (f"{MIOU}.weight", 0.5, "SEGMENTATION_MODEL.quality: weights sum to 0.9"),
        (f"{MIOU}.per_hardware", "yes", "per_hardware: must be true or false"),
        (f"{MIOU}.when_missing", 1, "when_missing: must be a string"),
        (f"{MIOU}.inputs", [], "inputs: must have at least 1 item"),
        (f"{MIOU}.inputs.0.relations", ["PROXY"], "cannot speak for an artifact"),
        (f"{MIOU}.inputs.0.unit", ..., "either unit and scale"),
        (f"{MIOU}.inputs.0.good", True, "either unit and scale"),
        (f"{MIOU}.inputs.0.scale.zero.value", 51.0, "they must differ"),
        (f"{MIOU}.inputs.0.scale.zero.value", -1, "zero.value: must be greater than or equal to 0"),
        (f"{MIOU}.inputs.0.scale.logarithmic", 1, "logarithmic: must be true or false"),
        (f"{MIOU}.inputs.0.scale.one.artifact", ..., "inputs[0].scale.one.artifact: is missing"),
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
    assert scale(37.4, 51).position(37.4) == 0
    assert scale(37.4, 51).position(51) == 1
    assert scale(37.4, 51).position(44.2) == pytest.approx(0.5)
    assert scale(1, 0.01, logarithmic=True).position(0.1) == pytest.approx(0.5)


@given(
    st.floats(1e-6, 1e6),
    st.floats(1e-6, 1e6),
    st.booleans(),
    st.floats(allow_nan=False),
    st.floats(allow_nan=False),
)
def test_scale_is_monotone_and_within_the_unit_interval(
    zero: float, one: float, logarithmic: bool, first: float, second: float
) -> None:
    if math.isclose(zero, one, rel_tol=1e-6):
        return
    found = scale(zero, one, logarithmic=logarithmic)
    low, high = sorted((first, second))
    if one < zero:
        low, high = high, low
    assert 0 <= found.position(low) <= found.position(high) <= 1

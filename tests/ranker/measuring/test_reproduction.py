"""The command that makes an observation again, with what it was made of by digest."""

from __future__ import annotations

import pytest

from services.ranker.claims.bounds import Value
from services.ranker.claims.evidence import Observation
from services.ranker.claims.model import Aspect, Basis, Claim, SubjectRelation
from services.ranker.measuring.reproduction import command

CLAIM = Claim(id="C1", artifact="thing", statement="s", aspect=Aspect.SIZE, group="g")


def observed(digest: str = "sha256:aa", recipe: str = "", **subject: object) -> Observation:
    return Observation(
        Value(1.0, "1"),
        SubjectRelation.EXACT,
        Basis.MEASURED,
        subject_digest=digest,
        subject=subject,
        recipe=recipe,
    )


@pytest.mark.parametrize(
    ("observation", "flags"),
    [
        (
            observed(type="DATASET", name="the-pile"),
            " --shards the-pile=DIR --expect the-pile=sha256:aa",
        ),
        (observed(type="DATASET", name="python-reference"), ""),
        (
            observed(type="SEGMENTATION_MODEL", name="m", weights="TRAINED"),
            " --model DIR --expect m=sha256:aa",
        ),
        (
            observed(type="SEGMENTATION_MODEL", name="m", weights="TRAINED", pictures="sha256:p"),
            " --model DIR --expect m=sha256:aa --pictures DIR",
        ),
        (
            observed(
                type="LANGUAGE_MODEL",
                name="tiny",
                dataset="the-pile sha256:bb",
                against="other sha256:cc",
            ),
            (
                " --language-model tiny=DIR --expect tiny=sha256:aa --language-model other=DIR "
                "--expect other=sha256:cc --shards the-pile=DIR --expect the-pile=sha256:bb"
            ),
        ),
        (
            observed(
                type="LANGUAGE_MODEL", name="byte-reference", dataset="python-reference sha256:bb"
            ),
            "",
        ),
        (
            observed(type="DATASET", name="a b; rm -rf"),
            " --shards 'a b; rm -rf=DIR' --expect 'a b; rm -rf=sha256:aa'",
        ),
    ],
)
def test_what_was_measured_is_named_with_the_flag_that_supplies_it(
    observation: Observation, flags: str
) -> None:
    words = command(CLAIM, observation, full=False, packaged=True)
    assert words == f"assay claims thing --claim C1{flags}"


def test_random_weights_are_made_first() -> None:
    recipe = "{ test -d m || assay export; } && "
    made = observed(recipe=recipe, type="SEGMENTATION_MODEL", name="m", weights="RANDOM")
    words = command(CLAIM, made, full=True, packaged=True)
    assert words == f"{recipe}assay claims thing --claim C1 --budget full --model m"


def test_what_is_cited_needs_nothing_and_what_is_registered_its_manifest() -> None:
    cited = Observation(Value(1.0, "1"), SubjectRelation.EXACT, Basis.SOURCED)
    assert command(CLAIM, cited, full=True, packaged=True) == "assay claims thing --claim C1"
    assert command(CLAIM, cited, full=True, packaged=False).endswith("--manifest FILE")

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.report import HERE
from services.errors import InvalidArgument, NotFound
from services.ranker.advice import warnings
from services.ranker.claims import facts
from services.ranker.claims.bounds import Equals, Range, Ratio
from services.ranker.claims.model import Artifact, ArtifactType, Page
from services.ranker.claims.registry import Registry, packaged, parse_text, read_manifest
from services.ranker.measuring import methods
from services.ranker.methodology.load import load

METHODS = methods.known()
REGISTRY = packaged(METHODS)
B4 = "segformer-b4-finetuned-ade-512-512"


def test_the_packaged_manifests_hold_every_claim_of_the_page() -> None:
    (page,) = REGISTRY.pages
    compared = [REGISTRY.artifact(name) for name in page.compares]
    assert [artifact.id for artifact in compared] == [B4, "the-pile"]
    claims = [*page.claims, *(claim for artifact in compared for claim in artifact.claims)]
    ids = [claim.id for claim in claims]
    # All but what is measured of B4 as of the other sizes.
    assert len(ids) - ids.count("S4.1") - ids.count("S4.7") == 74
    assert all(len(artifact.capabilities) == 8 for artifact in compared)


def test_beside_them_are_others_of_their_types() -> None:
    by_type: dict[ArtifactType, list[str]] = {}
    for artifact in REGISTRY.artifacts:
        by_type.setdefault(artifact.type, []).append(artifact.id)
    assert [name.split("-")[1] for name in by_type[ArtifactType.SEGMENTATION_MODEL]] == [
        "b0", "b1", "b2", "b3", "b4", "b5",
    ]  # fmt: skip
    assert by_type[ArtifactType.DATASET] == ["cc-100-en", "the-pile"]
    assert by_type[ArtifactType.LANGUAGE_MODEL] == ["gpt2"]


def test_no_published_figure_confirms_the_claim_that_repeats_it() -> None:
    """A claim taken from a publication and decided by the same one would always hold."""
    published = facts.packaged()
    (page,) = REGISTRY.pages
    for artifact in REGISTRY.artifacts:
        if artifact.id not in page.compares:
            for claim in artifact.claims:
                assert claim.undecidable or published.of(claim.id) is None, claim.id


def test_each_size_is_timed_and_counted_so_that_any_two_stand_side_by_side() -> None:
    sizes = [one for one in REGISTRY.artifacts if one.type is ArtifactType.SEGMENTATION_MODEL]
    assert len(sizes) == 6
    for artifact in sizes:
        methods_by_fact = {
            (claim.group, claim.method) for claim in artifact.claims if not claim.comparator
        }
        assert {
            ("parameters", "model_facts.parameter_count@1"),
            ("ade20k-miou", "model_accuracy.mean_iou@1"),
            ("gpu-latency", "model_speed.accelerator_latency@2"),
            ("cpu-latency", "model_speed.cpu_latency@2"),
            ("batch-throughput", "model_speed.batch_rate@3"),
        } <= methods_by_fact, artifact.id


def test_every_capability_says_which_wishes_it_serves() -> None:
    for artifact in REGISTRY.artifacts:
        for capability in artifact.capabilities:
            assert capability.intents, (artifact.id, capability.id)


def test_no_number_of_thousands_was_read_as_two_entries_of_a_list() -> None:
    texts = {
        text
        for artifact in REGISTRY.artifacts
        for one in artifact.capabilities
        for text in (*one.limitations, *one.intents, *one.best_for)
    }
    assert "it sees 1,024 tokens at a time" in texts
    assert not [text for text in texts if re.match(r"\d{3}\b", text)]


def test_every_claim_is_observed_or_says_why_not() -> None:
    for claim in REGISTRY.claims.values():
        assert claim.method or (claim.undecidable and claim.undecidable.reason), claim.id


def test_an_accuracy_says_why_pictures_at_hand_do_not_decide_it() -> None:
    """It holds with and without them."""
    named = "model_accuracy.mean_iou@1"
    accuracies = [claim for claim in REGISTRY.claims.values() if claim.method == named]
    assert len(accuracies) == 6
    for claim in accuracies:
        assert claim.undecidable is not None
        assert "the proportions of a picture" in claim.undecidable.reason
        assert "at hand;" not in claim.undecidable.reason
        assert "keeps a picture's proportions" in claim.needs


def test_tolerances_have_units_and_groups_are_named() -> None:
    for claim in REGISTRY.claims.values():
        assert claim.group
        if isinstance(claim.bound, Equals | Range | Ratio):
            assert claim.bound.unit


def test_published_facts_speak_of_known_claims_in_the_units_of_their_bounds() -> None:
    published = facts.packaged()
    by_id = {claim.id: claim for claim in REGISTRY.claims.values()}
    assert published.claims <= set(by_id)
    for name in published.claims:
        observation, claim = published.of(name), by_id[name]
        assert observation is not None
        assert observation.sources
        if isinstance(claim.bound, Equals | Range | Ratio):
            assert observation.value is not None
            assert observation.value.unit == claim.bound.unit, name


def test_claims_that_cite_have_something_to_cite() -> None:
    published = facts.packaged()
    for claim in REGISTRY.claims.values():
        if claim.method == "sources.cite@1" and not claim.undecidable:
            assert published.of(claim.id) is not None, claim.id


def test_what_was_timed_of_the_page_is_as_it_was_measured() -> None:
    result = json.loads((HERE / "results" / "ranker/operators.json").read_text("utf-8"))
    measured = [row["ours"] for row in result["rows"]]
    cited = {
        claim: one.sources[0].values
        for claim in ("B2.3", "B7.2")
        if (one := facts.packaged().of(claim)) is not None
    }
    assert [*cited["B2.3"], *cited["B7.2"]] == measured


def test_contradiction_is_mutual() -> None:
    found = {
        tuple(sorted((claim.id, other)))
        for claim in REGISTRY.claims.values()
        for other in claim.contradicts
    }
    assert found == {
        ("B1.7", "B4.7"),
        ("B6.1", "B7.1"),
        ("B6.2", "B6.4"),
        ("P1.1", "P5.5"),
        ("P1.3", "P8.2"),
        ("P5.2", "P5.6"),
    }
    for claim in REGISTRY.claims.values():
        for other in claim.contradicts:
            assert claim.id in REGISTRY.claim(f"{claim.owner}/{other}").contradicts


def test_a_page_is_found_by_what_it_compares() -> None:
    (page,) = REGISTRY.pages_of("the-pile", B4)
    assert REGISTRY.pages_of(B4, "the-pile") == (page,)
    assert REGISTRY.pages_of(B4, "gpt2") == ()
    assert REGISTRY.page_about("the-pile") is page
    assert isinstance(REGISTRY.subject("page"), Page)


def test_an_unknown_artifact_is_refused_with_the_known_ones() -> None:
    with pytest.raises(NotFound, match=r"segformer-b4.*the-pile"):
        REGISTRY.artifact("the-heap")
    with pytest.raises(NotFound, match="page"):
        REGISTRY.subject("the-heap")
    with pytest.raises(NotFound):
        REGISTRY.artifact("page")


def _artifact() -> Artifact:
    return REGISTRY.artifact("the-pile")


def test_a_method_that_does_not_exist_is_refused() -> None:
    first = replace(_artifact().claims[0], contradicts=())
    unknown = replace(first, method="composition.subset_counts@1")
    with pytest.raises(InvalidArgument) as error:
        Registry([replace(_artifact(), claims=(unknown,))], METHODS)
    ((place, problem),) = error.value.violations
    assert place == "the-pile.claims[P1.1].method"
    assert "did you mean composition.subset_count@1" in problem


def test_a_contradiction_of_nothing_is_refused() -> None:
    claim = replace(_artifact().claims[0], contradicts=("P99",))
    with pytest.raises(InvalidArgument, match="'P99' is not the id of another claim"):
        Registry([replace(_artifact(), claims=(claim,))], METHODS)


@pytest.mark.parametrize("other", ["gpt2/G1", "G1", "the-pile/P1.1", "P1.1"])
def test_no_claim_contradicts_one_of_another_owner_nor_itself(other: str) -> None:
    claim = replace(_artifact().claims[0], contradicts=(other,))
    with pytest.raises(InvalidArgument, match="contradicts"):
        Registry([replace(_artifact(), claims=(claim,)), REGISTRY.artifact("gpt2")], METHODS)


def _of(owner: str, artifact: Artifact) -> Artifact:
    claims = tuple(replace(one, artifact=owner) for one in artifact.claims)
    return replace(artifact, id=owner, claims=claims)


def test_ids_are_unique_over_all_manifests_and_those_of_claims_in_one() -> None:
    with pytest.raises(InvalidArgument, match="two manifests"):
        Registry([_artifact(), _artifact()], METHODS)
    claim = _artifact().claims[0]
    with pytest.raises(InvalidArgument, match="unique in a manifest"):
        Registry([replace(_artifact(), claims=(claim, claim))], METHODS)
    both = Registry([_artifact(), _of("other", _artifact())], METHODS)
    assert both.claim("other/P0").artifact == "other"
    assert both.claim("the-pile/P0").artifact == "the-pile"
    with pytest.raises(NotFound, match=r"no claim of other named 'P99'; known: P0"):
        both.claim("other/P99")
    # Each contradicts its own.
    assert both.claim("other/P1.3").contradicts == ("P8.2",)


def test_only_what_comes_with_the_ranker_is_still_found_by_a_bare_claim_id() -> None:
    registry = Registry([_artifact()], METHODS)
    registry.register(_of("other", _artifact()))
    old, new = registry.claim("the-pile/P0"), registry.claim("other/P0")
    assert registry.stored_names(old) == ("the-pile/P0", "P0")
    assert registry.stored_names(new) == ("other/P0",)
    assert (registry.is_packaged(old), registry.is_packaged(new)) == (True, False)


def test_a_page_compares_known_artifacts() -> None:
    (page,) = REGISTRY.pages
    with pytest.raises(InvalidArgument, match="no artifact 'segformer-b4"):
        Registry([_artifact(), page], METHODS)


def test_of_thousands_of_problems_the_first_hundred_are_told() -> None:
    page = replace(REGISTRY.pages[0], compares=tuple(f"gpt-{n}" for n in range(9_000)))
    with pytest.raises(InvalidArgument) as error:
        Registry([_artifact(), page], METHODS)
    assert len(error.value.violations) == 100
    claim = "- {id: G%d, statement: s, aspect: accuracy, group: g, method: a.b@1,"
    claim += " bound: {boolean: true}}\n"
    text = "kind: artifact\ntype: DATASET\nclaims:\n" + "".join(claim % n for n in range(300))
    assert len(REGISTRY.problems_beside(text.encode(), "manifest")) == 100


def test_a_manifest_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("kind: nothing\n")
    with pytest.raises(InvalidArgument, match=r"x\.yaml\.kind"):
        read_manifest(path)


@pytest.mark.parametrize(
    ("rival", "problem"),
    [
        ("the-pile", "the-pile is a dataset, and .* nothing measures both"),
        ("segformer-b0-finetuned-ade-512-512", "is a segmentation model, and"),
        ("gpt-2", "no artifact 'gpt-2'; did you mean gpt2"),
    ],
)
def test_a_comparator_of_another_type_is_refused_with_the_reason(rival: str, problem: str) -> None:
    manifest = f"""
kind: artifact
schema: 1
id: tiny
name: Tiny
type: LANGUAGE_MODEL
description: A small one.
license: {{id: MIT, name: MIT License}}
pricing: free
capabilities: []
claims:
  - id: BETTER
    statement: It predicts better than the other.
    bound: {{range: {{high: 0}}, unit: bits per byte}}
    dataset: the-pile
    comparator: {{artifact: {rival}}}
    method: language_models.bits_per_byte_difference@2
"""
    entry = parse_text(manifest.encode(), "m.yaml")
    assert isinstance(entry, Artifact)
    with pytest.raises(InvalidArgument, match=problem):
        packaged(methods.known()).accepts(entry)


def test_the_example_of_the_documentation_is_accepted_without_advice() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "manifests.md").read_text("utf-8")
    (example,) = re.findall(r"```yaml\n(kind: artifact\n.*?)```", page, re.DOTALL)
    read = parse_text(example.encode(), "example")
    assert isinstance(read, Artifact)
    told = warnings(packaged(METHODS).accepts(read), load())
    # It says nothing of what ADE20K's profiles take, and that is all there is to say.
    assert [place for place, _ in told] == [f"{read.id}.claims"]

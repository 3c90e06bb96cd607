"""Ten artifacts of six kinds of people, registered from their public cards.

What the cards say is true. Every claim is decided, or refused with the reason; none falsely.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from assay_rpc.common.v1 import common_pb2
from assay_rpc.ranker.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    compare_pb2,
    evidence_pb2,
    ranker_pb2_grpc,
)

from tests.ranker.conftest import Ranker, verify
from tests.ranker.peers_fake import changed
from tests.ranker.servers_fake import MODEL

MANIFESTS = sorted((Path(__file__).parent / "trial").glob("*.yaml"))
CITY = "segformer-b4-finetuned-cityscapes-1024-1024"
CITY_RANDOM = changed(
    MODEL,
    ref=common_pb2.ModelRef(name="segformer-b4-city-random", version="1", digest="sha256:c1"),
    classes=MODEL.classes[:19],
    preprocessing=changed(MODEL.preprocessing, height=1024, width=1024),
    source_facts=changed(
        MODEL.source_facts,
        parameters=64_007_635,
        parameters_by_part={"encoder": 60_842_688, "decode_head": 3_164_947},
        logits_shape=(1, 19, 256, 256),
    ),
)

CONFIRMED = evidence_pb2.VERDICT_CONFIRMED
NOT_TESTABLE = evidence_pb2.VERDICT_NOT_TESTABLE_HERE
UNDERSPECIFIED = evidence_pb2.VERDICT_UNDERSPECIFIED
FAITHFUL = evidence_pb2.SOURCE_VERDICT_FAITHFUL
NOT_SERVED = evidence_pb2.NotMeasured.REASON_NOT_SERVED
OTHER = evidence_pb2.NotMeasured.REASON_OTHER_SUBJECT

Verdicts = dict[str, dict[str, evidence_pb2.ClaimVerdict]]


CARDS = {path.stem: path.read_bytes() for path in MANIFESTS}


async def trial(ranker: Ranker) -> Verdicts:
    """Register all ten, and verify every claim of each."""
    channel = await ranker.connect()
    stub = admin_pb2_grpc.RankerAdminServiceStub(channel)
    found = {}
    for name, card in CARDS.items():
        request = admin_pb2.ValidateManifestRequest(manifest=card)
        assert not (await stub.ValidateManifest(request)).errors, name
        await stub.RegisterManifest(admin_pb2.RegisterManifestRequest(manifest=card))
    for name in CARDS:
        found[name] = await verify(channel, name)
    return found


@pytest.mark.slow
async def test_what_is_not_served_is_said_to_be_so_and_nothing_is_refuted(ranker: Ranker) -> None:
    """A segment with B4 of ADE20K and a corpus with a sample of The Pile: neither is theirs."""
    found = await trial(ranker)
    assert len(found) == 10
    verdicts = [one for claims in found.values() for one in claims.values()]
    assert len(verdicts) == 33
    for one in verdicts:
        assert one.reason
        assert one.verdict in (CONFIRMED, NOT_TESTABLE, UNDERSPECIFIED), one
    decided = {(one.claim.artifact, one.claim.id) for one in verdicts if one.verdict == CONFIRMED}
    # An architecture is the same whatever it was trained on.
    assert decided == {(CITY, "DEPTHS")}
    city = found[CITY]
    assert city["PARAMETERS"].not_measured.reason == OTHER
    assert "classes (150, not 19)" in city["PARAMETERS"].reason
    assert "input size (512x512, not 1024x1024)" in city["LOGITS"].reason
    assert "weights (random)" in city["CLASSES"].reason
    for name, claim in (
        ("segformer-b0-finetuned-cityscapes-1024-1024", "PARAMETERS"),
        ("segformer-b2-clothes", "LOGITS"),
        ("deeplabv3-resnet101", "PARAMETERS"),
        ("tinystories-656k", "PARAMETERS"),
        ("tinystories-656k", "BPB"),
        ("fineweb", "PLAIN"),
        ("fineweb", "SUBSETS"),
        ("pile-uncopyrighted", "SOURCES"),
        ("pile-uncopyrighted", "SUBSETS"),
        ("pile-uncopyrighted", "RATIO"),
    ):
        assert found[name][claim].not_measured.reason == NOT_SERVED, (name, claim)
        assert found[name][claim].not_measured.remedy


@pytest.mark.slow
async def test_a_card_repeats_its_source_and_proves_nothing_by_it(ranker: Ranker) -> None:
    found = await trial(ranker)
    cited = {
        (name, claim): one
        for name, claims in found.items()
        for claim, one in claims.items()
        if one.claim.method == "sources.cite@1"
    }
    assert len(cited) == 11
    for (_, claim), one in cited.items():
        assert one.verdict == NOT_TESTABLE
        misquoted = claim == "MISQUOTED"
        assert (one.sourcing == FAITHFUL) is not misquoted
        assert "has not been checked here" in one.reason
    assert cited["mask2former-swin-large-ade", "MISQUOTED"].sourcing == (
        evidence_pb2.SOURCE_VERDICT_MISQUOTED
    )


@pytest.mark.slow
async def test_a_stand_in_of_the_same_configuration_decides_all_that_it_can(
    ranker: Ranker,
) -> None:
    ranker.segment.models.append(CITY_RANDOM)
    city = (await trial(ranker))[CITY]
    assert {name for name, one in city.items() if one.verdict == CONFIRMED} == {
        "PARAMETERS",
        "DEPTHS",
        "LOGITS",
    }
    parameters = city["PARAMETERS"].evidence
    assert (parameters.subject.classes, parameters.subject.input_height) == (19, 1024)
    # It names no hardware, so no time of it is right or wrong.
    assert city["LATENCY"].verdict == UNDERSPECIFIED
    assert city["CLASSES"].verdict == NOT_TESTABLE


@pytest.mark.parametrize("name", CARDS)
async def test_a_slip_in_a_card_is_told_before_anything_is_measured(
    ranker: Ranker, name: str
) -> None:
    """The method of another type."""
    stub = admin_pb2_grpc.RankerAdminServiceStub(await ranker.connect())
    manifest: dict[str, Any] = yaml.safe_load(CARDS[name])
    other = {
        "SEGMENTATION_MODEL": "composition.subset_count@1",
        "DATASET": "model_facts.class_count@1",
        "LANGUAGE_MODEL": "model_facts.class_count@1",
    }[manifest["type"]]
    manifest["claims"].append(
        {
            "id": "SLIP",
            "statement": "It is of another kind.",
            "bound": {"equals": {"value": 3, "tolerance": 0}, "unit": "classes"},
            "method": other,
        }
    )
    content = yaml.safe_dump(manifest).encode()
    reply = await stub.ValidateManifest(admin_pb2.ValidateManifestRequest(manifest=content))
    assert [one.place.rpartition(".claims")[2] for one in reply.errors] == ["[SLIP].method"]


async def test_what_was_measured_of_an_earlier_manifest_is_not_of_the_later(
    ranker: Ranker,
) -> None:
    """Who changes what a claim is about does not keep its evidence, nor its refutation."""
    channel = await ranker.connect()
    stub = admin_pb2_grpc.RankerAdminServiceStub(channel)

    async def register(**changes: Any) -> None:
        content = yaml.safe_dump({**yaml.safe_load(CARDS[CITY]), **changes}).encode()
        await stub.RegisterManifest(admin_pb2.RegisterManifestRequest(manifest=content))

    async def verdicts() -> dict[str, evidence_pb2.ClaimVerdict]:
        known = ranker_pb2_grpc.RankerServiceStub(channel)
        reply = await known.Compare(compare_pb2.CompareRequest(left=CITY, right="the-pile"))
        return {one.claim.id: one for one in reply.left.claims}

    await register(classes=150, input="512x512")
    await verify(channel, CITY, "PARAMETERS", "DEPTHS")
    first = await verdicts()
    assert first["PARAMETERS"].verdict == evidence_pb2.VERDICT_REFUTED
    await register(version=2)
    later = await verdicts()
    assert later["PARAMETERS"].verdict == NOT_TESTABLE
    assert not later["PARAMETERS"].HasField("evidence")
    # What does not depend on it stands.
    assert later["DEPTHS"].verdict == CONFIRMED
    await register(version=3, classes=150, input="512x512")
    assert (await verdicts())["PARAMETERS"].evidence == first["PARAMETERS"].evidence
    method = {"method": "model_facts.convolution_count@1", "unit": "convolutions"}
    claims = yaml.safe_load(CARDS[CITY])["claims"]
    claims[1]["method"], claims[1]["bound"]["unit"] = method["method"], method["unit"]
    claims[1]["bound"]["equals"]["value"] = 85
    await register(version=4, claims=claims)
    assert not (await verdicts())["PARAMETERS"].HasField("evidence")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"type": "DATASET", "classes": None}, "must have a value, not null"),
        ({"kind": "page"}, "is not a known key"),
    ],
)
async def test_a_later_version_is_of_the_same_kind(
    ranker: Ranker, changes: dict[str, Any], message: str
) -> None:
    channel = await ranker.connect()
    stub = admin_pb2_grpc.RankerAdminServiceStub(channel)
    card = yaml.safe_load(CARDS["fineweb"])
    content = yaml.safe_dump({**card, **changes}).encode()
    reply = await stub.ValidateManifest(admin_pb2.ValidateManifestRequest(manifest=content))
    assert any(message in one.message for one in reply.errors)
    await stub.RegisterManifest(admin_pb2.RegisterManifestRequest(manifest=CARDS["fineweb"]))
    page = {
        "kind": "page",
        "schema": 1,
        "id": "fineweb",
        "name": "x",
        "description": "x",
        "version": 2,
        "claims": [],
    }
    other = {**card, "type": "LANGUAGE_MODEL", "version": 2, "claims": []}
    for one in (page, other):
        with pytest.raises(grpc.aio.AioRpcError, match="fineweb is a DATASET, and a"):
            await stub.RegisterManifest(
                admin_pb2.RegisterManifestRequest(manifest=yaml.safe_dump(one).encode())
            )


async def test_a_page_of_any_shape_is_verified_to_its_end(ranker: Ranker) -> None:
    """One, none or three that are compared; nothing printed; a score of no artifact."""
    channel = await ranker.connect()
    stub = admin_pb2_grpc.RankerAdminServiceStub(channel)
    about_itself = [
        {
            "id": f"P{number}",
            "statement": "It is as it says.",
            "bound": bound,
            "method": method,
        }
        for number, (method, bound) in enumerate(
            (
                ("page.match_graph_evidence@2", {"boolean": True}),
                ("page.component_leads@2", {"boolean": True}),
                (
                    "page.feasible_score@2",
                    {"equals": {"value": 42, "tolerance": 1}, "unit": "points"},
                ),
            )
        )
    ]
    for number, compares in enumerate(([], ["the-pile"], ["the-pile", "gpt2", "cc-100-en"])):
        page = {
            "kind": "page",
            "schema": 1,
            "id": f"page-{number}",
            "name": "A page",
            "description": "Of some shape.",
            "compares": compares,
            "claims": about_itself,
        }
        await stub.RegisterManifest(
            admin_pb2.RegisterManifestRequest(manifest=yaml.safe_dump(page).encode())
        )
        found = await verify(channel, f"page-{number}")
        assert {one.verdict for one in found.values()} == {NOT_TESTABLE}


@pytest.mark.parametrize(
    ("published", "message"),
    [
        ({"value": 42, "source": "x", "components": {"adoption": 1}}, "is missing"),
        (
            {
                "value": 420,
                "source": "x",
                "components": dict.fromkeys(("adoption", "quality", "ecosystem", "match_graph"), 1),
            },
            "a score is of 100",
        ),
    ],
)
async def test_a_printed_score_is_whole(
    ranker: Ranker, published: dict[str, Any], message: str
) -> None:
    stub = admin_pb2_grpc.RankerAdminServiceStub(await ranker.connect())
    manifest = {**yaml.safe_load(CARDS["fineweb"]), "published": published}
    content = yaml.safe_dump(manifest).encode()
    reply = await stub.ValidateManifest(admin_pb2.ValidateManifestRequest(manifest=content))
    assert any(message in one.message for one in reply.errors), reply

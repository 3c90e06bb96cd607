"""The pages over HTTP: what a browser and curl get from a running ranker."""

from __future__ import annotations

import hashlib
import html
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from assay_rpc.common.v1 import common_pb2
from assay_rpc.ranker.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    verification_pb2,
    verification_pb2_grpc,
)
from assay_rpc.segment.v1 import models_pb2

from services.rpc.access.tokens import line_of, new_token
from tests.ranker.conftest import Ranker
from tests.ranker.web.pages import Checked

for _module in ("starlette", "uvicorn", "connectrpc", "jinja2"):
    pytest.importorskip(_module, reason="the extra `page` is not installed")

MODEL, DATA_SET = "segformer-b4-finetuned-ade-512-512", "the-pile"
RPC = "/assay.ranker.v1.RankerService"
PAGES = (
    "/",
    f"/artifacts/{MODEL}",
    f"/artifacts/{DATA_SET}",
    "/pages/page",
    f"/comparisons/{MODEL}/{DATA_SET}",
    f"/claims/{DATA_SET}/P1.3",
    "/claims/page/R3",
    "/search",
    "/search?intent=label+every+pixel",
    "/methodology",
    "/verifications",
)


class Site:
    """A ranker's pages, and a client of theirs."""

    def __init__(self, ranker: Ranker) -> None:
        self.ranker = ranker
        self.client = aiohttp.ClientSession()

    async def open(self, **settings: Any) -> None:
        await self.ranker.start(http_port=0, **settings)

    @property
    def address(self) -> str:
        assert self.ranker.server is not None
        return f"http://127.0.0.1:{self.ranker.server.http_port}"

    async def get(self, path: str, **options: Any) -> tuple[int, str, Any]:
        async with self.client.get(self.address + path, **options) as reply:
            return reply.status, await reply.text(), reply.headers

    async def post(self, path: str, body: Any, **options: Any) -> tuple[int, Any]:
        async with self.client.post(self.address + path, json=body, **options) as reply:
            return reply.status, json.loads(await reply.text())


@pytest.fixture
async def site(ranker: Ranker) -> AsyncIterator[Site]:
    opened = Site(ranker)
    try:
        yield opened
    finally:
        await opened.client.close()


@pytest.mark.slow
async def test_every_page_is_whole_and_every_link_leads_somewhere(site: Site) -> None:
    await site.open()
    await site.ranker.verify(DATA_SET, "P1.3", "P5.1")
    seen: set[str] = set()
    ahead = list(PAGES)
    while ahead and len(seen) < 200:
        path = ahead.pop(0)
        if path in seen:
            continue
        seen.add(path)
        status, text, headers = await site.get(path)
        assert status == 200, path
        page = Checked(text)
        ids = page.values("id")
        assert len(ids) == len(set(ids)), path
        assert [tag for tag, _ in page.tags].count("h1") == 1, path
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; ")
        assert "unsafe" not in policy
        assert "<script>" not in text
        for link in page.values("href"):
            if link.startswith("/") and not link.startswith("/static/"):
                ahead.append(link)
            elif link.startswith("#"):
                assert link[1:] in {"main", *ids}, (path, link)
    assert any(one.startswith("/evidence/sha256:") for one in seen)


@pytest.mark.slow
async def test_an_artifact_without_evidence_is_listed_once_a_type(site: Site) -> None:
    """Under the first profile; measures below it only count such artifacts."""
    await site.open()
    await site.ranker.verify(DATA_SET, "P1.3", "P5.1")
    _, text, _ = await site.get("/")
    assert "Documented composition" in text
    assert "1 other artifact without evidence" in Checked(text).text
    assert text.count('">cc-100-en</a>') == 1
    assert "-0.0" not in text


@pytest.mark.slow
async def test_a_part_of_a_score_has_a_weight_which_its_points_may_pass(site: Site) -> None:
    """100 points stand for a published figure, which another model may surpass."""
    await site.open()
    _, page, _ = await site.get(f"/artifacts/{MODEL}")
    assert 'data-label="Weight, of 100">60</td>' in page
    assert "Most points" not in page


async def test_evidence_is_shown_to_the_byte(site: Site) -> None:
    """Its digest is of these bytes: no blank becomes one that does not break."""
    await site.open()
    await site.ranker.verify(DATA_SET, "P5.1")
    _, text, _ = await site.get(f"/claims/{DATA_SET}/P5.1")
    link = next(one for one in Checked(text).values("href") if one.startswith("/evidence/"))
    _, evidence, _ = await site.get(link)
    content = html.unescape(evidence.partition("<pre tabindex")[2].partition("</pre>")[0])
    content = content.partition("<code>")[2].rpartition("</code>")[0]
    assert f"sha256:{hashlib.sha256(content.encode()).hexdigest()}" == link.rpartition("/")[2]


EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7 * 7 }}"


@pytest.mark.slow
async def test_what_a_manifest_says_stays_text(site: Site) -> None:
    await site.open()
    assert site.ranker.channel is not None
    text = json.dumps(EVIL)  # YAML as well
    manifest = f"""
kind: artifact
schema: 1
id: evil
name: {text}
type: DATASET
description: {text}
license: {{id: {text}, name: {text}, url: "javascript:alert(3)"}}
pricing: {text}
released: "2024-01-01"
capabilities:
  - id: evil
    name: {text}
    description: {text}
    intents: [{text}]
claims:
  - id: E1
    statement: {text}
    aspect: publication
    group: evil
    undecidable: {{verdict: UNDERSPECIFIED, reason: {text}}}
"""
    stub = admin_pb2_grpc.RankerAdminServiceStub(site.ranker.channel)
    request = admin_pb2.RegisterManifestRequest(manifest=manifest.encode())
    await stub.RegisterManifest(request)
    for path in (
        "/",
        "/artifacts/evil",
        "/claims/evil/E1",
        "/comparisons/evil/the-pile",
        "/search?intent=alert+script",
    ):
        status, text, _ = await site.get(path)
        assert status == 200, path
        page = Checked(text)
        tags = {tag for tag, _ in page.tags}
        assert not tags & {"img", "iframe", "object"}, path
        assert [tag for tag, _ in page.tags].count("script") == 1, "the page's own"
        assert not any(name.startswith("on") for _, found in page.tags for name in found)
        assert not any("javascript" in one for one in page.values("href"))


async def test_what_is_not_there_is_said_in_words(site: Site) -> None:
    await site.open()
    for path in (
        "/nothing",
        "/artifacts/nobody",
        "/artifacts/..%2f..%2fetc",
        "/claims/the-pile/none",
        "/claims/no-slash",
        "/verifications/none",
        "/static/../app.py",
        "/static/app.py",
        f"/evidence/sha256:{'0' * 64}",
        "/assay.ranker.v1.RankerAdminService/RegisterManifest",
    ):
        status, text, _ = await site.get(path)
        assert status == 404, path
        assert "internal" not in text
    status, text, _ = await site.get("/evidence/<img src=x onerror=alert(1)>")
    assert status == 400
    assert "<img src=x" not in text
    status, text, _ = await site.get("/search", params={"intent": "x" * 1001})
    assert status == 400
    assert (await site.get("/comparisons?left=the-pile"))[0] == 400
    assert (await site.get(f"/comparisons/{MODEL}/{MODEL}"))[0] == 400


async def test_two_are_compared_by_a_form_without_scripts(site: Site) -> None:
    await site.open()
    query = {"left": MODEL, "right": DATA_SET}
    status, text, _ = await site.get("/comparisons", params=query)
    assert status == 200
    assert f"{MODEL} and {DATA_SET}, compared" in Checked(text).text


async def test_a_comparison_shows_what_a_served_model_sees(site: Site) -> None:
    await site.open()
    address = f"/comparisons/{MODEL}/{DATA_SET}"
    _, text, _ = await site.get(address)
    assert "What segformer" not in Checked(text).text, "only random weights are served"
    served = models_pb2.Model()
    served.CopyFrom(site.ranker.segment.models[0])
    served.ref.name, served.weights = MODEL, common_pb2.WEIGHTS_KIND_TRAINED
    served.classes[2].color = 0x87CEEB
    site.ranker.segment.models = [served]
    site.ranker.segment.overlay = b"overlay"
    page = Checked((await site.get(address))[1])
    assert f"What {MODEL} sees" in page.text
    assert "sky 100.0 %" in page.text
    assert "#87ceeb" in page.values("fill")
    assert any(one.endswith("b3ZlcmxheQ==") for one in page.values("src"))
    site.ranker.segment.fails = grpc.StatusCode.UNAVAILABLE
    status, text, _ = await site.get(address)
    assert (status, f"What {MODEL} sees" in text) == (200, False)


async def test_a_verification_fills_the_page_as_it_goes(site: Site) -> None:
    await site.open()
    assert site.ranker.channel is not None
    stub = verification_pb2_grpc.VerificationServiceStub(site.ranker.channel)
    request = verification_pb2.SubmitVerificationRequest(
        artifact=DATA_SET, claims=["the-pile/P1.3", "the-pile/P5.1"], request_id="r"
    )
    job = (await stub.SubmitVerification(request)).job
    events = f"/verifications/{job.id}/events"
    _, text, headers = await site.get(events)
    assert headers["content-type"].startswith("text/event-stream")
    told = re.findall(r"event: claim\nid: (\d+)\ndata: (.*)\n", text)
    assert [number for number, _ in told] == ["1", "2"]
    for _, data in told:
        claim = json.loads(data)
        page = Checked(claim["html"])
        assert page.tags[0] == ("details", {"class": "claim", "id": claim["anchor"]})
    assert text.rstrip().splitlines()[-1] == "data: succeeded, 2 of 2 claims decided"
    # The browser tells what it had when it comes back.
    _, rest, _ = await site.get(events, headers={"last-event-id": "1"})
    assert re.findall(r"event: claim\nid: (\d+)", rest) == ["2"]
    status, rest, _ = await site.get(events, headers={"last-event-id": "\u00b2"})
    assert (status, rest.count("event: claim")) == (200, 2)
    _, shown, _ = await site.get(f"/verifications/{job.id}")
    assert "2 of 2 claims decided" in Checked(shown).text
    assert "claim-the-pile-P1.3" in Checked(shown).values("id")


async def test_the_contract_is_served_as_json(site: Site) -> None:
    stub = await site.ranker.start(http_port=0)
    status, reply = await site.post(f"{RPC}/GetRank", {"artifact": DATA_SET})
    assert status == 200
    assert reply["rank"]["artifact"] == DATA_SET
    query = {"connect": "v1", "encoding": "json", "message": json.dumps({"artifact": DATA_SET})}
    status, text, _ = await site.get(f"{RPC}/GetRank", params=query)
    assert json.loads(text) == reply
    status, reply = await site.post(f"{RPC}/Compare", {"left": MODEL, "right": DATA_SET})
    assert reply["overall"] == "SEPARATION_DIFFERENT_TYPES"
    status, reply = await site.post(f"{RPC}/GetRank", {"artifact": "nobody"})
    assert (status, reply["code"]) == (404, "not_found")
    assert "the-pile" in reply["message"]
    assert reply["details"][0]["type"] == "google.rpc.ErrorInfo"
    status, reply = await site.post(f"{RPC}/GetRank", {"artifact": 5})
    assert (status, reply["code"]) == (400, "invalid_argument")
    assert stub is not None


async def test_nothing_that_changes_anything_is_served(site: Site) -> None:
    await site.open()
    for method in (
        "VerificationService/SubmitVerification",
        "VerificationService/CancelJob",
        "OutcomeService/RecordMatch",
        "RankerAdminService/InvalidateCache",
    ):
        async with site.client.post(f"{site.address}/assay.ranker.v1.{method}", json={}) as reply:
            assert reply.status == 404, method
    async with site.client.post(site.address + "/") as reply:
        assert reply.status == 405


async def test_a_request_is_bounded(site: Site) -> None:
    await site.open(max_request_bytes=1 << 16)
    large = {"artifact": "x" * (1 << 17)}
    status, reply = await site.post(f"{RPC}/GetRank", large)
    assert (status, reply["code"]) == (413, "resource_exhausted")

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield b" " * (1 << 15)

    headers = {"content-type": "application/json"}
    url = f"{site.address}{RPC}/GetRank"
    async with site.client.post(url, data=parts(), headers=headers) as answer:
        assert answer.status == 413
        assert json.loads(await answer.text())["code"] == "resource_exhausted"


@pytest.mark.slow
async def test_the_policy_holds_for_pages_as_for_calls(site: Site, tmp_path: Path) -> None:
    token = new_token()
    (tmp_path / "tokens").write_text(line_of("reader", token) + "\n")
    (tmp_path / "policy.toml").write_text(
        '[[grant]]\nidentities = ["token:reader"]\nroles = ["read"]\n'
        'methods = ["/assay.ranker.v1.RankerService/*"]\ncalls_per_second = 1\nburst = 4\n'
    )
    await site.open(policy_file=tmp_path / "policy.toml", token_file=tmp_path / "tokens")
    status, text, headers = await site.get("/")
    assert (status, headers["www-authenticate"]) == (401, "Bearer")
    assert "A token is needed" in Checked(text).text
    assert (await site.post(f"{RPC}/GetRank", {}))[0] == 401
    bearer = {"authorization": f"Bearer {token}"}
    assert (await site.get("/", headers=bearer))[0] == 200
    assert (await site.get("/", headers={"authorization": "Bearer wrong"}))[0] == 401
    assert (await site.get("/verifications", headers=bearer))[0] == 403
    allowed = await site.post(f"{RPC}/GetRank", {"artifact": DATA_SET}, headers=bearer)
    assert allowed[0] == 200
    statuses = [(await site.get("/methodology", headers=bearer))[0] for _ in range(4)]
    assert 429 in statuses
    assert (await site.get("/static/page.css"))[0] == 200

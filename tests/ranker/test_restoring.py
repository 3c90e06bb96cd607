"""Manifests that name one another: what one may not take from another, and what a restart keeps."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import Any

import grpc
import pytest
import yaml
from assay_rpc.ranker.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    artifact_pb2,
    evidence_pb2,
    ranker_pb2_grpc,
)

from tests.ranker.conftest import Ranker, verify
from tests.ranker.test_registration import ABOUT_TWO, manifest, withdrawal

BETTER: dict[str, Any] = {
    "id": "BETTER",
    "statement": "It predicts better than the other.",
    "bound": {"range": {"high": 0}, "unit": "bits per byte"},
    "dataset": "the-pile",
    "method": "language_models.bits_per_byte_difference@2",
}


def model(name: str, version: int = 1, rival: str = "") -> admin_pb2.RegisterManifestRequest:
    """Register a language model, with a claim against another where one is given."""
    claims = [{**BETTER, "comparator": {"artifact": rival}}] if rival else []
    content = manifest(
        id=name, name=name, type="LANGUAGE_MODEL", version=version, claims=claims, capabilities=[]
    )
    return admin_pb2.RegisterManifestRequest(manifest=content)


async def shown(channel: grpc.aio.Channel, name: str) -> artifact_pb2.Artifact:
    stub = ranker_pb2_grpc.RankerServiceStub(channel)
    return (await stub.GetArtifact(artifact_pb2.GetArtifactRequest(artifact=name))).artifact


async def test_two_models_that_compare_with_each_other_are_kept(ranker: Ranker) -> None:
    """Neither can be registered before the other: not in any order, only together."""
    channel = await ranker.connect()
    stub = admin_pb2_grpc.RankerAdminServiceStub(channel)
    for request in (model("one"), model("other"), model("one", 2, "other")):
        await stub.RegisterManifest(request)
    await stub.RegisterManifest(model("other", 2, "one"))
    # One that is before what it compares with in every order by name.
    await stub.RegisterManifest(model("a-third", 1, "one"))
    channel = await ranker.connect()
    for name, version in (("one", 2), ("other", 2), ("a-third", 1)):
        found = await shown(channel, name)
        assert (found.version, found.HasField("withdrawal")) == (version, False)
        assert [one.id for one in found.claims] == ["BETTER"]


@pytest.mark.slow
async def test_nobody_keeps_an_artifact_by_comparing_with_it(ranker: Ranker) -> None:
    """Two that name each other could never be withdrawn, and a stranger could keep any."""
    channel = await ranker.connect()
    stub = admin_pb2_grpc.RankerAdminServiceStub(channel)
    for request in (model("other"), model("one", 1, "other"), model("other", 2, "one")):
        await stub.RegisterManifest(request)
    assert (await stub.RegisterManifest(withdrawal("other", 3))).artifact.HasField("withdrawal")
    for version in (2, 3):
        assert (await shown(channel, "other")).HasField("withdrawal")
        found = (await verify(channel, "one"))["BETTER"]
        assert found.verdict == evidence_pb2.VERDICT_NOT_TESTABLE_HERE
        stub = admin_pb2_grpc.RankerAdminServiceStub(channel)
        await stub.RegisterManifest(model("one", version, "other"))
        channel = await ranker.connect()  # after a restart it is still so
    stub = admin_pb2_grpc.RankerAdminServiceStub(channel)
    assert (await stub.RegisterManifest(withdrawal("one", 4))).artifact.HasField("withdrawal")


async def test_what_a_page_is_about_is_withdrawn_before_it_and_after_a_restart_too(
    ranker: Ranker,
) -> None:
    channel = await ranker.connect()
    stub = admin_pb2_grpc.RankerAdminServiceStub(channel)
    for content in (manifest(), yaml.safe_dump(ABOUT_TWO).encode()):
        await stub.RegisterManifest(admin_pb2.RegisterManifestRequest(manifest=content))
    gone = await stub.RegisterManifest(withdrawal("thing"))
    channel = await ranker.connect()
    assert (await shown(channel, "thing")).withdrawal == gone.artifact.withdrawal
    assert "thing was withdrawn on" in (await verify(channel, "about-two"))["T1"].reason
    stub = admin_pb2_grpc.RankerAdminServiceStub(channel)
    assert (await stub.RegisterManifest(withdrawal("about-two"))).page.HasField("withdrawal")


async def test_who_looks_for_what_no_longer_fits_is_told_why(ranker: Ranker) -> None:
    """A later release may refuse what an earlier one accepted."""
    channel = await ranker.connect()
    await admin_pb2_grpc.RankerAdminServiceStub(channel).RegisterManifest(model("one"))
    await ranker.stop()
    of_before = model("one").manifest.replace(b"LANGUAGE_MODEL", b"ORACLE")
    with contextlib.closing(sqlite3.connect(ranker.folder / "evidence.sqlite")) as database:
        database.execute(
            "INSERT INTO manifest SELECT artifact, 2, digest, time, ?, registered_by FROM "
            "(SELECT artifact, digest, time, registered_by FROM manifest)",
            (of_before,),
        )
        database.commit()
    channel = await ranker.connect()
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await shown(channel, "one")
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND
    assert "left out, since its manifest no longer fits" in str(raised.value.details())
    assert "'ORACLE' is not one of" in str(raised.value.details())
    await admin_pb2_grpc.RankerAdminServiceStub(channel).RegisterManifest(model("one", 3))
    assert (await shown(channel, "one")).version == 3

"""A ranker whose port only reads."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from assay_rpc.ranker.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    artifact_pb2,
    outcome_pb2,
    outcome_pb2_grpc,
    ranker_pb2_grpc,
    verification_pb2,
    verification_pb2_grpc,
)

from services.rpc.access.tokens import line_of, new_token
from tests.ranker.conftest import Ranker


async def refused(call: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code()


async def test_nothing_can_be_changed_where_operations_are_off(ranker: Ranker) -> None:
    policy, tokens = ranker.folder / "policy.toml", ranker.folder / "tokens"
    policy.write_text('anonymous = ["read"]\n')
    tokens.write_text(line_of("nobody", new_token()) + "\n")
    channel = await ranker.connect(operations=False, policy_file=policy, token_file=tokens)
    found = await ranker_pb2_grpc.RankerServiceStub(channel).GetArtifact(
        artifact_pb2.GetArtifactRequest(artifact="the-pile")
    )
    assert found.artifact.id == "the-pile"
    verification = verification_pb2_grpc.VerificationServiceStub(channel)
    admin = admin_pb2_grpc.RankerAdminServiceStub(channel)
    outcome = outcome_pb2_grpc.OutcomeServiceStub(channel)
    order = verification_pb2.SubmitVerificationRequest(artifact="the-pile", request_id="r")
    manifest = admin_pb2.RegisterManifestRequest(manifest=b"a: 1")
    match = outcome_pb2.RecordMatchRequest(match_id="m")
    denied = {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}
    missing = {grpc.StatusCode.UNIMPLEMENTED}
    assert await refused(verification.SubmitVerification(order)) in missing | denied
    assert await refused(admin.RegisterManifest(manifest)) in missing | denied
    assert await refused(outcome.RecordMatch(match)) in denied
    # Without a policy too there is nobody to verify or to register.
    channel = await ranker.connect(operations=False)
    verification = verification_pb2_grpc.VerificationServiceStub(channel)
    admin = admin_pb2_grpc.RankerAdminServiceStub(channel)
    assert await refused(verification.SubmitVerification(order)) in missing
    assert await refused(admin.RegisterManifest(manifest)) in missing

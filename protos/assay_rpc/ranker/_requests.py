"""Requests of the ranker's clients, from plain arguments, and what a job tells them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Literal, TypedDict, Unpack

import grpc

from assay_rpc.common.v1 import common_pb2
from assay_rpc.errors import AssayError
from assay_rpc.ranker.v1 import artifact_pb2, rank_pb2, search_pb2, verification_pb2

Effort = Literal["quick", "full"]
_EFFORTS = {"quick": verification_pb2.EFFORT_QUICK, "full": verification_pb2.EFFORT_FULL}
_TYPES = {
    "segmentation_model": artifact_pb2.ARTIFACT_TYPE_SEGMENTATION_MODEL,
    "dataset": artifact_pb2.ARTIFACT_TYPE_DATASET,
    "language_model": artifact_pb2.ARTIFACT_TYPE_LANGUAGE_MODEL,
}
TypeName = Literal["segmentation_model", "dataset", "language_model"]
OnJob = Callable[[verification_pb2.Job], object]
"""Takes the job each time that it has changed."""


def told(job: verification_pb2.Job, progress: OnJob | None) -> None:
    """Pass a job on. Raises AssayError when it has failed or was cancelled."""
    if progress is not None:
        progress(job)
    if job.state == verification_pb2.JOB_STATE_CANCELLED:
        raise AssayError("the job was cancelled", code=grpc.StatusCode.CANCELLED)
    if job.state == verification_pb2.JOB_STATE_FAILED:
        raise AssayError.of_item(
            job.error if job.HasField("error") else common_pb2.ItemError(message="the job failed")
        )


def _type(name: TypeName | None) -> artifact_pb2.ArtifactType.ValueType:
    if name is None:
        return artifact_pb2.ARTIFACT_TYPE_UNSPECIFIED
    if name not in _TYPES:
        raise ValueError(f"type: {name!r} is none of {', '.join(_TYPES)}")
    return _TYPES[name]


class RanksOptions(TypedDict, total=False):
    """Which ranks: one of the first three, the day, the hardware and the profile."""

    type: TypeName
    intent: str
    artifacts: Sequence[str]
    as_of: str
    hardware: str
    profile: str


def ranks_request(**options: Unpack[RanksOptions]) -> rank_pb2.ListRanksRequest:
    """List ranks. Raises ValueError unless it is of a type, an intent or artifacts."""
    if len(options.keys() & {"type", "intent", "artifacts"}) != 1:
        raise ValueError("give a type, an intent or artifacts, one of the three")
    request = rank_pb2.ListRanksRequest(
        as_of=options.get("as_of", ""),
        hardware=options.get("hardware", ""),
        profile=options.get("profile", ""),
    )
    if "intent" in options:
        request.intent = options["intent"]
    elif "artifacts" in options:
        request.artifacts.artifacts.extend(options["artifacts"])
    else:
        request.type = _type(options["type"])
    return request


def search_request(
    intent: str, type_name: TypeName | None, limit: int
) -> search_pb2.SearchCapabilitiesRequest:
    """Search for an intent. Raises ValueError for an unknown type."""
    return search_pb2.SearchCapabilitiesRequest(intent=intent, type=_type(type_name), limit=limit)


def submit_request(
    artifact: str, claims: Sequence[str], effort: Effort, request_id: str | None
) -> verification_pb2.SubmitVerificationRequest:
    """Submit a verification. Raises ValueError for an unknown effort."""
    if effort not in _EFFORTS:
        raise ValueError(f"effort: {effort!r} is none of {', '.join(_EFFORTS)}")
    return verification_pb2.SubmitVerificationRequest(
        artifact=artifact,
        claims=claims,
        effort=_EFFORTS[effort],
        request_id=request_id or str(uuid.uuid4()),
    )

"""OutcomeService: parse, one call, build the reply."""

from __future__ import annotations

from typing import Any

import grpc
from assay_rpc.ranker.v1 import outcome_pb2, outcome_pb2_grpc, score_pb2

from services.common import identity
from services.errors import InvalidArgument
from services.ranker.api import messages
from services.ranker.database.match_store import MatchCounts, Reporter
from services.ranker.searching.discovery import Discovery

Context = grpc.aio.ServicerContext[Any, Any]

_OUTCOMES = {outcome_pb2.OUTCOME_SUCCESS: True, outcome_pb2.OUTCOME_FAILURE: False}


class OutcomeService(outcome_pb2_grpc.OutcomeServiceServicer):
    """Records matches and how they ended."""

    def __init__(self, discovery: Discovery) -> None:
        self._discovery = discovery

    async def RecordMatch(  # noqa: N802  # the contract's name
        self,
        request: outcome_pb2.RecordMatchRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> outcome_pb2.RecordMatchResponse:
        """See `outcome.proto`."""
        time, counts = await self._discovery.record(
            request.match_id, request.intent, request.capability_uri
        )
        return outcome_pb2.RecordMatchResponse(
            record_time=messages.timestamp(time), counts=_counts(counts)
        )

    async def ReportOutcome(  # noqa: N802  # the contract's name
        self, request: outcome_pb2.ReportOutcomeRequest, context: Context
    ) -> outcome_pb2.ReportOutcomeResponse:
        """See `outcome.proto`."""
        if request.outcome not in _OUTCOMES:
            raise InvalidArgument("outcome", f"{request.outcome} is neither success nor failure")
        counts = await self._discovery.report(
            request.match_id, _OUTCOMES[request.outcome], reporter(context)
        )
        return outcome_pb2.ReportOutcomeResponse(counts=_counts(counts))

    async def WithdrawOutcome(  # noqa: N802  # the contract's name
        self, request: outcome_pb2.WithdrawOutcomeRequest, context: Context
    ) -> outcome_pb2.WithdrawOutcomeResponse:
        """See `outcome.proto`."""
        counts = await self._discovery.withdraw(request.match_id, reporter(context))
        return outcome_pb2.WithdrawOutcomeResponse(counts=_counts(counts))


def reporter(context: Context) -> Reporter:
    """The caller: the identity that the server verified, or else the address.

    No field of a request names the reporter, since anyone could write anything there. The port is
    left out of an address: a retry may use another.
    """
    who = identity.current()
    if who.verified:
        return Reporter(who.name, verified=True)
    return Reporter(context.peer().rpartition(":")[0], verified=False)


def _counts(value: MatchCounts) -> score_pb2.MatchCounts:
    return messages.match_counts(
        value.matched, value.reported, value.succeeded, value.anonymous, len(value.operators)
    )

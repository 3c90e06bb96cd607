"""The least that a cached answer can cost: a grpc.aio handler that reads a key and sends its bytes.

python -m benchmarks.peers.ranker_bare PORT REDIS_URL KEY
"""

from __future__ import annotations

import asyncio
import sys

import grpc
from redis.asyncio import Redis

HEADER = 24  # bytes that the cache writes before a reply


async def serve(port: int, url: str, key: str) -> None:
    """Serve until killed."""
    store = Redis.from_url(url)

    async def compare(request: bytes, context: object) -> bytes:  # noqa: ARG001  (gRPC passes them)
        value = await store.get(key)
        assert isinstance(value, bytes)  # noqa: S101  (the benchmark has stored it)
        return value[HEADER:]

    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(compare)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(
                "assay.ranker.v1.RankerService", {"Compare": handler}
            ),
        )
    )
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2], sys.argv[3]))

"""A bare grpc.aio handler that repeats the same bytes: the least that a stream can cost."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import grpc


async def serve(message_bytes: int, messages: int) -> None:
    """Serve /Bare/Stream on a free port, which is printed, until killed."""
    message = os.urandom(message_bytes)

    async def stream(_request: bytes, context: Any) -> None:
        for _ in range(messages):
            await context.write(message)

    server = grpc.aio.server(options=[("grpc.max_send_message_length", -1)])
    handlers: dict[str, Any] = {"Stream": grpc.unary_stream_rpc_method_handler(stream)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("Bare", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))

"""Triton with a Python function, by the usual code of PyTriton's guide.

python -m benchmarks.peers.segment_pytriton GRPC_PORT HTTP_PORT usual CHECKPOINT
python -m benchmarks.peers.segment_pytriton GRPC_PORT HTTP_PORT graph MODEL PRECISION
"""

from __future__ import annotations

import socket
import sys

import numpy as np
from pytriton.decorators import batch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

from benchmarks.peers.segment_models import make

model = make(sys.argv[3], sys.argv[4:])


@batch  # type: ignore[untyped-decorator]  # PyTriton has no types
def infer(image: np.ndarray) -> dict[str, np.ndarray]:
    """Label the pictures of one batch."""
    return {"labels": np.stack(model.batch([jpeg for (jpeg,) in image]))}


if __name__ == "__main__":
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        metrics = free.getsockname()[1]
    config = TritonConfig(
        grpc_address="127.0.0.1",
        grpc_port=int(sys.argv[1]),
        http_address="127.0.0.1",
        http_port=int(sys.argv[2]),
        metrics_port=metrics,
    )
    with Triton(config=config) as triton:
        triton.bind(
            model_name="segformer",
            infer_func=infer,
            inputs=[Tensor(name="image", dtype=bytes, shape=(1,))],
            outputs=[Tensor(name="labels", dtype=np.uint8, shape=(-1, -1))],
            config=ModelConfig(max_batch_size=8),
        )
        triton.serve()

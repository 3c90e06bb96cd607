"""Writes ModelInfer requests as Triton's own client makes them, for clients that only send bytes.

python -m benchmarks.peers.segment_triton_requests MODEL image|pixels FOLDER JPEG...
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import tritonclient.grpc as grpcclient
from PIL import Image
from transformers import SegformerImageProcessorPil
from tritonclient.grpc import service_pb2


def request(model: str, kind: str, jpeg: Path) -> service_pb2.ModelInferRequest:
    """Return the request for the labels of a picture."""
    if kind == "image":
        array = np.array([[jpeg.read_bytes()]], dtype=np.object_)
        tensor = grpcclient.InferInput("image", [1, 1], "BYTES")
    else:
        array = SegformerImageProcessorPil()(Image.open(jpeg), return_tensors="np")["pixel_values"]
        tensor = grpcclient.InferInput("pixels", list(array.shape), "FP32")
    tensor.set_data_from_numpy(array)
    made = service_pb2.ModelInferRequest(model_name=model)
    made.inputs.append(tensor._get_tensor())
    made.raw_input_contents.append(tensor._get_content())
    made.outputs.append(grpcclient.InferRequestedOutput("labels")._get_tensor())
    return made


if __name__ == "__main__":
    model, kind, folder = sys.argv[1:4]
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name in sys.argv[4:]:
        made = request(model, kind, Path(name))
        (Path(folder) / f"{Path(name).stem}.request").write_bytes(made.SerializeToString())

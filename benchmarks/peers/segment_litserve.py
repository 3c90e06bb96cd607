"""LitServe with the usual code of its guide.

python -m benchmarks.peers.segment_litserve PORT usual CHECKPOINT
python -m benchmarks.peers.segment_litserve PORT graph MODEL PRECISION
"""

# No `annotations` of __future__: LitServe reads the type of `request`, which must not be a string.
import sys

import litserve as ls
from fastapi import Request, Response

from benchmarks.peers.segment_models import Labels, make


class SegmentAPI(ls.LitAPI):  # type: ignore[misc]  # LitServe is not installed where this is checked
    """A picture in, labels out."""

    def setup(self, device: str) -> None:  # noqa: ARG002  # LitServe passes it
        """Load the model, once a worker."""
        self.model = make(sys.argv[2], sys.argv[3:])

    def decode_request(self, request: Request) -> bytes:
        """Return the file that was uploaded."""
        jpeg: bytes = request["content"].file.read()
        return jpeg

    def predict(self, jpeg: bytes) -> Labels:
        """Label the picture."""
        return self.model(jpeg)

    def encode_response(self, labels: Labels) -> Response:
        """Return the labels as they are."""
        return Response(content=labels.tobytes(), media_type="application/octet-stream")


if __name__ == "__main__":
    server = ls.LitServer(SegmentAPI(), accelerator="cpu", timeout=600)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False)

"""transformers' pipeline as its guide uses it; each line of its input is a number of pictures.

python -m benchmarks.peers.segment_pipeline CHECKPOINT JPEG...
"""

from __future__ import annotations

import io
import itertools
import json
import sys
import time
from importlib import metadata
from pathlib import Path

from PIL import Image
from transformers import (
    SegformerForSemanticSegmentation,
    SegformerImageProcessorPil,
    pipeline,
)


def main() -> None:
    """Answer each line with the seconds that each picture took."""
    checkpoint, *files = sys.argv[1:]
    # Set here, because the published configuration names a class that transformers no longer has.
    segment = pipeline(
        "image-segmentation",
        model=SegformerForSemanticSegmentation.from_pretrained(checkpoint),
        image_processor=SegformerImageProcessorPil(),
        device="cpu",
    )
    turns = itertools.cycle([Path(file).read_bytes() for file in files])
    print(json.dumps({name: metadata.version(name) for name in ("torch", "transformers")}))
    sys.stdout.flush()
    for line in sys.stdin:
        seconds = []
        for jpeg in itertools.islice(turns, int(line)):
            begun = time.perf_counter()
            segment(Image.open(io.BytesIO(jpeg)))
            seconds.append(time.perf_counter() - begun)
        print(json.dumps(seconds), flush=True)


if __name__ == "__main__":
    main()

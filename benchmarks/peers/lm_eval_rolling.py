"""lm-evaluation-harness's own `loglikelihood_rolling`, for bpb/lm_eval.py.

Runs in an environment that has lm-eval and none of this project. Reads one JSON object a line:
{"texts": [...], "options": {...}}, options being arguments of its HFLM class; answers each with
{"nats": [...], "cpu_seconds": s, "wall_seconds": s}. The first line it writes has versions.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from importlib.metadata import version
from types import SimpleNamespace

os.environ.update(HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")

import torch
from lm_eval.models import huggingface

logging.disable(logging.WARNING)
# One progress bar a window would cost lm-eval time that is not scoring.
_tqdm = huggingface.tqdm
huggingface.tqdm = lambda *args, **kwargs: _tqdm(*args, **{**kwargs, "disable": True})
torch.set_num_threads(1)


def main(directory: str) -> None:
    """Answer requests until standard input ends."""
    names = ("lm-eval", "torch", "transformers", "tokenizers")
    print(json.dumps({name: version(name) for name in names}), flush=True)
    models: dict[str, huggingface.HFLM] = {}
    for line in sys.stdin:
        request = json.loads(line)
        options = request["options"]
        key = json.dumps(options)
        if key not in models:
            models[key] = huggingface.HFLM(
                pretrained=directory, device="cpu", dtype="float32", **options
            )
        instances = [SimpleNamespace(args=(text,)) for text in request["texts"]]
        wall, cpu = time.perf_counter(), time.process_time()
        likelihoods = models[key].loglikelihood_rolling(instances, disable_tqdm=True)
        reply = {
            "nats": [-float(value) for value in likelihoods],
            "cpu_seconds": time.process_time() - cpu,
            "wall_seconds": time.perf_counter() - wall,
        }
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])

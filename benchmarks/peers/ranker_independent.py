"""What the ranker measures, computed without any of its code: transformers, numpy, zstd and gzip.

Prints one JSON object, {"CLAIM": value}. `python ranker_independent.py DATA`, with the folder of
the real weights and documents.
"""

from __future__ import annotations

import collections
import csv
import io
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
import zstandard
from PIL import Image
from tokenizers import Tokenizer
from transformers import (
    AutoModelForCausalLM,
    SegformerConfig,
    SegformerForSemanticSegmentation,
)

DATA = Path(sys.argv[1])
DEEPLAB_HEAD = 17_765_126  # parameters of mmsegmentation's DepthwiseSeparableASPPHead on R-101


def model_facts() -> dict[str, object]:
    """B4 with random weights: counts and shapes of the source model."""
    config = SegformerConfig(
        depths=[3, 8, 27, 3], hidden_sizes=[64, 128, 320, 512], decoder_hidden_size=768
    )
    config.num_labels = 150
    model = SegformerForSemanticSegmentation(config).train(False)
    strides = np.cumprod(config.strides)
    learned = (torch.nn.Linear, torch.nn.Conv2d)
    with torch.no_grad():
        logits = model(torch.zeros(1, 3, 512, 512)).logits
    return {
        "B1.1": float(logits.shape[1]),
        "B1.2": "-".join(map(str, strides)),
        "B1.3": float(sum(isinstance(one, torch.nn.Conv2d) for one in model.modules())),
        "B2.1": float(sum(isinstance(one, learned) for one in model.decode_head.modules())),
        "B2.2": sum(p.numel() for p in model.decode_head.parameters()) / DEEPLAB_HEAD,
        "B4.1": float(model.num_parameters()),
        "B4.2": "-".join(map(str, config.depths)),
        "B4.3": "-".join(map(str, config.hidden_sizes)),
        "B6.1": "x".join(map(str, logits.shape[1:])),
        "B7.1": "x".join(map(str, logits.shape[2:])),
    }


def accuracy() -> dict[str, object]:
    """B0's parameters, and its mean IoU in percent on the available validation pictures."""
    folder = DATA / "segformer" / "b0-ade"
    model = SegformerForSemanticSegmentation.from_pretrained(folder).train(False)
    how = json.loads((folder / "preprocessor_config.json").read_text())
    mean, std = np.array(how["image_mean"]), np.array(how["image_std"])
    both = np.zeros((3, 150))  # intersections, predicted, labelled
    for picture in sorted((DATA / "ade20k" / "images").glob("ADE_val_*")):
        mask = np.asarray(Image.open(DATA / "ade20k" / "annotations" / f"{picture.stem}.png"))
        small = Image.open(picture).convert("RGB").resize((512, 512), Image.Resampling.BILINEAR)
        pixels = (np.asarray(small) / 255 - mean) / std
        tensor = torch.tensor(pixels.transpose(2, 0, 1)[None], dtype=torch.float32)
        with torch.no_grad():
            logits = model(tensor).logits
            found = torch.nn.functional.interpolate(
                logits, mask.shape, mode="bilinear", align_corners=False
            )
        predicted = found.argmax(1)[0].numpy()[mask > 0]
        labelled = mask[mask > 0].astype(int) - 1
        both[0] += np.bincount(labelled[predicted == labelled], minlength=150)
        both[1] += np.bincount(predicted, minlength=150)
        both[2] += np.bincount(labelled, minlength=150)
    union = both[1] + both[2] - both[0]
    return {
        "S0.1": float(model.num_parameters()),
        "S0.2": float(100 * np.mean(both[0][union > 0] / union[union > 0])),
    }


def documents(shard: Path) -> list[dict[str, object]]:
    """Every line of a shard."""
    with shard.open("rb") as file:
        reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        return [
            json.loads(line) for line in io.TextIOWrapper(reader, encoding="utf-8", newline="\n")
        ]


def packed(words: list[str], text: bytes) -> int:
    """Return the size in bytes of a text that a tool compressed."""
    return len(subprocess.run(words, input=text, stdout=subprocess.PIPE, check=True).stdout)


def corpus() -> dict[str, object]:
    """Counts and ratios of the available documents."""
    shards = [*sorted((DATA / "pile" / "train").glob("*.zst"))]
    shards += [DATA / "pile" / f"{name}.jsonl.zst" for name in ("val", "test")]
    sizes: collections.Counter[str] = collections.Counter()
    named = total = 0
    by_split: dict[str, list[bytes]] = collections.defaultdict(list)
    for shard in shards:
        split = shard.parent.name if shard.parent.name == "train" else shard.name.partition(".")[0]
        by_split[split].append(subprocess.run(
            ["zstd", "-dc", str(shard)], stdout=subprocess.PIPE, check=True
        ).stdout)  # fmt: skip
        for one in documents(shard):
            total += 1
            meta = one.get("meta")
            subset = meta.get("pile_set_name", "") if isinstance(meta, dict) else ""
            named += bool(subset)
            sizes[subset] += len(str(one["text"]).encode())
    with (DATA / "tables" / "pile-table1.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["weight_pct"]]
        weights = {row["component"]: float(row["weight_pct"]) for row in rows}
    shares = {name: size / sum(sizes.values()) for name, size in sizes.items()}
    here = {_named(name): share for name, share in shares.items()}
    there = {_named(name): one / sum(weights.values()) for name, one in weights.items()}
    distance = sum(abs(here.get(one, 0) - there.get(one, 0)) for one in {*here, *there}) / 2
    ratios = []
    for texts in by_split.values():
        text = b"".join(texts)
        zstd, gzip = packed(["zstd", "-3", "-c"], text), packed(["gzip", "-6", "-c"], text)
        ratios.append((len(text) / zstd, gzip / zstd))
    return {
        "P3.1": 1.0,  # every line was parsed above, or this would have ended
        "P3.2": float(np.mean([one for one, _ in ratios])),
        "P4.1": float(np.mean([one for _, one in ratios])),
        "P5.2": named / total,
        "P6.1": distance,
    }


def _named(name: str) -> str:
    """A subset's name in one spelling, where the paper and the documents differ."""
    spelled = "".join(one for one in name.lower() if one.isalnum())
    return {"pg19": "gutenbergpg19", "wikipedia": "wikipediaen"}.get(spelled, spelled)


def language_model() -> dict[str, object]:
    """Bits per byte on the Pile-CC documents that the tokenizer reproduces, and parameters."""
    folder = DATA / "lm" / "tinystories-656k"
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).train(False)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    window, prefix = model.config.max_position_embeddings, model.config.bos_token_id
    nats = size = 0.0
    for one in documents(DATA / "pile" / "test.jsonl.zst"):
        meta, text = one["meta"], str(one["text"])
        if not isinstance(meta, dict) or meta["pile_set_name"] != "Pile-CC":
            continue
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        if tokenizer.decode(ids) != text:
            continue
        nats += document_nats(model, [prefix, *ids], window)
        size += len(text.encode())
    return {"T1": nats / math.log(2) / size, "T2": float(model.num_parameters())}


def document_nats(model: torch.nn.Module, ids: list[int], window: int) -> float:
    """lm-evaluation-harness's rolling windows: the last is filled up from the back."""
    nats, done = 0.0, 1  # the prefix is not scored
    while done < len(ids):
        end = min(len(ids), done + window)
        start = max(0, end - window - 1)
        inputs = torch.tensor([ids[start : end - 1]])
        with torch.no_grad():
            likely = torch.log_softmax(model(inputs).logits[0].double(), -1)
        for place in range(done, end):
            nats -= float(likely[place - 1 - start, ids[place]])
        done = end
    return nats


if __name__ == "__main__":
    torch.manual_seed(0)
    print(json.dumps({**model_facts(), **accuracy(), **corpus(), **language_model()}))

"""Trains the reference model: `python -m services.segment.reference.train --out DIR`.

Trains a SegFormer a tenth the size of B0, from random weights, on drawn scenes only; then exports
it, measures it on unseen scenes, and writes its model card. Everything is seeded: the same machine
and library versions give the same file.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional
from transformers import SegformerConfig, SegformerForSemanticSegmentation

from services.errors import AssayError
from services.segment.ade20k import ADE20K_CLASSES
from services.segment.export.licenses import APACHE
from services.segment.export.output import check_output
from services.segment.export.pipeline import Source, export
from services.segment.export.preprocessing import ADE20K_PREPROCESSING
from services.segment.reference.card import CARD_FILE, Training, model_card
from services.segment.reference.evaluate import HELD_OUT_SCENES, HELD_OUT_SEED, evaluate
from services.segment.reference.scenes.draw import draw_scene
from services.segment.reference.scenes.labels import DRAWN

SIDE = 256
_MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
_STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
# A class that is never drawn never wins.
_NEVER = -100.0
Model = SegformerForSemanticSegmentation


def small_config(classes: int) -> SegformerConfig:
    """Return the configuration of the reference model: under a million parameters."""
    config = SegformerConfig(
        depths=[1, 1, 2, 1],
        hidden_sizes=[16, 32, 80, 128],
        num_attention_heads=[1, 2, 4, 4],
        decoder_hidden_size=96,
        drop_path_rate=0.0,
        classifier_dropout_prob=0.0,
    )
    config.num_labels = classes
    return config


def training_scene(seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw a scene of random size and resize it to SIDE x SIDE, labels as indices of DRAWN."""
    rng = np.random.default_rng((seed, 21))
    height = int(rng.choice([256, 384], p=[0.75, 0.25]))
    rgb, labels = draw_scene(seed, height, int(height * rng.uniform(0.9, 1.6)))
    image = Image.fromarray(rgb).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    mask = Image.fromarray(labels).resize((SIDE, SIDE), Image.Resampling.NEAREST)
    index = np.zeros(256, np.uint8)
    index[list(DRAWN)] = np.arange(len(DRAWN))
    return np.asarray(image), index[np.asarray(mask)]


def _batches(
    images: torch.Tensor, labels: torch.Tensor, training: Training
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield shuffled batches without end: mirrored and differently exposed at random."""
    generator = torch.Generator().manual_seed(training.seed)
    while True:
        order = torch.randperm(len(images), generator=generator)
        for chosen in torch.split(order, training.batch):
            picture, truth = images[chosen].float() / 255, labels[chosen].long()
            if torch.rand((), generator=generator) < 0.5:
                picture, truth = picture.flip(3), truth.flip(2)
            gain = 0.8 + 0.4 * torch.rand(len(chosen), 3, 1, 1, generator=generator)
            gain = gain.mean(1, keepdim=True) * 0.75 + gain * 0.25
            picture = (picture * gain).clamp(0, 1)
            yield (picture - _MEAN) / _STD, truth


def train(training: Training) -> Model:
    """Train and return the model; its classes are indices of DRAWN."""
    torch.manual_seed(training.seed)
    torch.use_deterministic_algorithms(True)
    started = time.monotonic()
    pairs = [training_scene(seed) for seed in range(training.scenes)]
    images = torch.from_numpy(np.stack([rgb for rgb, _ in pairs]).transpose(0, 3, 1, 2).copy())
    labels = torch.from_numpy(np.stack([label for _, label in pairs]))
    share = torch.bincount(labels.flatten(), minlength=len(DRAWN)).float() / labels.numel()
    weights = share.clamp_min(1e-4) ** -0.3
    weights /= (weights * share).sum()
    _say(f"{training.scenes} scenes drawn in {time.monotonic() - started:.0f} s")
    model: Model = SegformerForSemanticSegmentation(small_config(len(DRAWN))).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=training.peak_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, training.peak_rate, total_steps=training.steps, pct_start=0.1
    )
    batches = _batches(images, labels, training)
    for step in range(1, training.steps + 1):
        picture, truth = next(batches)
        logits = functional.interpolate(
            model(picture).logits, size=truth.shape[1:], mode="bilinear", align_corners=False
        )
        loss = functional.cross_entropy(logits, truth, weight=weights)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 50 == 0 or step == training.steps:
            _say(
                f"step {step}/{training.steps}, loss {loss.item():.3f}, "
                f"{time.monotonic() - started:.0f} s"
            )
    trained: Model = model.train(False)
    return trained


def widen(model: Model, classes: int) -> Model:
    """Return the model with a classifier of `classes` classes; classes never drawn never win."""
    wide: Model = Model(small_config(classes)).train(False)
    state = model.state_dict()
    for key, fill in (
        ("decode_head.classifier.weight", 0.0),
        ("decode_head.classifier.bias", _NEVER),
    ):
        narrow = state[key]
        full = torch.full((classes, *narrow.shape[1:]), fill)
        full[list(DRAWN)] = narrow
        state[key] = full
    wide.load_state_dict(state)
    return wide


def main(arguments: list[str] | None = None) -> int:
    """Train, export, evaluate and write the card; return an exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="new directory for the model")
    parser.add_argument("--seed", type=int, default=Training.seed)
    parser.add_argument("--scenes", type=int, default=Training.scenes, help="scenes to train on")
    parser.add_argument("--steps", type=int, default=Training.steps, help="batches to train for")
    given = parser.parse_args(arguments)
    training = Training(seed=given.seed, scenes=given.scenes, steps=given.steps)
    # One thread: sums over several threads vary in order.
    torch.set_num_threads(1)
    try:
        check_output(given.out, 1 << 26)
        started = time.monotonic()
        model = widen(train(training), len(ADE20K_CLASSES))
        minutes = (time.monotonic() - started) / 60
        export(_source(model, training), given.out, _say)
    except AssayError as error:
        _say(f"error: {error}")
        return 1
    _say("measuring on held-out scenes")
    seeds = range(HELD_OUT_SEED, HELD_OUT_SEED + HELD_OUT_SCENES)
    result = evaluate(given.out, seeds)
    (given.out / CARD_FILE).write_text(model_card(given.out, training, result, minutes))
    _say(f"mean IoU {result.mean_iou:.4f} on {HELD_OUT_SCENES} held-out scenes")
    return 0


def _source(model: Model, training: Training) -> Source:
    return Source(
        model,
        "segformer-reference",
        "reference",
        APACHE,
        f"trained by this project from random weights on {training.scenes} drawn scenes, seed "
        f"{training.seed}; a substitute that decides nothing about a real model",
        ADE20K_CLASSES,
        ADE20K_PREPROCESSING.replaced(height=SIDE, width=SIDE),
    )


def _say(message: str) -> None:
    sys.stderr.write(message + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())

"""What `assay segment` asks for, and the files that it makes of a reply."""

from __future__ import annotations

import argparse
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import zstandard
from assay_rpc.segment.v1 import images_pb2, models_pb2, segment_pb2
from PIL import Image

from services.cli.commands.segment import segment
from services.errors import InvalidArgument


def parsed(*options: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    segment.add_arguments(parser)
    return parser.parse_args(["photo.jpg", *options])


def request(*options: str) -> segment_pb2.SegmentImageRequest:
    return segment._request(parsed(*options), b"file")


def test_without_options_only_shares_are_asked_for() -> None:
    asked = request()
    assert asked.image.encoded == b"file"
    assert asked.encoding == images_pb2.LABEL_ENCODING_NONE
    assert asked.output_size == images_pb2.OUTPUT_SIZE_ORIGINAL
    assert not asked.top_k
    assert not asked.HasField("overlay")
    assert not asked.HasField("size")


def test_every_output_is_asked_for() -> None:
    asked = request(
        *("-o", "labels.png", "--confidence", "sure.png", "--size", "640x480"),
        *("--overlay", "seen.PNG", "--opacity", "0.25"),
    )
    assert asked.encoding == images_pb2.LABEL_ENCODING_PNG
    assert asked.top_k == 1
    assert asked.output_size == images_pb2.OUTPUT_SIZE_GIVEN
    assert (asked.size.width, asked.size.height) == (640, 480)
    assert asked.overlay.format == images_pb2.PICTURE_FORMAT_PNG
    assert asked.overlay.opacity == 0.25
    assert request("--masks", "m.json").encoding == images_pb2.LABEL_ENCODING_COCO_RLE


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--overlay", "seen.gif"], "neither .jpg nor .png"),
        (["--opacity", "0.5"], "--overlay FILE"),
    ],
)
def test_options_that_do_not_fit(options: list[str], says: str) -> None:
    with pytest.raises(InvalidArgument, match=says):
        request(*options)


@pytest.mark.parametrize("size", ["640", "x480", "640x", "640x480x3", "-1x5", "1e3x5"])
def test_a_size_that_is_none(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed(f"--size={size}")
    assert "width first" in capsys.readouterr().err


def test_labels_and_masks_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed("-o", "a.png", "--masks", "b.json")
    assert "not allowed with" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "IMAGE: 0 of them: give one, or --out DIR"),
        (["a.jpg", "b.jpg"], "IMAGE: 2 of them"),
        (["."], "is a folder: give --out DIR"),
        (["https://example.org/a.jpg"], "is a URL: download it, or give --out"),
        (["a.jpg", "--jsonl"], "--jsonl: goes with --out"),
        (["a.jpg", "--list", "-"], "--list: goes with --out"),
        ([__file__, "--overlay"], "--overlay: name the FILE"),
        (["a.jpg", "--out", "x", "-o", "b.png"], "-o: is for one picture"),
        (["--out", "x", "--overlay", "a.jpg"], "--overlay: takes no file with --out"),
        (["--out", "x"], "IMAGE: give files or folders, or --list"),
        (["-", "--out", "x"], "a list of paths on stdin is --list -"),
    ],
)
async def test_what_is_for_one_picture_and_what_for_many(options: list[str], says: str) -> None:
    parser = argparse.ArgumentParser()
    segment.add_arguments(parser)
    with pytest.raises(InvalidArgument, match=re.escape(says)):
        await segment.run(parser.parse_args(options))


def test_classes_by_name_and_by_id() -> None:
    classes = [
        models_pb2.ClassInfo(id=index, name=name) for index, name in enumerate(("sky", "sea"))
    ]
    described = segment_pb2.GetModelResponse(model=models_pb2.Model(classes=classes))
    assert segment._class_ids(described, ["sea", "0"]) == [1, 0]
    with pytest.raises(InvalidArgument, match=r"sand is not a class of the model: sky, sea$"):
        segment._class_ids(described, ["sand"])


def test_a_name_means_every_class_that_has_it() -> None:
    names = ["road", "sky", "road", "1"]
    classes = [models_pb2.ClassInfo(id=index, name=name) for index, name in enumerate(names)]
    described = segment_pb2.GetModelResponse(model=models_pb2.Model(classes=classes))
    assert segment._class_ids(described, ["road"]) == [0, 2]
    assert segment._class_ids(described, ["1", "2"]) == [3, 2]  # a name goes before an id


def test_files_of_a_reply(tmp_path: Path) -> None:
    shares = np.array([[[65_535, 7, 300]], [[0, 6, 200]]], dtype="<u2")
    reply = segment_pb2.SegmentImageResponse(
        labels=images_pb2.LabelMap(
            height=1,
            width=3,
            data=b"map",
            masks=[images_pb2.ClassMask(class_id=4, counts=b"03", area=3)],
        ),
        classes=[images_pb2.ClassShare(class_id=4, name="tree", pixels=3, share=1)],
        top_classes=images_pb2.TopClasses(
            k=2, height=1, width=3, probabilities=zstandard.compress(shares.tobytes())
        ),
        overlay=images_pb2.Picture(data=b"picture"),
    )
    files = {name: tmp_path / name for name in ("output", "masks", "overlay", "confidence")}
    segment._write(reply, files)
    assert files["output"].read_bytes() == b"map"
    assert files["overlay"].read_bytes() == b"picture"
    assert json.loads(files["masks"].read_text()) == [
        {
            "category_id": 4,
            "category": "tree",
            "area": 3,
            "segmentation": {"size": [1, 3], "counts": "03"},
        }
    ]
    with Image.open(io.BytesIO(files["confidence"].read_bytes())) as image:
        assert np.asarray(image).tolist() == [[65_535, 7, 300]]

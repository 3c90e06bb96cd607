"""Which pictures have which masks, and what is said of the figures."""

import re
from pathlib import Path

import pytest
from assay_rpc.segment.v1 import segment_pb2

from services.cli.commands.segment.evaluate import (
    find_pairs,
    shift_advice,
    with_file,
    worst_first,
)
from services.errors import InvalidArgument


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    images, masks = tmp_path / "images", tmp_path / "masks"
    for folder, names in ((images, "b.jpg a.PNG notes.txt"), (masks, "a.png b.png c.png")):
        folder.mkdir()
        for name in names.split():
            (folder / name).touch()
    return images, masks


def test_a_mask_has_its_pictures_name(folders: tuple[Path, Path]) -> None:
    pairs = [(picture.name, mask.name) for picture, mask in find_pairs(*folders)]
    assert pairs == [("a.PNG", "a.png"), ("b.jpg", "b.png")]


def test_pictures_without_a_mask_are_all_named(folders: tuple[Path, Path]) -> None:
    (folders[1] / "b.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"for 1 of 2 images: b\.jpg; each needs a mask"):
        find_pairs(*folders)
    for number in range(12):
        (folders[0] / f"more{number:02}.jpg").touch()
    with pytest.raises(FileNotFoundError, match=r"13 of 14.*: b\.jpg, .*more03\.jpg and 8 more;"):
        find_pairs(*folders)


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ("pairs[1].mask.encoded: not a PNG", "masks/b.png: not a PNG"),
        ("pairs[0].mask: the value 9: is", "masks/a.png: the value 9: is"),
        ("pairs[1].image.encoded: cut off", "images/b.jpg: cut off"),
        ("pairs[1]: settings come once", None),
        ("settings.ignore: 70000", None),
    ],
)
def test_a_refused_pair_is_named_by_its_file(message: str, says: str | None) -> None:
    pairs = [(Path("images", f"{one}.jpg"), Path("masks", f"{one}.png")) for one in "ab"]
    error = with_file(message, pairs)
    assert (None if error is None else str(error)) == says


def test_two_pictures_may_not_share_a_mask(folders: tuple[Path, Path]) -> None:
    (folders[0] / "b.bmp").touch()
    with pytest.raises(InvalidArgument, match=r"b\.bmp and b\.jpg have one mask"):
        find_pairs(*folders)


def test_a_folder_without_pictures(folders: tuple[Path, Path]) -> None:
    for name in ("b.jpg", "a.PNG"):
        (folders[0] / name).unlink()
    with pytest.raises(InvalidArgument, match="no picture"):
        find_pairs(*folders)


def result(
    accuracy: float, lower: float = 0.0, higher: float = 0.0
) -> segment_pb2.EvaluationResult:
    return segment_pb2.EvaluationResult(
        pixel_accuracy=accuracy, pixel_accuracy_one_lower=lower, pixel_accuracy_one_higher=higher
    )


@pytest.mark.parametrize(
    ("found", "zero_is_none", "says"),
    [
        (result(0.001, lower=0.74), False, "0 seems to be no class.*try --zero-is-none"),
        (result(0.3, lower=0.74), False, "30.0 % of the labels agree, and 74.0 % would"),
        (result(0.01, higher=0.8), True, "class ids: try it without --zero-is-none"),
        (result(0.01, higher=0.8), False, "one higher: the model may have a background class"),
        (result(0.8, lower=0.1, higher=0.05), False, None),
        (result(0.4, lower=0.5), False, None),  # neighbouring classes may be alike
        (result(0.01, lower=0.09), False, None),  # a bad model, and right masks
        (result(0.01, lower=0.8), True, None),
        (result(0.0), False, None),
    ],
)
def test_masks_that_are_one_off(
    found: segment_pb2.EvaluationResult, zero_is_none: bool, says: str | None
) -> None:
    advice = shift_advice(found, zero_is_none=zero_is_none)
    if says is None:
        assert advice is None
    else:
        assert re.search(says, advice or "")


def test_pictures_come_worst_first_and_those_without_figures_last() -> None:
    pairs = [
        segment_pb2.PairResult(index=0, pixels=9, mean_iou=0.5, pixel_accuracy=0.6),
        segment_pb2.PairResult(index=1, pixels=0, ignored_pixels=9),
        segment_pb2.PairResult(index=2, pixels=9, mean_iou=0.0, pixel_accuracy=0.0),
    ]
    pictures = worst_first(["a", "b", "c"], pairs)
    assert [one["picture"] for one in pictures] == ["c", "a", "b"]
    assert [one["mean_iou"] for one in pictures] == [0.0, 0.5, None]

"""Which pictures have which masks."""

from pathlib import Path

import pytest

from services.cli.commands.evaluate import find_pairs
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


def test_a_picture_without_a_mask_is_an_error(folders: tuple[Path, Path]) -> None:
    (folders[1] / "b.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"b\.jpg has no mask"):
        find_pairs(*folders)


def test_two_pictures_may_not_share_a_mask(folders: tuple[Path, Path]) -> None:
    (folders[0] / "b.bmp").touch()
    with pytest.raises(InvalidArgument, match=r"b\.bmp and b\.jpg have one mask"):
        find_pairs(*folders)


def test_a_folder_without_pictures(folders: tuple[Path, Path]) -> None:
    for name in ("b.jpg", "a.PNG"):
        (folders[0] / name).unlink()
    with pytest.raises(InvalidArgument, match="no picture"):
        find_pairs(*folders)

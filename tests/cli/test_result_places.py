"""Results that are not taken for pictures, and not written over them."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.cli.find_pictures import find
from services.cli.result_places import without_results
from services.errors import InvalidArgument


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "photos"
    for name in ("a.jpg", "b.png", "sub/c.jpg", "labels/a.png", "labels/sub/c.png"):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_bytes(b"x")
    return made


def names(out: Path, *given: Path | str) -> list[str]:
    texts = [str(one) for one in given]
    found = list(find(texts, 1000, lambda _: ()))
    return [one.path.name for one in without_results(found, texts, out)]


def test_results_in_the_folder_that_is_searched_are_no_pictures(folder: Path) -> None:
    assert names(folder / "labels", folder) == ["a.jpg", "b.png", "c.jpg"]
    assert names(folder / "../photos/labels", folder) == ["a.jpg", "b.png", "c.jpg"]
    assert names(folder / "new", folder / "sub") == ["c.jpg"]
    assert names(folder.parent, folder / "sub") == ["c.jpg"]


def test_a_folder_of_pictures_takes_no_results(folder: Path) -> None:
    with pytest.raises(InvalidArgument, match="is the folder of the pictures"):
        names(folder, folder)
    (folder.parent / "link").symlink_to(folder)
    with pytest.raises(InvalidArgument, match="is the folder of the pictures"):
        names(folder.parent / "link", folder)


@pytest.mark.parametrize("given", ["b.png", "*.png"])
def test_no_picture_is_written_over(folder: Path, given: str) -> None:
    with pytest.raises(InvalidArgument, match=r"--out: b\.png in it is one of the pictures"):
        names(folder, folder / given)
    assert names(folder, folder / "a.jpg") == ["a.jpg"]
    (folder / "x.overlay.jpg").write_bytes(b"x")
    (folder / "x.jpg").write_bytes(b"x")
    with pytest.raises(InvalidArgument, match=r"x\.overlay\.jpg in it is one"):
        names(folder, folder / "x*.jpg")

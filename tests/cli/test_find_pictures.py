"""Which pictures are found, and what is said of what cannot be sent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.cli.find_pictures import Found, find
from services.cli.result_places import without_results

LIMIT = 1000


def places(*given: Path | str) -> dict[str, str]:
    """The place of every picture by its name; of one with a problem, that."""
    return {one.path.name: one.problem or str(one.place) for one in found(*given)}


def found(*given: Path | str) -> list[Found]:
    return list(find([str(one) for one in given], LIMIT, objects))


def objects(folder: str) -> list[str]:
    """What a store has below a folder."""
    assert folder == "s3://bucket/photos/?token=secret"
    return ["a.jpg", "notes.txt", "sub/b%20c.PNG", ".hidden/d.jpg", "sub/a.jpg"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "photos"
    for name in ("b.jpg", "a.PNG", "notes.txt", "sub/c.webp", "sub/deep/d.heic", ".hidden/e.jpg",
                 ".f.jpg"):  # fmt: skip
        path = made / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return made


def test_a_folder_keeps_its_places(folder: Path) -> None:
    assert places(folder) == {
        "a.PNG": "a", "b.jpg": "b", "c.webp": "sub/c", "d.heic": "sub/deep/d",
    }  # fmt: skip


def test_a_named_file_is_taken_whatever_its_name_is(folder: Path) -> None:
    assert places(folder / "notes.txt", folder / "sub/c.webp") == {
        "notes.txt": "notes",
        "c.webp": "c",
    }


def test_patterns_and_lists(folder: Path) -> None:
    assert places(f"{folder}/*.[jP]*") == {"a.PNG": "a", "b.jpg": "b"}
    assert set(places(f"{folder}/**/*.webp")) == {"c.webp"}
    assert places(f"{folder}/*.bmp") == {"*.bmp": "no file fits this pattern"}
    odd = folder / "what[1].jpg"
    odd.write_bytes(b"x")
    assert places(odd) == {"what[1].jpg": "what[1]"}


def test_links_in_a_loop_end(folder: Path) -> None:
    (folder / "sub/up").symlink_to(folder)
    (folder / "sub/deep/self").symlink_to(folder / "sub/deep")
    (folder / "other.jpg").symlink_to(folder / "b.jpg")
    assert len(found(folder)) == 4  # each file once, by whichever name comes first


def test_what_cannot_be_sent_is_said(folder: Path) -> None:
    (folder / "huge.jpg").write_bytes(bytes(LIMIT + 1))
    (folder / "gone.jpg").symlink_to("nowhere")
    os.mkfifo(folder / "pipe.jpg")
    said = places(folder, "nowhere.jpg", "data:image/png;base64,AAAA", "/dev/null")
    assert "1001 bytes; a request holds 1000" in said["huge.jpg"]
    assert said["gone.jpg"] == said["nowhere.jpg"] == "No such file or directory"
    assert said["pipe.jpg"] == said["null"] == "is not a file"
    assert said["data:"] == "is a picture in a URL: save it as a file"
    assert said["b.jpg"] == "b"


def test_names_that_no_system_takes_stop_nothing(folder: Path) -> None:
    long = "a" * 300 + ".jpg"
    given = [str(folder / long), f"{folder}/a\0.jpg", str(folder)]
    kept = without_results(found(*given), given, folder.parent / "out")
    assert sum(not one.problem for one in kept) == 4
    said = places(folder / long, f"{folder}/a\0.jpg", f"{folder}/[a-\0]*.jpg", folder)
    assert said[long] == "File name too long"
    assert said["a\0.jpg"] == "a file name cannot contain a NUL"
    assert said["b.jpg"] == "b"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_read_is_said(folder: Path) -> None:
    (folder / "sub").chmod(0)
    try:
        said = places(folder)
    finally:
        (folder / "sub").chmod(0o755)
    assert "cannot be read: Permission denied" in said["sub"]
    assert said["b.jpg"] == "b"


def test_two_pictures_with_one_place(folder: Path) -> None:
    (folder / "b.png").write_bytes(b"other")
    (folder / "two").mkdir()
    (folder / "two/b.jpg").write_bytes(b"another")
    said = [(one.path.name, bool(one.problem)) for one in found(folder / "b.jpg", folder / "b.png")]
    assert said == [("b.jpg", False), ("b.png", True)]
    assert (
        "give them folders of their own" in found(folder / "b.jpg", folder / "two/b.jpg")[1].problem
    )
    assert len(found(folder / "b.jpg", folder / "b.jpg", folder)) == len(found(folder))


def test_objects_of_a_store() -> None:
    there = found(
        "s3://bucket/photos/?token=secret", "https://host/one.jpg?sig=1", "gs://b/sub/x.JPG"
    )
    assert [(one.name, str(one.place)) for one in there] == [
        ("s3://bucket/photos/a.jpg?...", "a"),
        ("s3://bucket/photos/sub/b%20c.PNG?...", "sub/b c"),
        ("s3://bucket/photos/sub/a.jpg?...", "sub/a"),
        ("https://host/one.jpg?...", "one"),
        ("gs://b/sub/x.JPG", "x"),
    ]
    assert there[0].url == "s3://bucket/photos/a.jpg?token=secret"
    twice = found("https://host/one.jpg", "https://host/one.jpg", "https://other/one.png")
    assert [one.problem for one in twice] == [
        "",
        "its results would be those of https://host/one.jpg: give them folders of their own",
    ]

"""Sources: what they consist of, and how they are cut into units."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.corpus.build import listing
from services.corpus.build.listing import SHARD, TEXT, Part, list_units
from services.corpus.build.reading import Missed, read_part
from services.corpus.build.recipe import Source
from services.corpus.shards.index.writer import IndexOptions, write_index
from services.corpus.shards.layout import LayoutError
from services.errors import DataLoss, InvalidArgument, NotFound, SourceChanged
from tests.corpus.build.recipes import parsed, prose, write_shard


def source(**more: Any) -> Source:
    return Source(**{"name": "one", "license": "MIT", **more})


def units(tmp_path: Path, *sources: Source) -> tuple[listing.Unit, ...]:
    recipe = parsed()
    return list_units(recipe.replaced(sources=sources), {}, tmp_path)


def read(part: Part, given: Source, missed: Missed | None = None) -> list[tuple[str, str]]:
    found = read_part(part, given, missed or Missed())
    return [(document.text, document.subset) for document in found]


def test_a_folder_a_file_and_a_pattern_are_found(tmp_path: Path) -> None:
    write_shard(tmp_path / "pile" / "train/00.jsonl.zst", ["a"])
    write_shard(tmp_path / "pile" / "val.jsonl.zst", ["b"])
    (tmp_path / "more.jsonl").write_text('{"text": "c"}\n')
    by_path = {
        "pile": ["train/00.jsonl.zst", "val.jsonl.zst"],
        "more.jsonl": ["more.jsonl"],
        "pile/*/*.zst": ["00.jsonl.zst"],
        "pil?": ["train/00.jsonl.zst", "val.jsonl.zst"],
    }
    for path, expected in by_path.items():
        (unit,) = units(tmp_path, source(path=path))
        assert [part.path for part in unit.parts] == expected
    (unit,) = units(tmp_path, source(path="pile", splits=("val",)))
    assert [part.path for part in unit.parts] == ["val.jsonl.zst"]
    assert read(unit.parts[0], source(path="pile")) == [("b", "Prose")]
    assert read(unit.parts[0], source(path="pile", subset="Mine")) == [("b", "Mine")]


def test_files_of_a_pattern_have_paths_that_differ(tmp_path: Path) -> None:
    """Otherwise their documents have one origin, and one of them is missing from the card."""
    for name in ("a", "b", "c"):
        write_shard(tmp_path / "crawl" / name / "data" / "train" / "00.jsonl.zst", [name])
    below = "data/train/00.jsonl.zst"
    by_path = {
        "crawl/*": [f"{name}/{below}" for name in "abc"],
        "crawl/*/data": [f"{name}/{below}" for name in "abc"],
        "crawl/*/data/train/*.zst": [f"{name}/{below}" for name in "abc"],
        "crawl/*/data/*": [f"{name}/data/train/00.jsonl.zst" for name in "abc"],
        "crawl/**/*.zst": [f"{name}/{below}" for name in "abc"],
        "crawl/**": [f"{name}/{below}" for name in "abc"],  # every folder, and what is in it
        "crawl/**/train": [f"{name}/{below}" for name in "abc"],
    }
    for path, expected in by_path.items():
        given = source(path=path)
        parts = [part for unit in units(tmp_path, given) for part in unit.parts]
        assert [part.path for part in parts] == expected, path
        assert [read(part, given) for part in parts] == [[(name, "Prose")] for name in "abc"]


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    write_shard(tmp_path / "pile" / "train/00.jsonl.zst", ["a"])
    (tmp_path / "pile" / "other.jsonl").write_text('{"text": "c"}\n')
    told: list[str] = []
    recipe = parsed().replaced(sources=(source(path="pile"),))
    list_units(recipe, {}, tmp_path, told.append)
    assert told[0].startswith("source 'one': left out 1 file")
    assert "other.jsonl" in told[0]
    assert told[0].endswith("; `every_file: true` of its source reads them")


def test_what_lies_beside_a_crawl_is_told(tmp_path: Path) -> None:
    """Archives do not hide other data of a folder, nor what is wrong with it."""
    crawl, elsewhere = tmp_path / "crawl", tmp_path / "elsewhere"
    for file in (crawl / "00.warc.gz", elsewhere / "01.warc.gz", crawl / "pages.csv"):
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"")
    (crawl / "linked").symlink_to(elsewhere)
    told: list[str] = []
    recipe = parsed().replaced(sources=(source(path="crawl"),))
    (unit,) = list_units(recipe, {}, tmp_path, told.append)
    assert [part.path for part in unit.parts] == ["00.warc.gz", "linked/01.warc.gz"]
    assert told == ["source 'one': left out 1 file that looks like a shard: pages.csv"]
    (crawl / "a.jsonl").write_text('{"text": "a"}\n')
    (unit,) = list_units(recipe, {}, tmp_path, told.append)
    assert [part.path for part in unit.parts][2:] == ["a.jsonl"]
    assert told[1:] == told[:1]
    (crawl / "02.warc.gz").symlink_to("gone")
    with pytest.raises(LayoutError, match=r"02\.warc\.gz is a link to a file that is gone"):
        list_units(recipe, {}, tmp_path)


def test_files_are_a_document_each(tmp_path: Path) -> None:
    for name in ("a.py", "b/c.py", "b/test/d.py", "b/e.txt", "b/10.py", "b/9.py"):
        (tmp_path / "lib" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "lib" / name).write_text(f"# {name}\n")
    given = source(path="lib", files="**/*.py", exclude=("test",))
    (unit,) = units(tmp_path, given)
    assert [part.path for part in unit.parts] == ["a.py", "b/9.py", "b/10.py", "b/c.py"]
    assert {part.kind for part in unit.parts} == {TEXT}
    assert read(unit.parts[0], given) == [("# a.py\n", "one")]


def test_a_file_that_is_no_text_is_refused_or_counted(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(b"\xff\xfe")
    given = source(path=".", files="*.py")
    part = units(tmp_path, given)[0].parts[0]
    with pytest.raises(DataLoss, match=r"not UTF-8 at byte 0.*skip_bad_lines"):
        read(part, given)
    missed = Missed()
    assert read(part, source(path=".", files="*.py", skip_bad_lines=True), missed) == []
    assert missed.bad == 1


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            '{"text": 1}',
            r"\(`skip_bad_lines: true` of its source passes over it; `text_key`",
        ),
        ("not JSON", r"\(`skip_bad_lines: true` of its source passes over it\)"),
    ],
)
def test_a_bad_line_is_told_with_what_a_recipe_has_and_no_flags(
    tmp_path: Path, line: str, told: str
) -> None:
    (tmp_path / "a.jsonl").write_text(f"{line}\n")
    given = source(path="a.jsonl")
    part = units(tmp_path, given)[0].parts[0]
    with pytest.raises(DataLoss, match=told) as refused:
        read(part, given)
    assert "--" not in str(refused.value)


def test_sources_without_a_file_are_told(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no file for source named 'one'"):
        units(tmp_path, source(path="nothing*"))
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidArgument, match="is not a folder"):
        units(tmp_path, source(path="file", files="*"))
    write_shard(tmp_path / "pile" / "train/00.jsonl.zst", ["a"])
    with pytest.raises(NotFound, match="pile, of val and test"):
        units(tmp_path, source(path="pile", splits=("val", "test")))
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "a.py").symlink_to("gone")
    with pytest.raises(LayoutError, match=r"a\.py is a link to a file that is gone"):
        units(tmp_path, source(path="lib", files="**/*.py"))


def test_small_files_share_a_unit_and_large_ones_are_cut_by_their_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "MIN_UNIT_BYTES", 4000)
    texts = [prose(number) for number in range(80)]
    write_shard(tmp_path / "plain" / "train/00.jsonl.zst", texts)
    write_shard(tmp_path / "plain" / "train/01.jsonl.zst", ["small"])
    write_shard(tmp_path / "plain" / "train/02.jsonl.zst", ["small too"])
    plain = units(tmp_path, source(path="plain"))
    assert [[part.path for part in unit.parts] for unit in plain] == [
        ["train/00.jsonl.zst"],
        ["train/01.jsonl.zst", "train/02.jsonl.zst"],
    ]
    shard = tmp_path / "plain" / "train/00.jsonl.zst"
    write_index(shard, "train/00.jsonl.zst", tmp_path / "cut", IndexOptions(frame_bytes=3000))
    cut = units(tmp_path, source(path="cut"))
    assert len(cut) > 3
    assert {part.kind for unit in cut for part in unit.parts} == {SHARD}
    found = [one for unit in cut for part in unit.parts for one in read(part, source(path="cut"))]
    assert found == [(text, "Prose") for text in texts]


def test_small_files_make_units_of_about_the_same_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "MIN_UNIT_BYTES", 4000)
    for number in range(11):
        (tmp_path / f"{number:02d}.jsonl").write_text(f'{{"text": "{prose(number):.900}"}}\n')
    found = units(tmp_path, source(path="*.jsonl"))
    paths = [part.path for unit in found for part in unit.parts]
    assert paths == [f"{number:02d}.jsonl" for number in range(11)]
    assert [len(unit.parts) for unit in found] == [4, 3, 4]


def test_a_source_that_is_gone_or_changed_is_told(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "data.jsonl.zst", ["a"])
    given = source(path="data.jsonl.zst")
    part = units(tmp_path, given)[0].parts[0]
    with pytest.raises(SourceChanged, match="has changed since the build began"):
        read(replace(part, size=1), given)
    shard.unlink()
    with pytest.raises(SourceChanged, match=r"cannot be read now.*put it back"):
        read(part, given)


def test_a_source_that_changes_while_it_is_read_is_told(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "data.jsonl.zst", ["a", "b"])
    given = source(path="data.jsonl.zst")
    found = read_part(units(tmp_path, given)[0].parts[0], given, Missed())
    assert next(found).text == "a"
    shard.write_bytes(b"")
    with pytest.raises(SourceChanged, match="has changed since the build began"):
        list(found)


def test_a_bad_line_is_told_with_its_source(tmp_path: Path) -> None:
    write_shard(tmp_path / "data.jsonl.zst", ["a"])
    given = source(path="data.jsonl.zst", text_key="body")
    problem = r"source 'one': data\.jsonl\.zst: line 0 has no \"body\""
    with pytest.raises(DataLoss, match=problem):
        read(units(tmp_path, given)[0].parts[0], given)

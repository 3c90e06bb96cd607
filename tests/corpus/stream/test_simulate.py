"""What is simulated is what ranks get."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import zstandard

from services.cli.__main__ import main
from services.cli.output.plan_picture import drawn
from services.corpus.shards.index.writer import IndexOptions, write_index
from services.corpus.stream import resume, spans
from services.corpus.stream.plan import StreamPlan
from services.corpus.stream.selection import Selection
from services.corpus.stream.simulate import Simulation, simulate
from services.corpus.stream.spans import Remainder
from services.errors import InvalidArgument
from tests.corpus.shard_files import open_corpus
from tests.corpus.stream.test_indexed import make_corpus


@pytest.fixture
def plan(tmp_path: Path) -> StreamPlan:
    corpus = open_corpus(make_corpus(tmp_path), tmp_path / "cache")
    return corpus.plan(corpus.resolve(Selection(seed=4)))


def _sizes(plan: StreamPlan) -> list[int]:
    return [int(one) for unit in range(plan.units) for one in plan.sizes_in_order(unit)]


@pytest.mark.parametrize("remainder", list(Remainder))
@pytest.mark.parametrize("world", [1, 7])
def test_equal_shares(plan: StreamPlan, remainder: Remainder, world: int) -> None:
    found = simulate(plan, world, 4, remainder)
    sizes = _sizes(plan)
    for rank in range(world):
        own = spans.share(((0, len(sizes)),), rank, world, 4, remainder)
        mine = [sizes[n] for begin, end in own.position.spans for n in range(begin, end)]
        assert (found.documents[rank], found.text_bytes[rank]) == (len(mine), sum(mine))
        assert found.batches[rank] * 4 == len(mine)
    assert (found.dropped > 0, found.repeated > 0) == (
        remainder is Remainder.DROP and len(sizes) % (world * 4) > 0,
        remainder is Remainder.WRAP and len(sizes) % (world * 4) > 0,
    )


def test_units_in_turn(plan: StreamPlan) -> None:
    found = simulate(plan, 3, 1, None)
    for rank in range(3):
        position, documents = resume.start(rank, 3), 0
        while (head := resume.head(position, plan.units)) is not None:
            documents += int(plan.counts[head[0]])
            position = resume.through(position)
        assert found.documents[rank] == documents
    assert found.text_bytes.sum() == sum(_sizes(plan))
    assert all(0 <= drift <= 1 for drift in found.drift)
    assert np.allclose(sum(found.shares.values()), 1)
    with pytest.raises(InvalidArgument, match="world_size"):
        simulate(plan, 0, 1, None)


def test_a_document_larger_than_many_parts_leaves_the_shares_true(tmp_path: Path) -> None:
    """Parts that one large unit reaches over hold no unit: they are not parts of a mixture."""
    rows = [("a" * 90_000, "Github"), *(("b" * 100, "Pile-CC") for _ in range(100))]
    lines = "".join(
        json.dumps({"text": text, "meta": {"pile_set_name": name}}) + "\n" for text, name in rows
    )
    source = tmp_path / "source" / "test.jsonl.zst"
    source.parent.mkdir()
    source.write_bytes(zstandard.ZstdCompressor().compress(lines.encode()))
    options = IndexOptions(frame_bytes=100)
    write_index(source, "test.jsonl.zst", tmp_path / "indexed", options)
    corpus = open_corpus(tmp_path / "indexed", tmp_path / "cache")
    found = simulate(corpus.plan(corpus.resolve(Selection(seed=4))), 2, 1, None)
    assert found.overall == {"Github": 0.9, "Pile-CC": 0.1}
    assert np.allclose(sum(found.shares.values()), 1)
    assert len(found.drift) == len(found.shares["Github"])
    assert "Github 90.0 %" in drawn(found)


def test_no_two_subsets_have_one_colour() -> None:
    shares = {f"subset {number}": np.array([1 / 22]) for number in range(22)}
    one = np.array([1])
    overall = dict.fromkeys(shares, 1 / 22)
    picture = drawn(Simulation(one, one, one, 0, 0, shares, np.zeros(1), overall))
    legend = re.findall(r'width="12" height="12" fill="(#\w+)"', picture)
    assert len(set(legend)) == len(legend) == 10
    assert "13 other subsets 59.1 %" in picture


def test_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    root, picture = make_corpus(tmp_path), tmp_path / "plan.svg"
    asked = ["corpus", "plan", "--shards", str(root), "--simulate", "--world", "5"]
    assert main([*asked, "--equal", "drop", "--svg", str(picture), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len({rank["documents"] for rank in found["ranks"]}) == 1
    assert found["dropped"] + 5 * found["ranks"][0]["documents"] == found["documents"]
    assert picture.read_text().startswith("<svg")
    assert main(asked) == 0
    assert "different numbers of batches" in capsys.readouterr().out
    assert main([*asked, "--batch-size", "0"]) != 0
    capsys.readouterr()
    assert main(["corpus", "plan", "--shards", str(root), "--min-text-bytes", "999999999"]) == 0
    assert "leaves every document out" in capsys.readouterr().err
    assert main(["corpus", "plan", "--shards", str(root)]) == 0
    assert "leaves every document out" not in capsys.readouterr().err


def test_a_plan_of_a_corpus_without_an_index_gives_its_own_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    make_corpus(tmp_path)
    asked = ["corpus", "plan", "--shards", str(tmp_path / "source")]
    assert main(asked) != 0
    told = capsys.readouterr().err
    assert "train/00.jsonl.zst has no index, which every plan needs; make one with" in told
    assert "mixture" not in told

"""Web archives as sources: pages whose text is found, and what has none."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pytest

from tests.corpus.build.recipes import built, documents_of, prose

pytest.importorskip("warcio", reason="needs the build extra")
pytest.importorskip("trafilatura", reason="needs the build extra")
pytest.importorskip("rensa", reason="needs the build extra")

from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from services.corpus.build.reading import Missed
from services.corpus.build.warc import read_warc
from services.errors import DataLoss, InvalidArgument

# warcio's own writer leaves temporary files to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def archive(path: Path) -> Path:
    """A crawl of four answers, and a text that was extracted already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    paragraphs = "".join(f"<p>{prose(number, 80)}</p>" for number in range(4))
    page = f"<html><head><title>T</title></head><body><nav>Home</nav>{paragraphs}</body></html>"
    answers = (
        ("http://a.example/", "200 OK", "text/html; charset=utf-8", page),
        ("http://a.example/gone", "404 Not Found", "text/html", page),
        ("http://a.example/b.png", "200 OK", "image/png", "PNG"),
        ("http://a.example/empty", "200 OK", "text/html", "<html></html>"),
    )
    with path.open("wb") as file:
        writer = WARCWriter(file, gzip=True)
        for url, status, kind, body in answers:
            headers = StatusAndHeaders(status, [("Content-Type", kind)], protocol="HTTP/1.1")
            writer.write_record(
                writer.create_warc_record(
                    url,
                    "response",
                    payload=io.BytesIO(body.encode()),
                    http_headers=headers,
                    warc_headers_dict={"WARC-Date": "2026-11-29T00:00:00Z"},
                )
            )
        writer.write_record(
            writer.create_warc_record(
                "http://a.example/wet", "conversion", payload=io.BytesIO(b"Plain text.")
            )
        )
    return path


def test_a_crawl_becomes_documents(tmp_path: Path) -> None:
    archive(tmp_path / "sources" / "crawl" / "00.warc.gz")
    source = {"name": "crawl", "path": "${SOURCES}/crawl", "license": "each page's own"}
    out, card = built(tmp_path, sources=[source], steps=[], output={})
    page, plain = sorted(documents_of(out), key=lambda one: int(one["note"]["record"]))
    assert all(prose(number, 80) in page["text"] for number in range(4))
    assert "<p>" not in page["text"]
    assert page["note"] == {
        "source": "crawl",
        "file": "00.warc.gz",
        "record": 0,
        "offset": 0,
        "url": "http://a.example/",
        "date": "2026-11-29T00:00:00Z",
    }
    assert plain["text"] == "Plain text."
    assert plain["note"]["record"] == 4
    assert card["sources"][0]["without_text"] == {
        "no HTML": 1,
        "no page (status)": 1,
        "no text on the page": 1,
    }


def test_an_extractor_may_be_a_plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_extractor.py").write_text("def find(page, url): return url + str(len(page))\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    file = archive(tmp_path / "00.warc.gz")
    missed = Missed()
    texts = [text for text, _ in read_warc(file, file.name, "own_extractor:find", missed.add)]
    assert texts[0].startswith("http://a.example/")
    assert texts[1].startswith("http://a.example/empty")
    with pytest.raises(InvalidArgument, match="neither a function"):
        list(read_warc(file, file.name, "resiliparse", missed.add))


def test_a_damaged_archive_is_told(tmp_path: Path) -> None:
    packed = archive(tmp_path / "00.warc.gz").read_bytes()
    plain = gzip.decompress(packed)
    for name, broken, problem in (
        ("a.warc", b"no archive\r\n\r\n", "is damaged"),
        ("b.warc", plain[:100], "is damaged"),
        ("c.warc", plain[:1000], "is cut off"),
        ("d.warc.gz", packed[:300], "is cut off"),
        ("e.warc.gz", packed[:600] + b"?" * 40 + packed[640:], "is damaged"),
    ):
        file = tmp_path / name
        file.write_bytes(broken)
        with pytest.raises(DataLoss, match=problem):
            list(read_warc(file, name, "trafilatura", Missed().add))

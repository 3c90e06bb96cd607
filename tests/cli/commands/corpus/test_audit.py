"""`assay corpus audit`: in a process of its own, and what it prints."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from assay_rpc.audit.v1alpha1 import corpus_audit_pb2 as pb

from services.cli.exits import Exit
from services.cli.output import corpus_audit, corpus_audit_page, grid
from services.cli.output.console import OUT
from tests.corpus.shard_files import line, write_corpus

QUESTION = "Which of these rivers of the old kingdom runs north past the seven bridges of the town?"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pile")
    texts = [line(f"Quiz <b>night</b>. {QUESTION} Answer.", "Pile-CC"), line("x", "Github")]
    return write_corpus(folder, {"test.jsonl.zst": texts, "val.jsonl.zst": [line("x", "Github")]})


def _audit(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services.cli", "corpus", "audit", *arguments],
        env={**os.environ, "ASSAY_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_corpus_against_a_test_set(assay_home: Path, root: Path, tmp_path: Path) -> None:
    exam, page = tmp_path / "exam.jsonl", tmp_path / "page.html"
    exam.write_text(json.dumps({"question": QUESTION.upper()}) + "\n\n" * 2, "utf-8")
    given = ("--shards", str(root), "--against", str(exam), "--against-key", "question")
    done = _audit(assay_home, *given, "--model", "zstd-19", "--html", str(page), "--json")
    assert done.returncode == Exit.DONE, done.stderr
    found = json.loads(done.stdout)
    assert found["contamination"]["test_sets"][0]["test_set"] == "exam.jsonl"
    (place,) = found["contamination"]["places"]
    assert (place["document"], place["words"]) == ("test.jsonl.zst:0", 17)
    assert found["whole"]["contaminated_documents"] == 1
    assert found["score"]["contaminated"]["documents"] == 1
    assert found["score"]["without"]["documents"] == 2
    assert found["exact"]["documents"] == 1
    text = page.read_text("utf-8")
    assert QUESTION[:40] in text
    assert not re.search(r"(src|href)=", text), "it loads nothing"
    missing = _audit(assay_home, "--shards", str(root), "--against", str(tmp_path / "none"))
    assert missing.returncode == Exit.NOT_FOUND
    assert "--against" in missing.stderr
    wrong = _audit(assay_home, "--shards", str(root), "--against", str(exam))
    assert wrong.returncode == Exit.DATA_LOSS
    told = r'--against: test set .*: line 0 has no "text"; it has "question".*--against-key names'
    assert re.search(told, wrong.stderr)


def _found() -> pb.CorpusAudit:
    found = pb.CorpusAudit(
        whole=pb.AuditedPart(documents=4, text_bytes=100, contaminated_documents=1),
        subsets=[pb.AuditedPart(name="<i>A", documents=4, text_bytes=100, share=1.0)],
        subsets_total=1,
        near_documents=3,
        near=pb.Repeats(documents=1, within={"test": 1}),
        languages_documents=4,
    )
    found.subsets[0].contaminated_share.low = 0.006
    found.subsets[0].contaminated_share.high = 0.8
    found.languages.add(language="en", documents=4).share.high = 1
    found.contamination.hits = 5
    found.contamination.test_sets.add(test_set="exam", texts=3, too_short=3)
    found.contamination.places.add(
        document="d", test_set="exam", words=13, excerpt="<script>alert(1)</script>"
    )
    found.score.all.bits_per_byte = 1.5
    found.score.excluded = 2
    return found


def test_what_is_said_of_an_audit() -> None:
    found = _found()
    with OUT.capture() as captured:
        for table in corpus_audit.tables(found):
            grid.show(table)
    shown = captured.get()
    assert "0: 0.00 % (0.60 % .. 80.00 %)" in shown
    said = "\n".join(corpus_audit.summary(found))
    for words in (
        "near duplicates were looked for among the first 3 documents only",
        "languages of 4 documents: en 100.0 % (0.0 % .. 100.0 %)",
        "all documents: 1.5000",
        "without contaminated ones: nothing scored",
        "not scored, and in none of them: 2 documents",
    ):
        assert words in said


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.add(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_escapes_what_others_wrote() -> None:
    pytest.importorskip("jinja2")
    page = corpus_audit_page.page(_found())
    tags = _Tags()
    tags.feed(page)
    assert tags.open == []
    assert not tags.seen & {"script", "i", "link", "img"}
    assert "&lt;script&gt;alert(1)" in page
    assert page == corpus_audit_page.page(_found())

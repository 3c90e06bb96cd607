"""Evidence of the first version is read by every later one, under the digest that it had."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing

from assay_rpc.ranker.v1 import evidence_pb2, ranker_pb2_grpc

from tests.ranker.conftest import Ranker

# As 0.1.0 wrote it: no subject, engine or owner, sources by title, a subject's digest alone.
CONTENT = (
    b'{"basis":"MEASURED","claim":"B1.1","command":"assay claims b4","environment":{"cpu":"a cpu",'
    b'"cpu_count":2},"inputs":["sha256:1"],"interval":[150,150,0],'
    b'"method":"model.classes@1","n":1,"note":"","relation":"EXACT","sources":["A paper"],'
    b'"subject_digest":"sha256:2","time":"2026-01-02T12:00:00+00:00",'
    b'"value":{"content":150,"unit":"1"}}'
)
DIGEST = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
B4 = "segformer-b4-finetuned-ade-512-512"


async def test_old_evidence_is_read_and_keeps_its_digest(ranker: Ranker) -> None:
    # The schema of that version: evidence alone.
    with closing(sqlite3.connect(ranker.folder / "evidence.sqlite")) as database, database:
        database.execute(
            "CREATE TABLE evidence (digest TEXT PRIMARY KEY, claim TEXT NOT NULL, "
            "time TEXT NOT NULL, content BLOB NOT NULL) STRICT"
        )
        database.execute(
            "INSERT INTO evidence VALUES (?, 'B1.1', '2026-01-02T12:00:00+00:00', ?)",
            (DIGEST, CONTENT),
        )
        database.execute("PRAGMA user_version = 1")
    for _ in range(2):  # before and after a restart
        stub = ranker_pb2_grpc.RankerServiceStub(await ranker.connect())
        found = (await stub.GetEvidence(evidence_pb2.GetEvidenceRequest(digest=DIGEST))).evidence
        assert (found.digest, found.content) == (DIGEST, CONTENT)
        assert found.value.number == 150
        assert found.subject.digest == "sha256:2"
        assert [one.title for one in found.sources] == ["A paper"]
        listed = await stub.ListEvidence(evidence_pb2.ListEvidenceRequest(claim=f"{B4}/B1.1"))
        assert [one.digest for one in listed.evidence] == [DIGEST]

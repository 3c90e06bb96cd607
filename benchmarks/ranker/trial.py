"""Verifies the claims of ten artifacts, registered from cards by six kinds of authors.

    [ASSAY_TEST_DATA=DIR] python -m benchmarks.ranker.trial

Three SegFormers of other datasets, two other segmenters, three language models and two corpora, as
their cards state them (`tests/ranker/trial`). All figures of the cards are true except one, which
is misquoted and should be found. A claim that is REFUTED is an error of the ranker. The services
are the real ones, first as installed, then with real data under the names on the cards, if
available. `tests/integration/test_ranker_trial.py` makes the same tables.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from assay_rpc.channel import connect
from assay_rpc.ranker.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    evidence_pb2,
    verification_pb2,
    verification_pb2_grpc,
)

from benchmarks.report import HERE, write

CARDS = HERE.parent / "tests" / "ranker" / "trial"
MISQUOTED = ("mask2former-swin-large-ade", "MISQUOTED")
_REASON = evidence_pb2.NotMeasured.Reason
_START_SECONDS = 600


def main() -> None:
    """Make and write the tables; exit 1 if a verdict is wrong or has no reason."""
    data = os.environ.get("ASSAY_TEST_DATA")
    rows: list[dict[str, Any]] = []
    tables: dict[str, list[dict[str, Any]]] = {}
    for setting, corpus in settings(Path(data) if data else None).items():
        begun = time.monotonic()
        with tempfile.TemporaryDirectory() as folder, serving(Path(folder), corpus) as address:
            found = table(address)
        tables[setting] = found
        told = dict(Counter(one["verdict"] for one in found))
        rows.append(
            {
                "what": f"claims of ten cards shown without a false statement, {setting}",
                "peer": "the cards",
                "ours": sum(not is_wrong(one) for one in found),
                "theirs": len(found),
                "unit": "claims",
                "ratio": round(sum(not is_wrong(one) for one in found) / len(found), 3),
                "target": 1.0,
            }
        )
        print(f"{setting}: {told}, {time.monotonic() - begun:.0f} s")
    write("ranker/trial", rows, packages=("grpcio", "openvino", "torch"), tables=tables)
    sys.exit(any(one["ratio"] < 1 for one in rows))


def settings(data: Path | None) -> dict[str, Mapping[str, str]]:
    """The variables of corpus by setting: as installed, and with real data if available."""
    found: dict[str, Mapping[str, str]] = {"as installed": {}}
    if data:
        pile = {"path": str(data / "pile"), "kind": "sample", "source": "a sample"}
        model = str(data / "lm" / "tinystories-656k")
        found["with data"] = {
            # Also under another model's name: a copy that its name describes wrongly.
            "ASSAY_CORPUS_CORPORA": json.dumps({"the-pile": pile, "fineweb": pile}),
            "ASSAY_CORPUS_LANGUAGE_MODELS": json.dumps(
                {"tinystories-656k": model, "pythia-160m": model}
            ),
        }
    return found


def is_wrong(row: Mapping[str, Any]) -> bool:
    """Whether the ranker's verdict on a card is wrong, or has no reason."""
    misquoted = (row["artifact"], row["claim"].rpartition("/")[2]) == MISQUOTED
    return (
        row["verdict"] == "REFUTED"
        or (row["sourcing"] == "MISQUOTED") is not misquoted
        or not row["reason"]
    )


def table(address: str) -> list[dict[str, Any]]:
    """Register the cards with the ranker at an address; return every claim's verdict."""
    rows = []
    with connect(address) as channel:
        admin = admin_pb2_grpc.RankerAdminServiceStub(channel)
        cards = sorted(CARDS.glob("*.yaml"))
        for card in cards:
            request = admin_pb2.RegisterManifestRequest(manifest=card.read_bytes())
            admin.RegisterManifest(request, timeout=60)
        for card in cards:
            rows += [_row(one) for one in _verified(channel, card.stem)]
    return rows


def _verified(channel: Any, artifact: str) -> list[evidence_pb2.ClaimVerdict]:
    stub = verification_pb2_grpc.VerificationServiceStub(channel)
    request = verification_pb2.SubmitVerificationRequest(
        artifact=artifact, request_id=uuid.uuid4().hex
    )
    job = stub.SubmitVerification(request, timeout=60).job
    watched = stub.WatchJob(verification_pb2.WatchJobRequest(job=job.id), timeout=900)
    return [one.result for one in watched if one.HasField("result")]


def _row(said: evidence_pb2.ClaimVerdict) -> dict[str, Any]:
    sourcing = evidence_pb2.SourceVerdict.Name(said.sourcing)
    why = _REASON.Name(said.not_measured.reason) if said.HasField("not_measured") else ""
    return {
        "artifact": said.claim.artifact,
        "claim": f"{said.claim.artifact}/{said.claim.id}",
        "statement": said.claim.statement,
        "verdict": evidence_pb2.Verdict.Name(said.verdict).removeprefix("VERDICT_"),
        "sourcing": sourcing.removeprefix("SOURCE_VERDICT_"),
        "not_measured": why.removeprefix("REASON_"),
        "reason": said.reason,
    }


@contextmanager
def serving(folder: Path, corpus: Mapping[str, str]) -> Iterator[str]:
    """Run the three services with an empty home; yield the ranker's address."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("ASSAY_")}
    processes: list[subprocess.Popen[bytes]] = []
    addresses: dict[str, str] = {}
    try:
        for name, variables in (("segment", {}), ("corpus", corpus), ("ranker", addresses)):
            prefix, ready = f"ASSAY_{name.upper()}_", folder / f"{name}.json"
            environment = ours | {
                f"{prefix}{kind}PORT": "0" for kind in ("", "HEALTH_", "METRICS_")
            }
            environment |= {
                "ASSAY_HOME": str(folder / "home"),
                f"{prefix}HOST": "127.0.0.1",
                f"{prefix}READY_FILE": str(ready),
                **variables,
            }
            words = [sys.executable, "-m", f"services.{name}"]
            processes.append(subprocess.Popen(words, env=environment, stderr=subprocess.DEVNULL))
            _wait(ready, processes[-1])
            port = json.loads(ready.read_text("utf-8"))["port"]
            addresses[f"ASSAY_RANKER_{name.upper()}_ADDR"] = f"127.0.0.1:{port}"
        yield addresses["ASSAY_RANKER_RANKER_ADDR"]
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()


def _wait(ready: Path, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _START_SECONDS
    while not ready.exists():
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"{process.args!r} did not start")
        time.sleep(0.05)


if __name__ == "__main__":
    main()

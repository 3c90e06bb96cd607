"""Kills the server and a client with SIGKILL repeatedly, and checks what the client received.

    python -m benchmarks.corpus.kill [--minutes N]

Needs the real documents (ASSAY_TEST_DATA). The client appends, for each document, its id and the
stream's state to a log. Killed and started again, it continues after the log's last whole line. Its
log must hold each document once, in the order of an undisturbed stream.

Writes benchmarks/results/corpus/kill.json.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from assay_rpc.corpus import stream

from benchmarks import report
from benchmarks.corpus.local_read import make_shard
from benchmarks.serving import CorpusServer

# The client's pace, so that a round takes several kills.
_PAUSE_SECONDS = 0.0002


def follow(address: str, seed: int, log: Path) -> None:
    """Be the client: continue after the log, one line per document."""
    with (
        log.open("ab") as out,
        stream(address, "c", seed=seed, chunk_bytes=64 << 10, patience_seconds=600) as documents,
    ):
        whole = log.read_bytes().rpartition(b"\n")[0]
        out.truncate(len(whole) + 1 if whole else 0)
        if whole:
            documents.load_state_dict(json.loads(whole.rpartition(b"\n")[2])["state"])
        for document in documents:
            line = {"id": document.id, "state": documents.state_dict()}
            os.write(out.fileno(), json.dumps(line).encode() + b"\n")
            time.sleep(_PAUSE_SECONDS)


def start_client(address: str, seed: int, log: Path) -> subprocess.Popen[bytes]:
    """Start the client in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.corpus.kill", "--client", address]
    return subprocess.Popen([*command, "--seed", str(seed), "--log", log])


def ids_of(log: Path) -> list[str]:
    """The documents that the client has received."""
    return [json.loads(line)["id"] for line in log.read_bytes().splitlines()]


def disturbed(
    server: CorpusServer, log: Path, seed: int, chance: random.Random, deadline: float
) -> Counter[str]:
    """Let the client read everything while both are killed until `deadline`; count the kills."""
    kills: Counter[str] = Counter()
    client = start_client(server.address, seed, log)
    next_kill = {
        "client": time.monotonic() + chance.uniform(0.5, 3),
        "server": time.monotonic() + chance.uniform(0.5, 4),
    }
    while client.poll() is None:
        time.sleep(0.01)
        now = time.monotonic()
        if now > deadline:
            continue
        if now > next_kill["client"]:
            client.kill()
            client.wait()
            kills["client"] += 1
            client = start_client(server.address, seed, log)
            next_kill["client"] = now + chance.uniform(0.5, 3)
        if now > next_kill["server"]:
            server.kill()
            kills["server"] += 1
            server.start(wait=False)
            next_kill["server"] = now + chance.uniform(0.5, 4)
    if client.returncode:
        raise SystemExit(f"the client ended with {client.returncode}")
    return kills


def main() -> None:
    """Run rounds until the time is over, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--venvs", type=Path, default=report.HERE.parent / ".venv-peers")
    parser.add_argument("--client", help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        follow(options.client, options.seed, options.log)
        return
    source, index = make_shard(options.venvs / "bench", options.megabytes)
    chance, kills = random.Random(options.seed), Counter[str]()
    wanted = right = lost = repeated = rounds = 0
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as home:
        server = CorpusServer(source.with_name(f"{options.megabytes}-indexed"), home)
        while time.monotonic() - begun < 60 * options.minutes:
            seed, log = options.seed + rounds, Path(home) / f"{rounds}.log"
            with stream(server.address, "c", seed=seed) as documents:
                whole = [document.id for document in documents]
            if len(set(whole)) != index.documents:
                raise SystemExit("the undisturbed stream has not each document once")
            kills += disturbed(server, log, seed, chance, begun + 60 * options.minutes)
            found, rounds = ids_of(log), rounds + 1
            wanted += len(whole)
            right += sum(map(str.__eq__, found, whole))
            lost += len(set(whole) - set(found))
            repeated += len(found) - len(set(found))
            print(
                f"round {rounds}: {len(found):,} documents, {kills}, lost {lost}, again {repeated}"
            )
        server.stop()
    report.write(
        "corpus/kill",
        [
            report.row(
                "documents in their place after kill -9 of server and client",
                "streams that nothing disturbed",
                right,
                wanted,
                "documents",
                target=1.0,
            )
        ],
        packages=("grpcio", "zstandard"),
        minutes=options.minutes,
        rounds=rounds,
        kills=dict(kills),
        lost=lost,
        repeated=repeated,
    )
    if lost or repeated or right != wanted:
        raise SystemExit(1)


if __name__ == "__main__":
    main()

"""Reads an indexed corpus from an S3 store on loopback, for corpus_object_store.py.

    python benchmarks/peers/corpus_s3.py FOLDER

Puts the files of FOLDER into a bucket of moto's server and opens them as s3://. Runs in an
environment that has moto and s3fs, with this project on its path. Prints {"versions",
"same_digest", "documents", "kept", "of", "gone", "refused"}: the documents that equal those of the
folder, in order and shuffled; those that still do, from the cache, when the store has stopped; the
number of documents; the errors for a missing folder and for a caller without credentials.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import boto3
from moto.server import ThreadedMotoServer

from services.common.license import License
from services.corpus.catalog.catalog import Catalog, Registration
from services.corpus.catalog.corpus import Corpus, Kind
from services.corpus.catalog.locate import Location
from services.corpus.storage.objects import Retries
from services.corpus.stream.selection import Selection
from services.errors import AssayError

BUCKET = "corpora"


def opened(location: Location, cache: Path) -> Corpus:
    """Open a corpus as the service does."""
    catalog = Catalog(cache, retries=Retries(tries=2, first_wait=0.01))
    catalog.load({"c": Registration(location, Kind.SAMPLE, "", License("none"))})
    return catalog.open("c")


def texts(corpus: Corpus, seed: int | None = None) -> list[tuple[str, bytes]]:
    """Read all documents."""
    wanted = corpus.resolve(Selection(seed=seed))
    return [(one.id, one.text) for one in corpus.documents(wanted)]


def same(one: Corpus, other: Corpus) -> int:
    """Count the equal documents, in order and shuffled."""
    pairs = [
        pair
        for seed in (None, 7)
        for pair in zip(texts(one, seed), texts(other, seed), strict=True)
    ]
    return sum(left == right for left, right in pairs)


def problem(location: str, cache: Path) -> str:
    """Name the error of opening a corpus that cannot be opened."""
    try:
        opened(location, cache)
    except (AssayError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return "none"


def main(folder: Path) -> None:
    """Put, read, compare."""
    # Not a log line per request, and no search for credentials on the network.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    os.environ.update(
        AWS_ENDPOINT_URL=f"http://{host}:{port}",
        AWS_ACCESS_KEY_ID="someone",
        AWS_SECRET_ACCESS_KEY="nothing",  # noqa: S106  moto wants any
        AWS_DEFAULT_REGION="us-east-1",
    )
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    for file in folder.rglob("*.*"):
        if file.is_file():
            key = f"pile/{file.relative_to(folder).as_posix()}"
            client.upload_file(str(file), BUCKET, key)
    with tempfile.TemporaryDirectory() as scratch:
        local = opened(folder, Path(scratch) / "local")
        remote = opened(f"s3://{BUCKET}/pile", Path(scratch) / "remote")
        answer = {
            "versions": {name: version(name) for name in ("moto", "s3fs", "fsspec", "boto3")},
            "same_digest": local.ref == remote.ref,
            "documents": same(local, remote),
            "of": 2 * len(texts(local)),
            "gone": problem(f"s3://{BUCKET}/nothing", Path(scratch) / "gone"),
        }
        del os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
        answer["refused"] = problem(f"s3://{BUCKET}/pile", Path(scratch) / "refused")
        server.stop()
        answer["kept"] = same(local, remote)
    print(json.dumps(answer))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""The init container that downloads models: what its digest says, whole, or nothing."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.deploy.conftest import ROOT

pytestmark = pytest.mark.process
SCRIPT = ROOT / "deploy" / "components" / "model-download" / "download.py"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the URL that it is served at."""
    folder = tmp_path / "store"
    folder.mkdir()
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(folder))
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def archive(file: Path, name: str = "b0/manifest.json") -> str:
    """Write an archive with one file; return its digest."""
    with tarfile.open(file, "w:gz") as files:
        member = tarfile.TarInfo(name)
        member.size = 2
        files.addfile(member, io.BytesIO(b"{}"))
    return hashlib.sha256(file.read_bytes()).hexdigest()


def downloaded(tmp_path: Path, *models: dict[str, str]) -> subprocess.CompletedProcess[str]:
    listed, target = tmp_path / "models.json", tmp_path / "models"
    listed.write_text(json.dumps(models))
    target.mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, str(SCRIPT), str(listed), str(target)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_what_has_its_digest_is_unpacked_once(tmp_path: Path, store: tuple[Path, str]) -> None:
    folder, url = store
    digest = archive(folder / "b0.tar.gz")
    model = {"url": f"{url}/b0.tar.gz", "sha256": f"sha256:{digest}"}
    assert downloaded(tmp_path, model).returncode == 0
    assert (tmp_path / "models" / "b0" / "manifest.json").read_text() == "{}"
    (folder / "b0.tar.gz").unlink()  # so that a second download would fail
    assert downloaded(tmp_path, model).returncode == 0


@pytest.mark.parametrize(
    ("name", "stated", "says"),
    [
        ("b0/x", {"sha256": "0" * 64}, "and 0000"),
        ("../x", {}, "outside"),
        ("b0/x", {"url": "http://127.0.0.1:1/none"}, "refused"),
    ],
)
def test_nothing_is_left_of_what_is_not_as_stated(
    tmp_path: Path, store: tuple[Path, str], name: str, stated: dict[str, str], says: str
) -> None:
    folder, url = store
    digest = archive(folder / "b0.tar.gz", name)
    done = downloaded(tmp_path, {"url": f"{url}/b0.tar.gz", "sha256": digest, **stated})
    assert done.returncode == 1
    assert done.stderr.startswith("models cannot be downloaded: ")
    assert says in done.stderr
    assert list((tmp_path / "models").iterdir()) == []
    assert not (tmp_path / "x").exists()


def test_a_list_that_names_nothing_or_another_scheme_is_refused(tmp_path: Path) -> None:
    assert "names no model" in downloaded(tmp_path).stderr
    other = downloaded(tmp_path, {"url": "file:///etc/passwd", "sha256": "0" * 64})
    assert "only https:// is downloaded from" in other.stderr

"""Every error that a user can cause ends the command with a status that says which kind it was."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from services import errors
from services.cli.absent import absent
from services.cli.connections.inventory import existing_folder
from services.cli.exits import MEANINGS, Exit, explain
from services.cli.find_pictures import refuse_all_absent
from services.cli.result_files import write_result

HERE = str(Path(__file__).parent)  # a folder that is no corpus


def every_error() -> list[type[errors.AssayError]]:
    found, pending = [], [errors.AssayError]
    while pending:
        kind = pending.pop()
        found.append(kind)
        pending += kind.__subclasses__()
    return found


@pytest.mark.parametrize("kind", every_error())
def test_every_error_of_ours_has_a_status(kind: type[errors.AssayError]) -> None:
    error = kind.__new__(kind)
    Exception.__init__(error, "what was wrong")
    explained = explain(error)
    assert explained is not None
    assert explained[0] is not Exit.DONE
    assert "what was wrong" in explained[1]


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (grpc.StatusCode.NOT_FOUND, Exit.NOT_FOUND),
        (grpc.StatusCode.INVALID_ARGUMENT, Exit.BAD_INPUT),
        (grpc.StatusCode.UNAVAILABLE, Exit.UNAVAILABLE),
        (grpc.StatusCode.DATA_LOSS, Exit.DATA_LOSS),
        (grpc.StatusCode.INTERNAL, Exit.FAULT),
    ],
)
def test_a_status_code_becomes_an_exit_status(code: grpc.StatusCode, status: Exit) -> None:
    empty = grpc.aio.Metadata()
    error = grpc.aio.AioRpcError(code, empty, empty, details="why")
    assert explain(error) == (status, "why")


def test_an_argument_that_is_no_text_is_named_without_a_traceback() -> None:
    given = os.fsdecode(b"\xfcber")
    with pytest.raises(UnicodeEncodeError) as error:
        given.encode()
    status, message = explain(error.value) or (Exit.DONE, "")
    assert status is Exit.BAD_INPUT
    assert message.startswith("'\\xfcber' is not text")
    assert "LC_ALL=C.UTF-8" in message


def test_a_service_without_the_method_is_named_for_what_it_may_be() -> None:
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call: Any = channel.unary_unary("/assay.ranker.v1.VerificationService/ListJobs")
        with pytest.raises(grpc.RpcError) as caught:
            call(b"", timeout=30)
    server.stop(None)
    explained = explain(caught.value)
    assert explained is not None
    assert explained[0] is Exit.BAD_INPUT
    assert "ASSAY_RANKER_OPERATIONS=false" in explained[1]


def test_a_programming_error_is_not_explained_away() -> None:
    assert explain(ZeroDivisionError()) is None


def test_help_names_every_status() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "services.cli", "--help"], check=True, capture_output=True, text=True
    ).stdout
    for status, meaning in MEANINGS.items():
        assert f"{status.value}  {meaning}" in shown


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["segment", "nowhere.jpg"], Exit.NOT_FOUND, "nowhere.jpg"),
        (["segment", "nowhere", "nope.jpg", "--out", "x"], Exit.NOT_FOUND, "IMAGE: nowhere does"),
        (["claims", "gpt2", "--manifest", "./nowhere"], Exit.NOT_FOUND, "--manifest: nowhere"),
        (
            ["compare", "gpt2", "the-pile", "--html", "x", "--picture", "./nowhere"],
            Exit.NOT_FOUND,
            "--picture: nowhere",
        ),
        (
            ["segment", __file__, "--model", "./nowhere"],
            Exit.NOT_FOUND,
            "--model: ./nowhere does not exist",
        ),
        (["segment", __file__, "-o", "/nowhere/at/all.png"], Exit.NOT_FOUND, "/nowhere/at"),
        (["corpus", "stream", "--shards", "./nowhere"], Exit.NOT_FOUND, "./nowhere"),
        (["corpus", "stream", "--shards", HERE], Exit.BAD_INPUT, f"assay: {HERE} holds no shard"),
        (["corpus", "stream", "--cursor", "./nowhere/c"], Exit.NOT_FOUND, "--cursor ./nowhere/c"),
        (["corpus", "index", "./nowhere", "--out", "x"], Exit.NOT_FOUND, "SOURCE: ./nowhere"),
        (["corpus", "index", HERE, "--out", "x"], Exit.BAD_INPUT, f"{HERE} holds no shard"),
        (["corpus", "index", HERE, "--out", "x", "--level", "99"], Exit.USAGE, "--level"),
        (["corpus", "verify", "./nowhere", HERE], Exit.NOT_FOUND, "SOURCE: ./nowhere"),
        (["corpus", "verify", HERE, "./nowhere"], Exit.NOT_FOUND, "DIR: ./nowhere"),
        (["export", "--architecture", "b4", "--out", "x"], Exit.BAD_INPUT, "--random-weights"),
        (["score", "--max-documents", "-1"], Exit.USAGE, "negative"),
        (["score", "--max-documents", "0"], Exit.USAGE, "give at least 1"),
        (["corpus", "stream", "--epochs", "0"], Exit.USAGE, "give at least 1"),
        (["score", "--max-length", "x"], Exit.USAGE, "not a whole number"),
        (["score", "--prefix", "x"], Exit.USAGE, "neither bos, eos, none nor a token's id"),
        (["frobnicate"], Exit.USAGE, "frobnicate"),
    ],
)
def test_wrong_input_is_told_before_anything_starts(
    arguments: list[str], status: Exit, said: str
) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "services.cli", *arguments],
        check=False,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == status
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_file_that_is_missing_is_named_without_a_number(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as raised:
        (tmp_path / "claims.yaml").read_bytes()
    assert explain(raised.value) == (
        Exit.NOT_FOUND,
        f"{tmp_path / 'claims.yaml'}: no such file or directory",
    )
    assert explain(OSError("why")) == (Exit.FAULT, "why")
    (tmp_path / "claim.yaml").write_text("")
    _, said = explain(raised.value) or (None, "")
    assert said.endswith(f"no such file or directory; did you mean {tmp_path / 'claim.yaml'}?")


def test_a_folder_that_does_not_exist_brings_the_nearest_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples" / "photos").mkdir(parents=True)
    for given, meant in (("exampels/photos", "examples"), ("examples/photo", "examples/photos")):
        with pytest.raises(FileNotFoundError, match=f"does not exist; did you mean {meant}\\?"):
            existing_folder("IMAGES", given)
    with pytest.raises(FileNotFoundError, match=r"IMAGE: .*did you mean examples/photos"):
        refuse_all_absent(["examples/photo"])
    refuse_all_absent(["examples/photo", "examples/photos", "*.jpg"])
    assert absent("none") == "none does not exist"


@pytest.mark.parametrize("content", [b"labels", "masks"])
def test_a_full_disk_names_the_file_that_was_written(content: bytes | str) -> None:
    with pytest.raises(OSError, match="No space") as raised:
        write_result(Path("/dev/full"), content)
    assert explain(raised.value) == (Exit.FAULT, "/dev/full: no space left on device")

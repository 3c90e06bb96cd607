"""The command as a user meets it: real processes, real services, the reference models."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard
from PIL import Image

from services.cli.exits import Exit
from services.segment.reference.scenes.draw import draw_scene
from tests.ports import free_port

ASSAY = (sys.executable, "-m", "services.cli")
B4, PILE = "segformer-b4-finetuned-ade-512-512", "the-pile"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """No running service is named, nothing is left over from earlier runs."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("ASSAY_")}
    return ours | {"ASSAY_HOME": str(tmp_path_factory.mktemp("home"))}


def run(environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*ASSAY, *arguments], check=False, capture_output=True, text=True, env=environment
    )


def run_json(environment: Mapping[str, str], *arguments: str) -> Any:
    ran = run(environment, *arguments, "--json")
    assert ran.returncode == Exit.DONE, ran.stderr
    return json.loads(ran.stdout)


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "scene.png"
    Image.fromarray(draw_scene(3, 200, 320)[0]).save(path)
    return path


def test_segment_writes_class_ids_at_the_images_own_size(
    environment: Mapping[str, str], picture: Path, tmp_path: Path
) -> None:
    labels, overlay = tmp_path / "labels.png", tmp_path / "overlay.png"
    found = run_json(
        environment, "segment", str(picture), "-o", str(labels), "--overlay", str(overlay)
    )
    with Image.open(labels) as png:
        ids = np.asarray(png)
    assert ids.shape == (200, 320)
    assert ids.dtype == np.uint8
    present = {c["id"]: c["pixels"] for c in found["classes"]}
    assert present == {int(i): int((ids == i).sum()) for i in np.unique(ids)}
    with Image.open(overlay) as png:
        assert png.size == (320, 200)
    assert sum(c["share"] for c in found["classes"]) == pytest.approx(1)


def test_segment_says_which_files_it_wrote(
    environment: Mapping[str, str], picture: Path, tmp_path: Path
) -> None:
    overlay = tmp_path / "overlay.png"
    ran = run(environment, "segment", str(picture), "--overlay", str(overlay))
    assert f"written to {overlay}" in ran.stderr
    assert "written to" not in ran.stdout


def test_segment_tells_what_is_wrong_with_a_file(environment: Mapping[str, str]) -> None:
    ran = run(environment, "segment", __file__)
    assert ran.returncode == Exit.BAD_INPUT
    assert "image" in ran.stderr


def test_bench_measures_the_reference_model(environment: Mapping[str, str]) -> None:
    quick = ("--runs", "3", "--restarts", "1", "--scenario", "offline", "--batch", "1")
    found = run_json(environment, "bench", *quick, "--batch", "2", "--modules")
    assert found["model"]["name"] == "segformer-reference"
    assert found["scenario"] == "OFFLINE"
    assert [batch["batch_size"] for batch in found["sweep"]] == [1, 2]
    assert sum(part["share"] for part in found["modules"]) == pytest.approx(1)
    ran = run(environment, "bench", "--scenario", "offline", "--batch", "65")
    assert ran.returncode == Exit.BAD_INPUT
    assert "batch_sizes: 65" in ran.stderr
    assert not ran.stdout


def test_stream_prints_documents_and_goes_on_from_a_cursor(
    environment: Mapping[str, str], tmp_path: Path
) -> None:
    whole = run(environment, "corpus", "stream", "--split", "val")
    assert whole.returncode == Exit.DONE, whole.stderr
    documents = [json.loads(line) for line in whole.stdout.splitlines()]
    assert len(documents) > 3
    assert {"text", "meta", "id", "subset", "shard", "line"} <= set(documents[0])
    cursor = tmp_path / "cursor"
    again = ("corpus", "stream", "--split", "val", "--cursor", str(cursor))
    assert run(environment, *again).stdout == whole.stdout
    assert run(environment, *again).stdout == ""


def test_stream_names_the_subsets_that_there_are(environment: Mapping[str, str]) -> None:
    ran = run(environment, "corpus", "stream", "--subset", "No such subset")
    assert ran.returncode == Exit.NOT_FOUND
    assert "Python" in ran.stderr


def test_a_document_larger_than_a_message_keeps_its_meta(
    environment: Mapping[str, str], tmp_path: Path
) -> None:
    line = json.dumps({"text": "ä" * 3_000_000, "meta": {"pile_set_name": "Github"}}) + "\n"
    (tmp_path / "test.jsonl.zst").write_bytes(zstandard.compress(line.encode()))
    ran = run(environment, "corpus", "stream", "--shards", str(tmp_path))
    document = json.loads(ran.stdout)
    assert document["text"] == "ä" * 3_000_000
    assert document["meta"] == {"pile_set_name": "Github"}
    raw = run(environment, "corpus", "stream", "--shards", str(tmp_path), "--jsonl")
    assert raw.stdout == line


def test_a_reader_that_leaves_is_no_fault(environment: Mapping[str, str]) -> None:
    shell = f"{' '.join(ASSAY)} compare {B4} {PILE} --no-verify | true; exit ${{PIPESTATUS[0]}}"
    ran = subprocess.run(["bash", "-c", shell], check=False, capture_output=True, env=environment)
    assert ran.returncode == Exit.DONE, ran.stderr


def test_a_folder_that_is_no_corpus_is_bad_input(
    environment: Mapping[str, str], tmp_path: Path
) -> None:
    ran = run(environment, "corpus", "stream", "--shards", str(tmp_path))
    assert ran.returncode == Exit.BAD_INPUT
    assert "jsonl.zst" in ran.stderr


def test_score_gives_bits_per_byte_by_subset(environment: Mapping[str, str]) -> None:
    scored = run_json(environment, "score", "--split", "test", "--max-documents", "6")
    assert 0 < scored["overall"]["bits_per_byte"] < 8
    assert scored["overall"]["documents"] == 6
    bits = sum(s["nats"] for s in scored["subsets"].values()) / np.log(2)
    assert scored["overall"]["bits_per_byte"] == pytest.approx(
        bits / scored["overall"]["text_bytes"], rel=1e-12
    )


def test_one_claim(environment: Mapping[str, str]) -> None:
    ran = run_json(environment, "claims", PILE, "--claim", "P1.3")
    (claim,) = ran["claims"]
    assert claim["id"] == "P1.3"
    assert claim["verdict"] == "REFUTED"
    assert claim["basis"] == "SOURCED"
    assert claim["sources"]


def test_compare_answers_without_measuring_when_told_to(environment: Mapping[str, str]) -> None:
    compared = run_json(environment, "compare", B4, PILE, "--no-verify")
    assert len(compared["claims"]) == 76
    assert compared["left"]["published"][0]["value"] == 42
    assert compared["right"]["published"][0]["value"] == 59
    assert compared["overall"] == "DIFFERENT_TYPES"


def test_a_page_shows_a_picture_and_whose_place_the_model_takes(
    environment: Mapping[str, str], tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    ran = run(environment, "compare", B4, PILE, "--no-verify", "--html", str(page))
    assert ran.returncode == Exit.DONE, ran.stderr
    text = page.read_text("utf-8")
    assert "What segformer-reference sees" in text
    assert f"The weights of {B4} are not served here" in text
    assert text.count('src="data:image/jpeg;base64,') == 2


def test_compare_with_a_wrong_name_lists_the_known_ones(environment: Mapping[str, str]) -> None:
    ran = run(environment, "compare", B4, "the-pyle")
    assert ran.returncode == Exit.NOT_FOUND
    assert PILE in ran.stderr


@pytest.fixture
def up(environment: Mapping[str, str]) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """`assay up` on free ports, and the addresses that it printed."""
    kinds = ("PORT", "HEALTH_PORT", "METRICS_PORT")
    ports = {f"ASSAY_{s}_{k}": "0" for s in ("SEGMENT", "CORPUS", "RANKER") for k in kinds}
    ports["ASSAY_RANKER_HTTP_PORT"] = str(free_port())
    with subprocess.Popen(
        [*ASSAY, "up"], env={**environment, **ports}, stdout=subprocess.PIPE, text=True
    ) as process:
        assert isinstance(process.stdout, io.TextIOBase)
        addresses: dict[str, str] = {}
        while len(addresses) < 3:
            line = process.stdout.readline()
            assert line, "assay up ended early"
            if "export " in line:
                name, _, value = line.strip().removeprefix("export ").partition("=")
                addresses[name] = value
        yield process, addresses
        process.kill()


def test_up_serves_the_other_commands_and_drains_on_ctrl_c(
    environment: Mapping[str, str],
    up: tuple[subprocess.Popen[str], dict[str, str]],
    picture: Path,
) -> None:
    process, addresses = up
    found = run_json({**environment, **addresses}, "segment", str(picture))
    assert found["model"]["name"] == "segformer-reference"
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == Exit.DONE
    ran = run({**environment, **addresses}, "segment", str(picture))
    assert ran.returncode == Exit.UNAVAILABLE


def test_every_refutation_is_reproduced_by_pasting_its_command(
    environment: Mapping[str, str],
    up: tuple[subprocess.Popen[str], dict[str, str]],
    tmp_path: Path,
) -> None:
    program = tmp_path / "assay"
    program.write_text(f'#!/bin/sh\nexec {" ".join(ASSAY)} "$@"\n')
    program.chmod(0o755)
    shell = {**environment, **up[1], "PATH": f"{tmp_path}:{environment['PATH']}", "COLUMNS": "200"}
    screen = run(shell, "compare", B4, PILE, "--verify").stdout
    compared = run_json(shell, "compare", B4, PILE)
    refuted = [one for one in compared["claims"] if one["verdict"] == "REFUTED"]
    assert {"MEASURED", "SOURCED", "DERIVED"} >= {one["basis"] for one in refuted}
    assert len(refuted) >= 15
    # Commands that differ in the claim alone are printed as one.
    printed = [line.split() for line in screen.splitlines() if line.startswith("  assay claims")]
    for one in refuted:
        words = one["command"].split()
        assert any(set(words) <= set(line) for line in printed), one["command"]
        # What the command says of the claim, and not how: a time has moved since.
        pasted = subprocess.run(
            ["bash", "-c", f"{one['command']} --json"],
            check=False,
            capture_output=True,
            text=True,
            env=shell,
        )
        assert pasted.returncode == Exit.DONE, pasted.stderr
        (again,) = json.loads(pasted.stdout)["claims"]
        assert (again["id"], again["verdict"]) == (one["id"], "REFUTED")


def test_a_killed_command_leaves_no_service_behind(
    up: tuple[subprocess.Popen[str], dict[str, str]],
) -> None:
    process, addresses = up
    process.kill()
    process.wait()
    for address in addresses.values():
        host, _, port = address.partition(":")
        gone = time.monotonic() + 60
        while _listens(host, int(port)):
            assert time.monotonic() < gone, f"{address} still listens"
            time.sleep(0.05)


def _listens(host: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0

"""`assay corpus build`: the same bytes in however many processes, killed, stopped, disk full."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.corpus.build.recipes import (
    documents_of,
    edited,
    prose,
    tree,
    two_sources,
    write_recipe,
    write_shard,
)

pytest.importorskip("rensa", reason="needs the build extra")

ROOT = Path(__file__).parents[3]
RECIPE = ROOT / "examples" / "corpus-build" / "python.yaml"
_COMMAND = (sys.executable, "-m", "services.cli", "corpus", "build")
_SECONDS = 240


def command(recipe: Path, out: Path, *arguments: str, **variables: object) -> list[str]:
    given = [f"--set={name}={value}" for name, value in variables.items()]
    return [*_COMMAND, str(recipe), "--out", str(out), *given, *arguments]


def build(recipe: Path, out: Path, *arguments: str, **variables: object) -> str:
    """Build; return what was said."""
    done = subprocess.run(
        command(recipe, out, *arguments, **variables),
        check=False,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def start(recipe: Path, out: Path, *arguments: str, **variables: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(recipe, out, *arguments, **variables),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ended(processes: Sequence[subprocess.Popen[str]]) -> list[str]:
    """Wait for processes; return what they said."""
    said = [process.communicate(timeout=_SECONDS)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), said
    return said


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """Some units of work: ten sources of a shard each, with duplicates among them."""
    for number in range(10):
        texts = [prose(number * 100 + document, 150) for document in range(60)]
        texts += [prose(100 + document, 150) for document in range(5)]
        texts += [edited(prose(200 + document, 150), number, 1) for document in range(5)]
        write_shard(tmp_path / "sources" / str(number) / "data.jsonl.zst", texts)
    return tmp_path / "sources"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    named = [
        {"name": f"source {number}", "path": f"${{SOURCES}}/{number}", "license": "MIT"}
        for number in range(10)
    ]
    return write_recipe(tmp_path / "recipe", sources=named)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["one", "one/out", "linked/out", "out-link"])
def test_a_build_within_its_source_is_refused_before_anything_is_written(
    tmp_path: Path, where: str
) -> None:
    two_sources(tmp_path)
    recipe = write_recipe(tmp_path / "recipe")
    (tmp_path / "linked").symlink_to(tmp_path / "one")
    (tmp_path / "out-link").symlink_to(tmp_path / "one" / "made")
    before = sorted(path for path in tmp_path.rglob("*"))
    words = command(recipe, tmp_path / where, SOURCES=tmp_path)
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=_SECONDS)
    assert done.returncode == 4, done.stderr
    assert "is the source 'one' itself, or within it" in done.stderr
    assert sorted(path for path in tmp_path.rglob("*")) == before


def test_one_process_eight_and_shares_give_the_same_bytes(
    tmp_path: Path, recipe: Path, sources: Path
) -> None:
    said = build(recipe, tmp_path / "one", "--jobs=1", SOURCES=sources)
    assert "read: 10 of 10" in said
    expected = tree(tmp_path / "one")
    assert len(documents_of(tmp_path / "one")) == 600
    build(recipe, tmp_path / "eight", "--jobs=8", SOURCES=sources)
    assert tree(tmp_path / "eight") == expected
    shares = tmp_path / "shares"
    ended([
        start(recipe, shares, f"--share={number}/3", "--jobs=1", SOURCES=sources)
        for number in range(3)
    ])  # fmt: skip
    assert tree(shares) == expected
    assert "up to date" in build(recipe, shares, SOURCES=sources)


def test_bad_records_that_are_passed_over_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\nno record\n')
    source = {"name": "one", "path": str(tmp_path / "a.jsonl"), "license": "MIT"}
    recipe = write_recipe(
        tmp_path / "recipe", sources=[{**source, "skip_bad_lines": True}], steps=[]
    )
    said = build(recipe, tmp_path / "out", "--jobs=1", "--quiet")
    assert "source 'one': skipped 1 bad record" in said


@pytest.mark.slow
def test_a_build_that_is_killed_again_and_again_gives_the_same_bytes(
    tmp_path: Path, recipe: Path, sources: Path
) -> None:
    build(recipe, tmp_path / "whole", SOURCES=sources)
    out = tmp_path / "out"
    # Killed whenever it has made that many files more, in every stage.
    kills = 0
    while True:
        before = _results(out)
        process = start(recipe, out, "--jobs=2", SOURCES=sources)
        while process.poll() is None and len(_results(out)) < len(before) + 7:
            time.sleep(0.005)
        if process.poll() is not None:
            ended([process])
            break
        process.kill()
        process.communicate()
        kills += 1
        _wait_until_free(out)
        assert before <= _results(out)
    assert kills >= 5
    assert tree(out) == tree(tmp_path / "whole")


def _results(out: Path) -> set[str]:
    found = list(out.glob("_build/*/*.json")) + list(out.glob("_build/*-*/*.npy"))
    return {str(path) for path in found if not path.name.endswith(("rows.npy", "near.npy"))}


def _wait_until_free(out: Path) -> None:
    """Wait until the processes of a build that was killed have ended with it."""
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        left = [line for line in _processes() if str(out) in line]
        if not left:
            return
        time.sleep(0.05)
    pytest.fail(f"still running: {left}")


def _processes() -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            files = [str(link.readlink()) for link in (process / "fd").iterdir()]
            found.append((process / "cmdline").read_text() + " ".join(files))
        except OSError:
            continue
    return found


def test_an_interrupted_build_loses_nothing(tmp_path: Path, recipe: Path, sources: Path) -> None:
    build(recipe, tmp_path / "whole", SOURCES=sources)
    out = tmp_path / "out"
    process = start(recipe, out, "--jobs=1", SOURCES=sources)
    while process.poll() is None and len(_results(out)) < 4:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    process.communicate(timeout=_SECONDS)
    assert process.returncode == 130
    assert not list(out.rglob("*.partial")) or not (out / "card.json").exists()
    done = _results(out)
    assert len(done) >= 4
    stamps = {path: Path(path).stat().st_mtime_ns for path in done}
    build(recipe, out, SOURCES=sources)
    assert {path: Path(path).stat().st_mtime_ns for path in done} == stamps
    assert tree(out) == tree(tmp_path / "whole")


def test_two_builds_in_one_directory_are_refused(tmp_path: Path, recipe: Path) -> None:
    sources, out = tmp_path / "none", tmp_path / "out"
    (out / "_build").mkdir(parents=True)
    for held, share, problem in (
        ("lock", (), "another build works on"),
        ("lock-1-of-4", ("--share=1/4",), "another process works on share 1/4 of"),
    ):
        with (out / "_build" / held).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            done = subprocess.run(
                command(recipe, out, *share, SOURCES=sources),
                check=False,
                capture_output=True,
                text=True,
            )
        assert done.returncode == 4
        assert problem in done.stderr
        assert "wait for it, or name another directory" in done.stderr


# Grows the file system little by little: whatever comes next fails until it has room.
_FULL_DISK = """
set -e
mkdir -p "$OUT"
mount -t tmpfs -o size="$FIRST"k tmpfs "$OUT"
size="$FIRST"
while true; do
    mount -o remount,size="$size"k "$OUT"
    set +e
    "$@" 2>"$SAID"
    status=$?
    set -e
    cat "$SAID" >>"$ALL"
    [ $status -eq 0 ] && break
    [ $status -eq 1 ] || exit 9
    size=$((size * 112 / 100 + 8))
    [ $size -lt 40000 ] || exit 8
done
cp -r "$OUT" "$KEPT"
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare, of util-linux")
def test_a_full_disk_is_told_in_each_stage_and_gone_on_from(
    tmp_path: Path, recipe: Path, sources: Path
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    build(recipe, whole, SOURCES=sources)
    paths = {name: tmp_path / name.lower() for name in ("SAID", "ALL", "KEPT")}
    environment = {**os.environ, **{name: str(path) for name, path in paths.items()}}
    namespace = ["unshare", "--user", "--map-root-user", "--mount"]
    probe = subprocess.run(
        [*namespace, "mount", "-t", "tmpfs", "tmpfs", str(tmp_path)], check=False
    )
    if probe.returncode:
        pytest.skip("this machine lets nobody mount a file system in a namespace of its own")
    line = command(recipe, out, "--jobs=1", SOURCES=sources)
    done = subprocess.run(
        [*namespace, "sh", "-c", _FULL_DISK, "sh", *line],
        check=False,
        env={**environment, "OUT": str(out), "FIRST": "16"},
        timeout=40 * _SECONDS,  # about thirty builds, each of which may take its time
    )  # fmt: skip
    told = paths["ALL"].read_text()
    assert done.returncode == 0, told[-2000:]
    assert "make room, and the same command continues" in told
    stages = set(re.findall(r"stage (\w+)[-\d]*, task \d+: there is no room left", told))
    assert stages >= {"pass", "scatter", "gather"}, told[-2000:]
    assert tree(paths["KEPT"]) == tree(whole)


def test_bad_input_is_told_in_a_line(tmp_path: Path) -> None:
    sources, out = two_sources(tmp_path / "sources"), tmp_path / "out"
    few = tmp_path / "few.jsonl"
    few.write_text('{"text": "of three words"}\n')
    (tmp_path / "leaves").mkdir()
    (tmp_path / "leaves" / "leaving_at_once.py").write_text("raise SystemExit(3)\n")
    cases: Mapping[str, tuple[list[str], int, str]] = {
        "recipe": (command(tmp_path / "none.yaml", out), 3, "RECIPE: .*none.yaml does not exist"),
        "step": (
            command(write_recipe(tmp_path / "a", steps=["dedupe"]), out, SOURCES=sources),
            4,
            r"steps\[0\]: 'dedupe' is not a step",
        ),
        "variable": (command(write_recipe(tmp_path), out), 4, r"uses \$\{SOURCES\}"),
        "set": ([*command(write_recipe(tmp_path), out), "--set=X"], 4, "X is not NAME=VALUE"),
        "share": ([*command(write_recipe(tmp_path), out), "--share=3/3"], 4, "3/3 is not I/N"),
        "test set": (
            command(
                write_recipe(tmp_path / "b", steps=[{"contamination": {"against": [str(few)]}}]),
                tmp_path / "out-b",
                SOURCES=sources,
            ),
            4,
            r"steps\[0\]\.contamination\.against: holds no text of 13 words or more",
        ),
        "plug-in": (
            command(
                write_recipe(
                    tmp_path / "leaves", steps=[{"filter": {"function": "leaving_at_once:keep"}}]
                ),
                tmp_path / "out-c",
                SOURCES=sources,
            ),
            4,
            r"leaving_at_once cannot be imported \(SystemExit: 3\)",
        ),
        "source": (
            command(write_recipe(tmp_path), out, SOURCES=tmp_path / "nothing"),
            3,
            "no file for source named 'one'",
        ),
    }
    for name, (line, status, problem) in cases.items():
        done = subprocess.run(line, check=False, capture_output=True, text=True)
        assert done.returncode == status, (name, done.stderr)
        assert re.search(problem, done.stderr), (name, done.stderr)
        assert "Traceback" not in done.stderr


def test_the_example_builds_a_corpus_from_what_is_on_any_machine(tmp_path: Path) -> None:
    out = tmp_path / "out"
    variables = {
        "PYTHON_LIBRARY": sysconfig.get_path("stdlib"),
        "PYTHON_PACKAGES": sysconfig.get_path("purelib"),
    }
    if not list(Path(variables["PYTHON_LIBRARY"]).glob("*.py")):
        variables["PYTHON_LIBRARY"] = str(Path(os.__file__).parent)
    build(RECIPE, out, **variables)
    documents = documents_of(out)
    subsets = {document["subset"] for document in documents}
    assert subsets == {"Python sources", "Python documentation", "Licences"}
    assert len(documents) > 200
    again = tmp_path / "again"
    build(RECIPE, again, "--jobs=1", **variables)
    assert tree(again) == tree(out)

"""Room kept: everything that is planned can be added without a break for a released client."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

HERE = Path(__file__).parent
PROTOS = HERE.parents[1] / "protos"
BUF = Path(sys.executable).with_name("buf")


def sections(text: str, mark: str) -> Iterator[tuple[str, str]]:
    """The title of each section that begins with the mark, and what stands below it."""
    parts = re.split(rf"^{mark} (.*)\n", text, flags=re.MULTILINE)
    return zip(parts[1::2], parts[2::2], strict=True)


def end_of(text: str, kind: str, name: str) -> int:
    """Where the block ends: the place of its closing brace's line."""
    begin, indent = 0, ""
    if kind == "oneof":
        message, _, name = name.partition(".")
        begin, indent = text.index(f"\nmessage {message} {{"), "  "
    at = text.index(f"\n{indent}{kind} {name} {{", begin)
    return text.index(f"\n{indent}}}\n", at) + 1


def added(text: str, title: str, lines: str) -> str:
    """The file's text with the lines at their place."""
    if title == "end":
        return f"{text}\n{lines.rstrip()}\n"
    kind, name = title.split()
    if kind == "import":
        line = f'import "{name}";\n'
        return text if line in text else re.sub(r"(package .*;\n)", rf"\1\n{line}", text, count=1)
    at = end_of(text, kind, name)
    return f"{text[:at]}{lines.rstrip()}\n{text[at:]}"


def extended(folder: Path) -> Path:
    """A copy of the protos with everything that is planned."""
    shutil.copytree(PROTOS / "assay", folder / "assay")
    for name in ("buf.yaml", "baseline.binpb"):
        shutil.copy(PROTOS / name, folder / name)
    for name, changes in sections((HERE / "later.txt").read_text("utf-8"), "==="):
        file = folder / name
        if not file.exists():
            file.parent.mkdir(parents=True)
            file.write_text(changes, "utf-8")
            continue
        text = file.read_text("utf-8")
        for title, lines in sections(changes, "---"):
            text = added(text, title, lines)
        file.write_text(text, "utf-8")
    return folder


def buf(folder: Path, *arguments: str) -> bytes:
    ended = subprocess.run([BUF, *arguments], cwd=folder, capture_output=True, check=False)
    assert ended.returncode == 0, (ended.stdout + ended.stderr).decode(errors="replace")
    return ended.stdout


def test_what_is_planned_breaks_no_released_client(tmp_path: Path) -> None:
    folder = extended(tmp_path)
    image = FileDescriptorSet.FromString(buf(folder, "build", "-o", "-"))
    names = {
        message.name for file in image.file if "assay" in file.name for message in file.message_type
    }
    planned = {"TokenBatch", "AuditCorpusRequest", "Logits", "ReportedOutcome"}
    assert planned <= names
    buf(folder, "breaking", "--against", "baseline.binpb")


def test_what_is_new_may_change_until_it_is_stable(tmp_path: Path) -> None:
    """A v1alpha1 package: a field that was released in it may change its type."""
    folder = extended(tmp_path)
    buf(folder, "build", "--exclude-source-info", "-o", "baseline.binpb")
    audit = folder / "assay" / "audit" / "v1alpha1" / "audit.proto"
    text = audit.read_text("utf-8")
    assert "double nats = 6;" in text
    audit.write_text(text.replace("double nats = 6;", "string nats = 6;"), "utf-8")
    buf(folder, "breaking", "--against", "baseline.binpb")

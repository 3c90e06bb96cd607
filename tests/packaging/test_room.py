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


# What other work asked room for: what of it the contract has, and what later.txt adds.
ROOM: dict[str, tuple[set[str], set[str]]] = {
    "tokens and packing": (
        {"Delivery.DELIVERY_TOKENS", "TokenOptions.packing", "TokenBatch.piece_tokens"},
        set(),
    ),
    "scores by document": (
        {"ScoreBPBRequest.per_document", "DocumentScore.score", "DocumentComparison.model"},
        set(),
    ),
    "unscored context": ({"ScoredText.context"}, set()),
    "proof and audit": (
        {"AuditService.ProveBPB", "AuditService.VerifyProof", "CorpusAuditService.AuditCorpus"},
        {"AuditService.AuditTable"},
    ),
    "inference modes": ({"SegmentImageRequest.inference", "Inference.windows"}, set()),
    "logits": (set(), {"SegmentImageRequest.logits", "SegmentImageResponse.logits"}),
    "outcomes by identity": (
        {"MatchCounts.reporters"},
        {"OutcomeService.ListOutcomes", "ReportedOutcome.reporter"},
    ),
    "withdrawal": (
        {"OutcomeService.WithdrawOutcome", "Artifact.withdrawal", "Page.withdrawal"},
        {"RankerAdminService.WithdrawManifest"},
    ),
}


def elements(image: bytes) -> set[str]:
    """Fields, values and rpcs of our packages, as "MESSAGE.FIELD"."""
    found = set()
    for file in FileDescriptorSet.FromString(image).file:
        if file.package.startswith("assay."):
            found |= {
                f"{one.name}.{field.name}" for one in file.message_type for field in one.field
            }
            found |= {f"{one.name}.{value.name}" for one in file.enum_type for value in one.value}
            found |= {f"{one.name}.{rpc.name}" for one in file.service for rpc in one.method}
    return found


def test_what_is_planned_breaks_no_client(tmp_path: Path) -> None:
    """Neither one of the last release nor one of the contract as it is now."""
    folder = extended(tmp_path)
    now = buf(PROTOS, "build", "-o", "-")
    later = buf(folder, "build", "-o", "-")
    for name, (there, planned) in ROOM.items():
        assert there <= elements(now), name
        assert planned <= elements(later) - elements(now), name
    (folder / "now.binpb").write_bytes(now)
    for against in ("baseline.binpb", "now.binpb"):
        buf(folder, "breaking", "--against", against)


def test_what_is_new_may_change_until_it_is_stable(tmp_path: Path) -> None:
    """A v1alpha1 package: a field that was released in it may change its type."""
    folder = extended(tmp_path)
    buf(folder, "build", "--exclude-source-info", "-o", "baseline.binpb")
    audit = folder / "assay" / "audit" / "v1alpha1" / "audit.proto"
    text = audit.read_text("utf-8")
    assert "double nats = 6;" in text
    audit.write_text(text.replace("double nats = 6;", "string nats = 6;"), "utf-8")
    buf(folder, "breaking", "--against", "baseline.binpb")

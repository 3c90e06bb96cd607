"""The contract: linted, compatible with the released one, its stubs those of the protos.

Every rpc says what it may fail with, whether it may be sent again, and how long it may take.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    MethodOptions,
)

ROOT = Path(__file__).parents[2]
PROTOS = ROOT / "protos"
BUF = Path(sys.executable).with_name("buf")
OURS = {"audit", "common", "corpus", "ranker", "segment"}

# What each rpc is: N has no side effects, I is idempotent; its deadline in seconds; the codes after
# which a channel sends it again: U for UNAVAILABLE, R for RESOURCE_EXHAUSTED, C for CANCELLED. A
# stream is sent again only before its first message.
RPCS = {
    "segment.v1.SegmentService/SegmentImage": ("N", 30, "URC"),
    "segment.v1.SegmentService/SegmentImages": ("N", 86400, ""),
    "segment.v1.SegmentService/EvaluateSegmentation": ("N", 86400, ""),
    "segment.v1.SegmentService/ListModels": ("N", 10, "URC"),
    "segment.v1.SegmentService/GetModel": ("N", 10, "URC"),
    "segment.v1.SegmentBenchmarkService/BenchmarkModel": ("I", 7200, "U"),
    "segment.v1.SegmentAdminService/GetRepository": ("N", 10, "URC"),
    "segment.v1.SegmentAdminService/SetDesiredModels": ("I", 30, "U"),
    "corpus.v1.CorpusService/ListCorpora": ("N", 10, "URC"),
    "corpus.v1.CorpusService/GetCorpus": ("N", 10, "URC"),
    "corpus.v1.CorpusService/DescribeCorpus": ("N", 3600, "U"),
    "corpus.v1.CorpusService/StreamCorpus": ("N", 86400, "URC"),
    "corpus.v1.CorpusService/GetDocuments": ("N", 300, "URC"),
    "audit.v1alpha1.AuditService/ProveBPB": ("N", 86400, "U"),
    "audit.v1alpha1.AuditService/VerifyProof": ("N", 86400, ""),
    "audit.v1alpha1.AuditService/AuditBPB": ("N", 3600, "U"),
    "audit.v1alpha1.CorpusAuditService/AuditCorpus": ("N", 86400, ""),
    "corpus.v1.ScoringService/ListLanguageModels": ("N", 10, "URC"),
    "corpus.v1.ScoringService/ScoreBPB": ("I", 86400, "U"),
    "corpus.v1.ScoringService/CompareBPB": ("I", 86400, "U"),
    "corpus.v1.ScoringService/ScoreTexts": ("N", 3600, "U"),
    "corpus.v1.CorpusBenchmarkService/BenchmarkStorage": ("I", 7200, "U"),
    "ranker.v1.RankerService/ListArtifacts": ("N", 30, "URC"),
    "ranker.v1.RankerService/GetArtifact": ("N", 30, "URC"),
    "ranker.v1.RankerService/Compare": ("N", 30, "URC"),
    "ranker.v1.RankerService/GetEvidence": ("N", 30, "U"),
    "ranker.v1.RankerService/ListEvidence": ("N", 30, "U"),
    "ranker.v1.RankerService/ListVerdicts": ("N", 30, "U"),
    "ranker.v1.RankerService/GetMethodology": ("N", 30, "U"),
    "ranker.v1.RankerService/GetRank": ("N", 30, "U"),
    "ranker.v1.RankerService/ExplainRank": ("N", 30, "U"),
    "ranker.v1.RankerService/ListRanks": ("N", 30, "U"),
    "ranker.v1.RankerService/SearchCapabilities": ("N", 30, "U"),
    "ranker.v1.VerificationService/SubmitVerification": ("I", 10, "U"),
    "ranker.v1.VerificationService/GetJob": ("N", 10, "U"),
    "ranker.v1.VerificationService/ListJobs": ("N", 10, "U"),
    "ranker.v1.VerificationService/WatchJob": ("N", 86400, "U"),
    "ranker.v1.VerificationService/CancelJob": ("I", 60, "U"),
    "ranker.v1.OutcomeService/RecordMatch": ("I", 10, "U"),
    "ranker.v1.OutcomeService/ReportOutcome": ("I", 10, "U"),
    "ranker.v1.OutcomeService/WithdrawOutcome": ("I", 10, "U"),
    "ranker.v1.RankerAdminService/ValidateManifest": ("N", 10, "U"),
    "ranker.v1.RankerAdminService/RegisterManifest": ("I", 30, "U"),
    "ranker.v1.RankerAdminService/InvalidateCache": ("I", 30, "U"),
}
LEVELS = {MethodOptions.NO_SIDE_EFFECTS: "N", MethodOptions.IDEMPOTENT: "I"}
CODES = {"UNAVAILABLE": "U", "RESOURCE_EXHAUSTED": "R", "CANCELLED": "C"}


def buf(*arguments: str | Path, folder: Path = PROTOS) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([BUF, *arguments], cwd=folder, capture_output=True, check=False)


def said(ended: subprocess.CompletedProcess[bytes]) -> str:
    return (ended.stdout + ended.stderr).decode()


@pytest.fixture(scope="module")
def files() -> list[FileDescriptorProto]:
    """Our files, with their comments."""
    built = buf("build", "-o", "-")
    assert built.returncode == 0, built.stderr
    found = FileDescriptorSet.FromString(built.stdout).file
    ours = [file for file in found if file.name.split("/")[:1] == ["assay"]]
    assert {file.name.split("/")[1] for file in ours} == OURS | {"inference"}
    return [file for file in ours if file.package.startswith("assay.")]


def comments(file: FileDescriptorProto) -> dict[tuple[int, ...], str]:
    return {tuple(at.path): at.leading_comments for at in file.source_code_info.location}


def rpcs(files: list[FileDescriptorProto]) -> Iterator[tuple[str, MethodDescriptorProto, str]]:
    """Each rpc's name as "package.Service/Method", the rpc, and its comment."""
    for file in files:
        found = comments(file)
        for place, service in enumerate(file.service):
            for number, method in enumerate(service.method):
                name = f"{file.package}.{service.name}/{method.name}"
                yield name, method, found.get((6, place, 2, number), "")


def service_config() -> dict[str, dict[str, Any]]:
    """The configuration of each rpc, by "package.Service/Method"."""
    config = json.loads((PROTOS / "assay_rpc" / "service_config.json").read_text("utf-8"))
    found: dict[str, dict[str, Any]] = {}
    for entry in config["methodConfig"]:
        for name in entry["name"]:
            key = f"{name['service']}/{name['method']}"
            assert key not in found, f"{key} is configured twice"
            found[key] = entry
    return found


def retried(config: dict[str, Any]) -> str:
    policy = config.get("retryPolicy", {"retryableStatusCodes": []})
    return "".join(CODES[code] for code in policy["retryableStatusCodes"])


def test_every_rpc_has_a_level_a_deadline_and_a_retry_class(
    files: list[FileDescriptorProto],
) -> None:
    configs = service_config()
    found = {
        name.removeprefix("assay."): (
            LEVELS.get(method.options.idempotency_level),
            int(configs.get(name, {}).get("timeout", "0s").removesuffix("s")),
            retried(configs.get(name, {})),
        )
        for name, method, _ in rpcs(files)
    }
    assert found == RPCS
    assert set(configs) == {f"assay.{name}" for name in found}


def test_unary_reads_wait_for_a_server_that_restarts(files: list[FileDescriptorProto]) -> None:
    configs = service_config()
    waiting = {name for name, config in configs.items() if config.get("waitForReady")}
    reads = {
        name
        for name, method, _ in rpcs(files)
        if method.options.idempotency_level == MethodOptions.NO_SIDE_EFFECTS
        and not method.client_streaming
        and not method.server_streaming
    }
    # These compute: it is for their callers to say whether a busy server is worth a wait.
    computing = {
        "assay.segment.v1.SegmentService/SegmentImage",
        "assay.corpus.v1.ScoringService/ScoreTexts",
        "assay.audit.v1alpha1.AuditService/AuditBPB",
    }
    assert waiting == reads - computing


def test_every_rpc_names_its_errors(files: list[FileDescriptorProto]) -> None:
    common = next(file for file in files if file.package == "assay.common.v1")
    (enum,) = (one for one in common.enum_type if one.name == "ErrorReason")
    reasons = {value.name.removeprefix("ERROR_REASON_") for value in enum.value[1:]}
    for name, _, comment in rpcs(files):
        lines = re.findall(r"^ Errors: ([A-Z_,\s]+)\.$", comment, re.MULTILINE)
        assert len(lines) == 1, f"{name}: {comment}"
        named = re.split(r",\s+", lines[0])
        assert set(named) <= reasons, name
        assert len(named) == len(set(named)), name


def test_every_message_has_a_comment_unless_its_rpc_has_it(
    files: list[FileDescriptorProto],
) -> None:
    def named(
        messages: list[DescriptorProto], path: tuple[int, ...], field: int
    ) -> Iterator[tuple[tuple[int, ...], str]]:
        for place, message in enumerate(messages):
            here = (*path, field, place)
            yield here, message.name
            nested = [one for one in message.nested_type if not one.options.map_entry]
            yield from named(nested, here, 3)

    for file in files:
        found = comments(file)
        carried = {
            kind.rpartition(".")[2]
            for _, method, _ in rpcs(files)
            for kind in (method.input_type, method.output_type)
        }
        for path, name in named(list(file.message_type), (), 4):
            assert name in carried or found.get(path, "").strip(), f"{file.name}: {name}"


def elements(messages: list[DescriptorProto]) -> int:
    """Messages with their fields, oneofs, enums and values, but none that protoc adds."""
    return sum(
        1
        + len(one.field)
        + sum(not choice.name.startswith("_") for choice in one.oneof_decl)
        + sum(1 + len(enum.value) for enum in one.enum_type)
        + elements(list(one.nested_type))
        for one in messages
        if not one.options.map_entry
    )


def test_comments_stay_short(files: list[FileDescriptorProto]) -> None:
    """A reader stops at long ones: 59.8 characters an element before a review, now 2/3 of it."""
    count = sum(
        elements(list(file.message_type))
        + sum(1 + len(enum.value) for enum in file.enum_type)
        + sum(1 + len(service.method) for service in file.service)
        for file in files
    )
    characters = sum(
        len(" ".join(text.split()))
        for file in files
        for at in file.source_code_info.location
        for text in (at.leading_comments, at.trailing_comments, *at.leading_detached_comments)
    )
    assert characters <= 2 / 3 * 59.8 * count, f"{characters} characters for {count} elements"


def test_every_file_has_its_options(files: list[FileDescriptorProto]) -> None:
    for file in files:
        _, service, version = file.package.split(".")
        go = f"assay/{service}/{version};{service}{version}"
        assert file.options.go_package == go, file.name
        assert file.options.java_package == file.package, file.name
        assert file.options.java_multiple_files, file.name
        # Of its own: corpus.proto's would else be that of the message Corpus in another file.
        outer = f"{Path(file.name).stem.title().replace('_', '')}Proto"
        assert file.options.java_outer_classname == outer, file.name


def test_words_are_those_that_everybody_uses() -> None:
    """What was said in this project's own words before."""
    private = re.compile(r"\b(passed over|goes on|go on|asked for|it proves nothing)\b")
    for path in PROTOS.glob("assay/*/v*/*.proto"):
        if "inference" not in path.parts:
            assert not private.findall(path.read_text("utf-8")), path


def stubs(client: Path, server: Path) -> dict[str, str]:
    """Every generated file, by its path in the client package or in `services`."""
    return {
        str(path.relative_to(folder)): path.read_text("utf-8")
        for folder, pattern in ((client, "assay_rpc"), (server, "services/inference"))
        for path in sorted(folder.glob(f"{pattern}/**/*_pb2*.py*"))
        if path.suffix in {".py", ".pyi"}
    }


def test_the_stubs_are_those_of_the_protos(tmp_path: Path) -> None:
    subprocess.run(
        [PROTOS / "generate.sh", tmp_path, tmp_path],
        check=True,
        timeout=120,
        env={"PATH": "/usr/bin:/bin", "PYTHON": sys.executable},
    )
    committed, generated = stubs(PROTOS, ROOT), stubs(tmp_path, tmp_path)
    assert sorted(committed) == sorted(generated), "run `make stubs`"
    differing = [name for name in generated if committed[name] != generated[name]]
    assert not differing, "run `make stubs`"


def test_no_stub_takes_the_import_name_of_another_distribution() -> None:
    program = (
        "import sys; from assay_rpc.segment.v1 import segment_pb2 as pb; "
        "print(pb.DESCRIPTOR.name, pb.DESCRIPTOR.package, 'assay' in sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=PROTOS, capture_output=True, text=True, check=True
    )
    assert ended.stdout.split() == ["assay/segment/v1/segment.proto", "assay.segment.v1", "False"]


def test_the_contract_passes_buf_lint() -> None:
    ended = buf("lint")
    assert ended.returncode == 0, said(ended)


def test_the_contract_breaks_no_released_client() -> None:
    ended = buf("breaking", "--against", "baseline.binpb")
    assert ended.returncode == 0, said(ended)


def copied(folder: Path) -> Path:
    """A copy of the protos that a test may change."""
    shutil.copytree(PROTOS / "assay", folder / "assay")
    for name in ("buf.yaml", "baseline.binpb"):
        shutil.copy(PROTOS / name, folder / name)
    return folder


def test_the_guard_notices_a_break(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    contract = folder / "assay" / "corpus" / "v1" / "scoring.proto"
    text = contract.read_text("utf-8")
    assert text.count("option idempotency_level = IDEMPOTENT;") > 1
    contract.write_text(text.replace("= IDEMPOTENT;", "= NO_SIDE_EFFECTS;", 1), "utf-8")
    ended = buf("breaking", "--against", "baseline.binpb", folder=folder)
    assert ended.returncode != 0
    assert "idempotency_level" in said(ended)


def test_the_guard_fails_without_its_baseline(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    (folder / "baseline.binpb").unlink()
    assert buf("breaking", "--against", "baseline.binpb", folder=folder).returncode != 0

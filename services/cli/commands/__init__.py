"""The commands, in the order in which `assay --help` lists them, with a folder for each subject."""

from __future__ import annotations

from services.cli.parsing import Command

_HERE = __name__

COMMANDS: dict[str, Command] = {
    "up": Command("start all three services on this machine, until Ctrl-C", f"{_HERE}.up"),
    "segment": Command("label every pixel of images", f"{_HERE}.segment.segment"),
    "evaluate": Command(
        "evaluate a model on labelled images (mIoU, accuracy)", f"{_HERE}.segment.evaluate"
    ),
    "models": Command(
        "list the models of a running service, and change what it serves",
        f"{_HERE}.segment.models",
    ),
    "bench": Command(
        "time a segmentation model on this machine, by MLPerf's scenarios",
        f"{_HERE}.segment.bench",
    ),
    "export": Command(
        "export a SegFormer to ONNX, checked against its source", f"{_HERE}.segment.export"
    ),
    "import-onnx": Command(
        "turn an ONNX segmentation model into a folder to serve", f"{_HERE}.segment.import_onnx"
    ),
    "corpus": Command("stream, describe, index, build and audit corpora", f"{_HERE}.corpus"),
    "score": Command("compute a language model's bits per byte, by subset", f"{_HERE}.bpb.score"),
    "units": Command(
        "score bits per byte on several machines, then merge the results",
        f"{_HERE}.bpb.units",
    ),
    "prove": Command(
        "verify a proof of bits per byte that `assay score --prove` wrote", f"{_HERE}.bpb.prove"
    ),
    "audit": Command("check whether a published figure can be right", f"{_HERE}.bpb.audit"),
    "claims": Command("verify the claims about an artifact", f"{_HERE}.ranker.claims"),
    "jobs": Command("submit, list, follow and cancel verifications", f"{_HERE}.ranker.jobs"),
    "compare": Command(
        "compare two artifacts side by side, from stored evidence", f"{_HERE}.ranker.compare"
    ),
    "site": Command("write the ranker's pages to a folder, as static HTML", f"{_HERE}.ranker.site"),
    "rank": Command(
        "rank artifacts, with ties where the evidence cannot separate", f"{_HERE}.ranker.rank"
    ),
    "search": Command("search capabilities by what you need", f"{_HERE}.ranker.search"),
    "register": Command(
        "check a manifest and register the artifact that it describes", f"{_HERE}.ranker.register"
    ),
    "token": Command(
        "make a bearer token, and the line that makes a service accept it", f"{_HERE}.token"
    ),
    "backup": Command(
        "back up the ranker's database, also while it is in use",
        f"{_HERE}.ranker.backup",
        "add_backup_arguments",
    ),
    "restore": Command(
        "replace the ranker's database with a copy",
        f"{_HERE}.ranker.backup",
        "add_restore_arguments",
    ),
    "demo": Command("run the end-to-end demo on this machine", f"{_HERE}.demo"),
    "doctor": Command(
        "check this installation, and show how to fix what is wrong", f"{_HERE}.doctor"
    ),
    "completion": Command("print shell completion for bash, zsh or fish", f"{_HERE}.completion"),
}

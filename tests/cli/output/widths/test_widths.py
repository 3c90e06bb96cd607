"""What commands print on terminals of 80, 100 and 120 columns, as goldens that people have read.

ASSAY_TEST_UPDATE=1 writes them again; read what changed.
"""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest
from assay_rpc.common.v1.common_pb2 import Interval
from assay_rpc.corpus.v1 import scoring_pb2
from assay_rpc.ranker.v1 import compare_pb2
from google.protobuf import text_format
from rich.console import Console

from services.cli.output import comparison, console, grid, score_output, verdicts

WIDTHS = (80, 100, 120)
HERE = Path(__file__).parent
ROOT = HERE.parents[3]
B4, PILE = "segformer-b4-finetuned-ade-512-512", "the-pile"


def compared() -> compare_pb2.CompareResponse:
    """A comparison of two artifacts whose claims have every verdict."""
    return text_format.Parse(
        (HERE / "compare.txtpb").read_text("utf-8"), compare_pb2.CompareResponse()
    )


def scored() -> scoring_pb2.FinalScore:
    """Bits per byte of three subsets, from a sample."""
    made = scoring_pb2.FinalScore()
    made.model.name, made.corpus.name = "SmolLM2-135M-Instruct", PILE
    made.compute.engine.id = "openvino-cpu"
    for name, bits in (("Github", 0.7123), ("Pile-CC", 0.9871), ("USPTO Backgrounds", 0.8012)):
        made.subsets.add(subset=name, score=figures(bits, 1_234_567))
    made.overall.CopyFrom(figures(0.8456, 3_703_701))
    return made


def figures(bits: float, size: int) -> scoring_pb2.BitsPerByte:
    """Figures with everything that a table shows."""
    return scoring_pb2.BitsPerByte(
        bits_per_byte=bits,
        interval=Interval(low=bits - 0.0312, high=bits + 0.0312, level=0.95),
        nats=bits * size,
        text_bytes=size,
        tokens=size // 4,
        documents=1_769,
        nats_per_token=2.6213,
        bytes_per_token=4.012,
        byte_perplexity=2.258,
        word_perplexity=81.5,
    )


def paired() -> scoring_pb2.BPBComparison:
    """Two models on the same text."""
    made = scoring_pb2.BPBComparison(documents_left_out=3)
    made.model.model.name, made.against.model.name = "SmolLM2-135M-Instruct", "tinystories-656k"
    made.model.corpus.name = PILE
    difference = scoring_pb2.BPBDifference(
        bits_per_byte=-2.1034,
        interval=Interval(low=-2.2417, high=-1.9651, level=0.95),
        model=figures(0.8456, 3_703_701),
        against=figures(2.949, 3_703_701),
    )
    made.subsets.add(subset="USPTO Backgrounds", difference=difference)
    made.overall.CopyFrom(difference)
    return made


SHOWN: dict[str, Callable[[], None]] = {
    "compare": lambda: comparison.show(compared()),
    "claims": lambda: verdicts.show(f"Claims about {B4}", compared().left.claims),
    "score": lambda: score_output.show_score(scored()),
    "against": lambda: score_output.show_comparison(paired()),
}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", SHOWN)
def test_what_a_terminal_shows(monkeypatch: pytest.MonkeyPatch, name: str, width: int) -> None:
    out = io.StringIO()
    terminal = Console(
        file=out, width=width, force_terminal=True, color_system=None, highlight=False
    )
    for module in (comparison, console, grid, score_output, verdicts):
        monkeypatch.setattr(module, "OUT", terminal)
    SHOWN[name]()
    text = "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"
    golden = HERE / f"{name}-{width}.golden"
    if os.environ.get("ASSAY_TEST_UPDATE"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text("utf-8")
    assert "…" not in text
    for line in text.splitlines():
        assert len(line) <= width or line.startswith("  assay "), line


@pytest.mark.process
def test_a_command_finds_the_width_of_its_terminal() -> None:
    ours, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 64))
    command = [sys.executable, "-m", "services.cli", "corpus", "--help"]
    ours_alone = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    done = subprocess.run(
        command, check=False, stdout=terminal, stderr=terminal, cwd=ROOT, env=ours_alone
    )
    os.close(terminal)
    text = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert done.returncode == 0
    assert 50 < max(len(line.rstrip()) for line in text.splitlines()) <= 64

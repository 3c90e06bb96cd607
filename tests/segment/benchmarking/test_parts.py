"""Nodes of a graph to parts of a model, and profiles to times; the engines' own profilers."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.segment.benchmarking.parts import OTHER, part_times, parts_by_name
from services.segment.benchmarking.profiling import profile_onnxruntime, profile_openvino
from services.segment.manifest import MODEL_FILE
from services.segment.settings import REFERENCE_MODELS

MODEL = REFERENCE_MODELS / "model" / MODEL_FILE
PARTS = {f"encoder stage {number}" for number in range(1, 5)} | {"decode head"}
KNOWN = {"a": "encoder stage 1", "b": "encoder stage 1", "c": "decode head"}


def test_every_node_of_an_exported_graph_has_the_part_of_its_weights() -> None:
    onnx = pytest.importorskip("onnx")
    parts = parts_by_name(MODEL.read_bytes())
    assert set(parts.values()) == PARTS | {OTHER}
    for node in onnx.load(MODEL).graph.node:
        assert parts[node.name] == parts[node.output[0]]
        for name in node.input:
            if name.startswith("encoder.stages."):
                assert parts[node.name] == f"encoder stage {int(name.split('.')[2]) + 1}"
            elif name.startswith("head."):
                assert parts[node.name] == "decode head"
    assert parts["labels"] == "decode head"


@given(st.integers(1, 5000))
def test_a_file_that_is_cut_off_is_refused_or_short(size: int) -> None:
    whole = MODEL.read_bytes()
    try:
        parts = parts_by_name(whole[:size])
    except ValueError as error:
        assert "ONNX" in str(error)  # noqa: PT017  # some cuts fall between fields
    else:
        assert len(parts) < len(parts_by_name(whole))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        parts_by_name(data)


def test_what_engines_add_is_found_by_name_or_by_its_neighbours() -> None:
    run = [
        ("first", 1.0),  # before all that is known
        ("a", 2.0),
        ("reorder", 4.0),  # between two of one part
        ("b_nchwc", 8.0),
        ("copy", 16.0),  # between two parts
        ("c/Fused/", 32.0),
        ("last", 64.0),
    ]
    found = {time.name: time.seconds for time in part_times([run], KNOWN)}
    assert found == {"encoder stage 1": 14.0, "decode head": 32.0, OTHER: 81.0}


def test_times_are_medians_and_shares_add_up() -> None:
    runs = [[("a", 1.0), ("c", 9.0)], [("a", 3.0), ("c", 1.0)], [("a", 2.0), ("c", 2.0)]]
    first, second = part_times(runs, KNOWN)
    assert (first.name, first.seconds, first.share) == ("decode head", 2.0, 0.5)
    assert (second.name, second.seconds, second.share) == ("encoder stage 1", 2.0, 0.5)
    assert part_times([], KNOWN) == []


def test_onnx_runtime_says_where_the_time_goes() -> None:
    runs = profile_onnxruntime(MODEL, np.zeros((1, 3, 64, 64), np.float32), threads=1, runs=2)
    assert len(runs) == 2
    times = part_times(runs, parts_by_name(MODEL.read_bytes()))
    assert {time.name for time in times} - {OTHER} == PARTS
    assert {time.name: time.share for time in times}.get(OTHER, 0) < 0.5


def test_openvino_says_where_the_time_goes() -> None:
    openvino = pytest.importorskip("openvino")
    core = openvino.Core()
    model = core.read_model(MODEL)
    model.reshape([1, 3, 64, 64])
    options = {"PERF_COUNT": True, "INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(model, "CPU", options)
    runs = profile_openvino(compiled, np.zeros((1, 3, 64, 64), np.float32), runs=2)
    assert len(runs) == 2
    times = part_times(runs, parts_by_name(MODEL.read_bytes()))
    assert {time.name for time in times} - {OTHER} == PARTS
    assert {time.name: time.share for time in times}.get(OTHER, 0) < 0.5

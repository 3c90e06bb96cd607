"""The manifest: round trip, strictness, digests, and a parser that never fails unclearly."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.errors import InvalidArgument
from services.segment.manifest import (
    Manifest,
    ModelClass,
    ModelFacts,
    ModelGraph,
    ModelLicense,
    ModelParity,
    ModelPreprocessing,
    StageFacts,
    decode_manifest,
    encode_manifest,
    file_digest,
    manifest_digest,
    part_digests,
    read_manifest,
    verify_files,
    write_manifest,
)

DIGEST = "sha256:" + "0" * 64
MANIFEST = Manifest(
    schema=2,
    name="segformer-b0-random",
    version="1",
    architecture="segformer-b0",
    weights="random",
    license=ModelLicense(
        id="Apache-2.0", name="Apache License 2.0", url="https://example.org", research_only=False
    ),
    source="drawn at random from seed 0",
    classes=(ModelClass(name="wall", color=0x787878), ModelClass(name="forêt", color=0x04C803)),
    preprocessing=ModelPreprocessing(
        height=512,
        width=512,
        resample="bilinear",
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        pads=False,
    ),
    graph=ModelGraph(
        input="pixels",
        logits="logits",
        labels="labels",
        labels_type="uint8",
        downsampling=4,
        dynamic_batch=True,
        dynamic_size=True,
        precision="fp32",
    ),
    facts=ModelFacts(
        parameters=3_752_694,
        parameters_by_part={"encoder": 3_319_392, "decode_head": 433_302},
        modules={"Conv2d": 20},
        convolutions={"depthwise": 8},
        head_modules={"Linear": 4},
        stages=(StageFacts(depth=2, width=32, downsampling=4),),
        logits_shape=(1, 2, 128, 128),
        decoder_width=256,
    ),
    parities=(
        ModelParity(
            engine="onnxruntime-cpu",
            precision="fp32",
            max_abs_difference=3.8e-6,
            label_agreement=1.0,
            probes=3,
            passed=True,
        ),
    ),
    digests={"model.onnx": DIGEST, "source/model.safetensors": DIGEST},
    made_with={"torch": "2.13.0"},
)


def _edited(path: str, value: object) -> bytes:
    """MANIFEST's JSON with the value at a dotted path set, or removed if it is Ellipsis."""
    top = json.loads(encode_manifest(MANIFEST))
    *parents, last = path.split(".")
    place = top
    for key in parents:
        place = place[int(key) if isinstance(place, list) else key]
    if value is ...:
        del place[last]
    else:
        place[int(last) if isinstance(place, list) else last] = value
    return json.dumps(top).encode()


def test_round_trip() -> None:
    encoded = encode_manifest(MANIFEST)
    assert decode_manifest(encoded) == MANIFEST
    assert encode_manifest(decode_manifest(encoded)) == encoded


def test_an_imported_graph_has_neither_facts_nor_parity() -> None:
    bare = MANIFEST.replaced(facts=None, parities=())
    assert decode_manifest(encode_manifest(bare)) == bare
    assert bare.parity is None


def test_logits_of_a_side_that_the_step_does_not_divide_are_one_more() -> None:
    graph = MANIFEST.graph.replaced(downsampling=4)
    assert graph.logits_size(512, 513) == (128, 129)
    assert graph.logits_size(1, 1) == (1, 1)


def test_the_first_parity_decided() -> None:
    assert MANIFEST.parity == MANIFEST.parities[0]
    failed = MANIFEST.parities[0].replaced(passed=False)
    with pytest.raises(ValueError, match="parities: the first did not pass"):
        MANIFEST.replaced(parities=(failed,))
    later = failed.replaced(engine="openvino-cpu", precision="bf16")
    both = MANIFEST.replaced(parities=(*MANIFEST.parities, later))
    assert decode_manifest(encode_manifest(both)) == both


def test_a_record_names_its_instruction_set_or_is_read_and_written_without() -> None:
    assert b"instruction_set" not in encode_manifest(MANIFEST)
    assert MANIFEST.parities[0].instruction_set is None
    assert decode_manifest(_edited("parities.0.instruction_set", None)) == MANIFEST
    named = decode_manifest(_edited("parities.0.instruction_set", "avx512_core_amx"))
    assert named.parities[0].instruction_set == "avx512_core_amx"
    assert decode_manifest(encode_manifest(named)) == named
    assert manifest_digest(named) != manifest_digest(MANIFEST)


def test_digests_of_parts_are_those_of_the_parts() -> None:
    parts = part_digests(MANIFEST.license, MANIFEST.classes, MANIFEST.preprocessing)
    assert set(parts) == {
        f"manifest/{n}" for n in ("license", "labels", "palette", "preprocessing")
    }
    whole = MANIFEST.replaced(digests={**MANIFEST.digests, **parts})
    assert decode_manifest(encode_manifest(whole)) == whole
    painted = (MANIFEST.classes[0].replaced(color=1), *MANIFEST.classes[1:])
    other = part_digests(MANIFEST.license, painted, MANIFEST.preprocessing)
    assert {name for name in parts if parts[name] != other[name]} == {"manifest/palette"}
    with pytest.raises(ValueError, match=r"digests.manifest/palette: is .* as that part"):
        whole.replaced(classes=painted)
    with pytest.raises(ValueError, match=r"digests.manifest/weather: is"):
        MANIFEST.replaced(digests={**MANIFEST.digests, "manifest/weather": DIGEST})


def test_digest_depends_on_content_and_not_on_whitespace() -> None:
    again = decode_manifest(json.dumps(json.loads(encode_manifest(MANIFEST))).encode())
    assert manifest_digest(again) == manifest_digest(MANIFEST)
    assert manifest_digest(MANIFEST.replaced(version="2")) != manifest_digest(MANIFEST)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("name", ..., "name: is missing"),
        ("preprocessing.mean", ..., "preprocessing.mean: is missing"),
        ("license.extra", 1, "license.extra: is not a known key"),
        ("schema", 1, "schema: is 1; this release reads 2: export the model again"),
        ("schema", True, "schema: must be an integer"),
        ("name", "../../etc", "name: '../../etc' is not a name"),
        (
            "weights",
            "stolen",
            "weights: must be 'published', 'random' or 'reference'",
        ),
        ("preprocessing.mean", [0.5, 0.5], r"preprocessing.mean\[2\]: is missing"),
        ("preprocessing.std", [0, 1, 1], r"preprocessing.std\[0\]: must be greater than 0"),
        (
            "preprocessing.std",
            [1, 10**400, 1],
            r"std\[1\]: is too large for a float64",
        ),
        ("preprocessing.height", 0, "preprocessing.height: must be greater than or equal to 32"),
        ("preprocessing.height", 1 << 70, "height: must be less than or equal to 8192"),
        ("facts.parameters", 1 << 70, "facts.parameters: must be less than 9223372036854775808"),
        ("classes", [], "classes: must have at least 1 item"),
        ("classes.1.color", -1, r"classes\[1\].color: must be greater than or equal to 0, not -1"),
        ("classes.0.name", "\ud800", r"classes\[0\].name: .* holds half of a surrogate pair"),
        ("graph.labels_type", "uint16", "graph.labels_type: is uint16; 2 classes need uint8"),
        ("graph.logits", "labels", "graph.input: three distinct names"),
        ("facts.stages.0.depth", 0, r"facts.stages\[0\].depth: must be greater than or equal to 1"),
        ("graph.precision", "int8", "graph.precision: must be 'fp32', 'fp16' or 'bf16'"),
        ("parities.0.label_agreement", 1.5, r"parities\[0\].label_agreement"),
        ("parities.0.max_abs_difference", None, r"\[0\].max_abs_difference: must be a number"),
        ("parities.0.engine", "", r"parities\[0\].engine: must have at least 1 char"),
        (
            "parities.0.instruction_set",
            "",
            r"parities\[0\].instruction_set: must have at least 1 char",
        ),
        ("parities.0.instruction_set", 512, r"parities\[0\].instruction_set: must be a string"),
        (
            "parities",
            [MANIFEST.parities[0].model_dump()] * 2,
            "parities: an engine and precision appears twice",
        ),
        ("digests", {}, "digests: lacks 'model.onnx'"),
        ("digests", {"model.onnx": DIGEST, "a/../b": DIGEST}, "is not a file name"),
        ("digests", {"model.onnx": "md5:0"}, "is not 'sha256:'"),
    ],
)
def test_what_is_wrong_is_named(path: str, value: object, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message) as caught:
        decode_manifest(_edited(path, value), "here.json")
    assert caught.value.field == "here.json"


def test_everything_that_is_wrong_is_named_at_once() -> None:
    value = json.loads(encode_manifest(MANIFEST))
    value["schema"], value["name"], value["colour"] = 1, "", "red"
    value["preprocessing"]["height"] = value["classes"][1]["color"] = "32"
    with pytest.raises(InvalidArgument) as caught:
        decode_manifest(json.dumps(value).encode())
    for path in ("schema", "name", "colour", "preprocessing.height", "classes[1].color"):
        assert f"{path}: " in caught.value.problem
    value = json.loads(encode_manifest(MANIFEST))
    value["graph"]["labels_type"], value["digests"] = "uint16", {}
    with pytest.raises(InvalidArgument, match=r"graph.labels_type: .*; digests: lacks"):
        decode_manifest(json.dumps(value).encode())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not valid JSON"),
        (b"\xff", "not UTF-8 at byte 0"),
        (b"[]", r"must be an object, not \[\]"),
        (b'{"schema": NaN}', "NaN is not JSON"),
        (b'{"schema": 1, "schema": 1}', "key 'schema' appears twice"),
        (b"[" * 100_000, "nested too deep"),
    ],
)
def test_what_is_no_manifest(data: bytes, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        decode_manifest(data)


def _paths(value: object, prefix: str = "") -> list[str]:
    if isinstance(value, dict):
        items = [(key, item) for key, item in value.items() if "." not in key]
    elif isinstance(value, list):
        items = [(str(index), item) for index, item in enumerate(value)]
    else:
        return [prefix]
    below = [path for key, item in items for path in _paths(item, f"{prefix}.{key}".lstrip("."))]
    return [*below, prefix] if prefix else below


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(path=st.sampled_from(_paths(json.loads(encode_manifest(MANIFEST)))), value=_JSON)
def test_any_value_anywhere_is_read_exactly_or_refused(path: str, value: object) -> None:
    try:
        manifest = decode_manifest(_edited(path, value))
    except InvalidArgument:
        return
    assert decode_manifest(encode_manifest(manifest)) == manifest


@given(st.binary(max_size=200) | _JSON.map(lambda value: json.dumps(value).encode()))
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidArgument):
        decode_manifest(data)


@given(st.integers(0), st.binary(min_size=1, max_size=3))
def test_damaged_bytes_are_read_or_refused(at: int, patch: bytes) -> None:
    data = bytearray(encode_manifest(MANIFEST))
    at %= len(data)
    data[at : at + len(patch)] = patch
    with contextlib.suppress(InvalidArgument):
        decode_manifest(bytes(data))


def _directory(tmp_path: Path) -> Path:
    (tmp_path / "model.onnx").write_bytes(b"graph")
    digests = {**MANIFEST.digests, "model.onnx": file_digest(tmp_path / "model.onnx")}
    write_manifest(tmp_path, MANIFEST.replaced(digests=digests))
    return tmp_path


def test_a_directory_is_read_and_its_files_verified(tmp_path: Path) -> None:
    directory = _directory(tmp_path)
    manifest = read_manifest(directory)
    verify_files(directory, manifest)
    (directory / "model.onnx").write_bytes(b"other graph")
    with pytest.raises(InvalidArgument, match="its digest is sha256:"):
        verify_files(directory, manifest)


def test_a_named_file_that_is_missing(tmp_path: Path) -> None:
    directory = _directory(tmp_path)
    manifest = read_manifest(directory)
    digests = {**manifest.digests, "LICENSE.txt": DIGEST}
    with pytest.raises(InvalidArgument, match="missing, though the manifest names it"):
        verify_files(directory, manifest.replaced(digests=digests))


def test_a_directory_that_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"manifest.json and model.onnx missing"):
        read_manifest(tmp_path)
    with pytest.raises(InvalidArgument, match="is not a directory"):
        read_manifest(tmp_path / "nowhere")
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(InvalidArgument, match=r": model.onnx missing"):
        read_manifest(tmp_path)

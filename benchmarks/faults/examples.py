"""Requests that the services answer, from which the fuzzer makes others."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import yaml
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from PIL import Image

_MANIFEST = {
    "kind": "artifact",
    "schema": 1,
    "id": "fuzzed",
    "name": "Fuzzed",
    "type": "DATASET",
    "description": "What it is.",
    "license": {"id": "MIT", "name": "MIT"},
    "pricing": "Free",
    "capabilities": [],
    "claims": [],
}
_CORPUS = {"name": "python-reference"}
_LANGUAGE_MODEL = {"name": "byte-reference"}
_MODEL = {"name": "segformer-reference"}
_FEW = {"maxDocuments": 2}
_PILE, _B4 = "the-pile", "segformer-b4-finetuned-ade-512-512"
_CLAIM = "the-pile/P1.2"


def _image(kind: str, mode: str = "RGB") -> str:
    file = io.BytesIO()
    Image.new(mode, (40, 30)).save(file, kind)
    return base64.b64encode(file.getvalue()).decode()


def _text(content: bytes | str) -> str:
    return base64.b64encode(content.encode() if isinstance(content, str) else content).decode()


_PNG, _JPEG, _MASK = _image("PNG"), _image("JPEG"), _image("PNG", "L")
_RAW = _text(bytes(30 * 40 * 3))
_PICTURE = base64.b64decode(_PNG)
_INFER = {
    "modelName": _MODEL["name"],
    "inputs": [{"name": "image", "datatype": "BYTES", "shape": [1]}],
    "rawInputContents": [_text(len(_PICTURE).to_bytes(4, "little") + _PICTURE)],
}
_YAML = _text(yaml.safe_dump(_MANIFEST))
_TEST_SET = {"testSet": "a set", "texts": [_text("one two three four five six seven " * 4)]}
# By method: the requests to send, one message for each request of a stream.
_EXAMPLES: dict[str, list[list[dict[str, Any]]]] = {
    "SegmentImage": [
        [{"model": _MODEL, "image": {"encoded": _PNG}}],
        [{"image": {"encoded": _JPEG}, "topK": 3, "encoding": "LABEL_ENCODING_COCO_RLE"}],
        [
            {
                "image": {"encoded": _JPEG},
                "outputSize": "OUTPUT_SIZE_GIVEN",
                "size": {"width": 64, "height": 48},
                "overlay": {},
            }
        ],
        [{"image": {"pixels": {"width": 40, "height": 30, "rgb": _RAW}}, "classes": [1, 2]}],
    ],
    "SegmentImages": [
        [{"id": 1, "item": {"image": {"encoded": _PNG}}}, {"id": 2, "timeout": "5s"}],
    ],
    "EvaluateSegmentation": [
        [{"settings": {"model": _MODEL}}, {"pair": {"image": {"encoded": _PNG}, "encoded": _MASK}}],
    ],
    "BenchmarkModel": [[{"model": _MODEL, "batchSize": 1, "runs": 1, "budget": "1s"}]],
    "GetModel": [[{"model": _MODEL}], [{}]],
    "SetDesiredModels": [[{"everything": True}], [{"models": [_MODEL]}]],
    "ModelInfer": [[_INFER], [{**_INFER, "outputs": [{"name": "labels"}]}]],
    "ModelStreamInfer": [[_INFER, _INFER]],
    "GetCorpus": [[{"corpus": _CORPUS}]],
    "DescribeCorpus": [[{"corpus": _CORPUS}]],
    "GetDocuments": [[{"corpus": _CORPUS, "ids": ["train/0", "0"]}]],
    "StreamCorpus": [
        [{"corpus": _CORPUS, "selection": _FEW}],
        [{"corpus": _CORPUS, "delivery": "DELIVERY_JSONL", "chunkBytes": 4096}],
        [{"corpus": _CORPUS, "selection": {"seed": 3, "epochs": 2}, "rank": {"worldSize": 2}}],
        [{"corpus": _CORPUS, "delivery": "DELIVERY_FRAMES", "selection": {"seed": 1}}],
        [
            {
                "corpus": _CORPUS,
                "delivery": "DELIVERY_TOKENS",
                "tokens": {"tokenizer": _LANGUAGE_MODEL, "length": 64},
            }
        ],
    ],
    "ScoreBPB": [
        [{"corpus": _CORPUS, "selection": _FEW, "model": {"name": "zstd-19"}}],
        [{"corpus": _CORPUS, "selection": _FEW, "model": _LANGUAGE_MODEL, "definition": {}}],
        [
            {
                "corpus": _CORPUS,
                "selection": {"sample": {"spans": 4, "seed": 1}},
                "model": {"name": "xz"},
            }
        ],
    ],
    "CompareBPB": [
        [
            {
                "corpus": _CORPUS,
                "selection": _FEW,
                "model": {"name": "zstd-19"},
                "against": {"name": "xz"},
            }
        ],
    ],
    "ScoreTexts": [
        [{"texts": [{"text": _text("a text")}], "model": _LANGUAGE_MODEL}],
        [{"texts": [{"text": _text("a text")}], "model": {"name": "zstd-19"}}],
    ],
    "ProveBPB": [[{"corpus": _CORPUS, "selection": _FEW, "model": _LANGUAGE_MODEL}]],
    "VerifyProof": [[{"proof": {"model": _LANGUAGE_MODEL, "elsewhere": True}}, {"chunk": _RAW}]],
    "AuditBPB": [
        [{"record": _text('{"bits_per_byte": 1}'), "model": _LANGUAGE_MODEL, "texts": [_RAW]}],
        [{"record": _text('{"bits_per_byte": 1}'), "corpus": _CORPUS, "selection": _FEW}],
    ],
    "AuditCorpus": [
        [{"audit": {"corpus": _CORPUS, "selection": _FEW}}, {"texts": _TEST_SET}],
        [{"audit": {"corpus": _CORPUS, "selection": _FEW, "nearDuplicates": True}}],
    ],
    "BenchmarkStorage": [[{"corpus": _CORPUS, "sampleBytes": 65536, "repetitions": 1}]],
    "Compare": [[{"left": _B4, "right": _PILE}], [{"left": _PILE, "right": "gpt2"}]],
    "GetRank": [[{"artifact": _PILE}], [{"artifact": _B4}]],
    "ExplainRank": [[{"artifact": _PILE}], [{"artifact": _B4}]],
    "ListRanks": [[{"type": "ARTIFACT_TYPE_DATASET"}], [{"intent": "read text"}]],
    "SearchCapabilities": [[{"intent": "label every pixel of a photo", "limit": 3}]],
    "RecordMatch": [
        [
            {
                "matchId": "a-match",
                "intent": "read text",
                "capabilityUri": "capability://the-pile/plain-jsonl",
            }
        ],
    ],
    "ReportOutcome": [[{"matchId": "a-match", "outcome": "OUTCOME_SUCCESS"}]],
    "WithdrawOutcome": [[{"matchId": "a-match"}]],
    "ListEvidence": [[{"claim": _CLAIM}]],
    "ListVerdicts": [[{"owner": _PILE}], [{"owner": "https://example.org"}]],
    "GetArtifact": [[{"artifact": _PILE}], [{"artifact": "fuzzed", "version": 1}]],
    "ValidateManifest": [[{"manifest": _YAML}]],
    "RegisterManifest": [[{"manifest": _YAML}]],
    "InvalidateCache": [[{"artifact": _PILE}], [{"all": True}]],
    "SubmitVerification": [
        [{"artifact": _PILE, "claims": [_CLAIM], "requestId": "one"}],
        [{"artifact": _B4, "validateOnly": True}],
    ],
    "ServerReflectionInfo": [
        [{"listServices": ""}, {"fileContainingSymbol": "assay.ranker.v1.RankerService"}],
    ],
}
_BY_MODEL = ("ModelReady", "ModelMetadata", "ModelConfig", "ModelStatistics")


def known() -> list[str | bytes]:
    """Names and contents to fill fields with."""
    found: list[str | bytes] = [base64.b64decode(one) for one in (_PNG, _JPEG, _MASK, _YAML, _RAW)]
    names = (_CORPUS, _LANGUAGE_MODEL, _MODEL, {"name": "zstd-19"}, {"name": "xz"})
    found += [one["name"] for one in names]
    found += [
        "train",
        "1",
        "en",
        "openvino-cpu",
        "onnxruntime-cpu",
        "image",
        "pixels",
        "labels",
        "UINT8",
        "FP32",
    ]
    found += [_PILE, _B4, "gpt2", "read text", "P1.2", _CLAIM, "a-match", "fuzzed", "reviewer"]
    return [*found, "capability://the-pile/plain-jsonl", "assay.ranker.v1.RankerService"]


def examples(methods: Sequence[MethodDescriptor]) -> dict[str, list[list[bytes]]]:
    """Return encoded requests by full method name. An unknown field is an error."""
    found = {}
    for method in methods:
        sent = _EXAMPLES.get(method.name, [])
        if method.name in _BY_MODEL:
            sent = [[{"name": _MODEL["name"]}], [{"name": _MODEL["name"], "version": "1"}]]
        full = f"/{method.containing_service.full_name}/{method.name}"
        kind = GetMessageClass(method.input_type)
        found[full] = [[_encoded(kind(), one) for one in requests] for requests in sent]
    return found


def _encoded(message: Message, fields: dict[str, Any]) -> bytes:
    return ParseDict(fields, message).SerializeToString()

"""Croissant 1.1 metadata of a built corpus, which `mlcroissant validate` accepts. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CONFORMS_TO = "http://mlcommons.org/croissant/1.1"
_SUFFIX = ".jsonl.zst"
_CONTEXT: Mapping[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "annotation": "cr:annotation",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "excludes": "cr:excludes",
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "readLines": "cr:readLines",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
    "unArchive": "cr:unArchive",
    "value": "cr:value",
}


def croissant(card: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata of the corpus that a card describes, as JSON-LD."""
    shards = {path: fact for path, fact in card["files"].items() if _is_shard(path)}
    metadata: dict[str, Any] = {
        "@context": dict(_CONTEXT),
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": card["name"],
        "description": card["description"],
        "version": card["version"],
        "license": card["license"] or sorted(card["licenses"]),
        "rai:dataCollection": "Built from: "
        + "; ".join(f"{source['name']} ({source['license']})" for source in card["sources"]),
        "rai:dataPreprocessingProtocol": [
            f"{step['step']}: {step['documents_removed']} of {step['documents_in']} documents "
            f"removed, {step['changed']} changed"
            for step in card["steps"]
        ],
        "distribution": [_file(path, fact) for path, fact in sorted(shards.items())],
        "recordSet": [_records(path) for path in sorted(shards)],
    }
    creator = {"@type": "sc:Organization", "name": card["creator"]} if card["creator"] else None
    optional = {
        "url": card["url"],
        "datePublished": card["date"],
        "citeAs": card["citation"],
        "creator": creator,
    }
    return metadata | {key: value for key, value in optional.items() if value}


def _is_shard(path: str) -> bool:
    return path.endswith(_SUFFIX) and not path.startswith("_")


def _id(path: str) -> str:
    return path.removesuffix(_SUFFIX).replace("/", "-")


def _file(path: str, fact: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": path,
        "name": _id(path),
        "description": "JSON Lines, compressed with zstd",
        "contentUrl": path,
        "contentSize": f"{fact['bytes']} B",
        "encodingFormat": ["application/jsonlines", "application/zstd"],
        "sha256": fact["digest"].removeprefix("sha256:"),
    }


def _records(path: str) -> dict[str, Any]:
    name = _id(path)
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": f"The documents of {path}",
        "field": [
            _field(name, path, "text", "$.text", "The text of the document"),
            _field(name, path, "pile_set_name", "$.meta.pile_set_name", "The subset that it is of"),
        ],
    }


def _field(records: str, path: str, name: str, json_path: str, description: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"{records}/{name}",
        "name": name,
        "description": description,
        "dataType": "sc:Text",
        "source": {"fileObject": {"@id": path}, "extract": {"jsonPath": json_path}},
    }

"""The methods by which claims are observed, one module for each subject.

A method is a small async function from a claim and the `Measurements` of one verification to an
`Observation`. It is registered under "module.function@version": a change that can move a value is a
new version, so that evidence always says which rule made it.

    model_accuracy  how right labels are, from segment's EvaluateSegmentation
    model_facts     counts and shapes of the source model, from segment's GetModel
    model_speed     latency and throughput, from segment's BenchmarkModel
    relative_speed  latency relative to a reference's, from the same
    composition     documents and subsets, from corpus's DescribeCorpus and AuditCorpus
    storage         compression and reading, from corpus's BenchmarkStorage
    scoring         bits per byte as a yardstick, from corpus's ScoreBPB
    language_models what a language model is, and its bits per byte, from corpus's ScoringService
    sources         what publications say, from facts.yaml
    page            what follows from the figures that a page prints
"""

from __future__ import annotations

from services.ranker.measuring.methods import (
    composition,
    language_models,
    model_accuracy,
    model_facts,
    model_speed,
    page,
    relative_speed,
    scoring,
    sources,
    storage,
)
from services.ranker.measuring.methods.registration import Measurement, Method, known, method_named

__all__ = [
    "Measurement",
    "Method",
    "composition",
    "known",
    "language_models",
    "method_named",
    "model_accuracy",
    "model_facts",
    "model_speed",
    "page",
    "relative_speed",
    "scoring",
    "sources",
    "storage",
]

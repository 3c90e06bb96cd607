"""Code names of the contract and of manifests in words."""

from __future__ import annotations

from typing import Final

_NAMES: Final = {
    "match_graph": "match graph",
    "outcomes": "outcomes of matches",
    "named-sources": "documents that name their source",
    "plain-format": "plain JSON lines",
    "plain_format": "plain JSON lines",
    "documented_composition": "documented composition",
    "documented-shares": "documented shares",
    "duplicate-rate": "duplicate documents",
    "licensed-share": "texts with a stated licence",
    "availability": "still available",
    "parameters": "number of parameters",
    "cpu-latency": "latency on a CPU",
    "gpu-latency": "latency on a GPU",
    "batch-throughput": "throughput in batches",
    "onnx": "ONNX export",
    "onnx-loss": "accuracy lost in ONNX",
    "pile-score": "printed score of the dataset",
    "segformer-score": "printed score of the model",
    "segformer-terms": "licence terms of the model",
    "c4-cleaning": "cleaning of C4",
    "leads": "stated leads",
    # Subsets of The Pile, as its paper prints them.
    "pile-cc": "Pile-CC",
    "pubmed-central": "PubMed Central",
    "books3": "Books3",
    "openwebtext2": "OpenWebText2",
    "stack-exchange": "Stack Exchange",
    "uspto-backgrounds": "USPTO Backgrounds",
    "pubmed-abstracts": "PubMed Abstracts",
    "gutenberg-pg-19": "Gutenberg (PG-19)",
    "opensubtitles": "OpenSubtitles",
    "dm-mathematics": "DM Mathematics",
    "ubuntu-irc": "Ubuntu IRC",
    "bookcorpus2": "BookCorpus2",
    "youtubesubtitles": "YoutubeSubtitles",
    "philpapers": "PhilPapers",
    "nih-exporter": "NIH ExPorter",
    "enron-emails": "Enron Emails",
}
_SPELLED: Final = {
    "ade20k": "ADE20K",
    "miou": "mean IoU",
    "cpu": "CPU",
    "gpu": "GPU",
    "gzip": "gzip",
    "deeplab": "DeepLab",
    "efficientnet": "EfficientNet",
    "arxiv": "arXiv",
    "dm": "DM",
    "europarl": "EuroParl",
    "freelaw": "FreeLaw",
    "github": "GitHub",
    "hackernews": "HackerNews",
    "nih": "NIH",
    "pubmed": "PubMed",
    "uspto": "USPTO",
    "irc": "IRC",
    "pile": "Pile",
    "lambada": "LAMBADA",
    "wikitext": "WikiText",
    "wikipedia": "Wikipedia",
}


def words(name: str) -> str:
    """A component's, a metric's, a fact's or an enum value's name in words."""
    if name in _NAMES:
        return _NAMES[name]
    parts = name.replace("_", " ").replace("-", " ").split()
    return " ".join(_SPELLED.get(part.lower(), part.lower()) for part in parts)


def joined(parts: list[str]) -> str:
    """Words as a list in a sentence: "a, b and c"."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"

"""What to say of a name that is not registered and may be an id of the Hugging Face hub."""

from __future__ import annotations

import re


def hub_hint(name: str) -> str:
    """How a language model of the hub is got; empty if the name cannot be one's."""
    if not re.fullmatch(r"([\w.-]+/)?[\w.-]+", name):
        return ""
    folder = name.rpartition("/")[2]
    return (
        "if it is an id of the Hugging Face hub: nothing is downloaded here; get it with "
        f"`hf download {name} --local-dir {folder}` and give the folder"
    )

"""Which licence a checkpoint's weights have. Pure."""

from __future__ import annotations

import re
from pathlib import Path

from services.common.license import UNREAD_WEIGHTS, UNSTATED_WEIGHTS
from services.errors import InvalidArgument
from services.segment.manifest import ModelLicense

APACHE = ModelLicense(
    id="Apache-2.0",
    name="Apache License 2.0",
    url="https://www.apache.org/licenses/LICENSE-2.0",
    research_only=False,
)
NVIDIA_SEGFORMER = ModelLicense(
    id="LicenseRef-NVIDIA-Source-Code-SegFormer",
    name="NVIDIA Source Code License for SegFormer",
    url="https://github.com/NVlabs/SegFormer/blob/master/LICENSE",
    research_only=True,
)
# Nothing states the weights' licence.
UNKNOWN = ModelLicense(
    id=UNSTATED_WEIGHTS, name="not stated by the checkpoint", url="", research_only=False
)
# A licence text comes with the checkpoint, but this module does not recognise it.
OTHER = ModelLicense(
    id=UNREAD_WEIGHTS, name="see the LICENSE.txt of the model", url="", research_only=False
)
_KNOWN = {terms.id: terms for terms in (APACHE, NVIDIA_SEGFORMER)}
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,99}")

_TEXT_NAMES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "LICENCE.txt")


def license_text(directory: Path) -> Path | None:
    """Return the licence text that comes with the checkpoint, if any."""
    paths = (directory / name for name in _TEXT_NAMES)
    return next((path for path in paths if path.is_file()), None)


def checkpoint_license(hub_name: str, text: str | None) -> ModelLicense:
    """Return the licence of a checkpoint with that name on the hub and that licence text.

    The text decides, then the name: all of NVIDIA's SegFormers have one licence. An Apache header
    counts as Apache-2.0.
    """
    if text is not None:
        if "NVIDIA" in text and "Source Code License" in text:
            return NVIDIA_SEGFORMER
        if "Apache License" in text and "Version 2.0" in text:
            return APACHE
        return OTHER
    if hub_name.lower().startswith("nvidia/segformer-"):
        return NVIDIA_SEGFORMER
    return UNKNOWN


def stated_license(given: str, found: ModelLicense) -> ModelLicense:
    """Return the licence that the exporting user states by its id, if `found` allows that.

    Raises InvalidArgument for an invalid id, and for weights that come with another known licence.
    """
    if _ID.fullmatch(given) is None:
        raise InvalidArgument(
            "license",
            f"{given!r} is neither an SPDX id, such as MIT or CC-BY-4.0, nor a LicenseRef-NAME",
        )
    terms = _KNOWN.get(given, ModelLicense(id=given, name=given, url="", research_only=False))
    if found.known and found.id != terms.id:
        raise InvalidArgument(
            "license", f"the checkpoint itself is under {found.id} ({found.name}), not {given}"
        )
    return terms

"""The text that engines are compared on."""

from __future__ import annotations

from hashlib import sha256
from importlib.resources import files


def test_the_text_of_the_trial_windows_is_frozen() -> None:
    text = (files("services.corpus.bpb.models.checks") / "parity_text.txt").read_bytes()
    assert sha256(text).hexdigest() == (
        "db0c102b60e51aab61ffd42cf696210009431fb7a13240efdee69b498c8de390"
    ), "another text is another gate: engines that passed it may fail this one"

"""What makes two measurements one."""

from __future__ import annotations

from services.ranker.claims.identity import identity


def of(**subject: object) -> str:
    return identity(
        method="m@1",
        subject_digest="sha256:1",
        subject=subject,
        engine={"id": "openvino-cpu"},
        environment={"cpu": "a cpu", "load": 0.5},
        inputs=["sha256:2"],
    )


def test_a_revision_is_for_a_reader() -> None:
    """Timings of before it was kept pool with those of after."""
    assert of(name="m", revision="2") == of(name="m") == of(name="m", revision="1")
    assert of(name="m", classes=19) != of(name="m")

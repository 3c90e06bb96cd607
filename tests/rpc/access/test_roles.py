"""Every method of the contract has a role, and only those that change nothing need just `read`."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import assay_rpc
import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FileDescriptor

from services.rpc.access.known_methods import known_methods
from services.rpc.access.roles import CHANGING, Role, required

NO_SIDE_EFFECTS = descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS


def files() -> list[FileDescriptor]:
    package = Path(next(iter(assay_rpc.__path__)))
    names = [path.relative_to(package.parent) for path in package.rglob("*_pb2.py")]
    return [
        import_module(".".join(name.with_suffix("").parts)).DESCRIPTOR for name in sorted(names)
    ]


METHODS = {
    f"/{service.full_name}/{method.name}": method
    for file in files()
    for service in file.services_by_name.values()
    for method in service.methods
}


def test_a_policy_can_speak_of_every_method() -> None:
    assert set(METHODS) < set(known_methods())


def test_the_table_has_the_methods_that_change_something_and_no_other() -> None:
    assert len(METHODS) > 30
    changing = {
        name
        for name, method in METHODS.items()
        if method.GetOptions().idempotency_level != NO_SIDE_EFFECTS
    }
    assert changing == set(CHANGING)


@pytest.mark.parametrize(
    ("method", "role"),
    [
        ("/assay.ranker.v1.RankerService/Compare", Role.READ),
        ("/assay.ranker.v1.OutcomeService/ReportOutcome", Role.REPORT),
        ("/assay.segment.v1.SegmentBenchmarkService/BenchmarkModel", Role.VERIFY),
        ("/assay.segment.v1.SegmentAdminService/SetDesiredModels", Role.OPERATE),
        ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Role.READ),
        ("/unknown.Service/Method", Role.OPERATE),
        ("nonsense", Role.OPERATE),
    ],
)
def test_the_role_of_a_method(method: str, role: Role) -> None:
    assert required(method) is role

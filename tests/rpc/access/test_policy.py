"""The policy file: what it allows, and that everything wrong in it is told at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.identity import ANONYMOUS, Identity
from services.errors import AssayError, Forbidden, InvalidArgument, Unauthenticated
from services.rpc.access.policy import Grant, Policy, Rate, read_policy
from services.rpc.access.roles import Role

COMPARE = "/assay.ranker.v1.RankerService/Compare"
REGISTER = "/assay.ranker.v1.RankerAdminService/RegisterManifest"
ALICE = Identity("token:alice")


def read(tmp_path: Path, text: str) -> Policy:
    file = tmp_path / "policy.toml"
    file.write_text(text, "utf-8")
    return read_policy(file)


def test_a_grant_allows_its_identities_roles_and_methods(tmp_path: Path) -> None:
    policy = read(
        tmp_path,
        """
        anonymous = ["read"]
        [[grant]]
        identities = ["token:al*"]
        roles = ["operate"]
        methods = ["/assay.ranker.v1.*"]
        calls_per_second = 2.5
        [[grant]]
        identities = ["token:alice"]
        roles = ["operate"]
        methods = ["/assay.ranker.v1.RankerAdminService/InvalidateCache"]
        """,
    )
    assert policy.allow(ANONYMOUS, Role.READ, COMPARE) is None
    assert policy.allow(ALICE, Role.READ, COMPARE) is None
    assert policy.allow(ALICE, Role.OPERATE, REGISTER) == Rate(2.5, 2, 0)
    # Two grants have it: the one without a limit counts.
    cache = "/assay.ranker.v1.RankerAdminService/InvalidateCache"
    assert policy.allow(ALICE, Role.OPERATE, cache) is None
    assert policy.grants(ALICE, Role.OPERATE, REGISTER)
    assert not policy.grants(Identity("certificate:alice"), Role.OPERATE, REGISTER)
    with pytest.raises(Forbidden, match="token:bob has no grant of the role operate"):
        policy.allow(Identity("token:bob"), Role.OPERATE, REGISTER)
    with pytest.raises(Forbidden, match="segment"):
        policy.allow(ALICE, Role.OPERATE, "/assay.segment.v1.SegmentAdminService/SetDesiredModels")
    with pytest.raises(Unauthenticated, match="send a token"):
        policy.allow(ANONYMOUS, Role.OPERATE, REGISTER)


def test_a_caller_without_identity_matches_no_grant_not_even_by_name(tmp_path: Path) -> None:
    policy = read(tmp_path, '[[grant]]\nidentities = ["*"]\nroles = ["operate"]')
    with pytest.raises(Unauthenticated):
        policy.allow(ANONYMOUS, Role.OPERATE, REGISTER)
    assert not policy.grants(ANONYMOUS, Role.OPERATE, REGISTER)
    assert policy.allow(ALICE, Role.OPERATE, REGISTER) is None


@pytest.mark.parametrize("pattern", ["jwt:svc[1-9]", "jwt:svc?", "jwt:[!a]*", "*[1]"])
def test_a_star_alone_is_special_in_a_pattern(tmp_path: Path, pattern: str) -> None:
    text = f'[[grant]]\nidentities = ["{pattern}"]\nroles = ["operate"]'
    policy = read(tmp_path, text)
    with pytest.raises(Forbidden):
        policy.allow(Identity("jwt:svc1"), Role.OPERATE, REGISTER)
    policy.allow(Identity(pattern.replace("*", "x")), Role.OPERATE, REGISTER)


@pytest.mark.parametrize("number", ["inf", "nan", "-1", "0"])
def test_a_rate_is_a_number_of_calls(tmp_path: Path, number: str) -> None:
    for text in (
        f"anonymous_calls_per_second = {number}",
        f'[[grant]]\nidentities = ["*"]\nroles = ["read"]\ncalls_per_second = {number}',
    ):
        with pytest.raises(InvalidArgument, match="calls_per_second"):
            read(tmp_path, text)


def test_an_identity_that_nobody_has_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"identities\[1\]: must begin with .*token:"):
        read(tmp_path, '[[grant]]\nidentities = ["token:a", "alice"]\nroles = ["read"]')


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("methods = []", r"methods: "),
        (
            'methods = ["*", "/assay.ranker.v1.RankerService/Compair"]',
            rf"methods\[1\]: there is no method .*did you mean {COMPARE}",
        ),
        ('methods = ["/assay.rancer.v1.*"]', r"did you mean /assay\.ranker\.v1\.\*"),
        ('methods = ["/assay.ranker.v1.RankerServise/*"]', r"RankerService/\*"),
        (f'methods = ["{COMPARE}\u200b"]', rf"there is no method '{COMPARE}.u200b'; .*{COMPARE}"),
        ('methods = ["/x"]', r"there is no method '/x'"),
        ('identities = ["token:al\u200bice"]', r"identities\[0\]: 'token:al.u200bice' has an"),
        ('identities = ["*\u2066"]', r"identities\[0\].* invisible"),
        ('roles = ["read\u200b"]', r"roles\[0\]: 'read.u200b' is not a role"),
    ],
)
def test_what_can_match_nothing_is_told_with_what_may_be_meant(
    tmp_path: Path, line: str, told: str
) -> None:
    grant = {"identities": '["token:a"]', "roles": '["read"]'}
    name, _, value = line.partition(" = ")
    lines = "\n".join(f"{key} = {text}" for key, text in (grant | {name: value}).items())
    with pytest.raises(InvalidArgument, match=told):
        read(tmp_path, f"[[grant]]\n{lines}")


@pytest.mark.parametrize(
    "pattern",
    [
        "*",
        "/*",
        "*/Compare",
        COMPARE,
        "/assay.corpus.v1.*",
        "/inference.GRPCInferenceService/ModelInfer",
        "/grpc.reflection.*",
    ],
)
def test_patterns_of_methods_that_exist_are_taken(tmp_path: Path, pattern: str) -> None:
    read(tmp_path, f'[[grant]]\nidentities = ["*"]\nroles = ["read"]\nmethods = ["{pattern}"]')


def test_an_empty_policy_allows_nothing(tmp_path: Path) -> None:
    with pytest.raises(Unauthenticated):
        read(tmp_path, "").allow(ANONYMOUS, Role.READ, COMPARE)
    with pytest.raises(Forbidden):
        read(tmp_path, "").allow(ALICE, Role.READ, COMPARE)


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument) as caught:
        read(
            tmp_path,
            """
            anonymous = ["reed"]
            everyone = true
            [[grant]]
            identities = []
            roles = ["read", "root"]
            methods = ["Compare"]
            burst = 3
            """,
        )
    told = str(caught.value)
    for part in (
        "policy.toml",
        "everyone: is not a known key",
        "grant[0].identities",
    ):
        assert part in told
    with pytest.raises(InvalidArgument) as caught:
        read(
            tmp_path,
            """
            [[grant]]
            identities = ["token:a"]
            roles = ["read", "root"]
            methods = ["Compare"]
            burst = 3
            """,
        )
    told = str(caught.value)
    for part in ("roles[1]: 'root' is not a role", "methods[0]", "burst: needs calls_per_second"):
        assert part in told


@pytest.mark.parametrize("text", ["= 3", "a = ", "[[grant]", 'anonymous = "read"'])
def test_what_is_no_policy_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"policy\.toml"):
        read(tmp_path, text)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"none\.toml.*cannot be read"):
        read_policy(tmp_path / "none.toml")


@given(st.text(max_size=300))
def test_any_text_is_a_policy_or_a_clear_error(text: str) -> None:
    import tempfile  # noqa: PLC0415  hypothesis and pytest's tmp_path do not go together

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "p.toml"
        file.write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            read_policy(file)
        except InvalidArgument as error:
            told = error.field  # any other exception is a failure
        else:
            told = str(file)
        assert told == str(file)


roles = st.sets(st.sampled_from(list(Role)), min_size=1).map(lambda found: tuple(map(str, found)))
grants = st.builds(
    Grant,
    identities=st.sampled_from([("token:a",), ("token:b",), ("*",)]),
    roles=roles,
    methods=st.sampled_from([("*",), ("/assay.ranker.v1.*",)]),
)


def allowed(policy: Policy, name: str, role: Role) -> bool:
    try:
        policy.allow(Identity(name), role, COMPARE)
    except AssayError:
        return False
    return True


@pytest.mark.slow
@given(st.lists(grants, max_size=4), grants, st.sampled_from(list(Role)))
def test_one_more_grant_never_forbids(few: list[Grant], more: Grant, role: Role) -> None:
    before, after = Policy(grant=tuple(few)), Policy(grant=(*few, more))
    for name in ("token:a", "token:b", "token:c"):
        assert allowed(after, name, role) >= allowed(before, name, role)
        assert before.grants(Identity(name), role, COMPARE) == allowed(before, name, role)

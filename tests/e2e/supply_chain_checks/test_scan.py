"""The scan on real parts: trivy, a registry, images made here, and a made-up database of vulnerabilities."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pytest_deploy.adapters.trivy import Trivy
from pytest_deploy.errors import DeployError, GateBreach, Refused, ToolFailed, ToolMissing, ToolTimedOut
from pytest_deploy.io.clock import SystemClock
from tests.e2e.supply_chain_checks.rig import CURL, OPENSSL, Rig, rig

pytestmark = pytest.mark.real

_OPEN: list[socket.socket] = []
ASKED = '"HIGH" or "CRITICAL"'
VULNERABLE = {"openssl": "3.0.1-1", "curl": "8.0-1", "zlib1g": "1:1.2-1"}
CLEAN = {"openssl": "3.0.11-2", "zlib1g": "1:1.2-1"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Start the registry, once for all of them."""
    with rig(tmp_path_factory.mktemp("rig")) as started:
        yield started
    for server in _OPEN:
        server.close()


def scanner(made: Rig, **settings: Any) -> Trivy:
    """The capability, offline, on the made-up database."""
    cache = {"cache_folder": made.cache, "offline": True}
    return Trivy(made.programs["trivy"], clock=SystemClock(), **{**cache, **settings})


def test_a_clean_image_is_clean(made: Rig) -> None:
    """Fixed packages, and one whose vulnerability is only LOW, pass; what was looked at and with what is told."""
    found = scanner(made)(f"{made.image('clean', CLEAN)} {ASKED}")
    assert found.words.startswith(
        "no HIGH or CRITICAL vulnerability in 2 packages of debian 12.1, linux/amd64 (database of "
    )
    assert [each.name for each in found.attachments] == ["vulnerabilities", "trivy"]


def test_a_vulnerable_image_is_refused_with_a_table(made: Rig) -> None:
    """Each vulnerability of the asked severities is named with its package and its fix, the worst first."""
    pinned = made.image("vulnerable", VULNERABLE)
    with pytest.raises(GateBreach) as refused:
        scanner(made)(f"{pinned} {ASKED}")
    text = str(refused.value)
    assert text.startswith(f"{pinned} has 2 of the vulnerabilities that are not allowed (1 CRITICAL, 1 HIGH): ")
    assert (
        f"{OPENSSL} in openssl 3.0.1-1 (CRITICAL, fixed in 3.0.11-2); {CURL} in curl 8.0-1 (HIGH, no fix yet)" in text
    )
    assert (
        "next: raise openssl and build anew; what you accept for a while goes into the file that scan.ignore_file"
        in text
    )
    rows = refused.value.attachments[0].text.splitlines()
    assert [row.split()[:4] for row in rows] == [
        ["SEVERITY", "ID", "PACKAGE", "INSTALLED"],
        ["CRITICAL", OPENSSL, "openssl", "3.0.1-1"],
        ["HIGH", CURL, "curl", "8.0-1"],
    ]


def test_only_the_asked_severities_count(made: Rig) -> None:
    """The feature says which severities are refused."""
    subject = made.image("severities", {"curl": "8.0-1"})
    assert "no CRITICAL vulnerability" in scanner(made)(f'{subject} "CRITICAL"').words
    with pytest.raises(GateBreach, match="1 HIGH"):
        scanner(made)(f'{subject} "HIGH"')


def test_what_is_ignored_is_told_and_ends(made: Rig, tmp_path: Path) -> None:
    """An entry with a date to come takes a finding out, and is told; one whose date has come does not."""
    ignore = tmp_path / ".trivyignore"
    pinned = made.image("ignored", {"openssl": "3.0.1-1"})
    ignore.write_text(f"# accepted by sec\n{OPENSSL} exp:2999-01-01\nCVE-2020-1 exp:2021-01-01\n")
    words = scanner(made, ignore_file=ignore)(f"{pinned} {ASKED}").words
    assert words.endswith(f"; ignored: {OPENSSL} until 2999-01-01; no longer ignored: CVE-2020-1 (since 2021-01-01)")
    ignore.write_text(f"{OPENSSL} exp:2021-01-01\n")
    with pytest.raises(GateBreach, match=OPENSSL):
        scanner(made, ignore_file=ignore)(f"{pinned} {ASKED}")


def test_the_yaml_form_of_the_ignore_file(made: Rig, tmp_path: Path) -> None:
    """The other form of it does the same."""
    ignore = tmp_path / ".trivyignore.yaml"
    ignore.write_text(
        f"vulnerabilities:\n  - id: {OPENSSL}\n    expired_at: 2999-01-01\n    statement: not reachable\n"
    )
    words = scanner(made, ignore_file=ignore)(f"{made.image('ignored', {'openssl': '3.0.1-1'})} {ASKED}").words
    assert f"ignored: {OPENSSL} until 2999-01-01" in words


@pytest.mark.parametrize("text", [OPENSSL, f"{OPENSSL} because"])
def test_nothing_is_ignored_for_ever(made: Rig, tmp_path: Path, text: str) -> None:
    """An entry without a date is refused before anything is scanned."""
    ignore = tmp_path / ".trivyignore"
    ignore.write_text(text)
    with pytest.raises(Refused, match=r"\.trivyignore ignores for ever: line 1 \(CVE-2026-0001\)"):
        scanner(made, ignore_file=ignore)(f"{made.image('ignored', {'openssl': '3.0.1-1'})} {ASKED}")


def test_files_and_variables_that_lie_about_do_not_count(
    made: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither an ignore file nor a trivy.yaml in the working folder, nor TRIVY_ variables, make an image clean."""
    (tmp_path / ".trivyignore").write_text(f"{OPENSSL}\n")
    (tmp_path / "trivy.yaml").write_text("severity: [LOW]\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRIVY_IGNOREFILE", str(tmp_path / ".trivyignore"))
    monkeypatch.setenv("TRIVY_IGNORE_STATUS", "fixed")
    with pytest.raises(GateBreach, match=OPENSSL):
        scanner(made)(f"{made.image('lying', {'openssl': '3.0.1-1'})} {ASKED}")


def test_each_platform_is_scanned(made: Rig) -> None:
    """Of an image for several platforms all that are named are scanned; one that it lacks is no answer."""
    pinned = made.index("many", {"amd64": CLEAN, "arm64": {"openssl": "3.0.1-1"}})
    assert "linux/amd64" in scanner(made, platforms=["linux/amd64"])(f"{pinned} {ASKED}").words
    with pytest.raises(GateBreach, match="has 1 of the vulnerabilities") as refused:
        scanner(made, platforms=["linux/amd64", "linux/arm64"])(f"{pinned} {ASKED}")
    assert "linux/arm64" in refused.value.attachments[0].text
    with pytest.raises(ToolFailed, match="no child with platform linux/arm/v7"):
        scanner(made, platforms=["linux/arm/v7"])(f"{pinned} {ASKED}")


@pytest.mark.parametrize(
    ("world", "kind", "said"),
    [
        pytest.param(
            lambda made: (scanner(made), made.image("empty", {}, os_release=None)),
            ToolFailed,
            "can't tell whether .* is clean: it found no package that it knows",
            id="an image without packages",
        ),
        pytest.param(
            lambda made: (scanner(made), made.image("gone", {})),
            ToolFailed,
            "it found no package that it knows",
            id="a distribution whose list of packages was deleted",
        ),
        pytest.param(
            lambda made: (scanner(made), made.image("old", {"openssl": "1-1"}, os_release="7")),
            GateBreach,
            "is built on debian 7.1, which gets no security updates any more",
            id="a distribution past its end of life",
        ),
        pytest.param(
            lambda made: (scanner(made), made.image("clean", CLEAN)[:-4] + "0000"),
            ToolFailed,
            "trivy ended with 1 and scanned nothing.*MANIFEST_UNKNOWN",
            id="a digest that the registry lacks",
        ),
        pytest.param(
            lambda made: (scanner(made), "127.0.0.1:1/shop@sha256:" + "1" * 64),
            ToolFailed,
            "trivy ended with 1 and scanned nothing.*connection refused",
            id="a registry that does not answer",
        ),
        pytest.param(
            lambda made: (scanner(made, cache_folder=made.folder / "no-database"), made.image("clean", CLEAN)),
            ToolFailed,
            "trivy ended with 1 and scanned nothing",
            id="no database",
        ),
        pytest.param(
            lambda made: (
                scanner(made, cache_folder=made.database("aged", updated_at=ago(hours=50))),
                made.image("clean", CLEAN),
            ),
            ToolFailed,
            r"vulnerability database is of .* UTC, 50 h old; at most 48 h \(scan.db_max_age_hours\)",
            id="a database that is too old",
        ),
        pytest.param(
            lambda made: (
                scanner(
                    made, cache_folder=made.folder / "cold", offline=False, db_repository=f"{made.registry}/no-db:2"
                ),
                made.image("clean", CLEAN),
            ),
            ToolFailed,
            "trivy ended with 1 and scanned nothing",
            id="a database that can't be downloaded",
        ),
        pytest.param(
            lambda made: (
                Trivy("/nowhere/trivy", clock=SystemClock(), cache_folder=made.cache),
                made.image("clean", CLEAN),
            ),
            ToolMissing,
            "trivy can't be run",
            id="no trivy",
        ),
        pytest.param(
            lambda made: (scanner(made, timeout=timedelta(seconds=1)), f"{silent_server()}/shop@sha256:{'1' * 64}"),
            ToolTimedOut,
            "trivy had not ended after \\d+ s and was ended; that is not clean",
            id="a registry that never answers",
        ),
    ],
)
def test_no_answer_is_never_clean(
    made: Rig, world: Callable[[Rig], tuple[Trivy, str]], kind: type[Exception], said: str
) -> None:
    """A scanner that could not scan says so, with what it said and the next move, whatever its exit status."""
    scan, pinned = world(made)
    with pytest.raises(kind, match=f"(?s){said}") as refused:
        scan(f"{pinned} {ASKED}")
    assert "next: " in str(refused.value)
    if not isinstance(refused.value, ToolMissing):
        assert isinstance(refused.value, DeployError | GateBreach)
        assert "exit " in refused.value.attachments[-1].text


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        ("exit 0", ToolFailed, "exit 0, but 0 characters that are no report of trivy"),
        ("exit 1", ToolFailed, "trivy ended with 1 and scanned nothing; it said: nothing"),
        ("echo TOOMANYREQUESTS >&2; exit 1", ToolFailed, "set scan.db_repository"),
        ("kill -9 $$", ToolFailed, "trivy ended with -9"),
        (OTHER := 'while [ $# -gt 0 ]; do [ "$1" = --output ] && echo \'{"ArtifactName": "x"}\' > "$2"; shift; done',
         ToolFailed, "was to scan sha256:1+, but scanned"),
    ],
)  # fmt: skip
def test_a_program_that_is_no_scanner(made: Rig, tmp_path: Path, body: str, kind: type[Exception], said: str) -> None:
    """Whatever else is called trivy gives no answer: no report, a broken one, or one of another image."""
    program = tmp_path / "trivy"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o700)
    with pytest.raises(kind, match=said):
        Trivy(os.fspath(program), clock=SystemClock())(f"{made.registry}/x@sha256:{'1' * 64} {ASKED}")


def test_it_sees_no_token_and_no_kubeconfig(made: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of our environment trivy gets an allow-list."""
    seen = tmp_path / "seen"
    program = tmp_path / "trivy"
    program.write_text(f'#!/bin/sh\nenv >> {seen}\nexec {made.programs["trivy"]} "$@"\n')
    program.chmod(0o700)
    for name in ("KUBECONFIG", "GITHUB_TOKEN", "COSIGN_PASSWORD", "AWS_SECRET_ACCESS_KEY", "TRIVY_PASSWORD"):
        monkeypatch.setenv(name, "planted-secret")
    scan = Trivy(os.fspath(program), clock=SystemClock(), cache_folder=made.cache, offline=True)
    scan(f"{made.image('clean', CLEAN)} {ASKED}")
    assert "planted-secret" not in seen.read_text()
    assert "PATH=" in seen.read_text()


def silent_server() -> str:
    """Listen without ever answering, until the process ends."""
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen()
    _OPEN.append(server)
    return f"127.0.0.1:{server.getsockname()[1]}"


def ago(*, hours: int) -> str:
    """That many hours ago, as the database writes its age."""
    return (datetime.now(UTC) - timedelta(hours=hours, minutes=5)).isoformat()

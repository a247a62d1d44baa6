"""Approval by a file that the deploy writes and an approver signs: with the real cosign and git."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pytest_deploy.adapters.approval_file import FileApprovals, Signatory
from pytest_deploy.domain.approval import Answer, Request
from pytest_deploy.errors import Refused, ToolFailed
from pytest_deploy.io.cosign import Cosign, Trust
from pytest_deploy.testing.clock import FakeClock
from pytest_deploy.testing.contracts import ApprovalsContract, ApprovalsWorld
from tests.e2e.approval.github_server import DIGEST, OTHER

pytestmark = pytest.mark.real

NAMES = ("ann", "bob", "dora")
Sign = Callable[..., None]


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory, cosign_binary: str) -> Path:
    """A folder with a key pair for each name; nobody.key is in no list."""
    folder = tmp_path_factory.mktemp("keys")
    for name in (*NAMES, "nobody"):
        argv = (cosign_binary, "generate-key-pair", "--output-key-prefix", str(folder / name))
        subprocess.run(
            argv, check=True, capture_output=True, timeout=60, env={"COSIGN_PASSWORD": "", "HOME": str(folder)}
        )
    return folder


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    """For the commit of a repository, written by dora and committed by bob."""
    source = tmp_path / "source"
    source.mkdir()
    env = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path),
        "GIT_AUTHOR_NAME": "Dora", "GIT_AUTHOR_EMAIL": "Dora@acme.com",
        "GIT_COMMITTER_NAME": "Bob", "GIT_COMMITTER_EMAIL": "bob@acme.com",
    }  # fmt: skip
    for command in ("git init -q", "git commit -q --allow-empty -m x"):
        subprocess.run(shlex.split(command), cwd=source, env=env, check=True, timeout=30)
    done = subprocess.run(
        ("git", "rev-parse", "HEAD"), cwd=source, check=True, capture_output=True, text=True, timeout=30
    )
    return Request(
        service="checkout-api",
        environment="prod",
        strategy="canary",
        pinned=f"ghcr.io/acme/checkout-api@{DIGEST}",
        commit=done.stdout.strip(),
        approvers=("@ann", "bob", "dora", "@acme/sre"),
        deploy_id="20261124T101500Z-checkout-api-3f2a",
    )


@pytest.fixture
def clock() -> FakeClock:
    """Time that only moves on demand."""
    return FakeClock()


@pytest.fixture
def approvals(tmp_path: Path, keys: Path, cosign_binary: str, clock: FakeClock) -> FileApprovals:
    """Approvals by three signatories, none of them in a transparency log."""
    people = {
        name: Signatory(trust=Trust(key=str(keys / f"{name}.pub"), log=False), email=f"{name}@acme.com")
        for name in NAMES
    }
    return FileApprovals(
        Cosign(binary=cosign_binary),
        people,
        folder=tmp_path / "approvals",
        source=tmp_path / "source",
        actor="carl",
        clock=clock,
        wait=timedelta(minutes=60),
        max_age=timedelta(hours=24),
    )


@pytest.fixture
def sign(tmp_path: Path, keys: Path, cosign_binary: str) -> Sign:
    """Sign the file as it is now: by the key of one, laid down as the signature of another."""

    def do(key: str, *, name: str | None = None) -> None:
        file = waiting(tmp_path)
        bundle = file.with_suffix(f".{name or key}.sigstore.json")
        argv = (
            cosign_binary, "sign-blob", "--yes", "--key", str(keys / f"{key}.key"), "--use-signing-config=false",
            "--tlog-upload=false", "--bundle", str(bundle), str(file),
        )  # fmt: skip
        env = {"COSIGN_PASSWORD": "", "HOME": str(tmp_path)}
        subprocess.run(argv, check=True, capture_output=True, timeout=60, env=env)

    return do


def waiting(folder: Path) -> Path:
    """The file that waits for its signature."""
    [file] = (path for path in (folder / "approvals").glob("approval-*.json") if "sigstore" not in path.name)
    return file


class TestContract(ApprovalsContract):
    """The file keeps the contract."""

    @pytest.fixture
    def people(self, approvals: FileApprovals, request_: Request, sign: Sign) -> ApprovalsWorld:
        """Those who hold keys; nobody signs a no, but what is no signature of an approver's is one."""
        return ApprovalsWorld(
            approvals=approvals,
            request=request_,
            yes=lambda: sign("ann"),
            no=lambda: sign("nobody", name="ann"),
        )


def test_signed_by_an_approver(
    approvals: FileApprovals, request_: Request, tmp_path: Path, keys: Path, cosign_binary: str
) -> None:
    """The command that the deploy shows, run by an approver with their key, is the yes."""
    asked = approvals.ask(request_)
    assert approvals.look(request_).answer is Answer.WAITING
    said = json.loads(waiting(tmp_path).read_text("utf-8"))
    assert (said["approve"], said["environment"], said["deploy"]) == (request_.pinned, "prod", request_.deploy_id)
    assert said["commit"] == request_.commit
    command = shlex.split(asked.words.partition(": ")[2].replace("YOUR.key", str(keys / "ann.key")))
    env = {"COSIGN_PASSWORD": "", "HOME": str(tmp_path)}
    subprocess.run((cosign_binary, *command[1:]), check=True, capture_output=True, timeout=60, env=env)
    ruling = approvals.look(request_)
    assert ruling.answer is Answer.GRANTED, ruling.words
    assert ruling.by == "ann"
    assert approvals.asks == ""


def test_a_half_copied_signature_is_waited_for(
    approvals: FileApprovals, request_: Request, tmp_path: Path, sign: Sign
) -> None:
    """What is no whole file yet is neither a yes nor a no."""
    approvals.ask(request_)
    sign("ann")
    bundle = waiting(tmp_path).with_suffix(".ann.sigstore.json")
    whole = bundle.read_bytes()
    bundle.write_bytes(whole[: len(whole) // 2])
    assert approvals.look(request_).answer is Answer.WAITING
    bundle.write_bytes(whole)
    assert approvals.look(request_).answer is Answer.GRANTED


def test_the_wrong_key(approvals: FileApprovals, request_: Request, sign: Sign) -> None:
    """A signature by another key, laid down under an approver's name, is told and is no yes."""
    approvals.ask(request_)
    sign("nobody", name="ann")
    ruling = approvals.look(request_)
    assert ruling.answer is Answer.DENIED
    assert ".ann.sigstore.json is no signature of this file by ann: cosign verify-blob says no" in ruling.words


def test_the_file_was_changed(approvals: FileApprovals, request_: Request, tmp_path: Path, sign: Sign) -> None:
    """A signature of something else is none of what was asked, whatever the file says by now."""
    approvals.ask(request_)
    file = waiting(tmp_path)
    file.write_text(file.read_text("utf-8").replace(DIGEST, OTHER), "utf-8")
    sign("ann")
    assert approvals.look(request_).answer is Answer.DENIED


def test_a_signature_of_another_deploy(approvals: FileApprovals, request_: Request, tmp_path: Path, sign: Sign) -> None:
    """The same image, another attempt: the old signature is good for nothing."""
    approvals.ask(request_)
    sign("ann")
    assert approvals.look(request_).answer is Answer.GRANTED
    old = waiting(tmp_path).with_suffix(".ann.sigstore.json").read_bytes()
    approvals.withdraw(request_, "it went wrong")
    again = replace(request_, deploy_id="20261124T111500Z-checkout-api-77aa")
    approvals.ask(again)
    waiting(tmp_path).with_suffix(".ann.sigstore.json").write_bytes(old)
    assert approvals.look(again).answer is Answer.DENIED


@pytest.mark.parametrize(("name", "role"), [("dora", "author"), ("bob", "committer")])
def test_ones_own_work(approvals: FileApprovals, request_: Request, sign: Sign, name: str, role: str) -> None:
    """Neither author nor committer approve it; a signature by another approver beside theirs does."""
    approvals.ask(request_)
    sign(name)
    ruling = approvals.look(request_)
    assert ruling.answer is Answer.DENIED
    assert f"{name} is the {role} of {(request_.commit or '')[:12]}, and nobody approves their own work" in ruling.words
    sign("ann")
    assert approvals.look(request_).by == "ann"


def test_one_who_started_the_deploy(approvals: FileApprovals, request_: Request, sign: Sign) -> None:
    """Nor does who runs it."""
    approvals._actor = "Ann"
    approvals.ask(request_)
    sign("ann")
    assert "ann is the one who started the deploy" in approvals.look(request_).words


def test_who_is_not_in_the_list(approvals: FileApprovals, request_: Request, sign: Sign) -> None:
    """One who can sign, but approves other environments only."""
    request = replace(request_, approvers=("@bob",))
    approvals.ask(request)
    sign("ann")
    ruling = approvals.look(request)
    assert ruling.answer is Answer.DENIED
    assert "it is by none of the approvers (@bob)" in ruling.words


def test_an_old_signature(approvals: FileApprovals, request_: Request, sign: Sign, clock: FakeClock) -> None:
    """After its time it counts no more: a deploy that waits on is asked anew."""
    approvals.ask(request_)
    sign("ann")
    clock.sleep(timedelta(hours=25))
    assert "it may be 25.0 h old" in approvals.look(request_).words


def test_nobody_can_sign(approvals: FileApprovals, request_: Request) -> None:
    """A team has no key: who has one is said."""
    with pytest.raises(Refused, match=r"none of the approvers of prod \(@acme/sre\) can sign: .*knows ann, bob, dora"):
        approvals.ask(replace(request_, approvers=("@acme/sre",)))


def test_a_commit_that_is_not_here(approvals: FileApprovals, request_: Request, sign: Sign) -> None:
    """Who wrote it can't be told: no answer, and no yes."""
    request = replace(request_, commit="0" * 40)
    approvals.ask(request)
    sign("ann")
    with pytest.raises(ToolFailed, match=r"who wrote 000000000000 can't be told: .*\n.*fetch-depth: 0"):
        approvals.look(request)


def test_a_verifier_that_says_yes_to_all(
    approvals: FileApprovals, request_: Request, sign: Sign, tmp_path: Path, cosign_binary: str
) -> None:
    """Each run proves that its cosign can say no: one that can't is believed nothing."""
    approvals.ask(request_)
    sign("ann")
    liar = tmp_path / "cosign"
    liar.write_text(f'#!/bin/sh\n[ "$1" = verify-blob ] && exit 0\nexec {cosign_binary} "$@"\n', "utf-8")
    liar.chmod(0o755)
    approvals._cosign = Cosign(binary=str(liar))
    with pytest.raises(ToolFailed, match="cosign takes a stranger's signature for one by ann"):
        approvals.look(request_)


def test_withdrawn(approvals: FileApprovals, request_: Request, tmp_path: Path) -> None:
    """The file is gone, and a line says why."""
    approvals.ask(request_)
    file = waiting(tmp_path)
    assert approvals.withdraw(request_, "incident open") == f"{file} was withdrawn"
    assert not file.exists()
    assert file.with_suffix(".withdrawn.txt").read_text("utf-8") == f"{request_.deploy_id}: incident open\n"

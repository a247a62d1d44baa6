"""Approval without GitHub: the deploy writes down what is to be approved, and an approver signs that with cosign."""

from __future__ import annotations

import json
import shlex
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from pytest_deploy.domain.approval import Answer, Asked, Evidence, Request, Review, Ruling, judge, same_person
from pytest_deploy.errors import DeployError, Refused, Rejected, ToolFailed
from pytest_deploy.io.cosign import Cosign, Trust
from pytest_deploy.io.process import run
from pytest_deploy.io.team_program import last_lines
from pytest_deploy.ports import Clock

__all__ = ["FileApprovals", "Signatory"]

_POLL = timedelta(seconds=2)
_GIT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Signatory:
    """One who may sign approvals.

    Args:
        trust: the key or the identity that is theirs.
        email: as their commits say it: nobody approves their own work.
    """

    trust: Trust
    email: str


class FileApprovals:
    """Port ``Approvals`` on a file that the deploy writes and a signature that an approver lays beside it.

    What is signed names service, environment, digest, commit and this deploy: a signature is good for nothing else.

    Args:
        signatories: by the name that the approvers' list of an environment has.
        folder: where the file is written, and the signature looked for.
        source: of the commit, for its author.
        actor: who runs the deploy; "" where nobody knows.
        wait: for a signature.
        max_age: after which a signature no longer counts.
    """

    def __init__(
        self,
        cosign: Cosign,
        signatories: Mapping[str, Signatory],
        *,
        folder: Path,
        source: Path,
        actor: str,
        clock: Clock,
        wait: timedelta,
        max_age: timedelta,
    ) -> None:
        self._cosign = cosign
        self._signatories = signatories
        self._folder = folder
        self._source = source
        self._actor = actor
        self._clock = clock
        self._wait = wait
        self._max_age = max_age
        self._asked: dict[str, datetime] = {}

    @property
    def asks(self) -> str:
        """Nothing outside of this machine is written."""
        return ""

    def problems(self, environment: str, approvers: tuple[str, ...]) -> tuple[str, ...]:
        """Return what would keep a signature from ever counting, with its mend; asks nobody."""
        if any(_entry(approvers, name) for name in self._signatories):
            return ()
        known, wanted = ", ".join(self._signatories), ", ".join(approvers)
        mend = "next: give each approver a key or an identity there"
        return (
            f"none of the approvers of {environment} ({wanted}) can sign: approval.file.signers knows {known}; {mend}",
        )

    def ask(self, request: Request) -> Asked:
        """Write the file that is to be signed.

        Raises:
            Refused: nobody who may sign is among the environment's approvers.
            DeployError: the file can't be written.
        """
        if problems := self.problems(request.environment, request.approvers):
            raise Refused("\n".join(problems))
        names = [name for name in self._signatories if _entry(request.approvers, name)]
        self._asked[request.environment] = self._clock.now()
        file = self._file(request)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(self._statement(request))
        except OSError as error:
            raise ToolFailed(f"{file}: can't be written: {error.strerror}", hint="approval.file.folder") from error
        return Asked(
            words=f"sign {file} as one of {', '.join(names)}: {self._command(request, names[0])}",
            wait=self._wait,
            poll=_POLL,
        )

    def look(self, request: Request) -> Ruling:
        """Return what the signatures beside the file amount to now.

        Raises:
            DeployError: cosign or git gave no answer.
        """
        asked = self._asked.get(request.environment)
        if asked is None:
            raise DeployError(f"nobody was asked to approve {request.environment} yet", cause="approval")
        file, reviews, bad = self._file(request), [], []
        for name in self._signatories:
            bundle = self._bundle(request, name)
            if _is_whole(bundle):
                try:
                    self._verify(request, name, bundle)
                except Rejected as error:
                    bad.append(f"{bundle.name} is no signature of this file by {name}: {error}")
                else:
                    text = self._statement(request).decode()
                    reviews.append(Review(by=name, listed_as=_entry(request.approvers, name), approved=True, text=text))
        evidence = Evidence(
            reviews=tuple(reviews),
            title="",
            attempt=1,
            began=asked,
            involved=self._involved(request) if reviews else {},
            where=str(file),
            again="deploy again, and let another approver sign the new file",
        )
        ruling = judge(request, evidence, now=self._clock.now(), max_age=self._max_age)
        if ruling.answer is Answer.WAITING and bad:
            return replace(ruling, answer=Answer.DENIED, words=f"{'; '.join(bad)} ({file}); next: {evidence.again}")
        return ruling

    def withdraw(self, request: Request, why: str) -> str:
        """Remove the file, so that nobody signs what nobody waits for, and leave a line that says why."""
        if request.environment not in self._asked:
            return ""
        file = self._file(request)
        try:
            file.unlink(missing_ok=True)
            file.with_suffix(".withdrawn.txt").write_text(f"{request.deploy_id}: {why}\n", "utf-8")
        except OSError as error:
            return f"{file} was not withdrawn: {error.strerror}"
        return f"{file} was withdrawn"

    def _file(self, request: Request) -> Path:
        return self._folder / f"approval-{request.deploy_id}-{request.environment}.json"

    def _bundle(self, request: Request, name: str) -> Path:
        return self._file(request).with_suffix(f".{name.removeprefix('@')}.sigstore.json")

    def _statement(self, request: Request) -> bytes:
        """Return what is signed: always these bytes, never what the file holds by then."""
        asked = self._asked[request.environment]
        said = {
            "approve": request.pinned,
            "service": request.service,
            "environment": request.environment,
            "strategy": request.strategy,
            "commit": request.commit,
            "deploy": request.deploy_id,
            "asked": f"{asked:%Y-%m-%dT%H:%M:%SZ}",
            "until": f"{asked + self._max_age:%Y-%m-%dT%H:%M:%SZ}",
        }
        return (json.dumps(said, indent=2) + "\n").encode()

    def _verify(self, request: Request, name: str, bundle: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="approval-") as folder:
            ours = Path(folder) / "approval.json"
            ours.write_bytes(self._statement(request))
            trust = self._signatories[name].trust
            self._cosign.verify_blob(ours, bundle, trust)
            with self._cosign.stranger(trust) as nobody:
                try:
                    self._cosign.verify_blob(ours, bundle, nobody)
                except Rejected:
                    return
        raise ToolFailed(
            f"cosign takes a stranger's signature for one by {name}: its yes means nothing",
            hint="install cosign anew, and see what stands on PATH: tools.cosign",
        )

    def _command(self, request: Request, name: str) -> str:
        trust = self._signatories[name].trust
        key = ("--key", "YOUR.key") if trust.key is not None else ()
        # Not --signing-config: that is a file which the approver would have to make first.
        log = () if trust.log else ("--use-signing-config=false", "--tlog-upload=false")
        files = ("--bundle", str(self._bundle(request, name)), str(self._file(request)))
        return shlex.join(("cosign", "sign-blob", "--yes", *key, *log, *files))

    def _involved(self, request: Request) -> dict[str, str]:
        involved = {self._actor: "one who started the deploy"} if self._actor else {}
        if request.commit is None:
            return involved
        done = run(
            ("git", "show", "-s", "--format=%ae%n%ce", "--end-of-options", request.commit, "--"),
            timeout_s=_GIT_S,
            cwd=self._source,
        )
        if done.status != 0 or done.timed_out:
            raise ToolFailed(
                f"who wrote {request.commit[:12]} can't be told: {last_lines(done.stderr, 1) or 'git gave no answer'}",
                hint="deploy from a checkout that holds the commit: fetch-depth: 0",
            )
        roles = zip(done.stdout.split("\n"), ("author", "committer"), strict=False)
        for email, role in reversed(list(roles)):
            involved |= {
                name: f"{role} of {request.commit[:12]}"
                for name, signatory in self._signatories.items()
                if signatory.email.casefold() == email.strip().casefold()
            }
        return involved


def _is_whole(bundle: Path) -> bool:
    """Whether a signature is there: one that is being copied is looked at next time."""
    try:
        json.loads(bundle.read_bytes())
    except (OSError, ValueError):
        return False
    return True


def _entry(approvers: tuple[str, ...], name: str) -> str | None:
    """Return the approvers' entry that the name is; None: it is none of them."""
    return next((entry for entry in approvers if same_person(entry, name)), None)

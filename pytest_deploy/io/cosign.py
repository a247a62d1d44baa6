"""The one door to cosign: who may have signed, and a yes, a no and no answer told apart."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from pytest_deploy.errors import Refused, Rejected, ToolFailed, ToolTimedOut, Unreachable
from pytest_deploy.io.process import DEFAULT_INHERIT, Completed, run
from pytest_deploy.io.team_program import last_lines

__all__ = ["Cosign", "Trust"]

_OLDEST = (3, 0, 6)
"""Earlier ones took a malformed or mistyped attestation for verified (CVE-2026-39395), or any entry of the log
(CVE-2026-22703)."""
_TIMEOUT_S = 120.0
_INHERIT = (
    *DEFAULT_INHERIT,
    # Logins of registries, as Docker's and Podman's tools find them.
    "DOCKER_CONFIG", "DOCKER_AUTH_CONFIG", "REGISTRY_AUTH_FILE",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
    "TUF_ROOT", "TUF_MIRROR", "SIGSTORE_ROOT_FILE", "SIGSTORE_NO_CACHE",
    # Keys in a KMS: https://docs.sigstore.dev/cosign/key_management/overview/
    "AWS_*", "AZURE_*", "GOOGLE_*", "VAULT_*", "TRANSIT_SECRET_ENGINE_PATH",
)  # fmt: skip
_IDENTITY = ("SIGSTORE_ID_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_*", "CI_JOB_*", "BUILDKITE_*")
"""Where a signature without a key has its identity from; not shown to what only verifies."""
_NO = re.compile(
    r"no (?:matching )?(?:signatures|attestations)\b|none of the attestations matched|no signatures found"
    r"|failed to verify signature|none of the expected identities matched|accepted signatures do not match"
    r"|invalid signature|failed to verify certificate|no matching signatures|bundle verification failed"
    r"|failed to verify log|subject digest|provided artifact digest does not match",
    re.IGNORECASE,
)
_AWAY = re.compile(
    r"connection refused|no such host|i/o timeout|TLS handshake|deadline exceeded|connection reset"
    r"|network is unreachable|5\d\d (?:Internal|Bad Gateway|Service Unavailable|Gateway)|server misbehaving"
    r"|EOF$|tuf refresh failed",
    re.IGNORECASE | re.MULTILINE,
)
_SECRET_KEY = "PYTEST_DEPLOY_COSIGN_KEY"  # noqa: S105 - the name of a variable
_WARNED = re.compile(r"^(?:WARNING: .*|Error: )", re.MULTILINE)
_NO_SERVICES = (
    '{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json","rekorTlogConfig":{},"tsaConfig":{}}'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Who may have signed: the owner of a key, or an identity, exactly.

    Args:
        key: file of a public key, or address of one in a KMS; None: ``identity`` of ``issuer`` (both), no pattern.
        trusted_root: file with the certificates of a Sigstore; None: the public one's, by TUF.
        log: the signature must stand in the transparency log; False only for keys of one's own without a log.
    """

    key: str | None = None
    identity: str | None = None
    issuer: str | None = None
    trusted_root: Path | None = None
    log: bool = True

    @property
    def words(self) -> str:
        """Name them, a key by its hash: a file's name says nothing."""
        if self.key is None:
            who = f"{self.identity} (by {self.issuer})"
        elif "://" in self.key:
            who = f"key {self.key}"
        else:
            try:
                who = f"key sha256:{hashlib.sha256(Path(self.key).read_bytes()).hexdigest()[:12]}"
            except OSError:
                who = f"key {self.key}"
        return who if self.log else f"{who}, without a transparency log"

    @property
    def flags(self) -> tuple[str, ...]:
        """As cosign's verbs want it."""
        who = (
            ("--key", self.key)
            if self.key is not None
            else ("--certificate-identity", self.identity or "", "--certificate-oidc-issuer", self.issuer or "")
        )
        root = () if self.trusted_root is None else ("--trusted-root", str(self.trusted_root))
        return (*who, *root, *(() if self.log else ("--insecure-ignore-tlog=true",)))


@dataclass(frozen=True, kw_only=True)
class Cosign:
    """A cosign.

    Args:
        key: to sign with: a file, the address of one in a KMS, or the text of a private key (PEM); None: without a
            key, by the identity that the CI job has.
        password: of the key; never on the command line.
        signing_config: file that names the services that sign; None: the public Sigstore's.
        log: put signatures into the transparency log.
    """

    binary: str = "cosign"
    key: str | None = field(default=None, repr=False)
    password: str = field(default="", repr=False)
    signing_config: Path | None = None
    trusted_root: Path | None = None
    log: bool = True
    env: Mapping[str, str] = field(default_factory=dict, repr=False)

    def make(self, verb: str, *arguments: str) -> str:
        """Sign something, and return what cosign says.

        Args:
            verb: ``sign``, ``attest`` or ``sign-blob``; its key and its services are added.

        Raises:
            Unreachable, ToolFailed, ToolTimedOut, ToolMissing: it is not signed, or nobody knows.
        """
        self._check()
        env = {"COSIGN_PASSWORD": self.password, "COSIGN_YES": "true", **self.env}
        with tempfile.TemporaryDirectory() as scratch:
            flags = ["--yes"]
            if self.key is not None and self.key.startswith("-----BEGIN"):
                env[_SECRET_KEY] = self.key
                flags += ["--key", f"env://{_SECRET_KEY}"]
            elif self.key is not None:
                flags += ["--key", self.key]
            if self.trusted_root is not None:
                flags += ["--trusted-root", str(self.trusted_root)]
            if self.signing_config is not None:
                flags += ["--signing-config", str(self.signing_config)]
            elif not self.log:
                alone = Path(scratch) / "signing-config.json"
                alone.write_text(_NO_SERVICES)
                flags += ["--signing-config", str(alone)]
            done = self._run((verb, *flags, *arguments), env, inherit=(*_INHERIT, *_IDENTITY))
        if done.status:
            raise self._no_answer(f"cosign {verb}", done)
        return last_lines(done.stderr, 20)

    def verify(self, verb: str, trust: Trust, *arguments: str) -> str:
        """Return what a verb that verifies prints once it has verified.

        Args:
            verb: ``verify``, ``verify-attestation`` or ``verify-blob``.

        Raises:
            Rejected: the answer is no: unsigned, or signed by somebody else, or something else is.
            Unreachable, ToolFailed, ToolTimedOut, ToolMissing: there is no answer.
        """
        self._check()
        return self._answer(verb, *trust.flags, *arguments)

    def verify_blob(self, file: Path, bundle: Path, trust: Trust) -> str:
        """Verify a file against the bundle of its signature, and return in words who signed; raises as ``verify``."""
        self.verify("verify-blob", trust, "--bundle", str(bundle), str(file))
        return trust.words

    def read(self, verb: str, *arguments: str) -> str:
        """Return what a verb that only looks prints, unverified; raises as ``verify``: Rejected where there is none."""
        self._check()
        return self._answer(verb, *arguments)

    @contextmanager
    def stranger(self, trust: Trust) -> Iterator[Trust]:
        """Give somebody whom nothing can be signed by: a verifier that says yes to them says it to everybody."""
        if trust.key is None:
            yield Trust(identity="nobody@stranger.invalid", issuer=trust.issuer, trusted_root=trust.trusted_root)
            return
        with tempfile.TemporaryDirectory() as scratch:
            argv = ("generate-key-pair", "--output-key-prefix", f"{scratch}/stranger")
            done = self._run(argv, {"COSIGN_PASSWORD": ""}, inherit=DEFAULT_INHERIT)
            if done.status:
                raise self._no_answer("cosign generate-key-pair", done)
            key = f"{scratch}/stranger.pub"
            yield Trust(key=key, trusted_root=trust.trusted_root, log=trust.log)

    def _answer(self, *argv: str) -> str:
        done = self._run(argv, self.env, inherit=_INHERIT)
        if done.status == 0:
            return done.stdout
        said = _said(done)
        if _NO.search(said) and not _AWAY.search(said):
            raise Rejected(f"cosign {argv[0]} says no: {said}")
        raise self._no_answer(f"cosign {argv[0]}", done)

    def _check(self) -> None:
        if self._version < _OLDEST:
            shown, oldest = (".".join(map(str, each)) for each in (self._version, _OLDEST))
            raise Refused(
                f"{self.binary} is cosign {shown}: before {oldest} it could take what is not signed for signed",
                hint="install a later one, or name it: tools.cosign",
            )

    @cached_property
    def _version(self) -> tuple[int, ...]:
        done = self._run(("version", "--json"), {}, inherit=DEFAULT_INHERIT)
        try:
            found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", json.loads(done.stdout)["gitVersion"])
        except (ValueError, KeyError, TypeError):
            found = None
        if done.status or found is None:
            raise ToolFailed(
                f"{self.binary} does not tell its version: exit {done.status}, {_said(done) or 'no words'}",
                hint="is tools.cosign really cosign?",
            )
        return tuple(int(number) for number in found.groups())

    def _run(self, arguments: Sequence[str], env: Mapping[str, str], *, inherit: Sequence[str]) -> Completed:
        done = run((self.binary, *arguments), timeout_s=_TIMEOUT_S, env=env, inherit=inherit)
        if done.timed_out:
            raise ToolTimedOut(
                f"cosign {arguments[0]} had no end after {_TIMEOUT_S:.0f} s",
                hint="see whether registry and log can be reached from here",
            )
        return done

    def _no_answer(self, what: str, done: Completed) -> Exception:
        said = _said(done) or "no words"
        if _AWAY.search(said):
            return Unreachable(f"{what}: no answer: {said}", hint="check the network and the address of the registry")
        return ToolFailed(f"{what} ended with status {done.status}: {said}", hint=_mend(said))


def _said(done: Completed) -> str:
    """What cosign said, once: it says its errors twice, and warns of everything."""
    lines = [line for line in _WARNED.sub("", done.stderr).splitlines() if line.strip()]
    lines = [line.removeprefix("error during command execution: ") for line in lines]
    return last_lines("\n".join(dict.fromkeys(lines)), 3).replace("\n", "; ")


def _mend(said: str) -> str:
    if "no such file" in said:
        return "correct the path of the key (sign.key, sign.public_key)"
    if "UNAUTHORIZED" in said or "DENIED" in said or "401" in said or "403" in said:
        return "log in to the registry: docker login"
    if "decrypt" in said:
        return "correct the key's password (sign.password)"
    return "run it by hand; cosign's words say what is wrong"

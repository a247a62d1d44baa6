"""Helm, either major, through its own binary."""

from __future__ import annotations

import base64
import gzip
import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pytest_deploy.domain.action import HelmRollback, HelmUninstall, HelmUpgrade
from pytest_deploy.domain.rollout import HelmRevision, HelmVersion
from pytest_deploy.errors import Refused, ToolFailed, ToolTimedOut, Unreachable
from pytest_deploy.io.process import DEFAULT_INHERIT, Completed, run
from pytest_deploy.io.retry import TryAgain, patiently

if TYPE_CHECKING:
    from pytest_deploy.domain.action import Json, Target
    from pytest_deploy.io.process import Leash
    from pytest_deploy.ports import Clock

__all__ = ["HelmCli"]

_OLDEST = HelmVersion(major=3, minor=12)
_READ_S = 30.0
_PATIENCE = timedelta(seconds=60)
_SLACK_S = 30.0
_WORDS_LIMIT = 2000

_INHERIT = (
    *DEFAULT_INHERIT,
    # Where Helm keeps plug-ins, repositories and registry logins, how many revisions, and in what it stores them:
    # a history read elsewhere would be another release's.
    "HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME", "HELM_PLUGINS", "HELM_REGISTRY_CONFIG",
    "HELM_REPOSITORY_CACHE", "HELM_REPOSITORY_CONFIG", "HELM_MAX_HISTORY", "HELM_DRIVER", "HELM_DRIVER_*",
    # The way to the API server, and what a kubeconfig's exec plug-in logs in with there.
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
    "AWS_*", "AZURE_*", "ARM_*", "CLOUDSDK_*", "GOOGLE_*", "USE_GKE_GCLOUD_AUTH_PLUGIN",
)  # fmt: skip
_MISSING = "release: not found"
_UNREACHABLE = re.compile(
    r"cluster unreachable|connection refused|i/o timeout|TLS handshake timeout|no such host|EOF$|deadline exceeded"
    r"|etcdserver: (request timed out|leader changed)|too many requests",
    re.IGNORECASE | re.MULTILINE,
)


class HelmCli:
    """Port ``Helm`` on a binary.

    Args:
        binary: a name on PATH, or a path.
        leash: of what changes something, so that no Helm goes on for a deploy that has died or lost its lock;
            None: it ends with its call only.
    """

    def __init__(self, binary: str = "helm", *, clock: Clock, leash: Leash | None = None) -> None:
        self._binary = binary
        self._clock = clock
        self._leash = leash

    def version(self) -> HelmVersion:
        """Return Helm's version, asked for once.

        Raises:
            ToolMissing: there is no such program.
            ToolFailed: it does not tell its version.
            Refused: it is older than 3.12.
        """
        return self._version

    @cached_property
    def _version(self) -> HelmVersion:
        done = self._run((self._binary, "version", "--template", "{{.Version}}"), None, timeout_s=_READ_S)
        found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", done.stdout.strip())
        if done.status or found is None:
            said = _words(done) or repr(done.stdout[:100])
            raise ToolFailed(
                f"{self._binary} does not tell its version: exit {done.status}, {said}",
                hint="is tools.helm really Helm?",
            )
        version = HelmVersion(major=int(found[1]), minor=int(found[2]), patch=int(found[3]))
        if version < _OLDEST:
            raise Refused(
                f"{self._binary} is Helm {version}, a deploy needs {_OLDEST} or later",
                hint="install a later one, or name it: tools.helm",
            )
        return version

    def history(self, release: Target) -> tuple[HelmRevision, ...]:
        """Return the revisions, oldest first; () where the release is not installed."""
        done = self._read("history", release, "--max", "256", "--output", "json")
        if done is None:
            return ()
        try:
            rows = json.loads(done.stdout)
            revisions = [
                HelmRevision(
                    number=int(row["revision"]),
                    status=str(row["status"]),
                    description=str(row.get("description") or ""),
                    updated=str(row.get("updated") or ""),
                )
                for row in rows
            ]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ToolFailed(
                f"helm history of {release} is not the JSON that was expected: {done.stdout[:200]!r}",
                hint=f"run it by hand: {shlex.join(done.argv)}",
            ) from error
        return tuple(sorted(revisions, key=lambda revision: revision.number))

    def render(self, upgrade: HelmUpgrade) -> tuple[Mapping[str, Json], ...]:
        """Return the manifests that the upgrade would apply; raises ToolFailed with Helm's words."""
        done = self._run(upgrade.render_argv(self._binary), upgrade.target, timeout_s=2 * _READ_S)
        self._check(done, f"helm template of {upgrade.chart}")
        return tuple(_documents(done))

    def manifest(self, release: Target) -> tuple[Mapping[str, Json], ...]:
        """Return the manifests of the revision that is deployed; () where there is none.

        Helm itself would give those of the last revision, which may have failed.
        """
        deployed = [r.number for r in self.history(release) if r.status == "deployed"]
        if not deployed:
            return ()
        done = self._read("get", release, "--revision", str(deployed[-1]), sub="manifest")
        return () if done is None else tuple(_documents(done))

    def crds(self, chart: str) -> tuple[Mapping[str, Json], ...]:
        """Return the CustomResourceDefinitions in the chart's ``crds/``, its dependencies' included."""
        done = self._run((self._binary, "show", "crds", chart), None, timeout_s=_READ_S)
        self._check(done, f"helm show crds {chart}")
        return tuple(_documents(done))

    def record_size(self, upgrade: HelmUpgrade) -> int:
        """Return how many bytes Helm would store as the record of this revision; raises ToolFailed as ``render``.

        A dry run prints the record; it is kept as base64 of its gzipped JSON
        (https://github.com/helm/helm/blob/main/pkg/storage/driver/util.go), within 3 % of what is computed here.
        """
        argv = (*upgrade.render_argv(self._binary), "--dry-run=client", "--output", "json")
        done = self._run((argv[0], "install", *argv[2:]), upgrade.target, timeout_s=2 * _READ_S)
        self._check(done, f"helm install --dry-run of {upgrade.chart}")
        try:
            record = json.dumps(json.loads(done.stdout), separators=(",", ":")).encode()
        except ValueError as error:
            raise ToolFailed(f"helm install --dry-run of {upgrade.chart} printed no JSON: {error}") from error
        return len(base64.b64encode(gzip.compress(record, 9)))

    def execute(self, action: HelmUpgrade | HelmRollback | HelmUninstall) -> str:
        """Do it and return what Helm's history says then; raises ToolFailed, ToolTimedOut or ToolMissing.

        Raises:
            Refused: before anything is done, when the release's last revision is not the upgrade's base.
        """
        if isinstance(action, HelmUpgrade):
            self._check_base(action)
        # Helm's --timeout is for each of its operations, and an atomic upgrade's way back gets a fresh one.
        limit_s = 2 * action.timeout.total_seconds() + _SLACK_S
        done = self._run(action.argv(self._binary, self.version()), action.target, timeout_s=limit_s, leash=self._leash)
        if isinstance(action, HelmUninstall) and done.status and _MISSING in done.stderr:
            return f"{action.target} was not installed"
        self._check(done, action.summary)
        last = next(reversed(self.history(action.target)), None)
        if isinstance(action, HelmUninstall):
            if last is not None:
                raise ToolFailed(f"{action.summary}: Helm reports success, but {_shown(last)} is there")
            return f"{action.target} is not installed any more"
        wanted = action.base_revision + 1 if isinstance(action, HelmUpgrade) else None
        if last is None or last.status != "deployed" or wanted not in {None, last.number}:
            seen = "no release at all" if last is None else _shown(last)
            raise ToolFailed(
                f"{action.summary}: Helm reports success, but its history ends with {seen}",
                hint="somebody else deployed at the same time: look at helm history before anything else",
            )
        return _shown(last)

    def _check_base(self, action: HelmUpgrade) -> None:
        history = self.history(action.target)
        last = history[-1] if history else None
        if last is not None and last.pending:
            raise Refused(
                f"release {action.target} is busy: {_shown(last)}, of {last.updated}",
                hint=f"if nobody works on it, it was killed: {self._mend(action, history)}",
            )
        if (last.number if last else 0) != action.base_revision:
            seen = _shown(last) + f", of {last.updated}" if last else "no revision at all"
            raise Refused(
                f"somebody else deployed {action.target}: its last is {seen}; "
                f"revision {action.base_revision} was expected",
                hint="nothing was changed; see what they deployed, then deploy again",
            )

    def _mend(self, action: HelmUpgrade, history: Sequence[HelmRevision]) -> str:
        good = [r.number for r in history if r.status in {"deployed", "superseded"}]
        way: HelmRollback | HelmUninstall = HelmUninstall(target=action.target, timeout=action.timeout)
        if good:
            way = HelmRollback(target=action.target, revision=good[-1], timeout=action.timeout)
        return shlex.join(way.argv(self._binary, self.version()))

    def _read(self, verb: str, release: Target, *flags: str, sub: str = "") -> Completed | None:
        """Run a command that changes nothing, patiently; None where the release is not there."""
        config = ("--kubeconfig", release.kubeconfig) if release.kubeconfig else ()
        where = (*config, "--kube-context", release.context, "--namespace", release.namespace)
        argv = (self._binary, verb, *((sub,) if sub else ()), release.name, *where, *flags)

        def attempt(left: timedelta) -> Completed | None:
            done = self._run(argv, release, timeout_s=min(_READ_S, max(1.0, left.total_seconds())))
            if done.status and _MISSING in done.stderr:
                return None
            if done.timed_out or (done.status and _UNREACHABLE.search(done.stderr)):
                said = "no answer in time" if done.timed_out else _words(done)
                raise TryAgain(Unreachable(f"helm {verb} of {release}: {said}", hint="see that the cluster answers"))
            self._check(done, f"helm {verb} of {release}")
            return done

        return patiently(attempt, clock=self._clock, patience=_PATIENCE)

    def _run(
        self, argv: Sequence[str], target: Target | None, *, timeout_s: float, leash: Leash | None = None
    ) -> Completed:
        usual_places = target is not None and target.kubeconfig is None
        inherit = (*_INHERIT, "KUBECONFIG") if usual_places else _INHERIT
        return run(argv, timeout_s=timeout_s, inherit=inherit, leash=leash)

    def _check(self, done: Completed, what: str) -> None:
        if done.let_go:
            raise ToolFailed(
                f"{what}: killed by us after {done.seconds:.0f} s, because the lock was lost",
                hint="its release may be left pending: pytest-deploy recover mends it",
            )
        if done.timed_out:
            raise ToolTimedOut(
                f"{what}: not done after {done.seconds:.0f} s, ended by us; Helm said: {_words(done) or 'nothing'}",
                hint="its release may be left pending: look at helm history",
            )
        if done.status:
            raise ToolFailed(f"{what}: exit {done.status}, {_words(done) or 'no words'}", hint=_advice(done))


def _words(done: Completed) -> str:
    """Helm's words: what it printed as errors, its log lines and warnings left out, the last kept where it is long."""
    lines = [line.strip() for line in done.stderr.splitlines()]
    told = [line for line in lines if line and not line.startswith(("WARNING:", "level=", "time="))]
    return " ".join(told)[-_WORDS_LIMIT:]


def _advice(done: Completed) -> str:
    if "another operation" in done.stderr:
        return "another Helm operation runs or was killed: look at helm history"
    return f"run it by hand: {shlex.join(done.argv[:4])} ..."


def _shown(revision: HelmRevision) -> str:
    return f"revision {revision.number}, {revision.status} ({revision.description or 'no description'})"


def _documents(done: Completed) -> Iterator[Mapping[str, Json]]:
    """Parse the manifests as Helm's Go libraries do: a date stays text, as the API server will see it."""
    import yaml

    if done.cut:
        raise ToolFailed(f"{shlex.join(done.argv[:4])}: its output is too large to be read whole")

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # the base is looked up
        pass

    resolvers: dict[str, list[tuple[str, Any]]] = Loader.yaml_implicit_resolvers
    Loader.yaml_implicit_resolvers = {
        first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:timestamp"]
        for first, pairs in resolvers.items()
    }
    try:
        for document in yaml.load_all(done.stdout, Loader=Loader):
            if isinstance(document, dict):
                yield document
            elif document is not None:
                raise ToolFailed(f"{shlex.join(done.argv[:4])}: a manifest is no mapping: {str(document)[:100]!r}")
    except yaml.YAMLError as error:
        raise ToolFailed(f"{shlex.join(done.argv[:4])}: its output is no YAML: {error}") from error

"""Helm's adapter on a program that plays Helm: it answers by script, and writes down how it was called."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from pathlib import Path
from threading import Event, Timer
from typing import Any

import pytest

from pytest_deploy.adapters.helm import HelmCli
from pytest_deploy.domain.action import HelmRollback, HelmUninstall, HelmUpgrade, Target
from pytest_deploy.domain.rollout import HelmRevision, HelmVersion
from pytest_deploy.errors import Refused, ToolFailed, ToolMissing, ToolTimedOut, Unreachable
from pytest_deploy.io.process import Leash
from pytest_deploy.testing.clock import FakeClock

TARGET = Target(environment="prod", context="acme", namespace="shop", name="svc", kubeconfig="/k")

SCRIPT = f"""#!{sys.executable} -S
import json, os, pathlib, sys
folder = pathlib.Path(__file__).parent
verb = sys.argv[1]
with (folder / "calls.jsonl").open("a") as calls:
    calls.write(json.dumps({{"argv": sys.argv[1:], "env": dict(os.environ)}}) + "\\n")
answers = json.loads((folder / "answers.json").read_text())
left = answers.get(verb) or [{{}}]
answer = left.pop(0) if len(left) > 1 else left[0]
(folder / "answers.json").write_text(json.dumps(answers))
if answer.get("hang"):
    import signal
    signal.pause()
sys.stderr.write(answer.get("err", ""))
sys.stdout.write(answer.get("out", ""))
sys.exit(answer.get("status", 0))
"""


class Helm:
    """The program and what it is to say."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "helm"
        self.path.write_text(SCRIPT)
        self.path.chmod(0o700)
        self.answers: dict[str, list[dict[str, Any]]] = {"version": [{"out": "v3.17.3"}]}
        self.cli = HelmCli(str(self.path), clock=FakeClock())
        self.say()

    def say(self, **answers: dict[str, Any] | list[dict[str, Any]]) -> None:
        """Answer each verb so; a list one after the other, the last for ever."""
        self.answers |= {verb: one if isinstance(one, list) else [one] for verb, one in answers.items()}
        (self.folder / "answers.json").write_text(json.dumps(self.answers))

    @property
    def calls(self) -> list[dict[str, Any]]:
        """How it was called."""
        path = self.folder / "calls.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def verbs(self) -> list[str]:
        """What it was asked to do."""
        return [call["argv"][0] for call in self.calls]


@pytest.fixture
def helm(tmp_path: Path) -> Helm:
    """A Helm 3 that does nothing."""
    return Helm(tmp_path)


def history(*statuses: str, first: int = 1) -> dict[str, Any]:
    """Answer ``helm history`` with revisions of these statuses."""
    rows = [
        {"revision": number, "updated": "2026-11-24T10:00:00Z", "status": status, "chart": "svc-1", "description": "x"}
        for number, status in enumerate(statuses, start=first)
    ]
    return {"out": json.dumps(rows)}


def upgrade(base: int, seconds: float = 60) -> HelmUpgrade:
    """Make the action."""
    return HelmUpgrade(
        target=TARGET,
        chart="charts/svc",
        values_files=("prod.yaml",),
        values=(("image.digest", '"sha256:2"'),),
        base_revision=base,
        timeout=timedelta(seconds=seconds),
    )


@pytest.mark.parametrize(
    ("text", "version"),
    [("v3.17.3", (3, 17, 3)), ("v4.2.3+g1a2b3c", (4, 2, 3)), ("v3.12.0-rc.1\n", (3, 12, 0))],
)
def test_the_version_is_asked_for_once(helm: Helm, text: str, version: tuple[int, int, int]) -> None:
    """Both majors tell it in the same way; it is not asked for again."""
    helm.say(version={"out": text})
    major, minor, patch = version
    assert helm.cli.version() == helm.cli.version() == HelmVersion(major=major, minor=minor, patch=patch)
    assert helm.verbs == ["version"]


def test_an_old_or_strange_helm_is_told(helm: Helm, tmp_path: Path) -> None:
    """Before 3.12 it is refused; what is no Helm or not there has an error of its own."""
    helm.say(version={"out": "v3.11.3"})
    with pytest.raises(Refused, match=r"is Helm 3.11.3, a deploy needs 3.12.0 or later"):
        helm.cli.version()
    helm.say(version={"out": "hello", "status": 1, "err": "unknown flag: --template"})
    with pytest.raises(ToolFailed, match="does not tell its version: exit 1, unknown flag"):
        helm.cli.version()
    with pytest.raises(ToolMissing):
        HelmCli(str(tmp_path / "not-there"), clock=FakeClock()).version()


def test_history_is_read_in_order(helm: Helm) -> None:
    """Number, status, description and time of each revision, oldest first; all that Helm keeps is asked for."""
    helm.say(history=history("superseded", "deployed", first=6))
    assert helm.cli.history(TARGET) == (
        HelmRevision(number=6, status="superseded", description="x", updated="2026-11-24T10:00:00Z"),
        HelmRevision(number=7, status="deployed", description="x", updated="2026-11-24T10:00:00Z"),
    )
    assert helm.calls[0]["argv"] == [
        "history", "svc", "--kubeconfig", "/k", "--kube-context", "acme", "--namespace", "shop",
        "--max", "256", "--output", "json",
    ]  # fmt: skip


def test_a_missing_release_has_no_history(helm: Helm) -> None:
    """Helm's "not found" is an answer; any other failure is not."""
    helm.say(history={"status": 1, "err": "Error: release: not found\n"})
    assert helm.cli.history(TARGET) == ()
    assert helm.cli.manifest(TARGET) == ()
    helm.say(history={"status": 1, "err": "Error: secrets is forbidden\n"})
    with pytest.raises(ToolFailed, match="helm history of svc in acme/shop: exit 1, Error: secrets is forbidden"):
        helm.cli.history(TARGET)


@pytest.mark.parametrize("out", ["", "{}x", '[{"status": "deployed"}]', "[3]", "null"])
def test_a_history_that_is_no_history_is_an_error(helm: Helm, out: str) -> None:
    """Never an empty history: that would mean "not installed"."""
    helm.say(history={"out": out})
    with pytest.raises(ToolFailed, match="is not the JSON that was expected"):
        helm.cli.history(TARGET)


def test_a_read_waits_for_the_cluster(helm: Helm) -> None:
    """A cluster that can't be reached for a moment is asked again; in the end it is Unreachable."""
    down = {"status": 1, "err": "Error: Kubernetes cluster unreachable: connection refused\n"}
    helm.say(history=[down, down, history("deployed")])
    assert [r.number for r in helm.cli.history(TARGET)] == [1]
    helm.say(history=down)
    with pytest.raises(Unreachable, match="connection refused"):
        helm.cli.history(TARGET)


def test_manifests_are_parsed_as_the_api_server_will(helm: Helm) -> None:
    """Documents are mappings, empty ones are left out, and a date stays text."""
    helm.say(
        template={
            "out": "---\n# empty\n---\nkind: Rollout\nspec: {since: 2026-11-24, on: true, n: 5}\n---\nkind: Service\n"
        }
    )
    assert helm.cli.render(upgrade(1)) == (
        {"kind": "Rollout", "spec": {"since": "2026-11-24", True: True, "n": 5}},
        {"kind": "Service"},
    )
    argv = helm.calls[0]["argv"]
    assert argv[:3] == ["template", "svc", "charts/svc"]
    assert 'image.digest="sha256:2"' in argv
    for out in ("- 1", "a: b: c", "just text"):
        helm.say(template={"out": out})
        with pytest.raises(ToolFailed, match="helm"):
            helm.cli.render(upgrade(1))
    helm.say(template={"status": 1, "err": "Error: parse error at (svc/templates/x.yaml:3)"})
    with pytest.raises(ToolFailed, match="helm template of charts/svc: exit 1, Error: parse error at"):
        helm.cli.render(upgrade(1))


def test_the_manifest_is_that_of_the_deployed_revision(helm: Helm) -> None:
    """Where the last revision failed, the one before it is what runs."""
    helm.say(history=history("superseded", "deployed", "failed"), get={"out": "kind: Rollout"})
    assert helm.cli.manifest(TARGET) == ({"kind": "Rollout"},)
    argv = helm.calls[-1]["argv"]
    assert (argv[:3], argv[-2:]) == (["get", "manifest", "svc"], ["--revision", "2"])
    helm.say(history=history("failed"))
    assert helm.cli.manifest(TARGET) == ()


def test_an_upgrade_is_checked_before_and_after(helm: Helm) -> None:
    """The history must end with the base before, and with the base's successor, deployed, after."""
    helm.say(history=[history("deployed"), history("superseded", "deployed")], upgrade={"out": '{"config": "s3cret"}'})
    said = helm.cli.execute(upgrade(1))
    assert said == "revision 2, deployed (x)"
    assert sorted(helm.verbs) == ["history", "history", "upgrade", "version"]
    argv = next(call["argv"] for call in helm.calls if call["argv"][0] == "upgrade")
    assert argv == list(upgrade(1).argv("helm", HelmVersion(major=3, minor=17))[1:])


@pytest.mark.parametrize(
    ("base", "seen", "message"),
    [
        (1, history("superseded", "deployed"), "its last is revision 2, deployed .*; revision 1 was expected"),
        (0, history("deployed"), "its last is revision 1, deployed .*; revision 0 was expected"),
        (
            3,
            {"status": 1, "err": "Error: release: not found"},
            "its last is no revision at all; revision 3 was expected",
        ),
    ],
)
def test_an_upgrade_over_somebody_elses_is_refused(helm: Helm, base: int, seen: dict[str, Any], message: str) -> None:
    """Where the base is another one, Helm is not even started."""
    helm.say(history=seen)
    with pytest.raises(Refused, match=f"somebody else deployed svc in acme/shop: {message}"):
        helm.cli.execute(upgrade(base))
    assert set(helm.verbs) == {"history"}


@pytest.mark.parametrize(
    ("statuses", "mend"),
    [
        (("superseded", "deployed", "failed", "pending-upgrade"), "rollback svc 2 --kubeconfig /k"),
        (("pending-install",), "uninstall svc --kubeconfig /k"),
    ],
)
def test_a_pending_release_is_refused_with_its_mending(helm: Helm, statuses: tuple[str, ...], mend: str) -> None:
    """The hint is the whole command, to the last good revision."""
    helm.say(history=history(*statuses))
    with pytest.raises(Refused, match=f"is busy: revision {len(statuses)}, {statuses[-1]}") as caught:
        helm.cli.execute(upgrade(len(statuses)))
    assert f"{helm.path} {mend} --kube-context acme --namespace shop" in caught.value.hint


def test_a_failed_upgrade_has_helms_words(helm: Helm) -> None:
    """Exit status and words are in the error; warnings and what was set are not."""
    err = "WARNING: kubeconfig is group-readable\nlevel=WARN msg=x\nError: UPGRADE FAILED: timed out\n"
    helm.say(history=history("deployed"), upgrade={"status": 1, "err": err})
    with pytest.raises(ToolFailed) as caught:
        helm.cli.execute(upgrade(1))
    text = str(caught.value)
    assert "(revision 1 -> 2): exit 1, Error: UPGRADE FAILED: timed out" in text
    assert "WARN" not in text
    assert "sha256:2" not in text


@pytest.mark.parametrize(
    "after", [history("superseded", "superseded", "deployed"), history("deployed", "failed"), history("deployed")]
)
def test_a_success_that_the_history_denies_is_a_failure(helm: Helm, after: dict[str, Any]) -> None:
    """Exit status 0 is believed only with the right revision on top."""
    helm.say(history=[history("deployed"), after])
    with pytest.raises(ToolFailed, match="Helm reports success, but its history ends with revision"):
        helm.cli.execute(upgrade(1))


def test_a_hanging_helm_is_ended(helm: Helm, monkeypatch: pytest.MonkeyPatch) -> None:
    """After twice Helm's own limit and some slack it is ended; the release may then be pending, and that is said."""
    monkeypatch.setattr("pytest_deploy.adapters.helm._SLACK_S", 0.0)
    helm.say(history=history("deployed"), upgrade={"hang": True})
    with pytest.raises(ToolTimedOut, match="ended by us") as caught:
        helm.cli.execute(upgrade(1, seconds=0.3))
    assert "pending" in caught.value.hint


def test_a_rollback_ends_on_a_deployed_revision(helm: Helm) -> None:
    """A rollback is not kept from a pending release; what it left behind is checked."""
    helm.say(history=history("superseded", "superseded", "deployed"))
    action = HelmRollback(target=TARGET, revision=1, timeout=timedelta(seconds=60))
    assert helm.cli.execute(action) == "revision 3, deployed (x)"
    assert helm.verbs[:2] == ["version", "rollback"]
    helm.say(history=history("deployed", "pending-rollback"))
    with pytest.raises(ToolFailed, match="pending-rollback"):
        helm.cli.execute(action)


def test_an_uninstall_may_be_repeated(helm: Helm) -> None:
    """What is not there any more is what was wanted; what is still there is not."""
    action = HelmUninstall(target=TARGET, timeout=timedelta(seconds=60))
    gone = {"status": 1, "err": "Error: release: not found"}
    helm.say(history=gone)
    assert helm.cli.execute(action) == "svc in acme/shop is not installed any more"
    helm.say(uninstall={"status": 1, "err": "Error: uninstall: Release not loaded: svc: release: not found"})
    assert helm.cli.execute(action) == "svc in acme/shop was not installed"
    helm.say(uninstall={}, history=history("uninstalling"))
    with pytest.raises(ToolFailed, match="is there"):
        helm.cli.execute(action)


def test_helm_sees_only_what_it_needs(helm: Helm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Helm's homes are inherited; KUBECONFIG only where the target names none; tokens of others never."""
    for name in ("HELM_CACHE_HOME", "KUBECONFIG", "HELM_NAMESPACE", "GITHUB_TOKEN"):
        monkeypatch.setenv(name, "set")
    helm.say(history=history("deployed"))
    helm.cli.history(TARGET)
    helm.cli.history(Target(environment="prod", context="acme", namespace="shop", name="svc"))
    first, second = (call["env"] for call in helm.calls)
    assert first["HELM_CACHE_HOME"] == "set"
    assert ("KUBECONFIG" in first, "KUBECONFIG" in second) == (False, True)
    assert not {"HELM_NAMESPACE", "GITHUB_TOKEN"} & (first.keys() | second.keys())


@pytest.mark.parametrize(("version", "flagged"), [("v3.17.3", False), ("v4.2.3", True)])
def test_helm_4_merges_on_the_clients_side(helm: Helm, version: str, flagged: bool) -> None:
    """Upgrade and rollback by Helm 4 leave the fields alone that the rollout's controller owns."""
    helm.say(version={"out": version}, history=[history("deployed"), history("superseded", "deployed")])
    helm.cli.execute(upgrade(1))
    helm.cli.execute(HelmRollback(target=TARGET, revision=1, timeout=timedelta(seconds=60)))
    found = {call["argv"][0]: "--server-side=false" in call["argv"] for call in helm.calls}
    assert (found["upgrade"], found["rollback"]) == (flagged, flagged)


@pytest.mark.parametrize("after_s", [0, 0.5])
def test_helm_ends_with_the_lock(tmp_path: Path, after_s: float) -> None:
    """Lost while it runs it is killed, lost before it is not started; reads go on."""
    helm = Helm(tmp_path)
    helm.say(rollback={"hang": True}, history={"out": "[]"})
    lost = Event()
    cli = HelmCli(str(helm.path), clock=FakeClock(), leash=Leash(let_go=lost, silence_s=60))
    cli.version()
    if after_s:
        Timer(after_s, lost.set).start()
    else:
        lost.set()
    with pytest.raises(ToolFailed, match="because the lock was lost" if after_s else "is not started"):
        cli.execute(HelmRollback(target=TARGET, revision=1, timeout=timedelta(seconds=30)))
    assert [call["argv"][0] for call in helm.calls] == ["version", "rollback"][: 2 if after_s else 1]
    assert cli.history(TARGET) == ()

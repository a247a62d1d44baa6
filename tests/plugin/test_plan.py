"""``plan`` as a caller sees it, on a world in memory: what it says in each case, and that it writes nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pytest_deploy.cli_plan import plan
from pytest_deploy.config.load import load
from pytest_deploy.domain.outcome import Mode
from pytest_deploy.domain.rollout import HelmRevision
from pytest_deploy.errors import ConfigError, Refused, ToolFailed
from pytest_deploy.plan import whole
from pytest_deploy.rehearsal import World
from pytest_deploy.worlds import Wanted
from pytest_deploy.worlds import World as Seen

PLANTED = "pl4nted-s3cret"
DEPLOY_YAML = """\
service: api
image: ghcr.io/acme/api@sha256:{digest}
strategy: canary
canary_steps: [5, 100]
chart_path: ./chart
owner: team
slo: {{error_rate_max: 0.005, p95_latency_ms: 300, window_minutes: 5}}
environments:
  staging: {{context: acme-staging, namespace: staging}}
  prod: {{context: acme-prod, namespace: prod}}
metrics: {{prometheus: {{url: "https://prometheus.example.com", version_label: pod_template_hash}}}}
"""
FEATURE = """\
@deploy
Feature: api reaches production

  Background:
    Given the release "api" of deploy.yaml, bound for "prod"

  Scenario: Staging
    When the release is installed on "staging"
    Then every pod runs the pinned digest within 5 minutes

  Scenario: Canary at 5
    When 5% of the traffic goes to the canary
    Then for 5 minutes the error rate stays at or below 0.5%

  Scenario: Canary at 100
    When 100% of the traffic goes to the canary
    Then for 5 minutes the error rate stays at or below 0.5%
"""


class Team:
    """A feature with its deploy.yaml, and the world that it is planned against."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (folder / "chart").mkdir()
        (folder / "chart" / "Chart.yaml").touch()
        self.folder = folder
        self.feature = folder / "prod.feature"
        self.feature.write_text(FEATURE, "utf-8")
        (folder / "deploy.yaml").write_text(DEPLOY_YAML.format(digest="9" * 64), "utf-8")
        release = load(folder / "deploy.yaml").release()
        world = World(release=release, scrape_interval=timedelta(seconds=15), version_label=True, sections=())
        self.ports = world.ports()
        self.release = release
        self.wanted: Wanted | None = None
        monkeypatch.setattr(whole, "looking", self.looking)
        for port, name in (("helm", "execute"), ("traffic", "execute"), ("journal", "append")):
            self.alter(port, **{name: never})

    def looking(self, mode: Mode, wanted: Wanted) -> Seen:
        """Give this world in place of the real one."""
        assert mode is Mode.REAL
        self.wanted = wanted
        return Seen(ports=self.ports, release=self.release, secrets=frozenset({PLANTED}))

    def alter(self, port: str, **methods: Callable[..., Any]) -> None:
        """Replace methods of a port."""
        before = getattr(self.ports, port)
        made = type("Altered", (), {"__getattr__": lambda _, name: getattr(before, name)})()
        for name, method in methods.items():
            setattr(made, name, method)
        self.ports = replace(self.ports, **{port: made})

    def holds(self, *live: dict[str, Any], planned: list[dict[str, Any]] | None = None, **digests: str) -> None:
        """Let releases hold a Rollout with these further objects, and the chart render the same or others."""
        old, new = digests.get("old", "1" * 64), digests.get("new", "9" * 64)
        further = list(live) if planned is None else planned
        self.alter(
            "helm",
            manifest=lambda _: (rollout(old), *live),
            render=lambda _: (rollout(new), *further),
        )

    def run(self, *options: str) -> Result:
        """Run the verb."""
        return CliRunner().invoke(plan, [str(self.feature), *options])

    def words(self) -> dict[str, list[str]]:
        """Return the sentences of each environment."""
        result = self.run("--json")
        assert result.exit_code == 0, result.output
        return {each["name"]: each["words"] for each in json.loads(result.output)["environments"]}


def never(*_: object, **__: object) -> Any:
    """Fail: a plan writes nothing."""
    raise AssertionError("it must not")


def rollout(digest: str) -> dict[str, Any]:
    """Return a Rollout of the service."""
    containers = [{"name": "api", "image": f"ghcr.io/acme/api@sha256:{digest}"}]
    spec = {"template": {"spec": {"containers": containers, "volumes": [{"configMap": {"name": "c"}}]}}}
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "api"}, "spec": spec}


def config(**data: str) -> dict[str, Any]:
    """Return the ConfigMap that the pods use."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data}


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Team:
    """Give one."""
    return Team(tmp_path, monkeypatch)


def test_commands_and_patches_then_the_diff(team: Team) -> None:
    """Each environment that the feature touches, in order, each with its command before and its diff after."""
    result = team.run()
    assert result.exit_code == 0, result.output
    places = [
        result.output.index(words)
        for words in (
            "prod.feature: api to prod (acme-prod/prod)",
            "--namespace staging",
            "--kube-context acme-prod --namespace prod",
            "# at 5 %: watch 5 min",
            "# commitment, when all gates have passed:",
            "# on any failure or signal, at any point:",
            "staging (acme-staging/staging):",
            "prod (acme-prod/prod):",
            "1 changed, of ",
            "image: ghcr.io/acme/api@sha256:",
            "Rollout/api: changed",
            "+++ planned Rollout/api",
        )
    ]
    assert places[:8] == sorted(places[:8])
    assert f"+        image: ghcr.io/acme/api@sha256:{'9' * 64}" in "".join(result.output.split("-      - "))
    assert team.wanted is not None
    assert team.wanted.touched == ("staging", "prod")
    assert sorted(path.name for path in team.folder.iterdir() if path.suffix != ".pyc") == [
        "chart",
        "deploy.yaml",
        "prod.feature",
    ]


def test_the_lines_are_those_of_the_deploy(team: Team, tmp_path: Path) -> None:
    """What a rehearsal of the same feature prints as its plan is what the verb prints; ids and lock numbers apart."""
    team.ports = replace(team.ports, lock=type("Lock", (), {})())
    told = json.loads(team.run("--json").output)["plan"]
    reports = tmp_path / "reports"
    arguments = ["--rehearse", f"--deploy-reports={reports}", "-p", "no:cacheprovider", str(team.feature)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    printed = done.stdout.partition("plan:\n")[2].splitlines()[: len(told)]
    label = "deploy-id="
    assert [line.partition(label)[0].replace("'", "") for line in told] == [
        line.strip().partition(label)[0].replace("'", "") for line in printed
    ]
    assert len(told) >= 10


def test_a_change_of_configuration_only(team: Team) -> None:
    """Said in words; for the canary with what the deploy would make of it, and who is hit by it."""
    team.holds(config(a="1"), planned=[config(a="2")], old="9" * 64)
    words = team.words()
    assert words["staging"] == [
        "1 changed, of 2 objects; live is revision 3",
        f"a change of configuration only: the image stays ghcr.io/acme/api@sha256:{'9' * 64}",
    ]
    assert words["prod"][:2] == words["staging"]
    assert "no canary would start" in words["prod"][2]
    assert words["prod"][3].startswith("warning: ConfigMap/c is used by running pods and is changed by this release")


def test_nothing_to_change(team: Team) -> None:
    """Said in words, and there is no diff."""
    team.holds(config(a="1"), old="9" * 64)
    assert team.words()["staging"] == ["nothing to change: all 2 objects are as revision 3 has them"]
    assert "no canary would start" in team.words()["prod"][1]
    assert "+++" not in team.run().output


def test_a_first_install(team: Team) -> None:
    """All is new; a canary is told that pre-flight would refuse it."""
    team.alter("helm", history=lambda _: (), manifest=lambda _: (), render=lambda _: (rollout("9" * 64), config(a="1")))
    words = team.words()
    assert words["staging"] == ["first install: Helm has no release api there, all 2 objects are new"]
    assert "until the release is installed once" in words["prod"][1]
    assert "ConfigMap/c: new" in team.run().output


def test_a_release_that_is_not_at_rest(team: Team) -> None:
    """The diff is against the deployed revision, and the one on top is told with what follows."""
    team.holds(config(a="1"))
    revisions = (
        HelmRevision(number=4, status="deployed", description="", updated=""),
        HelmRevision(number=5, status="pending-upgrade", description="", updated=""),
    )
    team.alter("helm", history=lambda _: revisions)
    words = team.words()["prod"]
    assert words[0].endswith("live is revision 4")
    assert any(text.startswith("revision 5 is on top, pending-upgrade: pre-flight would refuse it") for text in words)
    team.alter("helm", history=lambda _: revisions[1:], manifest=lambda _: ())
    assert team.words()["prod"][0] == "no revision of api is deployed: the last is revision 5, pending-upgrade"


def test_hooks_are_counted(team: Team) -> None:
    """They run, and are not compared."""
    hook = {"kind": "Job", "metadata": {"name": "m", "annotations": {"helm.sh/hook": "pre-upgrade"}}}
    team.holds(planned=[hook])
    assert team.words()["prod"][-1] == "not compared: 1 of Helm's hooks"
    assert "Job/m" not in team.run().output


def test_a_digest_that_nobody_knows(team: Team) -> None:
    """It stands in angle brackets everywhere, and that the deploy would be refused is said."""
    text = (team.folder / "deploy.yaml").read_text("utf-8").replace(f"@sha256:{'9' * 64}", "")
    (team.folder / "deploy.yaml").write_text(text, "utf-8")
    team.release = load(team.folder / "deploy.yaml").release()
    out = team.run().output
    assert "<digest> is known to nobody" in out
    assert "-> ghcr.io/acme/api@<digest>" in out
    assert "0" * 64 not in out


def test_no_helm_release(team: Team) -> None:
    """The image alone is patched: what it is and what it would be."""
    there = dict(team.release.environments)
    there["prod"] = replace(there["prod"], release=None)
    team.release = replace(team.release, environments=there)
    (text,) = team.words()["prod"]
    assert text.startswith("no Helm release owns api: the image of api changes alone, ghcr.io/acme/api@sha256:")
    assert text.endswith(f"-> ghcr.io/acme/api@sha256:{'9' * 64}")


def test_a_gitops_environment(team: Team) -> None:
    """Nothing is rendered there, and that is said."""
    team.ports = replace(team.ports, gitops=type("Git", (), {"covers": lambda _, name: name == "prod"})())
    assert team.words()["prod"][0].startswith("kept by GitOps: ")


def test_secrets_are_found_nowhere(team: Team) -> None:
    """Neither those that deploy.yaml names nor those that the cluster holds: in commands, words, diffs, errors."""
    held = {"kind": "Secret", "metadata": {"name": "db"}, "data": {"pw": "b2xkLXNlY3JldC12YWx1ZQ=="}}
    new = {"kind": "Secret", "metadata": {"name": "db"}, "data": {"pw": "bmV3LXNlY3JldC12YWx1ZQ=="}}
    told = config(url=f"https://{PLANTED}@x", copy="old-secret-value")
    team.holds(held, told, planned=[new, config(url="https://y", copy="new-secret-value")])
    team.release = replace(team.release, values=(("pw", json.dumps("new-secret-value")),))
    for result in (team.run(), team.run("--json")):
        assert result.exit_code == 0, result.output
        assert ", changed]" in result.output
        assert 'pw="[secret]"' in result.output.replace("\\", "")
        for secret in (PLANTED, "secret-value", "b2xkLXNlY3JldC12YWx1ZQ", "bmV3LXNlY3JldC12YWx1ZQ"):
            assert secret not in result.output
    team.alter("helm", render=refuse(ToolFailed(f"helm template: no {PLANTED}, no old-secret-value")))
    team.alter("helm", manifest=lambda _: (held,))
    result = team.run()
    assert result.exit_code == 3
    assert "NOT LOOKED AT: helm template: no [secret]" in result.output
    assert PLANTED not in result.output


def refuse(error: Exception) -> Callable[..., Any]:
    """Return a method that raises it."""

    def method(*_: object) -> Any:
        raise error

    return method


@pytest.mark.parametrize(("error", "status"), [(Refused("no"), 4), (ToolFailed("broken"), 3)])
def test_one_environment_that_can_not_be_looked_at(team: Team, error: Exception, status: int) -> None:
    """The other one is shown all the same, and the exit status says so."""
    whole_helm = team.ports.helm

    def history(release: Any) -> Any:
        if release.environment == "staging":
            raise error
        return whole_helm.history(release)

    team.alter("helm", history=history)
    result = team.run("--json")
    assert result.exit_code == status
    staging, prod = json.loads(result.output)["environments"]
    assert (staging["problem"], staging["changes"]) == (str(error), [])
    assert prod["problem"] is None
    assert [each["object"] for each in prod["changes"]] == ["Rollout/api"]


def test_a_deploy_that_would_be_refused_at_once(team: Team) -> None:
    """For the same reason, before anything is looked at."""
    team.feature.write_text(FEATURE.replace('"api"', '"other"'), "utf-8")
    result = team.run()
    assert isinstance(result.exception, ConfigError)
    assert "the feature deploys 'other', deploy.yaml describes 'api'" in str(result.exception)
    team.feature.write_text(FEATURE.replace("error rate", "eror rate"), "utf-8")
    assert "eror rate" in str(team.run().exception)
    assert team.wanted is None


def test_a_feature_that_changes_nothing(team: Team) -> None:
    """Said in words, and no environment is looked at."""
    head = FEATURE.partition("  Scenario: Staging")[0]
    team.feature.write_text(f'{head}  Scenario: Look\n    Given the cluster is the one expected for "prod"\n', "utf-8")
    body = json.loads(team.run("--json").output)
    assert (body["plan"], body["environments"]) == ([], [])
    assert "no Helm command and no patch" in body["words"][0]


def test_colors_are_for_terminals(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    """None in a file or a pipe, none where NO_COLOR asks for none."""
    assert "\x1b" not in team.run().output
    monkeypatch.setattr("pytest_deploy.cli_plan._colored", lambda: True)
    result = CliRunner().invoke(plan, [str(team.feature)], color=True)
    assert "\x1b[32m+++ planned Rollout/api\x1b[0m" in result.output

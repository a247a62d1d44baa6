"""Pre-flight on a real API server: the account is the one that ``rbac`` prints, the world is wrong in many ways."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import ssl
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_deploy.adapters.helm import HelmCli
from pytest_deploy.domain.action import HelmUpgrade, Target
from pytest_deploy.io.clock import SystemClock
from tests.e2e.caller import Deploys, Running, deployer
from tests.e2e.conftest import Places
from tests.e2e.oracle import CHART, SERVICE, Place, digest_of, eventually

pytestmark = pytest.mark.real

THING = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.%s.example.com}
spec:
  group: %s.example.com
  scope: Namespaced
  names: {kind: Thing, plural: things}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, properties: {size: {type: %s}}}}
"""


def start(place: Place, deploys: Deploys, kubeconfig: Path | str, *options: str, **files: Any) -> Running:
    """Start a deploy for real by this account."""
    deploys.write(place, real=True, digest=f"@{digest_of(f'new {place.folder}')}", **files)
    return deploys.run(place, "prod.feature", *options, env={"CI": "true", "KUBECONFIG": str(kubeconfig)})


def refused(place: Place, run: Running, before: object) -> str:
    """Assert that it was refused and wrote nothing, and return what it told."""
    assert run.end() == 4, run.out
    assert "REFUSED, nothing changed" in run.last
    assert place.untouched() == before
    for kind, name in (("configmap", f"deploy-journal-{SERVICE}"), ("lease", f"deploy-{SERVICE}")):
        assert place.kubectl("get", kind, name, "--ignore-not-found") == "", kind
    return run.out


def apply(place: Place, kind: str, name: str, version: str, spec: dict[str, Any]) -> None:
    """Apply an object."""
    made = {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}
    place.kubectl("apply", "-f", "-", stdin=json.dumps(made))


def status(place: Place, kind: str, name: str) -> Any:
    """Return an object's status."""
    return json.loads(place.kubectl("get", kind, name, "-o", "json")).get("status", {})


def test_everything_that_is_wrong_is_told_at_once(places: Places, deploys: Deploys) -> None:
    """Autoscaler, quota, disruption budget, CRD and record size: one run, one message, sorted, each with its mend."""
    place = places()
    ref = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": SERVICE}
    # No more than runs already, so that it changes nothing by itself.
    apply(place, "HorizontalPodAutoscaler", "scaler", "autoscaling/v2",
          {"scaleTargetRef": ref, "minReplicas": 20, "maxReplicas": 20})  # fmt: skip
    apply(place, "ResourceQuota", "team", "v1", {"hard": {"pods": "22"}})
    selector = json.loads(place.kubectl("get", "rollout", SERVICE, "-o", "json"))["spec"]["selector"]
    apply(place, "PodDisruptionBudget", "all", "policy/v1", {"minAvailable": 20, "selector": selector})
    group = place.namespace

    def spoil(chart: Path) -> None:
        (chart / "crds").mkdir()
        (chart / "crds" / "thing.yaml").write_text(THING % (group, group, "integer"), "utf-8")
        (chart / "noise.bin").write_bytes(os.urandom(750_000))

    chart = place.chart(spoil)
    eventually(lambda: status(place, "resourcequota", "team").get("used", {}).get("pods") == "20", "the quota counts")
    eventually(lambda: status(place, "pdb", "all").get("currentHealthy") == 20, "the budget counts")
    before = place.untouched()
    out = refused(place, start(place, deploys, deployer(place, chart=chart), chart=chart), before)
    assert "pre-flight: 4 refusals, 1 warning" in out
    for words in (
        f"HorizontalPodAutoscaler scaler scales Rollout {SERVICE}, and the chart sets spec.replicas: 20",
        f"CustomResourceDefinition things.{group}.example.com of the chart is not there",
        "KiB, 900 KiB is the limit",
        f"no room in {place.namespace} for 5 more pods: ResourceQuota team leaves 2 of 22 pods, the canary needs 5",
        "warning: PodDisruptionBudget all allows 0 disruptions of these pods now",
        "mend all of these, then deploy again: nothing was changed",
    ):
        assert words in out, words


def test_a_crd_that_has_drifted(places: Places, deploys: Deploys) -> None:
    """The live one has another type: named by its path; brought up to date, as it says, the deploy goes through."""
    place = places()
    group = place.namespace
    chart = place.chart(lambda path: (path / "crds").mkdir())
    wanted = THING % (group, group, "integer")
    (chart / "crds" / "thing.yaml").write_text(wanted, "utf-8")
    place.kubectl("apply", "--server-side", "-f", "-", stdin=THING % (group, group, "string"))
    try:
        account, before = deployer(place, chart=chart), place.untouched()
        out = refused(place, start(place, deploys, account, chart=chart), before)
        assert "is not the chart's: v1 differs at .schema.openAPIV3Schema.properties.size.type" in out
        place.kubectl("apply", "--server-side", "-f", str(chart / "crds"))
        run = start(place, deploys, account, chart=chart)
        assert run.end() == 0, run.out
    finally:
        place.kubectl("delete", "crd", f"things.{group}.example.com", "--wait=false")


def test_an_administrator_is_refused(places: Places, deploys: Deploys) -> None:
    """The account is in system:masters: named, with the roles that would do."""
    place = places()
    out = refused(place, start(place, deploys, place.kubeconfig), place.untouched())
    assert "is more than a deploy account; it may: it is in the group system:masters" in out
    assert "pytest-deploy rbac prod" in out


def test_who_can_become_an_administrator_is_refused(places: Places, deploys: Deploys) -> None:
    """A ClusterRole that may bind roles and read all Secrets: both are named; edit's own powers are a warning."""
    place = places()
    account = deployer(place)
    name, whom = f"too-much-{place.namespace}", f"--serviceaccount={place.namespace}:deployer"
    rules = [
        {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"], "verbs": ["bind"]},
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["list"]},
    ]
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}}
    place.kubectl("apply", "-f", "-", stdin=json.dumps({**role, "rules": rules}))
    place.kubectl("create", "clusterrolebinding", name, f"--clusterrole={name}", whom)
    place.kubectl("create", "rolebinding", "edit", "--clusterrole=edit", whom)
    before = place.untouched()
    out = refused(place, start(place, deploys, account), before)
    assert "bind clusterroles.rbac.authorization.k8s.io in the whole cluster" in out
    assert "list secrets in the whole cluster" in out
    place.kubectl("delete", "clusterrolebinding,clusterrole", name)
    eventually(lambda: not _may_list_all_secrets(place), "the binding is gone")
    run = start(place, deploys, account)
    assert run.end() == 0, run.out
    assert f"may impersonate serviceaccounts in {place.namespace} (act as each account of the namespace)" in run.out


def _may_list_all_secrets(place: Place) -> bool:
    who = f"system:serviceaccount:{place.namespace}:deployer"
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": who, "resourceAttributes": {"verb": "list", "resource": "secrets"}},
    }
    answer = json.loads(place.kubectl("create", "-f", "-", "-o", "json", stdin=json.dumps(review)))
    return bool(answer["status"]["allowed"])


def test_verbs_that_are_missing_are_all_named(places: Places, deploys: Deploys) -> None:
    """Two verbs taken out of the printed Role: both are named, and nothing else."""
    place = places()
    account = deployer(place)
    role = json.loads(place.kubectl("get", "role", f"pytest-deploy-{SERVICE}", "-o", "json"))
    for rule in role["rules"]:
        if rule["resources"] == ["rollouts/status"]:
            rule["verbs"] = ["get"]
        if rule["resources"] == ["secrets"]:
            rule["verbs"].remove("update")
    place.kubectl("apply", "-f", "-", stdin=json.dumps(role))
    before = place.untouched()
    out = refused(place, start(place, deploys, account), before)
    assert (
        f"the deploy account may not: patch rollouts/status.argoproj.io in {place.namespace}; "
        f"update secrets in {place.namespace}\n" in out
    )


def test_the_cluster_is_told_by_its_authority_and_its_uid(places: Places, deploys: Deploys) -> None:
    """What openssl and kubectl say of this cluster is accepted; one other digit is refused, for each."""
    place = places()
    uid = place.kubectl("get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}")
    facts = json.loads(Path(place.kubeconfig).read_text("utf-8"))
    pem = Path(facts["clusters"][0]["cluster"]["certificate-authority"]).read_text("ascii")
    ca = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
    account, before = deployer(place), place.untouched()
    key = "--deploy-set=environments.prod."
    out = refused(
        place,
        start(place, deploys, account, f"{key}ca_sha256={'f' * 64}", f"{key}kube_system_uid=another"),
        before,
    )
    assert f"its authority is {ca}, not {'f' * 64}" in out
    assert f"the uid of its kube-system is {uid}, not another" in out
    run = start(place, deploys, account, f"{key}ca_sha256={ca}", f"{key}kube_system_uid={uid}")
    assert run.end() == 0, run.out
    assert "ca_sha256, kube_system_uid as expected" in run.out


def test_a_token_that_would_end_on_the_way(places: Places, deploys: Deploys) -> None:
    """Ten minutes of life, and a way back of twenty: refused, with both."""
    place = places()
    path = deployer(place)
    facts = json.loads(path.read_text("utf-8"))
    facts["users"][0]["user"]["token"] = place.kubectl("create", "token", "deployer", "--duration=10m").strip()
    path.write_text(json.dumps(facts), "utf-8")
    before = place.untouched()
    out = refused(place, start(place, deploys, path, "--deploy-set=timeouts.rollback_minutes=20"), before)
    assert "the token of context sandbox-prod ends in 10 min" in out
    assert "take 21 min" in out


@pytest.mark.parametrize("helm", ["helm3", "helm4"])
def test_a_record_is_as_large_as_was_measured(places: Places, helm: str) -> None:
    """What is measured before, and what Helm then stores in its Secret: within 3 %."""
    place = places(install=False)
    target = Target(
        environment="prod", context="sandbox-prod", namespace=place.namespace, name=SERVICE, kubeconfig=place.kubeconfig
    )
    planned = HelmUpgrade(
        target=target,
        chart=str(CHART),
        values_files=(str(CHART / "values-prod.yaml"),),
        values=(("image.digest", json.dumps(place.old)),),
        base_revision=0,
        timeout=timedelta(minutes=1),
    )
    cli = HelmCli(place.sandbox.binaries[helm], clock=SystemClock())
    measured = cli.record_size(planned)
    cli.execute(planned)
    secret = json.loads(place.kubectl("get", "secret", f"sh.helm.release.v1.{SERVICE}.v1", "-o", "json"))
    assert measured == pytest.approx(len(base64.b64decode(secret["data"]["release"])), rel=0.03)


def test_the_printed_roles_grant_no_more(places: Places) -> None:
    """Of what is printed the API server grants each verb, and none of what would make it more than a deploy account."""
    place = places()
    deployer(place)
    who = f"system:serviceaccount:{place.namespace}:deployer"
    listed = place.kubectl("auth", "can-i", "--list", "--as", who, "--no-headers")
    assert "*.*" not in listed
    assert "[*]" not in listed
    for verb, resource in (("create", "pods"), ("patch", "deployments"), ("get", "nodes"), ("list", "namespaces")):
        with pytest.raises(AssertionError, match="can-i"):
            place.kubectl("auth", "can-i", verb, resource, "--as", who)
    place.kubectl("auth", "can-i", "update", f"leases/deploy-{SERVICE}", "--as", who)
    with pytest.raises(AssertionError, match="can-i"):
        place.kubectl("auth", "can-i", "update", "leases/another", "--as", who)


def test_rbac_is_yaml_that_says_what_each_rule_is_for(places: Places) -> None:
    """Without --to there are no bindings; an environment or a person that is none is refused with the next move."""
    place = places()
    deployer(place)
    cli = (str(Path(sys.executable).with_name("pytest-deploy")), "rbac", "--config", "rbac.yaml")
    env = {"PATH": os.environ["PATH"], "HOME": str(place.folder), "KUBECONFIG": place.kubeconfig}

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        argv = (*cli, *arguments)
        return subprocess.run(argv, cwd=place.folder, env=env, capture_output=True, text=True, timeout=30, check=False)

    done = call("prod")
    documents = list(yaml.safe_load_all(done.stdout))
    assert [each["kind"] for each in documents] == ["Role", "ClusterRole"]
    assert documents[0]["metadata"]["namespace"] == place.namespace
    assert "  # promote and abort" in done.stdout
    for arguments, says in ((("nowhere",), "no environment 'nowhere'"), (("--to", "me"), "is none of user:NAME")):
        wrong = call(*arguments)
        assert wrong.returncode == 4
        assert says in wrong.stderr
        assert "next: " in wrong.stderr

"""Rows: release, Rollout, chart and what stands beside them."""

from __future__ import annotations

import base64
import gzip
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.e2e.oracle import SERVICE, eventually
from tests.e2e.refusals.rows_cluster import granted
from tests.e2e.refusals.world import World, row

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


@row(
    what="is pending: another operation runs or died: revision 1 is pending-upgrade",
    where="release checkout-api in sandbox-prod/{ns}",
    mend="helm3 uninstall checkout-api --kube-context sandbox-prod --namespace {ns}",
)
def pending_release(world: World) -> Iterator[None]:
    """An upgrade is under way, or its Helm died."""
    yield from _release_is(world, "pending-upgrade")


@row(
    what="is not at rest: revision 1 is failed",
    where="release checkout-api in sandbox-prod/{ns}",
    mend="helm3 uninstall checkout-api --kube-context sandbox-prod --namespace {ns}",
)
def failed_release(world: World) -> Iterator[None]:
    """The last upgrade has failed."""
    yield from _release_is(world, "failed")


@row(
    what="Helm has no release",
    where="checkout-api in sandbox-prod/{ns}",
    mend="helm3 upgrade checkout-api",
    ground="bare",
)
def first_deploy(world: World) -> None:
    """Nothing is installed: there is nothing to compare with, or to go back to."""


@row(
    what="Argo CD",
    where="the folder argocd/",
    mend="commit the digest instead",
    ground="bare",
)
def argo_cd_will_install_it(world: World) -> None:
    """Nothing is installed, and the repository says that Argo CD will do it."""
    source = {"repoURL": "https://git.example.com/acme/env.git", "path": "prod"}
    app = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": "shop"},
        "spec": {"source": source, "destination": {"namespace": world.place.namespace}},
    }
    world.file("argocd/app.yaml", json.dumps(app))


@row(what="checkout-api is not at rest, somebody else may be deploying", where="checkout-api", mend="end that deploy")
def rollout_not_at_rest(world: World) -> Iterator[None]:
    """Somebody has paused the Rollout."""
    world.place.kubectl("patch", "rollout", SERVICE, "--type=merge", "-p", '{"spec": {"paused": true}}')
    yield
    world.place.kubectl("patch", "rollout", SERVICE, "--type=merge", "-p", '{"spec": {"paused": null}}')


@row(what="is live already: there is nothing to deploy", where="{old}", mend="deploy another digest")
def the_image_runs_already(world: World) -> None:
    """The digest is what runs."""
    world.profile["image"] = f"ghcr.io/acme/checkout-api@{world.place.old}"


@row(
    what="HorizontalPodAutoscaler scaler scales Rollout checkout-api, and the chart sets spec.replicas: 20",
    where="prod.feature",
    mend="leave spec.replicas out",
)
def autoscaler_fights(world: World) -> Iterator[None]:
    """Chart and autoscaler both set the replicas."""
    ref = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": SERVICE}
    spec = {"scaleTargetRef": ref, "minReplicas": 20, "maxReplicas": 20}
    with world.applied(_object("HorizontalPodAutoscaler", "scaler", "autoscaling/v2", spec)):
        yield


@row(
    what="no room in {ns} for 5 more pods: ResourceQuota team leaves 2 of 22 pods, the canary needs 5",
    where="warning: PodDisruptionBudget all allows 0 disruptions of these pods now",
    mend="raise the quota, or lower",
)
def no_room_in_the_quota(world: World) -> Iterator[None]:
    """The canary's pods would not be admitted; and a disruption budget is used up, which is told beside it."""
    selector = world.place.rollout()["spec"]["selector"]
    quota = _object("ResourceQuota", "team", "v1", {"hard": {"pods": "22"}})
    budget = _object("PodDisruptionBudget", "all", "policy/v1", {"minAvailable": 20, "selector": selector})
    with world.applied(quota, budget):
        eventually(lambda: _status(world, "resourcequota", "team").get("used", {}).get("pods") == "20", "quota counts")
        eventually(lambda: _status(world, "pdb", "all").get("currentHealthy") == 20, "the budget counts")
        yield


@row(
    what="CustomResourceDefinition things.{ns}.example.com of the chart is not there",
    where="{folder}/chart",
    mend="apply --server-side -f {folder}/chart/crds",
)
def crd_missing(world: World) -> Iterator[None]:
    """Helm would install the CRD at a first install alone."""
    with _with_crd(world):
        yield


@row(
    what="is not the chart's: v1 differs at .schema.openAPIV3Schema.properties.size.type",
    where="things.{ns}.example.com",
    mend="apply --server-side -f {folder}/chart/crds",
)
def crd_drifted(world: World) -> Iterator[None]:
    """The cluster has another version of the chart's CRD."""
    group = world.place.namespace
    world.place.kubectl("apply", "--server-side", "-f", "-", stdin=THING % (group, group, "string"))
    with _with_crd(world):
        yield
    world.place.kubectl("delete", "crd", f"things.{group}.example.com", "--wait=false")


@row(what="KiB, 900 KiB is the limit", where="Helm's record of this release", mend=".helmignore")
def record_too_large(world: World) -> None:
    """Helm could not store what it would install."""
    (world.copied_chart() / "noise.bin").write_bytes(os.urandom(750_000))


@row(
    what="it pauses at 5 %, 50 %, 100 %, and the feature promotes through 5 %, 25 %, 50 %, 100 %",
    where="the Rollout of {folder}/chart",
    mend="setWeight: 25",
)
def other_weights(world: World) -> None:
    """The chart pauses elsewhere than the feature looks."""
    world.chart("values.yaml", lambda text: text.replace("[5, 25, 50, 100]", "[5, 50, 100]"))


@row(
    what="it would advance without a verdict",
    where="the Rollout of {folder}/chart",
    mend="pause: {{}}",
)
def timed_pause(world: World) -> None:
    """The Rollout goes on by itself."""
    world.chart("templates/rollout.yaml", lambda text: text.replace("pause: {}", "pause: {duration: 1m}"))


@row(what="renders no Rollout named checkout-api", where="{folder}/chart", mend="strategy: rolling")
def a_deployment(world: World) -> None:
    """The chart has a Deployment, which knows no weights."""

    def edit(text: str) -> str:
        head, _, rest = text.partition("  strategy:\n")
        head = head.replace("argoproj.io/v1alpha1", "apps/v1").replace("kind: Rollout", "kind: Deployment")
        return f"{head}  template:\n" + rest.partition("  template:\n")[2]

    world.chart("templates/rollout.yaml", edit)


@row(
    what="the chart renders image 'registry.sandbox.invalid/checkout-api:latest'",
    where="container 'checkout-api'",
    mend=".Values.image.digest",
)
def chart_that_ignores_the_digest(world: World) -> None:
    """The chart writes a tag."""
    pinned = '{{ printf "%s@%s" .Values.image.repository (required'
    by_tag = '{{ printf "%s:latest" .Values.image.repository }} # {{ (required'
    world.chart("templates/rollout.yaml", lambda text: text.replace(pinned, by_tag))


def _release_is(world: World, status: str) -> Iterator[None]:
    """Let Helm's record of the last revision say so; it is a gzipped JSON, twice in base64."""
    name = "sh.helm.release.v1.checkout-api.v1"
    before = json.loads(world.place.kubectl("get", "secret", name, "-o", "json"))["data"]["release"]
    record = json.loads(gzip.decompress(base64.b64decode(base64.b64decode(before))))
    record["info"]["status"] = status
    inner = base64.b64encode(gzip.compress(json.dumps(record).encode()))

    def write(data: str, label: str) -> None:
        patch = {"metadata": {"labels": {"status": label}}, "data": {"release": data}}
        path = world.file("release.json", json.dumps(patch))
        world.place.kubectl("patch", "secret", name, "--patch-file", str(path))

    write(base64.b64encode(inner).decode(), status)
    yield
    write(before, "deployed")


@contextmanager
def _with_crd(world: World) -> Iterator[None]:
    """Deploy a chart with a CRD, by an account that may read it, as ``pytest-deploy rbac`` would print it."""
    world.copied_chart()
    group = world.place.namespace
    world.file("chart/crds/thing.yaml", THING % (group, group, "integer"))
    rule = {
        "apiGroups": ["apiextensions.k8s.io"],
        "resources": ["customresourcedefinitions"],
        "resourceNames": [f"things.{group}.example.com"],
        "verbs": ["get"],
    }
    with granted(world, rule):
        yield


def _object(kind: str, name: str, version: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}


def _status(world: World, kind: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(world.place.kubectl("get", kind, name, "-o", "json")).get("status", {})
    return found

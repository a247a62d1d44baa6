"""The account of a deploy may do what a deploy does, in its namespaces, and nothing that leads further."""

from __future__ import annotations

from typing import Any

from pytest_deploy.incluster.objects import Place, Pod, job, role, watchdog

PLACE = Place(namespace="shop", release="cart", spaces=("shop",), resources=frozenset({("apps", "deployments")}))
POD = Pod(name="deploy-x", image="r/i@sha256:0", arguments=("deploy", "f"), environ={"USER": "ann"}, secret="keys")  # noqa: S106 - a name


def rules() -> dict[tuple[str, str], set[str]]:
    """Return the verbs, by group and resource, whatever they are limited to."""
    found: dict[tuple[str, str], set[str]] = {}
    wanted: Any = role(PLACE, "shop")["rules"]
    for rule in wanted:
        (group,), (resource,) = rule["apiGroups"], rule["resources"]
        found.setdefault((group, resource), set()).update(rule["verbs"])
    return found


def test_the_role_names_each_verb() -> None:
    """No wildcard, no way to more rights, no pods of its own; the chart's kinds and the lease are in it."""
    found = rules()
    assert not any("*" in (group, resource, *verbs) for (group, resource), verbs in found.items())
    assert not any(group == "rbac.authorization.k8s.io" for group, _ in found)
    assert not {"escalate", "bind", "impersonate", "deletecollection"} & set().union(*found.values())
    assert found["", "pods"] == {"get", "list"}
    assert {"create", "patch", "delete"} <= found["apps", "deployments"]
    assert found["coordination.k8s.io", "leases"] == {"get", "create", "update"}


def test_a_deploy_is_never_begun_again() -> None:
    """One pod, once: no retry, no second pod beside one that still ends; a container may write in its own folders."""
    spec: Any = job(PLACE, POD, by="ann at ci")["spec"]
    assert (spec["backoffLimit"], spec["podReplacementPolicy"]) == (0, "Failed")
    pod = spec["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    container = pod["containers"][0]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["envFrom"] == [{"secretRef": {"name": "keys"}}]
    assert {"name": "USER", "value": "ann"} in container["env"]


def test_a_watchdog_is_one_and_comes_again() -> None:
    """A Deployment of one pod, the old one gone before the new one begins, selected by its own labels."""
    spec: Any = watchdog(PLACE, POD)["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
    assert "restartPolicy" not in spec["template"]["spec"]

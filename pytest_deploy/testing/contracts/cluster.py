"""What reads of the cluster must tell."""

# ruff: noqa: S101 - a contract is made of assertions

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_deploy.domain.permissions import Resource
from pytest_deploy.domain.rollout import Permission, Pod
from pytest_deploy.errors import Refused
from pytest_deploy.testing.contracts.world import NEW, OnRelease, World

__all__ = ["ClusterContract"]


class ClusterContract(OnRelease):
    """Reads of the cluster."""

    def test_a_cluster_has_one_identity(self, world: World) -> None:
        """Who answers is told by server and version, twice the same."""
        first = world.ports.cluster.identity(world.environment)
        assert first.server
        assert first.version
        assert first == world.ports.cluster.identity(world.environment)

    def test_an_unknown_context_is_refused(self, world: World) -> None:
        """A context that does not exist is refused by its name."""
        with pytest.raises(Refused, match="not-there"):
            world.ports.cluster.identity(replace(world.environment, context="not-there"))

    def test_an_account_that_may_do_all_is_denied_nothing(self, world: World) -> None:
        """This world's account may patch rollouts and their status."""
        namespace = world.environment.namespace
        asked = [
            Permission(verb="patch", group="argoproj.io", resource=resource, namespace=namespace)
            for resource in ("rollouts", "rollouts/status")
        ]
        assert world.ports.cluster.denied(world.environment, asked) == ()

    def test_the_server_knows_who_asks(self, world: World) -> None:
        """The account has a name and groups, twice the same."""
        first = world.ports.cluster.account(world.environment)
        assert first.user
        assert "system:authenticated" in first.groups
        assert first == world.ports.cluster.account(world.environment)

    def test_what_is_not_there_is_told_from_what_may_not_be_read(self, world: World) -> None:
        """No quota is in the namespace, nor an object of this name, nor such a kind: each is (), and no error."""
        cluster = world.ports.cluster
        quotas = Resource(group="", version="v1", plural="resourcequotas")
        assert cluster.objects(world.environment, quotas) == ()
        assert cluster.objects(world.environment, quotas, "not-there") == ()
        unknown = Resource(group="example.com", version="v1", plural="things", namespaced=False)
        assert cluster.objects(world.environment, unknown, "not-there") == ()

    def test_kinds_have_their_plurals(self, world: World) -> None:
        """Each kind of the release's manifests is told as RBAC names it."""
        manifests = [
            {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout"},
            {"apiVersion": "v1", "kind": "Service"},
        ]
        found = world.ports.cluster.resources(world.environment, manifests)
        assert found == {("argoproj.io", "rollouts"), ("", "services")}

    def test_the_pods_are_those_of_the_rollout(self, world: World) -> None:
        """At rest each pod of the Rollout is ready, runs its image and carries the stable version's hash."""
        state = self.state(world)
        pods = world.ports.cluster.pods(self.rollout(world), world.service)
        assert len(pods) == state.replicas
        assert {(p.template_hash, p.image, p.ready, p.trouble) for p in pods} == {
            (state.stable_hash, state.image, True, "")
        }

    def test_a_missing_rollout_has_no_pods(self, world: World) -> None:
        """Where there is no Rollout there are no pods of it."""
        assert world.ports.cluster.pods(replace(self.rollout(world), name="not-there"), world.service) == ()

    def test_a_crash_is_told_in_kubernetes_words(self, world: World) -> None:
        """A pod that crashes is not ready, and its trouble says CrashLoopBackOff; the others have none."""
        world.make_crash()
        world.ports.helm.execute(world.upgrade_to(NEW, base_revision=1))
        clock, target = world.ports.clock, self.rollout(world)
        end = clock.monotonic() + 60
        troubled: list[Pod] = []
        while not troubled and clock.monotonic() < end:
            world.let_time_pass(0.3)
            pods = world.ports.cluster.pods(target, world.service)
            troubled = [pod for pod in pods if pod.trouble]
        assert troubled, "no pod was in trouble within 60 s"
        new = self.state(world).current_hash
        assert {(pod.template_hash, pod.ready) for pod in troubled} == {(new, False)}
        assert all(pod.trouble.startswith("CrashLoopBackOff") for pod in troubled)

"""Which configuration pods use."""

from __future__ import annotations

from pytest_deploy.domain.manifests import config_refs


def test_configuration_that_pods_use_is_named() -> None:
    """ConfigMaps and Secrets are found in env, envFrom, volumes and projected volumes."""
    container = {
        "name": "app",
        "image": "app@sha256:new",
        "env": [
            {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "env-map", "key": "a"}}},
            {"name": "B", "valueFrom": {"secretKeyRef": {"name": "env-secret", "key": "b"}}},
        ],
        "envFrom": [{"configMapRef": {"name": "all-map"}}, {"secretRef": {"name": "all-secret"}}],
    }
    volumes = [
        {"name": "v1", "configMap": {"name": "vol-map"}},
        {"name": "v2", "secret": {"secretName": "vol-secret"}},
        {"name": "v3", "projected": {"sources": [{"configMap": {"name": "p-map"}}, {"secret": {"name": "p-secret"}}]}},
    ]
    assert sorted(config_refs({"containers": [container], "volumes": volumes})) == [
        "ConfigMap/all-map", "ConfigMap/env-map", "ConfigMap/p-map", "ConfigMap/vol-map",
        "Secret/all-secret", "Secret/env-secret", "Secret/p-secret", "Secret/vol-secret",
    ]  # fmt: skip

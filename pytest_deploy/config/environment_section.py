"""``environments``: the places where a release runs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from pytest_deploy.config.fields import DnsLabel, HttpUrl, Text
from pytest_deploy.config.paths import PlainPath, ValuesFile
from pytest_deploy.config.section import Section
from pytest_deploy.domain.release import Environment

__all__ = ["EnvironmentSection"]

Fingerprint = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class EnvironmentSection(Section):
    """``environments.NAME``: one place where the release runs."""

    context: Text = Field(examples=["acme-prod"])
    """Name of the kubeconfig's context. No default: the current context is never used."""
    namespace: DnsLabel = Field(examples=["prod"])
    """Kubernetes namespace. No default: "default" would hide a forgotten line."""
    values_file: ValuesFile | None = Field(default=None, examples=["values-prod.yaml"])
    """Helm values of this environment, beside deploy.yaml or in the chart. None: the chart's own."""
    base_url: HttpUrl | None = Field(default=None, examples=["https://staging.example.com"])
    """Where the service answers there. None: nothing is called over HTTP."""
    approvers: tuple[Text, ...] = Field(default=(), examples=[["@acme/sre"]])
    """People or teams of whom one must approve. None of them by default: no approval is asked for."""
    release_name: DnsLabel | None = Field(default=None, alias="release", examples=["checkout-api"])
    """Helm release; absent: called as the service. null: no Helm release owns the Rollout, its image is patched."""
    rollout: DnsLabel | None = Field(default=None, examples=["checkout-api"])
    """The Argo Rollout. None: called as the service."""
    container: DnsLabel | None = Field(default=None, examples=["checkout-api"])
    """The container that runs the image. None: called as the service."""
    server: HttpUrl | None = Field(default=None, examples=["https://api.prod.example.com:6443"])
    """Address of the API server that the context must lead to. None: only the context's name is compared."""
    ca_sha256: Fingerprint | None = Field(
        default=None, examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]
    )
    """SHA-256 fingerprint of the API server's certificate authority, 64 hex digits. None: not compared."""
    kube_system_uid: Text | None = Field(default=None, examples=["8b1f2a3c-0d4e-4f5a-9b6c-7d8e9f0a1b2c"])
    """UID of the namespace kube-system: the cluster itself, whatever it is called. None: not compared."""
    kubeconfig: PlainPath | None = Field(default=None, examples=["~/.kube/config"])
    """Path of the kubeconfig. None: KUBECONFIG, or else ~/.kube/config."""

    def environment(self, name: str, service: str) -> Environment:
        """Return the domain's value, with the defaults that follow from the service's name."""
        return Environment(
            name=name,
            context=self.context,
            namespace=self.namespace,
            release=self.release_name if "release_name" in self.model_fields_set else service,
            rollout=self.rollout or service,
            container=self.container or service,
            values_file=self.values_file,
            base_url=self.base_url,
            approvers=self.approvers,
            server=self.server,
            ca_sha256=self.ca_sha256,
            kube_system_uid=self.kube_system_uid,
            kubeconfig=self.kubeconfig,
        )

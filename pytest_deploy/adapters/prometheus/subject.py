"""Which series are a subject's: the service's label, and what tells its versions apart."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pytest_deploy.adapters.prometheus.promql import literal
from pytest_deploy.domain.measurement import Role, Subject
from pytest_deploy.errors import MeasurementError

__all__ = ["Selection", "label_name"]

_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
"""https://prometheus.io/docs/concepts/data_model/#metric-names-and-labels"""


class Selection:
    """Matchers for a subject's series.

    At most one of the other three tells the versions apart; without any the whole service is read.

    Args:
        service_label: its value is the service's name.
        version_label: its value is the pod-template hash.
        pod_label: its value is the pod's name, which begins with the Rollout's name and the pod-template hash.
        canary_labels, stable_labels: labels that only the canary's, or only the stable version's, series have.

    Raises:
        MeasurementError: a name that is none in Prometheus' grammar, or more than one way to tell versions apart.
    """

    def __init__(
        self,
        service_label: str,
        *,
        version_label: str | None,
        pod_label: str | None,
        canary_labels: Mapping[str, str],
        stable_labels: Mapping[str, str],
    ) -> None:
        ways = [version_label is not None, pod_label is not None, bool(canary_labels or stable_labels)]
        if sum(ways) > 1:
            raise MeasurementError(
                "version_label, pod_label and canary_labels with stable_labels are three ways to tell versions apart",
                hint="keep one of them in metrics.prometheus",
            )
        if bool(canary_labels) != bool(stable_labels) or (canary_labels and canary_labels == stable_labels):
            raise MeasurementError(
                "canary_labels and stable_labels must both be there, and differ",
                hint="correct them in metrics.prometheus",
            )
        self._service_label = label_name(service_label)
        self._version_label = None if version_label is None else label_name(version_label)
        self._pod_label = None if pod_label is None else label_name(pod_label)
        self._roles = {Role.CANARY: dict(canary_labels), Role.STABLE: dict(stable_labels)}
        self._extra = [label_name(name) for name in (*canary_labels, *stable_labels)]

    @property
    def tells_versions_apart(self) -> bool:
        """Whether a version has series of its own."""
        return bool(self.labels)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that tell versions apart; () where nothing does."""
        return tuple(dict.fromkeys([*filter(None, (self._version_label, self._pod_label)), *self._extra]))

    @property
    def service_label(self) -> str:
        """The label that holds the service's name."""
        return self._service_label

    def service(self, subject: Subject) -> tuple[str, ...]:
        """Return the matchers of the whole service."""
        return (f"{self._service_label}={literal(subject.service)}",)

    def __call__(self, subject: Subject) -> tuple[str, ...]:
        """Return the matchers of the subject's series."""
        return (*self.service(subject), *self._version(subject))

    def _version(self, subject: Subject) -> tuple[str, ...]:
        named = self._roles.get(subject.role)
        if named:
            return tuple(f"{name}={literal(value)}" for name, value in named.items())
        if subject.template_hash is None:
            return ()
        if self._version_label is not None:
            return (f"{self._version_label}={literal(subject.template_hash)}",)
        if self._pod_label is None:
            return ()
        # PromQL anchors its patterns. A pod's name ends with characters that its ReplicaSet gave it.
        workload = re.escape(subject.workload) if subject.workload else ".+"
        return (f"{self._pod_label}=~{literal(f'{workload}-{re.escape(subject.template_hash)}-[a-z0-9]+')}",)


def label_name(name: str) -> str:
    """Return the name; raises MeasurementError where it could change the query around it."""
    if not _LABEL.fullmatch(name):
        raise MeasurementError(f"{name!r} is no name in Prometheus", hint="correct it in metrics.prometheus")
    return name

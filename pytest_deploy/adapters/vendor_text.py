"""A team's query with its tokens replaced, each by a name that can't change the query around it."""

from __future__ import annotations

import re

from pytest_deploy.domain.measurement import Subject
from pytest_deploy.errors import MeasurementError

__all__ = ["fill", "names_version"]

_TOKEN = re.compile(r"\{(service|version|namespace|workload|window)\}")
"""Exactly these: Datadog's scopes and CloudWatch's searches have braces of their own."""

_KUBERNETES_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
"""https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#names

Nothing in it has a meaning in Datadog's tags (https://docs.datadoghq.com/getting_started/tagging/) or within quotes in
a metric math expression, so what passes needs no escape, and a value that would need one is refused.
"""


def names_version(text: str) -> bool:
    """Whether the query asks for one version."""
    return "{version}" in text


def fill(text: str, subject: Subject, *, window_s: int, any_version: str = "") -> str:
    """Return the text with ``{service}``, ``{version}``, ``{namespace}``, ``{workload}`` and ``{window}`` replaced.

    Args:
        window_s: in seconds, written as a bare number: that is how both vendors' functions take a time.
        any_version: stands for every version where the subject is the whole service; "": there is no such text.

    Raises:
        MeasurementError: a token's value is not known, or is no name in Kubernetes.
    """
    values = {
        "service": subject.service,
        "version": subject.template_hash or "",
        "namespace": subject.namespace,
        "workload": subject.workload,
    }

    def value(match: re.Match[str]) -> str:
        token = match.group(1)
        if token == "window":  # noqa: S105 - a placeholder's name
            return str(window_s)
        name = values[token]
        if not name and token == "version" and any_version:  # noqa: S105 - a placeholder's name
            return any_version
        if not name:
            raise MeasurementError(
                f"the query {text!r} asks for {{{token}}}, which is not known here",
                hint=f"leave {{{token}}} out of it, or let the gate read a version that has it",
            )
        if not _KUBERNETES_NAME.fullmatch(name):
            raise MeasurementError(
                f"{name!r} stands for {{{token}}} in {text!r} and is no name in Kubernetes",
                hint="lower-case letters, digits, '-' and '.' only",
            )
        return name

    return _TOKEN.sub(value, text)

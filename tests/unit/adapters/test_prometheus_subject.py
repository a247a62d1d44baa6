"""Which series are the canary's, the stable version's, the service's."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_deploy.adapters.prometheus.subject import Selection
from pytest_deploy.domain.measurement import Role, Subject
from pytest_deploy.errors import MeasurementError

CANARY = Subject(service="svc", template_hash="6f7d", role=Role.CANARY, workload="check.out", namespace="shop")
STABLE = Subject(service="svc", template_hash="5a4b", role=Role.STABLE, workload="check.out", namespace="shop")
ALL = Subject(service="svc", workload="check.out")


def selection(**more: Any) -> Selection:
    """Make one that tells versions apart by what is given."""
    ways: dict[str, Any] = {"version_label": None, "pod_label": None, "canary_labels": {}, "stable_labels": {}}
    return Selection("service", **{**ways, **more})


@pytest.mark.parametrize(
    ("ways", "labels", "canary", "stable"),
    [
        ({}, (), (), ()),
        ({"version_label": "hash"}, ("hash",), ('hash="6f7d"',), ('hash="5a4b"',)),
        (
            {"pod_label": "pod"},
            ("pod",),
            (r'pod=~"check\\.out-6f7d-[a-z0-9]+"',),
            (r'pod=~"check\\.out-5a4b-[a-z0-9]+"',),
        ),
        (
            {"canary_labels": {"track": 'ca"nary'}, "stable_labels": {"track": "stable", "tier": "1"}},
            ("track", "tier"),
            (r'track="ca\"nary"',),
            ('track="stable"', 'tier="1"'),
        ),
    ],
)
def test_each_way_selects_a_version(
    ways: dict[str, Any], labels: tuple[str, ...], canary: tuple[str, ...], stable: tuple[str, ...]
) -> None:
    """Canary and stable version have matchers of their own beside the service's; the whole service has none."""
    chosen = selection(**ways)
    assert chosen.labels == labels
    assert chosen.tells_versions_apart is bool(labels)
    assert chosen(CANARY) == ('service="svc"', *canary)
    assert chosen(STABLE) == ('service="svc"', *stable)
    assert chosen(ALL) == chosen.service(CANARY) == ('service="svc"',)


def test_a_pod_is_known_by_its_hash_where_the_rollouts_name_is_not() -> None:
    """Any name before the pod-template hash will do, beside the service's label."""
    assert selection(pod_label="pod")(Subject(service="svc", template_hash="6f7d"))[1] == 'pod=~".+-6f7d-[a-z0-9]+"'


@pytest.mark.parametrize(
    ("ways", "words"),
    [
        ({"version_label": "a", "pod_label": "b"}, "three ways"),
        ({"pod_label": "b", "canary_labels": {"c": "1"}, "stable_labels": {"c": "2"}}, "three ways"),
        ({"canary_labels": {"c": "1"}}, "must both be there"),
        ({"stable_labels": {"c": "1"}}, "must both be there"),
        ({"canary_labels": {"c": "1"}, "stable_labels": {"c": "1"}}, "and differ"),
        ({"canary_labels": {"c d": "1"}, "stable_labels": {"c": "1"}}, "no name in Prometheus"),
        ({"pod_label": 'x="'}, "no name in Prometheus"),
    ],
)
def test_what_can_not_tell_versions_apart_is_refused(ways: dict[str, Any], words: str) -> None:
    """Two ways at once, one side alone, the same labels for both, or a label that is no name."""
    with pytest.raises(MeasurementError, match=words):
        selection(**ways)

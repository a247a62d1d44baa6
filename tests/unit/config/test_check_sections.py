"""What ``tests`` and ``scan`` of deploy.yaml may say."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from pytest_deploy.config import check_sections as sections


def test_defaults() -> None:
    """Commands alone are enough for tests, nothing for the scan and the chart's checks."""
    tests, scan = sections.TestsSection(commands=("make test",)), sections.ScanSection()
    assert (tests.junit, tests.env, tests.timeout.total_seconds()) == (None, (), 1800)
    assert (scan.offline, scan.ignore_file, scan.db_max_age.total_seconds()) == (False, None, 48 * 3600)
    assert scan.timeout.total_seconds() == 600
    assert sections.ChartChecksSection().model_dump() == {}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"commands": ()}, "at least 1 item"),
        ({"commands": ("make test && make lint",)}, "no shell runs it, so && means nothing"),
        ({"commands": ("CI=1 make test",)}, "can't begin with a variable"),
        ({"commands": ("make 'test",)}, "is no command: No closing quotation"),
        ({"commands": ('sh -c "make"',)}, "holds a quotation mark"),
        ({"commands": ("make test",), "env": ("KUBECONFIG",)}, "leads to the cluster"),
        ({"commands": ("make test",), "env": ("A B",)}, "no name of an environment variable"),
        ({"commands": ("make test",), "junit": "../x.xml"}, "leads out of the folder"),
        ({"commands": ("make test",), "junit": "/x.xml"}, "leads out of the folder"),
        ({"commands": ("make test",), "timeout_minutes": 0}, "at least"),
    ],
)
def test_wrong_tests_are_refused(settings: dict[str, Any], said: str) -> None:
    """Each mistake has words of its own."""
    with pytest.raises(ValidationError, match=said):
        sections.TestsSection(**settings)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"platforms": ("amd64",)}, "is no platform: linux/amd64"),
        ({"db_max_age_hours": 0}, "at least 1"),
        ({"db_max_age_hours": 1000}, "at most 720"),
        ({"db_repository": "https://mirror.example.com/db"}, "is no repository of a registry"),
        ({"severity": "HIGH"}, "Extra inputs are not permitted"),
    ],
)
def test_wrong_scans_are_refused(settings: dict[str, Any], said: str) -> None:
    """Each mistake has words of its own."""
    with pytest.raises(ValidationError, match=said):
        sections.ScanSection(**settings)

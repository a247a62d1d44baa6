"""The section ``lock``: what a lease may be, and what its parts must leave each other."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from pytest_deploy.config.lock_section import LockSection


def test_by_default_the_second_one_is_refused_at_once() -> None:
    """A minute's lease, renewed each five seconds, and no line."""
    section = LockSection()
    assert (section.lease, section.renew, section.wait) == (
        timedelta(seconds=60),
        timedelta(seconds=5),
        timedelta(),
    )


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"lease_s": 2}, "2 s: at least 3, at most 3600"),
        ({"lease_s": 3601}, "at most 3600"),
        ({"lease_s": 12}, "5 s: more than 0, at most a third of lease_s (4 s)"),
        ({"renew_s": 0}, "0 s: more than 0"),
        ({"renew_s": 21}, "at most a third of lease_s (20 s)"),
        ({"wait_minutes": -1}, "-1 minutes: at least 0"),
        ({"wait_minutes": 1441}, "at most 1440"),
        ({"wait": 1}, "Extra inputs"),
    ],
)
def test_what_is_wrong_is_told(section: dict[str, Any], told: str) -> None:
    """Each with its limits; a short lease needs a shorter renewal, which is not made up."""
    with pytest.raises(ValidationError) as caught:
        LockSection.model_validate(section)
    assert told in str(caught.value)


def test_short_ones_for_tests() -> None:
    """As the sandbox's tests set them."""
    section = LockSection.model_validate({"lease_s": 4, "renew_s": 1, "wait_minutes": 0.5})
    assert (section.lease, section.renew, section.wait) == (
        timedelta(seconds=4),
        timedelta(seconds=1),
        timedelta(seconds=30),
    )

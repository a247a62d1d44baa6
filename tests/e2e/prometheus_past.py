"""A made-up past: services that are healthy, bad, silent, stale, sick, and their pods."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pytest_deploy import sandbox

SCRAPE_S = 15
WINDOW_S = 300
REQUESTS = "http_requests_total"
DURATION = "http_request_duration_seconds"
_BEFORE_S = -150
"""Since when the series are there that did not begin in the window."""


class Past:
    """Series back-filled with ``promtool tsdb create-blocks-from openmetrics``; ``start`` is when windows begin."""

    def __init__(self) -> None:
        self.start = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=3)
        self._families: dict[str, list[str]] = {}

    def series(
        self, metric: str, labels: str, value: Callable[[int], object], *, since: int = _BEFORE_S, until: int = WINDOW_S
    ) -> None:
        """Add a series with a sample each scrape; times are seconds from the start."""
        base = int(self.start.timestamp())
        self._families.setdefault(metric, []).extend(
            f"{metric}{{{labels}}} {value(at)} {base + at}" for at in range(since, until + 1, SCRAPE_S)
        )

    def blocks(self, folder: Path) -> Path:
        """Write the blocks and return their folder."""
        text = folder / "past.txt"
        lines = [line for family in self._families.values() for line in family]
        text.write_text("\n".join([*lines, "# EOF\n"]), "utf-8")
        blocks = folder / "blocks"
        argv = (sandbox.toolbox().need("promtool"), "tsdb", "create-blocks-from", "openmetrics", "-q", text, blocks)
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return blocks


def made_up() -> Past:
    """Make it; each service is named by what becomes of it."""
    past = Past()
    _requests(past, "healthy")
    _requests(past, "healthy_errors", bad=0.02)
    _requests(past, "bad", bad=1)
    _requests(past, "nan", ok=0, bad=0)
    past.series(REQUESTS, 'service="infinite",status="200"', lambda at: "+Inf" if at else 1)
    _requests(past, "stale", until=WINDOW_S // 2)
    _requests(past, "low", ok=0.04)
    _requests(past, "other_name", more=',app="mismatch"')
    past.series(REQUESTS, 'service="no_status"', _grows(10))
    for status, rate in ((200, 10), (503, 0.02)):
        past.series(REQUESTS, f'service="reset",status="{status}",instance="a"', _starts_anew(rate))
        born = f'service="new_pod",status="{status}",instance="b"'
        past.series(REQUESTS, born, _grows(rate, base=-90 * rate), since=105)
    _requests(past, "new_pod", more=',instance="a"')
    for version, bad in (("v1", 1.0), ("v2", 1.1)):
        _requests(past, "sick", bad=bad, more=f',version="{version}"')
    for version, bad in (("v1", 0.01), ("v2", 1.1)):
        _requests(past, "only_canary", bad=bad, more=f',version="{version}",pod="only-{version}-x",track="{version}"')
    _histogram(past, "exact", {"0.3": 9.9, "+Inf": 10})
    _histogram(past, "agree", {"0.25": 9.9, "0.5": 9.95, "+Inf": 10})
    _histogram(past, "agree_slow", {"0.25": 8, "0.5": 8.5, "+Inf": 10})
    _histogram(past, "disagree", {"0.25": 8, "0.5": 9.95, "+Inf": 10})
    _pods(past)
    return past


def _grows(per_s: float, *, base: float = 5000) -> Callable[[int], object]:
    return lambda at: base + per_s * at


def _starts_anew(per_s: float) -> Callable[[int], object]:
    """A counter that begins at 0 again with the window, and in the middle of it."""
    return lambda at: per_s * (at % (WINDOW_S // 2) + SCRAPE_S if at >= 0 else at + 5000)


def _requests(
    past: Past, service: str, *, ok: float = 10, bad: float | None = None, until: int = WINDOW_S, more: str = ""
) -> None:
    """Add a service with so many requests per second; bad None: no series of errors."""
    for status, rate in ((200, ok), (503, bad)):
        if rate is not None:
            past.series(REQUESTS, f'service="{service}",status="{status}"{more}', _grows(rate), until=until)


def _histogram(past: Past, service: str, buckets: Mapping[str, float]) -> None:
    """Add a service with so many requests per second in each cumulative bucket."""
    for bound, rate in buckets.items():
        past.series(f"{DURATION}_bucket", f'service="{service}",le="{bound}"', _grows(rate))
    past.series(f"{DURATION}_count", f'service="{service}"', _grows(buckets["+Inf"]))


def _pods(past: Past) -> None:
    """Add what cAdvisor and kube-state-metrics say of two pods of one version, one of them new, and of another's."""
    for pod, born, restarts, peak in (("old", _BEFORE_S, 3, 300), ("new", 60, 2, 800)):
        labels = f'namespace="shop",pod="checkout-abc123-{pod}",container="app"'
        past.series("container_cpu_cfs_throttled_periods_total", labels, _grows(2), since=born)
        past.series("container_cpu_cfs_periods_total", labels, _grows(10), since=born)
        past.series("container_spec_memory_limit_bytes", labels, _grows(0, base=1000), since=born)
        past.series("container_memory_working_set_bytes", labels, _hill(peak), since=born)
        # kube-state-metrics itself is replaced in mid-window: the same pods have series of another instance.
        for instance, first, last in (("ksm-1", born, 120), ("ksm-2", max(born, 135), WINDOW_S)):
            past.series(_RESTARTS, f'{labels},instance="{instance}"', _grows(0, base=restarts), since=first, until=last)
    past.series(_RESTARTS, 'namespace="shop",pod="checkout-def456-x",container="app"', _grows(0, base=0))


_RESTARTS = "kube_pod_container_status_restarts_total"


def _hill(peak: int) -> Callable[[int], object]:
    return lambda at: peak - abs(at - WINDOW_S // 2)

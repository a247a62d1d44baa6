"""The shell script: sleep 300, then one query over the window; rolls back when its answer is above the limit.

The query is the one of Prometheus' own histogram and counter guides, ``rate()`` over the window
(https://prometheus.io/docs/prometheus/latest/querying/functions/#rate), compared with ``awk "BEGIN{exit !(v > l)}"``:
an empty answer and NaN are not above the limit. It looks at the canary's own series, which is the kind reading.
"""

from __future__ import annotations

from bench.judges.series import SCRAPES, WINDOW_S, Step

__all__ = ["ShellScript"]


class ShellScript:
    """``error_rate > limit`` at the window's end."""

    def step(self, step: Step, limit: float) -> tuple[bool, int]:
        """Return whether it goes on, and when."""
        ratio = step.ratio(SCRAPES - 1, SCRAPES)
        return not (ratio is not None and ratio > limit), WINDOW_S

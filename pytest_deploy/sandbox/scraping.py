"""What the sandbox's Prometheus is told: whom to scrape, and the one alert that is evaluated."""

from __future__ import annotations

import json
from pathlib import Path

__all__ = ["ALERT", "configure"]

ALERT = "MostRequestsFail"
"""Fires for a service while more than half of one of its versions' requests fail; it carries the label ``service``."""

_BY = "sum by (service, namespace, pod_template_hash)"


def configure(folder: Path, target: str) -> Path:
    """Write Prometheus' configuration and its rules into a folder, and return the configuration's path.

    Args:
        target: the traffic source, host and port.
    """
    rules, config = folder / "prometheus-rules.yaml", folder / "prometheus.yaml"
    # As JSON, which is YAML, too.
    rules.write_text(json.dumps({"groups": [{"name": "sandbox", "rules": [_RULE]}]}, indent=2))
    facts = {
        # A scrape each second, so that a window of some seconds holds as many samples as one of minutes elsewhere.
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(rules)],
        "scrape_configs": [{"job_name": "traffic", "static_configs": [{"targets": [target]}]}],
    }
    config.write_text(json.dumps(facts, indent=2))
    return config


_RULE = {
    "alert": ALERT,
    "expr": (f'{_BY} (rate(http_requests_total{{status=~"5.."}}[5s])) / {_BY} (rate(http_requests_total[5s])) > 0.5'),
    "labels": {"severity": "page"},
    "annotations": {"summary": "More than half of the requests to {{ $labels.service }} fail."},
}

"""``pytest-deploy gate``: gates are tested offline, against a running service, and against past deploys."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pytest_deploy.adapters.series import Series
    from pytest_deploy.domain.action import Json
    from pytest_deploy.gate.feature import Asked
    from pytest_deploy.gate.show import Shown
    from pytest_deploy.replay import Judged

from pytest_deploy.errors import ConfigError, Refused

__all__ = ["gate"]


@click.group(epilog="Example: pytest-deploy gate check features/prod_canary.feature --series series.csv")
def gate() -> None:
    """Test a feature's gates before they are trusted; nothing is deployed and nothing is decided."""


_feature = click.argument("feature", type=click.Path(exists=True, dir_okay=False, path_type=Path))
_config = click.option(
    "--deploy-config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Default: deploy.yaml upwards.",
)
_set = click.option("--deploy-set", multiple=True, metavar="KEY=VALUE", help="Override one key of deploy.yaml.")
_sandbox = click.option("--sandbox", is_flag=True, help="The sandbox's profile in deploy.yaml's place.")
_as_json = click.option("--json", "as_json", is_flag=True, help="For machines.")


@gate.command(
    epilog="Example: pytest-deploy gate check features/prod_canary.feature --series reports/latest/measurements.jsonl"
)
@_feature
@click.option("--series", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Measurements to replay.")
@click.option("--watch", is_flag=True, help="Shadow the service that runs now: look, judge, decide nothing.")
@click.option(
    "--weight",
    type=click.IntRange(1, 100),
    help="Whose gates, alone. Default: with --series all weights, with --watch the last one.",
)
@_config
@_set
@_sandbox
@_as_json
def check(
    feature: Path,
    series: Path | None,
    watch: bool,
    weight: int | None,
    deploy_config: Path | None,
    deploy_set: tuple[str, ...],
    sandbox: bool,
    as_json: bool,
) -> None:
    """Judge a series of measurements, or with --watch the service that runs now, by FEATURE's gates.

    Each look and each verdict is printed, up to the first that is not PASS. A series is measurements.jsonl of a
    deploy's reports, a CSV file with the columns weight, gate, t_s, total and bad, or value, or the canary's counters
    as Prometheus' /api/v1/query_range answers them: the windows then follow one another from the first sample on.
    Exit status 0: all gates PASS, 1: one is not, 2: interrupted, 4: the feature or the series can't be read.
    """
    if (series is None) == (not watch):
        raise ConfigError(["give --series FILE or --watch, and one of them only"])
    from pytest_deploy.gate.feature import read

    asked = read(feature, config=deploy_config, overrides=deploy_set, sandbox=sandbox)
    known = [stage.weight for stage in asked.plan.stages]
    if weight is not None and weight not in known:
        raise ConfigError([f"--weight {weight}: the feature's weights are {', '.join(map(str, known)) or 'none'}"])
    if series is not None:
        sys.exit(_check_series(asked, series, weight, as_json=as_json))
    sys.exit(_shadow(asked, weight, sandbox=sandbox, as_json=as_json))


def _check_series(asked: Asked, file: Path, weight: int | None, *, as_json: bool) -> int:
    from pytest_deploy.gate.check import check as check_series

    series, service = _series(asked, file, weight), asked.prepared.release.service
    interval = asked.prepared.config.metrics.scrape_interval
    return _told(
        asked,
        as_json=as_json,
        header={"series": str(file)},
        run=lambda shown: list(check_series(asked.plan, series, service, interval, shown, only=weight)),
    )


def _series(asked: Asked, file: Path, weight: int | None) -> Series:
    from pytest_deploy.gate import range_file, series_file

    prometheus = asked.prepared.config.metrics.prometheus
    if prometheus is None or not range_file.is_range(file):
        return series_file.load(file)
    names = range_file.RangeNames(
        requests=prometheus.requests_metric, status=prometheus.status_label, duration=prometheus.duration_metric
    )
    stages = [stage for stage in asked.plan.stages if weight in {None, stage.weight}]
    return range_file.load(file, stages, names)


def _shadow(asked: Asked, weight: int | None, *, sandbox: bool, as_json: bool) -> int:
    from pytest_deploy.gate.provider import provider
    from pytest_deploy.gate.shadow import shadow

    ready = asked.prepared
    source = provider(ready.config, ready.environment, os.environ, sandbox=sandbox)
    return _told(
        asked,
        as_json=as_json,
        header={"watch": True},
        run=lambda shown: [shadow(asked.plan, ready.release.service, ready.environment, weight, source, shown)],
    )


def _told(asked: Asked, *, as_json: bool, header: dict[str, Json], run: Callable[[Shown], list[Judged]]) -> int:
    """Run it, print how it ended and return the exit status."""
    from pytest_deploy.gate.show import Shown

    shown = Shown((lambda _: None) if as_json else click.echo)
    status, judged = 0, []
    try:
        judged = run(shown)
        status, words = _ending(asked, judged)
    except KeyboardInterrupt:
        status, words = 2, f"interrupted: no verdict; {shown.words}"
    if as_json:
        passed = status == 0
        body = {"feature": str(asked.prepared.feature), "judge": asked.plan.judge.name, **header}
        click.echo(json.dumps(body | {"passed": passed, "words": words, "windows": shown.windows}, indent=2))
    else:
        click.echo(f"gate check: {words}")
    return status


def _ending(asked: Asked, judged: list[Judged]) -> tuple[int, str]:
    last = judged[-1]
    if last.response is None:
        gates = sum(len(each.verdicts) for each in judged)
        return 0, f"PASS, {gates} gates at {', '.join(each.window.where for each in judged)}"
    what = "NOT JUDGED" if last.breaker is None else last.breaker.kind.value
    hold = (
        f" (for {asked.plan.policy.hold.total_seconds() / 60:g} minutes, then roll back)" if last.response.holds else ""
    )
    return 1, f"{what} {last.window.where}; a deploy would: {last.response}{hold}"


@gate.command(epilog="Example: pytest-deploy gate backtest features/prod_canary.feature --since 30d")
@_feature
@click.option("--since", default="30d", show_default=True, help="How far back: 30d, 12h.")
@click.option(
    "--reports",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default="reports",
    show_default=True,
    help="Folder of past deploys' reports.",
)
@_config
@_set
@_sandbox
@_as_json
def backtest(
    feature: Path,
    since: str,
    reports: Path,
    deploy_config: Path | None,
    deploy_set: tuple[str, ...],
    sandbox: bool,
    as_json: bool,
) -> None:
    """Ask the metrics' provider for past deploys, and print what FEATURE's gates would have decided.

    Rehearsals are left out. Against the known outcome are counted: false aborts (it was committed, and would have been
    stopped) and misses (a gate had it rolled back, and it would have passed). Deploys whose data is gone, and those
    that had left a weight before this feature's window was over, are counted apart: they are no agreement.
    Exit status 0: judged, 4: there is no past deploy, or the feature can't be read.
    """
    from pytest_deploy.domain.quantity import parse_duration

    try:
        back = parse_duration(since)
    except ValueError as error:
        raise ConfigError([f"--since {error}"]) from error
    from pytest_deploy.domain.outcome import Mode
    from pytest_deploy.gate import backtest as past
    from pytest_deploy.gate.feature import read
    from pytest_deploy.gate.provider import provider
    from pytest_deploy.io.clock import SystemClock

    asked = read(feature, config=deploy_config, overrides=deploy_set, sandbox=sandbox)
    service, environment = asked.prepared.release.service, asked.prepared.environment
    begin = SystemClock().now() - back
    mode = Mode.SANDBOX if sandbox else Mode.REAL
    deploys, unreadable = past.find(reports, service, environment.name, since=begin, mode=mode)
    source = provider(asked.prepared.config, environment, os.environ, sandbox=sandbox)
    if source.as_of is None:
        raise Refused("this metrics provider can't be asked about the past", hint="Prometheus can")
    source.metrics.now()  # one that does not answer at all is told once, and not as a lack of data
    findings = []
    for each in past.backtest(asked.plan, service, environment, deploys, source.as_of):
        findings.append(each)
        if not as_json:
            click.echo(each.words)
    summary = past.Summary(findings=tuple(findings), unreadable=tuple(unreadable))
    click.echo(json.dumps(summary.to_json(), indent=2) if as_json else "\n".join(summary.lines))

"""What a caller asked for, checked before anything is contacted: options, deploy.yaml and the feature's plan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_deploy.domain.fault import Fault, FaultKind, parse_fault
from pytest_deploy.domain.gate_terms import Terms, gate_problems, stage_problems
from pytest_deploy.domain.outcome import Mode
from pytest_deploy.domain.plan import Stage
from pytest_deploy.domain.query import UNITS
from pytest_deploy.domain.record import STAGING
from pytest_deploy.domain.release import Environment, Release
from pytest_deploy.errors import ConfigError
from pytest_deploy.steps import outline

if TYPE_CHECKING:
    import pytest

    from pytest_deploy.config.model import DeployConfig

__all__ = ["Options", "Prepared", "options", "prepare"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of group "deploy", parsed.

    Args:
        config: of ``--deploy-config``; None: looked up from the feature's folder upwards.
        speed: windows are this many times shorter; 1 outside of the sandbox.
        root: places in reports are relative to it.
        allure_dir: where allure-pytest writes its results; None where it does not.
    """

    mode: Mode
    config: Path | None
    faults: tuple[str, ...]
    overrides: tuple[str, ...]
    reports: Path
    yes: bool
    speed: float
    root: Path
    allure_dir: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A feature with its configuration, checked; nothing has been contacted."""

    options: Options
    feature: Path
    config: DeployConfig
    release: Release
    environment: Environment
    stages: tuple[Stage, ...]
    faults: tuple[Fault, ...]
    drill: bool
    installs: tuple[str, ...]
    candidate: bool


def options(config: pytest.Config) -> Options:
    """Return the options of this run.

    Raises:
        pytest.UsageError: options that exclude each other.
    """
    import pytest

    option = config.getoption
    if option("rehearse") and option("sandbox"):
        raise pytest.UsageError("--rehearse and --sandbox exclude each other: one world at a time")
    if option("rehearse_fault") and not option("rehearse"):
        raise pytest.UsageError("--rehearse-fault belongs to --rehearse; on the sandbox a feature brings its own fault")
    speed = option("sandbox_speed")
    if speed < 1 or (speed != 1 and not option("sandbox")):
        raise pytest.UsageError("--sandbox-speed N belongs to --sandbox, and N is 1 or more")
    mode = Mode.REHEARSAL if option("rehearse") else Mode.SANDBOX if option("sandbox") else Mode.REAL
    folder = config.invocation_params.dir
    given = option("deploy_config")
    return Options(
        mode=mode,
        config=folder / given if given else None,
        faults=tuple(option("rehearse_fault")),
        overrides=tuple(option("deploy_set")),
        reports=folder / option("deploy_reports"),
        yes=option("deploy_yes"),
        speed=speed,
        root=config.rootpath,
        allure_dir=_allure_dir(config),
    )


def _allure_dir(config: pytest.Config) -> Path | None:
    """Return the folder of ``--alluredir``; None where allure-pytest is not installed or not asked for."""
    given = config.getoption("allure_report_dir", None)
    return config.invocation_params.dir / given if given else None


def prepare(options: Options, feature: Path, steps: Sequence[outline.StepAsked], titles: set[str]) -> Prepared:
    """Read deploy.yaml and the feature's plan.

    Args:
        steps: all steps of the feature.
        titles: of the scenarios that are to run; a rehearsal may run a part.

    Raises:
        ConfigError: with every problem of feature, options and deploy.yaml.
    """
    problems: list[str] = []
    name = outline.place_of(feature, 1, options.root)
    bound = outline.bound_for(steps)
    if bound is None:
        problems.append(
            f"{name}: no step says what is deployed where; "
            'begin with: Given the release "SERVICE" of deploy.yaml, bound for "ENVIRONMENT"'
        )
    problems += [
        f"{outline.place_of(step.path, step.line, options.root)}: "
        "faults and drills exist in --rehearse and --sandbox only"
        for step in outline.uses_faults(steps)
        if options.mode is Mode.REAL
    ]
    faults: list[Fault] = []
    for text in options.faults:
        try:
            faults.append(parse_fault(text))
        except ValueError as error:
            problems.append(f"--rehearse-fault {text!r}: {error}")
    try:
        config = _load(options, feature)
    except ConfigError as error:
        raise ConfigError([*problems, *error.problems]) from error
    release = config.release()
    if bound is not None:
        service, environment = bound
        if service != release.service:
            problems.append(f"{name}: the feature deploys {service!r}, deploy.yaml describes {release.service!r}")
        problems += [
            f"{outline.place_of(step.path, step.line, options.root)}: {named!r} is another service: "
            f"this feature deploys {service!r}"
            for step in steps
            if (named := step.args.get("service", service)) != service
        ]
        if environment not in release.environments:
            known = ", ".join(release.environments)
            problems.append(f"{name}: deploy.yaml has no environment {environment!r}, only: {known}")
    if options.mode is Mode.REAL:
        problems += [
            f"{place}: section {section!r} is configured, but its adapter does not exist yet: "
            "remove the section (its steps are then OFF, and said to be off)"
            for section, place in config.sections_without_adapter
        ]
    chosen = [step for step in steps if step.title in titles]
    stages = outline.stages(chosen, config.slo, options.root)
    problems += _unproved(steps, options, config, name)
    problems += _gate_problems(stages, config, options, drill=outline.is_drill(steps))
    if problems or bound is None:
        raise ConfigError(problems)
    faults += _provoked(faults, stages)
    return Prepared(
        options=options,
        feature=feature,
        config=config,
        release=release,
        environment=release.environments[bound[1]],
        stages=stages,
        faults=tuple(faults),
        drill=outline.is_drill(steps),
        installs=outline.installs(chosen),
        candidate=outline.needs_candidate(chosen),
    )


def _unproved(steps: Sequence[outline.StepAsked], options: Options, config: DeployConfig, name: str) -> Iterator[str]:
    """Yield what is wrong with a feature that would bring an image to production before any other place."""
    bound = outline.bound_for(steps)
    if options.mode is not Mode.REAL or bound is None or outline.is_drill(steps) or not outline.weighs(steps):
        return
    if bound[1] == STAGING or len(config.environments) == 1 or outline.installs(steps):
        return
    asked = outline.needs_candidate(steps)
    if not asked or config.record is None:
        off = " (that step is there, but deploy.yaml has no section 'record')" if asked else ""
        yield (
            f"{name}: nothing runs anywhere else before {bound[1]}, and staging can't be skipped. Let these stand "
            f'before the first weight: When the release is installed on "{STAGING}", Then every pod runs the pinned '
            f"digest within 5 minutes; or: Given the release candidate's record is verified{off}"
        )


def _load(options: Options, feature: Path) -> DeployConfig:
    from pytest_deploy.config.load import SANDBOX_CONFIG_NAME, find, load

    if options.config is not None:
        return load(options.config, overrides=options.overrides, root=options.root)
    if options.mode is not Mode.SANDBOX:
        return load(find(feature.parent), overrides=options.overrides, root=options.root)
    try:
        own = find(feature.parent, SANDBOX_CONFIG_NAME)
    except ConfigError:
        from pytest_deploy.sandbox import PROFILE

        chart = f"chart_path={options.root / 'charts' / 'checkout-api'}"
        return load(PROFILE, overrides=(chart, *options.overrides))
    return load(own, overrides=options.overrides, root=options.root)


def _gate_problems(stages: Sequence[Stage], config: DeployConfig, options: Options, *, drill: bool) -> list[str]:
    terms = Terms(
        scrape_interval=config.metrics.scrape_interval,
        divisor=options.speed,
        judge=config.gate.judge,
        tells_versions_apart=config.metrics.tells_versions_apart,
        units={**UNITS, **{name: query.unit for name, query in config.metrics.named_queries.items()}},
    )
    return sorted([*stage_problems(stages, drill=drill), *gate_problems(stages, terms)], key=_line)


def _line(problem: str) -> int:
    """Return the line of ``file:line: ...``, so that problems are told from top to bottom."""
    number = problem.partition(": ")[0].rpartition(":")[2].partition(" ")[0]
    return int(number) if number.isdigit() else 0


_HARMLESS = {
    FaultKind.ROLLBACK_FAILS,
    FaultKind.PROMETHEUS_SLOW,
    FaultKind.API_SERVER_SLOW,
    FaultKind.NOTIFIER_DOWN,
}
"""Faults that alone stop no deploy."""


def _provoked(faults: Sequence[Fault], stages: Sequence[Stage]) -> list[Fault]:
    """Return what must go wrong so that a rollback that fails is needed at all; [] where something does."""
    kinds = {fault.kind for fault in faults}
    if FaultKind.ROLLBACK_FAILS not in kinds or kinds - _HARMLESS or not stages:
        return []
    weight = stages[min(1, len(stages) - 1)].weight
    return [parse_fault(f"error rate 50% at {weight}%")]

"""What a deploy would need here, looked at piece by piece: nothing is written, and no piece stops the next."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from pytest_deploy.domain.plan import Stage, gates_of
from pytest_deploy.domain.release import Strategy
from pytest_deploy.engine import measurable, preflight, turn, windows
from pytest_deploy.engine.deploy import Deploy, Limits
from pytest_deploy.errors import DeployError, GateBreach
from pytest_deploy.ports import CAPABILITIES

if TYPE_CHECKING:
    from pytest_deploy.config.model import DeployConfig
    from pytest_deploy.domain.measurement import Objective
    from pytest_deploy.domain.outcome import Mode
    from pytest_deploy.domain.release import Release
    from pytest_deploy.ports import Ports

__all__ = ["Line", "Status", "Tool", "examine", "probe", "sections", "tools"]

_PROBE_S = 10
_VERSION = re.compile(r"\d+\.\d+(?:\.\d+)?(?:[-+.\w]*)?")


class Status(StrEnum):
    """How a line stands."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "FAILED"
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One finding.

    Args:
        area: tool, access, permission, release, metrics, ...
        words: what was observed.
        mend: the next move; "" where none is needed.
    """

    area: str
    name: str
    status: Status
    words: str
    mend: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A program that deploy.yaml makes a deploy need.

    Args:
        argv: prints its version.
        why: the section that needs it.
        key: of deploy.yaml, that names another one; "" where there is none.
    """

    argv: tuple[str, ...]
    why: str
    key: str = ""


def tools(config: DeployConfig, program: Callable[[str], str]) -> Iterator[Tool]:
    """Yield the programs beside Helm.

    Args:
        program: returns where a program is that deploy.yaml calls by its name alone.
    """
    named = config.tools
    yield Tool(argv=("git", "--version"), why="the commit that is deployed")
    if config.build is not None:
        yield Tool(argv=(*config.build.buildx, "version"), why="build", key="build.buildx")
    signs = [name for name, at in (("sign", config.sign), ("record", config.record)) if at is not None]
    if config.approval is not None and config.approval.file is not None:
        signs.append("approval.file")
    if signs:
        yield Tool(argv=(program(named.cosign), "version"), why=", ".join(signs), key="tools.cosign")
    if config.scan is not None:
        yield Tool(argv=(program(named.trivy), "version"), why="scan", key="tools.trivy")
    if config.chart_checks is not None:
        yield Tool(argv=(program(named.kubeconform), "-v"), why="chart_checks", key="tools.kubeconform")
    asks = ["approval.github"] if config.approval is not None and config.approval.file is None else []
    if config.gitops is not None and config.gitops.pull_request:
        asks.append("gitops.pull_request")
    if asks:
        yield Tool(argv=(program(named.gh), "--version"), why=", ".join(asks), key="tools.gh")


def probe(tool: Tool) -> Line:
    """Let a program tell its version."""
    from pytest_deploy.io.process import run

    name = tool.argv[0].rpartition("/")[2] if len(tool.argv) == 2 else " ".join(tool.argv[:-1])
    mend = f"install it, or name another one as {tool.key}" if tool.key else "install it"
    try:
        done = run(tool.argv, timeout_s=_PROBE_S)
    except DeployError as error:
        return _line("tool", name, Status.FAILED, f"{_first(error)}; needed for {tool.why}", mend)
    said = f"{done.stdout}\n{done.stderr}"
    found = _VERSION.search(said)
    if done.status != 0 or found is None:
        words = f"{' '.join(tool.argv)} ended with {done.status} and told no version; needed for {tool.why}"
        return _line("tool", name, Status.FAILED, words, mend)
    return _line("tool", name, Status.OK, f"{found[0]}, for {tool.why}")


def examine(
    config: DeployConfig,
    release: Release,
    environment: str,
    ports: Ports,
    mode: Mode,
    *,
    stages: tuple[Stage, ...] = (),
) -> Iterator[Line]:
    """Yield what pre-flight would find in one environment, one line for each piece.

    Args:
        release: as this world sees it.
        stages: of a feature; (): the canary_steps of deploy.yaml, each judged by its slo.
    """

    def deploy() -> Deploy:
        return _deploy(config, release, environment, ports, mode, stages)

    if ports.gitops is not None and ports.gitops.covers(environment):
        yield from _checked(deploy(), "gitops", "repository", _gitops)
    else:
        yield from _live(deploy)
    for section, subject in _SUBJECTS.items():
        if getattr(config, section) is not None:
            yield from _asked(deploy(), section, subject.format(release.service))
    yield from _approval(deploy())
    yield from _checked(deploy(), "calendar", "freeze", windows.not_frozen)


def _live(deploy: Callable[[], Deploy]) -> Iterator[Line]:
    """Yield what cluster and metrics tell; all at the same time, as most of it is waiting for Helm and servers.

    Args:
        deploy: makes a new one: each group of checks has its own.
    """
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor() as pool:
        measured = pool.submit(lambda: list(_metrics(deploy())))
        helm = pool.submit(lambda: list(_checked(deploy(), "tool", "helm", _helm)))
        cluster = list(_checked(deploy(), "access", "cluster", preflight.CHECKS["cluster"]))
        if any(line.status is Status.FAILED for line in cluster):
            yield from [*helm.result(), *cluster]
            yield _line("access", "the rest", Status.WARNING, "not looked at: permissions, release, chart", "as above")
        else:
            groups = [pool.submit(_group, deploy(), checks) for checks in _groups()]
            yield from [*helm.result(), *cluster]
            yield from _once(line for group in groups for line in group.result())
        yield from measured.result()


def _group(deploy: Deploy, checks: Iterable[tuple[str, str, Callable[[Deploy], None]]]) -> list[Line]:
    return [line for area, name, check in checks for line in _checked(deploy, area, name, check)]


def _once(lines: Iterable[Line]) -> Iterator[Line]:
    """Yield the lines; what several checks were told is said with the first of them."""
    told: set[str] = set()
    for line in lines:
        again = line.status is not Status.OK and line.words in told
        yield replace(line, words="as above", mend="as above" if line.mend else "") if again else line
        told.add(line.words)


def _deploy(
    config: DeployConfig, release: Release, environment: str, ports: Ports, mode: Mode, stages: tuple[Stage, ...]
) -> Deploy:
    weights = release.canary_steps if release.strategy is Strategy.CANARY else ()
    own = tuple(
        Stage(
            weight=weight,
            gates=gates_of(config.slo, config.slo.window, scenario=f"canary at {weight}%", place="slo of deploy.yaml"),
            scenario=f"canary at {weight}%",
            place="canary_steps of deploy.yaml",
        )
        for weight in weights
    )
    timeouts = config.timeouts
    deploy = Deploy(
        id="doctor",
        mode=mode,
        release=release,
        environment=release.environments[environment],
        slo=config.slo,
        stages=stages or own,
        limits=Limits(helm=timeouts.helm, step=timeouts.step, rollback=timeouts.rollback),
        judge=config.gate.rules,
        policy=config.gate.policy,
        ports=ports,
        emit=lambda _: None,
        windows=config.windows.windows(environment),
    )
    # A dead deploy that holds the lock is named, and neither waited for nor recovered: a doctor only looks.
    deploy.checked.add("lock")
    return deploy


def _helm(deploy: Deploy) -> None:
    if deploy.release_target() is None:
        deploy.found("not needed: no Helm release owns the Rollout")
        return
    deploy.found(f"{deploy.ports.helm.version()}, {deploy.ports.helm_binary}")


def _gitops(deploy: Deploy) -> None:
    if deploy.ports.gitops is not None:
        deploy.found(deploy.ports.gitops.check(deploy.environment.name).words)


def _lock(deploy: Deploy) -> None:
    turn.look(deploy)
    deploy.found("free")


_SUBJECTS = {"incidents": "service:{}", "checklist": "{}"}
"""The sections that only read, with what they are asked for; the others build, write or run for minutes."""

_TOGETHER = (
    ("account", "privilege", "credentials"),
    ("release", "old image"),
    ("stack", "autoscaler", "quota", "disruption budget"),
)
"""Checks of pre-flight that share what one of them reads or renders; each of the others is a group of its own."""
_APART = frozenset({"cluster", "freeze", "metrics", "requests"})
"""The cluster is asked first, the freeze needs none, and metrics are shown gate by gate."""


def _groups() -> Iterator[list[tuple[str, str, Callable[[Deploy], None]]]]:
    """Yield all other checks of pre-flight: what a deploy asks, its doctor asks."""
    grouped = {name for names in _TOGETHER for name in names}
    alone = [(name,) for name in preflight.CHECKS if name not in grouped | _APART]
    for names in (*_TOGETHER, *alone):
        area = "permission" if names == _TOGETHER[0] else "release"
        yield [(area, name, preflight.CHECKS[name]) for name in names]
    yield [("release", "lock", _lock)]


def _checked(deploy: Deploy, area: str, name: str, check: Callable[[Deploy], None]) -> Iterator[Line]:
    deploy.found("")
    before = len(deploy.warned)
    try:
        check(deploy)
    except (GateBreach, DeployError) as error:
        yield _failed(area, name, error)
    else:
        yield _line(area, name, Status.OK, deploy.step_detail or "nothing in the way")
    for text in deploy.warned[before:]:
        yield _line(area, name, Status.WARNING, text)


def _metrics(deploy: Deploy) -> Iterator[Line]:
    """Yield what a live look at each gate's metrics shows, on all pods that run now."""
    metrics = deploy.ports.metrics
    try:
        now = metrics.now()
    except DeployError as error:
        yield _failed("metrics", "server", error)
        return
    skew = abs(now - deploy.ports.clock.now())
    yield _line("metrics", "server", Status.OK, f"answers; its clock and ours differ by {skew.total_seconds():.1f} s")
    objectives = dict.fromkeys(gate.objective for stage in deploy.stages for gate in stage.gates)
    for objective in objectives or dict.fromkeys(deploy.slo.objectives):
        yield from _gate(deploy, objective, now)


def _gate(deploy: Deploy, objective: Objective, now: datetime) -> Iterator[Line]:
    metrics, service = deploy.ports.metrics, measurable.service(deploy)
    try:
        problems = metrics.problems(objective, service)
        reading = metrics.read(objective, service, now - deploy.slo.window)
    except DeployError as error:
        yield _failed("metrics", objective.name, error)
        return
    minutes = f"{deploy.slo.window / timedelta(minutes=1):g} min"
    if reading.total is None or reading.value is None:
        seen = f"no data in the last {minutes}"
    else:
        what = "requests" if objective.counted else "samples"
        seen = f"{objective.own.show(reading.value)} of {reading.total:.0f} {what} in the last {minutes}"
    words = f"{seen}, limit {objective.show(objective.limit)}"
    bad = [text for text in problems if "note: " not in text]
    if bad or reading.value is None:
        mend = "; ".join(bad) or "let the service have requests, or correct the names in metrics"
        yield _line("metrics", objective.name, Status.FAILED, words, mend)
    else:
        yield _line("metrics", objective.name, Status.OK, words)
    for text in problems:
        if text not in bad:
            yield _line("metrics", objective.name, Status.WARNING, text.replace("note: ", ""))


def sections(config: DeployConfig) -> Iterator[Line]:
    """Yield which capabilities are on; those that only read are asked in each environment."""
    for section, what in CAPABILITIES.items():
        if getattr(config, section) is None:
            yield _line("section", section, Status.OFF, f"not configured, so this is not done: {what}")
        elif section not in _SUBJECTS and section != "approval":
            yield _line("section", section, Status.OK, f"configured: {what}")


def _asked(deploy: Deploy, section: str, subject: str) -> Iterator[Line]:
    ask = deploy.ports.capabilities.get(section)
    if ask is None:
        yield _line("section", section, Status.OFF, "nothing answers for it in this world")
        return
    try:
        words = ask(subject).words
    except (GateBreach, DeployError) as error:
        yield _failed("section", section, error)
    else:
        yield _line("section", section, Status.OK, words)


def _approval(deploy: Deploy) -> Iterator[Line]:
    """Yield what would keep an approval from ever counting; nobody is asked for one."""
    approvals, env = deploy.ports.approvals, deploy.environment
    if approvals is None:
        return
    if not env.approvers:
        yield _line(
            "section", "approval", Status.OK, f"nobody has to approve: environments.{env.name}.approvers is empty"
        )
        return
    try:
        problems = approvals.problems(env.name, env.approvers)
    except DeployError as error:
        yield _failed("section", "approval", error)
        return
    for text in problems:
        words, _, mend = text.partition("; next: ")
        yield _line("section", "approval", Status.FAILED, words, mend or "see its message")
    if not problems:
        yield _line("section", "approval", Status.OK, f"would be asked of {', '.join(env.approvers)}")


def _failed(area: str, name: str, error: GateBreach | DeployError) -> Line:
    """Return an error as a line; what to do stands behind its ``next:``."""
    words, _, mend = str(error).partition("\n  next: ")
    return _line(area, name, Status.FAILED, words, mend or "see its message")


def _first(error: DeployError) -> str:
    return str(error).partition("\n")[0]


def _line(area: str, name: str, status: Status, words: str, mend: str = "") -> Line:
    return Line(area=area, name=name, status=status, words=words, mend=mend)

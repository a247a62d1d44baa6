"""A release of its own in which one cell runs after the other: the deploy dies, recover comes, the oracle looks."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from tests.e2e.caller import FEATURE, PROFILE, Running
from tests.e2e.kill_matrix import judge, truth
from tests.e2e.kill_matrix.cells import Cell, Mutation, expected
from tests.e2e.kill_matrix.recover import recover
from tests.e2e.kill_matrix.watch import Watch
from tests.e2e.oracle import CHART, CLOCK, SERVICE, Place, Sandbox, digest_of, eventually

__all__ = ["LEASE_S", "Lane", "Result"]

LEASE_S = 4
_WITHIN_S = 120.0
_STAGING = """\
  staging: {{context: sandbox-staging, namespace: {namespace}-staging, values_file: values-staging.yaml}}
metrics:
"""
_MORE = """\
lock: {{lease_s: {lease}, renew_s: 1}}
gate: {{inconclusive: "{back}", no_data: "{back}", error: "{back}"}}
"""
"""A machine that is too busy to scrape in time must not let a cell wait for a person."""
_STAGE = """\
  Scenario: Staging
    When the release is installed on "staging"
    Then every pod runs the pinned digest within 1 minutes

  Scenario Outline: Canary at <weight>
"""
_BAD = 'podAnnotations: {sandbox.pytest-deploy.dev/error-rate: "0.5"}'
_TOO_STRICT = "5 ms"
"""Without Helm, which brings an annotation, a version can't be made bad: nothing here answers as fast as this."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a cell ended.

    Args:
        wrong: what does not hold; empty: all is as it must be.
        missed: the failpoint was not met, or at another mutation: why; "" where it was.
        took_s: of all of it; ``recover_s`` of the recover that ended.
    """

    cell: str
    wrong: tuple[str, ...] = ()
    missed: str = ""
    took_s: float = 0.0
    recover_s: float = 0.0
    story: tuple[str, ...] = ()

    @property
    def word(self) -> str:
        """In the table."""
        return "WRONG" if self.wrong else "missed" if self.missed else "ok"

    def as_json(self) -> str:
        """One line of the table's file."""
        return json.dumps(asdict(self))


@dataclass
class Lane:
    """A namespace for production and one for staging."""

    sandbox: Sandbox
    namespace: str
    folder: Path
    prod: Place = field(init=False)
    staging: Place = field(init=False)
    watch: Watch = field(init=False)
    _runs: int = 0

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        self.prod = Place(sandbox=self.sandbox, namespace=self.namespace, folder=self.folder)
        self.staging = Place(sandbox=self.sandbox, namespace=f"{self.namespace}-staging", folder=self.folder)
        self.watch = Watch(self.prod)

    def open(self) -> None:
        """Install the old version in both, and wait until it is at rest."""
        for place, values in ((self.prod, "values-prod.yaml"), (self.staging, "values-staging.yaml")):
            place.kubectl("create", "namespace", place.namespace)
            digest = f"image.digest={digest_of(f'old {self.namespace}')}"
            place.helm("upgrade", "--install", SERVICE, str(CHART), "-f", str(CHART / values), "--set", digest)
        self.watch.start()
        for place in (self.prod, self.staging):
            eventually(partial(_rests, place), f"{place.namespace} is at rest", within_s=90)

    def close(self, *, keep: bool) -> None:
        """Stop watching; unless it is kept to be looked at, remove both namespaces."""
        self.watch.stop()
        if not keep:
            self.prod.kubectl("delete", "namespace", self.prod.namespace, self.staging.namespace, "--wait=false")

    def run(self, cell: Cell) -> Result:
        """Run one cell from a release at rest; whatever breaks on the way is a wrong end."""
        began = CLOCK.monotonic()
        story: list[str] = []
        try:
            result = _CellRun(self, cell, story).run()
        except (AssertionError, subprocess.SubprocessError, OSError, ValueError, LookupError) as error:
            result = Result(cell=cell.name, wrong=(f"{type(error).__name__}: {error}",))
        took = CLOCK.monotonic() - began
        return Result(**(asdict(result) | {"took_s": round(took, 1), "story": tuple(story)}))

    def deploy(self, folder: Path, of: Mutation, env: Mapping[str, str]) -> Running:
        """Start a deploy of a new version that has this mutation on its way."""
        profile = PROFILE.format(
            chart=CHART,
            namespace=self.namespace,
            release=SERVICE if of.helm else "null",
            helm=self.sandbox.binaries["helm3"],
            prometheus=self.sandbox.facts["prometheus_url"],
            digest="",
        ).replace("metrics:\n", _STAGING.format(namespace=self.namespace), 1)
        profile = profile.replace('rps: "2000"}', 'rps: "40000"}', 1) + _MORE.format(
            lease=LEASE_S, back="extend, then roll back"
        )
        if of.fails:
            profile = profile.replace("values:\n", f"values:\n  {_BAD}\n", 1)
        (self.folder / "deploy.sandbox.yaml").write_text(profile, "utf-8")
        spans = dict.fromkeys(("w5", "w25", "w50", "w100", "after"), 3)
        feature = FEATURE.replace("  Scenario Outline: Canary at <weight>\n", _STAGE, 1) if of.helm else FEATURE
        if of.fails and not of.helm:
            feature = feature.replace("300 ms", _TOO_STRICT)
        (self.folder / "prod.feature").write_text(feature.format(**spans), "utf-8")
        argv = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "prod.feature", "--sandbox")
        return Running(argv, folder, self.folder, {"PYTEST_DEPLOY_CACHE": str(self.sandbox.cache), **env})

    def look(self) -> dict[str, truth.Truth]:
        """Look at both environments."""
        return {"prod": truth.look(self.prod), "staging": truth.look(self.staging)}

    def next_folder(self) -> Path:
        """Return a new folder for a cell's files."""
        self._runs += 1
        made = self.folder / f"cell-{self._runs}"
        made.mkdir()
        return made


@dataclass
class _CellRun:
    lane: Lane
    cell: Cell
    story: list[str]

    def run(self) -> Result:
        lane, cell = self.lane, self.cell
        self.folder = lane.next_folder()
        self.story.append(f"files: {self.folder}")
        before, known = lane.look(), set(truth.deploys(lane.prod))
        lane.watch.begin()
        env = {"PYTEST_DEPLOY_FAILPOINT": cell.failpoint}
        run = lane.deploy(self.folder, cell.mutation, env)
        try:
            if missed := self._dies(run):
                return self._missed(missed, run)
            return self._recovered(run, before, known)
        finally:
            if run.process.poll() is None:
                run.process.kill()
                run.process.wait()

    def _dies(self, run: Running) -> str:
        """Wait until the failpoint was met, and return why it was not, where it was not."""
        how, process = self.cell.how, run.process
        probes: dict[str, Callable[[], object]] = {
            "SIGKILL": lambda: False,
            "SIGTERM": lambda: False,
            "SIGSTOP": lambda: _stopped(process.pid),
            "partition": lambda: (found := truth.lease(self.lane.prod)) and found.holder and found.expired,
        }
        try:
            self._wait(lambda: probes[how]() or process.poll() is not None, "the failpoint")
        except AssertionError as late:
            process.kill()
            process.wait()
            return str(late)
        self.story.append(f"the deploy: {'is cut off' if how == 'partition' else process.poll() or 'stopped'}")
        status = process.poll()
        met = {
            "SIGKILL": status == -signal.SIGKILL,
            "SIGTERM": run.says("SIGTERM: stopping"),
            "SIGSTOP": status is None,
            "partition": status is None or run.says("cut off"),
        }
        return "" if met[how] else f"ended with {status} before it was met"

    def _missed(self, why: str, run: Running) -> Result:
        """A cell that was not what it is named after: nothing is judged, the release is left at rest."""
        status = recover(self.lane.prod, self.folder / "recover.txt")
        return Result(cell=self.cell.name, missed=f"{why}; recover: {status}; {run.last if run.out else ''}")

    def _recovered(self, run: Running, before: dict[str, truth.Truth], known: set[str]) -> Result:
        lane, cell, process, log = self.lane, self.cell, run.process, self.folder / "recover.txt"
        self._wait(self._expired, "the lease expires", within_s=LEASE_S * 5)
        if cell.how == "SIGSTOP" and cell.wakes_first:
            process.send_signal(signal.SIGCONT)
            self._wait(lambda: process.poll() is not None, "the woken deploy ends")
        deploy = self._deploy(known)
        if deploy.intents[: len(before_it := expected(cell))] != before_it:
            return self._missed(f"it met another mutation: {deploy.intents}", run)
        closed_itself = deploy.closed
        first = self._first_recover(log)
        began = CLOCK.monotonic()
        recovered = recover(lane.prod, log)
        took = CLOCK.monotonic() - began
        self.story.append(f"recover: {first}, then {recovered} in {took:.1f} s")
        if cell.how == "SIGSTOP" and not cell.wakes_first:
            before_waking = lane.look()["prod"].moves
            process.send_signal(signal.SIGCONT)
            self._wait(lambda: process.poll() is not None, "the woken deploy ends")
            if lane.look()["prod"].moves != before_waking:
                self.story.append("the woken deploy changed something")
                return Result(cell=cell.name, wrong=("8: the woken deploy changed something",))
        if cell.how == "partition":
            self._wait(lambda: process.poll() is not None, "the deploy that was cut off ends")
        self.story.append(f"the deploy ended: {process.poll()}")
        after = lane.look()
        seen = (after["prod"].moves, after["staging"].moves, truth.lease(lane.prod), truth.deploys(lane.prod))
        again = recover(lane.prod, log)
        last = lane.look()
        then = (last["prod"].moves, last["staging"].moves, truth.lease(lane.prod), truth.deploys(lane.prod))
        names = ("prod", "staging", "the lease", "the journal")
        every = truth.deploys(lane.prod)
        ended = judge.Ended(
            how=cell.how,
            helm=cell.mutation.helm,
            before=before,
            after=last,
            deploy=every[deploy.deploy_id],
            others_open=[each for each, it in every.items() if it.closed is None and each != deploy.deploy_id],
            lease=truth.lease(lane.prod),
            watch=lane.watch,
            status=process.wait(timeout=1),
            closed_itself=closed_itself,
            recovered=first if recovered == 0 and first == 1 else recovered,
            again=again,
            changed=[name for name, one, two in zip(names, seen, then, strict=True) if one != two],
            processes=[*lane.prod.helm_processes(), *lane.staging.helm_processes()],
        )
        return Result(cell=cell.name, wrong=tuple(judge.violations(ended)), recover_s=round(took, 1))

    def _first_recover(self, log: Path) -> int:
        dies = self.cell.recover_dies_after_s
        failpoint = "" if dies is not None else self.cell.recover_failpoint
        status = recover(self.lane.prod, log, failpoint=failpoint, dies_after_s=dies)
        self._wait(self._expired, "the lease of the first recover expires", within_s=LEASE_S * 5)
        return status

    def _expired(self) -> bool:
        lease = truth.lease(self.lane.prod)
        return lease is None or lease.expired

    def _deploy(self, known: set[str]) -> truth.Deploy:
        found = [it for each, it in truth.deploys(self.lane.prod).items() if each not in known]
        assert len(found) == 1, f"{len(found)} new deploys in the journal"
        return found[0]

    def _wait(self, probe: Callable[[], Any], what: str, *, within_s: float = _WITHIN_S) -> None:
        until = CLOCK.monotonic() + within_s
        while not probe():
            assert CLOCK.monotonic() < until, f"{what}: not within {within_s:.0f} s"
            CLOCK.sleep(timedelta(milliseconds=300))


def _rests(place: Place) -> bool:
    """Whether the old version is all that runs; a first install walks through no steps."""
    seen = truth.look(place)
    return not seen.resting and seen.running == {seen.wanted: seen.replicas}


def _stopped(pid: int) -> bool:
    """Whether a process is stopped by a signal."""
    return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0] == "T"

"""The main job and what can go wrong with it, as a caller sees it: exit status, console, note, JUnit."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

ROOT = Path(__file__).parents[2]


class Ran:
    """One finished call of pytest."""

    def __init__(self, folder: Path, *arguments: str, env: dict[str, str] | None = None) -> None:
        self.folder = folder
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-o",
                f"cache_dir={folder / 'cache'}",
                *arguments,
                "--deploy-reports",
                str(folder / "reports"),
                "--junitxml",
                str(folder / "junit.xml"),
            ],
            cwd=ROOT,
            env={"PATH": "/usr/bin:/bin", "HOME": str(folder), **(env or {})},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.status = done.returncode
        self.out = done.stdout + done.stderr
        self.last = ([line for line in done.stdout.splitlines() if line.strip()] or [""])[-1]

    @property
    def note(self) -> str:
        """The deploy note, as text."""
        return (self.folder / "reports" / "latest" / "deploy-note.md").read_text("utf-8")

    @property
    def facts(self) -> dict[str, Any]:
        """The deploy as JSON."""
        loaded: dict[str, Any] = json.loads((self.folder / "reports" / "latest" / "deploy.json").read_text("utf-8"))
        return loaded

    @property
    def junit(self) -> dict[str, str]:
        """Each test case's status."""
        found = {}
        for case in ET.parse(self.folder / "junit.xml").iter("testcase"):
            kinds = [child.tag for child in case if child.tag in {"failure", "error", "skipped"}]
            found[case.get("name", "")] = kinds[0] if kinds else "passed"
        return found


def rehearse(folder: Path, *faults: str, feature: str = "features/prod_canary.feature") -> Ran:
    """Rehearse a feature with these faults."""
    options = [part for fault in faults for part in ("--rehearse-fault", fault)]
    return Ran(folder, feature, "--rehearse", *options)


def test_the_main_job(tmp_path: Path) -> None:
    """A healthy canary is committed: exit 0, four weights judged with their numbers, a note and a report."""
    ran = rehearse(tmp_path)
    assert ran.status == 0, ran.out
    assert re.search(r"deploy \S+-checkout-api-[0-9a-f]{4}: COMMITTED", ran.last)
    assert "REHEARSAL" in ran.last
    assert "REHEARSAL" in ran.note.splitlines()[0]
    for weight in ("5 %", "25 %", "50 %", "100 %"):
        assert re.search(rf"error rate at {weight}: PASS, \S+ % <= 0.50 %", ran.out), weight
        assert re.search(rf"p95 latency at {weight}: PASS, \d+ ms <= 300 ms", ran.out), weight
    assert (tmp_path / "reports" / "latest" / "report.html").read_text("utf-8").count("<table") >= 1
    assert set(ran.junit.values()) == {"passed"}


def test_the_plan_is_printed_in_order(tmp_path: Path) -> None:
    """Each command and patch stands in the plan before the first phase, the commitment after the last window."""
    out = rehearse(tmp_path).out
    places = [
        out.index("helm upgrade checkout-api"),
        out.index("at 5 %: watch"),
        out.index("at 100 %: watch"),
        out.index("commitment"),
        out.index("Pre-flight"),
    ]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("fault", "weight", "says"),
    [
        ("error rate 5% at 25%", "25%", r"error rate at 25 %: FAIL, \d\.\d\d % > 0\.50 %; \d+ bad of \d+ in"),
        ("p95 latency 900ms at 50%", "50%", r"p95 latency at 50 %: FAIL, \d+ ms > 300 ms; \d+ bad of \d+ in"),
        ("no data at 25%", "25%", r"error rate at 25 %: NO_DATA, no value \(limit 0\.50 %\)"),
        ("stale data from mid-window at 25%", "25%", r"error rate at 25 %: NO_DATA.*old, at most"),
        ("prometheus down at 50%", "50%", r"error rate at 50 %: ERROR"),
        ("pods crash at 5%", "5%", r"CrashLoopBackOff"),
    ],
)
def test_a_fault_is_caught_and_undone(tmp_path: Path, fault: str, weight: str, says: str) -> None:
    """Exit 1, the failing step's line of the feature, the numbers, a verified rollback, later scenarios not run."""
    ran = rehearse(tmp_path, fault)
    assert ran.status == 1, ran.out
    assert re.search(says, ran.out), ran.out
    assert re.search(r"features/prod_canary\.feature:\d+: ", ran.out)
    assert "ROLLED BACK, verified" in ran.last
    assert "verified" in ran.note
    statuses = ran.junit
    failed = [name for name, status in statuses.items() if status in {"failure", "error"}]
    assert len(failed) == 1
    assert weight in failed[0]
    assert statuses["Afterwards"] == "skipped"
    later = list(statuses)[list(statuses).index(failed[0]) + 1 :]
    assert {statuses[name] for name in later} == {"skipped"}
    assert f"not run: 'Canary at {weight}' stopped the deploy" in ran.out or "skipped" in ran.out


def test_the_old_version_is_what_ran_before(tmp_path: Path) -> None:
    """The note's rollback names the image that pre-flight captured."""
    ran = rehearse(tmp_path, "error rate 5% at 25%")
    (prod, staging), old = ran.facts["rollbacks"], ran.facts["image"]["old"]
    assert old
    for rollback in (prod, staging):
        assert rollback["ended"]["error"] == ""
        assert old in " ".join(rollback["ended"]["verified"])
    assert prod["started"]["cause"] == "error rate"
    assert (ran.facts["helm"]["revision_before"], ran.facts["helm"]["revision_after"]) == ("3", "5")


def test_a_rollback_that_fails_needs_a_human(tmp_path: Path) -> None:
    """Exit 7; what was left behind and the next commands head the note."""
    ran = rehearse(tmp_path, "error rate 5% at 25%", "rollback fails")
    assert ran.status == 7, ran.out
    assert "NEEDS A HUMAN" in ran.last
    assert "NEEDS A HUMAN" in ran.note.splitlines()[0]
    assert re.search(r"helm .*rollback checkout-api \d+", ran.note)


def test_rollback_fails_alone_is_provoked(tmp_path: Path) -> None:
    """A broken way back that nothing needs would prove nothing: the canary is made to fail, exit 7."""
    ran = rehearse(tmp_path, "rollback fails")
    assert ran.status == 7, ran.out
    assert "error rate at 25 %: FAIL" in ran.out


@pytest.mark.parametrize("feature", sorted((ROOT / "features" / "drills").glob("*.feature")), ids=lambda p: p.stem)
def test_each_drill_passes_because_its_fault_was_caught(tmp_path: Path, feature: Path) -> None:
    """Every drill ends as it expects, and not because nothing happened."""
    ran = rehearse(tmp_path, feature=str(feature.relative_to(ROOT)))
    assert ran.status == 0, ran.out
    assert "DRILL PASSED" in ran.last or "COMMITTED" in ran.last


def test_a_drill_whose_deploy_goes_through_fails(tmp_path: Path) -> None:
    """Without its fault a drill is red."""
    text = (ROOT / "features" / "drills" / "error_rate.feature").read_text("utf-8")
    feature = ROOT / "features" / "drills" / "zz_without_fault.feature"
    feature.write_text(text.replace("Given from now on the canary fails 5% of its requests\n", ""))
    try:
        ran = rehearse(tmp_path, feature=str(feature.relative_to(ROOT)))
    finally:
        feature.unlink()
    assert ran.status == 1, ran.out
    assert "DRILL FAILED" in ran.last


@pytest.mark.parametrize(
    "arguments",
    [
        ("features/",),
        ("features/prod_canary.feature", "features/drills/error_rate.feature"),
        ("features/prod_canary.feature::Pre-flight",),
        ("features/prod_canary.feature", "-k", "Pre-flight"),
        ("features/prod_canary.feature", "-m", "deploy", "--deselect", "features/prod_canary.feature::Build"),
    ],
)
def test_no_deploy_is_an_accident(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """A folder, several features or a part are refused for real: exit 4, the reason, nothing contacted."""
    ran = Ran(tmp_path, *arguments, env={"CI": "true"})
    assert ran.status == 4, ran.out
    assert "REFUSED, nothing changed, nothing contacted" in ran.out
    assert not (tmp_path / "reports").exists()


def test_without_ci_a_person_must_confirm(tmp_path: Path) -> None:
    """No CI, no --deploy-yes and no terminal: refused before anything is contacted."""
    ran = Ran(tmp_path, "features/prod_canary.feature")
    assert ran.status == 4
    assert "nobody confirmed the deploy of checkout-api to prod" in ran.out


def test_without_a_kube_context_it_is_refused(tmp_path: Path) -> None:
    """CI without a kubeconfig: exit 4 with the reason and the way out."""
    ran = Ran(tmp_path, "features/prod_canary.feature", env={"CI": "true"})
    assert ran.status == 4, ran.out
    assert "no kubeconfig" in ran.out
    assert "--rehearse" in ran.out
    assert "REFUSED, nothing changed" in ran.last


@pytest.mark.parametrize(
    "arguments",
    [
        ("features/prod_canary.feature::Pre-flight", "--rehearse"),
        ("features/", "--rehearse", "-m", "canary and not slow"),
        ("features/prod_canary.feature", "--rehearse", "-k", "Pre-flight or Build"),
        ("--collect-only", "features/"),
    ],
)
def test_parts_may_be_rehearsed(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Node ids, marks and -k work in a rehearsal; collecting needs no world at all."""
    ran = Ran(tmp_path, *arguments)
    assert ran.status == 0, ran.out


@pytest.mark.parametrize(
    "options",
    [("-n", "2"), ("--reruns", "1"), ("--timeout", "60", "--timeout-method", "thread"), ("--lf",)],
)
def test_plugins_that_break_a_deploy_are_refused(tmp_path: Path, options: tuple[str, ...]) -> None:
    """Workers that would each deploy, reruns, a time-out that skips teardown, a part: exit 4, nothing contacted."""
    ran = Ran(tmp_path, "features/prod_canary.feature", *options, env={"CI": "true"})
    assert ran.status == 4, ran.out
    assert "REFUSED, nothing changed, nothing contacted" in ran.out
    assert not (tmp_path / "reports").exists()


def test_a_fault_that_is_none_is_refused_with_the_list(tmp_path: Path) -> None:
    """An unknown fault: exit 4 and what there is."""
    ran = rehearse(tmp_path, "gremlins at 5%")
    assert ran.status == 4
    assert "pods never ready" in ran.out


@pytest.mark.parametrize(
    "arguments",
    [
        ("--rehearse-fault", "no data"),
        ("--rehearse", "--sandbox"),
        ("--rehearse", "--sandbox-speed", "20"),
        ("--sandbox", "--sandbox-speed", "0.5"),
    ],
)
def test_options_that_exclude_each_other(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Contradicting options are a usage error."""
    ran = Ran(tmp_path, "features/prod_canary.feature", *arguments)
    assert ran.status == 4, ran.out


def test_deploy_yaml_is_checked_whole(tmp_path: Path) -> None:
    """Every problem of deploy.yaml in one refusal, each with its line and column."""
    bad = ROOT / "deploy.bad-example.yaml"
    text = (ROOT / "deploy.yaml").read_text("utf-8")
    bad.write_text(text.replace("error_rate_max: 0.005", "error_rate_max: 5") + "\ncolour: blue\n")
    try:
        ran = Ran(tmp_path, "features/prod_canary.feature", "--rehearse", "--deploy-config", bad.name)
    finally:
        bad.unlink()
    assert ran.status == 4
    assert re.search(r"deploy\.bad-example\.yaml:\d+:\d+: slo\.error_rate_max", ran.out)
    assert re.search(r"deploy\.bad-example\.yaml:\d+:\d+: colour", ran.out)


def test_the_journal_is_opened_and_closed(tmp_path: Path) -> None:
    """The journal alone tells that the deploy began, each intent before its end, and that nothing is left open."""
    rehearse(tmp_path)
    lines = (tmp_path / "reports" / "latest" / "journal.jsonl").read_text("utf-8").splitlines()
    entries = [entry for line in lines if (entry := json.loads(line))["type"] == "journal"]
    assert [entries[0]["milestone"], entries[-1]["milestone"]] == ["opened", "closed"]
    intents = [entry["seq"] for entry in entries if entry["state"] == "intent"]
    done = [entry["intent"] for entry in entries if entry["state"] == "done"]
    assert intents
    assert done == intents


@pytest.mark.parametrize("mark", ["skip", "xfail"])
def test_a_phase_that_is_skipped_is_no_success(tmp_path: Path, mark: str) -> None:
    """A conftest.py that skips a phase, or expects it to fail, makes the deploy stop: never exit 0."""
    feature = tmp_path / "skipped.feature"
    feature.write_text((ROOT / "features" / "prod_canary.feature").read_text("utf-8"))
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "conftest.py").write_text(
        "import pytest\n"
        "def pytest_collection_modifyitems(items):\n"
        f"    items[4].add_marker(pytest.mark.{mark}(reason='flaky'))\n"
    )
    ran = Ran(tmp_path, str(feature), "--rehearse", "--deploy-config", str(ROOT / "deploy.yaml"))
    assert ran.status in {1, 4}, ran.out
    assert "COMMITTED" not in ran.last


def test_plain_tests_are_as_ever(pytester: pytest.Pytester) -> None:
    """A session without features keeps pytest's own exit statuses."""
    pytester.makepyfile("def test_one(): assert False")
    assert pytester.runpytest_inprocess().ret == 1


def test_a_signal_between_two_lines_is_shown(tmp_path: Path) -> None:
    """A frame that has no line (a signal came between two) breaks no report: exit 2, a failure in JUnit."""
    feature = tmp_path / "between.feature"
    text = (ROOT / "features" / "prod_canary.feature").read_text("utf-8")
    feature.write_text(
        text.replace(
            "of the traffic goes to the canary\n", "of the traffic goes to the canary\n    And a signal comes\n"
        )
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "steps").mkdir()
    (tmp_path / "steps" / "signal.py").write_text(
        "from pytest_bdd import when\n"
        "from pytest_deploy.errors import DeployCancelled\n"
        "def between():\n"
        "    raise DeployCancelled('SIGTERM')\n"
        "between.__code__ = between.__code__.replace(co_linetable=b'')\n"
        "@when('a signal comes')\n"
        "def comes(deploy):\n"
        "    between()\n"
    )
    ran = Ran(tmp_path, str(feature), "--rehearse", "--deploy-config", str(ROOT / "deploy.yaml"))
    assert ran.status == 2, ran.out
    assert "INTERNALERROR" not in ran.out
    assert "INTERRUPTED, rolled back, verified" in ran.last
    assert "failure" in ran.junit.values()

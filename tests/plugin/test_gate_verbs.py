"""``pytest-deploy gate`` as a caller sees it: a rehearsed deploy is replayed in its own words."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FEATURE = "features/prod_canary.feature"


def run(*arguments: str) -> tuple[int, str, str]:
    """Run a module of Python in this repository and return status, output and errors."""
    done = subprocess.run(
        (sys.executable, "-m", *arguments), cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout, done.stderr


def gate(*arguments: str) -> tuple[int, str, str]:
    """Run the verb as its entry point does."""
    main = "import sys; from pytest_deploy.cli import main; sys.argv[0] = 'pytest-deploy'; main()"
    done = subprocess.run(
        (sys.executable, "-c", main, "gate", *arguments),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def rehearsed(folder: Path, fault: str) -> tuple[Path, list[str]]:
    """Rehearse the main job with a fault; return its measurements and its verdicts' sentences."""
    fault_options = ("--rehearse-fault", fault) if fault else ()
    cache = ("-o", f"cache_dir={folder / 'cache'}")
    status, out, _ = run("pytest", FEATURE, "--rehearse", *fault_options, "--deploy-reports", str(folder), *cache)
    assert status == (1 if fault else 0), out
    facts: Any = json.loads((folder / "latest" / "deploy.json").read_text("utf-8"))
    return folder / "latest" / "measurements.jsonl", [each["sentence"] for each in facts["gates"]]


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("", "gate check: PASS, 10 gates at 5 %, 25 %, 50 %, 100 %, after promotion"),
        ("error rate 5% at 25%", "gate check: FAIL 25 %; a deploy would: roll back"),
        ("p95 latency 900ms at 50%", "gate check: FAIL 50 %; a deploy would: roll back"),
        ("no data at 25%", "gate check: NO_DATA 25 %; a deploy would: extend, then hold (for 30 minutes"),
        ("stale data from mid-window at 25%", "gate check: NO_DATA 25 %"),
    ],
)
def test_a_recorded_deploy_is_replayed_in_its_own_words(tmp_path: Path, fault: str, says: str) -> None:
    """The same sentences with the same numbers, to the first verdict that is not PASS; exit status as the deploy's."""
    series, sentences = rehearsed(tmp_path, fault)
    status, out, err = gate("check", FEATURE, "--series", str(series), "--json")
    assert status == (1 if fault else 0), err
    body = json.loads(out)
    assert [verdict["sentence"] for window in body["windows"] for verdict in window["verdicts"]] == sentences
    assert sentences
    assert says.removeprefix("gate check: ") in body["words"]
    status, out, _ = gate("check", FEATURE, "--series", str(series))
    assert says in out.splitlines()[-1]
    for sentence in sentences:
        assert sentence in out


def test_another_limit_changes_the_verdict_of_the_same_series(tmp_path: Path) -> None:
    """What a laxer feature would have done to the same deploy is told, and what was never measured is NO_DATA."""
    series, _ = rehearsed(tmp_path, "error rate 1% at 25%")
    lax = tmp_path / "lax.feature"
    lax.write_text((ROOT / FEATURE).read_text("utf-8").replace("below 0.5%", "below 5%"), "utf-8")
    status, out, err = gate("check", str(lax), "--series", str(series), "--deploy-config", "deploy.yaml")
    assert status == 1, err
    assert "error rate at 25 %: FAIL" not in out
    assert "error rate at 5 %: PASS" in out
    assert out.splitlines()[-1].startswith(("gate check: ERROR 25 %", "gate check: NO_DATA"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("weight,gate,t_s,total,bad\n5,error rate,60,10,11\n", "s.csv:2: bad: 11 of 10 requests"),
        ("weight,gate,t_s,total,bad\n10,error rate,60,10,1\n", "s.csv:2: weight: the feature has no weight 10 %"),
        ("weight,gate,t_s,total,bad\n5,latency,60,10,1\n", "s.csv:2: gate: the feature has no gate 'latency' at 5 %"),
    ],
)
def test_a_series_that_does_not_fit_is_refused(tmp_path: Path, text: str, says: str) -> None:
    """Exit status 4 with the place, and no verdict."""
    (tmp_path / "s.csv").write_text(text, "utf-8")
    status, out, err = gate("check", FEATURE, "--series", str(tmp_path / "s.csv"))
    assert status == 4
    assert says in err
    assert "PASS" not in out


def test_a_feature_with_a_typo_is_refused_as_lint_does(tmp_path: Path) -> None:
    """Its problem is told with the place; nothing is judged."""
    bad = tmp_path / "bad.feature"
    bad.write_text((ROOT / FEATURE).read_text("utf-8").replace("the error rate stays", "the eror rate stays"), "utf-8")
    (tmp_path / "s.csv").write_text("weight,gate,t_s,total,bad\n5,error rate,60,10,1\n", "utf-8")
    status, _, err = gate("check", str(bad), "--series", str(tmp_path / "s.csv"), "--deploy-config", "deploy.yaml")
    assert status == 4
    assert "bad.feature:37" in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["check"], "give --series FILE or --watch"),
        (["check", "--series", "deploy.yaml", "--watch"], "give --series FILE or --watch"),
        (["check", "--series", "deploy.yaml", "--weight", "7"], "--weight 7: the feature's weights are 5, 25, 50, 100"),
        (["backtest", "--reports", ".", "--since", "30"], "--since '30' has no unit"),
    ],
)
def test_options_that_do_not_fit_are_refused(arguments: list[str], says: str) -> None:
    """A series or a watch, a weight that the feature has, a time with its unit: exit status 4."""
    verb, *options = arguments
    status, _, err = gate(verb, FEATURE, *options)
    assert status == 4
    assert says in err


def test_a_backtest_without_past_deploys_is_refused(tmp_path: Path) -> None:
    """Rehearsals are no past deploys: exit status 4, with what was looked for."""
    rehearsed(tmp_path, "")
    status, out, err = gate("backtest", FEATURE, "--reports", str(tmp_path))
    assert status == 4, out + err
    assert "no real deploy of 'checkout-api' to 'prod'" in err
    assert "1 others" in err


@pytest.mark.parametrize("verb", [[], ["check"], ["backtest"]])
def test_each_verb_has_help_with_an_example(verb: list[str]) -> None:
    """``--help`` ends with one."""
    status, out, _ = gate(*verb, "--help")
    assert status == 0
    assert "Example: pytest-deploy gate" in out

"""The repository's tests, on programs that play them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from pytest_deploy.adapters.test_runs import TestRuns
from pytest_deploy.errors import GateBreach, Refused, ToolFailed, ToolMissing, ToolTimedOut

COMMAND = "./check.sh all"
ASKED = f'"{COMMAND}"'


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], Path]:
    """Write the program that the command names."""

    def write(body: str) -> Path:
        path = tmp_path / "check.sh"
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o700)
        return tmp_path

    return write


def test_a_pass_that_names_no_tests_says_so(program: Callable[[str], Path]) -> None:
    """The exit status counts where no tests can be read, and that is told; the log is whole."""
    found = TestRuns(program('echo "fine $1"; echo warned >&2'), [COMMAND])(ASKED)
    assert found.words.startswith('"./check.sh all" ended with 0 after ')
    assert found.words.endswith("s; what it prints names no tests")
    assert "fine all\n\n--- standard error ---\nwarned\n" in found.attachments[0].text


def test_a_failure_without_names_shows_the_last_lines(program: Callable[[str], Path]) -> None:
    """Where no failing test can be named, what was said last is shown."""
    with pytest.raises(
        GateBreach, match=r"(?s)ended with 3 after .*it said last: no database\n  next: .*check\.sh all"
    ):
        TestRuns(program("echo no database; exit 3"), [COMMAND])(ASKED)


def test_many_failing_tests_are_cut(program: Callable[[str], Path]) -> None:
    """Ten names are enough for a message; the log has them all."""
    lines = "\n".join(f"echo FAILED tests/test_a.py::test_{number}" for number in range(14))
    with pytest.raises(GateBreach, match=r"14 of 14 tests failed \(pytest\): .*test_9 and 4 more") as refused:
        TestRuns(program(f"{lines}\necho 14 failed in 1.00s\nexit 1"), [COMMAND])(ASKED)
    assert "test_13" in refused.value.attachments[0].text


def test_all_skipped_is_no_pass(program: Callable[[str], Path]) -> None:
    """A suite that skips everything has tested nothing."""
    with pytest.raises(GateBreach, match=r"but ran no test \(pytest: 3 skipped\); that is no pass"):
        TestRuns(program("echo 3 skipped in 0.01s"), [COMMAND])(ASKED)


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        ("kill -9 $$", ToolFailed, "ran no test to its end: signal 9 ended it"),
        (
            "echo waiting; sleep 60",
            ToolTimedOut,
            "had not ended after \\d\\.\\d s and was ended; it said last: waiting",
        ),
        ("echo '<a/>' > out.xml", ToolFailed, "is no JUnit report: its root is <a>"),
    ],
)
def test_no_answer_is_no_pass(program: Callable[[str], Path], body: str, kind: type[Exception], said: str) -> None:
    """What did not run to its end, or left no report that can be read, is an error with its log."""
    runs = TestRuns(program(body), [COMMAND], junit="*.xml", timeout=timedelta(seconds=0.5))
    with pytest.raises(kind, match=said) as refused:
        runs(ASKED)
    assert isinstance(refused.value, ToolFailed | ToolTimedOut)
    assert [each.name for each in refused.value.attachments] == [COMMAND]


def test_only_listed_commands_run(program: Callable[[str], Path]) -> None:
    """A feature can't run what deploy.yaml does not list."""
    with pytest.raises(Refused, match=r'"rm -rf /" is none of tests\.commands in deploy\.yaml: \./check\.sh all'):
        TestRuns(program("touch ran"), [COMMAND])(f'{ASKED} and "rm -rf /"')
    with pytest.raises(Refused, match="names none of"):
        TestRuns(program("touch ran"), [COMMAND])("make test")
    assert not (program("") / "ran").exists()


def test_programs_that_are_not_there(tmp_path: Path) -> None:
    """A program that is missing, and one outside of the folder, are named."""
    with pytest.raises(ToolMissing, match=r"\./check\.sh is no file"):
        TestRuns(tmp_path, [COMMAND])(ASKED)
    with pytest.raises(ToolMissing, match="no-such-program can't be run"):
        TestRuns(tmp_path, ["no-such-program"])('"no-such-program"')
    with pytest.raises(Refused, match="leads out of"):
        TestRuns(tmp_path, ["../x"])('"../x"')


def test_the_environment_is_an_allow_list(program: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """No token, no kubeconfig, not even the one below HOME; what deploy.yaml names is there."""
    for name in ("KUBECONFIG", "GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.setenv(name, "planted-secret")
    monkeypatch.setenv("GOFLAGS", "-mod=mod")
    found = TestRuns(program("env"), [COMMAND], inherit=["GOFLAGS"])(ASKED)
    seen = found.attachments[0].text
    assert "planted-secret" not in seen
    assert "\nKUBECONFIG=/dev/null\n" in seen
    assert "\nGOFLAGS=-mod=mod\n" in seen


def test_reports_of_an_older_run_do_not_count(program: Callable[[str], Path]) -> None:
    """Only what this very run wrote is read, and a link that leads out is not."""
    folder = program("echo '<testsuite><testcase name=\"a\"/></testsuite>' > new.xml")
    (folder / "old.xml").write_text("<testsuite><testcase name='x'><failure/></testcase></testsuite>")
    found = TestRuns(folder, [COMMAND], junit="*.xml")(ASKED)
    assert '"./check.sh all": 1 passed in' in found.words
    assert TestRuns(folder, [COMMAND], junit="*.xml")(ASKED).words.endswith("(JUnit)")

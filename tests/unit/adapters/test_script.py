"""A team's gate programs: how each way to end becomes a result, or no answer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from pytest_deploy.adapters.script import TeamScripts
from pytest_deploy.errors import Refused, ToolTimedOut
from pytest_deploy.io import daemon


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], str]:
    """Write a script into the folder and return its path as a feature names it."""

    def write(body: str) -> str:
        path = tmp_path / "gate.sh"
        path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        path.chmod(0o755)
        return "./gate.sh"

    return write


@pytest.mark.parametrize(
    ("body", "status"), [("exit 0", 0), ("exit 1", 1), ("exit 2", 2), ("no-such-program", 127), ("kill -9 $$", -9)]
)
def test_every_status_is_handed_on(tmp_path: Path, script: Callable[[str], str], body: str, status: int) -> None:
    """The status is data, a signal is minus its number; who reads it decides that only 0 and 1 are answers."""
    assert TeamScripts(tmp_path).check(script(body), "shop", 5).status == status


def test_it_gets_service_and_weight_in_its_folder(tmp_path: Path, script: Callable[[str], str]) -> None:
    """Two arguments, none of them read by a shell, and deploy.yaml's folder."""
    result = TeamScripts(tmp_path).check(script('echo "$#" "$1" "$2"; pwd'), "$(reboot) x", 25)
    assert result.words == f"2 $(reboot) x 25\n{tmp_path.resolve()}"
    assert result.command == "./gate.sh '$(reboot) x' 25"


def test_words_are_the_last_lines(tmp_path: Path, script: Callable[[str], str]) -> None:
    """Of much output the last five lines are told, each cut, errors last, without colours or control characters."""
    body = (
        "i=0; while [ $i -lt 2000 ]; do i=$((i+1)); echo line $i; done; "
        "printf '\\033[1;31mred\\033[0m\\a\\n\\n'; printf 'x%0400d\\n' 0; echo why >&2"
    )
    lines = TeamScripts(tmp_path).check(script(body), "shop", 5).words.split("\n")
    assert lines[:3] == ["line 1999", "line 2000", "red"]
    assert (len(lines[3]), lines[4:]) == (300, ["why"])


def test_silence_is_said(tmp_path: Path, script: Callable[[str], str]) -> None:
    """A program that prints nothing has words all the same."""
    assert TeamScripts(tmp_path).check(script("exit 1"), "shop", 5).words == "it printed nothing"


def test_a_time_out_is_no_verdict(tmp_path: Path, script: Callable[[str], str]) -> None:
    """A program past its time is ended with its helpers, and what it had said is told."""
    path = script("sleep 60 & echo $! > helper; echo waiting; wait")
    with pytest.raises(ToolTimedOut, match=r"gate\.sh shop 5 had not ended after 0\.5 s; its last words: waiting"):
        TeamScripts(tmp_path, timeout=timedelta(seconds=0.5)).check(path, "shop", 5)
    pid = int((tmp_path / "helper").read_text())
    for _ in range(1000):  # a killed process is gone a moment later
        if daemon.find(pid) is None:
            return
        threading.Event().wait(0.01)
    pytest.fail("the helper outlived the program")


def test_the_environment_is_an_allow_list(
    tmp_path: Path, script: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sees what is named and no other secret of ours."""
    monkeypatch.setenv("GITHUB_TOKEN", "secret")
    monkeypatch.setenv("PROMETHEUS_URL", "https://p.example.com")
    path = script('echo "${GITHUB_TOKEN-none} ${PROMETHEUS_URL-none}"')
    assert TeamScripts(tmp_path).check(path, "shop", 5).words == "none none"
    named = TeamScripts(tmp_path, inherit=("PROMETHEUS_URL",))
    assert named.check(path, "shop", 5).words == "none https://p.example.com"


def test_a_link_inside_is_followed(tmp_path: Path, script: Callable[[str], str]) -> None:
    """A link that stays in the folder is no escape; one that leads round to itself is refused."""
    script("echo here")
    (tmp_path / "link.sh").symlink_to("gate.sh")
    assert TeamScripts(tmp_path).check("link.sh", "shop", 5).words == "here"
    (tmp_path / "round").symlink_to("round")
    with pytest.raises(Refused, match="can't be followed"):
        TeamScripts(tmp_path).check("round", "shop", 5)

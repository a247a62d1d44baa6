"""A person at a terminal confirms a real deploy by typing the service's name."""

from __future__ import annotations

import os
import pty
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROMPT = b"Type the service's name to go on: "


def at_a_terminal(answer: str, home: Path) -> tuple[int, str]:
    """Run the real deploy in a terminal of its own, answer its question, and return exit status and screen."""
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "features/prod_canary.feature"]
    argv += ["--deploy-reports", str(home / "reports")]
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(ROOT)
        os.execve(argv[0], argv, {"PATH": "/usr/bin:/bin", "HOME": str(home), "TERM": "dumb"})
    screen, answered = b"", False
    while True:
        try:
            data = os.read(terminal, 4096)
        except OSError:  # Linux: the child has closed its end
            break
        if not data:
            break
        screen += data
        if PROMPT in screen and not answered:
            answered = True
            os.write(terminal, answer.encode() + b"\n")
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), screen.decode(errors="replace")


@pytest.mark.filterwarnings("ignore:.*forkpty.*:DeprecationWarning")
@pytest.mark.parametrize("answer", ["yes", "", "prod"])
def test_any_other_answer_is_a_no(tmp_path: Path, answer: str) -> None:
    """Only the service's own name confirms; nothing is contacted otherwise."""
    status, screen = at_a_terminal(answer, tmp_path)
    assert status == 4
    assert f"not confirmed: {answer!r} is not 'checkout-api'" in screen


@pytest.mark.filterwarnings("ignore:.*forkpty.*:DeprecationWarning")
def test_the_name_confirms(tmp_path: Path) -> None:
    """With the name the deploy begins; here it then finds no kubeconfig."""
    status, screen = at_a_terminal("checkout-api", tmp_path)
    assert "not confirmed" not in screen
    assert "no kubeconfig" in screen
    assert status == 4

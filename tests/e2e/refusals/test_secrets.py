"""Planted secrets: no output, file, report or child of a refused or passing deploy holds one, in any spelling."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.e2e.oracle import Sandbox
from tests.e2e.refusals.audit import AuditLog, beyond_records, writes
from tests.e2e.refusals.conftest import Grounds
from tests.e2e.refusals.parts import Parts
from tests.e2e.refusals.world import World, world

pytestmark = pytest.mark.real

VALUE = "v4lue of a p@ssword/+="
GH, CHAT, NPM = "ghp_planted+/deploy=token", "xoxb-planted/chat token", "npm-planted&build=token"
SPY = """\
{{ tr '\\0' '\\n' < /proc/self/environ; printf '%s\\n' "$@"; }} >> {log}
{then}"""


def spellings(secret: str) -> Iterator[bytes]:
    """Yield how a secret may stand in a text: as it is, in base64 at each alignment, escaped for URL and JSON."""
    raw = secret.encode()
    yield raw
    yield quote(secret, safe="").encode()
    yield json.dumps(secret)[1:-1].encode()
    for shift in range(3):
        # What stands before it moves the groups of six bits; the edges hold a neighbour's bits.
        text = base64.b64encode(b"x" * shift + raw)[4 if shift else 0 :].rstrip(b"=")[:-1]
        yield text
        yield text.replace(b"+", b"-").replace(b"/", b"_")
        yield quote(text.decode(), safe="").encode()


def leaks(folder: Path, secrets: Mapping[str, str], apart: frozenset[Path]) -> list[str]:
    """Name each file below the folder that holds one of the secrets; those apart are where they were planted."""
    return [
        f"{path.relative_to(folder)} holds {name}"
        for path in folder.rglob("*")
        if path.is_file() and path not in apart
        for name, secret in secrets.items()
        for spelling in spellings(secret)
        if spelling in path.read_bytes()
    ]


def plant(made: World) -> dict[str, str]:
    """Give the job secrets, and a spy in the place of each child that the team's repository brings."""
    token = json.loads(Path(made.env["KUBECONFIG"]).read_text("utf-8"))["users"][0]["user"]["token"]
    made.env |= {"GH_TOKEN": GH, "SLACK_TOKEN": CHAT, "NPM_TOKEN": NPM, "DB_PASSWORD": VALUE}
    made.kubeconfig(lambda facts: facts)  # a copy among the files, as a job has it
    seen = made.folder / "children.txt"
    spy = SPY.format(log=seen, then="printf '1..1\\nok 1 - adds\\n'")
    made.program("tests", spy)
    made.profile["tests"] = {"commands": ["make test"]}
    made.file("Makefile", "test:\n\t@programs/tests\n")
    helm = made.profile["tools"]["helm"]
    made.profile["tools"]["helm"] = made.program("helm", SPY.format(log=seen, then=f'exec {helm} "$@"'))
    made.profile["metrics"]["prometheus"] |= {"bearer_token": "${env:SLACK_TOKEN}"}
    made.steps += ['Then "make test" pass', "Given every gate of this feature can be judged"]
    return {"the account's token": token, "GH_TOKEN": GH, "SLACK_TOKEN": CHAT, "NPM_TOKEN": NPM, "DB_PASSWORD": VALUE}


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    """Each spelling, in the middle of something else, is found: else the tests below would prove nothing."""
    for number, text in enumerate(
        (VALUE, quote(VALUE, safe=""), *(base64.b64encode(b"x" * n + VALUE.encode() + b"y").decode() for n in range(3)))
    ):
        (tmp_path / f"{number}.txt").write_text(f"before {text} after")
    found = leaks(tmp_path, {"it": VALUE}, frozenset())
    assert {text.partition(".")[0] for text in found} == {"0", "1", "2", "3", "4"}


@pytest.mark.parametrize("passes", [False, True], ids=["refused", "passing"])
def test_planted_secrets(own_sandbox: Sandbox, grounds: Grounds, parts: Parts, tmp_path: Path, *, passes: bool) -> None:
    """Tokens, kubeconfig and values are in no output, report, file or child of the deploy."""
    made = world(grounds.get("home"), parts, tmp_path)
    secrets = plant(made)
    if not passes:
        made.prod["kube_system_uid"] = "another"
    log = AuditLog.of(own_sandbox.facts)
    mark = log.mark()
    run = made.deploy("--alluredir", "allure")
    status = run.end()
    if passes:
        grounds.drop("home")
    assert status == (0 if passes else 4), run.out
    asked = log.since(mark, made.account)
    assert bool(list(writes(asked, made.place.namespace))) == passes
    assert bool(list(beyond_records(asked, made.place.namespace))) == passes
    assert (tmp_path / "children.txt").is_file()
    assert (tmp_path / "run" / "reports").is_dir()
    assert leaks(tmp_path, secrets, frozenset({tmp_path / "kubeconfig"})) == []

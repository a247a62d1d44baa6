"""Docs can't drift: they are compared with the code."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from textwrap import dedent
from typing import Any, Literal, get_args, get_origin

import click
import pytest
import yaml
from click.testing import CliRunner
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pytest_deploy.cli import cli
from pytest_deploy.config.load import load
from pytest_deploy.config.model import DeployConfig
from pytest_deploy.domain.outcome import Outcome
from pytest_deploy.domain.policy import Policy
from pytest_deploy.domain.verdict import VerdictKind
from pytest_deploy.vocabulary import ShippedStep, shipped

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
PAGES = {
    str(path.relative_to(ROOT)): path.read_text("utf-8")
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
}
GATES, KEYS, VERBS = (PAGES[f"docs/reference/{name}.md"] for name in ("gates", "deploy-yaml", "cli"))
NEEDED_STEPS = {
    "every gate of this feature can be judged",
    'the error budget of "{service}" is not burning',
    'the error budget of "{service}" does not burn',
    'the SLO of "{service}" holds for {window}',
}
"""The steps of other phases that the page of the gates explains, too."""
SECTIONS = {name: field.alias or name for name, field in DeployConfig.model_fields.items()}


def fenced(text: str, kind: str) -> list[str]:
    """Return the blocks of a page that are marked as this kind."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def console_commands() -> list[str]:
    """Return the commands of the README."""
    blocks = fenced(README, "console")
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def test_the_readme_shows_commands() -> None:
    """The checks below have something to check."""
    assert len(console_commands()) >= 6


@pytest.mark.parametrize("command", [c for c in console_commands() if c.startswith("make ")])
def test_each_make_target_exists(command: str) -> None:
    """Each ``make X`` of the README is a target."""
    target = command.split()[1]
    assert re.search(rf"^{re.escape(target)}:", MAKEFILE, re.MULTILINE)


@pytest.mark.parametrize("command", [c for c in console_commands() if "/pytest" in c])
def test_each_file_of_a_command_exists(command: str) -> None:
    """Features and folders that the README's commands name are there."""
    for word in command.split():
        if word.startswith("features/"):
            assert (ROOT / word).exists(), word


def test_the_exit_statuses_are_those_of_the_code() -> None:
    """Every status that a deploy can end with is in the README's table."""
    rows = {int(status) for status in re.findall(r"^\| (\d) \| ", README, re.MULTILINE)}
    assert {outcome.status for outcome in Outcome} <= rows


@pytest.mark.parametrize("step", list(shipped()), ids=lambda step: step.pattern)
def test_each_step_has_an_example_that_it_understands(step: ShippedStep) -> None:
    """The example that ``pytest-deploy steps`` prints is one that the step itself parses."""
    keyword, _, text = step.example.partition(" ")
    assert keyword == step.keyword
    assert step.understands(text)
    assert step.promise.endswith(".")


def test_steps_narrows_by_word() -> None:
    """``pytest-deploy steps latency`` shows the latency gate and not the build."""
    result = CliRunner().invoke(cli, ["steps", "latency"])
    assert result.exit_code == 0
    assert "the p{quantile} latency stays at or below {limit}" in result.output
    assert "built, pushed" not in result.output
    assert CliRunner().invoke(cli, ["steps", "gremlin"]).exit_code == 1


def test_the_public_surface_is_what_it_says() -> None:
    """``import pytest_deploy`` exposes its ``__all__``, sorted, and no more."""
    import pytest_deploy

    assert pytest_deploy.__all__ == sorted(pytest_deploy.__all__)


# Every page


@pytest.mark.parametrize("page", PAGES)
def test_each_link_leads_somewhere(page: str) -> None:
    """A relative link of a page names a file or a folder of the checkout."""
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", PAGES[page])
    assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []


@pytest.mark.parametrize("page", [page for page, text in PAGES.items() if fenced(text, "gherkin")])
def test_each_line_of_a_feature_is_a_step(page: str) -> None:
    """What a page shows as Gherkin is understood: each Given, When and Then, with Examples filled in."""
    steps = list(shipped())
    texts = re.findall(
        r"^\s*(?:Given|When|Then|And|But) (.*)$", "\n".join(fenced(PAGES[page], "gherkin")), re.MULTILINE
    )
    texts = [text.replace("<weight>", "5%").replace("<window>", "5 minutes") for text in texts]
    assert texts
    assert [text for text in texts if not any(step.understands(text) for step in steps)] == []


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(block, id=f"{page}-{number}")
        for page, text in PAGES.items()
        for number, block in enumerate(fenced(text, "yaml"))
        if block.split(":")[0] in SECTIONS.values()
    ],
)
def test_each_deploy_yaml_is_taken(tmp_path: Path, block: str) -> None:
    """Whole files and fragments of deploy.yaml that the pages show are sound, beside what else must be there."""
    shown = yaml.safe_load(block.replace("sha256:...", f"sha256:{'0' * 64}"))
    whole = yaml.safe_load((ROOT / "deploy.yaml").read_text("utf-8")) | shown | {"chart_path": "./chart"}
    (tmp_path / "chart").mkdir()
    for name in ("chart/Chart.yaml", "chart/values-prod.yaml", "chart/values-staging.yaml", *_files(shown)):
        (tmp_path / name).write_text("", "utf-8")
    (tmp_path / "deploy.yaml").write_text(yaml.safe_dump(whole), "utf-8")
    assert load(tmp_path / "deploy.yaml").service


def _files(value: Any) -> Iterator[str]:
    """Yield the files that must exist beside deploy.yaml."""
    for key, below in value.items() if isinstance(value, dict) else ():
        if key in {"ca_file", "cert_file", "key_file", "checklist", "ignore_file", "public_key", "trusted_root"}:
            yield below
        yield from _files(below)


def test_each_decision_is_in_the_index() -> None:
    """Every page of docs/adr is linked from its index, and every page of docs from docs/README.md or the index."""
    index = PAGES["docs/adr/README.md"]
    named = set(re.findall(r"\]\((\d{4}-[^)]+)\)", index))
    assert {path.name for path in (ROOT / "docs/adr").glob("0*.md")} == named
    linked = set(re.findall(r"\]\(([^)#]+\.md)", PAGES["docs/README.md"]))
    others = {page.removeprefix("docs/") for page in PAGES if page.startswith("docs/") and "adr/0" not in page}
    assert others - {"README.md"} <= linked


# README: what a failed gate looks like


def test_the_failure_in_the_readme_is_a_real_one(tmp_path: Path) -> None:
    """The rehearsal that the README names prints, word for word, what the README shows; times and ids apart."""
    (shown,) = (block for block in fenced(README, "text") if block.startswith("features/"))
    (fault,) = re.findall(r'--rehearse-fault "(.*?)"', README.partition("## Options")[0])
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "features/prod_canary.feature", "--rehearse"]
    done = subprocess.run(
        [*command, "--rehearse-fault", fault, "--deploy-reports", str(tmp_path)],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    printed = _without_times(done.stdout).splitlines()
    assert [line for line in _without_times(shown).splitlines() if line not in printed] == []


def _without_times(text: str) -> str:
    text = re.sub(r"\b(?:\d{4}-\d\d-\d\dT)?\d\d:\d\d:\d\dZ", "TIME", text)
    text = re.sub(r"(?<=\.feature:)\d+", "LINE", text)
    return re.sub(r"\b(?=[a-f]*\d)[0-9a-f]{8,10}\b|(?<=deploy )\S+?(?=: )|(?<=note: )\S+", "ID", text)


# docs/reference/gates.md


@pytest.mark.parametrize(
    "step",
    [step for step in shipped() if step.phase == "gates" or step.pattern in NEEDED_STEPS],
    ids=lambda step: step.pattern,
)
def test_each_gate_is_explained(step: ShippedStep) -> None:
    """The page of the gates has each gate's pattern as a heading, and its example as Gherkin."""
    heading = f"### `{step.pattern}`\n"
    assert heading in GATES
    section = GATES.partition(heading)[2].partition("\n### ")[0].partition("\n## ")[0]
    assert any(step.example in block for block in fenced(section, "gherkin"))


def test_no_other_gate_is_explained() -> None:
    """A gate that is gone is gone from the page, too."""
    assert set(re.findall(r"^### `(.*)`$", GATES, re.MULTILINE)) <= {step.pattern for step in shipped()}


def test_the_policy_is_that_of_the_code() -> None:
    """The table of verdicts names what follows each of them where deploy.yaml says nothing."""
    rows = dict(re.findall(r"^\| \*\*([A-Z_]+)\*\* \|.*\| `([^`]+)` \|$", GATES, re.MULTILINE))
    policy = Policy()
    assert rows == {kind: policy.response(kind) for kind in VerdictKind if kind is not VerdictKind.PASS}
    assert f"{policy.hold.total_seconds() / 60:g} minutes" in GATES


# docs/reference/deploy-yaml.md


def rows(model: type[BaseModel] = DeployConfig, above: str = "") -> Iterator[str]:
    """Yield one row of the page for each key that deploy.yaml can have: key, type, default, what it is for."""
    whys = _docstrings(model)
    for name, field in model.model_fields.items():
        key = f"{above}{field.alias or name}"
        below, many = _model_of(field.annotation)
        why = whys[name].replace("|", "\\|")
        yield f"| `{key}` | {_type(field.annotation)} | {_default(field)} | {why} |"
        if below is not None:
            yield from rows(below, f"{key}.{many}")


def test_each_key_is_explained() -> None:
    """The page has a row for each key, with the type, the default and the reason that the model gives it."""
    lines = KEYS.splitlines()
    missing = [row for row in rows() if row not in lines]
    assert missing == [], "put these rows into docs/reference/deploy-yaml.md:\n" + "\n".join(missing)


def test_no_other_key_is_explained() -> None:
    """A key that is gone is gone from the page, too."""
    known = set(rows())
    assert [line for line in KEYS.splitlines() if line.startswith("| `") and line not in known] == []


def _docstrings(model: type[BaseModel]) -> Mapping[str, str]:
    """Return the text that stands under each field of a model, as a page writes it; "" where none does."""
    (node,) = ast.parse(dedent(inspect.getsource(model))).body
    assert isinstance(node, ast.ClassDef)
    found = dict.fromkeys(model.model_fields, "")
    for field, after in zip(node.body, node.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(after, ast.Expr):
            assert isinstance(after.value, ast.Constant)
            found[field.target.id] = " ".join(str(after.value.value).split()).replace("``", "`")
    assert all(found.values()), found
    return found


def _plain(annotation: Any) -> Any:
    """Return a type without what is annotated to it, and without None."""
    while hasattr(annotation, "__metadata__") or type(None) in get_args(annotation):
        annotation = next(each for each in get_args(annotation) if each is not type(None))
    return annotation


def _model_of(annotation: Any) -> tuple[type[BaseModel] | None, str]:
    """Return the section that a key holds; with ``NAME.`` where it holds several by name, ``N.`` where a list."""
    kind, many = _plain(annotation), ""
    if get_origin(kind) is Mapping:
        kind, many = _plain(get_args(kind)[1]), "NAME."
    elif get_origin(kind) is tuple:
        kind, many = _plain(get_args(kind)[0]), "N."
    return (kind, many) if isinstance(kind, type) and issubclass(kind, BaseModel) else (None, "")


def _type(annotation: Any) -> str:
    kind, origin = _plain(annotation), get_origin(_plain(annotation))
    section, many = _model_of(annotation)
    if section is not None:
        return {"NAME.": "sections by name", "N.": "list of sections", "": "section"}[many]
    if origin is Literal:
        return " or ".join(f"`{each}`" for each in get_args(kind))
    if origin is tuple:
        return f"list of {_type(get_args(kind)[0])}s"
    if origin is not None:
        return "mapping"
    if issubclass(kind, StrEnum):
        return " or ".join(f"`{each}`" for each in kind)
    return {int: "whole number", float: "number", str: "text", bool: "yes or no", Path: "path"}[kind]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "all defaults"
    return f"`{value}`" if value not in (None, "", (), {}) else "none"


# docs/reference/cli.md


def verbs(command: click.Command = cli, words: tuple[str, ...] = ("pytest-deploy",)) -> Iterator[tuple[str, ...]]:
    """Yield each verb, the groups included."""
    yield words
    for name, below in command.commands.items() if isinstance(command, click.Group) else ():
        yield from verbs(below, (*words, name))


def block_of(verb: tuple[str, ...]) -> str:
    """Return how the page shows a verb's help."""
    result = CliRunner().invoke(cli, [*verb[1:], "--help"], prog_name="pytest-deploy", terminal_width=100)
    assert result.exit_code == 0
    text = "\n".join(line.rstrip() for line in result.output.splitlines())
    return f"## {' '.join(verb)}\n\n```text\n{text}\n```\n"


@pytest.mark.parametrize("verb", list(verbs()), ids=" ".join)
def test_each_verb_is_explained(verb: tuple[str, ...]) -> None:
    """The page has each verb's help, word for word, and it ends with an example."""
    block = block_of(verb)
    assert "Example: pytest-deploy" in block
    assert block in VERBS, f"put this into docs/reference/cli.md:\n{block}"


def test_no_other_verb_is_explained() -> None:
    """A verb that is gone is gone from the page, too."""
    assert set(re.findall(r"^## (pytest-deploy.*)$", VERBS, re.MULTILINE)) == {" ".join(verb) for verb in verbs()}

"""deploy.yaml becomes domain values, or a list of all its problems with their places."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from pytest_deploy.config.load import find, load
from pytest_deploy.config.model import SECTIONS_WITHOUT_ADAPTER, DeployConfig
from pytest_deploy.domain.release import Strategy
from pytest_deploy.domain.slo import Slo
from pytest_deploy.errors import ConfigError

Load = Callable[..., DeployConfig]
Refused = Callable[..., list[str]]


def test_good_file_becomes_domain_values(good: Load, folder: Path) -> None:
    """A file that is right gives the release and the objectives, names following from the service."""
    config = good()
    release = config.release()
    prod = release.environments["prod"]
    assert (release.service, release.strategy, release.canary_steps) == ("checkout-api", Strategy.CANARY, (5, 25, 100))
    assert release.chart_path == folder.resolve() / "chart"
    assert (prod.context, prod.release, prod.rollout, prod.container) == ("acme-prod", *["checkout-api"] * 3)
    assert prod.values_file == folder.resolve() / "chart" / "values-prod.yaml"
    assert config.slo == Slo(error_rate_max_ratio=0.005, p95_latency_ms=300, window=timedelta(minutes=5))
    assert config.timeouts.step == timedelta(minutes=10)


def test_example_of_this_repository(request: pytest.FixtureRequest) -> None:
    """The deploy.yaml that this repository shows is right."""
    config = load(request.config.rootpath / "deploy.yaml")
    assert list(config.release().environments) == ["staging", "prod"]


def test_all_mistakes_at_once(refused: Refused) -> None:
    """Ten mistakes are ten lines, in the order of the file, each with line, column, key and what would be right."""
    problems = refused(
        ("service:", "sevice:"),
        ("strategy: canary", "strategy: canari"),
        ("[5, 25, 100]", "[5, 25, 25, 100]"),
        ("./chart", "./charts"),
        ("owner: checkout-team", "owner: 5"),
        ("error_rate_max: 0.005", "error_rate_max: 5"),
        ("p95_latency_ms: 300", "p95_latency_ms: 300 ms"),
        ("context: acme-prod", "context:"),
        ("namespace: prod", "namespace: Prod"),
        ("https://prometheus.example.com", "prometheus"),
        ("values_file: values-prod.yaml", "values_file: values-prd.yaml"),
    )
    assert problems == [
        "deploy.yaml:1:1: sevice: there is no such key; did you mean service?",
        (
            "deploy.yaml:3:1: strategy: found the text 'canari'; one of canary, blue-green or rolling is wanted, "
            'such as "canary"'
        ),
        "deploy.yaml:4:1: canary_steps: [5, 25, 25, 100]: the steps must rise, each above the one before",
        "deploy.yaml:5:1: chart_path: there is no folder 'charts' beside deploy.yaml",
        'deploy.yaml:6:1: owner: found the number 5; text is wanted (put it in quotes), such as "checkout-team"',
        "deploy.yaml:7:7: slo.error_rate_max: 5 is no ratio: between 0 and 1 (0.005 is 0.50 %)",
        (
            "deploy.yaml:7:26: slo.p95_latency_ms: found the text '300 ms'; a number is wanted, in milliseconds, "
            "such as 300"
        ),
        'deploy.yaml:10:5: environments.prod.context: found nothing; text is wanted, such as "acme-prod"',
        (
            "deploy.yaml:11:5: environments.prod.namespace: 'Prod' is no Kubernetes name: lower-case letters, digits "
            "and '-', a letter or digit at both ends"
        ),
        (
            "deploy.yaml:12:5: environments.prod.values_file: there is no file 'values-prd.yaml', neither beside "
            "deploy.yaml nor in the chart"
        ),
        (
            "deploy.yaml:15:5: metrics.prometheus.url: 'prometheus' is no address: https://host, https://host:port "
            "or https://host/path"
        ),
    ]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("0.005", "1", "7:7: slo.error_rate_max: 1 is no ratio"),
        ("0.005", "0", "7:7: slo.error_rate_max: 0 is no ratio"),
        ("0.005", '"0.005"', "slo.error_rate_max: found the text '0.005'; a number is wanted"),
        ("window_minutes: 5", "window_minutes: 0.001", "slo.window_minutes: 0.001 minutes: at least"),
        ("window_minutes: 5", "window_minutes: true", "slo.window_minutes: found true; a number is wanted, in minutes"),
        ("[5, 25, 100]", "[5, 25]", "4:1: canary_steps: [5, 25]: the last step must be 100"),
        ("[5, 25, 100]", "[0, 100]", "4:1: canary_steps: [0, 100]: each step is a whole percentage"),
        ("[5, 25, 100]", "[5.5, 100]", "4:16: canary_steps.0: found the number 5.5; a whole number is wanted"),
        ("[5, 25, 100]", "5", "4:1: canary_steps: found the number 5; a list is wanted"),
        ("canary_steps: [5, 25, 100]", "", "1:1: canary_steps: the canary strategy needs its steps"),
        ("owner: checkout-team", "", '1:1: owner: it is missing, such as "checkout-team"'),
        ("ghcr.io/acme/checkout-api", "x:latest", "2:1: image: 'x:latest': the tag 'latest' says nothing"),
        ("service: checkout-api", f"service: {'a' * 54}", "has 54 characters: at most 53"),
        ("metrics:", "metrix:", "did you mean metrics?"),
        ("    url:", "    uri:", "15:5: metrics.prometheus.uri: there is no such key; did you mean url?"),
        ("prometheus:\n", "prometheus: x\n  zzz:\n", "metrics.zzz: there is no such key; known here: prometheus"),
        ("https://prom", "https://me:secret@prom", "holds a user name or a password: take it out"),
        ("https://prom", "http://[", "is no address"),
        ("owner:", "releases: []\nowner:", "6:1: releases: several releases in one file are not built yet"),
        ("owner:", "gate: {min_requests: 0}\nowner:", "gate.min_requests: 0 is too little: at least 1"),
        ("owner:", "tests: {commands: []}\nowner:", "tests.commands: it is empty: at least one is wanted"),
        ("owner:", "tests:\nowner:", "6:1: tests: found nothing: fill it in, or take the key out to turn it off"),
        ("owner:", "chat:\nowner:", "6:1: chat: found nothing: fill it in, or take the key out to turn it off"),
        ("owner:", "chat: {bot: {botToken: abc}}\nowner:", "6:14: chat.bot.botToken: a secret is only ever named"),
        ("owner: checkout-team", "owner: ''", "6:1: owner: it is empty"),
        ("owner: checkout-team", 'owner: "a\\nb"', "6:1: owner: 'a\\nb' holds control characters"),
        ("https://prom", "https://prom?x=1#", "holds a query (?) or a fragment (#): take it out"),
        ("p95_latency_ms: 300", "p95_latency_ms: 0", "slo.p95_latency_ms: 0 is too little: more than 0"),
        ("p95_latency_ms: 300", "p95_latency_ms: 99999999999", "slo.p95_latency_ms: 1e+11 is too much: at most 864"),
        ("owner:", "tools: {helm: ''}\nowner:", "6:9: tools.helm: '' is no program: a name on PATH, or a path"),
        ("./chart", '"a\\0b"', "5:1: chart_path: "),
        ("namespace: prod", "namespace: prod\n    kubeconfig: ~nobody-here/x", "the home folder is not known"),
        ("owner:", "checklist: nope.md\nowner:", "6:1: checklist: there is no file 'nope.md'"),
        ("https://prometheus.example.com", "https://p\n    requests_metric: a{}", "16:5: metrics.prometheus.req"),
    ],
)
def test_each_mistake(refused: Refused, old: str, new: str, said: str) -> None:
    """Every single mistake is told, with its place."""
    assert said in "\n".join(refused((old, new)))


def test_messages_are_free_of_jargon(refused: Refused) -> None:
    """No message speaks of the library that validates."""
    text = "\n".join(refused(("owner: checkout-team", "owner: [1]"), ("slo: {", "slo: []\nx: {"), ("./chart", "3")))
    assert "pydantic" not in text
    assert "Input should" not in text
    assert "errors.pydantic.dev" not in text


def test_a_secret_is_never_shown(refused: Refused) -> None:
    """A secret that was written out is in no message, wherever it came from."""
    problems = refused(("owner:", "chat: {token: hunter2}\nowner:"), overrides=("tickets.api_key=hunter3",))
    assert "hunter" not in "\n".join(problems)
    assert len(problems) == 2


def test_percent_text_is_a_ratio(good: Load) -> None:
    """0.5% is as good as 0.005."""
    assert good(("0.005", "0.5%")).slo.error_rate_max_ratio == 0.005


def test_release_null_means_that_helm_owns_nothing(good: Load) -> None:
    """``release: null`` differs from no ``release`` at all."""
    config = good(("namespace: prod", "namespace: prod\n    release: null\n    rollout: api"))
    prod = config.release().environments["prod"]
    assert (prod.release, prod.rollout) == (None, "api")


def test_values_become_set_json_pairs(good: Load) -> None:
    """Nested values are flat, dots inside a key escaped as Helm wants it."""
    config = good(("owner:", 'values: {a: {b: [1, "x"], c: null}, "d.e/f": yep, g: {}}\nowner:'))
    assert config.release().values == (("a.b", '[1, "x"]'), ("a.c", "null"), (r"d\.e/f", '"yep"'), ("g", "{}"))


def test_every_optional_key(good: Load, folder: Path) -> None:
    """All that can be left out can be given, and arrives."""
    (folder / "checklist.md").touch()
    config = good(
        ("owner:", "checklist: checklist.md\ntests: {commands: [make test]}\nchat: {token: '${env:T}'}\nowner:"),
        ("namespace: prod", "namespace: prod\n    approvers: ['@acme/sre']\n    kubeconfig: kube/config"),
        ("https://prometheus.example.com", "https://p/\n    version_label: hash\n    scrape_interval_s: 1"),
        (
            "canary_steps",
            "tools: {helm: bin/helm}\ngate: {min_requests: 5}\ntimeouts: {rollback_minutes: 1.5}\ncanary_steps",
        ),
    )
    assert config.checklist == folder.resolve() / "checklist.md"
    assert config.tests is not None
    assert config.tests.commands == ("make test",)
    assert config.chat == {"token": "${env:T}"}
    assert config.sections == ("checklist", "tests", "chat")
    prod = config.release().environments["prod"]
    assert (prod.approvers, prod.kubeconfig) == (("@acme/sre",), folder.resolve() / "kube" / "config")
    prometheus = config.metrics.prometheus
    assert (prometheus.url, prometheus.version_label, prometheus.scrape_interval_s) == ("https://p", "hash", 1)
    assert config.tools.helm == str(folder.resolve() / "bin" / "helm")
    assert (config.gate.min_requests, config.timeouts.rollback) == (5, timedelta(seconds=90))
    assert config.timeouts.helm == timedelta(minutes=5)


def test_sections_without_adapter_are_told(good: Load) -> None:
    """A section that nothing implements yet is told with its place: it can't be skipped in silence."""
    written = {"checklist": "deploy.yaml", "tests": "{commands: [make test]}"}
    sections = "\n".join(f"{name}: {written.get(name, '{}')}" for name in SECTIONS_WITHOUT_ADAPTER)
    config = good(("owner:", f"{sections}\nowner:"))
    places = tuple((name, f"deploy.yaml:{6 + n}:1") for n, name in enumerate(SECTIONS_WITHOUT_ADAPTER))
    assert config.sections_without_adapter == places
    assert good().sections_without_adapter == ()


def test_places(good: Load) -> None:
    """A key has the place where it stands; an absent one that of the nearest key above."""
    config = good(overrides=("gate.min_requests=7",))
    assert config.place("environments.prod.namespace") == "deploy.yaml:11:5"
    assert config.place("environments.prod.server") == "deploy.yaml:9:3"
    assert config.place("tools") == "deploy.yaml:1:1"
    assert config.place("gate.min_requests") == "--deploy-set gate.min_requests=7"


def test_places_are_relative_to_the_root(folder: Path) -> None:
    """With a root, messages can be clicked from there."""
    assert load(folder / "deploy.yaml", root=folder.parent).place("owner") == f"{folder.name}/deploy.yaml:6:1"


def test_frozen(good: Load) -> None:
    """What was checked can't change afterwards."""
    with pytest.raises(ValueError, match="frozen"):
        good().owner = "x"  # type: ignore[misc]


def test_values_file_that_is_there_twice(refused: Refused, folder: Path) -> None:
    """Two files of the name are a question, not a choice."""
    (folder / "values-prod.yaml").touch()
    assert "is there twice" in refused()[0]


def test_symbolic_link_out_of_the_folder(
    refused: Refused, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A link that leads out of the folder is refused; ``..`` says so openly and is allowed."""
    outside = tmp_path_factory.mktemp("outside")
    (outside / "v.yaml").touch()
    (folder / "link.yaml").symlink_to(outside / "v.yaml")
    (problem,) = refused(("values-prod.yaml", "link.yaml"))
    assert "a symbolic link that leads out of" in problem


def test_circle_of_links(refused: Refused, folder: Path) -> None:
    """A link to itself is a problem like any other path that leads nowhere."""
    (folder / "circle").symlink_to(folder / "circle")
    (problem,) = refused(("values-prod.yaml", "circle"))
    assert "environments.prod.values_file: " in problem


def test_blue_green_needs_no_steps(good: Load) -> None:
    """Only a canary has steps."""
    assert good(("strategy: canary", "strategy: blue-green"), ("canary_steps: [5, 25, 100]", "")).canary_steps == ()


def test_parent_folder_is_allowed(good: Load, folder: Path) -> None:
    """``..`` leads out of the folder openly."""
    config = good(("values-prod.yaml", f"../{folder.name}/chart/values-prod.yaml"))
    assert config.release().environments["prod"].values_file == folder.resolve() / "chart" / "values-prod.yaml"


def test_chart_needs_a_chart_yaml(refused: Refused, folder: Path) -> None:
    """A folder alone is no chart."""
    (folder / "chart" / "Chart.yaml").unlink()
    assert "'chart' is no Helm chart: it holds no Chart.yaml" in refused()[0]


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A file that is not there, and a folder, are told as what they are."""
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "deploy.yaml")
    with pytest.raises(ConfigError, match="Is a directory"):
        load(tmp_path)


def test_find_looks_upwards(folder: Path) -> None:
    """The nearest file above the feature is taken."""
    below = folder / "features" / "drills"
    below.mkdir(parents=True)
    (below / "x.feature").touch()
    assert find(below / "x.feature", "deploy.yaml") == folder / "deploy.yaml"
    (below / "deploy.yaml").touch()
    assert find(below / "x.feature", "deploy.yaml") == below / "deploy.yaml"
    assert find(below, str(folder / "deploy.yaml")) == folder / "deploy.yaml"


def test_find_says_what_to_do(tmp_path: Path) -> None:
    """No file anywhere: the next move is told."""
    with pytest.raises(ConfigError, match=r"there is no nope\.yaml in .* or in a folder above\n  next: write one"):
        find(tmp_path, "nope.yaml")

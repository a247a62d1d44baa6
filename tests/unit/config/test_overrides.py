"""``--deploy-set KEY=VALUE``."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_deploy.config.model import DeployConfig
from pytest_deploy.config.overrides import parse
from pytest_deploy.errors import ConfigError

Load = Callable[..., DeployConfig]


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("slo.window_minutes=10", ("slo", "window_minutes"), 10),
        ("canary_steps=[10, 100]", ("canary_steps",), [10, 100]),
        ('values.podAnnotations."a.b/c"=0.05', ("values", "podAnnotations", "a.b/c"), 0.05),
        ('values."a=b"="0.05"', ("values", "a=b"), "0.05"),
        (r'values."a\"b"=x=y', ("values", 'a"b'), "x=y"),
        ("environments.prod.release=null", ("environments", "prod", "release"), None),
        ("tools.helm=", ("tools", "helm"), None),
    ],
)
def test_parsed(text: str, key: tuple[str, ...], value: object) -> None:
    """A dotted key, quoted where it holds dots, and a YAML value."""
    override = parse(text)
    assert (override.key, override.value) == (key, value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("slo.window_minutes", "a dot or = is wanted after 'window_minutes'"),
        ("=1", "KEY=VALUE is wanted"),
        ("a..b=1", "KEY=VALUE is wanted"),
        ('values."a.b=1', "KEY=VALUE is wanted"),
        ('values."a"b=1', "a dot or = is wanted after 'a'"),
        ("a=[1", "this is no YAML"),
        ("a=yes", "quote it"),
        ("a=\udcff", "no Unicode text"),
        (".".join("a" * 40) + "=1", "the key has 40 parts: at most 32"),
    ],
)
def test_refused(text: str, said: str) -> None:
    """What is no override is refused with what is wrong."""
    with pytest.raises(ValueError, match=said):
        parse(text)


def test_applied_in_order(good: Load) -> None:
    """The later one wins, absent mappings are made, everything else stays."""
    config = good(overrides=("slo.window_minutes=9", "slo.window_minutes=10", "values.a.b=1", "values.a.c=2"))
    assert config.slo.window.total_seconds() == 600
    assert config.slo.p95_latency_ms == 300
    assert config.release().values == (("a.b", "1"), ("a.c", "2"))


def test_problems_name_the_option(refused: Callable[..., list[str]]) -> None:
    """A problem that an option brings is told as the option's, after those of the file."""
    problems = refused(
        ("owner: checkout-team", "owner: 5"),
        overrides=("slo.error_rate_max=5", "canary_steps.0=1", "nonsense", "tests.x=1"),
    )
    assert problems == [
        'deploy.yaml:6:1: owner: found the number 5; text is wanted (put it in quotes), such as "checkout-team"',
        "--deploy-set slo.error_rate_max=5: slo.error_rate_max: 5 is no ratio: between 0 and 1 (0.005 is 0.50 %)",
        '--deploy-set tests.x=1: tests.commands: it is missing, such as ["make test", "make integration-test"]',
        "--deploy-set tests.x=1: tests.x: there is no such key; known here: commands, junit, env, timeout_minutes",
        "--deploy-set canary_steps.0=1: canary_steps is no mapping: set it as a whole",
        "--deploy-set nonsense: 'nonsense': a dot or = is wanted after 'nonsense'",
    ]


def test_an_override_mends_the_file(good: Load) -> None:
    """What an option sets need not have been right in the file."""
    assert good(("0.005", "off"), overrides=("slo.error_rate_max=0.01",)).slo.error_rate_max_ratio == 0.01


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text(max_size=30)
    | st.tuples(
        st.sampled_from(["slo", "values.x", "environments.prod", 'values."a.b"', "chat.token"]), st.text(max_size=20)
    ).map("=".join)
)
def test_nothing_but_config_errors(good: Load, text: str) -> None:
    """Whatever is given: a model, or problems that name the option."""
    try:
        shown = [good(overrides=(text,)).place(".".join(map(str, parse(text).key)))]
    except ConfigError as error:
        shown = list(error.problems)
    assert shown
    assert all(problem.startswith("--deploy-set ") for problem in shown)

"""Which series a query rests on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_deploy.adapters.prometheus.named import BUILT_IN, text_of
from pytest_deploy.adapters.prometheus.selectors import selectors
from pytest_deploy.domain.measurement import Subject
from pytest_deploy.domain.query import MEMORY, RESTARTS, THROTTLING


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("up", ("up",)),
        ('sum(rate(a:b_total{x="1"}[5m])) / sum(rate(c[5m]))', ('a:b_total{x="1"}', "c")),
        ("sum by (job, up) (x) + on (y) group_left (z) w", ("x", "w")),
        ("sum(x) without(y) unless ignoring(z) x", ("x",)),
        ("SUM BY (a) (x) AND y", ("x", "y")),
        ('{__name__="x"} or y{}', ('{__name__="x"}', "y{}")),
        ("x offset 5m + y @ 1700 + z[5m] offset 1h + x{a='b'} @ end()", ()),
        ("max_over_time(x[30m:1m]) > bool 5", ("x",)),
        ('label_replace(x, "y", "$1", "z", "(.*)")', ("x",)),
        ("x{a=\"}\",b='{'} # y", ("x{a=\"}\",b='{'}",)),
        ('x{a=`"`}', ('x{a=`"`}',)),
        ("vector(0)", ()),
        ("time() - 1e3 * 0x1F + .5 - Inf + NaN", ()),
        ("histogram_quantile(0.9, sum by (le) (rate(x_bucket[5m])))", ("x_bucket",)),
        ("-x ^ 2 atan2 y", ("x", "y")),
        ("", ()),
    ],
)
def test_selectors_are_found(query: str, found: tuple[str, ...]) -> None:
    """Names of series with their braces, each once: no function, label, word, string, comment, or other time."""
    assert selectors(query) == found


@given(st.text(alphabet="ab_:(){}[]\"'`\\#\n ,=~1.5@offset", max_size=40))
def test_any_text_has_an_end(text: str) -> None:
    """Whatever stands in deploy.yaml, looking for selectors ends without an error and makes nothing up."""
    assert all(found in text or found.replace(" ", "") in text.replace(" ", "") for found in selectors(text))


def test_the_queries_that_ship_rest_on_series() -> None:
    """Each names the series by which its freshness is told; the one of before the window is left out."""
    canary = Subject(service="svc", template_hash="6f7d", workload="app", namespace="shop")
    found = {name: selectors(text_of(query, canary, 60)) for name, query in BUILT_IN.items()}
    assert {name: len(series) for name, series in found.items()} == {THROTTLING: 2, MEMORY: 2, RESTARTS: 1}

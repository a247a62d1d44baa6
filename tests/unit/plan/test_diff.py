"""Objects are compared by what they say; what is shown is a unified diff of their YAML."""

from __future__ import annotations

from typing import Any

from pytest_deploy.plan.diff import Kind, changes
from pytest_deploy.plan.mask import Masker, secret_values


def thing(name: str, data: Any = None, *, kind: str = "ConfigMap", **metadata: Any) -> dict[str, Any]:
    """Return an object."""
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, **metadata}, "data": data}


def compared(live: list[dict[str, Any]], planned: list[dict[str, Any]]) -> dict[str, tuple[Kind, str]]:
    """Return kind and diff of each change, by the object's name."""
    mask = Masker(set(secret_values([*live, *planned])))
    return {each.name: (each.kind, "\n".join(each.diff)) for each in changes(live, planned, mask, namespace="own")}


def test_nothing_differs() -> None:
    """The order of objects and of keys is no difference."""
    one, two = thing("one", {"a": "1", "b": "2"}), thing("two")
    assert compared([one, two], [two, dict(reversed(one.items()))]) == {}


def test_each_kind_of_change() -> None:
    """New, changed and removed, in the chart's order and then what goes; what Helm keeps is said to stay."""
    keep = thing("keep", annotations={"helm.sh/resource-policy": "keep"})
    found = compared(
        [thing("gone"), keep, thing("both", {"a": "1", "b": "2"})], [thing("new"), thing("both", {"a": "1"})]
    )
    assert {name: kind for name, (kind, _) in found.items()} == {
        "ConfigMap/new": Kind.NEW,
        "ConfigMap/both": Kind.CHANGED,
        "ConfigMap/gone": Kind.REMOVED,
        "ConfigMap/keep": Kind.KEPT,
    }
    assert list(found) == ["ConfigMap/new", "ConfigMap/both", "ConfigMap/gone", "ConfigMap/keep"]
    diff = found["ConfigMap/both"][1].splitlines()
    assert diff[:2] == ["--- live ConfigMap/both", "+++ planned ConfigMap/both"]
    assert [line for line in diff[2:] if line[0] in "+-"] == ["-  b: '2'"]
    assert found["ConfigMap/new"][1].startswith("--- nothing\n+++ planned ConfigMap/new\n")
    assert found["ConfigMap/gone"][1].startswith("--- live ConfigMap/gone\n+++ nothing\n")


def test_a_text_of_several_lines_is_compared_by_line() -> None:
    """A line of a file in a ConfigMap is a line of the diff."""
    (diff,) = (each for _, each in compared([thing("c", {"f": "a\nb\n"})], [thing("c", {"f": "a\nc\n"})]).values())
    assert "-    b" in diff.splitlines()
    assert "+    c" in diff.splitlines()


def test_lists_are_objects_and_hooks_are_none() -> None:
    """Helm keeps no hook in a release's manifest: one is not taken for new each time."""
    hook = thing("migrate", kind="Job", annotations={"helm.sh/hook": "pre-upgrade"})
    several = {"apiVersion": "v1", "kind": "List", "items": [thing("one", {"a": "2"})]}
    assert list(compared([thing("one", {"a": "1"})], [hook, several])) == ["ConfigMap/one"]


def test_the_same_name_in_two_namespaces() -> None:
    """Is two objects; the release's own namespace needs no saying."""
    found = compared([thing("x", namespace="a"), thing("x")], [thing("x", namespace="own"), thing("x", namespace="b")])
    assert {name: kind for name, (kind, _) in found.items()} == {
        "ConfigMap/x": Kind.CHANGED,
        "ConfigMap/b/x": Kind.NEW,
        "ConfigMap/a/x": Kind.REMOVED,
    }


def test_a_secret_that_changes_shows_that_alone() -> None:
    """The numbers of both values, and neither of them."""
    old, new = (thing("db", {"pw": each}, kind="Secret") for each in ("b2xkLXZhbHVl", "bmV3LXZhbHVl"))
    _, diff = compared([old], [new])["Secret/db"]
    assert diff.count(", changed]") == 2
    assert not any(value in diff for value in ("b2xkLXZhbHVl", "bmV3LXZhbHVl", "old-value", "new-value"))


def test_a_change_that_the_mask_hides_is_still_told() -> None:
    """A ConfigMap that repeats two Secrets' values looks the same on both sides, and is not."""
    held = thing("db", {"a": "Zmlyc3Qtb25l", "b": "c2Vjb25kLW9uZQ=="}, kind="Secret")
    found = compared([held, thing("c", {"x": "first-one"})], [held, thing("c", {"x": "second-one"})])
    assert found == {"ConfigMap/c": (Kind.CHANGED, "(it differs only in what is masked)")}


def test_nothing_in_a_manifest_acts_on_a_terminal() -> None:
    """An escape sequence is written out as YAML does."""
    (diff,) = (each for _, each in compared([], [thing("c", {"x": "\x1b[2J"})]).values())
    assert "\x1b" not in diff

"""What rendered manifests say."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_deploy.domain.manifests import config_changes, container_image, find_rollout, parse_step, rollout_steps
from pytest_deploy.domain.rollout import Step


def rollout(*refs: tuple[str, Any], name: str = "api") -> dict[str, Any]:
    """A Rollout whose pods use these sources of configuration, each in a place of its own."""
    volumes = [{"name": f"v{number}", key: value} for number, (key, value) in enumerate(refs)]
    pod = {"containers": [{"name": "api", "image": "i@a"}], "volumes": volumes}
    return {"kind": "Rollout", "metadata": {"name": name}, "spec": {"template": {"spec": pod}}}


def config(kind: str, name: str, **data: str) -> dict[str, Any]:
    """A ConfigMap or Secret with this data."""
    return {"kind": kind, "metadata": {"name": name}, "data": data}


USES = rollout(("configMap", {"name": "settings"}), ("secret", {"secretName": "keys"}))


def test_the_rollout_is_found_by_kind_and_name() -> None:
    """A Deployment of the same name is none."""
    other = rollout(name="web")
    deployment = {**USES, "kind": "Deployment"}
    assert find_rollout([deployment, other, USES], "api") is USES
    assert find_rollout([deployment, other], "api") is None


def test_the_image_is_the_named_containers() -> None:
    """A side-car's image is not ours."""
    found = rollout()
    found["spec"]["template"]["spec"]["containers"].insert(0, {"name": "proxy", "image": "envoy"})
    assert container_image(found, "api") == "i@a"
    assert container_image(found, "web") is None
    assert container_image({"spec": {"template": "?"}}, "api") is None
    assert container_image({"spec": {"template": {"spec": {"containers": ["?"]}}}}, "api") is None


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ({"setWeight": 5}, Step(kind="setWeight", weight=5)),
        ({"pause": {}}, Step(kind="pause")),
        ({"pause": None}, Step(kind="pause")),
        ({"pause": {"duration": 30}}, Step(kind="pause", pause_s=30)),
        ({"pause": {"duration": "30"}}, Step(kind="pause", pause_s=30)),
        ({"pause": {"duration": "30s"}}, Step(kind="pause", pause_s=30)),
        ({"pause": {"duration": "1h30m"}}, Step(kind="pause", pause_s=5400)),
        ({"pause": {"duration": "1.5h"}}, Step(kind="pause", pause_s=5400)),
        ({"pause": {"duration": "500ms"}}, Step(kind="pause", pause_s=0.5)),
        ({"analysis": {"templates": []}}, Step(kind="analysis")),
        ({}, Step(kind="empty")),
    ],
)
def test_each_step_as_the_api_writes_it(written: dict[str, Any], wanted: Step) -> None:
    """A pause without a duration holds; all others end by themselves, after the time that is written."""
    assert parse_step(written) == wanted
    assert wanted.holds == (wanted.kind == "pause" and wanted.pause_s is None)


def test_the_steps_of_a_rollout() -> None:
    """In order; none where the strategy is another."""
    spec = {"strategy": {"canary": {"steps": [{"setWeight": 5}, {"pause": {}}]}}}
    assert rollout_steps({"spec": spec}) == (Step(kind="setWeight", weight=5), Step(kind="pause"))
    assert rollout_steps({"spec": {"strategy": {"blueGreen": {}}}}) == ()


def test_configuration_that_changes_or_goes_is_warned_of() -> None:
    """Each ConfigMap or Secret that pods use and that this release touches, with what to do."""
    before = [USES, config("ConfigMap", "settings", level="info"), config("Secret", "keys", key="1")]
    after = [USES, config("ConfigMap", "settings", level="debug")]
    changed, removed = config_changes(before, after, "api")
    assert changed.startswith("ConfigMap/settings is used by running pods and is changed by this release: stable pods")
    assert "give it a name of its own for each version" in changed
    assert removed.startswith("Secret/keys is used by running pods and removed by this release: a stable pod")
    assert "helm.sh/resource-policy: keep" in removed


def test_binary_data_is_data_too() -> None:
    """A change that is not in ``data`` is a change all the same."""
    before = [USES, {**config("ConfigMap", "settings"), "binaryData": {"a": "MQ=="}}]
    after = [USES, {**config("ConfigMap", "settings"), "binaryData": {"a": "Mg=="}}]
    assert len(list(config_changes(before, after, "api"))) == 1


def test_what_does_not_change_is_not_warned_of() -> None:
    """Nor what no pod uses, what another release brings, or what this release brings anew."""
    same = config("ConfigMap", "settings", level="info")
    unused = config("ConfigMap", "unused", a="1")
    relabelled = {**same, "metadata": {"name": "settings", "labels": {"chart": "api-2"}}}
    assert list(config_changes([USES, same, unused], [USES, relabelled], "api")) == []
    assert list(config_changes([USES], [USES, same], "api")) == []
    assert list(config_changes([same], [USES], "api")) == [], "nothing runs yet that could be hurt"


def test_a_source_without_a_name_is_none() -> None:
    """An inline or a broken reference names nothing that could change."""
    running = rollout(("configMap", {}), ("secret", {"optional": True}), ("configMap", "settings"))
    assert list(config_changes([running, config("ConfigMap", "settings")], [running], "api")) == []

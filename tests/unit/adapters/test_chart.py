"""The chart's checks, on programs that play Helm and kubeconform, and an API server's answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from pytest_deploy.adapters.chart import ChartChecks
from pytest_deploy.domain.release import Environment, ImageRef, Release, Strategy
from pytest_deploy.errors import GateBreach, ToolFailed
from pytest_deploy.io.kube import KubeApi, Reply

PINNED = "registry.example.com/shop@sha256:" + "1" * 64
POD = f"""\
apiVersion: v1
kind: Pod
metadata: {{name: shop}}
spec: {{containers: [{{name: shop, image: "{PINNED}"}}]}}
"""
KIND = {"group": "", "version": "v1", "kind": "Pod"}
ANSWERS: dict[str, Any] = {
    "/version": {"gitVersion": "v1.34.4"},
    "/openapi/v3": {"paths": {"api/v1": {"serverRelativeURL": "/openapi/v3/api/v1?hash=A"}, "version": {}, "api": {}}},
    "/api/v1": {"resources": [{"name": "pods", "kind": "Pod"}, {"name": "pods/eviction", "kind": "Eviction"}]},
    "/openapi/v3/api/v1?hash=A": {
        "components": {"schemas": {"Pod": {"type": "object", "x-kubernetes-group-version-kind": [KIND]}}}
    },
}


class Server:
    """An API server that answers by its paths alone, in the place of KubeApi and of its connection."""

    server = "https://k8s.example.com"

    def at(self, *_: object) -> Server:
        """Return the connection."""
        return self

    def read(self, path: str) -> Reply:
        """Return what is said there."""
        return Reply(status=200, body=ANSWERS[path])


def valid(count: int) -> str:
    """What kubeconform prints where all objects valid."""
    rows = [{"kind": "Pod", "version": "v1", "name": "shop", "status": "statusValid", "msg": ""}] * count
    return json.dumps({"resources": rows, "summary": {"valid": count, "invalid": 0, "errors": 0, "skipped": 0}})


def invalid(message: str) -> str:
    """What kubeconform prints where one object is not."""
    row = {"kind": "Pod", "version": "v1", "name": "shop", "status": "statusInvalid", "msg": message}
    return json.dumps({"resources": [row], "summary": {"valid": 0, "invalid": 1, "errors": 0, "skipped": 0}})


@pytest.fixture
def checks(tmp_path: Path) -> Callable[..., ChartChecks]:
    """Make the capability with what Helm and kubeconform say."""

    def make(
        rendered: str = POD, *, said: str | None = None, lint: str = "echo '1 chart(s) linted, 0 chart(s) failed'"
    ) -> ChartChecks:
        (tmp_path / "rendered").write_text(rendered)
        (tmp_path / "said").write_text(valid(1) if said is None else said)
        helm, kubeconform = tmp_path / "helm", tmp_path / "kubeconform"
        helm.write_text(
            f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\nif [ "$1" = lint ]; then {lint}; exit; fi\n'
            f"if grep -q FAIL {tmp_path}/rendered; then cat {tmp_path}/rendered >&2; exit 1; fi\n"
            f"cat {tmp_path}/rendered\n"
        )
        kubeconform.write_text(
            f"#!/bin/sh\nwhile [ $1 != -schema-location ]; do shift; done\nls -R ${{2%%/\\{{*}} >> {tmp_path}/schemas\n"
            f"cat > {tmp_path}/stdin; cat {tmp_path}/said\n"
        )
        helm.chmod(0o700)
        kubeconform.chmod(0o700)
        env = Environment(name="prod", context="p", namespace="n", release="shop", rollout="shop", container="shop")
        release = Release(
            service="shop", image=ImageRef.parse("registry.example.com/shop"), strategy=Strategy.CANARY,
            canary_steps=(100,), chart_path=tmp_path, owner="o", values=(("a", '"b"'),), environments={},
        )  # fmt: skip
        return ChartChecks(
            release, [env], api=cast("KubeApi", Server()), helm=str(helm), kubeconform=str(kubeconform)
        )  # fmt: skip

    return make


def test_what_the_tools_are_asked(checks: Callable[..., ChartChecks], tmp_path: Path) -> None:
    """Helm renders with the digest, for this server's version and kinds; kubeconform gets its schemas and the text."""
    found = checks()(PINNED)
    assert found.words == (
        "prod: lint is clean, 1 object valid for https://k8s.example.com (Kubernetes v1.34.4), 1 image by digest"
    )
    lint, template = (tmp_path / "calls").read_text().splitlines()
    for call in (lint, template):
        assert '--set-json a="b"' in call
        assert f'--set-json image.digest="{PINNED.partition("@")[2]}"' in call
    assert template.endswith("--kube-version v1.34.4 --api-versions v1 --api-versions v1/Pod")
    assert "pod_v1.json" in (tmp_path / "schemas").read_text()
    assert (tmp_path / "stdin").read_text() == POD


def test_lists_are_counted_by_their_items(checks: Callable[..., ChartChecks]) -> None:
    """As kubeconform does."""
    item = json.dumps({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "c", "image": PINNED}]}})
    text = f'{{"apiVersion": "v1", "kind": "List", "items": [{item}, {item}]}}'
    assert "2 objects valid" in checks(text, said=valid(2))(PINNED).words


@pytest.mark.parametrize(
    ("world", "said"),
    [
        (
            {"said": invalid("x - at '/spec': 'anyOf' failed - at '/spec/a': got string, want null or integer "
                             "- at '/spec': got object, want null")},
            r"1 mistake in .* for prod \(https://k8s\S+\):\n  - Pod/shop .*: /spec/a: got string, want integer\n",
        ),
        ({"said": invalid("no tree at all")}, r"Pod/shop \(v1\): no tree at all\n"),
        ({"rendered": POD.replace("@sha256:", ":") }, r"2 mistakes .*\n  - Pod/shop, container shop: .* has no digest"),
        ({"rendered": "FAIL: nil pointer"}, "can't be rendered for prod: FAIL: nil pointer\n  next: "),
        ({"rendered": "a: [\n"}, "renders for prod is no YAML"),
        (
            {"lint": "echo '[ERROR] templates/: bad'; echo 'Error: 1 chart(s) linted, 1 chart(s) failed' >&2; exit 1"},
            r"helm lint of .* with the values of prod:\n  - \[ERROR\] templates/: bad\n  next: correct it, then: ",
        ),
    ],
)  # fmt: skip
def test_mistakes(checks: Callable[..., ChartChecks], world: dict[str, str], said: str) -> None:
    """Each is told with its place and the command that shows it."""
    with pytest.raises(GateBreach, match=said):
        checks(**world)(PINNED)


@pytest.mark.parametrize(
    ("world", "said"),
    [
        ({"said": ""}, "ended with 0 and without a report"),
        ({"said": "{}"}, "ended with 0 and without a report"),
        ({"said": valid(0)}, "looked at 0 of 1 rendered objects"),
        ({"said": valid(1).replace('"skipped": 0', '"skipped": 1')}, "skipped 1: the others are not proved"),
        ({"lint": "echo no such file >&2; exit 1"}, "nothing was linted: no such file"),
    ],
)
def test_no_answer_is_no_yes(checks: Callable[..., ChartChecks], world: dict[str, str], said: str) -> None:
    """Neither silence nor half an answer is taken for valid."""
    with pytest.raises(ToolFailed, match=said):
        checks(**world)(PINNED)

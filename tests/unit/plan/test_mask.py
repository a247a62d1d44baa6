"""No secret survives the mask, and whether it changes still shows."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote

import pytest

from pytest_deploy.plan.mask import Masker, secret_values

PLANTED = "pl4nted/s3cret+word"
ENCODED = base64.b64encode(PLANTED.encode()).decode()
APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def secret(value: str = ENCODED, **more: Any) -> dict[str, Any]:
    """Return a Secret."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, "data": {"password": value}, **more}


def masker(*manifests: Any, **more: Any) -> Masker:
    """Return a masker that knows what these hold."""
    return Masker(set(secret_values(manifests)), **more)


@pytest.mark.parametrize(
    "manifest",
    [
        secret(),
        secret(ENCODED[:10] + "\n" + ENCODED[10:]),
        {"kind": "Secret", "stringData": {"password": PLANTED}},
        {"kind": "Secret", "metadata": {"annotations": {APPLIED: json.dumps(secret())}}},
        {"kind": "List", "items": [secret()]},
        {"kind": "Template", "spec": {"objects": [{"of": secret()}]}},
        {"kind": "Secret", "data": PLANTED},
        {"kind": "Rollout", "spec": {"env": [{"name": "DB_PASSWORD", "value": PLANTED}]}},
        {"kind": "ConfigMap", "data": {"api_key": PLANTED}},
    ],
)
def test_a_secret_alone(manifest: dict[str, Any]) -> None:
    """Where its place tells that it is one, it needs no second place that gives it away; keys stay readable."""
    told = json.dumps(masker().manifest(manifest))
    assert PLANTED not in told
    assert ENCODED not in told.replace("\\n", "")
    assert "[secret " in told


@pytest.mark.parametrize(
    "text",
    [
        PLANTED,
        ENCODED,
        f"postgres://user:{quote(PLANTED, safe='')}@db/app",
        f"Basic {base64.b64encode(f'user:{PLANTED}'.encode()).decode()}",
        json.dumps({"url": PLANTED}),
    ],
)
@pytest.mark.parametrize("kind", ["data", "stringData", APPLIED])
def test_the_value_of_a_secret_in_another_place(text: str, kind: str) -> None:
    """What a Secret holds is looked for everywhere, in every spelling: in values, in keys, in words."""
    holds: dict[str, Any] = {
        "data": secret(),
        "stringData": {"kind": "Secret", "stringData": {"password": PLANTED}},
        APPLIED: {"kind": "Secret", "metadata": {"annotations": {APPLIED: json.dumps(secret())}}},
    }[kind]
    mask = masker(holds)
    told = json.dumps(mask.manifest({"kind": "ConfigMap", "data": {"url": text, text: "x"}})) + mask(f"was: {text}")
    assert told.count("[secret]") >= 3
    for spelling in (PLANTED, ENCODED, quote(PLANTED, safe="")):
        assert spelling not in told


def test_a_number_is_a_secret_too() -> None:
    """A Secret's text is found where another object has it as a number."""
    mask = masker({"kind": "Secret", "stringData": {"pin": "48151623"}})
    assert mask.manifest({"spec": {"pin": 48151623, "port": 8080, "on": True, "none": None}}) == {
        "spec": {"pin": "[secret]", "port": 8080, "on": True, "none": None}
    }


def test_a_change_shows() -> None:
    """The same value has the same number on both sides, another one another; each says what it is."""
    mask = masker()
    old, new = secret(), secret("b3RoZXI=")
    for one in (old, new):
        one["data"] |= {"token": "c2FtZQ=="}
    before: Any = mask.manifest(old, new)
    after: Any = mask.manifest(new, old)
    assert before["data"]["token"] == after["data"]["token"]
    assert before["data"]["token"].endswith(", unchanged]")
    assert before["data"]["password"] != after["data"]["password"]
    assert after["data"]["password"].endswith(", changed]")
    alone: Any = mask.manifest(new)
    assert alone["data"]["password"] == after["data"]["password"].replace(", changed", "")


def test_variables_are_compared_by_name() -> None:
    """One that has moved in its list is the same one."""
    first: Any = [{"name": "A_TOKEN", "value": "one"}, {"name": "B_TOKEN", "value": "two"}]
    shown: Any = masker().manifest({"env": first}, {"env": first[::-1]})
    assert all(each["value"].endswith(", unchanged]") for each in shown["env"])


def test_its_number_tells_nothing() -> None:
    """Each run has other numbers: a weak password can't be guessed from a log."""
    assert masker().manifest(secret()) != masker().manifest(secret())


def test_ordinary_words_stay() -> None:
    """A Secret that holds true, or the service's own name, does not blank every manifest."""
    holds = {"kind": "Secret", "stringData": {"tls": "true", "user": "checkout-api"}}
    shown = masker(holds, public={"checkout-api"}).manifest({"a": "true", "b": "checkout-api"})
    assert shown == {"a": "true", "b": "checkout-api"}


def test_what_looks_like_a_secret_and_is_none() -> None:
    """References, switches, empty values and what stands for a digest stay readable."""
    node: Any = {
        "automountServiceAccountToken": False,
        "token": "",
        "volumes": [{"name": "x", "secret": {"secretName": "db"}}],
        "env": [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}],
    }
    assert masker().manifest(node) == node
    assert masker(rewrite={"sha256:0": "<digest>"}).manifest({"image": "a@sha256:0"}) == {"image": "a@<digest>"}

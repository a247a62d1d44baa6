"""``plan`` on real parts: the diff is what Helm then does, no secret shows, and nothing is written."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.caller import Deploys, deployer
from tests.e2e.conftest import Places
from tests.e2e.oracle import CHART, CLOCK, SERVICE, Place, digest_of, eventually

pytestmark = pytest.mark.real

TEMPLATE = """\
apiVersion: v1
kind: Secret
metadata:
  name: {{ .Release.Name }}-db
  annotations: {copy: %s}
stringData: {password: %s, user: same-in-both-versions}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}-urls}
data: {url: "postgres://user:%s@db/app", log: %s}
"""


def plan(place: Place, *options: str, kubeconfig: Path) -> tuple[int, str, float]:
    """Run the verb in the place's folder by this account, and return status, output and seconds."""
    argv = (str(Path(sys.executable).with_name("pytest-deploy")), "plan", "prod.feature", *options)
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(place.folder),
        "KUBECONFIG": str(kubeconfig),
        "PYTEST_DEPLOY_CACHE": str(place.sandbox.cache),
    }
    began = CLOCK.monotonic()
    done = subprocess.run(argv, cwd=place.folder, env=env, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout + done.stderr, CLOCK.monotonic() - began


def kept(place: Place) -> list[str]:
    """Return the names of what a deploy would write to, with their versions."""
    found = json.loads(place.kubectl("get", "leases,configmaps,secrets", "-o", "json"))["items"]
    return sorted(f"{it['kind']} {it['metadata']['name']} {it['metadata']['resourceVersion']}" for it in found)


def chart(place: Place, password: str, log: str) -> Path:
    """Return the demo chart with a Secret, and with a ConfigMap that repeats its password."""

    def edit(folder: Path) -> None:
        (folder / "templates" / "db.yaml").write_text(TEMPLATE % (password, password, password, log), "utf-8")

    return place.chart(edit)


def test_what_would_change_and_what_is_done(places: Places, deploys: Deploys) -> None:
    """Image, ConfigMap and Secret are in the diff, no secret is; the deploy then does it, and nothing is left to do."""
    place, old, new = places(install=False), "0ld-planted-password", "n3w-planted-password"
    subprocess.run(
        place.upgrade_argv(place.old, chart=chart(place, old, "info")), check=True, capture_output=True, timeout=60
    )
    eventually(lambda: place.pods() == {place.old: 20}, "the old version is ready")
    changed, wanted = chart(place, new, "debug"), digest_of(f"new {place.folder}")
    account = deployer(place, chart=changed)
    deploys.write(place, real=True, chart=changed, digest=f"@{wanted}")
    before, untouched = kept(place), place.untouched()
    status, out, took = plan(place, kubeconfig=account)
    assert status == 0, out
    body = json.loads(plan(place, "--json", kubeconfig=account)[1])
    assert (kept(place), place.untouched()) == (before, untouched)
    assert not list(place.folder.glob("reports*"))
    (prod,) = body["environments"]
    assert (prod["revision"], prod["problem"]) == (1, None)
    assert prod["words"][:2] == [
        "3 changed, of 7 objects; live is revision 1",
        f"image: ghcr.io/acme/checkout-api@{place.old} -> registry.sandbox.invalid/checkout-api@{wanted}",
    ]
    shown: dict[str, str] = {each["object"]: each["diff"] for each in prod["changes"]}
    assert set(shown) == {f"Rollout/{SERVICE}", f"Secret/{SERVICE}-db", f"ConfigMap/{SERVICE}-urls"}
    assert "+  log: debug" in shown[f"ConfigMap/{SERVICE}-urls"].splitlines()
    assert shown[f"Secret/{SERVICE}-db"].count(", changed]") == 2
    for text in (old, new, "same-in-both-versions"):
        assert not [way for way in (text, base64.b64encode(text.encode()).decode()) if way in out + json.dumps(body)]
    assert took < 10, f"{took:.1f} s"  # 2 s on a machine that does nothing else
    run = deploys.run(place, "prod.feature", env={"CI": "true", "KUBECONFIG": str(account)})
    assert run.end() == 0, run.out
    assert prod["revision"] + 1 == place.history()[-1][0]
    status, out, _ = plan(place, kubeconfig=account)
    assert status == 0, out
    assert "nothing to change: all 7 objects are as revision 2 has them" in out
    assert "no canary would start" in out


def test_a_first_install_and_an_account_that_may_nothing(places: Places, deploys: Deploys) -> None:
    """All is new, and pre-flight would refuse it; without access that is told, with exit status 3."""
    place = places(install=False)
    account = deployer(place)
    deploys.write(place, real=True, chart=CHART, digest=f"@{place.old}")
    status, out, _ = plan(place, kubeconfig=account)
    assert status == 0, out
    assert f"first install: Helm has no release {SERVICE} there, all 5 objects are new" in out
    facts: Any = json.loads(account.read_text("utf-8"))
    place.kubectl("create", "serviceaccount", "nobody")
    facts["users"][0]["user"] = {"token": place.kubectl("create", "token", "nobody").strip()}
    account.write_text(json.dumps(facts), "utf-8")
    status, out, _ = plan(place, kubeconfig=account)
    assert status == 3, out
    assert "NOT LOOKED AT: helm history" in out
    assert "cannot list resource" in out
    assert f" upgrade {SERVICE} {CHART} --install " in out

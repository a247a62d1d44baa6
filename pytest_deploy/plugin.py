"""The pytest plugin: options, hooks and the ``deploy`` fixture; what they do stands in files of their own.

Nothing heavy is imported before a ``.feature`` file is collected.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_deploy.hookspecs import LEFT_OUT

if TYPE_CHECKING:
    from pytest_deploy.engine.deploy import Deploy
    from pytest_deploy.session import DeploySession

__all__: list[str] = []

_DEPLOYS = "pytest_deploy.session"
_REFUSED = pytest.StashKey[bool]()
_XDIST = "a deploy runs in one process, in order, and each worker of pytest-xdist would deploy; leave -n out"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of group "deploy"; their texts are tested against docs."""
    group = parser.getgroup("deploy", "deploy: a feature is a deploy (pytest-deploy)")
    option = group.addoption
    option(
        "--deploy-config",
        metavar="PATH",
        help="deploy.yaml; default: looked up from the feature's folder upwards",
    )
    option(
        "--rehearse",
        action="store_true",
        help="in-memory world and virtual clock: shows the plan, contacts nothing",
    )
    option(
        "--rehearse-fault",
        action="append",
        default=[],
        metavar="TEXT",
        help='with --rehearse: let something go wrong, e.g. "error rate 5%% at 25%%"; repeatable',
    )
    option(
        "--sandbox",
        action="store_true",
        help="the local real stack (API server, Argo Rollouts, Helm, Prometheus); started if it is not up",
    )
    option(
        "--sandbox-speed",
        type=float,
        default=1.0,
        metavar="N",
        help="with --sandbox: every window is N times shorter; default: 1",
    )
    option(
        "--deploy-reports",
        metavar="DIR",
        default="reports",
        help="where reports are written; default: reports/",
    )
    option(
        "--deploy-set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override one key of deploy.yaml, e.g. slo.window_minutes=1; repeatable",
    )
    option(
        "--deploy-yes",
        action="store_true",
        help="confirm a real deploy without the prompt; not needed where CI is set",
    )


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Register the hooks that this plugin calls."""
    from pytest_deploy import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Learn from a worker of pytest-xdist that it left deploys out; only workers collect."""
    if getattr(node, "workeroutput", {}).get(LEFT_OUT):
        node.config.stash[_REFUSED] = True


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect a feature; the first one loads the vocabulary and what watches over deploys."""
    if file_path.suffix != ".feature":
        return None
    from pytest_deploy.collect import collect_file

    _deploys(parent.config)
    return collect_file(file_path, parent)


@pytest.fixture(scope="module")
def deploy(request: pytest.FixtureRequest) -> Iterator[Deploy]:
    """The deploy of this feature: opened by the first step that needs it, ended when the feature is over.

    Its finalizer takes back what is open, and proves it, unless the deploy is committed.
    """
    session = _deploys(request.config)
    run = session.run_of(request.path)
    yield run.opened()
    session.close(run)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, Any, Any]:
    """Turn pytest's exit status into ours, and say in words how each deploy ended: the last lines."""
    result = yield
    if session.config.stash.get(_REFUSED, default=False):
        session.exitstatus = 4
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.write_line(f"deploys REFUSED, nothing changed, nothing contacted: {_XDIST}", red=True)
    deploys: DeploySession | None = session.config.pluginmanager.get_plugin(_DEPLOYS)
    if deploys is not None and not hasattr(session.config, "workerinput"):
        session.exitstatus = deploys.finish(int(session.exitstatus))
    return result


def _deploys(config: pytest.Config) -> DeploySession:
    """Return what watches over this session's deploys, made and registered on the first call."""
    found: DeploySession | None = config.pluginmanager.get_plugin(_DEPLOYS)
    if found is None:
        from pytest_deploy.session import DeploySession

        found = DeploySession(config=config, environ=os.environ)
        config.pluginmanager.register(found, _DEPLOYS)
        found.load_vocabulary()
    return found

"""A team's own steps: any ``*.py`` in a ``steps/`` folder beside or above a feature is loaded.

They look like the ones that ship, may use their fixtures, and may simply ``assert``: an AssertionError is a gate that
said no, and rolls back.
"""

from pytest_bdd import parsers, then

from pytest_deploy.engine.deploy import Deploy


@then(parsers.parse("at least {pods:d} pods of the new version are ready"))
def enough_pods(deploy: Deploy, pods: int) -> None:
    """Look at the rollout and count."""
    state = deploy.ports.traffic.state(deploy.rollout_target())
    assert state is not None, "the Rollout is gone"
    canary = state.version(state.current_hash)
    ready = canary.ready if canary is not None else 0
    assert ready >= pods, f"{ready} pods of the new version are ready, at least {pods} are wanted: {state.words}"

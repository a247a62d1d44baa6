"""What any implementation of the ports must do; the real adapters and the rehearsal pass the same classes.

Subclass a contract in a test file and give it its fixture: ``world``, a fresh ``World`` for each test, or
``journal``, an empty one.
"""

from pytest_deploy.testing.contracts.approvals import ApprovalsContract, ApprovalsWorld
from pytest_deploy.testing.contracts.cluster import ClusterContract
from pytest_deploy.testing.contracts.helm import HelmContract
from pytest_deploy.testing.contracts.journal import JournalContract
from pytest_deploy.testing.contracts.lock import LockContract
from pytest_deploy.testing.contracts.metrics import MetricsContract
from pytest_deploy.testing.contracts.traffic import TrafficContract
from pytest_deploy.testing.contracts.world import NEW, OLD, STEPS, World

__all__ = [
    "NEW",
    "OLD",
    "STEPS",
    "ApprovalsContract",
    "ApprovalsWorld",
    "ClusterContract",
    "HelmContract",
    "JournalContract",
    "LockContract",
    "MetricsContract",
    "TrafficContract",
    "World",
]

"""A seeded simulator: several deploys, recovers and people over one simulated API server, on a virtual clock."""

import logging

logging.getLogger("pytest_deploy").addHandler(logging.NullHandler())

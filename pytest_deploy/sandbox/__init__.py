"""The local real stack: starts it, finds it again, and takes it down without a trace."""

from pathlib import Path

from pytest_deploy.sandbox.life import down, load_image, pause, resume, status, up
from pytest_deploy.sandbox.stack import Stack
from pytest_deploy.sandbox.tools import toolbox

__all__ = ["PROFILE", "Stack", "down", "load_image", "pause", "resume", "status", "toolbox", "up"]

PROFILE = Path(__file__).parent / "profile.yaml"
"""The deploy.yaml of the sandbox, for a feature that brings none."""

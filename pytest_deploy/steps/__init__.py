"""The vocabulary that ships: one file a phase, each step a line or two that calls the engine.

A team's own steps live in ``steps/`` beside or above its features and look the same.
"""

from __future__ import annotations

MODULES = ("release", "preflight", "record", "build", "staging", "gitops", "canary", "gates", "afterwards", "drill")
"""The files of the vocabulary, in the order of a deploy; the plugin registers each."""

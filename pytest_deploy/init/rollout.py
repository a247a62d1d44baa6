"""A Deployment's template as a Rollout's: what a canary needs, as a suggestion beside the chart's templates."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["suggested"]

_DEPLOYMENT = re.compile(r"^apiVersion:\s*apps/v1\s*\nkind:\s*Deployment[ \t]*$", re.MULTILINE)


def suggested(template: str, steps: Sequence[int]) -> str | None:
    """Return the template with a Rollout in the Deployment's place; None where it is written in an unusual way.

    Args:
        steps: the canary's weights; the rollout pauses after each until it is promoted.
    """
    if len(_DEPLOYMENT.findall(template)) != 1:
        return None
    text = _DEPLOYMENT.sub("apiVersion: argoproj.io/v1alpha1\nkind: Rollout", template)
    head, spec, rest = text.partition("\nspec:\n")
    if not spec:
        return None
    # A Deployment's own strategy has no meaning in a Rollout.
    rest = re.sub(r"^  strategy:.*\n(?:   .*\n|\s*\n)*", "", rest, count=1, flags=re.MULTILINE)
    lines = [f"        - setWeight: {step}\n        - pause: {{}}\n" for step in steps]
    strategy = "  strategy:\n    canary:\n      maxSurge: 25%\n      maxUnavailable: 0\n      steps:\n" + "".join(lines)
    return head + spec + strategy + rest

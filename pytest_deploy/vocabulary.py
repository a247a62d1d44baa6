"""The list of steps that ship, read from the step functions themselves, so that it can't drift."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass

from pytest_bdd.parsers import StepParser
from pytest_bdd.steps import step_function_context_registry

from pytest_deploy.steps import MODULES

__all__ = ["ShippedStep", "shipped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShippedStep:
    """One step: its keyword and pattern, what it promises, and a line that uses it."""

    keyword: str
    pattern: str
    promise: str
    example: str
    phase: str
    parser: StepParser

    def understands(self, text: str) -> bool:
        """Whether the step's pattern matches the text."""
        return self.parser.is_matching(text)


def shipped() -> Iterator[ShippedStep]:
    """Yield every step of the vocabulary, in the order of a deploy."""
    for name in MODULES:
        module = importlib.import_module(f"pytest_deploy.steps.{name}")
        for context in list(step_function_context_registry.values()):
            if context.step_func.__module__ != module.__name__:
                continue
            doc = inspect.getdoc(context.step_func) or ""
            promise, _, rest = doc.partition("\n")
            yield ShippedStep(
                keyword=(context.type or "*").title(),
                pattern=context.parser.name,
                promise=promise,
                example=rest.partition("Example:")[2].strip(),
                phase=name,
                parser=context.parser,
            )

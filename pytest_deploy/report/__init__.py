"""Evidence: console, note, JSON, page, Allure and event log, all subscribers of the deploy's events."""

from pytest_deploy.report.console import Console
from pytest_deploy.report.redact import Redactor
from pytest_deploy.report.reporting import Reporting

__all__ = ["Console", "Redactor", "Reporting"]

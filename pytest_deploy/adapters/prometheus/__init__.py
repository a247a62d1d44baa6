"""Prometheus, and what speaks its HTTP API."""

from pytest_deploy.adapters.prometheus.adapter import Prometheus

__all__ = ["Prometheus"]

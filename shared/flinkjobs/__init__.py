"""Submits PyFlink jobs through Kubernetes Jobs, and keeps one accurate record per job."""

from typing import Final

__version__ = "0.2.0"

USER_AGENT: Final = f"flinkjobs/{__version__}"
"""The `User-Agent` of every HTTP request that this package sends."""

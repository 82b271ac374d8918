"""Keeps the record of every Flink Python job true."""

from typing import Final

__version__ = "0.2.0"

USER_AGENT: Final = f"flinkjobs/{__version__}"
"""The `User-Agent` of every HTTP request that this package sends."""

"""Reads the recordings of `tests/data/flink-health`: answers of Flink about jobs that are well or not."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from flinkjobs.adapters.flink import rest_api
from flinkjobs.domain.health_values import Checkpoints, CheckpointSettings
from flinkjobs.domain.observations import OverviewEntry

FOLDER = Path(__file__).parent.parent / "data" / "flink-health"
VERSIONS = ("1.20", "2.3")


def recorded(version: str, call: str, situation: str) -> dict[str, Any]:
    """One exchange: `request`, `taken_at`, `status`, `body`."""
    loaded: dict[str, Any] = json.loads((FOLDER / version / f"{call}--{situation}.json").read_bytes())
    return loaded


def answer(version: str, call: str, situation: str) -> tuple[int, bytes]:
    """Status and body of one exchange."""
    exchange = recorded(version, call, situation)
    return exchange["status"], json.dumps(exchange["body"]).encode()


def flink_job_id(version: str, situation: str) -> str:
    request: str = recorded(version, "job_metrics", situation)["request"]
    return request.split("/")[2]


class Recorded:
    """The answers about the job of one situation, parsed.

    Attributes:
        at: when the overview was taken.
    """

    def __init__(self, version: str, situation: str) -> None:
        self._of = version, situation
        self.at = datetime.fromisoformat(recorded(version, "jobs_overview", situation)["taken_at"])

    def entry(self) -> OverviewEntry:
        overview = rest_api.parse_overview(*self._answer("jobs_overview"))
        return overview.entries[flink_job_id(*self._of)]

    def restarts(self) -> int | None:
        return rest_api.parse_restarts(*self._answer("job_metrics"))

    def failures(self) -> tuple[str | None, Any]:
        return rest_api.parse_failures(*self._answer("job_exceptions"))

    def settings(self) -> CheckpointSettings | None:
        return rest_api.parse_checkpoint_settings(*self._answer("job_checkpoints_config"))

    def checkpoints(self) -> Checkpoints:
        return rest_api.parse_checkpoints(*self._answer("job_checkpoints"), self.at)

    def _answer(self, call: str) -> tuple[int, bytes]:
        version, situation = self._of
        return answer(version, call, situation)

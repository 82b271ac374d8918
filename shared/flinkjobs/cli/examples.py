"""Examples for the help text of each command; a test parses every one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

EXAMPLES: Final[Mapping[str, Sequence[str]]] = MappingProxyType(
    {
        "submit": (
            "flinkjobs submit word_count.py --wait -- --least 2",
            "flinkjobs submit --template-id daily_report --conf state.backend.type=rocksdb",
        ),
        "jobs": (
            "flinkjobs jobs --status RUNNING --since 2h",
            "flinkjobs jobs --watch",
            "flinkjobs jobs --status FAILED -o name | xargs -n 1 flinkjobs show",
            "flinkjobs jobs --json --fields job_id,status,reason",
            "flinkjobs jobs --unmanaged",
        ),
        "adopt": ("flinkjobs adopt a1b2c3d4e5f60718293a4b5c6d7e8f90 --template-id word_count",),
        "cancel": (
            "flinkjobs cancel word_count_1795424460211 --wait",
            "flinkjobs cancel --selector team=search",
        ),
        "stop": (
            "flinkjobs stop word_count_1795424460211 --wait",
            "flinkjobs stop word_count_1795424460211 --drain --savepoint-directory s3://bucket/savepoints",
        ),
        "savepoint": ("flinkjobs savepoint word_count_1795424460211 --wait",),
        "run-again": (
            "flinkjobs run-again word_count_1795424460211 --wait",
            "flinkjobs run-again word_count_1795424460211 --from nothing --parallelism 8",
        ),
        "audit": ("flinkjobs audit --since 30d", "flinkjobs audit --user ann@example.com"),
        "show": (
            "flinkjobs show word_count_1795424460211",
            "flinkjobs show a1b2c3d4e5f60718293a4b5c6d7e8f90 -o yaml",
        ),
        "logs": ("flinkjobs logs word_count_1795424460211",),
        "wait": ("flinkjobs wait word_count_1795424460211 --timeout 600",),
        "sync": ("flinkjobs sync", "flinkjobs sync word_count_1795424460211"),
        "cleanup": ("flinkjobs cleanup --dry-run",),
        "metrics": ("flinkjobs metrics --json",),
        "export": ("flinkjobs export --before 90d",),
        "indexes": ("flinkjobs indexes --dry-run",),
        "stats rebuild": ("flinkjobs stats rebuild --check", "flinkjobs stats rebuild"),
        "doctor": ("flinkjobs doctor", "flinkjobs doctor --function cleanup --strict"),
        "version": ("flinkjobs version",),
        "notify list": ("flinkjobs notify list",),
        "notify test": ("flinkjobs notify test platform",),
        "notify retry": ("flinkjobs notify retry platform", "flinkjobs notify retry"),
        "schedules list": ("flinkjobs schedules list",),
        "schedules apply": ("flinkjobs schedules apply",),
        "schedules set": ('flinkjobs schedules set sync "*/1 * * * *"',),
        "schedules pause": ("flinkjobs schedules pause cleanup",),
        "schedules resume": ("flinkjobs schedules resume cleanup",),
        "schedules run": ("flinkjobs schedules run sync",),
    }
)
"""By the words of the command."""


def epilog(command: str) -> str:
    """The examples of a command as its help text shows them, each on a line of its own."""
    return "\n".join(["Examples:", "", "\b", *(f"  {line}" for line in EXAMPLES[command])])

"""Reads the recordings of real Flink clusters in `tests/data/flink`; its README says how they were made."""

import csv
import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent.parent / "data" / "flink"
VERSIONS = ("1.20", "2.3")


def cli_log(version: str, recording: str) -> str:
    """What `flink run` printed, standard output and standard error in one stream."""
    return (FOLDER / version / "cli" / f"{recording}.log").read_bytes().decode()


def cli_commands(version: str) -> dict[str, tuple[int, str]]:
    """Exit code and command line of every CLI recording, by its name."""
    with (FOLDER / version / "cli" / "commands.tsv").open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return {row["recording"]: (int(row["exit"]), row["command"]) for row in rows}


def rest_json(version: str, recording: str) -> Any:
    """The decoded body of a REST answer."""
    return _rest(version, recording)["body"]


def rest(version: str, recording: str) -> tuple[int, bytes]:
    """Status and body of a REST answer."""
    answer = _rest(version, recording)
    return answer["status"], json.dumps(answer["body"], ensure_ascii=False).encode()


def rest_names(version: str, pattern: str) -> list[str]:
    """Names of the REST recordings that match a glob pattern."""
    return sorted(path.stem for path in (FOLDER / version / "rest").glob(f"{pattern}.json"))


def _rest(version: str, recording: str) -> Any:
    return json.loads((FOLDER / version / "rest" / f"{recording}.json").read_bytes())

"""import-linter names each broken contract of `pyproject.toml`; `make lint` runs it on the package itself."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINTER = Path(sys.executable).parent / "lint-imports"


def lint(package_parent: Path) -> tuple[int, str]:
    """Runs import-linter on the `flinkjobs` of a folder: its exit code, and what it printed."""
    done = subprocess.run(
        [LINTER, "--no-cache", "--no-logo", "--config", ROOT / "pyproject.toml"],
        cwd=package_parent,
        env=os.environ | {"PYTHONPATH": str(package_parent), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr


FORBIDDEN = [
    ("domain/transition.py", "import time", "flinkjobs.domain.transition -> time"),
    ("domain/submitter_log.py", "import os.path", "flinkjobs.domain.submitter_log -> os"),
    (
        "domain/naming.py",
        "from flinkjobs.ports import store",
        "flinkjobs.domain.naming -> flinkjobs.ports.store",
    ),
    ("cleanup/retention.py", "def late():\n    import httpx", "flinkjobs.cleanup.retention -> httpx"),
    ("sync/service.py", "import pymongo.errors", "flinkjobs.sync.service -> pymongo"),
    ("log.py", "from google.cloud import scheduler_v1", "flinkjobs.log -> google"),
    (
        "observers/submitter_output.py",
        "from flinkjobs.sync import service",
        "flinkjobs.observers.submitter_output -> flinkjobs.sync.service",
    ),
    (
        "web/server.py",
        "from flinkjobs.adapters.mongo import job_store",
        "flinkjobs.web.server -> flinkjobs.adapters.mongo.job_store",
    ),
    ("notify/messages.py", "import apprise", "flinkjobs.notify.messages -> apprise"),
    ("cleanup/service.py", "import flask", "flinkjobs.cleanup.service -> flask"),
    ("new_room/__init__.py", "", "new_room"),
]
"""Imports that break a contract: where, what, and the words in which the linter must name them."""


def test_each_contract_broken_is_reported(tmp_path: Path) -> None:
    """A contract that checks nothing would pass for one that is kept."""
    for module, import_, named in FORBIDDEN:
        package = shutil.copytree(
            ROOT / "shared" / "flinkjobs",
            tmp_path / module.replace("/", "-") / "flinkjobs",
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        (package / module).parent.mkdir(exist_ok=True)
        with (package / module).open("a", encoding="utf-8") as file:
            file.write(f"\n{import_}\n")
        code, said = lint(package.parent)
        assert code == 1, said
        assert named in said

"""The layers hold by machine: which module may import what is written in `pyproject.toml`."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
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


def test_every_contract_is_kept() -> None:
    code, said = lint(ROOT / "shared")
    assert code == 0, said
    assert "5 kept, 0 broken" in said


FORBIDDEN = [
    ("decide.py", "import time", "flinkjobs.decide -> time"),
    ("joblog.py", "import os.path", "flinkjobs.joblog -> os"),
    ("kube.py", "import kubernetes.client", "flinkjobs.kube -> kubernetes"),
    ("manifest.py", "from flinkjobs import log", "flinkjobs.manifest -> flinkjobs.log"),
    ("retention.py", "def late():\n    import httpx", "flinkjobs.retention -> httpx"),
    ("sync.py", "import pymongo.errors", "flinkjobs.sync -> pymongo"),
    ("log.py", "from google.cloud import scheduler_v1", "flinkjobs.log -> google"),
    ("web.py", "from flinkjobs.adapters import mongo", "flinkjobs.web -> flinkjobs.adapters.mongo"),
    ("submit.py", "from flinkjobs import bootstrap", "flinkjobs.submit -> flinkjobs.bootstrap"),
    ("cleanup.py", "import flask", "flinkjobs.cleanup -> flask"),
]
"""Imports that break a contract: where, what, and the words in which the linter must name them."""


def test_every_contract_can_be_broken(tmp_path: Path) -> None:
    """A contract that checks nothing would pass for one that is kept."""
    package = shutil.copytree(
        ROOT / "shared" / "flinkjobs", tmp_path / "flinkjobs", ignore=shutil.ignore_patterns("__pycache__")
    )
    for module, import_, _named in FORBIDDEN:
        with (package / module).open("a", encoding="utf-8") as file:
            file.write(f"\n{import_}\n")
    code, said = lint(tmp_path)
    assert code == 1, said
    assert "0 kept, 5 broken" in said
    assert [named for _module, _import, named in FORBIDDEN if named not in said] == []


def test_every_module_of_the_core_stands_in_a_contract() -> None:
    """A new module is pure, core, or one of the few that are neither."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    neither = {"__init__", "bootstrap", "imports", "log", "web"}
    modules = {path.stem for path in (ROOT / "shared" / "flinkjobs").glob("*.py")} - neither
    assert {name for name in modules if f'"flinkjobs.{name}",' not in text} == set()

"""A copy of the Terraform files, with the terraform command and doubles of the providers."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.terraform import providers
from tests.terraform.module import ROOT

COPIED: Final = ("deploy/kubernetes", "functions", "terraform")
"""What the module and its tests read; Terraform writes files of its own there, so it works on a copy."""
NOT_COPIED: Final = shutil.ignore_patterns("__pycache__", ".terraform*", "*.tfstate*", "*.tfvars")
STEP_SECONDS: Final = 300


@dataclass(frozen=True, slots=True)
class Workspace:
    """The copy.

    Attributes:
        directory: holds what `COPIED` names, and a bundle of each function in build/.
        environment: of the command.
    """

    directory: Path
    environment: Mapping[str, str]

    def run(self, place: str, *command: str) -> subprocess.CompletedProcess[str]:
        """Runs `terraform` in a folder of the copy; its output holds both streams."""
        return subprocess.run(
            ["terraform", *command],
            cwd=self.directory / place,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=STEP_SECONDS,
        )


@contextmanager
def workspace(found: Mapping[str, Mapping[str, Any]] = providers.FOUND) -> Iterator[Workspace]:
    """A copy as of a new user: the example's own values, and a main.py for each function.

    Args:
        found: attributes of what the data sources find, by type.
    """
    prefix = "flinkjobs-terraform-"
    with tempfile.TemporaryDirectory(prefix=prefix) as name, providers.running(found) as attached:
        directory = Path(name)
        for copied in COPIED:
            shutil.copytree(ROOT / copied, directory / copied, ignore=NOT_COPIED)
        example = directory / "terraform" / "examples" / "complete"
        shutil.copy(example / "terraform.tfvars.example", example / "terraform.tfvars")
        shutil.copytree(directory / "functions", directory / "build")
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TF_")},
            "TF_REATTACH_PROVIDERS": attached,
            "TF_IN_AUTOMATION": "1",
            "TF_CLI_ARGS": "-no-color",
            "CHECKPOINT_DISABLE": "1",
        }
        yield Workspace(directory, environment)

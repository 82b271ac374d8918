"""Runs Terraform itself over the module, its tests and its example, against doubles of the providers.

    python -m tests.terraform.run

Needs `terraform` 1.11 or newer on PATH, and neither the registry nor an account.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.terraform import providers
from tests.terraform.module import ROOT

COPIED = ("deploy/kubernetes", "functions", "terraform")
"""What the module and its tests read; Terraform leaves its own files beside it, so it works on a copy."""
NOT_COPIED = shutil.ignore_patterns("__pycache__", ".terraform*", "*.tfstate*", "*.tfvars")
INIT = ["init", "-backend=false"]
STEPS = (
    ("terraform", INIT),
    ("terraform", ["validate"]),
    ("terraform", ["test"]),
    ("terraform/examples/complete", INIT),
    ("terraform/examples/complete", ["validate"]),
    ("terraform/examples/complete", ["test"]),
)
STEP_SECONDS = 300


def main() -> int:
    """Prints what Terraform says; the exit status of the first step that fails, or 0."""
    prefix = "flinkjobs-terraform-"
    with tempfile.TemporaryDirectory(prefix=prefix) as directory, providers.running() as attached:
        for name in COPIED:
            shutil.copytree(ROOT / name, Path(directory) / name, ignore=NOT_COPIED)
        # As somebody who has just begun: the example's own values, and a main.py for each function.
        example = Path(directory) / "terraform" / "examples" / "complete"
        shutil.copy(example / "terraform.tfvars.example", example / "terraform.tfvars")
        shutil.copytree(Path(directory) / "functions", Path(directory) / "build")
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TF_")},
            "TF_REATTACH_PROVIDERS": attached,
            "TF_IN_AUTOMATION": "1",
            "TF_CLI_ARGS": "-no-color",
            "CHECKPOINT_DISABLE": "1",
        }
        for place, command in STEPS:
            done = subprocess.run(
                ["terraform", *command],
                cwd=Path(directory) / place,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                timeout=STEP_SECONDS,
            )
            if done.returncode or command is not INIT:
                sys.stdout.write(f"{place}: terraform {command[0]}\n{done.stdout.strip()}\n")
            if done.returncode:
                return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Runs Terraform itself over the module, its tests and its example, against doubles of the providers.

    python -m tests.terraform.run

Needs `terraform` 1.11 or newer on PATH, and neither the registry nor an account.
"""

from __future__ import annotations

import sys

from tests.terraform.workspace import workspace

INIT = ["init", "-backend=false"]
STEPS = (
    ("terraform", INIT),
    ("terraform", ["validate"]),
    ("terraform", ["test"]),
    ("terraform/examples/complete", INIT),
    ("terraform/examples/complete", ["validate"]),
    ("terraform/examples/complete", ["test"]),
)


def main() -> int:
    """Prints what Terraform says; the exit status of the first step that fails, or 0."""
    with workspace() as copy:
        for place, command in STEPS:
            done = copy.run(place, *command)
            if done.returncode or command is not INIT:
                sys.stdout.write(f"{place}: terraform {command[0]}\n{done.stdout.strip()}\n")
            if done.returncode:
                return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())

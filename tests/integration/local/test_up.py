"""What `make up` writes for another terminal."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from local.up import write_environment


def test_the_addresses_are_read_by_a_shell(tmp_path: Path) -> None:
    settings = {"JOBS_URL": "http://127.0.0.1:1", "SCHEDULER_PARENT": "projects/local/locations/here & there"}
    kubeconfig = tmp_path / "a folder" / "kubeconfig"
    stack: Any = SimpleNamespace(command_settings=settings, kubernetes=SimpleNamespace(kubeconfig=kubeconfig))
    file = tmp_path / "build" / "up.env"
    write_environment(stack, file)
    shown = 'printf "%s\\n" "$JOBS_URL" "$SCHEDULER_PARENT" "$KUBECONFIG" "$(command -v flinkjobs)"'
    done = subprocess.run(
        ["bash", "-euc", f"source {file}; {shown}"], capture_output=True, text=True, check=True
    )
    *values, command = done.stdout.splitlines()
    assert values == [*settings.values(), str(kubeconfig)]
    assert command.endswith("/.venv/bin/flinkjobs")

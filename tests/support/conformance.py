"""Runs a conformance script for Kubernetes API servers against the double; exits as the script does."""

from __future__ import annotations

import subprocess
import sys

from doubles.kubernetes.process import KubernetesDouble


def main(script: str) -> int:
    """Starts the double on a free port and runs `script URL --token TOKEN`."""
    with KubernetesDouble(run=False) as double:
        command = [sys.executable, script, double.url, "--token", double.token]
        return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

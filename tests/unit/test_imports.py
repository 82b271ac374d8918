"""What a cold start does not import."""

import subprocess
import sys
from pathlib import Path

CONNECTS = """
import sys
from flinkjobs import bootstrap
from flinkjobs.settings import read_settings
settings = {"MONGODB_URI": "mongodb://127.0.0.1", "K8S_AUTH": "kubeconfig", "KUBECONFIG": sys.argv[1]}
cluster = bootstrap._cluster(read_settings(settings))
import kubernetes
print(*(type(getattr(kubernetes, name)).__name__ for name in ("client", "config", "watch", "dynamic")))
print(kubernetes.watch.Watch.__name__, type(kubernetes.watch).__name__)
"""
KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: k, user: u}}]
clusters: [{name: k, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {token: t}}]
"""


def test_unused_parts_of_the_kubernetes_client_wait_until_they_are_used(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(KUBECONFIG, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", CONNECTS, str(kubeconfig)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        "module module _LazyModule _LazyModule",
        "Watch module",
    ]

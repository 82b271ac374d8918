"""The Flink of the local stack: a real session cluster, from packages, in an environment of its own."""

from local.flink.cluster import FlinkAddress, FlinkCluster, ask, flink
from local.flink.image import FlinkError, FlinkImage, installed_version, local_image, names_other_client

__all__ = [
    "FlinkAddress",
    "FlinkCluster",
    "FlinkError",
    "FlinkImage",
    "ask",
    "flink",
    "installed_version",
    "local_image",
    "names_other_client",
]

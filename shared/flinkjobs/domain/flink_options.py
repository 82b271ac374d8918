"""Options of Flink that `flink run` may be given."""

from __future__ import annotations

import re
from typing import Final

FORBIDDEN_CONF: Final = (
    (re.compile(r"^(\$|internal\.)"), "is internal to Flink"),
    (re.compile(r"^pipeline\.name$"), "is how the record finds its job: the submitter sets it"),
    (
        re.compile(
            r"^(jobmanager\.rpc\.|rest\.(address|port|bind|path|url)|(jobmanager\.)?web\.(address|port))"
        ),
        "would move the JobManager's address: the cluster decides on it",
    ),
    (
        re.compile(r"^(high-availability|recovery\.)"),
        "would look up the JobManager's address elsewhere: the cluster decides on it",
    ),
    (
        re.compile(r"^(execution\.target$|kubernetes\.|yarn\.)"),
        "would submit to another kind of cluster: jobs run on the session clusters of the settings",
    ),
    (
        re.compile(r"^execution\.(attached|shutdown-on-attached-exit)$"),
        "is decided by the field attached",
    ),
)
"""Keys of `flink_conf` that neither a request nor a cluster of the settings may set, and why.

Former names of an option count as the option.
https://nightlies.apache.org/flink/flink-docs-stable/docs/deployment/config/
"""

CONF_KEY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")
"""A name of Flink's options; those that begin with a dollar sign are internal."""

"""Make the environments which the project needs: ``python3 -m local.prepare env|flink``.

``env``
    ``.venv``: the pinned development requirements, and the project itself, editable.
``flink``
    ``.venv-flink``: Flink, PyFlink and a Java runtime, with a Python between 3.9 and 3.11.

An environment is whole when its marker file holds the fingerprint of everything it was made from; anything
else is made anew, from nothing. Two calls at the same time do the work once. A call that has nothing to do
says nothing and takes a moment.

This runs before anything is installed: standard library only, and a syntax that an old Python can read well
enough to be told that it is too old.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable, Iterator, List, Optional, Sequence, Tuple  # noqa: UP035 readable to an old Python

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv"
ENVIRONMENT_REQUIREMENTS = ROOT / "requirements" / "dev.txt"
FLINK_ENVIRONMENT = ROOT / ".venv-flink"
FLINK_REQUIREMENTS = ROOT / "local" / "flink" / "requirements.txt"
OLDEST_PYTHON = (3, 11)
FLINK_PYTHONS = ((3, 11), (3, 10), (3, 9))
"""Versions which apache-flink 1.20 supports, the best one first (its package metadata)."""
MARKER = "complete"
SHOWN_LINES = 20
PROBE = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
"""Prints the version of a Python that can make environments; Debian splits ensurepip off, so it is asked."""

"""Names whose values are secrets."""

from __future__ import annotations

import re
from typing import Final

SECRET_NAME: Final = re.compile(
    r"password|passwd|passphrase|pwd|secret|token|credential|auth-params|basic-auth|jaas\.config|http-headers"
    r"|signature|(?:^|[._-])sig$"
    r"|(?:^|[._-]|access|account|service|api)key(?![a-z])",
    re.IGNORECASE,
)
"""Those which Flink's own pages hide, because they contain one of the words of
`GlobalConfiguration.SENSITIVE_KEYS` in any case (as of Flink 1.20), and every kind of key in addition."""

"""Names of checkpoints: what was trained with other settings or data has another one."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def fingerprint(*settings: Any) -> str:
    """Return eight digits that tell settings apart.

    Parameters
    ----------
    *settings : mappings, sequences, strings and numbers

    Examples
    --------
    >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1}) != fingerprint({"a": 1})
    True
    """
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]

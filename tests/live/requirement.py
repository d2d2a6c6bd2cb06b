"""What a test needs of the machine: said when it is missing, and insisted on in CI."""

from __future__ import annotations

import os

import pytest

from scripts import counterparts


def need(*parts: str) -> None:
    """Skip with a reason when a counterpart is not installed; fail where CI is true."""
    missing = [part for part in parts if not counterparts.is_installed(part)]
    if not missing:
        return
    reason = f"not installed: python -m scripts.counterparts {' '.join(missing)}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)

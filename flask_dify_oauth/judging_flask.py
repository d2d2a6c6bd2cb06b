"""Judges Flask's own keys, as far as our protections hang on them; see :mod:`.judging`."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["judge_secret_key", "judge_session_cookie"]

#: Values of SECRET_KEY that stand in tutorials and sample files.
_WELL_KNOWN = frozenset(
    {
        "sk-9f73s3ljTXVcMT3Blb3ljTqtsKiGHXVcMT3BlbkFJLK7U",
        "192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf",
        '_5#y2L"F4Q8z\n\xec]/',
        "your-secret-key",
        "change-me-change-me-change-me-change-me",
    }
)
_NEW_KEY = (
    "make one with: python -c 'import secrets; print(secrets.token_hex(32))'"
    " and keep it the same on every worker"
)


def judge_secret_key(value: object) -> bytes:
    """Flask's own key must be long and not from a tutorial: everything sealed hangs on it."""
    if isinstance(value, str):
        key = value.encode()
    elif isinstance(value, bytes):
        key = value
    else:
        raise ValueError(f"is {type(value).__name__}; {_NEW_KEY}")
    if not key:
        raise ValueError(f"is not set; {_NEW_KEY}")
    if key in {known.encode() for known in _WELL_KNOWN}:
        raise ValueError(f"is a published sample value; {_NEW_KEY}")
    if len(key) < 32:
        raise ValueError(f"has {len(key)} bytes, fewer than 32; {_NEW_KEY}")
    if len(set(key)) < 8:
        raise ValueError(f"has fewer than 8 different characters; {_NEW_KEY}")
    return key


def judge_session_cookie(config: Mapping[str, object]) -> list[str]:
    """Sentences on what in Flask's own keys takes the session cookie's protections away."""
    problems = []
    if config.get("SESSION_COOKIE_SAMESITE") not in (None, "Lax"):
        problems.append(
            "SESSION_COOKIE_SAMESITE is not Lax; remove it (Strict breaks the way back from the"
            " provider, None lets other sites act for the person)."
        )
    if config.get("SESSION_COOKIE_DOMAIN"):
        problems.append("SESSION_COOKIE_DOMAIN hands the session to other hosts; remove it.")
    if config.get("SESSION_COOKIE_HTTPONLY") is False:
        problems.append("SESSION_COOKIE_HTTPONLY is False; remove it.")
    if config.get("SESSION_COOKIE_PATH") not in (None, "/"):
        problems.append("SESSION_COOKIE_PATH is not /; remove it.")
    return problems

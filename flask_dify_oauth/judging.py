"""Judges single values of the configuration.

Each function returns the value in its final type or raises :class:`ValueError` with the second
half of a sentence that begins with the key: what is wrong, and what to write instead.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from .store_urls import parse_store_url

__all__ = [
    "ALGORITHMS",
    "PROOF_ALGORITHMS",
    "is_loopback_host",
    "judge_algorithms",
    "judge_cache",
    "judge_choice",
    "judge_count",
    "judge_flag",
    "judge_issuer",
    "judge_parameters",
    "judge_prefix",
    "judge_scope_names",
    "judge_scopes",
    "judge_seconds",
    "judge_store",
    "judge_text",
    "judge_url",
    "judge_words",
]

#: Signature algorithms that may be allowed: asymmetric ones alone (RFC 8725, section 3.1).
ALGORITHMS = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512",
    "ES256", "ES384", "ES512", "EdDSA", "Ed25519",
)  # fmt: skip

#: Those that clients may sign DPoP proofs with.
PROOF_ALGORITHMS = ("ES256", "ES384", "ES512", "EdDSA", "Ed25519", "PS256", "RS256")

#: What the package itself puts into an authorization request, and what would undo it.
_OWN_PARAMETERS = frozenset(
    {
        "client_id",
        "client_secret",
        "code",
        "code_challenge",
        "code_challenge_method",
        "code_verifier",
        "nonce",
        "redirect_uri",
        "request",
        "request_uri",
        "response_mode",
        "response_type",
        "scope",
        "self",
        "state",
        "uri",
        "url",
    }
)
_CONTROL = re.compile(r"[\x00-\x20\x7f\\]")
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749, section 3.3


def is_loopback_host(host: str) -> bool:
    """Whether a host name can only mean this machine."""
    host = host.lower().rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def judge_text(value: object) -> str:
    # from_prefixed_env() reads JSON, so that an id of digits alone arrives as an int.
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise ValueError(
            f"is {type(value).__name__}; write text (quote it: '\"…\"' in the environment)"
        )
    if not value.strip():
        raise ValueError("is empty; write a value or leave the key out")
    if value != value.strip() or "\x00" in value:
        raise ValueError("has white space around it; remove it")
    # What stands for bytes of the environment that are no UTF-8 can be sent to nobody.
    if re.search(r"[\ud800-\udfff]", value):
        raise ValueError("has bytes in it that are no UTF-8; write it anew")
    return value


def judge_url(value: object, *, query: bool = False) -> str:
    """An absolute https address; http on loopback alone."""
    text = judge_text(value)
    if _CONTROL.search(text):
        raise ValueError("has a character that no address may have; write it percent-encoded")
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("is no address; write it like https://login.example.com") from None
    if parts.scheme not in ("https", "http") or not host:
        raise ValueError("is no web address; write it like https://login.example.com")
    if "@" in parts.netloc:
        raise ValueError("has a user name or password in it; write the address alone")
    if parts.fragment or text.endswith("#") or (not query and "?" in text):
        raise ValueError("has a query or fragment; end it before the ? or #")
    if parts.scheme == "http" and not is_loopback_host(host):
        raise ValueError("is plain http outside this machine; write https://…")
    return parts.scheme + text[len(parts.scheme) :]  # a scheme is written in lower case


def judge_issuer(value: object) -> str:
    """An issuer: an address, and not that of its metadata (OpenID Connect Discovery, section 4)."""
    text = judge_url(value)
    if "/.well-known/" in text:
        raise ValueError("is the address of its metadata; end it before /.well-known")
    return text


def judge_flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false", "1", "0", "yes", "no"):
        return value.lower() in ("true", "1", "yes")
    if value in (0, 1):
        return bool(value)
    raise ValueError(f"is {value!r}; write True or False")


def judge_seconds(value: object, *, least: float, most: float) -> float:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise ValueError(f"is {value!r}; write a number of seconds") from None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"is {value!r}; write a number of seconds")
    if not least <= value <= most:
        raise ValueError(f"is out of range; write a number of seconds from {least} to {most}")
    return float(value)


def judge_count(value: object, *, most: int) -> int:
    if isinstance(value, str) and re.fullmatch(r"\d{1,9}", value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise ValueError(f"is {value!r}; write a whole number from 1 to {most}")
    return value


def judge_words(value: object) -> tuple[str, ...]:
    """A list of texts, or one text with spaces or commas between the words."""
    if isinstance(value, str):
        value = value.replace(",", " ").split()
    if not isinstance(value, (list, tuple, set, frozenset)):
        raise ValueError(f"is {type(value).__name__}; write a list of texts")
    words = tuple(sorted(value, key=str) if isinstance(value, (set, frozenset)) else value)
    if not words or not all(isinstance(word, str) and word.strip() for word in words):
        raise ValueError("is empty or has an empty entry; name at least one, or leave the key out")
    return words


def judge_scopes(value: object) -> tuple[str, ...]:
    words = judge_scope_names(value)
    if "openid" not in words:
        raise ValueError("lacks 'openid'; add it, or the provider sends no ID token")
    return words


def judge_scope_names(value: object) -> tuple[str, ...]:
    words = judge_words(value)
    if bad := [word for word in words if not _SCOPE.fullmatch(word)]:
        raise ValueError(f"has {bad[0]!r}, which is no scope; write words like 'openid profile'")
    return tuple(dict.fromkeys(words))


def judge_algorithms(value: object) -> tuple[str, ...]:
    words = judge_words(value)
    for word in words:
        if word not in ALGORITHMS:
            raise ValueError(
                f"has {word!r}, which is not allowed; choose from {', '.join(ALGORITHMS)}"
            )
    return words


def judge_choice(value: object, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ValueError(f"is {value!r}; choose from {', '.join(choices)}")
    return str(value)


def judge_parameters(value: object) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise ValueError(f"is {type(value).__name__}; write a dictionary of names and texts")
    result = {}
    for name, item in value.items():
        if name in _OWN_PARAMETERS:
            raise ValueError(f"sets {name!r}, which the package itself decides; remove it")
        if not isinstance(name, str) or isinstance(item, bool) or not isinstance(item, (str, int)):
            raise ValueError(f"has {name!r}: {type(item).__name__}; write texts")
        result[name] = str(item)
    return result


def judge_prefix(value: object) -> str:
    if value == "" or value == "/":
        return ""
    text = judge_text(value)
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", text) or "/." in text:
        raise ValueError(f"is {text!r}; write a path like /auth, without a slash at its end")
    return text


def judge_store(value: object) -> str:
    text = judge_text(value)
    parse_store_url(text)
    return text


def judge_cache(value: object) -> int:
    """How many sessions are kept in each process: a number, True for 10,000, False for none."""
    if isinstance(value, str) and re.fullmatch(r"\d{2,8}", value):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 1 < value <= 10_000_000:
        return value
    try:
        return 10_000 if judge_flag(value) else 0
    except ValueError:
        raise ValueError(
            f"is {value!r}; write True, False or a number of sessions up to 10000000"
        ) from None

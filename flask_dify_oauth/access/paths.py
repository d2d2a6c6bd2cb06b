"""What servers make of a path: read in one way, or refused.

Servers differ in what they make of ``//``, ``..``, ``;``, ``%2f``, ``\\`` and capitals. A rule that
is asked about one path while another one is served is no rule. Nothing in here knows Flask.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote_to_bytes

__all__ = [
    "AmbiguousPath",
    "check_path",
    "fold",
    "is_plain",
    "path_of_target",
    "readings",
    "segments_of",
]

#: what no path has that every server reads alike: controls, backslashes, bytes that are no UTF-8,
#: and what is still percent-encoded after decoding
_REFUSED = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffd\ud800-\udfff\\]|%[0-9A-Fa-f]{2}"
)
#: segments that all servers read alike, but for capitals: plain characters, with dots and spaces
#: between them alone, and whole numbers in their shortest form
_CHARACTER = r"[!\"$&'()*+,\-0-9:<=>@A-Z\[\]^_`a-z{|}~]"
_LONG_NUMBER = r"(?:-0|0[0-9])[0-9]*+(?:/|\Z)"
_PLAIN = re.compile(rf"/(?:(?!{_LONG_NUMBER}){_CHARACTER}++(?:[. ]++{_CHARACTER}++)*+(?:/|\Z))*+\Z")
#: Characters of a path in other letters than ASCII's: putting marks in order takes the square of
#: their number, and servers take paths of a hundred thousand.
_MOST_LETTERS = 4096


class AmbiguousPath(ValueError):
    """Servers may read this path in more than one way."""


def path_of_target(target: str) -> str:
    """The path of a request target as it came over the wire (RFC 9112, section 3.2), decoded once.

    The query is left out: it decides nothing.

    :raises AmbiguousPath: when it is no path, or has what some servers alone take for a slash.
    """
    origin = re.match(r"(?i)https?://[^/?#\\]*", target)
    raw = target[origin.end() if origin else 0 :].partition("?")[0]
    if origin and not raw:
        raw = "/"
    if not raw.startswith("/") or re.search(r"[^!-~]|#|%(?![0-9A-Fa-f]{2})", raw):
        raise AmbiguousPath("the request target is no path")
    if re.search(r"(?i)%2f|%5c", raw):
        raise AmbiguousPath("a slash is percent-encoded")
    try:
        return unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        raise AmbiguousPath("the path is no UTF-8") from None


def segments_of(path: str) -> list[str]:
    """The parts of a path; one slash at its end makes no difference."""
    return path[1:].removesuffix("/").split("/") if path != "/" else []


def is_plain(path: str) -> bool:
    """Whether all servers read a path alike, but for capitals."""
    return _PLAIN.match(path) is not None


def check_path(path: str) -> None:
    """Refuse what has no one reading at all.

    :param path: decoded once.
    :raises AmbiguousPath: for it.
    """
    if not path.startswith("/"):
        raise AmbiguousPath("the path begins with no slash")
    if found := _REFUSED.search(path):
        raise AmbiguousPath(f"the path has {found[0]!r} in it")
    for segment in segments_of(path):
        if segment.strip() in ("", ".", ".."):
            raise AmbiguousPath(f"the path has the segment {segment!r}")


def readings(path: str) -> set[str]:
    """What servers may take a path for, itself included: each way, and all combinations.

    :raises AmbiguousPath: where one of them is nothing that can be judged.
    """
    import unicodedata

    if len(path) > _MOST_LETTERS and not path.isascii():
        raise AmbiguousPath(f"the path has {len(path)} characters, some of them not ASCII")
    ways: tuple[Callable[[str], str], ...] = (
        lambda form: unicodedata.normalize("NFKC", form),  # full-width slashes and dots
        lambda form: re.split(r"[?#]", form, maxsplit=1)[0],
        lambda form: re.sub(r";[^/]*", "", form),  # parameters, as Java's servers have them
        lambda form: re.sub(r"(?<![. ])[. ]+(?=/|$)", "", form),  # as Windows does
    )
    forms = {path}
    for way in ways:
        forms |= {way(form) for form in forms}
    for form in forms:
        check_path(form)
    return forms


def fold(text: str) -> str:
    """Without the differences that a server may pass over: capitals, forms of characters, numbers.

    A route with ``<int:id>`` takes ``/007`` and ``/٧`` for ``/7``.
    """
    if not text.isascii():
        import unicodedata

        text = unicodedata.normalize("NFKC", text)
    return "/".join(map(_shortest, text.lower().split("/")))


def _shortest(segment: str) -> str:
    """A whole number without zeros in front, in ASCII; all else as it is."""
    digits = segment.removeprefix("-")
    if not digits.isdecimal():
        return segment
    shortest = "".join(str(int(digit)) for digit in digits).lstrip("0")
    return segment.removesuffix(digits) + shortest if shortest else "0"

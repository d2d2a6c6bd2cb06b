"""A table of patterns of paths, and what the first that fits leads to. Knows no Flask."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import compress
from operator import ne
from typing import Generic, NamedTuple, TypeVar

from .paths import AmbiguousPath, check_path, fold, is_plain, readings, segments_of

__all__ = ["PathTable", "Pattern", "Row", "parse_pattern"]

T = TypeVar("T")


class Pattern(NamedTuple):
    """Which paths a row is about."""

    #: each a text, or ``*`` for any one segment
    segments: tuple[str, ...]
    #: whether any number of segments may follow
    rest: bool

    def covers(self, other: Pattern) -> bool:
        """Whether every path of the other is one of this too."""
        mine, theirs = len(self.segments), len(other.segments)
        if theirs < mine or (not self.rest and (other.rest or theirs > mine)):
            return False
        pairs = zip(self.segments, other.segments, strict=False)
        return all(segment in ("*", another) for segment, another in pairs)

    def folded(self) -> Pattern:
        """The pattern of folded paths; see :func:`fold`."""
        return Pattern(tuple(map(fold, self.segments)), self.rest)

    def __str__(self) -> str:
        return "/" + "/".join((*self.segments, "**") if self.rest else self.segments)


def parse_pattern(text: object) -> Pattern:
    """Read a pattern: ``/notes``, ``/notes/*/share``, ``/admin/**``.

    A slash at its end makes no difference, and ``/admin/**`` is about ``/admin`` too.

    :raises ValueError: with the second half of a sentence that begins with the key.
    """
    if not isinstance(text, str) or not text.startswith("/"):
        raise ValueError(f"has {text!r}, which is no path; write one like '/notes/**'")
    if re.search(r"[%;?#]", text):
        raise ValueError(f"has {text!r} with one of % ; ? # in it; write the decoded path alone")
    segments = segments_of(text)
    rest = segments[-1:] == ["**"]
    if rest:
        segments.pop()
    if any("*" in segment and segment != "*" for segment in segments):
        raise ValueError(
            f"has {text!r}; write * for one whole segment, and ** at the end for all below"
        )
    try:
        check_path(text)
    except AmbiguousPath as error:
        raise ValueError(f"has {text!r}, which no request fits: {error}; correct it") from None
    return Pattern(tuple(segments), rest)


class Row(NamedTuple, Generic[T]):
    """One line of a table: which paths, by which methods, lead to what."""

    pattern: Pattern
    #: in capitals, GET for HEAD too; None for every method
    methods: frozenset[str] | None
    value: T


class PathTable(Generic[T]):
    """Finds the first row that a method and a path fit.

    A path that may be read in several ways counts only where all of them lead to the same value.

    :param rows: in the order in which they count.
    """

    def __init__(self, rows: Sequence[Row[T]]) -> None:
        folded = [row._replace(pattern=row.pattern.folded()) for row in rows]
        self._exact = _tree(rows)
        self._folded = self._exact if folded == list(rows) else _tree(folded)
        self._words = {word for row in folded for word in row.pattern.segments}

    def find(self, method: str, path: str) -> T | None:
        """The value of the first row that fits; None where none does.

        :param method: in any case.
        :param path: decoded once, without a query, as an application routes it.
        :raises AmbiguousPath: where another reading of the path leads to another value.
        """
        method = method.upper()
        if method == "HEAD":
            method = "GET"
        plain = is_plain(path)
        if not plain:
            check_path(path)
        segments = segments_of(path)
        found = self._exact.first(method, segments)
        if found is None:
            return None  # no other reading can open less
        if plain:
            lowered = path.lower()
            if self._folded is self._exact and (
                lowered == path or self._same_to_all(segments, segments_of(lowered))
            ):
                return found[1]
            forms: Iterable[str] = (lowered,)
        else:
            forms = map(fold, readings(path))
        for form in forms:
            other = self._folded.first(method, segments_of(form))
            if other is None or other[1] is not found[1]:
                raise AmbiguousPath("the path may be read as one of another rule")
        return found[1]

    def _same_to_all(self, segments: list[str], lowered: list[str]) -> bool:
        """Whether the capitals stand where no pattern has a word, as in the id of something."""
        return self._words.isdisjoint(compress(lowered, map(ne, lowered, segments)))


class _Choice(Generic[T]):
    """Rows of one place in the tree: the first for each method, with its place in the order."""

    __slots__ = ("by_method", "otherwise")

    def __init__(self) -> None:
        self.by_method: dict[str, tuple[int, T]] = {}
        self.otherwise: tuple[int, T] | None = None

    def add(self, methods: frozenset[str] | None, entry: tuple[int, T]) -> None:
        """Add an entry that comes after all others."""
        if methods is None:
            self.otherwise = self.otherwise or entry
        else:
            for method in methods:
                self.by_method.setdefault(method, self.otherwise or entry)


class _Node(Generic[T]):
    """A place in the tree of all patterns."""

    __slots__ = ("any", "children", "ends", "rest")

    def __init__(self) -> None:
        self.children: dict[str, _Node[T]] = {}
        self.any: _Node[T] | None = None
        #: for paths that end here
        self.ends: _Choice[T] | None = None
        #: for paths that end here, or go on
        self.rest: _Choice[T] | None = None

    def first(self, method: str, segments: Iterable[str]) -> tuple[int, T] | None:
        """The entry of a path that comes first in the order."""
        choices: list[_Choice[T]] = []
        nodes: list[_Node[T]] = [self]
        for segment in segments:
            below = []
            for node in nodes:
                if node.rest is not None:
                    choices.append(node.rest)
                if (child := node.children.get(segment)) is not None:
                    below.append(child)
                if node.any is not None:
                    below.append(node.any)
            nodes = below
            if not nodes:
                break
        for node in nodes:
            choices += [choice for choice in (node.ends, node.rest) if choice is not None]
        best: tuple[int, T] | None = None
        for choice in choices:
            entry = choice.by_method.get(method, choice.otherwise)
            if entry is not None and (best is None or entry[0] < best[0]):
                best = entry
        return best


def _tree(rows: Iterable[Row[T]]) -> _Node[T]:
    root: _Node[T] = _Node()
    for order, row in enumerate(rows):
        node = root
        for segment in row.pattern.segments:
            if segment == "*":
                node.any = node.any or _Node()
                node = node.any
            else:
                node = node.children.setdefault(segment, _Node())
        if row.pattern.rest:
            choice = node.rest = node.rest or _Choice()
        else:
            choice = node.ends = node.ends or _Choice()
        choice.add(row.methods, (order, row.value))
    return root

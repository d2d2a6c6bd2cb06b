"""How a case is written down: one row of the acceptance tables, one thing that is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import pytest

from .behaviour import Behaviour
from .scene import Scene

#: the endpoints that no refused sign-in may have touched beyond these numbers
_ENDPOINTS = {"discovery", "jwks", "token", "userinfo", "authorize"}


@dataclass(frozen=True)
class Case:
    """``row-what`` names it; ``be`` is what the provider does, by members of its behaviour."""

    name: str
    be: Mapping[str, Any] = field(default_factory=dict)
    #: None: the person is signed in
    status: int | tuple[int, ...] | None = 400
    code: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    #: the most requests that each endpoint may get
    most: Mapping[str, int] = field(default_factory=dict)
    #: what the log's line must say
    says: str = ""


F = TypeVar("F", bound=Callable[..., None])


def cases(found: list[Case]) -> Callable[[F], F]:
    """The decorator that runs a test with each of these."""
    names = [case.name for case in found]
    assert len(set(names)) == len(names), sorted({n for n in names if names.count(n) > 1})
    known = set(Behaviour.__dataclass_fields__)
    assert all(set(case.be) <= known for case in found)
    mark = pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in found])
    return cast("Callable[[F], F]", mark)


def play(case: Case, make: Callable[..., Scene], path: str = "/private") -> Scene:
    """Sign in while the provider does wrong, and judge what came of it."""
    stage = make(**case.config)
    stage.op.be(**case.be)
    answer = stage.sign_in(path)
    if case.status is None:
        stage.assert_signed_in(answer)
    else:
        stage.assert_refused(answer, status=case.status, code=case.code)
        assert case.says in stage.log.text, stage.log.text
        # A code is redeemed once, whatever happens, and never where the start was refused.
        assert stage.op.count("token") <= 1
        assert stage.op.count("userinfo") <= 1
    for endpoint, most in case.most.items():
        assert stage.op.count(endpoint) <= most, (endpoint, stage.op.asked)
    strange = {asked.endpoint for asked in stage.op.asked} - _ENDPOINTS
    assert not strange, strange
    return stage

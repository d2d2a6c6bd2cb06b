"""A type checker sees guarded views as they were, and ``current_user`` as an ``Identity``."""

from __future__ import annotations

from pathlib import Path

from mypy import api

#: Under --strict an ignore that ignores nothing is an error: the mistakes below must be seen.
PROGRAM = """
from collections.abc import Callable, Coroutine
from typing import Any, assert_type
from flask_dify_oauth import Identity, current_user, login_required
from flask.views import MethodView

@login_required
def plain(number: int, word: str) -> list[str]:
    return [word] * number

@login_required()
async def later(number: int) -> bytes:
    return b"" * number

@login_required
class Page(MethodView):
    def get(self) -> str:
        return current_user.name

assert_type(plain(1, word="x"), list[str])
_ = assert_type(later(1), Coroutine[Any, Any, bytes])
assert_type(Page().get(), str)
assert_type(current_user, Identity)
assert_type(current_user.groups, tuple[str, ...])
assert_type(current_user.auth_time, int | None)
plain("x", "y")  # type: ignore[arg-type]
plain(1)  # type: ignore[call-arg]
login_required(1)  # type: ignore[call-overload]
current_user.name = "Bob"  # type: ignore[misc]
current_user.nothing  # type: ignore[attr-defined]
"""


def test_types_pass_through_the_guard(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    # With the usual cache: most of what is checked here was checked before.
    assert api.run(["--strict", "--no-error-summary", str(program)]) == ("", "", 0)

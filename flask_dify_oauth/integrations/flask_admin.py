"""Flask-Admin: views that only people with a role open."""

from __future__ import annotations

from typing import Any

from flask import Response

from ..access import guards
from ..access.identity import current_identity
from ..errors import Forbidden

__all__ = ["RoleRequired"]


class RoleRequired:
    """Put it first among the bases of a view, of the index view too::

        class Notes(RoleRequired, ModelView):
            required_roles = ("editor", "admin")  # one of them is enough

    Others see neither the pages nor their entries in the menu. Without ``required_roles`` nobody
    gets in.
    """

    required_roles: tuple[str, ...] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        given: object = cls.required_roles
        if isinstance(given, str):  # each letter of it would be a role
            raise TypeError(
                f"required_roles of {cls.__name__} is a text; write a tuple like ('editor',)"
            )
        asked = next(base for base in cls.__mro__ if "is_accessible" in vars(base))
        if asked.__module__.startswith("flask_admin."):  # it lets everybody in
            raise TypeError(
                f"{cls.__name__} has {asked.__name__} before RoleRequired; put that first among"
                " the bases"
            )

    def is_accessible(self) -> bool:
        """Whether this request's person may use the view."""
        if not current_identity() or guards.turned_away() is not None:
            return False
        # Asked for anew: what the provider just said of the person counts.
        return any(current_identity().has_role(role) for role in self.required_roles)

    def inaccessible_callback(self, name: str, **kwargs: Any) -> Response:
        """The way to sign in for people unknown, 403 for all others."""
        if (answer := guards.turned_away()) is not None:
            return answer
        raise Forbidden(f"{type(self).__name__} asks for one of: {', '.join(self.required_roles)}")

"""Gives the tests of this folder their fixtures."""

from .fixtures import (
    alice,
    bob,
    keycloak,
    npm_provider,
    portal_at,
    portal_here,
    provider,
    workers_at,
    workers_here,
)

__all__ = [
    "alice",
    "bob",
    "keycloak",
    "npm_provider",
    "portal_at",
    "portal_here",
    "provider",
    "workers_at",
    "workers_here",
]

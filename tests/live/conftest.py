"""Gives the tests of this folder their fixtures."""

from .fixtures import alice, bob, keycloak, npm_provider, portal_at, portal_here, provider

__all__ = ["alice", "bob", "keycloak", "npm_provider", "portal_at", "portal_here", "provider"]

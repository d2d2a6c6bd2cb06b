"""A demonstration: a portal, and an embedded identity provider for it and for the test-suite.

The provider lets anybody in as anybody. It answers on loopback only and keeps nothing.

    with running_provider([DemoClient("portal", "secret", [...])]) as provider:
        provider.issuer, provider.hits["token"], provider.rotate_keys()
"""

from .accounts import ACCOUNTS, Account, DemoClient
from .provider import DemoProvider, create_provider, running_provider
from .server import serve

__all__ = [
    "ACCOUNTS",
    "Account",
    "DemoClient",
    "DemoProvider",
    "create_provider",
    "running_provider",
    "serve",
]

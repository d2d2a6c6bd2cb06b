"""No test of this room asks a real name server."""

from __future__ import annotations

import socket
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Names and their addresses; whatever else is not an address is unknown."""
    known = {"id.example.com": "93.184.216.34", "inside.example.com": "10.1.2.3"}
    real = socket.getaddrinfo

    def look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        address = known.get(host, host)
        if ":" in address or address.replace(".", "").isdigit():
            return real(address, *args, **kwargs)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return known

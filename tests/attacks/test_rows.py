"""Every row of the acceptance tables that belongs to signing in has a test that names it."""

from __future__ import annotations

import re
from pathlib import Path

RELYING_PARTY = [
    *(f"AR{n}" for n in range(1, 7)), "CB1", "CB2", "CB4", "CB5", "TK1", "TK2", "TK4", "TK5", "TK6",
    *(f"ID{n}" for n in range(1, 16)), "UI1", "UI2", "UI3", "UI4", "DI1", "DI2", "DI3", "DI4",
    "LO1", "LO2", "LO3", "BC1", "BC2", "BC3", "BC4", "FC1",
]  # fmt: skip
#: not of a sign-in: refresh (A52), bearer caches (A53-A56), emergency access (A66-A68),
#: operations (A97); there are no chunked cookies (A41)
ATTACKS = [
    *range(1, 13), *range(33, 41), *range(42, 52), *range(57, 66), *range(69, 88),
    *range(88, 97), *range(98, 102), *range(14, 17), 19, *range(22, 29), 31, 32,
]  # fmt: skip


def test_every_row_is_named() -> None:
    sources = "".join(
        file.read_text()
        for file in Path(__file__).parent.glob("test_*.py")
        if file.name != Path(__file__).name
    )
    found = re.findall(r"(?i)(?<![a-z0-9])([a-z]{1,2}\d{1,3})(?![a-z0-9])", sources)
    named = {row.upper() for row in found}
    wanted = [*RELYING_PARTY, *(f"A{number}" for number in ATTACKS)]
    assert not [row for row in wanted if row not in named]

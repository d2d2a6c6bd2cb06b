"""``python -m benchmarks.rules``: what one decision of 200 path rules costs.

Stands alone: it needs the package and nothing else, and prints a table.
"""

from __future__ import annotations

import platform
import sys
import timeit

from flask_dify_oauth import Identity
from flask_dify_oauth.access.policy import Policy, parse_rules

#: microseconds that a decision may take
GOAL = 5.0
_NUMBER = 2000
#: What only odd paths cost is no part of the goal.
ODD = "parameters"

WHO = Identity(
    issuer="https://id.example.com",
    subject="a1",
    roles=("editor", "reader"),
    groups=tuple(f"/staff/{number}" for number in range(20)),
)
REQUESTS = {
    "a path": ("GET", "/page42"),
    "below a segment": ("GET", "/team7/notes/1234/edit"),
    "everything below": ("POST", "/area43/a/deep/page/of/it"),
    "capitals in an id": ("GET", "/team7/notes/AbC/edit"),
    "the last rule": ("GET", "/elsewhere/at/all"),
    ODD: ("GET", "/area7/a;x=1/page"),
}


def make_rules() -> Policy:
    """200 rules of four kinds, as a large application might have."""
    rules = []
    for number in range(49):
        rules += [
            {"path": f"/page{number}", "who": "signed-in"},
            {"path": f"/team{number}/notes/*/edit", "roles": ["editor", "owner"]},
            {"path": f"/area{number}/**", "methods": ["GET"], "groups": [f"/staff/{number}"]},
            {"path": f"/area{number}/**", "roles": ["editor"]},
        ]
    rules += [{"path": f"/{word}/**", "who": "anyone"} for word in ("static", "help", "about")]
    rules.append({"path": "/**", "who": "signed-in"})
    found, problems = parse_rules(rules)
    assert not problems, problems
    assert len(found) == 200
    return Policy(found)


def measure(rounds: int = 40) -> dict[str, float]:
    """Microseconds of a decision, the person's roles included, for each kind of path.

    Of many rounds the fastest: the work is always the same, and other load only ever adds to it.
    """
    policy = make_rules()
    found = {}
    for name, (method, path) in REQUESTS.items():
        assert policy.refusal(method, path, WHO) is None, name

        def decide(method: str = method, path: str = path) -> None:
            policy.refusal(method, path, WHO)

        best = min(timeit.repeat(decide, number=_NUMBER, repeat=rounds))
        found[name] = best / _NUMBER * 1e6
    return found


def main() -> int:
    print(f"One decision of 200 path rules, µs ({platform.python_version()}, goal {GOAL:g})")
    found = measure()
    for name, cost in found.items():
        print(f"  {name:20}{cost:6.2f}   {REQUESTS[name][1]}")
    return int(max(cost for name, cost in found.items() if name != ODD) > GOAL)


if __name__ == "__main__":
    sys.exit(main())

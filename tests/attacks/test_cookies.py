"""Cookies that are garbage, doubled, swapped, or of another application."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .conftest import MakeScene
from .test_sessions import cookie_of, jar_of, me, signed_in


def garbage(real: str) -> Iterator[str]:
    """A22, A42, A43: cookie headers that are not the one header that was given."""
    yield from ("session=", "session", "=", ";", "", ";;;;", "session==", "session=\x00", "a=b")
    yield from (
        f"session={real[:-1]}",
        f"session={real}A",
        f"session={real[1:]}",
        f"session= {real[:-2]} x",
    )
    yield from (f"session={real.swapcase()}", f"session={real[:-1]}!", f"session={real}.{real}")
    yield from (
        f"session={real}; session=x",
        f"session=x; session={real}",
        f"session={real}; session={real}",
    )
    yield from (
        f"session=; session={real}",
        f"session={real}; session=",
        f"session={real}; session",
    )
    yield from (
        f"=session={real}",
        f"={real}",
        f"==session={real}",
        f"Session={real}",
        f"SESSION={real}",
    )
    yield from (f"__Host-session={real}", f"__Secure-session={real}", f"session\x00={real}")
    yield from (
        f"xsession={real}",
        f"session.={real}",
        f"session[]={real}",
        f"sessio={real}",
        f"session_={real}",
    )
    yield from (f"session=%{ord(real[0]):02x}{real[1:]}", f"session=\\{ord(real[0]):03o}{real[1:]}")
    yield from ("session=" + "A" * 43, "session=" + "-" * 43, "session=" + "A" * 100_000)
    yield from ("session=" + "../" * 14 + "x", "session=' OR 1=1 --" + "x" * 30, "session=ü" * 43)
    yield from ("session=\xff\xfe", "session=eyJhbGciOiJub25lIn0.e30.", "session=" + "A=" * 5000)
    yield from ("; ".join(f"c{n}=v" for n in range(2000)), "session=\t" + "\t" * 42)
    yield f'session="{real[:-1]}'
    yield f'session="{real}" x'


def test_a22_a42_a43_garbage_in_the_cookie_header(scene: MakeScene) -> None:
    stage = signed_in(scene)
    real = cookie_of(stage)
    assert me(stage, f"session={real}").status_code == 200
    assert me(stage, f"a=b; session={real}; c=d").status_code == 200
    for header in garbage(real):
        answer = me(stage, header)
        assert answer.status_code == 401, (header[:80], answer.status_code)
        assert answer.get_json()["error"] == "not_signed_in"
    assert stage.browser.signed_in  # and none of it harmed the session


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.sampled_from(
            [
                "session",
                "=",
                ";",
                " ",
                '"',
                ",",
                "\\",
                "\xff",
                "A" * 43,
                "%3d",
                "__Host-",
                "\x00",
                "\t",
                "dify_oauth_tx_" + "0" * 16,
            ]
        ),
        max_size=12,
    )
)
def test_a42_property_no_cookie_header_crashes(parts: list[str]) -> None:
    app = _quiet_app()
    client = app.test_client(use_cookies=False)
    header = {"Cookie": "".join(parts), "Accept": "application/json"}
    assert client.get("/me", headers=header).status_code == 401
    answer = client.get("/callback?state=x&code=y", headers=header)
    assert answer.status_code == 400
    assert client.get("/logged-out", headers=header).status_code == 200


_quiet: list[Any] = []


@pytest.fixture(autouse=True)
def _keep_an_app(scene: MakeScene) -> None:
    """An application for the property test, which may take no fixture of its own."""
    _quiet[:] = [scene().app]


def _quiet_app() -> Any:
    return _quiet[0]


def test_a35_no_sealed_value_passes_for_another(scene: MakeScene) -> None:
    """State, transaction, log-out note, log-out form, session: each in each other's place."""
    stage = scene()
    answer = stage.start()
    location = answer.headers["Location"]
    state = stage.op.authorize(location).partition("state=")[2].partition("&")[0]
    values = {"state": state, **jar_of(stage)}
    stage.assert_signed_in(stage.sign_in())
    page = stage.browser.open("/logout").text
    values["form"] = re.findall(r'name="token" value="([^"]+)"', page)[0]
    values.update(jar_of(stage))
    stage.browser.open("/logout", method="POST")
    values.update(jar_of(stage))
    assert len(values) >= 5, values
    for (name, value), (other, _) in itertools.product(values.items(), repeat=2):
        if name == other:
            continue
        header = f"{other}={value}"
        assert me(stage, header).status_code == 401
        client = stage.app.test_client(use_cookies=False)
        asked = client.get(f"/callback?code=x&state={value}", headers={"Cookie": header})
        assert asked.status_code == 400
        shown = client.get(f"/logged-out?state={value}", headers={"Cookie": header})
        assert "You are not signed in" in shown.text
    assert stage.op.count("token") == 1


def test_a35_cookies_of_another_application(scene: MakeScene) -> None:
    """The same browser, another application with another secret, the same names of cookies."""
    stage = scene(fresh=True)
    other = scene(fresh=True)
    url = stage.op.authorize(stage.start().headers["Location"])
    for name, value in jar_of(stage).items():
        other.browser.client.set_cookie(name, value)
    other.assert_refused(other.callback(url))
    assert stage.op.count("token") == 0

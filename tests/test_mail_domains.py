"""The domain of an e-mail address: certain, or none (A3, A86)."""

from __future__ import annotations

import unicodedata

import pytest

from flask_dify_oauth.mail_domains import domain_of, mail_domain
from tests.properties import example, given, st

CERTAIN = {
    "alice@example.com": "example.com",
    "Alice.B+tag@EXAMPLE.com": "example.com",
    "o'brien@example.com": "example.com",
    "a@localhost": "localhost",
    "alice@bücher.example": "xn--bcher-kva.example",
    "alice@BÜCHER.example": "xn--bcher-kva.example",
    "alice@xn--bcher-kva.example": "xn--bcher-kva.example",
    "用户@例子.测试": "xn--fsqu00a.xn--0zwm56d",
    # IDNA 2008 tells them apart; a casefold or IDNA 2003 would not.
    "alice@faß.example": "xn--fa-hia.example",
    "alice@fass.example": "fass.example",
    # Compatibility forms mean the same domain to whoever resolves it.
    "alice@ＥＸＡＭＰＬＥ.com": "example.com",
    "alice@example．com": "example.com",
    "alice@example.\u212aom": "example.kom",
}
NONE = [
    "", "alice", "@", "alice@", "@example.com", "alice@@example.com",
    "attacker@evil.example@example.com", "attacker@evil.example@example.com@", "a@b@c",
    "attacker@evil.example,alice@example.com", "attacker@evil.example;alice@example.com",
    "attacker@evil.example alice@example.com", "alice@example.com,evil.example",
    "alice@example.com evil.example", " alice@example.com", "alice@example.com ",
    "alice@example.com\n", "alice@example.com\x00", "alice\x00@example.com", "al ice@example.com",
    "alice@example.com.", "alice@.example.com", "alice@example..com", "alice@exa mple.com",
    "alice@-example.com", "alice@example-.com", "alice@exam_ple.com", "alice@[127.0.0.1]",
    "alice@[IPv6:::1]", "alice@example.com/x", "alice@example.com?x", "alice@example.com#x",
    "alice@example.com\\x", "alice@example.com:25", "alice@*.example.com", "alice@%65xample.com",
    '"attacker@evil.example"@example.com', '"alice"@example.com', "alice(comment)@example.com",
    "alice@(comment)example.com", "Alice <alice@example.com>", "<alice@example.com>",
    "mailto:alice@example.com", ".alice@example.com", "alice.@example.com", "al..ice@example.com",
    # once routes: mail for evil.example, handed over by example.com
    "attacker%evil.example@example.com", "evil.example!attacker@example.com",
    # look-alikes of @, and of what else separates
    "attacker@evil.example＠example.com", "alice＠example.com", "alice﹫example.com",
    "alice\uff20evil.example@example.com", "alice@example.com\u2024evil.example,",
    "alice@evil.example\u2100.example.com", "alice@evil\u3002example.com", "alice@example\uff61com",
    # what is not seen
    "alice@example.com\u200b", "alice@exam\u00adple.com", "alice@\u202emoc.elpmaxe",
    "alice@exam\u200dple.com", "\ufeffalice@example.com",
    # punycode that is none, or not the one form of its name
    "alice@xn--.com", "alice@xn---bbk.com", "alice@xn--example.com-.com", "alice@xn--a.com",
    "a" * 65 + "@example.com", "alice@" + "a" * 64 + ".com", "alice@" + "a." * 130 + "com",
]  # fmt: skip
LOOK_ALIKE = [
    "alice@еxample.com",  # a Cyrillic letter
    "alice@exаmple.com",
    "alice@examp1e.com",
    "alice@exámple.com",
    "alice@exɑmple.com",
    "alice@example.c\u03bfm",
    "alice@evilexample.com",
    "alice@evil-example.com",
    "alice@example.com.evil",
    "alice@sub.example.com",
    "alice@example.comx",
    "alice@example.co",
    "alice@İexample.com",
    "alice@example.xn--cm-fka",
]


@pytest.mark.parametrize("address", list(CERTAIN), ids=ascii)
def test_one_address_has_one_domain(address: str) -> None:
    assert domain_of(address) == CERTAIN[address]


@pytest.mark.parametrize("address", NONE, ids=ascii)
def test_what_could_be_read_in_two_ways_has_none(address: str) -> None:
    assert domain_of(address) is None


@pytest.mark.parametrize("address", LOOK_ALIKE, ids=ascii)
def test_look_alikes_are_others(address: str) -> None:
    assert domain_of(address) != "example.com"


@given(local=st.text(max_size=12), domain=st.text(max_size=20))
@example(local="attacker@evil.example", domain="example.com")
@example(local="a", domain="b＠example.com")
def test_only_what_stands_behind_the_one_at_counts(local: str, domain: str) -> None:
    found = domain_of(f"{local}@{domain}")
    if found is None:
        return
    assert "@" not in unicodedata.normalize("NFKC", local + domain)
    assert found == mail_domain(domain)
    assert found.isascii()
    assert not set(found) & set("@,; \t\r\n/\\?#%:[]()<>\"'")


@given(st.text(alphabet=st.sampled_from("a.@＠﹫,; \"'<>()\\%!\u200b。．ßİ-_xn"), max_size=24))
def test_an_allowed_domain_is_never_reached_by_a_longer_way(text: str) -> None:
    if domain_of(f"{text}@example.com") == "example.com":
        assert text
        assert not set(unicodedata.normalize("NFKC", text)) & set('@,;"<>()\\%! \u200b')
    if text:
        assert domain_of(f"alice@example.com{text}") != "example.com"
        assert domain_of(f"alice@{text}example.com") != "example.com"


@given(st.text(max_size=300))
def test_nothing_makes_it_crash(text: str) -> None:
    domain_of(text)
    caught = None
    try:
        mail_domain(text)
    except ValueError as error:
        caught = error
    assert not isinstance(caught, UnicodeError)


@given(
    st.lists(
        st.from_regex(r"[a-z0-9]([a-z0-9]{0,8}[a-z0-9])?", fullmatch=True), min_size=1, max_size=4
    )
)
def test_every_plain_name_is_itself_in_any_case(labels: list[str]) -> None:
    name = ".".join(labels)
    assert mail_domain(name) == mail_domain(name.upper()) == mail_domain(mail_domain(name)) == name
    assert domain_of(f"alice@{name}") == name

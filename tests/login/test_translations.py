"""The catalogues are whole, compiled from what stands beside them, and chosen by the reader."""

from __future__ import annotations

import gettext
import re
from io import BytesIO
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir, extract_from_file
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po
from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header

from flask_dify_oauth.login import messages, messages_api, pages
from flask_dify_oauth.login.languages import LANGUAGES, choose_language, translations
from flask_dify_oauth.login.messages import MESSAGES

CATALOGUES = Path(messages.__file__).parents[1] / "translations"
FOREIGN = sorted(set(LANGUAGES) - {"en"})


def texts_in_use() -> set[str]:
    found = extract_from_dir(
        str(pages.TEMPLATES / "dify_oauth"), method_map=[("**.html", "jinja2")], options_map={}
    )
    texts = {str(message) for _, _, message, _, _ in found}
    for module in (messages, messages_api):
        marked = extract_from_file("python", module.__file__, keywords={"N_": None})
        texts |= {str(message) for _, message, _, _ in marked}
    return texts


def read(language: str) -> tuple[Catalog, Catalog]:
    folder = CATALOGUES / language / "LC_MESSAGES"
    source = read_po(BytesIO((folder / "dify_oauth.po").read_bytes()), abort_invalid=True)
    return source, read_mo(BytesIO((folder / "dify_oauth.mo").read_bytes()))


def pairs(catalogue: Catalog) -> dict[str, str]:
    return {str(message.id): str(message.string) for message in catalogue if message.id}


def test_every_text_of_a_code_is_marked() -> None:
    in_use = texts_in_use()
    for message in MESSAGES.values():
        assert {text for text in message if text} <= in_use
        assert all(message[:3])
        for text in message:
            assert not re.search("[%<>{}]", text)


@pytest.mark.parametrize("language", FOREIGN)
def test_catalogue_is_whole_and_compiled(language: str) -> None:
    source, compiled = read(language)
    assert set(pairs(source)) == texts_in_use()
    assert pairs(compiled) == pairs(source)
    assert not [message.id for message in source if message.id and message.fuzzy]
    assert not source.obsolete


@pytest.mark.parametrize("language", FOREIGN)
def test_translations_keep_placeholders_and_markup(language: str) -> None:
    def fixed(text: str) -> list[str]:
        return sorted(re.findall(r"%\(\w+\)s|</?\w+>|DIFY_OAUTH_\w+|X-[\w-]+|%", text))

    for text, translated in pairs(read(language)[0]).items():
        assert translated.strip()
        assert fixed(translated) == fixed(text), text
        # Text between these would be markup to the browser: translations are not escaped.
        assert not re.search(r"[<>&]", re.sub(r"</?bdi>", "", translated))


def test_chinese_looks_chinese() -> None:
    for text, translated in pairs(read("zh")[0]).items():
        assert re.search(r"[\u4e00-\u9fff]", translated), text
        assert not re.search(r"[\u4e00-\u9fff][,;:?!.](?!\w)", translated), text


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("zh", "zh"),
        ("zh-CN", "zh"),
        ("zh-TW,zh;q=0.9,en;q=0.8", "zh"),
        ("zh-Hans-CN, en;q=0.5", "zh"),
        ("ZH_cn", "zh"),
        ("zh-CN,en;q=0.8", "zh"),
        ("en-GB,zh;q=0.9", "en"),
        ("de, zh;q=0.5", "zh"),
        ("de, fr", "en"),
        ("zh;q=0, en", "en"),
        ("zh;q=0", "en"),
        ("*", "en"),
        ("", "en"),
        ('"><svg onload=alert(1)>', "en"),
        ("../../zh", "en"),
        ("zh\x00", "en"),
        (",;q=;=,--,_;q=zz" * 500, "en"),
        ("a-" * 20_000, "en"),
    ],
)
def test_language_by_accept_language(header: str, language: str) -> None:
    assert choose_language(parse_accept_header(header, LanguageAccept)) == language


def test_english_is_its_own_catalogue() -> None:
    assert type(translations("en")) is gettext.NullTranslations
    assert translations("zh").gettext("Sign in") == "登录"

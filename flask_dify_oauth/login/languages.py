"""Which language a reader gets, and the catalogue of its texts (``translations/``)."""

from __future__ import annotations

import gettext
import re
from functools import cache
from pathlib import Path

from werkzeug.datastructures import LanguageAccept

__all__ = ["LANGUAGES", "choose_language", "translations"]

#: languages and their names in HTML (BCP 47); Chinese means simplified characters
LANGUAGES = {"en": "en", "zh": "zh-Hans"}

_CATALOGUES = Path(__file__).parents[1] / "translations"


def choose_language(accepted: LanguageAccept) -> str:
    """The key in :data:`LANGUAGES` that ``Accept-Language`` likes best; ``en`` failing all."""
    # Not werkzeug's best_match: for "zh-CN, en;q=0.5" it finds the exact "en" first.
    for tag, quality in accepted:
        language = re.split("[-_]", tag, maxsplit=1)[0].lower()
        if quality > 0 and language in LANGUAGES:
            return language
    return "en"


@cache
def translations(language: str) -> gettext.NullTranslations:
    """The catalogue of a language; English is its own."""
    return gettext.translation("dify_oauth", _CATALOGUES, [language], fallback=language == "en")

"""The words of the pages in other languages: a table by their English text, with `{…}` for what varies."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

ENGLISH = "en"
MONTHS = {
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "en": "January February March April May June July August September October November December",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
}
DATES = {
    "de": "{day}. {month} {year}",
    "en": "{month} {day}, {year}",
    "fr": "{day} {month} {year}",
}


@cache
def _table() -> dict[str, dict[str, str]]:
    """Rows by their English text; the file's first line names the languages."""
    head, *rows = (Path(__file__).parent / "messages.tsv").read_text("utf-8").splitlines()
    languages = head.split("\t")
    return {cells[0]: dict(zip(languages, cells, strict=True)) for cells in (row.split("\t") for row in rows)}


@dataclass(frozen=True, slots=True)
class Language:
    """Calling it translates; what the table lacks stays English."""

    code: str = ENGLISH

    def __call__(self, text: str, **values: Any) -> str:
        found = _table().get(text, {}).get(self.code, text)
        return found.format(**values) if values else found

    def date(self, moment: int) -> str:
        """`November 22, 2026`, in UTC."""
        day = datetime.fromtimestamp(moment, UTC)
        months = MONTHS[self.code].split()
        return DATES[self.code].format(day=day.day, month=months[day.month - 1], year=day.year)


def chosen(*wishes: str | None) -> Language:
    """The first wish that there are words for; a wish is `de`, `fr-CA`, or a browser's list of both."""
    for wish in wishes:
        for each in (wish or "").split(","):
            code = each.partition(";")[0].strip().lower().partition("-")[0]
            if code in MONTHS:
                return Language(code)
    return Language()

"""Dates as news data has them, and as they stand in a text: "April 19, 2019".

Records of RealNews say "04-19-2019", others ISO's 2019-04-19 or seconds or milliseconds since 1970.
"""

from __future__ import annotations

import datetime
import re
from typing import Any

from gpt2lab.errors import DataError

MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_AMERICAN = re.compile(r"(\d{1,2})-(\d{1,2})-(\d{4})")
_ISO = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?:[T ].*)?")
_WRITTEN = re.compile(rf"({'|'.join(MONTHS)}) (\d{{1,2}}), (\d{{4}})")
_MILLISECONDS = 10**11  # as seconds, this is the year 5138


def date_text(value: Any) -> str:
    """Return a record's date as a text has it, "" for none; other texts than dates stay as they are.

    A day keeps its leading zero ("April 09, 2019"), as in Grover's data. Raises `DataError` for what is no date.
    """
    if value is None or value == "":
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _of_seconds(value)
    if not isinstance(value, str):
        raise DataError(f"its date is not text or a number but {type(value).__name__}")
    value = value.strip()
    if match := _AMERICAN.fullmatch(value):
        month, day, year = (match[i] for i in (1, 2, 3))
    elif match := _ISO.fullmatch(value):
        year, month, day = (match[i] for i in (1, 2, 3))
    else:
        return str(value)
    if not 1 <= int(month) <= 12:
        raise DataError(f"its date {value!r} has no month {int(month)}; write MM-DD-YYYY or YYYY-MM-DD")
    return f"{MONTHS[int(month) - 1]} {day}, {year}"


def record_date(text: str) -> str:
    """Return a date as RealNews's records have it, "04-19-2019"; what is no date stays as it is."""
    match = _WRITTEN.fullmatch(text)
    if match is None:
        return text
    return f"{MONTHS.index(match[1]) + 1:02}-{int(match[2]):02}-{match[3]}"


def _of_seconds(value: float) -> str:
    try:
        seconds = value / 1000 if abs(value) >= _MILLISECONDS else value
        day = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)
    except (OverflowError, ValueError):
        raise DataError(f"its date {value!r} is no number of seconds or milliseconds since 1970") from None
    return f"{MONTHS[day.month - 1]} {day.day:02}, {day.year}"

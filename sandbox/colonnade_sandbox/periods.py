"""Billing periods: calendar steps counted from an anchor."""

import calendar
from datetime import UTC, datetime, timedelta
from typing import Any

DAYS = {"day": 1, "week": 7}
MONTHS = {"month": 1, "year": 12}


def step(anchor: int, recurring: dict[str, Any], count: int) -> int:
    """The second that lies `count` intervals after `anchor`; the 31st becomes a month's last day."""
    start = datetime.fromtimestamp(anchor, UTC)
    interval, each = recurring["interval"], recurring["interval_count"]
    if interval in DAYS:
        return int((start + timedelta(days=DAYS[interval] * each * count)).timestamp())
    months = start.year * 12 + start.month - 1 + MONTHS[interval] * each * count
    year, month = divmod(months, 12)
    day = min(start.day, calendar.monthrange(year, month + 1)[1])
    return int(start.replace(year=year, month=month + 1, day=day).timestamp())


def after(anchor: int, recurring: dict[str, Any], moment: int) -> int:
    """The first boundary later than `moment`."""
    length = step(anchor, recurring, 1) - anchor
    count = max(1, (moment - anchor) // max(length, 1) - 1)
    while step(anchor, recurring, count) <= moment:
        count += 1
    while count > 1 and step(anchor, recurring, count - 1) > moment:
        count -= 1
    return step(anchor, recurring, count)

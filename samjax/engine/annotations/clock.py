"""Times of an annotation database: a clock that tests replace, and their stored form."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Returns the present time."""


def utc_now() -> datetime:
    """Returns the present time, in UTC."""
    return datetime.now(UTC)


def stored_time(time: datetime) -> str:
    """Returns a time as the database stores it: ISO 8601, in milliseconds."""
    return time.isoformat(timespec="milliseconds")

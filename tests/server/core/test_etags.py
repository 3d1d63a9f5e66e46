"""Tests of ETag and If-Match."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from aiplatform.server.core.errors import PreconditionFailed, PreconditionRequired
from aiplatform.server.core.etags import etag, require_match

NOW = datetime(2026, 11, 24, 8, 0, 0, 123456, UTC)


def test_etag_differs_per_microsecond() -> None:
    moments = [NOW + timedelta(microseconds=step) for step in range(2000)]
    assert len({etag(moment) for moment in moments}) == 2000


def test_etag_is_independent_of_time_zone() -> None:
    shanghai = NOW.astimezone(timezone(timedelta(hours=8)))
    assert etag(NOW) == etag(shanghai)
    assert etag(NOW).startswith('"')
    assert etag(NOW).endswith('"')


def test_etag_of_row_without_time_exists() -> None:
    assert etag(None) != etag(NOW)
    require_match(etag(None), None, "project")


@pytest.mark.parametrize(
    "header", [etag(NOW), "*", f'"x", {etag(NOW)}', f"  {etag(NOW)} ,", '"x",*']
)
def test_require_match_with_matching_header_passes(header: str) -> None:
    require_match(header, NOW, "project")


@pytest.mark.parametrize(
    "header", ['"x"', "", ",", f"W/{etag(NOW)}", etag(NOW).strip('"'), f"{etag(NOW)}x", '"*"']
)
def test_require_match_with_other_tag_fails(header: str) -> None:
    with pytest.raises(PreconditionFailed):
        require_match(header, NOW, "project")


def test_require_match_without_header_fails() -> None:
    with pytest.raises(PreconditionRequired):
        require_match(None, NOW, "project")

from __future__ import annotations

import pytest

from tracking_runtime.errors import SourceError
from tracking_runtime.untrusted.limits import IMAGE_PIXELS


def test_limit_size_below_the_default_is_accepted() -> None:
    IMAGE_PIXELS.check(12000 * 12000, "frame.png")


def test_limit_size_above_the_default_names_file_and_variable() -> None:
    with pytest.raises(SourceError, match=r"bomb.png: 1024000000 pixels .* RSTRACK_MAX_PIXELS=1024000000"):
        IMAGE_PIXELS.check(32000 * 32000, "bomb.png")


def test_limit_environment_variable_changes_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RSTRACK_MAX_PIXELS", "2e9")
    IMAGE_PIXELS.check(32000 * 32000, "large.png")

    monkeypatch.setenv("RSTRACK_MAX_PIXELS", "100")
    with pytest.raises(SourceError, match="limit of 100"):
        IMAGE_PIXELS.check(101, "small.png")


@pytest.mark.parametrize("text", ["many", "0", "-1", "nan", "inf"])
def test_limit_environment_variable_without_a_number_is_refused(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("RSTRACK_MAX_PIXELS", text)

    with pytest.raises(SourceError, match="RSTRACK_MAX_PIXELS must be a positive number"):
        IMAGE_PIXELS.check(1, "x")

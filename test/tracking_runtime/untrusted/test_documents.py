"""YAML documents of unknown origin."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_runtime.errors import SourceError
from tracking_runtime.untrusted.documents import DocumentError, parse_yaml, read_yaml_file


@given(st.binary(max_size=60) | st.text("[]{}:,-&*!|>\n ab0.", max_size=60))
def test_parse_yaml_of_any_text_raises_only_its_error(content):
    try:
        parse_yaml(content)
    except DocumentError as error:
        assert "\n" not in str(error)  # noqa: PT017 - both outcomes are right


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 100_000, "!!python/object/apply:os.system [id]"])
def test_parse_yaml_of_deep_or_active_text_is_refused(text):
    with pytest.raises(DocumentError):
        parse_yaml(text)


def test_read_yaml_file_above_the_limit_is_refused(tmp_path: Path):
    path = tmp_path / "large.yaml"
    path.write_text("a: 1\n" * 200_000)

    with pytest.raises(SourceError, match=r"large\.yaml: 1000000 bytes .* RSTRACK_MAX_DOCUMENT_BYTES"):
        read_yaml_file(path)

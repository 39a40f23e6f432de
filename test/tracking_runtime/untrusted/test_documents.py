"""YAML documents of unknown origin."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_runtime.errors import SourceError
from tracking_runtime.untrusted.documents import DocumentError, parse_xml, parse_yaml, read_yaml_file


@given(st.binary(max_size=60) | st.text("[]{}:,-&*!|>\n ab0.", max_size=60))
def test_parse_yaml_of_any_text_raises_only_its_error(content):
    try:
        parse_yaml(content)
    except DocumentError as error:
        assert "\n" not in str(error)  # noqa: PT017 - both outcomes are right


def test_parse_yaml_alias_is_replaced_by_its_value():
    assert parse_yaml("a: &x [1, 2]\nb: *x\nc: {<<: {d: 3}, e: *x}") == {
        "a": [1, 2],
        "b": [1, 2],
        "c": {"d": 3, "e": [1, 2]},
    }


def make_alias_bomb(first: str, item: str) -> str:
    lines = [f"a0: &a0 {first}"]
    lines += [f"a{n}: &a{n} {item.format(', '.join([f'*a{n - 1}'] * 10))}" for n in range(1, 12)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        make_alias_bomb("[x]", "[{}]"),
        make_alias_bomb("{x: 1}", "{{<<: [{}]}}"),
        "a: &a " + "x" * 100_000 + "\nb: [" + "*a, " * 1000 + "]",
    ],
)
def test_parse_yaml_of_aliases_that_repeat_too_much_is_refused(text):
    with pytest.raises(DocumentError, match="aliases repeat too much"):
        parse_yaml(text)


@pytest.mark.parametrize("text", ["&a [*a]", "a: &a {b: [*a]}"])
def test_parse_yaml_of_a_value_in_itself_is_refused(text):
    with pytest.raises(DocumentError, match="repeats the node that it is in"):
        parse_yaml(text)


@pytest.mark.parametrize("number", ["9" * 5000, "0x" + "f" * 5000, "1" + ":59" * 50_000, "1." + "0" * 5000])
def test_parse_yaml_of_a_number_that_is_too_long_is_refused(number):
    with pytest.raises(DocumentError, match=f"a number has {len(number)} characters"):
        parse_yaml(f"a: {number}")


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 100_000, "!!python/object/apply:os.system [id]"])
def test_parse_yaml_of_deep_or_active_text_is_refused(text):
    with pytest.raises(DocumentError):
        parse_yaml(text)


def test_read_yaml_file_above_the_limit_is_refused(tmp_path: Path):
    path = tmp_path / "large.yaml"
    path.write_text("a: 1\n" * 200_000)

    with pytest.raises(SourceError, match=r"large\.yaml: 1000000 bytes .* RSTRACK_MAX_DOCUMENT_BYTES"):
        read_yaml_file(path)


def test_parse_xml_returns_the_root():
    root = parse_xml(b'<?xml version="1.0" encoding="utf-8"?><a b="1"><c>\xc3\xa4</c></a>')

    assert (root.tag, root.get("b"), root.findtext("c")) == ("a", "1", "ä")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<a><b></a>", "not XML"),
        ("", "not XML"),
        ('<?xml version="1.0" encoding="x-nothing"?><a/>', "not XML"),
        ('<!DOCTYPE a [<!ENTITY b "cc">]><a>&b;</a>', "entities are refused"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "entities are refused"),
    ],
)
def test_parse_xml_of_a_hostile_text_is_refused(text, reason):
    with pytest.raises(DocumentError, match=reason):
        parse_xml(text.encode())

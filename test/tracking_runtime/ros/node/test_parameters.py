from __future__ import annotations

from dataclasses import dataclass

import pytest
import yaml

pytest.importorskip("rclpy", reason="needs ROS 2")

from tracking_runtime.ros.node.parameters import (
    Change,
    NodeParameters,
    convert_value,
    expand_path,
    parameter,
    to_markdown,
    to_yaml,
)

pytestmark = pytest.mark.ros


@dataclass(frozen=True)
class Example(NodeParameters):
    engine: str = parameter("auto", "what runs", choices=("auto", "cpu"))
    gain: float = parameter(1.0, "how much", minimum=0, maximum=2, change=Change.ALWAYS)
    count: int = parameter(3, "how many", minimum=1)
    box: tuple[float, ...] = parameter((0.0, 0.0), "where", maximum=9)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"engine": "gpu"}, "parameter engine is 'gpu', allowed: auto, cpu"),
        ({"gain": 2.5}, "parameter gain is 2.5, allowed: 0 to 2"),
        ({"gain": float("nan")}, "parameter gain is nan"),
        ({"count": 0}, "parameter count is 0, allowed: at least 1"),
        ({"box": (1.0, 10.0)}, r"parameter box is \(1.0, 10.0\), allowed: at most 9"),
    ],
)
def test_value_out_of_limits_is_named(values: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Example(**values)  # type: ignore[arg-type]


def test_yaml_contains_every_default() -> None:
    content = yaml.safe_load(to_yaml(Example, "example"))

    assert content == {
        "/**/example": {
            "ros__parameters": {
                "autostart": False,
                "engine": "auto",
                "gain": 1.0,
                "count": 3,
                "box": [0.0, 0.0],
            }
        }
    }


def test_markdown_has_a_row_per_parameter() -> None:
    rows = to_markdown(Example).splitlines()[2:]

    assert rows[1] == "| `engine` | text | `auto` | auto, cpu | while unconfigured | what runs |"
    assert rows[2] == "| `gain` | number | `1.0` | 0 to 2 | at any time | how much |"
    assert rows[4].startswith("| `box` | list of number | `[0.0, 0.0]` |")
    assert len(rows) == 5


@pytest.mark.parametrize(
    ("value", "default", "converted"),
    [
        (10, 1.0, 10.0),
        (16.0, 3, 16),
        (16.5, 3, None),
        (5, "", "5"),
        (True, "", "true"),
        (1, False, None),
        (True, 1.0, None),
        ([210, 96, 40, 28], (0.0,), [210.0, 96.0, 40.0, 28.0]),
        ("[210, 96.5, 40, 28]", (0.0,), [210.0, 96.5, 40.0, 28.0]),
        ("210, 96, 40, 28", (0.0,), [210.0, 96.0, 40.0, 28.0]),
        (7, (0.0,), [7.0]),
        ("somewhere", (0.0,), None),
        ("[1, [2]]", (0.0,), None),
        ("/tracks", ("",), ["/tracks"]),
        ("[/tracks, /image]", ("",), ["/tracks", "/image"]),
        ("[unclosed", ("",), ["[unclosed"]),
    ],
)
def test_value_is_read_as_the_type_of_its_default(value: object, default: object, converted: object) -> None:
    result = convert_value(value, default)

    assert result == converted
    assert type(result) is type(converted)


def test_path_may_begin_with_home_or_file_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/robot")

    paths = [expand_path(text) for text in ("~/cam.xml", "file:///a%20b/cam.xml", "file:~/c", "vis16", "")]

    assert paths == ["/home/robot/cam.xml", "/a b/cam.xml", "/home/robot/c", "vis16", ""]

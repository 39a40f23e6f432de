"""docs/reference/parameters.md and config/*.yaml agree with the parameters of the nodes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

pytest.importorskip("rclpy", reason="needs ROS 2")

from tracking_runtime.plugins import NODES, find_plugins
from tracking_runtime.ros.node.parameters import list_parameters, to_markdown, to_yaml

pytestmark = pytest.mark.ros
ROOT = Path(__file__).resolve().parents[4]
CURE = "run `python docs/update_parameters.py`"
FOR_EACH_NODE = pytest.mark.parametrize("point", find_plugins(NODES).values(), ids=lambda point: point.name)


@FOR_EACH_NODE
def test_page_contains_the_table(point) -> None:  # type: ignore[no-untyped-def]
    page = (ROOT / "docs" / "reference" / "parameters.md").read_text()

    table = to_markdown(point.load())

    assert f"<!-- parameters {point.name} -->\n\n{table}\n<!-- end -->" in page, CURE


@FOR_EACH_NODE
def test_config_contains_the_defaults(point) -> None:  # type: ignore[no-untyped-def]
    specification = point.load()
    text = (ROOT / "config" / f"{point.name}.yaml").read_text()

    values = yaml.safe_load(text)[f"/**/{point.name}"]["ros__parameters"]

    assert text == to_yaml(specification, point.name), CURE
    assert values == {
        field.name: list(field.default) if isinstance(field.default, tuple) else field.default
        for field, _ in list_parameters(specification)
    }


@FOR_EACH_NODE
def test_value_beyond_bound_or_choice_is_rejected(point) -> None:  # type: ignore[no-untyped-def]
    specification = point.load()
    for field, description in list_parameters(specification):
        for bound, direction in ((description.minimum, -1), (description.maximum, 1)):
            if bound is None:
                continue
            is_tuple = isinstance(field.default, tuple)
            kind = type(field.default[0] if is_tuple else field.default)
            inside = kind(bound)
            outside = inside + (direction if kind is int else direction * 1e-9)
            specification(**{field.name: (inside, inside) if is_tuple else inside})
            with pytest.raises(ValueError, match=f"parameter {field.name} is .*, allowed"):
                specification(**{field.name: (outside, outside) if is_tuple else outside})
        if description.choices:
            for choice in description.choices:
                specification(**{field.name: choice})
            with pytest.raises(ValueError, match=f"parameter {field.name} is 'other'"):
                specification(**{field.name: "other"})

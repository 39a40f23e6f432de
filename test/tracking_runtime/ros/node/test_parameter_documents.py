"""README and config/*.yaml say what the nodes declare."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

import pytest
import yaml

from tracking_runtime.commands.parameters import NODES
from tracking_runtime.ros.node.parameters import described, to_markdown, to_yaml

ROOT = Path(__file__).resolve().parents[4]
NODE_POINTS = pytest.mark.parametrize("point", entry_points(group=NODES), ids=lambda point: point.name)


@NODE_POINTS
def test_readme_has_the_table(point) -> None:  # type: ignore[no-untyped-def]
    table = to_markdown(point.load())
    assert table in (ROOT / "README.md").read_text(), f"rstrack parameters {point.name}"


@NODE_POINTS
def test_config_has_the_defaults(point) -> None:  # type: ignore[no-untyped-def]
    specification = point.load()
    text = (ROOT / "config" / f"{point.name}.yaml").read_text()
    assert text == to_yaml(specification, point.name), f"rstrack parameters {point.name} --format yaml"
    values = yaml.safe_load(text)[f"/**/{point.name}"]["ros__parameters"]
    defaults = {
        each.name: list(each.default) if isinstance(each.default, tuple) else each.default
        for each, _ in described(specification)
    }
    assert values == defaults


@NODE_POINTS
def test_every_bound_is_allowed_and_nothing_beyond(point) -> None:  # type: ignore[no-untyped-def]
    specification = point.load()
    for each, description in described(specification):
        for bound, beyond in ((description.minimum, -1), (description.maximum, 1)):
            if bound is None:
                continue
            kind = type(each.default[0] if isinstance(each.default, tuple) else each.default)
            values = {True: (kind(bound),) * 2, False: kind(bound)}[isinstance(each.default, tuple)]
            specification(**{each.name: values})
            step = kind(beyond) if kind is int else beyond * 1e-9
            outside = tuple(v + step for v in values) if isinstance(values, tuple) else values + step
            with pytest.raises(ValueError, match=f"parameter {each.name} is .*, allowed"):
                specification(**{each.name: outside})
        if description.choices:
            for choice in description.choices:
                specification(**{each.name: choice})
            with pytest.raises(ValueError, match=f"parameter {each.name} is 'other'"):
                specification(**{each.name: "other"})

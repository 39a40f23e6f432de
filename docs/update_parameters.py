"""Write the generated tables of docs/reference/parameters.md and the files config/NODE.yaml.

Run after a parameter of a node has changed: ``python docs/update_parameters.py``. Needs ROS 2, and
``make setup`` after a module was added.
"""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from pathlib import Path

from tracking_runtime.ros.node.parameters import to_markdown, to_yaml

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reference" / "parameters.md"
NODES = "remote_sensing_tracking.nodes"


def update_parameters() -> None:
    """Replace the tables between the markers, and the parameter files."""
    page = PAGE.read_text()
    for point in entry_points(group=NODES):
        specification = point.load()
        begin, end = f"<!-- parameters {point.name} -->\n\n", "\n<!-- end -->"
        pattern = re.compile(f"(?<={re.escape(begin)}).*?(?={re.escape(end)})", re.DOTALL)
        table = to_markdown(specification)
        page, replaced = pattern.subn(lambda _, table=table: table, page)
        if replaced != 1:
            raise SystemExit(f"{PAGE} must have the marker `{begin.strip()}` once: found {replaced}")
        config = ROOT / "config" / f"{point.name}.yaml"
        config.write_text(to_yaml(specification, point.name))
    PAGE.write_text(page)


if __name__ == "__main__":
    update_parameters()

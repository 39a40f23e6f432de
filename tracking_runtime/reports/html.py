"""The report as one HTML file that opens offline: pictures, plots and styles are inside."""

from __future__ import annotations

import base64
import mimetypes
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from tracking_runtime.reports.plots import bars_svg, chart_svg, stages_svg, ways_svg
from tracking_runtime.reports.report_data import Report

_TEMPLATE = "demo.html.j2"


def write_html(report: Report, path: Path) -> None:
    """Write a report's page; its pictures are read from beside it.

    Raises:
        OSError: a picture cannot be read, or the page not be written.
    """
    path.write_text(render(_TEMPLATE, path.parent, report=report), encoding="utf-8")


def render(template: str, folder: Path, **values: Any) -> str:
    """A template of this package as a page that stands alone.

    Args:
        template: its name.
        folder: relative to which pictures are named.
        values: that it tells.

    Raises:
        OSError: a picture cannot be read.
    """
    environment = Environment(
        loader=PackageLoader("tracking_runtime.reports", package_path="templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["embedded"] = lambda picture: _data_uri(folder / picture)
    environment.filters["percent"] = "{:.1%}".format
    drawings = {"chart": chart_svg, "stages": stages_svg, "ways": ways_svg, "bars": bars_svg}
    for name, draw in drawings.items():
        environment.filters[name] = lambda value, draw=draw: Markup(draw(value))
    return environment.get_template(template).render(**values)


def _data_uri(path: Path) -> str:
    kind = mimetypes.guess_type(path.name)[0]
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"

"""HTML pages that open offline: pictures, plots and styles are embedded."""

from __future__ import annotations

import base64
import mimetypes
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from tracking_runtime.reports.plots import render_bars, render_chart, render_stages, render_trajectories
from tracking_runtime.reports.report_data import DemoReport

_DEMO_TEMPLATE = "demo.html.j2"
_PLOT_FILTERS = {
    "chart": render_chart,
    "stages": render_stages,
    "trajectories": render_trajectories,
    "bars": render_bars,
}


def write_html(report: DemoReport, path: Path) -> None:
    """Write the page of a demo report.

    Args:
        report: data of the page. Paths of pictures are relative to the folder of the page.
        path: HTML file to write.

    Raises:
        OSError: a picture cannot be read, or the page cannot be written.
    """
    path.write_text(render_page(_DEMO_TEMPLATE, path.parent, report=report), encoding="utf-8")


def render_page(template: str, folder: Path, **values: Any) -> str:
    """Render a template of this package as a self-contained page.

    Args:
        template: file name of the template.
        folder: folder to which the paths of pictures are relative.
        values: variables of the template.

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
    environment.filters["embedded"] = lambda picture: _make_data_uri(folder / picture)
    environment.filters["percent"] = "{:.1%}".format
    for name, render in _PLOT_FILTERS.items():
        environment.filters[name] = lambda value, render=render: Markup(render(value))
    return environment.get_template(template).render(**values)


def _make_data_uri(path: Path) -> str:
    media_type = mimetypes.guess_type(path.name)[0]
    return f"data:{media_type};base64,{base64.b64encode(path.read_bytes()).decode()}"

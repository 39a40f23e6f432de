"""`rstrack doctor`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.table import Table

    from tracking_runtime.doctor import Finding

_STYLES = {"good": "green", "missing": "yellow", "wrong": "bold red"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs and bug reports.")
def doctor(as_json: bool) -> None:
    """Check the installation and explain how to fix each problem.

    Checks packages, GPU and driver, engines and file formats, ROS and DDS settings, shared memory, cached
    engines and models. Changes nothing. Fails if something is wrong.
    """
    from rich.console import Console

    from tracking_runtime.doctor import examine_machine

    findings = list(examine_machine())
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        Console().print(_make_table(findings))
    num_wrong = sum(finding.state == "wrong" for finding in findings)
    if num_wrong:
        raise click.ClickException(f"wrong: {num_wrong}")


def _make_table(findings: Sequence[Finding]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table("", "", "state", "found", "fix")
    for finding in findings:
        style = _STYLES[finding.state]
        found = escape(finding.found)
        fix = escape(finding.fix)
        table.add_row(finding.area, escape(finding.subject), f"[{style}]{finding.state}", found, fix)
    return table

"""``rstrack doctor``."""

from __future__ import annotations

import json
from dataclasses import asdict

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tracking_runtime.doctor import examine

_STYLES = {"good": "green", "missing": "yellow", "wrong": "bold red"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs, and for reports of faults.")
def doctor(as_json: bool) -> None:
    """Tell what is installed, which engines work here and why the others don't, and what to do.

    Looks at packages, GPU and driver, engines and file formats, ROS and DDS settings, shared memory, the
    engines that are kept, and models. Changes nothing; fails if something is wrong.
    """
    findings = list(examine())
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        table = Table("", "", "state", "found", "what to do")
        for each in findings:
            state = f"[{_STYLES[each.state]}]{each.state}"
            table.add_row(each.area, escape(each.subject), state, escape(each.found), escape(each.fix))
        Console().print(table)
    wrong = sum(each.state == "wrong" for each in findings)
    if wrong:
        raise click.ClickException(f"wrong: {wrong}")

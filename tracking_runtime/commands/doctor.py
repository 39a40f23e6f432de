"""`rstrack doctor`."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from tracking_runtime.doctor import Finding

_COLORS = {"good": "green", "missing": "yellow", "wrong": "red"}
_LISTENING_S = 3.0  # time in which each running node reports its diagnosis
_MIN_WIDTH = 40  # columns; narrower terminals wrap the lines themselves


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs and bug reports.")
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.zip",
    help="Write findings, settings, diagnoses of the running nodes and logs for a maintainer. No images.",
)
@click.option(
    "--recording",
    "recordings",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    metavar="FOLDER",
    help="With --report: also pack the diagnoses, logs and incidents of a recording. Repeat for several.",
)
@click.option("--images", is_flag=True, help="With --recording: also pack its messages, with the images.")
def doctor(as_json: bool, report: Path | None, recordings: tuple[Path, ...], images: bool) -> None:
    """Check the installation and explain how to fix each problem.

    Checks packages, GPU and driver, engines and file formats, ROS and DDS settings, shared memory, cached
    engines and models. Changes nothing. Fails if something is wrong.
    """
    from tracking_runtime.doctor import examine_machine

    if recordings and report is None:
        raise click.UsageError("--recording needs --report FILE.zip")
    if images and not recordings:
        raise click.UsageError("--images needs --recording FOLDER")
    findings = list(examine_machine())
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        width = max(shutil.get_terminal_size().columns, _MIN_WIDTH)
        for line in _format_findings(findings, width):
            click.echo(line)
    if report is not None:
        _write_report(report, findings, recordings, has_images=images)
    num_wrong = sum(finding.state == "wrong" for finding in findings)
    if num_wrong:
        raise click.ClickException(f"wrong: {num_wrong}")


def _write_report(
    path: Path, findings: Sequence[Finding], recordings: Sequence[Path], *, has_images: bool
) -> None:
    """Write the report for a maintainer. Without ROS 2 there are no diagnoses and parameters."""
    from tracking_runtime.reports.support_report import write_support_report

    diagnoses: list[dict[str, Any]] = []
    parameters: dict[str, dict[str, Any]] = {}
    if find_spec("rclpy") is not None:
        from tracking_runtime.ros.diagnostics_history import listen_to_diagnoses, read_parameters

        diagnoses = listen_to_diagnoses(_LISTENING_S)
        nodes = [entry["node"] for entry in diagnoses if "state" in entry["values"]]
        parameters = read_parameters(dict.fromkeys(nodes))
    facts = [asdict(finding) for finding in findings]
    names = write_support_report(path, facts, diagnoses, parameters, recordings, has_images=has_images)
    click.echo(f"{path}: {len(names)} files, {len(diagnoses)} diagnoses", err=True)


def _format_findings(findings: Sequence[Finding], width: int) -> Iterator[str]:
    """Yield the lines of a report. A fix is one line of its own, never cut or wrapped: it can be copied.

    Args:
        findings: findings of all areas.
        width: columns of the terminal, to which descriptions are wrapped.
    """
    for area in dict.fromkeys(finding.area for finding in findings):
        yield click.style(area, bold=True)
        for finding in findings:
            if finding.area != area:
                continue
            first, *others = textwrap.wrap(
                f"{finding.subject}: {finding.state}, {finding.found}",
                width,
                initial_indent="  ",
                subsequent_indent="    ",
                break_long_words=False,
            )
            yield click.style(first, fg=_COLORS[finding.state], bold=finding.state == "wrong")
            yield from others
            if finding.fix:
                yield f"    fix: {finding.fix}"

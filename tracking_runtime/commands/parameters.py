"""The parameters of a node, as the README and a parameter file have them: ``rstrack parameters``."""

from __future__ import annotations

from importlib.metadata import entry_points

import click

NODES = "remote_sensing_tracking.nodes"


@click.command()
@click.argument("node")
@click.option(
    "--format",
    "style",
    type=click.Choice(["markdown", "yaml"]),
    default="markdown",
    show_default=True,
    help="A table, or a parameter file with the defaults.",
)
def parameters(node: str, style: str) -> None:
    """Print the parameters of NODE with their defaults, bounds and meaning."""
    from tracking_runtime.ros.node.parameters import to_markdown, to_yaml  # ROS is needed from here on

    specifications = {point.name: point for point in entry_points(group=NODES)}
    if node not in specifications:
        raise click.ClickException(f"no node {node}; there are {', '.join(sorted(specifications))}")
    specification = specifications[node].load()
    text = to_markdown(specification) if style == "markdown" else to_yaml(specification, node)
    click.echo(text, nl=False)

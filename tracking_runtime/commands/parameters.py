"""Command `rstrack parameters`: prints the parameters of a node."""

from __future__ import annotations

import click

from tracking_runtime.commands.nodes import find_node


@click.command()
@click.argument("node")
@click.option(
    "--format",
    "style",
    type=click.Choice(["markdown", "yaml"]),
    default="markdown",
    show_default=True,
    help="Table, or parameter file with the defaults.",
)
def parameters(node: str, style: str) -> None:
    """Print the parameters of NODE with default, limits and meaning."""
    from tracking_runtime.ros.node.parameters import to_markdown, to_yaml  # needs ROS 2

    specification = find_node(node).load()
    text = to_markdown(specification) if style == "markdown" else to_yaml(specification, node)
    click.echo(text, nl=False)

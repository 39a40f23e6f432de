"""`rstrack target`."""

from __future__ import annotations

import click


@click.command()
@click.option("--box", metavar="X,Y,W,H", help="Box in the newest frame, in pixels. Default: ground truth.")
@click.option("--truth", default="/ground_truth", show_default=True, help="Topic of the ground truth.")
@click.option("--node", default="/hsi_tracker", show_default=True, help="Name of the running tracker.")
@click.option("--label", default="", help="Text that the tracks of the target carry.")
@click.option("--timeout", default=20.0, show_default=True, help="Longest wait for a frame, in seconds.")
def target(box: str | None, truth: str, node: str, label: str, timeout: float) -> None:
    """Set a target of a running hsi_tracker: a box, or the first object of the ground truth.

    The ground truth of the player names its frame. The target is set in this frame, also if the object moves
    fast. The response warns of a box that contains nothing distinct from its surroundings.
    """
    numbers = _parse_box(box) if box else None
    try:
        from tracking_runtime.ros.session import RosSession
        from tracking_runtime.ros.target_selection import set_target_by_box, set_target_by_truth
    except ImportError as error:
        raise click.ClickException(
            f"ROS 2 is needed: {error}; source a ROS 2 set-up or .venv/setup.bash"
        ) from error

    with RosSession("rstrack_target") as session:
        if numbers:
            answer = set_target_by_box(session, node, numbers, label)
        else:
            answer = set_target_by_truth(session, node, truth, timeout, label)
    click.echo(answer)


def _parse_box(text: str) -> list[float]:
    """Return the four numbers of a box."""
    try:
        numbers = [float(part) for part in text.replace(",", " ").split()]
    except ValueError:
        numbers = []
    if len(numbers) != 4:
        raise click.BadParameter(f"must be four numbers X,Y,W,H: got {text!r}", param_hint="--box")
    return numbers

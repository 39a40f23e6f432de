"""How rosbag2 is told to record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tracking_runtime.resources import find

_SNAPSHOT_BYTES = 500_000_000


def record_command(values: Mapping[str, str], topics: Sequence[str], output: str) -> list[str]:
    """The call of ``ros2 bag record``: MCAP, of which nothing stays in memory for long.

    Args:
        values: of the launch arguments ``namespace``, ``record`` and ``use_sim_time``. The recorder of a
            namespace has a name of its own, so that several can be asked for snapshots.
        topics: to record, by their whole names.
        output: folder of the bag.
    """
    command = ["ros2", "bag", "record", "--storage", "mcap", "--output", output]
    command += ["--storage-config-file", str(find("config", "rosbag2_mcap.yaml"))]
    if values["record"] == "snapshot":
        command += ["--snapshot-mode", "--max-cache-size", str(_SNAPSHOT_BYTES)]
    if values["use_sim_time"] == "true":
        command += ["--use-sim-time"]
    if namespace := values["namespace"].strip("/"):
        command += ["--node-name", f"{namespace.replace('/', '_')}_rosbag2_recorder"]
    return [*command, "--topics", *topics]

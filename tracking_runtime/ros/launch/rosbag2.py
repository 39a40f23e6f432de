"""Command line of `ros2 bag record`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tracking_runtime.files import find_data_file


def make_record_command(values: Mapping[str, str], topics: Sequence[str], output: str) -> list[str]:
    """Return the command line of `ros2 bag record` with MCAP files.

    Args:
        values: launch arguments `namespace` and `use_sim_time`. The name of the recorder contains the
            namespace, so that each recorder has services of its own.
        topics: full names of the topics to record.
        output: folder of the bag.
    """
    command = ["ros2", "bag", "record", "--storage", "mcap", "--output", output]
    command += ["--storage-config-file", str(find_data_file("config", "rosbag2_mcap.yaml"))]
    if values["use_sim_time"] == "true":
        command += ["--use-sim-time"]
    if namespace := values["namespace"].strip("/"):
        command += ["--node-name", f"{namespace.replace('/', '_')}_rosbag2_recorder"]
    return [*command, "--topics", *topics]

"""The nodes around the trackers: player, recorder, visualizer. Each runs as a process of its own."""

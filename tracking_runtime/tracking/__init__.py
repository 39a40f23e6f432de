"""Tracks of a source as files and video, without ROS and ground truth: `rstrack track` and `render`."""

"""Base of the tracker nodes: the path of a frame."""

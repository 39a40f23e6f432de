"""Base of both tracker nodes: the path of a frame."""

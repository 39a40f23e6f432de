"""Benchmarks of nodes: latency, resource leaks over lifecycle cycles, transport of images."""

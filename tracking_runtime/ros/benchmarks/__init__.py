"""Benchmarks of latency, transport and lifecycle."""

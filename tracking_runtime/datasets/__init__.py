"""Benchmarks read in place, one frame at a time, and results in the formats in which they are handed in."""

"""Tracks from a whole recording: smoothing, interpolation, and passes forward and backward in time.

Everything here uses later frames (non-causal), so that it runs after a recording, never on a robot. Pure
functions on arrays.
"""

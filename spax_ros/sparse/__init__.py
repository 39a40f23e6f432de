"""Sparse execution of SPAX on active pixels."""

"""SPAX on active pixels only."""

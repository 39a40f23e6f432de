"""Training of SPAX."""

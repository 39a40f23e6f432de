"""Training loop, processes and options that all networks share."""

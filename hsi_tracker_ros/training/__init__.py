"""Training of HA-Net."""

"""HA-Net: an anchor-free Siamese tracker for hyperspectral video (Liu et al., 2022)."""

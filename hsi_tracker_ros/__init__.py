"""HA-Net: following chosen targets in hyperspectral video."""

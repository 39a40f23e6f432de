"""Camera images to cubes: mosaics, calibration, bands, false color."""

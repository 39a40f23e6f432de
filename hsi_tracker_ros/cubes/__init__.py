"""Frames in: mosaics, calibration, band metadata, false colour, normalisation."""

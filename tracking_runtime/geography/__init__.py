"""Positions of tracks on the Earth: references of images, homographies, speeds, GeoJSON, KML and CSV."""

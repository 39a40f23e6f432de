"""`rstrack bench hsi`: HA-Net, its parts and other trackers on the same videos."""

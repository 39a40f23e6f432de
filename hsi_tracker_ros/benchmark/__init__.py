"""``rstrack bench hsi``: HA-Net, parts of it and other trackers, on the same videos."""

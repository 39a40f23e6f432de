"""What both trackers need: models, engines, frames, bags, reports, and the ROS 2 plumbing of their nodes."""

import os

# Threads of a network that wait for each other sleep instead of spinning. On two cores that a node shares
# with its neighbours this makes PyTorch several times faster; it must be said before PyTorch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

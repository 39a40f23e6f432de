"""Track one target through a folder of hyperspectral frames, in 12 lines.

    python examples/track_cubes.py 'scene:hyperspectral?seed=3&frames=20' 130 60 24 18

The source is `folder:PATH`, `bag:PATH` or `scene:NAME`. The box is x, y, width, height in the first frame.
"""

import sys

from hsi_tracker_ros import load_tracker
from tracking_runtime import open_source

source = open_source(sys.argv[1])
tracker = load_tracker("hanet_edge_any", bands=source.spectral_info)
for index, frame in enumerate(source):
    if index == 0:
        tracker.set_target(frame.image, [float(value) for value in sys.argv[2:6]])
    for target in tracker.track(frame.image, frame.stamp_ns):
        print(index, target.state.name, *target.box.round(1), round(float(target.score), 3))

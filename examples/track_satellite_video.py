"""Track every moving object in satellite video and print MOT rows.

    python examples/track_satellite_video.py 'scene:satellite?seed=3&frames=20&size=256'

The source is `folder:PATH`, `bag:PATH` or `scene:NAME`. A row is frame, id, x, y, width, height, score.
"""

import sys

from spax_ros import TrackState, load_tracker
from tracking_runtime import open_source

tracker = load_tracker("spax_small")
for number, frame in enumerate(open_source(sys.argv[1]), start=1):
    tracks = tracker.track(frame.image, frame.stamp_ns).tracks
    for index in range(len(tracks)):
        if tracks.states[index] == TrackState.CONFIRMED:
            box = ",".join(f"{value:.1f}" for value in tracks.boxes[index])
            print(f"{number},{tracks.ids[index]},{box},{tracks.scores[index]:.2f}")

"""Feed your own detector into GTA, the Gaussian-based association of SPAX.

    python examples/own_detector.py

The detector here finds bright blobs. Put yours in its place: a function from an image to boxes `(n, 4)`,
x, y, width, height in pixels, and scores `(n,)` in 0..1.
"""

import cv2
import numpy as np

from spax_ros import GaussianTracker, TrackState


def detect_blobs(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the boxes and scores of all bright blobs."""
    count, _, stats, _ = cv2.connectedComponentsWithStats((image > 100).astype(np.uint8))
    boxes = stats[1:, :4].astype(float)
    return boxes, np.full(count - 1, 0.9)


def render(frame: int) -> np.ndarray:
    """Return a dark image with three movers that cross it at different speeds."""
    image = np.random.default_rng(frame).normal(20, 5, (120, 160))
    for mover in range(3):
        x, y = 5 + (1 + mover) * frame, 20 + 35 * mover
        image[y : y + 4, x : x + 5] = 200
    return image


tracker = GaussianTracker()
for frame in range(30):
    boxes, scores = detect_blobs(render(frame))
    tracks = tracker.update(boxes, scores, stamp_ns=frame * 100_000_000)
    confirmed = tracks.states == TrackState.CONFIRMED
    print(
        frame,
        dict(zip(tracks.ids[confirmed].tolist(), tracks.boxes[confirmed].round().tolist(), strict=True)),
    )

"""Evaluate a tracker of your own with the metrics of `rstrack evaluate`.

    python examples/evaluate_tracker.py 'scene:satellite?seed=3&frames=20&size=256'

The tracker here reports the brightest pixels. Put yours in its place. It returns
ids, boxes and scores of a frame.
"""

import sys

import numpy as np

from tracking_runtime import open_source
from tracking_runtime.boxes import ScoredBoxes
from tracking_runtime.evaluation.video_scores import score_video


def track_brightest(image: np.ndarray) -> ScoredBoxes:
    """Return one box of 6 x 6 pixels around the brightest pixel, with id 1."""
    row, column = np.unravel_index(np.argmax(image), image.shape[:2])
    box = [column - 3.0, row - 3.0, 6.0, 6.0]
    return ScoredBoxes(
        ids=np.array([1]), class_ids=np.array([0]), boxes=np.array([box]), scores=np.array([0.9])
    )


frames = list(open_source(sys.argv[1]))
truth = [frame.truth for frame in frames]
predictions = [track_brightest(frame.image) for frame in frames]
print(score_video("example", truth, predictions).to_json())

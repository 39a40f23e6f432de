"""Demo scenario of a tracker: its node, its scene, its start and its scores.

A tracker's package registers its scenario in the entry-point group `remote_sensing_tracking.flights`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from tracking_runtime.bags import BagReader
from tracking_runtime.boxes import Boxes
from tracking_runtime.frames import GroundTruth
from tracking_runtime.messages.conversion import read_stamp_ns, read_truth
from tracking_runtime.plugins import DEMO_SCENARIOS, find_plugins
from tracking_runtime.reports.report_data import DemoScores, FrameAccounting
from tracking_runtime.timing import StageSummary

TRUTH_TOPIC = "/ground_truth"


@dataclass(frozen=True)
class DemoOptions:
    """Options of the user for one scenario.

    Attributes:
        seed: seed of the simulated scene, or of the motion over a real cube. None: the scenario's default.
        num_frames: number of frames of a simulated or panned scene. None: the scenario's default.
        input_path: path of real frames; for satellite video also the address of a source. None: a simulated
            scene.
        mosaic: filter rows and columns of a raw mosaic, for example `3x3`; empty: found from the file.
        camera: name or file of the hyperspectral camera of real frames; empty: found from the file.
        model: name or path of the model; empty: the scenario's default.
        rate_hz: rate of the player in frames per second. 0: lock step, each frame after the last one is
            processed. None: the scenario's default.
    """

    seed: int | None = None
    num_frames: int | None = None
    input_path: str | Path | None = None
    mosaic: str = ""
    camera: str = ""
    model: str = ""
    rate_hz: float | None = None


@dataclass(frozen=True)
class DemoPlan:
    """Plan of one scenario.

    Attributes:
        source: address of the player's source.
        num_frames: number of frames of the source.
        rate_hz: rate of the player in frames per second; 0: lock step.
        model: name or path of the tracker's model.
    """

    source: str
    num_frames: int
    rate_hz: float
    model: str


class DemoControl(Protocol):
    """Control of a running scenario."""

    def wait_for_object(self) -> tuple[int, GroundTruth]:
        """Wait for a processed frame that shows an object. Return stamp and ground truth of the newest."""

    def set_target(self, box: Boxes, stamp_ns: int) -> None:
        """Set the tracker's target.

        Args:
            box: box of the target in pixels, (4,): x, y, width, height.
            stamp_ns: stamp of the frame of the box in nanoseconds.
        """


class DemoRecording:
    """Recording of a scenario, as scoring reads it.

    Args:
        bag: folder of the bag.
        tracks_topic: topic of the tracker's tracks.
    """

    def __init__(self, bag: Path, tracks_topic: str) -> None:
        self._reader = BagReader(bag)
        self._tracks_topic = tracks_topic

    @cached_property
    def truth(self) -> dict[int, GroundTruth]:
        """Ground truth of each played frame by stamp; empty without ground truth."""
        return {read_stamp_ns(message): read_truth(message) for message in self._read_messages(TRUTH_TOPIC)}

    @cached_property
    def image_size(self) -> tuple[int, int] | None:
        """Width and height of the images with ground truth in pixels; None without ground truth."""
        message = next(self._read_messages(TRUTH_TOPIC), None)
        return (int(message.image_width), int(message.image_height)) if message else None

    @cached_property
    def tracks(self) -> list[Any]:
        """Messages of the tracker in the order of their recording."""
        return list(self._read_messages(self._tracks_topic))

    def _read_messages(self, topic: str) -> Iterator[Any]:
        return (message for _, message in self._reader.read_messages([topic]))


def _do_nothing(control: DemoControl) -> None:
    """Leave the tracker as it is."""


def _is_always_ready(_diagnostics: Mapping[str, str]) -> bool:
    """Return True: a configured tracker is ready."""
    return True


@dataclass(frozen=True)
class DemoScenario:
    """Demo scenario of one tracker.

    Attributes:
        name: name of the scenario on the command line.
        title: title of the scenario in the report.
        module: module of the tracker's node, run with `python -m`.
        node: name of the tracker's node.
        view: value of the visualizer's parameter `tracker`.
        plan: function that chooses source and model by the user's options. Raises SourceError.
        score: function that scores a recording.
        is_ready: function that returns whether the configured tracker can process frames. Takes the tracker's
            diagnostics. Called after the player has published the camera's bands.
        on_playback_start: function that is called as soon as frames are played.
        image_topic: topic of the image that the visualizer draws on.
        image_scale: magnification of the image by the visualizer.
        parameters: parameters of the tracker's node other than the model.
    """

    name: str
    title: str
    module: str
    node: str
    view: str
    plan: Callable[[DemoOptions], DemoPlan]
    score: Callable[[DemoRecording], DemoScores]
    is_ready: Callable[[Mapping[str, str]], bool] = _is_always_ready
    on_playback_start: Callable[[DemoControl], None] = _do_nothing
    image_topic: str = "/image"
    image_scale: int = 1
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tracks_topic(self) -> str:
        """Topic of the tracker's tracks."""
        return f"/{self.node}/tracks"


ProgressCallback = Callable[[str, int], None]


@dataclass
class SessionResult:
    """Result of a finished session.

    Attributes:
        bag: folder of the recording.
        seconds: time from the first published frame to the last accounted one.
        accounting: numbers of frames by their fate.
        stage_summaries: durations of each stage of the tracker by its name.
        tracker_diagnostics: last diagnostics of the tracker by key.
        overlays: images of the visualizer as JPEG, by the stamp of the frame.
    """

    bag: Path
    seconds: float
    accounting: FrameAccounting
    stage_summaries: Mapping[str, StageSummary]
    tracker_diagnostics: Mapping[str, str]
    overlays: Mapping[int, bytes] = field(repr=False)


def load_scenarios() -> dict[str, DemoScenario]:
    """Load the scenarios of all installed trackers by name, in alphabetical order."""
    return {name: point.load() for name, point in find_plugins(DEMO_SCENARIOS).items()}

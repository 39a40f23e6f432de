"""The visualizer as a process, fed by hand with frames and tracks of both kinds."""

from __future__ import annotations

from itertools import count

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from builtin_interfaces.msg import Duration, Time
from remote_sensing_tracking.msg import BoundingBox, TargetTrack, TargetTrackArray, TrackArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from visualization_msgs.msg import ImageMarker, Marker, MarkerArray

from tracking_runtime.messages.conversion import read_image
from tracking_runtime.overlay import compute_track_color
from tracking_runtime.ros.clients import LifecycleClient
from tracking_runtime.ros.conversions.image_messages import decompress
from tracking_runtime.ros.node import qos
from tracking_runtime.ros.node.diagnostics import DiagnosticLevel

BOXES = np.array([[10, 12, 30, 20], [60, 40, 8, 8], [90, 70, 40, 25]], float)


def header(frame: int) -> Header:
    return Header(stamp=Time(sec=1, nanosec=frame * 40_000_000), frame_id="camera")


def image(frame: int, kind=np.uint8, encoding: str = "mono8") -> Image:
    pixels = np.full((120, 160), 60, kind)
    message = Image(header=header(frame), height=120, width=160, encoding=encoding)
    message.step = pixels.strides[0]
    message.data.frombytes(pixels.tobytes())
    return message


def tracks(frame: int, epoch: int = 0, boxes=BOXES) -> TrackArray:
    n = len(boxes)
    return TrackArray(
        header=header(frame),
        image_width=160,
        image_height=120,
        epoch=epoch,
        latency=Duration(nanosec=12_000_000),
        class_names=["car"],
        ids=list(range(1, n + 1)),
        class_ids=[0] * n,
        scores=[0.9] * n,
        boxes=(boxes + np.array([frame, 0, 0, 0])).ravel().tolist(),
        velocities=[0.0] * (2 * n),
        states=[TrackArray.STATE_CONFIRMED, TrackArray.STATE_TENTATIVE, TrackArray.STATE_COASTING][:n],
        ages=[frame] * n,
    )


def targets(frame: int, epoch: int = 0, boxes=BOXES) -> TargetTrackArray:
    states = (TargetTrack.STATE_TRACKING, TargetTrack.STATE_UNCERTAIN, TargetTrack.STATE_LOST)
    return TargetTrackArray(
        header=header(frame),
        image_width=160,
        image_height=120,
        epoch=epoch,
        tracks=[
            TargetTrack(
                id=i + 1,
                box=BoundingBox(x=x + frame, y=y, width=width, height=height),
                score=0.8,
                state=states[i],
                label="van",
            )
            for i, (x, y, width, height) in enumerate(boxes)
        ],
    )


_RELIABLE = {"qos_overrides./image.subscription.reliability": "reliable"}


class Stage:
    """Feeds a visualizer and takes what it shows."""

    def __init__(self, ros, node_process, tracker: str, **parameters) -> None:
        kind = {"satellite": TrackArray, "hsi": TargetTrackArray}[tracker]
        self.ros = ros
        self.make = {"satellite": tracks, "hsi": targets}[tracker]
        self.images = ros.node.create_publisher(Image, "image", 5)
        self.tracks = ros.node.create_publisher(kind, "tracks", qos.make_track_profile())
        self.truth = ros.node.create_publisher(TrackArray, "ground_truth", qos.make_track_profile())
        self.client = LifecycleClient(ros, "/visualizer")
        self.process = node_process(
            "tracking_runtime.nodes.visualizer",
            "visualizer",
            parameters={"autostart": True, "tracker": tracker, **_RELIABLE, **parameters},
        )


@pytest.fixture
def stage(ros, node_process):
    return lambda tracker, **parameters: Stage(ros, node_process, tracker, **parameters)


@pytest.mark.parametrize("tracker", ["satellite", "hsi"])
def test_visualizer_draws_tracks_in_overlay_and_markers(stage, ros, wait_for, tracker):
    scene = stage(tracker, scale=2)
    markers = ros.listen(MarkerArray, "/visualizer/markers", 10)
    annotations = ros.listen(ImageMarker, "/visualizer/annotations", 10)
    overlays = ros.listen(Image, "/visualizer/overlay", 10)
    compressed = ros.listen(CompressedImage, "/visualizer/overlay/compressed", 10)
    wait_for(lambda: ros.node.get_publishers_info_by_topic("/visualizer/overlay/compressed"))
    wait_for(scene.images.get_subscription_count, description="wish for images")
    wait_for(scene.tracks.get_subscription_count)
    wait_for(scene.truth.get_subscription_count)
    wait_for(lambda: ros.node.get_publishers_info_by_topic("/visualizer/annotations"))
    scene.truth.publish(tracks(3, boxes=np.array([[120.0, 10, 24, 24]])))
    for frame in range(4):
        scene.images.publish(image(frame))
        scene.tracks.publish(scene.make(frame))
    wait_for(
        lambda: len(overlays) == len(markers) == len(annotations) == 4, description="what there is to see"
    )

    shown = read_image(overlays[-1])
    assert (overlays[-1].header.stamp, overlays[-1].header.frame_id) == (header(3).stamp, "camera")
    assert (shown.image.shape, shown.encoding) == ((240, 320, 3), "bgr8")
    wait_for(lambda: len(compressed) == 4, description="the compressed overlays")
    jpeg, _ = decompress(compressed[-1])
    assert compressed[-1].header == overlays[-1].header
    assert np.abs(jpeg.astype(int) - shown.image).mean() < 8
    drawn = {tuple(pixel) for pixel in shown.image.reshape(-1, 3).tolist()}
    assert {compute_track_color(number) for number in (1, 2, 3)} <= drawn
    truth = (shown.image[16:22, 230:300] == 255).all(axis=2)
    assert truth.any()

    plane, boxes, *others = markers[-1].markers
    assert (plane.type, plane.ns) == (Marker.TRIANGLE_LIST, "plane")
    assert {(p.x, p.y) for p in plane.points} == {(0, 0), (0, -1.2), (1.6, -1.2), (1.6, 0)}
    triangles = np.array([(p.x, p.y, 1) for p in plane.points]).reshape(2, 3, 3)
    assert np.linalg.det(triangles) == pytest.approx([1.92, 1.92])  # both face who looks from above
    assert (boxes.type, boxes.ns, len(boxes.points)) == (Marker.LINE_LIST, "boxes", 8 * 3)
    assert boxes.header.frame_id == "image"
    assert (boxes.points[0].x, boxes.points[0].y) == pytest.approx((0.13, -0.12))
    assert {(m.ns, m.id) for m in others} == {(ns, i) for ns in ("trails", "labels") for i in (1, 2, 3)}
    annotation = annotations[-1]
    assert annotation.header == header(3)
    assert (annotation.type, len(annotation.outline_colors)) == (ImageMarker.LINE_LIST, 8 * 3)
    assert [(p.x, p.y) for p in annotation.points[:3]] == [(13, 12), (43, 12), (43, 12)]
    trail = next(m for m in others if m.ns == "trails" and m.id == 1)
    assert (trail.points[0].x, trail.points[-1].x) == pytest.approx((0.25, 0.28))


def test_visualizer_deletes_markers_of_ended_tracks(stage, ros, wait_for):
    scene = stage("satellite")
    markers = ros.listen(MarkerArray, "/visualizer/markers", 10)
    ros.listen(Image, "/visualizer/overlay", 10)  # who is known to wish for it, is known to wish for markers
    wait_for(scene.images.get_subscription_count, description="wish for images")
    wait_for(scene.tracks.get_subscription_count)
    scene.tracks.publish(tracks(0))
    scene.tracks.publish(tracks(1, boxes=BOXES[:2]))
    scene.tracks.publish(tracks(2, epoch=1))
    wait_for(lambda: len(markers) == 4, description="markers")
    gone = [(m.ns, m.id) for m in markers[1].markers if m.action == Marker.DELETE]
    assert gone == [("trails", 3), ("labels", 3)]
    assert [m.action for m in markers[2].markers] == [Marker.DELETEALL]
    trail = next(m for m in markers[3].markers if m.ns == "trails")
    assert len({point.x for point in trail.points}) == 1


def test_visualizer_without_subscribers_does_nothing(stage, ros, wait_for):
    scene = stage("satellite")
    wait_for(scene.tracks.get_subscription_count)
    scene.tracks.publish(tracks(0))
    assert scene.images.get_subscription_count() == 0
    overlay = ros.node.create_subscription(Image, "/visualizer/overlay", lambda _: None, 10)
    wait_for(scene.images.get_subscription_count, description="wish for images")
    ros.run(lambda: ros.node.destroy_subscription(overlay))
    wait_for(lambda: not scene.images.get_subscription_count(), description="end of the wish")


def test_visualizer_invalid_frame_is_refused_with_reason(stage, ros, wait_for):
    scene = stage("satellite")
    overlays = ros.listen(Image, "/visualizer/overlay", 10)
    wait_for(scene.images.get_subscription_count, description="wish for images")
    scene.images.publish(image(0, encoding="yuv"))
    wait_for(
        lambda: scene.client.diagnosis and "'yuv'" in scene.client.diagnosis.message, description="reason"
    )
    scene.images.publish(image(1, np.uint16, "mono16"))
    scene.tracks.publish(tracks(1))
    wait_for(lambda: len(overlays) == 1, description="overlay of the next frame")
    assert scene.client.diagnosis.values["refused"] == "1"
    wait_for(scene.truth.get_subscription_count)
    scene.truth.publish(TrackArray(header=header(2), ids=[1]))
    wait_for(
        lambda: scene.client.diagnosis.values["last_refusal"].startswith("ground_truth: "),
        description="reason",
    )


def test_visualizer_preview_is_small_and_infrequent(stage, ros, wait_for):
    scene = stage("satellite", preview_side=80, preview_rate=0.01)
    previews = ros.listen(CompressedImage, "/visualizer/preview", 10)
    wait_for(scene.images.get_subscription_count, description="wish for images")
    wait_for(scene.tracks.get_subscription_count)
    for frame in range(3):
        scene.images.publish(image(frame))
        scene.tracks.publish(tracks(frame))
    values = wait_for(
        lambda: (
            scene.client.diagnosis
            and scene.client.diagnosis.values.get("stage.publish.count")
            and scene.client.diagnosis.values
        ),
        description="a picture",
    )
    assert (values["drawn"], values["unpaired"], len(previews)) == ("1", "0", 1)
    assert decompress(previews[0])[0].shape == (60, 80, 3)


def test_visualizer_counts_frames_without_tracks(stage, ros, wait_for):
    scene = stage("satellite")
    overlays = ros.listen(Image, "/visualizer/overlay", 10)
    wait_for(scene.images.get_subscription_count, description="wish for images")
    for frame in range(3):
        scene.images.publish(image(frame))
    scene.tracks.publish(tracks(2))
    wait_for(lambda: len(overlays) == 1, description="overlay")
    scene.images.publish(image(3))
    scene.tracks.publish(tracks(3))
    wait_for(lambda: len(overlays) == 2, description="next overlay")
    wait_for(lambda: scene.client.diagnosis and scene.client.diagnosis.values["drawn"] == "2")
    assert scene.client.diagnosis.values["unpaired"] == "2"


def test_visualizer_warns_of_images_without_tracks_until_they_come(stage, ros, wait_for):
    scene = stage("satellite")
    overlays = ros.listen(Image, "/visualizer/overlay", 10)
    wait_for(scene.images.get_subscription_count, description="wish for images")
    frames = count()

    def is_warned() -> bool:
        scene.images.publish(image(next(frames) % 20))
        return (
            "none of their stamp on tracks" in scene.client.diagnosis.message
            if scene.client.diagnosis
            else False
        )

    wait_for(is_warned, 30, "the warning")
    assert scene.client.diagnosis.level == DiagnosticLevel.WARN

    scene.images.publish(image(24))
    scene.tracks.publish(tracks(24))
    wait_for(lambda: overlays, description="an overlay")
    wait_for(lambda: scene.client.diagnosis.message == "showing", description="a diagnosis without warning")


@pytest.mark.parametrize(
    ("tracker", "message"),
    [
        ("satellite", TrackArray(header=header(0), ids=[1, 2], boxes=[1.0] * 4)),
        ("satellite", TrackArray(ids=[1], class_ids=[0], states=[1], boxes=[float("nan")] * 4)),
        ("hsi", TargetTrackArray(tracks=[TargetTrack(box=BoundingBox(x=float("inf")))])),
    ],
)
def test_visualizer_refuses_malformed_tracks(stage, wait_for, tracker, message):
    scene = stage(tracker)
    wait_for(scene.tracks.get_subscription_count)

    scene.tracks.publish(message)

    wait_for(
        lambda: scene.client.diagnosis and "cannot be shown: tracks" in scene.client.diagnosis.message,
        description="the refusal",
    )
    assert "Traceback" not in scene.process.log


def test_visualizer_forgets_a_refusal(stage, ros, wait_for):
    scene = stage("satellite")
    ros.listen(Image, "/visualizer/overlay", 10)
    wait_for(scene.images.get_subscription_count, description="wish for images")
    scene.images.publish(image(0, encoding="yuv"))
    wait_for(
        lambda: scene.client.diagnosis and "'yuv'" in scene.client.diagnosis.message, description="reason"
    )

    wait_for(lambda: scene.client.diagnosis.message == "showing", 20, "a diagnosis without warning")

    assert "'yuv'" in scene.client.diagnosis.values["last_refusal"]

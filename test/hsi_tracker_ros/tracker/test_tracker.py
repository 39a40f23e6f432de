from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsi_tracker_ros.cubes.bands import CameraMismatch
from hsi_tracker_ros.cubes.camera_presets import preset
from hsi_tracker_ros.hanet.inference import SiameseModel
from hsi_tracker_ros.hanet.weights import load_network
from hsi_tracker_ros.simulation import HyperspectralScene
from hsi_tracker_ros.tracker import HsiTracker, TargetStatus, TrackerSettings, load_rgb_tracker, load_tracker
from tracking_runtime.boxes import intersection_over_union
from tracking_runtime.engines import EngineSettings
from tracking_runtime.errors import FrameRefusedError, ModelError, TargetRefused
from tracking_runtime.io.ground_truth import read_ground_truth
from tracking_runtime.spectral_info import SpectralInfo

SEED = 1_000_004
ENGINE = EngineSettings(engine="pytorch", threads=1)
REAL_VIDEO = Path(__file__).resolve().parents[4] / "shared" / "data" / "rgb" / "bag"


@pytest.fixture(scope="module")
def frames():
    return list(HyperspectralScene(SEED, frames=24, attributes="BC"))


@pytest.fixture(scope="module")
def model():
    return SiameseModel(load_network("hanet_edge_vis16"), ENGINE)


@pytest.fixture
def tracker(model):
    return HsiTracker(model)


def truth(frame):
    return frame.truth.boxes[0]


def test_follows_a_simulated_target(tracker, frames):
    target = tracker.set_target(frames[0].image, truth(frames[0]), stamp_ns=frames[0].stamp_ns, label="it")
    overlaps = []
    for frame in frames[1:]:
        (state,) = tracker.track(frame.image, frame.stamp_ns)
        overlaps.append(intersection_over_union(state.box, truth(frame))[0, 0])
        assert state.id == target
        assert state.label == "it"
        assert 0 <= state.score <= 1
        assert (state.frames_since_seen == 0) == (state.state is TargetStatus.TRACKING)
    assert np.mean(overlaps) > 0.5
    assert tracker.response.shape == (25, 25)
    runs = {stage: times.count for stage, times in tracker.times.summary().items()}
    assert runs == dict.fromkeys(("crop", "engine", "update"), len(frames) - 1)


def test_keeps_up_with_a_target_that_gathers_speed(tracker, frames):
    tracker.set_target(frames[0].image, truth(frames[0]))
    moved = 0
    for step in range(0, 48, 4):
        moved += step
        (state,) = tracker.track(np.roll(frames[0].image, moved, axis=1), 0)
        expected = truth(frames[0]) + np.array([moved, 0, 0, 0])
        expected[0] %= frames[0].image.shape[1]
        if expected[0] + expected[2] > frames[0].image.shape[1]:
            break
        assert intersection_over_union(state.box, expected)[0, 0] > 0.4


@pytest.mark.parametrize("drawn", [(1.3, 1.3), (0.8, 0.8), (1.3, 0.9)])
def test_boxes_keep_more_of_the_size_that_the_target_was_given_with(model, frames, drawn):
    box = truth(frames[0])
    given = np.concatenate([box[:2] + box[2:] * (1 - np.array(drawn)) / 2, box[2:] * drawn])
    change = []
    for share in (0.5, 0.0):
        tracker = HsiTracker(model, TrackerSettings(size_calibration=share))
        tracker.set_target(frames[0].image, given)
        for _ in range(8):
            (state,) = tracker.track(frames[0].image, 0)
        change.append(np.abs(np.log(state.box[2:] / given[2:])).max())
    assert change[0] < 0.8 * change[1]


def test_the_newest_template_is_from_a_later_frame(tracker, frames):
    tracker.set_target(frames[0].image, truth(frames[0]), stamp_ns=frames[0].stamp_ns)
    stamps = [tracker.track(frame.image, frame.stamp_ns)[0].template_stamp_ns for frame in frames[1:]]
    assert stamps[8] == frames[0].stamp_ns
    assert stamps[-1] > frames[0].stamp_ns


def test_a_target_that_is_half_hidden_becomes_no_template(model, frames):
    scene = frames[0].image
    x, y, width, height = np.round(truth(frames[0])).astype(int)
    hidden = scene.copy()
    hidden[y : y + height, x + width // 2 : x + width] = scene.mean(axis=(0, 1))
    newest = {}
    for least in (0.0, TrackerSettings().online_confidence):
        tracker = HsiTracker(model, TrackerSettings(online_confidence=least, online_score=0.0))
        tracker.set_target(scene, truth(frames[0]), stamp_ns=1)
        for stamp in range(2, 23):
            (state,) = tracker.track(scene if stamp < 9 else hidden, stamp)
        newest[least] = state.template_stamp_ns
    anything, sure = newest.values()
    assert anything > 9 >= sure


@pytest.mark.parametrize("batch", [1, 4])
def test_targets_together_are_followed_as_if_alone(frames, batch):
    model = SiameseModel(load_network("hanet_edge_vis16"), ENGINE)
    boxes = [truth(frames[0]), [40.0, 40, 50, 30], [480, 230, 60, 60]]
    alone = []
    for box in boxes:
        tracker = HsiTracker(model)
        tracker.set_target(frames[0].image, box)
        alone.append([tracker.track(frame.image, 0)[0] for frame in frames[1:8]])
    together = HsiTracker(model)
    for box in boxes:
        together.set_target(frames[0].image, box)
    if batch > 1:
        together.prepare()
    assert model.largest_batch == batch
    for index, frame in enumerate(frames[1:8]):
        for target, state in enumerate(together.track(frame.image, 0)):
            assert np.allclose(state.box, alone[target][index].box, atol=0.05)
            assert state.state == alone[target][index].state


def test_eased_search_looks_for_targets_in_turns(model, frames):
    tracker = HsiTracker(model)
    for box in [truth(frames[0]), [40.0, 40, 50, 30], [300, 100, 60, 60]]:
        tracker.set_target(frames[0].image, box)
    tracker.ease(1)
    seen = [
        [state.frames_since_seen == 0 for state in tracker.track(frame.image, 0)] for frame in frames[1:4]
    ]
    assert [sum(of_frame) for of_frame in seen] == [2, 2, 2]
    assert all(any(of_target) for of_target in zip(*seen, strict=True))
    tracker.ease(0)
    assert len([state for state in tracker.track(frames[4].image, 0) if not state.frames_since_seen]) == 3


def test_another_model_takes_targets_over(model, frames):
    full, light = HsiTracker(model), HsiTracker(model)
    for tracker in (full, light):
        tracker.set_target(frames[0].image, truth(frames[0]), label="it")
    for frame in frames[1:10]:
        (last,) = full.track(frame.image, frame.stamp_ns)
    light.take_over(full)
    (state,) = light.track(frames[10].image, frames[10].stamp_ns)
    (expected,) = full.track(frames[10].image, frames[10].stamp_ns)
    np.testing.assert_allclose(state.box, expected.box, atol=2)
    assert (state.id, state.label) == (expected.id, "it")
    assert intersection_over_union(state.box, truth(frames[10]))[0, 0] > 0.4
    assert np.abs(state.box - last.box).max() > 0


def test_another_model_draws_targets_as_large_as_it_learned(model, frames):
    plain, calibrated = (HsiTracker(model, TrackerSettings(size_calibration=share)) for share in (0.0, 1.0))
    x, y, width, height = truth(frames[0])
    wider = (x - width / 4, y - height / 4, 1.5 * width, 1.5 * height)
    for tracker in (plain, calibrated):
        tracker.set_target(frames[0].image, wider)
    for frame in frames[1:10]:
        (small,) = plain.track(frame.image, frame.stamp_ns)
    calibrated.take_over(plain)
    for frame in frames[10:20]:
        (large,) = calibrated.track(frame.image, frame.stamp_ns)
    assert large.box[2:].prod() > 1.15 * small.box[2:].prod()


@pytest.mark.parametrize(
    "box",
    [
        (10, 10, 0, 5),
        (10, 10, 5, -1),
        (np.nan, 0, 5, 5),
        (0, 0, np.inf, 5),
        (600, 10, 20, 20),
        (-30, 10, 20, 20),
        (1, 2, 3),
    ],
)
def test_impossible_targets_are_refused_and_change_nothing(tracker, frames, box):
    target = tracker.set_target(frames[0].image, truth(frames[0]))
    with pytest.raises(TargetRefused, match=r"box"):
        tracker.set_target(frames[0].image, box)
    (state,) = tracker.track(frames[1].image, 0)
    assert state.id == target
    assert tracker.set_target(frames[0].image, truth(frames[0])) == target + 1


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda cube: cube[..., :15], "15"),
        (lambda cube: cube[..., 0], "shape"),
        (lambda cube: cube[:0], "shape"),
        (lambda cube: cube.astype(np.float64), "float64"),
        (lambda cube: np.where(cube == cube.max(), np.nan, cube).astype(np.float32), "finite"),
    ],
)
def test_unusable_frames_are_refused_and_change_nothing(tracker, frames, spoil, reason):
    tracker.set_target(frames[0].image, truth(frames[0]))
    with pytest.raises(FrameRefusedError, match=reason):
        tracker.track(spoil(frames[1].image), 0)
    other = HsiTracker(tracker.model)
    other.set_target(frames[0].image, truth(frames[0]))
    ours, fresh = (each.track(frames[1].image, 0)[0] for each in (tracker, other))
    assert np.array_equal(ours.box, fresh.box)


def test_brightness_and_sample_type_do_not_matter(model, frames):
    boxes = []
    for convert in (lambda cube: cube, lambda cube: cube.astype(np.float32) / 500):
        tracker = HsiTracker(model)
        tracker.set_target(convert(frames[0].image), truth(frames[0]))
        boxes.append([tracker.track(convert(frame.image), 0)[0].box for frame in frames[1:5]])
    assert np.allclose(*boxes, atol=1.0)


def test_targets_come_and_go(tracker, frames):
    one = tracker.set_target(frames[0].image, truth(frames[0]))
    two = tracker.set_target(frames[0].image, (5, 5, 30, 20))
    assert tracker.clear_target(one) == 1
    assert tracker.clear_target(one) == 0
    assert [state.id for state in tracker.track(frames[1].image, 0)] == [two]
    assert tracker.set_target(frames[1].image, (50, 50, 30, 20), target_id=two) == two
    assert len(tracker.track(frames[2].image, 0)) == 1
    assert tracker.clear_target(None) == 1
    assert tracker.track(frames[3].image, 0) == []
    assert tracker.response is None
    tracker.reset()
    assert tracker.set_target(frames[0].image, truth(frames[0])) == 1


@settings(max_examples=8, deadline=None)
@given(st.floats(-20, 500), st.floats(-20, 250), st.floats(0.5, 500), st.floats(0.5, 250))
def test_any_box_that_touches_the_image_can_be_followed(model, frames, x, y, width, height):
    if x + width <= 0.1 or y + height <= 0.1:
        x, y = 1.0, 1.0
    tracker = HsiTracker(model)
    tracker.set_target(frames[0].image, (x, y, width, height))
    for frame in frames[1:3]:
        (state,) = tracker.track(frame.image, 0)
        assert np.isfinite(state.box).all()
        assert (state.box[2:] > 0).all()


def test_a_target_that_is_gone_is_lost_and_found_again(model, frames):
    settings_ = TrackerSettings(confidence_rate=0.5)
    tracker = HsiTracker(model, settings_)
    tracker.set_target(frames[0].image, truth(frames[0]))
    tracker.track(frames[1].image, 0)
    means = frames[0].image.mean(axis=(0, 1)).astype(np.uint16)
    nothing = np.broadcast_to(means, frames[0].image.shape) + np.uint16(1)
    for _ in range(10):
        (state,) = tracker.track(nothing, 0)
    assert state.state is TargetStatus.LOST
    assert state.frames_since_seen == 10
    for _ in range(15):
        (state,) = tracker.track(frames[1].image, 0)
    assert state.state is TargetStatus.TRACKING
    assert intersection_over_union(state.box, truth(frames[1]))[0, 0] > 0.4


@pytest.mark.parametrize("difference", [0.1, 0.15])
def test_a_look_alike_that_passes_slowly_over_the_target_takes_nobody_along(model, frames, difference):
    scene = frames[0].image
    x, y, width, height = np.round(truth(frames[0])).astype(int)
    other = 1 + difference * (-1.0) ** np.arange(scene.shape[2])
    look_alike = (scene[y : y + height, x : x + width] * other).astype(scene.dtype)
    tracker = HsiTracker(model)
    tracker.set_target(scene, truth(frames[0]))
    for left in x - 2 * width + width * np.interp(range(48), [0, 10, 34, 47], [0, 1.5, 2.4, 5]):
        frame = scene.copy()
        frame[y : y + height, int(left) : int(left) + width] = look_alike
        (state,) = tracker.track(frame, 0)
    assert state.state is TargetStatus.TRACKING
    assert intersection_over_union(state.box, truth(frames[0]))[0, 0] > 0.6


@pytest.mark.parametrize(("scale", "found"), [(1.0, False), (1.5, True)])
def test_a_target_that_is_three_times_as_large_when_it_returns_is_found(model, scale, found):
    first, second = HyperspectralScene(3, frames=2, attributes="")
    height, width, _ = first.image.shape
    corner = np.round(3 * (truth(second)[:2] + truth(second)[2:] / 2) - (width / 2, height / 2)).astype(int)
    left, top = np.clip(corner, 0, (2 * width, 2 * height))
    nearer = cv2.resize(second.image, None, fx=3, fy=3)[top : top + height, left : left + width]
    tracker = HsiTracker(model, TrackerSettings(confidence_rate=0.5, redetection_scale=scale))
    tracker.set_target(first.image, truth(first))
    for _ in range(4):
        (state,) = tracker.track(np.full_like(nearer, 200), 0)
    assert state.state is TargetStatus.LOST
    for _ in range(10):
        (state,) = tracker.track(nearer, 0)
    expected = 3 * truth(second) - (left, top, 0, 0)
    followed = intersection_over_union(state.box, expected)[0, 0] > 0.6
    assert (followed and state.state is TargetStatus.TRACKING) == found


def test_a_camera_that_misses_bands_is_refused(model):
    with pytest.raises(CameraMismatch, match="480"):
        HsiTracker(model, camera=SpectralInfo(tuple(np.linspace(600, 900, 16))))


def test_a_camera_in_another_order_is_matched(model, frames):
    tracker, order = HsiTracker(model), np.argsort(preset("vis16").wavelengths_nm)
    shuffled = HsiTracker(model, camera=SpectralInfo(tuple(np.array(preset("vis16").wavelengths_nm)[order])))
    tracker.set_target(frames[0].image, truth(frames[0]))
    shuffled.set_target(frames[0].image[..., order], truth(frames[0]))
    (one,), (other,) = tracker.track(frames[1].image, 0), shuffled.track(frames[1].image[..., order], 0)
    assert np.allclose(one.box, other.box, atol=1.0)


def test_the_model_for_any_camera_needs_to_know_which():
    with pytest.raises(ModelError, match="any camera"):
        load_tracker("hanet_edge_any", engine="pytorch")


def test_the_model_for_any_camera_tells_what_it_does_not_see(caplog):
    with pytest.raises(CameraMismatch, match=r"0\.5, 0\.6 nm; wavelengths are given in nm"):
        load_tracker("hanet_edge_any", engine="pytorch", bands=SpectralInfo((0.5, 0.6)))
    load_tracker("hanet_edge_any", engine="pytorch", bands=SpectralInfo((550.0, 900.0, 1300.0)))
    assert "not the camera's bands at 1300 nm" in caplog.text


def test_the_model_for_any_camera_follows_on_an_odd_one():
    camera = SpectralInfo((440.0, 560.0, 700.0, 850.0, 940.0), (30.0,) * 5, bit_depth=12)
    scene = list(HyperspectralScene(SEED, frames=8, bands=camera, attributes="BC"))
    info = replace(camera, saturation_level=4095.0)
    tracker = load_tracker("hanet_edge_any", engine="pytorch", bands=info)
    tracker.set_target(scene[0].image, truth(scene[0]))
    for frame in scene[1:]:
        (state,) = tracker.track(frame.image, 0)
    assert intersection_over_union(state.box, truth(scene[-1]))[0, 0] > 0.4


@pytest.mark.skipif(not REAL_VIDEO.is_dir(), reason=f"no real video at {REAL_VIDEO}")
def test_the_rgb_branch_alone_follows_a_real_target():
    images = sorted(REAL_VIDEO.glob("*.jpg"))
    boxes = [truth.boxes[0] for truth in read_ground_truth(REAL_VIDEO / "groundtruth.txt", len(images))]
    tracker = load_rgb_tracker("hanet_edge_any", engine_settings=ENGINE, engine="pytorch")
    tracker.set_target(cv2.imread(str(images[0])), boxes[0])
    found = [tracker.track(cv2.imread(str(path)), 0)[0].box for path in images[1:]]
    overlaps = [intersection_over_union(a, b)[0, 0] for a, b in zip(found, boxes[1:], strict=True)]
    assert np.mean(overlaps) > 0.8


def test_what_stood_beside_a_target_that_is_gone_is_not_followed_in_its_stead(model, frames):
    scene = frames[0].image
    x, y, width, height = np.round(truth(frames[0])).astype(int)
    ground = scene.copy()
    ground[y : y + height, x : x + width] = scene.mean(axis=(0, 1))
    similar = scene[y : y + height, x : x + width] * (1 + 0.03 * (-1.0) ** np.arange(scene.shape[2]))
    beside = x + int(1.2 * width)
    ground[y : y + height, beside : beside + width] = similar
    both = ground.copy()
    both[y : y + height, x : x + width] = scene[y : y + height, x : x + width]
    answers = {}
    for taken in (0.0, TrackerSettings().score_distractor):
        tracker = HsiTracker(model, TrackerSettings(score_distractor=taken, redetection_crops=0))
        tracker.set_target(both, truth(frames[0]))
        for frame in [both] * 5 + [ground] * 20:
            (answers[taken],) = tracker.track(frame, 0)
    stolen, gone = answers.values()
    assert intersection_over_union(stolen.box, (beside, y, width, height))[0, 0] > 0.5
    assert gone.state is TargetStatus.LOST
    assert intersection_over_union(gone.box, truth(frames[0]))[0, 0] > 0.5


def test_what_appears_when_a_target_is_gone_must_fit_its_spectrum_as_well_as_that_did(model, frames):
    last = frames[12].image
    x, y, width, height = np.round(truth(frames[12])).astype(int)
    thing = last[y : y + height, x : x + width]
    other = (thing * (1 + 0.03 * (-1.0) ** np.arange(last.shape[2]))).astype(last.dtype)
    gone = last.copy()
    gone[y : y + height, x : x + width] = last.mean(axis=(0, 1))
    place = x + int(1.5 * width)
    answers = {}
    for taken in (0.0, 10.0):
        for name, appears in {"other": other, "itself": thing}.items():
            returned = gone.copy()
            returned[y : y + height, place : place + width] = appears
            tracker = HsiTracker(model, TrackerSettings(score_unlike=taken))
            tracker.set_target(frames[0].image, truth(frames[0]))
            for image in [frame.image for frame in frames[1:13]] + [gone] * 25 + [returned] * 15:
                (answers[taken, name],) = tracker.track(image, 0)
    followed = {
        tries: state.state is TargetStatus.TRACKING
        and intersection_over_union(state.box, (place, y, width, height))[0, 0] > 0.5
        for tries, state in answers.items()
    }
    assert followed == {
        (0.0, "other"): True,
        (0.0, "itself"): True,
        (10.0, "other"): False,
        (10.0, "itself"): True,
    }
    assert answers[10.0, "other"].state is TargetStatus.LOST


def test_what_stood_elsewhere_while_the_target_was_seen_is_not_found_in_its_stead(model, frames):
    scene = frames[0].image
    x, y, width, height = np.round(truth(frames[0])).astype(int)
    thing = scene[y : y + height, x : x + width]
    far, returns = (scene.shape[1] - x - width, y), (x, scene.shape[0] - 20 - height)
    ground = scene.copy()
    ground[y : y + height, x : x + width] = scene.mean(axis=(0, 1))

    def with_things_at(*places):
        frame = ground.copy()
        for left, top in places:
            frame[top : top + height, left : left + width] = thing
        return frame

    film = [with_things_at((x, y), far)] * 6 + [with_things_at(far)] * 30
    film += [with_things_at(returns, far)] * 15
    found = {}
    for least in (0.0, TrackerSettings().alibi_evidence):
        tracker = HsiTracker(model, TrackerSettings(alibi_evidence=least))
        tracker.set_target(film[0], truth(frames[0]))
        states = [tracker.track(frame, 0)[0] for frame in film[1:]]
        found[least] = [
            [
                state.state is TargetStatus.TRACKING
                and intersection_over_union(state.box, (*place, width, height))[0, 0] > 0.5
                for place in (far, returns)
            ]
            for state in states
        ]
    misled, careful = (np.array(each) for each in found.values())
    assert misled[34, 0]
    assert not careful[:, 0].any()
    assert careful[-1, 1]

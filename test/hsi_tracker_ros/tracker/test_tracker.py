from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsi_tracker_ros.cubes.bands import CameraMismatchError
from hsi_tracker_ros.cubes.camera_presets import find_camera_preset
from hsi_tracker_ros.hanet.inference import SiameseModel
from hsi_tracker_ros.hanet.weights import load_network
from hsi_tracker_ros.simulation import HyperspectralScene
from hsi_tracker_ros.tracker import HsiTracker, TargetStatus, TrackerSettings, load_rgb_tracker, load_tracker
from tracking_runtime.boxes import intersection_over_union
from tracking_runtime.engines import EngineSettings
from tracking_runtime.errors import FrameRefusedError, ModelError, TargetRefusedError
from tracking_runtime.io.ground_truth import read_ground_truth
from tracking_runtime.spectral_info import SpectralInfo

SEED = 1_000_004
ENGINE = EngineSettings(engine="pytorch", threads=1)
DEFAULTS = TrackerSettings()
REAL_VIDEO = Path(__file__).resolve().parents[4] / "shared" / "data" / "rgb" / "bag"
SECOND_BOX = [40.0, 40, 50, 30]


@pytest.fixture(scope="module")
def frames():
    return list(HyperspectralScene(SEED, frames=24, attributes="BC"))


@pytest.fixture(scope="module")
def model():
    return SiameseModel(load_network("hanet_edge_vis16"), ENGINE)


@pytest.fixture
def tracker(model):
    return HsiTracker(model)


def get_true_box(frame):
    return frame.truth.boxes[0]


def compute_overlap(box, other):
    return intersection_over_union(box, other)[0, 0]


def is_tracked_at(state, box):
    return state.state is TargetStatus.TRACKING and compute_overlap(state.box, box) > 0.5


def make_look_alike(image, box, difference):
    """Make an image of the object in a box with alternating bands brighter and darker by a fraction."""
    x, y, width, height = box
    factors = 1 + difference * (-1.0) ** np.arange(image.shape[2])
    return (image[y : y + height, x : x + width] * factors).astype(image.dtype)


def paste(image, patch, x, y):
    """Return a copy of an image with a patch, or a spectrum, at a position."""
    height, width = patch.shape[:2]
    result = image.copy()
    result[y : y + height, x : x + width] = patch
    return result


def erase(image, box):
    """Return a copy of an image with the mean spectrum in a box."""
    x, y, width, height = box
    result = image.copy()
    result[y : y + height, x : x + width] = image.mean(axis=(0, 1))
    return result


def round_box(box):
    return np.round(box).astype(int)


def test_simulated_target_is_tracked(tracker, frames):
    target_id = tracker.set_target(
        frames[0].image, get_true_box(frames[0]), stamp_ns=frames[0].stamp_ns, label="it"
    )

    states = [tracker.track(frame.image, frame.stamp_ns) for frame in frames[1:]]

    overlaps = []
    for (state,), frame in zip(states, frames[1:], strict=True):
        overlaps.append(compute_overlap(state.box, get_true_box(frame)))
        assert state.id == target_id
        assert state.label == "it"
        assert 0 <= state.score <= 1
        assert (state.frames_since_seen == 0) == (state.state is TargetStatus.TRACKING)
    assert np.mean(overlaps) > 0.5
    assert tracker.response.shape == (25, 25)
    num_runs = {stage: summary.count for stage, summary in tracker.times.summarize().items()}
    assert num_runs == dict.fromkeys(("crop", "engine", "update"), len(frames) - 1)


def test_accelerating_target_is_tracked(tracker, frames):
    image, box = frames[0].image, get_true_box(frames[0])
    width = image.shape[1]
    tracker.set_target(image, box)

    offset = 0
    for step in range(0, 48, 4):
        offset += step
        (state,) = tracker.track(np.roll(image, offset, axis=1), 0)
        expected = box + np.array([offset, 0, 0, 0])
        expected[0] %= width
        if expected[0] + expected[2] > width:
            break
        assert compute_overlap(state.box, expected) > 0.4


@pytest.mark.parametrize("scale", [(1.3, 1.3), (0.8, 0.8), (1.3, 0.9)])
def test_size_calibration_keeps_more_of_given_size(model, frames, scale):
    box = get_true_box(frames[0])
    given_box = np.concatenate([box[:2] + box[2:] * (1 - np.array(scale)) / 2, box[2:] * scale])

    changes = []
    for exponent in (0.5, 0.0):
        tracker = HsiTracker(model, TrackerSettings(size_calibration=exponent))
        tracker.set_target(frames[0].image, given_box)
        for _ in range(8):
            (state,) = tracker.track(frames[0].image, 0)
        changes.append(np.abs(np.log(state.box[2:] / given_box[2:])).max())

    assert changes[0] < 0.8 * changes[1]


def test_newest_template_is_from_later_frame(tracker, frames):
    tracker.set_target(frames[0].image, get_true_box(frames[0]), stamp_ns=frames[0].stamp_ns)

    stamps = [tracker.track(frame.image, frame.stamp_ns)[0].template_stamp_ns for frame in frames[1:]]

    assert stamps[8] == frames[0].stamp_ns
    assert stamps[-1] > frames[0].stamp_ns


def test_half_occluded_target_becomes_no_template(model, frames):
    image = frames[0].image
    x, y, width, height = round_box(get_true_box(frames[0]))
    occluded = erase(image, (x + width // 2, y, width - width // 2, height))

    newest_stamps = []
    for min_confidence in (0.0, DEFAULTS.online_confidence):
        tracker = HsiTracker(model, TrackerSettings(online_confidence=min_confidence))
        tracker.set_target(image, get_true_box(frames[0]), stamp_ns=1)
        for stamp in range(2, 23):
            (state,) = tracker.track(image if stamp < 9 else occluded, stamp)
        newest_stamps.append(state.template_stamp_ns)

    of_any_frame, of_confident_frame = newest_stamps
    assert of_any_frame > 9 >= of_confident_frame


@pytest.mark.parametrize("batch", [1, 4])
def test_batch_of_targets_is_tracked_as_if_alone(frames, batch):
    model = SiameseModel(load_network("hanet_edge_vis16"), ENGINE)
    boxes = [get_true_box(frames[0]), SECOND_BOX, [480, 230, 60, 60]]
    states_alone = []
    for box in boxes:
        tracker = HsiTracker(model)
        tracker.set_target(frames[0].image, box)
        states_alone.append([tracker.track(frame.image, 0)[0] for frame in frames[1:8]])
    together = HsiTracker(model)
    for box in boxes:
        together.set_target(frames[0].image, box)

    if batch > 1:
        together.prepare_batch()

    assert model.max_batch == batch
    for index, frame in enumerate(frames[1:8]):
        for target, state in enumerate(together.track(frame.image, 0)):
            assert np.allclose(state.box, states_alone[target][index].box, atol=0.05)
            assert state.state == states_alone[target][index].state


def test_load_level_searches_targets_round_robin(tracker, frames):
    for box in [get_true_box(frames[0]), SECOND_BOX, [300, 100, 60, 60]]:
        tracker.set_target(frames[0].image, box)

    tracker.set_load_level(1)
    is_seen = [
        [state.frames_since_seen == 0 for state in tracker.track(frame.image, 0)] for frame in frames[1:4]
    ]
    tracker.set_load_level(0)
    states = tracker.track(frames[4].image, 0)

    assert [sum(targets) for targets in is_seen] == [2, 2, 2]
    assert all(any(of_target) for of_target in zip(*is_seen, strict=True))
    assert [state.frames_since_seen for state in states] == [0, 0, 0]


def test_warm_up_keeps_the_state(tracker, frames):
    tracker.set_target(frames[0].image, get_true_box(frames[0]))

    tracker.warm_up()

    assert tracker.response is None
    assert tracker.times.summarize() == {}
    assert len(tracker.track(frames[1].image, 0)) == 1


def test_another_model_continues_from_copied_state(model, frames):
    full, light = HsiTracker(model), HsiTracker(model)
    for tracker in (full, light):
        tracker.set_target(frames[0].image, get_true_box(frames[0]), label="it")
    for frame in frames[1:10]:
        (last,) = full.track(frame.image, frame.stamp_ns)

    light.copy_state_from(full)

    (state,) = light.track(frames[10].image, frames[10].stamp_ns)
    (expected,) = full.track(frames[10].image, frames[10].stamp_ns)
    np.testing.assert_allclose(state.box, expected.box, atol=2)
    assert (state.id, state.label) == (expected.id, "it")
    assert compute_overlap(state.box, get_true_box(frames[10])) > 0.4
    assert np.abs(state.box - last.box).max() > 0


def test_copied_state_keeps_own_size_correction(model, frames):
    uncorrected, corrected = (
        HsiTracker(model, TrackerSettings(size_calibration=exponent)) for exponent in (0.0, 1.0)
    )
    x, y, width, height = get_true_box(frames[0])
    larger_box = (x - width / 4, y - height / 4, 1.5 * width, 1.5 * height)
    for tracker in (uncorrected, corrected):
        tracker.set_target(frames[0].image, larger_box)
    for frame in frames[1:10]:
        (small,) = uncorrected.track(frame.image, frame.stamp_ns)

    corrected.copy_state_from(uncorrected)

    for frame in frames[10:20]:
        (large,) = corrected.track(frame.image, frame.stamp_ns)
    assert large.box[2:].prod() > 1.15 * small.box[2:].prod()


def test_state_of_camera_with_other_bands_is_not_copied(tracker, model):
    shifted = SpectralInfo(tuple(np.array(find_camera_preset("vis16").wavelengths_nm) + 1))

    with pytest.raises(ModelError, match="set the parameter camera"):
        tracker.copy_state_from(HsiTracker(model, camera=shifted))


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
def test_invalid_box_is_refused_without_effect(tracker, frames, box):
    target_id = tracker.set_target(frames[0].image, get_true_box(frames[0]))

    with pytest.raises(TargetRefusedError, match=r"box"):
        tracker.set_target(frames[0].image, box)

    (state,) = tracker.track(frames[1].image, 0)
    assert state.id == target_id
    assert tracker.set_target(frames[0].image, get_true_box(frames[0])) == target_id + 1


def test_invalid_target_id_is_refused(tracker, frames):
    with pytest.raises(TargetRefusedError, match="target_id must be at least 1: got 0"):
        tracker.set_target(frames[0].image, get_true_box(frames[0]), target_id=0)


@pytest.mark.parametrize(
    ("corrupt", "reason"),
    [
        (lambda cube: cube[..., :15], "15"),
        (lambda cube: cube[..., 0], "shape"),
        (lambda cube: cube[:0], "shape"),
        (lambda cube: cube.astype(np.float64), "float64"),
        (lambda cube: np.where(cube == cube.max(), np.nan, cube).astype(np.float32), "finite"),
        (lambda cube: np.where(cube == cube.max(), np.inf, cube).astype(np.float32), "finite"),
    ],
)
def test_invalid_frame_is_refused_without_effect(tracker, frames, corrupt, reason):
    undisturbed = HsiTracker(tracker.model)
    for each_tracker in (tracker, undisturbed):
        each_tracker.set_target(frames[0].image, get_true_box(frames[0]))

    with pytest.raises(FrameRefusedError, match=reason):
        tracker.track(corrupt(frames[1].image), 0)

    (state,) = tracker.track(frames[1].image, 0)
    (expected,) = undisturbed.track(frames[1].image, 0)
    assert np.array_equal(state.box, expected.box)


def test_brightness_and_sample_type_have_no_effect(model, frames):
    boxes = []
    for convert in (lambda cube: cube, lambda cube: cube.astype(np.float32) / 500):
        tracker = HsiTracker(model)
        tracker.set_target(convert(frames[0].image), get_true_box(frames[0]))
        boxes.append([tracker.track(convert(frame.image), 0)[0].box for frame in frames[1:5]])

    assert np.allclose(*boxes, atol=1.0)


def test_targets_are_set_replaced_and_cleared(tracker, frames):
    first_id = tracker.set_target(frames[0].image, get_true_box(frames[0]))
    second_id = tracker.set_target(frames[0].image, (5, 5, 30, 20))

    assert tracker.clear_target(first_id) == 1
    assert tracker.clear_target(first_id) == 0
    assert [state.id for state in tracker.track(frames[1].image, 0)] == [second_id]

    assert tracker.set_target(frames[1].image, (50, 50, 30, 20), target_id=second_id) == second_id
    assert len(tracker.track(frames[2].image, 0)) == 1

    assert tracker.clear_target(None) == 1
    assert tracker.track(frames[3].image, 0) == []
    assert tracker.response is None

    tracker.reset()
    assert tracker.set_target(frames[0].image, get_true_box(frames[0])) == 1


@settings(max_examples=8, deadline=None)
@given(st.floats(-20, 500), st.floats(-20, 250), st.floats(0.5, 500), st.floats(0.5, 250))
def test_any_box_that_touches_the_image_is_tracked(model, frames, x, y, width, height):
    if x + width <= 0.1 or y + height <= 0.1:
        x, y = 1.0, 1.0
    tracker = HsiTracker(model)

    tracker.set_target(frames[0].image, (x, y, width, height))

    for frame in frames[1:3]:
        (state,) = tracker.track(frame.image, 0)
        assert np.isfinite(state.box).all()
        assert (state.box[2:] > 0).all()


@pytest.mark.slow
def test_absent_target_is_lost_and_found_again(model, frames):
    tracker = HsiTracker(model, TrackerSettings(confidence_rate=0.5))
    tracker.set_target(frames[0].image, get_true_box(frames[0]))
    tracker.track(frames[1].image, 0)
    means = frames[0].image.mean(axis=(0, 1)).astype(np.uint16)
    empty = np.broadcast_to(means, frames[0].image.shape) + np.uint16(1)

    for _ in range(10):
        (absent,) = tracker.track(empty, 0)
    for _ in range(15):
        (found,) = tracker.track(frames[1].image, 0)

    assert absent.state is TargetStatus.LOST
    assert absent.frames_since_seen == 10
    assert found.state is TargetStatus.TRACKING
    assert compute_overlap(found.box, get_true_box(frames[1])) > 0.4


@pytest.mark.slow
@pytest.mark.parametrize("difference", [0.1, 0.15])
def test_slowly_passing_look_alike_does_not_take_the_box(tracker, frames, difference):
    image = frames[0].image
    box = x, y, width, _ = round_box(get_true_box(frames[0]))
    look_alike = make_look_alike(image, box, difference)
    tracker.set_target(image, get_true_box(frames[0]))

    for left in x - 2 * width + width * np.interp(range(48), [0, 10, 34, 47], [0, 1.5, 2.4, 5]):
        (state,) = tracker.track(paste(image, look_alike, int(left), y), 0)

    assert state.state is TargetStatus.TRACKING
    assert compute_overlap(state.box, get_true_box(frames[0])) > 0.6


def test_target_three_times_as_large_is_found_by_scale(model):
    first, second = HyperspectralScene(3, frames=2, attributes="")
    height, width, _ = first.image.shape
    center = get_true_box(second)[:2] + get_true_box(second)[2:] / 2
    corner = np.round(3 * center - (width / 2, height / 2)).astype(int)
    left, top = np.clip(corner, 0, (2 * width, 2 * height))
    nearer = cv2.resize(second.image, None, fx=3, fy=3)[top : top + height, left : left + width]
    expected = 3 * get_true_box(second) - (left, top, 0, 0)
    tracker = HsiTracker(model, TrackerSettings(confidence_rate=0.5))
    tracker.set_target(first.image, get_true_box(first))

    for _ in range(4):
        (absent,) = tracker.track(np.full_like(nearer, 200), 0)
    for _ in range(10):
        (state,) = tracker.track(nearer, 0)

    assert absent.state is TargetStatus.LOST
    assert compute_overlap(state.box, expected) > 0.6
    assert state.state is TargetStatus.TRACKING


def test_camera_without_the_models_bands_is_refused(model):
    with pytest.raises(CameraMismatchError, match="480"):
        HsiTracker(model, camera=SpectralInfo(tuple(np.linspace(600, 900, 16))))


def test_camera_with_bands_in_other_order_is_matched(tracker, model, frames):
    wavelengths = np.array(find_camera_preset("vis16").wavelengths_nm)
    order = np.argsort(wavelengths)
    sorted_tracker = HsiTracker(model, camera=SpectralInfo(tuple(wavelengths[order])))
    tracker.set_target(frames[0].image, get_true_box(frames[0]))
    sorted_tracker.set_target(frames[0].image[..., order], get_true_box(frames[0]))

    (state,) = tracker.track(frames[1].image, 0)
    (sorted_state,) = sorted_tracker.track(frames[1].image[..., order], 0)

    assert np.allclose(state.box, sorted_state.box, atol=1.0)


def test_model_for_any_camera_needs_bands():
    with pytest.raises(ModelError, match="any camera"):
        load_tracker("hanet_edge_any", engine="pytorch")


def test_model_for_any_camera_reports_unused_bands(caplog):
    with pytest.raises(CameraMismatchError, match=r"0\.5, 0\.6 nm; wavelengths are given in nm"):
        load_tracker("hanet_edge_any", engine="pytorch", bands=SpectralInfo((0.5, 0.6)))

    load_tracker("hanet_edge_any", engine="pytorch", bands=SpectralInfo((550.0, 900.0, 1300.0)))

    assert "not the camera's bands at 1300 nm" in caplog.text


def test_model_for_any_camera_tracks_with_unusual_bands():
    camera = SpectralInfo((440.0, 560.0, 700.0, 850.0, 940.0), (30.0,) * 5, bit_depth=12)
    scene = list(HyperspectralScene(SEED, frames=8, bands=camera, attributes="BC"))
    bands = replace(camera, saturation_level=4095.0)
    tracker = load_tracker("hanet_edge_any", engine="pytorch", bands=bands)
    tracker.set_target(scene[0].image, get_true_box(scene[0]))

    for frame in scene[1:]:
        (state,) = tracker.track(frame.image, 0)

    assert compute_overlap(state.box, get_true_box(scene[-1])) > 0.4


@pytest.mark.skipif(not REAL_VIDEO.is_dir(), reason=f"no real video at {REAL_VIDEO}")
def test_rgb_branch_tracks_a_real_target():
    images = [cv2.imread(str(path)) for path in sorted(REAL_VIDEO.glob("*.jpg"))]
    truths = read_ground_truth(REAL_VIDEO / "groundtruth.txt", len(images))
    true_boxes = [truth.boxes[0] for truth in truths]
    tracker = load_rgb_tracker("hanet_edge_any", engine_settings=ENGINE, engine="pytorch")
    tracker.set_target(images[0], true_boxes[0])

    boxes = [tracker.track(image, 0)[0].box for image in images[1:]]

    overlaps = [compute_overlap(box, truth) for box, truth in zip(boxes, true_boxes[1:], strict=True)]
    assert np.mean(overlaps) > 0.8


@pytest.mark.slow
def test_color_target_that_jumps_away_is_found_again():
    rng = np.random.default_rng(3)
    background = cv2.GaussianBlur(rng.integers(0, 255, (200, 480, 3), np.uint8), (0, 0), 4)
    target = cv2.resize(rng.integers(0, 255, (4, 5, 3), np.uint8), (30, 24))
    before, after = paste(background, target, 40, 60), paste(background, target, 420, 60)
    tracker = load_rgb_tracker("siamban_edge", engine_settings=ENGINE, engine="pytorch")
    tracker.set_target(before, (40, 60, 30, 24))

    states = [tracker.track(image, 0)[0] for image in [before] * 6 + [after] * 24]

    assert is_tracked_at(states[5], (40, 60, 30, 24))
    assert TargetStatus.LOST in [state.state for state in states]
    assert is_tracked_at(states[-1], (420, 60, 30, 24))


@pytest.mark.slow
def test_lost_target_is_not_found_on_known_distractor(model, frames):
    image = frames[0].image
    box = x, y, width, height = round_box(get_true_box(frames[0]))
    target = image[y : y + height, x : x + width]
    distractor_x = x + int(1.2 * width)
    without_target = paste(erase(image, box), make_look_alike(image, box, 0.03), distractor_x, y)
    with_target = paste(without_target, target, x, y)

    states = []
    for penalty in (0.0, DEFAULTS.score_distractor):
        tracker = HsiTracker(model, TrackerSettings(score_distractor=penalty, redetection_crops=0))
        tracker.set_target(with_target, get_true_box(frames[0]))
        for frame in [with_target] * 5 + [without_target] * 20:
            (state,) = tracker.track(frame, 0)
        states.append(state)

    without_penalty, with_penalty = states
    assert compute_overlap(without_penalty.box, (distractor_x, y, width, height)) > 0.5
    assert with_penalty.state is TargetStatus.LOST
    assert compute_overlap(with_penalty.box, get_true_box(frames[0])) > 0.5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("penalty", "difference", "is_found"),
    [(0.0, 0.03, True), (0.0, 0.0, True), (10.0, 0.03, False), (10.0, 0.0, True)],
)
def test_redetection_requires_reference_distance(model, frames, penalty, difference, is_found):
    last_image = frames[12].image
    box = x, y, width, height = round_box(get_true_box(frames[12]))
    absent = erase(last_image, box)
    new_x = x + int(1.5 * width)
    returned = paste(absent, make_look_alike(last_image, box, difference), new_x, y)
    tracker = HsiTracker(model, TrackerSettings(score_unlike=penalty))
    tracker.set_target(frames[0].image, get_true_box(frames[0]))

    for image in [frame.image for frame in frames[1:13]] + [absent] * 25 + [returned] * 15:
        (state,) = tracker.track(image, 0)

    assert is_tracked_at(state, (new_x, y, width, height)) == is_found
    if not is_found:
        assert state.state is TargetStatus.LOST


@pytest.mark.slow
def test_redetection_visible_elsewhere_before_is_rejected(model, frames):
    image = frames[0].image
    box = x, y, width, height = round_box(get_true_box(frames[0]))
    target = image[y : y + height, x : x + width]
    twin_position = (image.shape[1] - x - width, y)
    return_position = (x, image.shape[0] - 20 - height)

    def make_frame(*positions):
        frame = erase(image, box)
        for position in positions:
            frame = paste(frame, target, *position)
        return frame

    video = [make_frame((x, y), twin_position)] * 6
    video += [make_frame(twin_position)] * 30
    video += [make_frame(return_position, twin_position)] * 15

    is_tracked = []  # for each threshold, frame and position
    for threshold in (0.0, DEFAULTS.alibi_evidence):
        tracker = HsiTracker(model, TrackerSettings(alibi_evidence=threshold))
        tracker.set_target(video[0], get_true_box(frames[0]))
        states = [tracker.track(frame, 0)[0] for frame in video[1:]]
        is_tracked.append(
            [
                [
                    is_tracked_at(state, (*position, width, height))
                    for position in (twin_position, return_position)
                ]
                for state in states
            ]
        )

    without_check, with_check = np.array(is_tracked)
    assert without_check[34, 0]
    assert not with_check[:, 0].any()
    assert with_check[-1, 1]

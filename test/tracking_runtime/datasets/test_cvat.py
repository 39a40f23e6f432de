"""CVAT XML: lossless round trips, interpolation as CVAT does, and hostile files."""

from __future__ import annotations

import zipfile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracking_runtime.boxes import ScoredBoxes, as_boxes
from tracking_runtime.datasets.annotations import AnnotatedTrack, Annotations, make_annotations
from tracking_runtime.datasets.coco_video import format_coco_video, read_coco_video
from tracking_runtime.datasets.cvat import format_cvat, read_cvat
from tracking_runtime.errors import SourceError

positions = st.floats(-1e6, 1e6)
sizes = st.floats(1e-3, 1e5)
names = (
    st.text(
        st.characters(min_codepoint=32, max_codepoint=0x2FFF, exclude_categories=("Cs", "Cc")),
        min_size=1,
        max_size=12,
    )
    .map(str.strip)
    .filter(bool)
)


@st.composite
def annotations(draw: st.DrawFn) -> Annotations:
    num_frames = draw(st.integers(1, 12))
    class_names = tuple(draw(st.lists(names, min_size=1, max_size=3, unique=True)))
    tracks = []
    for identity in draw(st.lists(st.integers(0, 10**12), max_size=4, unique=True)):
        frames = sorted(draw(st.sets(st.integers(0, num_frames - 1), min_size=1)))
        count = len(frames)
        boxes = draw(st.lists(st.tuples(positions, positions, sizes, sizes), min_size=count, max_size=count))
        flags = draw(st.lists(st.booleans(), min_size=count, max_size=count))
        tracks.append(
            AnnotatedTrack(
                identity,
                draw(st.sampled_from(class_names)),
                np.array(frames, np.int64),
                as_boxes(boxes),
                np.array(flags, bool),
                np.ones(count, bool),
            )
        )
    return Annotations(draw(names), tuple(tracks), class_names, num_frames, (640, 480))


def assert_equal(actual: Annotations, expected: Annotations) -> None:
    assert (actual.name, actual.class_names) == (expected.name, expected.class_names)
    assert (actual.num_frames, actual.image_size) == (expected.num_frames, expected.image_size)
    assert len(actual.tracks) == len(expected.tracks)
    for ours, theirs in zip(actual.tracks, expected.tracks, strict=True):
        assert (ours.id, ours.label) == (theirs.id, theirs.label)
        for field in ("frames", "boxes", "is_occluded", "is_keyframe"):
            np.testing.assert_array_equal(getattr(ours, field), getattr(theirs, field), err_msg=field)


@settings(max_examples=60)
@given(annotations())
def test_round_trip_keeps_every_bit(tmp_path_factory: pytest.TempPathFactory, content: Annotations) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / "cvat.xml").write_text("".join(format_cvat(content)), encoding="utf-8")
    (folder / "coco.json").write_text("".join(format_coco_video(content)), encoding="utf-8")

    assert_equal(read_cvat(folder / "cvat.xml"), content)
    (video,) = read_coco_video(folder / "coco.json")
    assert_equal(video, content)


def write(path: Path, boxes: str, *, size: int = 10, label: str = "car") -> Path:
    path.write_text(
        "<?xml version='1.0'?><annotations><version>1.1</version><meta><task><name>clip</name>"
        f"<size>{size}</size><labels><label><name>car</name></label><label><name>ship</name></label></labels>"
        "<original_size><width>640</width><height>480</height></original_size></task></meta>"
        f"<track id='0' label='{label}' source='manual'>{boxes}</track></annotations>"
    )
    return path


def box(frame: int, corners: tuple[float, ...], **flags: object) -> str:
    attributes = {"outside": 0, "occluded": 0, "keyframe": 1, **flags}
    text = " ".join(f'{key}="{value}"' for key, value in attributes.items())
    named = " ".join(
        f'{key}="{value}"' for key, value in zip(("xtl", "ytl", "xbr", "ybr"), corners, strict=True)
    )
    return f'<box frame="{frame}" {text} {named} z_order="0"></box>'


def test_keyframes_are_interpolated_as_in_cvat(tmp_path: Path) -> None:
    text = (
        box(1, (0, 0, 10, 10))
        + box(
            2, (99, 99, 100, 100), keyframe=0
        )  # CVAT writes interpolated boxes, and ignores them when it reads
        + box(5, (8, 4, 26, 18), occluded=1)
        + box(7, (8, 4, 26, 18), outside=1)
        + box(9, (50, 50, 60, 60))
    )

    content = read_cvat(write(tmp_path / "annotations.xml", text, size=12))

    (track,) = content.tracks
    assert (track.id, track.label, content.num_frames, content.image_size) == (1, "car", 12, (640, 480))
    assert track.frames.tolist() == [1, 2, 3, 4, 5, 6, 9, 10, 11]
    np.testing.assert_allclose(
        track.boxes[:5], [[0, 0, 10, 10], [2, 1, 12, 11], [4, 2, 14, 12], [6, 3, 16, 13], [8, 4, 18, 14]][:5]
    )
    assert track.is_occluded.tolist() == [False] * 4 + [True] * 2 + [False] * 3
    assert track.is_keyframe.tolist() == [True, False, False, False, True, False, True, False, False]
    truths = content.make_truth()
    assert [len(truth.ids) for truth in truths] == [0, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1]
    assert truths[1].class_ids.tolist() == [0]


def test_archive_of_cvat_is_read(tmp_path: Path) -> None:
    xml = write(tmp_path / "annotations.xml", box(0, (0, 0, 10, 10)))
    with zipfile.ZipFile(tmp_path / "task.zip", "w") as archive:
        archive.write(xml, "annotations.xml")
        archive.writestr("images/frame_000000.png", b"")

    assert len(read_cvat(tmp_path / "task.zip").tracks) == 1
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    with pytest.raises(SourceError, match=r"must contain annotations\.xml"):
        read_cvat(tmp_path / "empty.zip")


def test_archive_that_unpacks_to_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RSTRACK_MAX_ANNOTATION_BYTES", "1e6")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("annotations.xml", "<annotations>" + " " * 50_000_000)

    with pytest.raises(SourceError, match="RSTRACK_MAX_ANNOTATION_BYTES"):
        read_cvat(tmp_path / "bomb.zip")


def test_endless_tag_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text("<annotations><track label='" + "x" * 10_000_000)

    with pytest.raises(SourceError, match="a tag must have at most"):
        read_cvat(tmp_path / "a.xml")


def test_new_tracks_get_free_numbers_beside_known_ids(tmp_path: Path) -> None:
    known = box(0, (0, 0, 9, 9)).replace("></box>", '><attribute name="track_id">1</attribute></box>')
    text = known + "</track><track id='1' label='ship'>" + box(0, (0, 0, 9, 9))

    content = read_cvat(write(tmp_path / "annotations.xml", text))

    assert [(track.id, track.label) for track in content.tracks] == [(1, "car"), (2, "ship")]


BOMB = "<!DOCTYPE a [<!ENTITY b 'bbbbbbbbbb'><!ENTITY c '&b;&b;&b;&b;'>]><annotations>&c;</annotations>"
EXTERNAL = "<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><annotations>&x;</annotations>"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (BOMB, "document types and entities are refused"),
        (EXTERNAL, "document types and entities are refused"),
        ("", "is not an XML file"),
        ("<annotations>", "is not an XML file"),
        ("{}", "is not an XML file"),
        ("<svg></svg>", "the root of a file of CVAT must be annotations"),
        ("<annotations><image id='0'></image></annotations>", "export the task as 'CVAT for video 1.1'"),
        ("<annotations>" + "<a>" * 50 + "</a>" * 50 + "</annotations>", "nested at most"),
        ("<annotations><track><box/></track></annotations>", "attribute label is missing"),
        ("<annotations><track label='a'><polygon/></track></annotations>", "must be rectangles: got polygon"),
        ("<annotations><track label='a'><box frame='-1'/></track></annotations>", "must be a whole number"),
        ("<annotations><track label='a'><box frame='1000000'/></track></annotations>", "frame must be 0 to"),
        ("<annotations><track label='a'><box frame='0' rotation='3'/></track></annotations>", "upright"),
        (
            "<annotations><track label='a'><box frame='0' rotation='x'/></track></annotations>",
            "could not convert",
        ),
    ],
)
def test_hostile_or_foreign_file_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "annotations.xml"
    path.write_text(text)

    with pytest.raises(SourceError, match=reason) as error:
        read_cvat(path)
    assert "annotations.xml" in str(error.value)


@pytest.mark.parametrize(
    "corners", [(0, 0, 0, 10), (0, 0, -5, 5), ("nan", 0, 1, 1), ("x", 0, 1, 1), ("1e9999", 0, 1, 1)]
)
def test_useless_box_is_refused(tmp_path: Path, corners: tuple[float, ...]) -> None:
    with pytest.raises(SourceError, match="must be"):
        read_cvat(write(tmp_path / "annotations.xml", box(0, corners)))


def test_one_id_of_two_tracks_is_refused(tmp_path: Path) -> None:
    known = box(0, (0, 0, 9, 9)).replace("></box>", '><attribute name="track_id">7</attribute></box>')

    with pytest.raises(SourceError, match="track_id 7 belongs to two tracks"):
        read_cvat(write(tmp_path / "a.xml", known + "</track><track id='1' label='ship'>" + known))


def test_huge_interpolation_is_refused_at_once(tmp_path: Path) -> None:
    track = "</track><track id='1' label='car'>".join(box(0, (0, 0, 9, 9)) for _ in range(20))

    with pytest.raises(SourceError, match="at most 10000000 boxes"):
        read_cvat(write(tmp_path / "annotations.xml", track, size=999_999))


@settings(max_examples=100)
@given(st.data())
def test_damaged_file_gives_annotations_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.xml"
    good = write(path, box(1, (0, 0, 10, 10)) + box(5, (8, 4, 26, 18), outside=1)).read_bytes()
    start = data.draw(st.integers(0, len(good) - 1))
    end = min(start + data.draw(st.integers(0, 20)), len(good))
    path.write_bytes(good[:start] + data.draw(st.binary(max_size=8)) + good[end:])

    try:
        content = read_cvat(path)
    except SourceError:
        return
    assert len(content.make_truth()) == content.num_frames


def make_frames(count: int) -> list[ScoredBoxes]:
    """Return an object that moves on a bent path and is uncertain for a while."""
    return [
        ScoredBoxes(
            np.array([5]),
            as_boxes([[k, 0.02 * k * k, 10, 8]]),
            np.ones(1),
            np.array([1]),
            ("uncertain" if 20 <= k < 25 else "tracking",),
        )
        for k in range(count)
    ]


def test_tolerance_thins_keyframes_and_moves_boxes_no_farther(tmp_path: Path) -> None:
    frames = make_frames(60)

    content = make_annotations(frames, name="clip", class_names=("car", "ship"), keyframe_tolerance_px=0.5)

    (track,) = content.tracks
    assert track.is_keyframe.sum() < 25
    exact = np.concatenate([frame.boxes for frame in frames])
    assert 0 < np.abs(track.boxes - exact).max() <= 1.0  # 0.5 px of each corner
    assert track.is_occluded.tolist() == [20 <= k < 25 for k in range(60)]
    (tmp_path / "a.xml").write_text("".join(format_cvat(content)))
    (again,) = read_cvat(tmp_path / "a.xml").tracks
    np.testing.assert_array_equal(again.is_keyframe, track.is_keyframe)
    np.testing.assert_array_equal(again.is_occluded, track.is_occluded)
    np.testing.assert_allclose(again.boxes, track.boxes, atol=1e-9)


def test_xml_has_what_cvat_demands(tmp_path: Path) -> None:
    content = make_annotations(make_frames(3), name="a & b", class_names=("car", 'sh"ip'), num_frames=5)
    path = tmp_path / "a.xml"
    path.write_text("".join(format_cvat(content)))

    root = ElementTree.parse(path).getroot()
    assert (root.findtext("version"), root.findtext("meta/task/size")) == ("1.1", "5")
    assert [each.text for each in root.findall("meta/task/labels/label/name")] == ["car", 'sh"ip']
    boxes = root.findall("track/box")
    assert [each.get("frame") for each in boxes] == ["0", "1", "2", "3"]
    assert [each.get("outside") for each in boxes] == ["0", "0", "0", "1"]
    assert root.find("track").get("label") == 'sh"ip'
    assert boxes[0].findtext("attribute") == "5"


def test_unknown_classes_become_objects() -> None:
    frame = ScoredBoxes(np.array([1, 2]), as_boxes([[0, 0, 1, 1]] * 2), np.ones(2), np.array([-1, 4]))

    content = make_annotations([frame], name="clip", class_names=("car",))

    assert [track.label for track in content.tracks] == ["object", "class_5"]
    assert content.class_names == ("car", "class_5", "object")

"""Pictures from every kind of place and in every kind of file, and what happens to those that are damaged."""

from __future__ import annotations

import io
import pickle
import shutil
import struct
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from micrographia.errors import BadImages, BadValue
from micrographia.images import source as module
from micrographia.images.source import (
    INTERPOLATIONS,
    Unreadable,
    batches,
    decode,
    fit,
    open_source,
    original_box,
    read,
    sum_up,
)

NAMES = ("cats/a.png", "cats/deep/b.png", "dogs/a.PNG", "root.png")


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def smooth(width: int, height: int) -> Image.Image:
    rows, columns = np.mgrid[0:height, 0:width]
    channels = (
        columns * 255 // (width - 1),
        rows * 255 // (height - 1),
        (rows + columns) * 255 // (width + height - 2),
    )
    return Image.fromarray(np.stack(channels, 2).astype(np.uint8))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def array(data: bytes) -> np.ndarray:
    image = decode(data)
    assert image.mode == "RGB"
    return np.asarray(image)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "pictures"
    for seed, name in enumerate(NAMES):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        noise(13, 11, seed).save(root / name, "PNG")
    for ignored in ("cats/._a.png", ".DS_Store", "__MACOSX/cats/a.png", ".hidden/a.png", "cats/notes.txt"):
        (root / ignored).parent.mkdir(parents=True, exist_ok=True)
        (root / ignored).write_bytes(b"no picture")
    return root


def pack(folder: Path, kind: str, top: str = "") -> Path:
    """An archive of the folder, its files in reverse order, below `top`."""
    path = folder.parent / f"{top or 'flat'}.{kind}"
    files = sorted((file for file in folder.rglob("*") if file.is_file()), reverse=True)
    named = [(file, "/".join(filter(None, (top, file.relative_to(folder).as_posix())))) for file in files]
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for file, name in named:
                archive.write(file, name)
    else:
        with tarfile.open(path, "w" if kind == "tar" else "w:gz") as archive:
            for file, name in named:
                archive.add(file, f"./{name}")
    return path


# Places


def test_a_folder_is_listed_with_its_classes(folder: Path) -> None:
    source = open_source(folder)
    assert source.names == NAMES
    assert len(source) == 4
    assert source.classes == ("", "cats", "dogs")
    assert source.labels == (1, 1, 2, 0)
    for picture, name in zip(read(source), NAMES, strict=True):
        assert picture.name == name
        assert picture.label == source.labels[picture.index]
        assert np.array_equal(np.asarray(picture.image), np.asarray(noise(13, 11, picture.index)))


@pytest.mark.parametrize("top", ["", "wrap"])
@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tgz"])
def test_an_archive_is_the_folder_that_it_was_made_of(folder: Path, kind: str, top: str) -> None:
    plain, packed = open_source(folder), open_source(str(pack(folder, kind, top)))
    assert (packed.names, packed.labels, packed.classes) == (plain.names, plain.labels, plain.classes)
    assert packed.fingerprint == plain.fingerprint
    for one, other in zip(read(plain), read(packed), strict=True):
        assert one.image.tobytes() == other.image.tobytes()


def test_the_only_class_of_an_archive_is_not_taken_for_a_wrapper(folder: Path) -> None:
    shutil.rmtree(folder / "cats" / "deep")
    for name in ("dogs/a.PNG", "root.png"):
        (folder / name).unlink()
    source = open_source(pack(folder, "zip"))
    assert source.names == ("cats/a.png",)
    assert source.classes == ("cats",)


def test_one_file_is_a_source_of_one(folder: Path) -> None:
    source = open_source(folder / "root.png")
    assert source.names == ("root.png",)
    assert source.classes == ("",)
    assert source.labels == (0,)
    (picture,) = read(source)
    assert np.array_equal(np.asarray(picture.image), np.asarray(noise(13, 11, 3)))


def test_the_fingerprint_knows_names_and_sizes(folder: Path) -> None:
    before = open_source(folder).fingerprint
    assert before == open_source(folder).fingerprint
    (folder / "root.png").rename(folder / "other.png")
    renamed = open_source(folder).fingerprint
    noise(17, 11).save(folder / "other.png")
    assert len({before, renamed, open_source(folder).fingerprint}) == 3


def test_linked_folders_are_followed_but_not_in_circles(folder: Path) -> None:
    (folder / "dogs" / "up").symlink_to(folder)
    (folder / "birds").symlink_to(folder / "cats")
    assert open_source(folder).names == ("birds/a.png", "birds/deep/b.png", *NAMES)


def test_bad_places_are_told_in_two_sentences(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.zip").write_bytes(pack(folder, "zip").read_bytes()[:-40])
    (tmp_path / "broken.tgz").write_bytes(pack(folder, "tgz").read_bytes()[:-40])
    (tmp_path / "broken.tar").write_bytes(b"\1" * 700)
    (tmp_path / "words.txt").write_text("no picture")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    works = "Give a folder, a whole .zip or .tar, or one picture."
    cases = {
        "missing": "There is no '{}'. Give a folder, a .zip or .tar of pictures, one picture, or bundled.",
        "empty": "'{}' holds no pictures. Put files named .bmp, .gif, .jpeg, ",
        "empty.zip": "'{}' holds no pictures. Put files named ",
        "broken.zip": "'{}' cannot be read: File is not a zip file. " + works,
        "broken.tgz": "'{}' cannot be read: Compressed file ended before the end-of-stream marker was reached. "
        + works,
        "broken.tar": "'{}' cannot be read: ",
        "words.txt": "'{}' cannot be read: not a picture in a known format. " + works,
    }
    for name, text in cases.items():
        with pytest.raises(BadImages) as raised:
            open_source(tmp_path / name)
        assert str(raised.value).startswith(text.format(tmp_path / name))


def test_a_strange_home_is_a_place_that_is_not_there() -> None:
    with pytest.raises(BadImages, match=r"There is no '~nobody-of-that-name/x'\. "):
        open_source("~nobody-of-that-name/x")


def test_a_place_that_went_away_is_told(folder: Path) -> None:
    packed = pack(folder, "zip")
    source = open_source(packed)
    packed.unlink()
    with pytest.raises(BadImages, match=r"cannot be opened: No such file or directory\. Put it back"):
        next(read(source))


# Reading


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "tgz"])
def test_passes_do_not_disturb_each_other(folder: Path, kind: str) -> None:
    source = open_source(folder if kind == "folder" else pack(folder, kind))
    expected = [picture.image.tobytes() for picture in read(source)]
    together = [(a.image.tobytes(), b.image.tobytes()) for a, b in zip(read(source), read(source), strict=True)]
    assert together == [(each, each) for each in expected]
    found: dict[int, list[bytes]] = {}

    def work(number: int) -> None:
        found[number] = [picture.image.tobytes() for picture in read(source, [3, 1, 2, 0] * 5)]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found[number] == [expected[i] for i in (3, 1, 2, 0)] * 5 for number in range(3))


def test_a_zip_is_opened_once_for_a_pass_and_closed_when_the_pass_is_given_up(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[zipfile.ZipFile] = []

    class Counted(zipfile.ZipFile):
        def __init__(self, path: Path) -> None:
            super().__init__(path)
            opened.append(self)

    source = open_source(pack(folder, "zip"))
    monkeypatch.setattr(zipfile, "ZipFile", Counted)
    pictures = read(source)
    assert [next(pictures).index, next(pictures).index] == [0, 1]
    (archive,) = opened
    assert archive.fp is not None
    del pictures
    assert archive.fp is None


def test_a_source_can_be_sent_to_another_process(folder: Path) -> None:
    source = open_source(pack(folder, "zip"))
    sent = pickle.loads(pickle.dumps(source))
    assert sent == source
    assert [p.image.tobytes() for p in read(sent)] == [p.image.tobytes() for p in read(source)]


def test_pictures_are_decoded_one_by_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []

    def counting(data: bytes) -> Image.Image:
        decoded.append(len(data))
        return decode(data)

    source = open_source(folder)
    monkeypatch.setattr(module, "decode", counting)
    for count, _ in enumerate(read(source), 1):
        assert len(decoded) == count


def test_the_order_is_the_one_asked_for_and_wrong_indices_are_told_at_once(folder: Path) -> None:
    source = open_source(folder)
    assert [picture.index for picture in read(source, np.array([2, 0, 2]))] == [2, 0, 2]
    assert list(read(source, [])) == []
    for wrong in (4, -1):
        with pytest.raises(BadValue, match=rf"has no picture {wrong}\. Its pictures are 0 to 3\."):
            read(source, [0, wrong])


def damage(folder: Path) -> dict[str, str]:
    """Damaged files put into the folder, and what is said about each."""
    whole = encoded(noise(61, 53), "JPEG")
    (folder / "dogs" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "dogs" / "cut.png").write_bytes(encoded(noise(61, 53), "PNG")[:4000])
    (folder / "dogs" / "empty.gif").write_bytes(b"")
    (folder / "dogs" / "words.bmp").write_text("not a picture at all")
    return {
        "dogs/cut.jpg": "image file is truncated",
        "dogs/cut.png": "image file is truncated",
        "dogs/empty.gif": "not a picture in a known format",
        "dogs/words.bmp": "not a picture in a known format",
    }


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_unreadable_pictures_are_named_and_passed_over(folder: Path, kind: str) -> None:
    expected = damage(folder)
    source = open_source(folder if kind == "folder" else pack(folder, kind))
    unreadable: list[Unreadable] = []
    assert tuple(picture.name for picture in read(source, unreadable=unreadable)) == NAMES
    assert [each.name for each in unreadable] == sorted(expected)
    assert all(source.names[each.index] == each.name for each in unreadable)
    assert {each.name: each.reason.partition(" (")[0] for each in unreadable} == expected


def test_a_broken_link_is_an_unreadable_picture(folder: Path) -> None:
    (folder / "gone.png").symlink_to(folder / "nothing.png")
    unreadable: list[Unreadable] = []
    assert len(list(read(open_source(folder), unreadable=unreadable))) == 4
    assert unreadable == [Unreadable(3, "gone.png", "No such file or directory")]


def test_a_source_of_only_unreadable_pictures_is_an_error(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.png"):
        (tmp_path / name).write_bytes(b"nothing")
    text = (
        rf"None of the 2 pictures of '{tmp_path}' opens \(a\.jpg: not a picture in a known format\)\. Give pictures in"
    )
    unreadable: list[Unreadable] = []
    with pytest.raises(BadImages, match=text):
        list(read(open_source(tmp_path), unreadable=unreadable))
    assert len(unreadable) == 2
    with pytest.raises(BadImages, match=text):
        list(batches(open_source(tmp_path), 8, (7, 5), 3))


def test_decompression_bombs_are_passed_over(
    folder: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    source = open_source(pack(folder, "zip"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 13 * 11 - 1)  # a warning of Pillow's, which must not be seen
    assert len(list(read(source))) == 4
    assert not recwarn.list
    noise(61, 53).save(folder / "bomb.png")
    unreadable: list[Unreadable] = []
    assert len(list(read(open_source(folder), unreadable=unreadable))) == 4
    assert [each.name for each in unreadable] == ["bomb.png"]
    assert "decompression bomb" in unreadable[0].reason
    monkeypatch.setattr(module, "LARGEST", (folder / "bomb.png").stat().st_size - 1)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert len(list(read(open_source(pack(folder, "zip")), unreadable=unreadable))) == 4
    assert "MB that one picture may have" in unreadable[1].reason


def test_the_unreadable_are_summed_up_in_one_line() -> None:
    few = [Unreadable(i, f"{i}.png", "cut") for i in range(7)]
    assert sum_up([]) == ""
    assert sum_up(few[:1]) == "1 picture could not be read: 0.png (cut)"
    assert sum_up(few, 2) == "7 pictures could not be read: 0.png (cut), 1.png (cut) and 5 more"


# Decoding


@pytest.mark.parametrize(
    ("kind", "options", "allowed"),
    [
        ("JPEG", {"quality": 95}, 12),
        ("PNG", {}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("WEBP", {"quality": 95}, 12),
        ("BMP", {}, 0),
        ("TIFF", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("PPM", {}, 0),
    ],
)
def test_formats(kind: str, options: dict[str, object], allowed: int) -> None:
    image = smooth(61, 53)
    difference = array(encoded(image, kind, **options)).astype(int) - np.asarray(image)
    assert np.abs(difference).max() <= allowed


def test_the_first_picture_of_an_animation_is_taken() -> None:
    first, second = Image.new("RGB", (7, 5), (255, 0, 0)), Image.new("RGB", (7, 5), (0, 0, 255))
    for kind in ("GIF", "WEBP", "TIFF", "PNG"):
        options = {"lossless": True} if kind == "WEBP" else {}
        data = encoded(first, kind, save_all=True, append_images=[second], **options)
        assert (array(data) == (255, 0, 0)).all(), kind


@pytest.mark.parametrize("mode", ["1", "L", "P"])
def test_grey_and_palette(mode: str) -> None:
    image = smooth(61, 53).convert(mode)
    assert np.array_equal(array(encoded(image, "PNG")), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "big-endian TIFF", "PGM"])
def test_sixteen_bits_are_scaled_not_clipped(kind: str) -> None:
    values = np.arange(0, 65536, 17, dtype=np.uint16).reshape(16, 241)[:, ::-1].copy()
    if kind == "PGM":
        data = b"P5 241 16 65535 " + values.astype(">u2").tobytes()
    elif kind == "big-endian TIFF":
        stream = io.BytesIO()
        Image.frombytes("I;16B", (241, 16), values.astype(">u2").tobytes()).save(stream, "TIFF")
        data = stream.getvalue()
    else:
        data = encoded(Image.fromarray(values), kind)
    slow = [int(Fraction(int(value) * 255, 65535) + Fraction(1, 2)) for value in values.ravel()]
    assert np.array_equal(array(data), np.repeat(np.array(slow, np.uint8).reshape(16, 241, 1), 3, 2))


def test_twelve_bits_are_scaled_by_their_own_white() -> None:
    values = [0, 1, 2047, 2048, 4094, 4095]
    packed = bytes(
        byte
        for a, b in zip(values[::2], values[1::2], strict=True)
        for byte in (a >> 4, (a & 15) << 4 | b >> 8, b & 255)
    )
    tags = {256: len(values), 257: 1, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: 1, 279: len(packed)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    head = b"II*\0" + struct.pack("<I", 8 + len(packed))
    data = head + packed + struct.pack("<H", len(tags)) + entries + bytes(4)
    assert array(data)[0, :, 0].tolist() == [round(value * 255 / 4095) for value in values]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.25, 1.0], [0, 64, 255]),
        ([0.0, 51.0, 255.0], [0, 51, 255]),
        ([0.0, 257.0, 65535.0], [0, 1, 255]),
        ([-1.0, 0.0, 1.0], [0, 128, 255]),
        ([float("nan"), 0.5, float("inf")], [0, 128, 255]),
        ([7.0, 7.0, 1e6], [0, 0, 255]),
    ],
)
def test_floating_point_grey(values: list[float], expected: list[int]) -> None:
    data = encoded(Image.fromarray(np.array([values], np.float32)), "TIFF")
    assert array(data)[0, :, 0].tolist() == expected


def test_signed_grey_is_stretched() -> None:
    data = encoded(Image.fromarray(np.array([[-100, 0, 100]], np.int32)), "TIFF")
    assert array(data)[0, :, 0].tolist() == [0, 128, 255]


def test_cmyk() -> None:
    inks = np.zeros((16, 48, 4), np.uint8)
    for number in range(3):
        inks[:, 16 * number : 16 * number + 16, number] = 255  # cyan, magenta, yellow
    expected = [(0, 255, 255), (255, 0, 255), (255, 255, 0)]
    for kind in ("JPEG", "TIFF"):
        found = array(encoded(Image.frombytes("CMYK", (48, 16), inks.tobytes()), kind))
        assert np.abs(found[8, 8::16].astype(int) - expected).max() <= 3, kind


def on_grey(colour: int, alpha: int) -> float:
    return (colour * alpha + 128 * (255 - alpha)) / 255


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_transparency_lies_on_mid_grey(kind: str) -> None:
    alphas = np.array([0, 51, 128, 204, 255], np.uint8)
    pixels = np.zeros((1, 5, 4), np.uint8)
    pixels[..., :3], pixels[..., 3] = (250, 100, 0), alphas
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    found = array(encoded(Image.fromarray(pixels), kind, **options))
    expected = [[on_grey(colour, int(alpha)) for colour in (250, 100, 0)] for alpha in alphas]
    assert np.abs(found[0] - np.array(expected)).max() <= 1


def test_transparency_of_other_modes_lies_on_mid_grey() -> None:
    grey = Image.frombytes("LA", (3, 1), bytes([200, 0, 200, 51, 200, 255]))
    assert np.abs(array(encoded(grey, "PNG"))[0, :, 0] - [128, on_grey(200, 51), 200]).max() <= 1
    palette = Image.frombytes("P", (3, 1), bytes([0, 1, 2]))
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    for kind in ("PNG", "GIF"):
        found = array(encoded(palette, kind, transparency=1))
        assert found[0].tolist() == [[255, 0, 0], [128, 128, 128], [0, 0, 255]], kind
    found = array(encoded(palette, "PNG", transparency=bytes([255, 0, 51])))
    assert np.abs(found[0, 2] - [on_grey(c, 51) for c in (0, 0, 255)]).max() <= 1
    assert (found[0, 1] == 128).all()
    keyed = Image.frombytes("RGB", (2, 1), bytes([9, 8, 7, 1, 2, 3]))
    assert array(encoded(keyed, "PNG", transparency=(9, 8, 7)))[0].tolist() == [[128, 128, 128], [1, 2, 3]]


STORED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: upright.swapaxes(0, 1)[::-1],
    7: lambda upright: upright.swapaxes(0, 1)[::-1, ::-1],
    8: lambda upright: upright.swapaxes(0, 1)[:, ::-1],
}
"""How a camera stores an upright picture under each orientation of the EXIF standard."""


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG"])
def test_pictures_are_turned_upright(kind: str, orientation: int) -> None:
    upright = np.asarray(smooth(61, 53))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](upright)))
    found = array(encoded(stored, kind, exif=exif, **options))
    assert found.shape == upright.shape
    assert np.abs(found.astype(int) - upright).max() <= (6 if kind == "JPEG" else 0)


def test_sixteen_bits_and_transparency_are_turned_too() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = Image.fromarray(np.array([[0, 65535, 257]], np.uint16))
    assert array(encoded(deep, "PNG", exif=exif))[:, 0, 0].tolist() == [0, 255, 1]
    clear = Image.frombytes("LA", (2, 1), bytes([7, 255, 7, 0]))
    assert array(encoded(clear, "PNG", exif=exif))[:, 0, 0].tolist() == [7, 128]


def test_damaged_metadata_loses_no_picture() -> None:
    data = encoded(smooth(61, 53), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff\1\2\3")
    assert array(data).shape == (53, 61, 3)


# Size


@given(st.integers(1, 97), st.integers(1, 97), st.integers(1, 53), st.integers(1, 61), st.integers(1, 59))
def test_the_frame_is_covered_and_the_short_side_kept(
    width: int, height: int, short: int, rows: int, columns: int
) -> None:
    (across, down), left, top = module._frame((width, height), short, (rows, columns))
    assert 0 <= left <= across - columns
    assert 0 <= top <= down - rows
    assert min(across, down) == short or across == columns or down == rows
    assert abs(2 * left + columns - across) <= 1
    assert abs(2 * top + rows - down) <= 1
    assert fit(Image.new("RGB", (width, height), (9, 8, 7)), short, (rows, columns)).shape == (3, rows, columns)


@pytest.mark.parametrize(("width", "height"), [(640, 479), (101, 211), (256, 256), (257, 1031), (1999, 333)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_fit_is_the_published_preprocessing(width: int, height: int, interpolation: str) -> None:
    image = noise(width, height)
    long = int(256 * max(width, height) / min(width, height))
    across, down = (256, long) if width < height else (long, 256)
    resized = np.asarray(image.resize((across, down), Image.Resampling[interpolation.upper()]))
    top, left = round((down - 223) / 2), round((across - 211) / 2)
    expected = resized[top : top + 223, left : left + 211].transpose(2, 0, 1)
    assert np.array_equal(fit(image, 256, (223, 211), interpolation), expected)


def test_fit_leaves_a_picture_of_the_right_size_alone() -> None:
    image = noise(31, 29)
    for interpolation in INTERPOLATIONS:
        found = fit(image, 29, (29, 31), interpolation)
        assert found.dtype == np.uint8
        assert found.flags.c_contiguous
        assert np.array_equal(found.transpose(1, 2, 0), np.asarray(image))


def test_a_crop_larger_than_the_picture_is_filled() -> None:
    found = fit(Image.new("RGB", (37, 41), (200, 100, 50)), 7, (89, 23))
    assert (found == np.array([200, 100, 50])[:, None, None]).all()


def test_a_long_strip_takes_little_memory_and_agrees_with_the_plain_way(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fit(Image.new("RGB", (60000, 1), (7, 5, 3)), 512, (211, 223))[:, 0, 0].tolist() == [7, 5, 3]
    image = smooth(31, 29)
    plain = fit(image, 67, (61, 59)).astype(int)
    monkeypatch.setattr(module, "WHOLE", 0)
    assert np.abs(fit(image, 67, (61, 59)) - plain)[:, 3:-3, 3:-3].max() <= 1  # the plain way saw beyond the frame


@pytest.mark.parametrize(
    ("width", "height", "short"), [(251, 239, 101), (239, 251, 151), (113, 241, 241), (251, 101, 67)]
)
def test_boxes_lead_back_to_the_original(width: int, height: int, short: int) -> None:
    rows, columns = np.mgrid[0:height, 0:width]
    image = Image.fromarray(np.stack([columns, rows, rows], 2).astype(np.uint8))  # each px holds where it is
    size = (61, 53)
    found = fit(image, short, size)
    for row, column in ((7, 11), (30, 26), (53, 45)):
        left, top, right, bottom = original_box((column, row, column + 1, row + 1), image.size, short, size)
        assert abs((left + right - 1) / 2 - found[0, row, column]) <= 0.51
        assert abs((top + bottom - 1) / 2 - found[1, row, column]) <= 0.51


@settings(max_examples=50)
@given(st.integers(50, 500), st.integers(50, 500), st.integers(20, 300))
def test_the_whole_frame_lies_inside_the_original(width: int, height: int, short: int) -> None:
    left, top, right, bottom = original_box((0, 0, 31, 29), (width, height), short, (29, 31))
    assert left >= 0
    assert top >= 0
    assert right <= width + 1e-9
    assert bottom <= height + 1e-9


def test_bad_sizes_are_told() -> None:
    image = noise(7, 5)
    with pytest.raises(BadValue, match=r"There is no interpolation 'cubic'\. Known: nearest, box, bilinear, bicubic"):
        fit(image, 7, (5, 5), "cubic")
    with pytest.raises(BadValue, match=r"A short side of 0 px and a crop of \(5, 5\) px cannot be made\. Give 1 px"):
        fit(image, 0, (5, 5))


def test_batches_are_the_fitted_pictures(folder: Path) -> None:
    damage(folder)
    source = open_source(folder)
    unreadable: list[Unreadable] = []
    found = list(batches(source, 17, (11, 13), 3, unreadable=unreadable))
    assert [numbers.tolist() for numbers, _ in found] == [[0, 1, 2], [7]]
    assert len(unreadable) == 4
    expected = [fit(picture.image, 17, (11, 13)) for picture in read(source)]
    assert np.array_equal(np.concatenate([pictures for _, pictures in found]), np.stack(expected))
    assert found[0][1].dtype == np.uint8
    ((numbers, _),) = batches(source, 17, (11, 13), 5, indices=[7, 0])
    assert numbers.tolist() == [7, 0]
    with pytest.raises(BadValue, match=r"A batch of 0 pictures cannot be read\. Give 1 or more\."):
        batches(source, 17, (11, 13), 0)


# The world outside


def test_no_torch_is_imported() -> None:
    code = "import sys, micrographia.images.source; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_real_archive_keeps_the_order_of_its_classes(shared: Path) -> None:
    source = open_source(shared / "data" / "imagenet_1000.zip")
    assert len(source) == 1000
    assert source.labels == tuple(range(1000))
    assert source.classes[0] == "n01440764_tench"
    numbers, pictures = next(batches(source, 256, (224, 224), 11, indices=range(0, 1000, 97)))
    assert numbers.tolist() == list(range(0, 1000, 97))
    assert pictures.shape == (11, 3, 224, 224)
    assert pictures.std(axis=(1, 2, 3)).min() > 10

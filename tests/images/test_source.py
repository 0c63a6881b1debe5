"""Pictures from every kind of place and in every kind of file, and what happens to those that are damaged."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from micrographia.errors import BadImages, BadValue
from micrographia.images import source as module
from micrographia.images.decode import decode
from micrographia.images.fit import fit
from micrographia.images.source import Unreadable, batches, open_source, read, sum_up
from tests.images.drawn import encoded, noise

NAMES = ("cats/a.png", "cats/deep/b.png", "dogs/a.PNG", "root.png")


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

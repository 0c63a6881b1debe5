from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag

import pytest

from micrographia.errors import BadStore
from micrographia.publish.site import STATIC, bake
from micrographia.publish.store import MadeBy, Store, get, open_store, put
from micrographia.unit import Unit

VOID = {"meta", "link", "input", "img", "br", "wbr", "hr"}
ADDRESSES = {"href", "src", "data-home"}


class Reader(HTMLParser):
    """What a page holds: every attribute by tag, ids, text; and whether every tag is closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.wrong: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data

    def values(self, name: str) -> list[str]:
        return [attributes[name] for _, attributes in self.tags if name in attributes]


@cache
def read(path: Path) -> Reader:
    reader = Reader()
    reader.feed(path.read_text())
    reader.close()
    return reader


def pages(root: Path) -> list[Path]:
    found = sorted(root.rglob("index.html"))
    assert len(found) == 1 + 4 + 6 + 8 + 10 + 8  # home, layers, units
    return found


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def broken_links(root: Path, page: Path) -> list[str]:
    broken = []
    for name in ADDRESSES:
        for address in read(page).values(name):
            if address.startswith("data:"):
                continue
            target, anchor = urldefrag(address)
            path = (page.parent / unquote(target)).resolve() if target else page
            if (
                not path.is_file()
                or not path.is_relative_to(root.resolve())
                or (anchor and anchor not in read(path).values("id"))
            ):
                broken.append(address)
    return broken


def test_every_link_of_every_page_leads_somewhere(baked: Store) -> None:
    root = baked.folder.resolve()
    assert {str(page.relative_to(root)): bad for page in pages(root) if (bad := broken_links(root, page))} == {}


def test_the_link_checker_can_fail(baked: Store, tmp_path: Path) -> None:
    root = tmp_path / "site"
    shutil.copytree(baked.folder, root)
    shutil.rmtree(root / "mixed3a" / "3")
    assert "3/index.html" in broken_links(root, root / "mixed3a" / "index.html")


def test_nothing_is_loaded_from_elsewhere(baked: Store) -> None:
    for page in pages(baked.folder):
        for _, attributes in read(page).tags:
            for name, value in attributes.items():
                assert not re.match(r"(\w+:)?//", value), (page, name, value)
                assert "url(" not in value
    for file in STATIC.iterdir():
        text = file.read_text().replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert not re.search(r"https?:|//\w+\.\w|@import|url\(|fetch\(|XMLHttp|import\(", text), file


def test_pages_are_well_formed_and_can_be_heard(baked: Store) -> None:
    for page in pages(baked.folder):
        reader = read(page)
        assert (reader.wrong, reader.open) == ([], []), page
        assert [name for name, count in Counter(reader.values("id")).items() if count > 1] == []
        tags = [tag for tag, _ in reader.tags]
        assert tags.count("h1") == 1
        assert tags.count("main") == 1
        for tag, attributes in reader.tags:
            if tag == "img":
                assert attributes["alt"], (page, attributes)
                assert attributes["width"]
                assert attributes["height"]
            if tag == "svg":
                assert "aria-label" in attributes or "aria-hidden" in attributes
            if tag == "html":
                assert attributes["lang"] == "en"


def test_the_twin_of_a_unit_holds_its_page(baked: Store) -> None:
    for page in pages(baked.folder):
        twin = json.loads((page.parent / "index.json").read_text())
        assert twin["fingerprint"] == baked.manifest.fingerprint
        if "channel" not in twin:
            continue
        unit, reader = Unit.parse(twin["address"]), read(page)
        assert page.parent == baked.folder / unit.layer / str(unit.channel)
        text = reader.text
        assert str(unit) in text
        for kind, values in twin["records"].items():
            record = get(baked, unit, kind)
            assert record is not None
            assert values["values"] == record.values
            assert values["made_by"]["seed"] == record.made_by.seed
            assert all((page.parent / file).is_file() for file in values["files"])
        for example in twin["records"]["examples"]["values"]["examples"]:
            assert example["picture"] in text
        for which in ("inputs", "users"):
            for each in twin["records"]["weights"]["values"][which]:
                assert each["unit"] in text
        links = {attributes["rel"]: attributes["href"] for tag, attributes in reader.tags if tag == "link"}
        for rel, key in (("prev", "previous"), ("next", "next")):
            assert (rel in links) == (twin[key] is not None)
            if rel in links:
                assert f"/{Unit.parse(twin[key]).channel}/" in links[rel]


def test_every_neighbour_with_a_page_is_a_link(baked: Store) -> None:
    for channel in range(10):
        page = baked.folder / "mixed3a" / str(channel) / "index.html"
        hrefs = read(page).values("href")
        weights = json.loads((page.parent / "weights.json").read_text())["values"]
        for each in weights["inputs"] + weights["users"]:
            unit = Unit.parse(each["unit"])
            there = (baked.folder / unit.layer / str(unit.channel) / "index.html").exists()
            assert (f"../../{unit.layer}/{unit.channel}/index.html" in hrefs) == there


def test_the_wall_has_every_unit_its_branches_and_numbers(baked: Store) -> None:
    reader = read(baked.folder / "mixed3a" / "index.html")
    tiles = [attributes for _, attributes in reader.tags if attributes.get("class", "").startswith("tile")]
    assert [tile["href"] for tile in tiles] == [f"{channel}/index.html" for channel in range(10)]
    assert [tile["data-branch"] for tile in tiles] == list("0011112223")
    assert [each for each in reader.values("id") if each.startswith("branch")] == [f"branch-{i}" for i in range(4)]
    sources = [attributes["src"] for tag, attributes in reader.tags if tag == "img"]
    assert sources[0] == "0/vis.jpg"
    assert sources[1] == "1/examples.jpg"  # dead: the first example stands for it
    assert sources[9] == "9/examples.jpg"  # no picture yet
    twin = json.loads((baked.folder / "mixed3a" / "index.json").read_text())
    assert twin["units"][4]["branch"] == "mixed3a_3x3"
    numbers = re.search(r'id="numbers">(.*?)</script>', (baked.folder / "mixed3a" / "index.html").read_text())
    assert numbers is not None
    by_name = json.loads(numbers[1])
    assert list(by_name) == ["fraction_active", "max", "mean", "norm", "vis_reached"]
    assert twin["units"][4]["scalars"] == {name: found["4"] for name, found in by_name.items()}


def test_home_lists_every_layer_and_links_the_observed(baked: Store) -> None:
    twin = json.loads((baked.folder / "index.json").read_text())
    assert [layer["name"] for layer in twin["layers"]] == [layer["name"] for layer in baked.manifest.layers]
    assert twin["card"] == baked.manifest.card
    assert twin["units"] == 32
    text = read(baked.folder / "index.html").text
    assert "32 units in 4 layers" in text
    for layer in baked.manifest.layers:
        assert layer["name"] in text
    hrefs = read(baked.folder / "index.html").values("href")
    assert "mixed3b/index.html" in hrefs
    assert "pool%231/index.html" not in hrefs


def test_search_knows_what_is_there(baked: Store) -> None:
    directory = (baked.folder / "-" / "network.js").read_text()
    network = json.loads(directory.removeprefix("const NETWORK = ").removesuffix(";\n"))
    assert network[0] == ["conv2d0", 6, [[0, 5]]]
    assert network[-1] == ["mixed3b", 10, [[0, 7]]]


def test_baking_again_touches_nothing(baked: Store) -> None:
    before = files(baked.folder)
    times = {path: path.stat().st_mtime_ns for path in pages(baked.folder)}
    calls: list[tuple[int, int]] = []
    assert bake(open_store(baked.folder), progress=lambda done, total: calls.append((done, total))) == (
        baked.folder / "index.html"
    )
    assert files(baked.folder) == before
    assert {path: path.stat().st_mtime_ns for path in pages(baked.folder)} == times
    assert calls == [(i + 1, 37) for i in range(37)]


def test_two_stores_made_alike_are_alike_byte_for_byte(
    baked: Store, make_store: Callable[..., Store], tmp_path: Path
) -> None:
    other = make_store(tmp_path / "elsewhere", skip=2)
    bake(other)
    assert files(other.folder) == files(baked.folder)


def test_a_copy_of_the_site_alone(baked: Store, tmp_path: Path) -> None:
    out = tmp_path / "copy"
    assert bake(baked, out) == out / "index.html"
    assert {str(page): bad for page in pages(out) if (bad := broken_links(out, page))} == {}
    there, here = files(out), files(baked.folder)
    assert there == {name: here[name] for name in there}
    left = {Path(name).name for name in here.keys() - there.keys()}
    assert left == {"manifest.json", "index.sqlite", "vis.json", "examples.json", "activation.json", "weights.json"}
    bake(baked, out)
    assert files(out) == there


def test_a_copy_is_not_put_over_other_things(baked: Store, tmp_path: Path, empty: Store) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "index.json").write_text("[1]")
    for out in (tmp_path / "home", empty.folder):
        with pytest.raises(BadStore, match="holds other things than the site of little"):
            bake(baked, out)
    with pytest.raises(BadStore, match="lies inside the store"):
        bake(baked, baked.folder / "site")


def test_a_store_without_records(empty: Store) -> None:
    page = bake(empty)
    assert "Nothing has been observed yet" in page.read_text()
    assert broken_links(empty.folder, page) == []


def test_a_half_finished_store_and_names_that_need_quoting(empty: Store, made_by: Callable[..., MadeBy]) -> None:
    put(empty, Unit("pool#1", 5), "activation", made_by(), {**plain_activation(), "classes": []})
    put(empty, Unit("pool#1", 0), "vis", made_by(), {"dead": True, "reached": 0})
    put(empty, "conv2d0", "statistics", made_by(), {"p": 1})
    root = bake(empty).parent
    found = sorted(root.rglob("index.html"))
    assert len(found) == 5
    assert {str(page): bad for page in found if (bad := broken_links(root, page))} == {}
    text = read(root / "pool#1" / "5" / "index.html").text
    assert "Not made yet: optimised picture, strongest in the pictures, strongest inputs." in text
    assert "6 units" in read(root / "pool#1" / "index.html").text
    assert "2 observed so far" in read(root / "pool#1" / "index.html").text


def test_pages_whose_records_are_gone_go_too(empty: Store, made_by: Callable[..., MadeBy]) -> None:
    for unit in (Unit("conv2d0", 0), Unit("conv2d0", 1), Unit("conv2d2", 0)):
        put(empty, unit, "activation", made_by(), plain_activation())
    bake(empty)
    (empty.folder / "conv2d0" / "0" / "activation.json").unlink()
    (empty.folder / "conv2d2" / "0" / "activation.json").unlink()
    again = open_store(empty.folder)
    root = bake(again).parent
    found = sorted(str(page.parent.relative_to(root)) for page in root.rglob("index.*ml"))
    assert found == [".", "conv2d0", "conv2d0/1"]
    assert not list(root.glob("conv2d2/**/index.json"))


def plain_activation() -> dict[str, Any]:
    histogram = {"edges": [0.0, 1.0, 2.0], "counts": [7, 3]}
    return {"histogram": histogram, "fraction_active": 0.3, "mean": 0.4, "std": 0.1, "max": 2.0, "pictures": 10}


def test_what_a_record_says_is_text_and_not_html(empty: Store, made_by: Callable[..., MadeBy]) -> None:
    evil = "<script>alert(1)</script>"
    example = {"picture": evil, "class": evil, "value": 1.0, "position": [0, 0], "box": [0, 0, 1, 1]}
    put(empty, Unit("conv2d0", 0), "examples", made_by(), {"tile": 1, "examples": [example]}, {}, {"examples.jpg": b""})
    put(empty, Unit("conv2d0", 0), "vis", made_by(note=evil), {"reached": 1.0, evil: evil}, {evil: 1.0})
    root = bake(empty).parent
    for page in root.rglob("index.html"):
        assert "<script>alert" not in page.read_text()

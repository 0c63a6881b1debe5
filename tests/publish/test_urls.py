from __future__ import annotations

from pathlib import PurePosixPath
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micrographia.errors import BadAddress
from micrographia.publish import urls
from micrographia.unit import Unit

names = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.#%é-]{0,12}", fullmatch=True).filter(
    lambda name: not name.startswith(("index.", "manifest."))
)
places = st.none() | names | st.builds(Unit, names, st.integers(0, 4000))


@given(places, places)
def test_a_link_leads_to_the_folder(source: urls.Place, target: urls.Place) -> None:
    base = "file:///site/" + urls.link(None, source)
    found = urlsplit(urljoin(base, urls.link(source, target)))
    assert not found.fragment
    assert not found.query
    assert unquote(found.path) == str(PurePosixPath("/site") / urls.folder(target) / "index.html")


@given(places)
def test_assets_lie_beside_the_layers(source: urls.Place) -> None:
    found = urljoin("file:///site/" + urls.link(None, source), urls.asset(source, "site.css"))
    assert found == "file:///site/-/site.css"


@pytest.mark.parametrize(
    "name", ["", ".", "..", "-", "a/b", "a\\b", "a:b", "a@b", "a b", "index.html", "manifest.json"]
)
def test_layers_that_cannot_be_folders(name: str) -> None:
    with pytest.raises(BadAddress, match=r"cannot be the name of a folder\. Rename"):
        urls.folder(name)


def test_a_position_has_no_page() -> None:
    with pytest.raises(
        BadAddress, match=r"mixed3b:379@4,4 is one position\. A page is about the whole unit mixed3b:379"
    ):
        urls.folder(Unit("mixed3b", 379, (4, 4)))

"""The report page of the toy experiments: one HTML file that loads nothing."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup
from PIL import Image

from micrographia.publish.panels import environment
from micrographia.publish.site import STATIC

_HERE = Path(__file__).parent / "templates"


def toy_page(documents: Sequence[Mapping[str, Any]], files: Mapping[str, bytes]) -> str:
    """The page over experiments' documents, in their order, with their figures inside; equal input, equal page.

    >>> toy_page([], {})[:15]
    '<!doctype html>'
    """
    sections = [
        {
            **document,
            "figures": [{**each, **_picture(each["file"], files[each["file"]])} for each in document["figures"]],
            "checks": document["result"]["checks"],
            "agree": sum(each["agrees"] for each in document["result"]["checks"]),
        }
        for document in documents
    ]
    values = {
        "sections": sections,
        "rows": sum(len(each["checks"]) for each in sections),
        "agree": sum(each["agree"] for each in sections),
        "quick": [each["title"] for each in sections if each["arguments"]["quick"]],
        "fresh": sections and all(each["arguments"]["seed"] for each in sections),
        "css": Markup((STATIC / "site.css").read_text() + (_HERE / "toy.css").read_text()),
        "theme": Markup((STATIC / "theme.js").read_text()),
    }
    return environment().get_template("toy.html").render(values)


def _picture(name: str, data: bytes) -> dict[str, Any]:
    """The picture as an address that holds it, and the width to show it at: figures with axes are drawn finely.

    A PNG is held as WebP without loss, in less than half its size.
    """
    kind = Path(name).suffix[1:]
    with Image.open(io.BytesIO(data)) as image:
        width = image.width / (image.info["dpi"][0] / 96 if "dpi" in image.info else 1)
        if kind == "png":
            packed = io.BytesIO()
            image.convert("RGB").save(packed, "WEBP", lossless=True, quality=50)
            kind, data = "webp", packed.getvalue()
    return {"address": f"data:image/{kind};base64,{base64.b64encode(data).decode()}", "width": round(width)}

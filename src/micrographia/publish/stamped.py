"""Pictures that say how they were made: a PNG whose metadata holds the facts as JSON."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, PngImagePlugin

KEY = "micrographia"


def stamped(pixels: UInt8[np.ndarray, "height width 3"], title: str, facts: dict[str, Any]) -> bytes:
    """A PNG with a title, and under the keyword `micrographia` the facts as JSON (ISO/IEC 15948, 11.3.3).

    >>> data = stamped(np.zeros((5, 7, 3), np.uint8), "a:0", {"seed": 3})
    >>> json.loads(Image.open(io.BytesIO(data)).text[KEY])
    {'seed': 3}
    """
    chunks = PngImagePlugin.PngInfo()
    chunks.add_itxt("Title", title)
    chunks.add_itxt(KEY, json.dumps(facts, ensure_ascii=False, sort_keys=True))
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "png", pnginfo=chunks, optimize=True)
    return target.getvalue()


def stamp_of(path: Path) -> tuple[UInt8[np.ndarray, "height width 3"], dict[str, Any]] | None:
    """The pixels and the facts of a picture that `stamped` made; None where there is no such file."""
    try:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
            facts = json.loads(getattr(image, "text", {})[KEY])
    except (OSError, KeyError, ValueError, SyntaxError):
        return None
    return (pixels, facts) if isinstance(facts, dict) else None

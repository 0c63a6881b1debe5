"""Quality presets: more steps for what is small, and one clear sentence for settings that make no ascent."""

from __future__ import annotations

from dataclasses import replace

import pytest

from micrographia.errors import BadValue
from micrographia.model.graph import LayerGraph
from micrographia.optvis.parametrise import default_fourier
from micrographia.optvis.quality import QUALITIES, Quality, quality_of
from micrographia.optvis.render import render
from micrographia.optvis.transform import Warp, default_warp, described


def test_small_windows_get_more_steps_up_to_a_limit() -> None:
    thumbnail = QUALITIES["thumbnail"]
    assert [thumbnail.seeing(px).steps for px in (7, 32, 64, 224)] == [60, 40, 20, 20]
    assert thumbnail.seeing(7).settle == 30
    assert thumbnail.seeing(7).seeing(7) == thumbnail.seeing(7)
    assert all(QUALITIES[name].seeing(7) == QUALITIES[name] for name in ("standard", "fine"))


def test_a_picture_says_how_many_steps_it_had(small: LayerGraph) -> None:
    quality = Quality("q", steps=4, rate=0.2, settle=2, longer=2.0)
    (made,) = render(small, small.units("conv2d0:3"), quality=quality)
    assert made.steps == made.settings["quality"]["steps"] == 8


def test_few_steps_move_less(small: LayerGraph) -> None:
    calm = Quality("q", steps=2, rate=0.2, settle=1, moves=0.25, decay=1.0)
    (made,) = render(small, small.units("conv2d2:3"), quality=calm)
    window = made.image.shape[0], made.image.shape[1]
    assert made.settings["transform"] == described(Warp(**{n: v / 4 for n, v in vars(default_warp(window)).items()}))
    assert made.settings["parametrisation"] == repr(replace(default_fourier(window), decay=1.0))


def test_bad_settings_are_a_sentence() -> None:
    for wrong in ({"steps": 0}, {"settle": 9}, {"rate": 0.0}, {"share": 1.5}):
        with pytest.raises(BadValue, match="make no ascent"):
            Quality(**{"name": "q", "steps": 8, "rate": 0.1, "settle": 4} | wrong)
    with pytest.raises(BadValue, match="There is no quality 'fien'"):
        quality_of("fien")

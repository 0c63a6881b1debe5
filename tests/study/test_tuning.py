"""Tuning of planted curves and planted units; the null finds what is consistent and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from micrographia.images.stimuli.colours import ColourEdges, Tints
from micrographia.images.stimuli.frame import Axis, angles
from micrographia.images.stimuli.shapes import Curves, Edges, Spots
from micrographia.images.stimuli.waves import Gratings
from micrographia.model.card import Card
from micrographia.model.probe import probe
from micrographia.model.trace import trace
from micrographia.study.tuning import echo, harmonics, measured, pooled, preferred, tune, width

ROUND = Axis("angle", angles(72), "degrees", 360)
HALF = Axis("angle", angles(36, 180), "degrees", 180)


def bump(axis: Axis, at: float, wide: float) -> np.ndarray:
    """A Gaussian of this full width at half maximum, wrapped."""
    period = axis.period or 1
    away = (np.array(axis.values) - at + period / 2) % period - period / 2
    return np.exp(-4 * np.log(2) * np.square(away / wide))


@pytest.mark.parametrize("at", [0.0, 1.9, 91.3, 178.7])
def test_planted_bumps_are_read_off(at: float) -> None:
    curve = np.stack([bump(ROUND, at, 48.0), bump(ROUND, at + 180, 30.0)])
    assert preferred(curve, ROUND) == pytest.approx([at, at + 180], abs=0.2)
    assert width(curve, ROUND) == pytest.approx([48, 30], abs=0.5)
    assert preferred(bump(HALF, at, 20)[None], HALF) == pytest.approx(at, abs=0.2)


def test_an_echo_is_what_comes_back_from_the_other_side() -> None:
    curve = bump(ROUND, 40, 30) + 0.37 * bump(ROUND, 200, 30)
    assert echo(curve[None], ROUND) == pytest.approx([0.37], abs=1e-6)
    far = bump(ROUND, 40, 30) + 0.5 * bump(ROUND, 130, 10)  # a quarter turn is no echo
    assert echo(far[None], ROUND)[0] < 0.01
    assert np.isnan(echo(bump(HALF, 40, 30)[None], HALF)[0])


def test_widths_without_an_end_and_without_a_circle() -> None:
    assert width(np.ones((1, 72)), ROUND) == [360]
    line = Axis("ratio", (1.0, 2.0, 4.0, 8.0))
    assert width(np.array([[0.0, 4.0, 0.0, 0.0]]), line) == [0.5 + 1.0]
    assert width(np.array([[0.0, 0.0, 0.0, 4.0]]), line) == [2.0]
    assert preferred(np.array([[0.0, 4.0, 5.0, 0.0]]), line) == [4.0]


def test_harmonics_hold_what_was_put_in() -> None:
    turn = np.radians(ROUND.values)
    curve = 3 + 2 * np.cos(turn - 1) + 1 * np.cos(2 * turn) + 2 * np.sin(7 * turn)
    assert harmonics(curve[None], ROUND)[0] == pytest.approx([4 / 9, 1 / 9, 0])
    assert np.isnan(harmonics(np.ones((1, 72)), ROUND)).all()
    short = Axis("angle", angles(4), "degrees", 360)
    assert harmonics(np.array([[1.0, -1.0, 1.0, -1.0]]), short)[0] == pytest.approx([0, 1, 0])


def test_pooling_is_the_slow_loop() -> None:
    axes = (
        Axis("a", (0, 1), pooled="max"),
        Axis("b", (0, 1, 2), pooled="mean"),
        Axis("c", (0, 1, 2, 3), pooled="best"),
        Axis("d", (0, 1, 2, 3, 4)),
    )
    excited = np.random.default_rng(0).random((7, 2, 3, 4, 5))
    found = pooled(excited, axes)
    for unit in range(7):
        peaks = [excited[unit, :, :, c].max() for c in range(4)]
        chosen = excited[unit, :, :, int(np.argmax(peaks))]
        for d in range(5):
            means = [np.mean([chosen[a, b, d] for b in range(3)]) for a in range(2)]
            assert found[unit, d] == pytest.approx(max(means))


def test_the_null_finds_what_settings_agree_in() -> None:
    family = Curves(36, (0.0, 0.5, 1.0))
    rng = np.random.default_rng(1)
    shape = (40, 2, 3, 36)
    axis = family.axes[-1]
    # each setting of the first 20 units has a bump of its own; those of the others are all at one place
    where = rng.uniform(0, 360, shape[:3])
    where[20:] = where[20:, :1, :1]
    bumps = np.stack([bump(axis, at, 60) for at in where.ravel()]).reshape(shape)
    found = tune(family, bumps, trials=199)
    assert (found.corrected[20:] <= 0.05).all()
    assert np.sum(found.p[:20] <= 0.1) <= 5  # 2 expected; 6 or more 1 time in 100
    assert found.preferred[20:] == pytest.approx(where[20:, 0, 0], abs=1.5)
    assert (found.strength >= 0).all()
    assert (found.strength <= 1).all()


def test_nothing_excited_has_no_tuning() -> None:
    found = tune(Edges(8), np.zeros((3, 5, 8)))
    for each in (found.preferred, found.width, found.echo, found.strength, found.p, found.corrected):
        assert np.isnan(each).all()
    assert found.of(1)["preferred"] is None
    assert np.isnan(tune(Spots(), np.ones((3, 2, 4))).strength).all()


def test_colour_edges_turn_with_their_hue() -> None:
    family = ColourEdges((-0.1, 0.1), hues=8, orientations=16)
    hue, angle = (2 * np.pi * np.arange(n) / n for n in (8, 16))
    answers = np.maximum(np.cos(hue - 1)[:, None] * np.cos(angle - 2)[None], 0)
    found = tune(family, np.broadcast_to(answers, (1, 2, 8, 16)).copy(), trials=199)
    # both halves of the hues point the opposite way: only their turning together is tuning
    assert found.strength[0] > 0.5
    assert found.p[0] < 0.05
    assert found.echo[0] < 0.1
    assert found.preferred[0] in (pytest.approx(np.degrees(2), abs=6), pytest.approx(np.degrees(2) + 180, abs=6))


def planted() -> nn.Module:
    """One layer of 11 x 11 px: Gabors at 30 and 120 degrees, an edge towards 45 degrees, a red unit, a dead one."""
    y, x = np.mgrid[5:-6:-1, -5:6].astype(float)

    def along(degrees: float) -> np.ndarray:
        return x * np.cos(np.radians(degrees)) + y * np.sin(np.radians(degrees))

    near = np.exp(-(x**2 + y**2) / 18)
    grey = [near * np.cos(2 * np.pi * 0.2 * along(at)) for at in (30, 120)] + [near * np.sin(0.6 * along(45))]
    kernels = np.stack([np.stack([k - k.mean()] * 3) for k in grey])
    red = np.stack([near, -near / 2, -near / 2])
    conv = nn.Conv2d(3, 5, 11).double()
    with torch.no_grad():
        conv.weight.copy_(torch.from_numpy(np.stack([*kernels, red, 0 * red])))
        conv.bias.zero_()
        conv.bias[4] = -1
    return nn.Sequential(conv, nn.ReLU()).eval()


def test_planted_units_are_tuned_to_what_was_planted() -> None:
    graph = trace(planted(), Card("planted", size=(23, 23), mean=(0.5,) * 3, std=(1.0,) * 3))
    families = {"gratings": Gratings(18, (0.1, 0.2, 0.3)), "edges": Edges(), "tints": Tints()}
    counted: list[int] = []
    found = measured(probe(graph, "1"), families, batch=50, progress=counted.append)
    assert sum(counted) == 18 * 3 * 4 + 5 * 36 + 4 * 12
    assert found.dead == [4]
    waves, edges, tints = (tune(families[name], found.excited[name], 199) for name in families)
    assert waves.preferred[:2] == pytest.approx([30, 120], abs=1.5)
    assert waves.best[0, 1] == 0.2
    assert edges.preferred[2] == pytest.approx(45, abs=1.5)
    assert edges.echo[2] < 0.05
    assert min(tints.preferred[3] % 360, -tints.preferred[3] % 360) == pytest.approx(0, abs=1.5)
    assert np.isnan(tints.strength[4])
    assert tints.peak[3] > 10 * edges.peak[3]

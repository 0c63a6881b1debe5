from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, rotate

from micrographia.errors import BadValue
from micrographia.study.equivariance import KINDS, circuit, copies, transposed

TURNS = np.arange(8) * 45.0


def smooth(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return gaussian_filter(rng.normal(size=(*shape, 5, 5)), (*(0,) * len(shape), 0.8, 0.8))


def turned(kernel: np.ndarray, degrees: float) -> np.ndarray:
    return rotate(kernel, degrees, reshape=False, order=1)


def damaged(kernels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return kernels + 0.4 * kernels.std() * rng.normal(size=kernels.shape)


def test_each_template_is_told_from_the_others() -> None:
    rng = np.random.default_rng(0)
    one, other = smooth(rng, 2), smooth(rng, 8)
    made = {
        KINDS[0]: np.array([[turned(each, t) for each in one] for t in TURNS]),
        KINDS[1]: np.array([[turned(each, t) for t in TURNS] for each in one]),
        KINDS[2]: np.array([[turned(other[(j - i) % 8], TURNS[i]) for j in range(8)] for i in range(8)]),
    }
    for kind, kernels in made.items():
        order = [rng.permutation(count) for count in kernels.shape[:2]]
        given = damaged(kernels, rng)[np.ix_(*order)]
        elements = [TURNS[each] if len(each) == 8 else None for each in order]
        found = circuit(given, elements[0], elements[1], trials=199)
        assert found.kind == kind
        assert found.shares[kind] > 0.5
        assert found.finding.p <= 0.01
        # rows and columns stand in group order
        for side, own in ((found.rows, order[0]), (found.columns, order[1])):
            if len(side) == 8:
                assert own[list(side)].tolist() == list(range(8))
        assert found.numbers[1] < found.numbers[0] / 3


def test_exact_right_angles_are_explained_whole() -> None:
    kernel = np.random.default_rng(1).normal(size=(2, 5, 5))
    kernels = np.stack([np.rot90(kernel, k, (1, 2)) for k in range(4)])
    found = circuit(kernels, [0, 90, 180, 270], None, trials=99)
    assert found.shares[KINDS[0]] == pytest.approx(1)
    assert found.numbers == (200, 54)
    assert found.to_json()["numbers"] == {"without": 200, "with": 54}


def test_mirrored_and_hue_families() -> None:
    rng = np.random.default_rng(2)
    kernel = rng.normal(size=(1, 5, 5))
    mirrored = np.stack([kernel, kernel[:, :, ::-1]] * 3)
    assert circuit(mirrored, [0, 1] * 3, None, "reflection", trials=199).shares[KINDS[0]] == pytest.approx(1)
    hues = np.arange(6) * 60.0
    # same hue excites, the opposite one inhibits: kernels depend on the difference of hues alone
    apart = np.cos(np.deg2rad(hues[:, None] - hues[None]))[..., None, None] * kernel[0]
    found = circuit(apart, hues, hues, "hue", trials=199)
    assert found.kind == KINDS[2]
    assert found.shares[KINDS[2]] == pytest.approx(1)


def test_chance_is_called_none_at_the_stated_rate() -> None:
    rng = np.random.default_rng(3)
    called = [circuit(smooth(rng, 6, 6), TURNS[:6], TURNS[:6], trials=39).kind != "none" for _ in range(30)]
    assert sum(called) <= 5


def test_copies_are_told_by_the_correlation_of_all_pairs_turned_back() -> None:
    rng = np.random.default_rng(4)
    exact = np.stack([np.rot90(smooth(rng, 1), turn, (1, 2)) for turn in (0, 0, 0)])
    first = smooth(rng, 2)
    quarter = np.stack([np.rot90(first, turn, (1, 2)) for turn in range(4)])
    found, finding = copies(quarter, [0, 90, 180, 270], trials=99)
    assert found == pytest.approx([1, 1])
    assert finding.effect == pytest.approx(1)
    # the same by turning pictures: odd kernels at right angles, so that there is nothing between the px
    noisy = quarter + 0.5 * quarter.std() * rng.normal(size=quarter.shape)
    back = np.stack([np.rot90(each, -turn, (1, 2)) for turn, each in enumerate(noisy)]).reshape(4, 2, -1)
    slow = [np.corrcoef(back[:, i])[np.triu_indices(4, 1)].mean() for i in range(2)]
    assert copies(noisy, [0, 90, 180, 270], trials=9)[0] == pytest.approx(slow, abs=0.1)
    assert copies(exact, [0, 120, 240], trials=99)[1].effect < 0.9
    mirrored = np.stack([first, first[..., ::-1]])
    assert copies(mirrored, [0, 1], "reflection", trials=9)[0] == pytest.approx([1, 1])
    with pytest.raises(BadValue, match="2 units with 2 elements under 'rotation' cannot be held"):
        copies(mirrored, [0, 1])


def test_chance_is_called_copies_at_the_stated_rate() -> None:
    rng = np.random.default_rng(5)
    found = [copies(smooth(rng, 7, 2), rng.uniform(0, 360, 7), trials=39)[1].holds() for _ in range(60)]
    assert sum(found) <= 9  # 99.9 % of binomial counts at 5 % are below


def test_a_motif_and_its_transpose() -> None:
    rng = np.random.default_rng(4)
    base = smooth(rng, 2)
    up = np.array([[turned(each, t) for each in base] for t in TURNS])
    down = up[:, :, ::-1, ::-1].swapaxes(0, 1)
    assert transposed(up, TURNS, down, TURNS, 199).effect == pytest.approx(1, abs=1e-6)
    # a turn that is common to one circuit makes no difference
    assert transposed(up, TURNS, down, TURNS + 90, 199).effect == pytest.approx(1, abs=0.01)
    assert transposed(up, TURNS, down, TURNS, 199).p < 0.05
    assert transposed(up, TURNS, up.swapaxes(0, 1)[::-1], TURNS, 199).effect < 0.9


@pytest.mark.parametrize(
    ("outs", "ins", "group", "text"),
    [
        ([0, 90], None, "rotation", "There are 2 elements for 4 outputs"),
        (None, [0, 90], "rotation", "Neither side is a family of 3 units or more"),
        (None, None, "rotation", "Neither side is a family"),
        ([0, 1, 2, 3], None, "scale", "Circuits cannot be followed under 'scale'"),
    ],
)
def test_what_is_no_circuit_between_families(outs: list, ins: list, group: str, text: str) -> None:
    with pytest.raises(BadValue, match=text):
        circuit(np.ones((4, 2, 3, 3)), outs, ins, group)


def test_motifs_of_different_sizes() -> None:
    with pytest.raises(BadValue, match="are not each other's transposes"):
        transposed(np.ones((4, 2, 3, 3)), TURNS[:4], np.ones((2, 4, 5, 5)), TURNS[:4])

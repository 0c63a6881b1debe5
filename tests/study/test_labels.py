"""Labels: planted ones are found, none in noise, a person's override, and the p is exact."""

from __future__ import annotations

import numpy as np
import pytest

from micrographia.errors import BadValue
from micrographia.images.stimuli.catalogue import catalogue
from micrographia.images.stimuli.frame import shape
from micrographia.study.labels import SCORES, labels, scores

FIELD = 31


def silence() -> dict[str, np.ndarray]:
    return {name: np.zeros((1, *shape(family))) for name, family in catalogue(FIELD).items()}


def ideal(label: str) -> dict[str, np.ndarray]:
    """Answers of a unit that is exactly what the label says, of strength 1 at most, and 0.2 to what is alike."""
    found = silence()

    def over(name: str, at: float = 0.3) -> np.ndarray:
        size = found[name].shape[-1]
        return np.maximum(np.cos(2 * np.pi * (np.arange(size) / size - at)), 0) ** 4

    if label in ("curve", "corner", "brightness gradient", "edge", "line", "Gabor"):
        name = {"brightness gradient": "gradients", "Gabor": "gratings"}.get(label, f"{label}s")
        found[name][:] = over(name)
        if label == "curve":
            found[name][:, :, 0] *= 0.2
    elif label == "high-low frequency":
        found["high-low"][:] = over("high-low") * np.linspace(0, 1, found["high-low"].shape[2])[:, None]
        found["textures"][:] = 0.2
    elif label == "texture":
        found["textures"][:, :, 3] = 1
        found["gratings"][:, :, 3] = 0.5
    elif label == "centre-surround":
        found["spots"][:, 0] = 1
    elif label == "colour contrast":
        hue, angle = (2 * np.pi * np.arange(n) / n for n in found["colour-edges"].shape[-2:])
        found["colour-edges"][:] = np.maximum(np.cos(hue)[:, None] * np.cos(angle), 0)
    elif label == "colour centre-surround":
        found["colour-spots"][:] = over("colour-spots")
        found["tints"][:] = 0.2 * over("tints")
    elif label == "colour":
        found["tints"][:] = over("tints")
    elif label == "black-white vs colour":
        found["tinted-textures"][:, :, 0] = 1
        found["tinted-textures"][:, :, 1:] = 0.1
    return found


@pytest.mark.parametrize("label", SCORES)
def test_an_ideal_unit_scores_highest_in_its_own_label(label: str) -> None:
    found = {name: float(values[0]) for name, values in scores(ideal(label)).items()}
    assert max(found, key=found.__getitem__) == label
    assert 0.35 < found[label] <= 1
    assert all(0 <= value <= 1 for value in found.values())


def test_scores_do_not_depend_on_scale_and_silence_has_none() -> None:
    answers = {name: np.random.default_rng(0).random((7, *e.shape[1:])) ** 3 for name, e in silence().items()}
    once, more = scores(answers), scores({name: 17 * each for name, each in answers.items()})
    for name, values in once.items():
        assert more[name] == pytest.approx(values)
        assert (values >= 0).all()
        assert (values <= 1).all()
    assert all((values == 0).all() for values in scores(silence()).values())


def test_without_colour_there_are_no_colour_labels() -> None:
    grey = {name: each for name, each in silence().items() if name in catalogue(FIELD, coloured=False)}
    assert set(SCORES) - set(scores(grey)) == {
        "colour contrast", "colour centre-surround", "colour", "black-white vs colour",
    }  # fmt: skip


def drawn(rng: np.random.Generator, units: int) -> dict[str, np.ndarray]:
    """Scores that go together, as labels' scores do: an edge is also a gradient."""
    common = rng.random(units)
    return {name: rng.random(units) ** 2 * common for name in ("line", "edge", "gradient", "colour")}


def test_p_is_uniform_where_nothing_was_learned() -> None:
    rng = np.random.default_rng(2)
    # a small null too, in which every label's largest score is a good part of it
    for size in (60, 400):
        p = np.concatenate([[each.p for each in labels(drawn(rng, 20), drawn(rng, size))] for _ in range(100)])
        for level in (0.05, 0.2, 0.5):
            assert np.mean(p <= level) == pytest.approx(level, abs=0.025)


def test_none_is_the_label_of_what_learned_nothing() -> None:
    rng = np.random.default_rng(3)
    runs = [[each.measured != "none" for each in labels(drawn(rng, 50), drawn(rng, 400))] for _ in range(40)]
    # in 1 run of 20 any unit has a label; 7 or more of 40 come 1 time in 300
    assert sum(any(run) for run in runs) < 7
    assert np.mean(runs) < 0.02


def test_planted_labels_are_found() -> None:
    rng = np.random.default_rng(4)
    found, null = drawn(rng, 60), drawn(rng, 600)
    found["line"][:15], found["colour"][15:30] = 1.5, 1.4
    result = labels(found, null)
    assert [each.measured for each in result[:30]] == ["line"] * 15 + ["colour"] * 15
    assert sum(each.measured != "none" for each in result[30:]) <= 3
    assert result[0].score == 1.5
    assert result[0].confidence > 0.99


def test_a_person_s_label_overrides_and_is_kept_apart() -> None:
    rng = np.random.default_rng(5)
    found = drawn(rng, 6)
    result = labels(found, drawn(rng, 99), dead=[2], given={1: "dog snout", 2: "broken"})
    plain = labels(found, drawn(np.random.default_rng(5), 99), dead=[2])
    assert (result[1].label, result[1].given) == ("dog snout", "dog snout")
    assert result[1].to_json()["by"] == "person"
    assert result[1].measured == result[1].to_json()["measured"]
    assert (result[2].label, result[2].measured, result[2].p) == ("broken", "none", 1)
    assert plain[2].label == "none"
    assert result[0].to_json()["by"] == "measurement"


def test_other_labels_cannot_be_held_against() -> None:
    with pytest.raises(BadValue, match="Score the same labels"):
        labels({"line": np.ones(2)}, {"edge": np.ones(2)})

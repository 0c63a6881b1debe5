"""Experiment `computation`: a layer that computes |x| in superposition, and the motif that keeps its noise down.

Section Superposition to Compute of Elhage et al. 2022: y = ReLU(W2^T ReLU(W1 x) + b) with targets |x_i|, x_i in -1..1.
Beyond the paper, every density is trained in three ways: from scratch; going on from the model of the next higher
density; and at its own density throughout, for as many rounds of the same schedule as that one took. What sets the
second and the third apart is only the data on the way.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from micrographia.toy.check import Check
from micrographia.toy.geometry import meanings
from micrographia.toy.model import Optimiser, Trained, best, chosen, make_toy, repeated
from micrographia.toy.motif import Motif, chance, motifs
from micrographia.toy.train import Start, evaluate, train

SOURCE = "Elhage et al. 2022, Superposition to Compute"
FALL = 0.8
EXACT = 0.02
"""Every effect of an exact solution is within this of 0, 1 or -1."""


@dataclass(frozen=True)
class Size:
    """How large the experiment is.

    `seeds` is how many models there are of each density and way; `restarts` are of the exact solution and of the small
    models with motifs.
    """

    features: int
    hidden: int
    densities: tuple[float, ...]
    steps: int
    batch: int
    seeds: int
    restarts: int


FULL = Size(100, 40, (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001), steps=4000, batch=512, seeds=3, restarts=24)
QUICK = Size(40, 16, (1.0, 0.3, 0.1, 0.01, 0.001), steps=1500, batch=256, seeds=1, restarts=8)
MOTIF_DENSITIES = (0.5, 0.3, 0.2)


@dataclass(frozen=True, eq=False)
class Sweep:
    """One way of training: for each density the losses of all seeds, and the best model with its neurons' meanings."""

    name: str
    density: tuple[float, ...]
    encoder: Float[np.ndarray, "instance hidden feature"] = field(repr=False)
    decoder: Float[np.ndarray, "instance hidden feature"] = field(repr=False)
    losses: Float[np.ndarray, "instance seed"]
    meanings: Int[np.ndarray, "instance hidden"]

    @property
    def monosemantic(self) -> Int[np.ndarray, " instance"]:
        return (self.meanings == 1).sum(1)

    @property
    def polysemantic(self) -> Int[np.ndarray, " instance"]:
        return (self.meanings > 1).sum(1)

    def to_json(self) -> dict[str, Any]:
        """Plain values, without the weights."""
        return {
            "name": self.name, "density": list(self.density), "losses": self.losses.tolist(),
            "monosemantic": self.monosemantic.tolist(), "polysemantic": self.polysemantic.tolist(),
            "meanings": self.meanings.tolist(),
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class Computation:
    """The exact solution of 3 features by 6 neurons, the sweeps over density, and the motifs of small models.

    `effects` is W1 * W2 of the exact solution. `motif_chance` is the mean number of motifs with the neurons' outputs
    dealt out anew, at the same densities.
    """

    size: Size
    effects: Float[np.ndarray, "hidden feature"]
    exact_loss: float
    exact_found_by: float
    scratch: Sweep
    annealed: Sweep
    control: Sweep
    motifs: tuple[tuple[float, tuple[Motif, ...]], ...]
    motif_chance: tuple[float, ...]
    motif_weights: tuple[Float[np.ndarray, "layer neuron input"], ...]
    checks: tuple[Check, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "size": vars(self.size) | {"densities": list(self.size.densities)},
            "exact": {"effects": self.effects.tolist(), "loss": self.exact_loss, "found_by": self.exact_found_by},
            "sweeps": [each.to_json() for each in (self.scratch, self.annealed, self.control)],
            "motifs": [
                {"density": density, "found": [each.to_json() for each in found], "by_chance": chance}
                for (density, found), chance in zip(self.motifs, self.motif_chance, strict=True)
            ],
            "checks": [each.to_json() for each in self.checks],
        }


def computation(size: Size = FULL, seed: int = 0, threads: int | None = None) -> Computation:
    """Train all models of the section.

    >>> computation(QUICK).scratch.monosemantic[0]  # doctest: +SKIP
    16
    """
    effects, exact_loss, share = _exact(size, seed, threads)
    scratch, annealed, control = _sweeps(size, seed, threads)
    found, by_chance, weights = _small(size, seed, threads)
    checks = (
        *_exact_checks(effects, exact_loss),
        *_sweep_checks(scratch, annealed, control),
        *_motif_checks(found, by_chance),
    )
    return Computation(size, effects, exact_loss, share, scratch, annealed, control, found, by_chance, weights, checks)


def rescaled(trained: Trained) -> tuple[np.ndarray, np.ndarray]:
    """W1 and W2 with every neuron's largest input weight made 1 and its outputs scaled to match (the paper's note 15).

    >>> np.abs(rescaled(trained)[0]).max()  # doctest: +SKIP
    1.0
    """
    top = np.abs(trained.weights).max(2, keepdims=True)
    top = np.where(top > 0, top, 1.0)
    return trained.weights / top, trained.readout * top


def solves(effects: Float[np.ndarray, "hidden feature"]) -> bool:
    """Whether every feature has one neuron for x > 0 and one for x < 0, each of effect 1 in size, and no neuron more.

    >>> solves(np.array([[1.0], [-1.0]]))
    True
    """
    whole = np.round(effects)
    one_each = all(((whole == sign).sum(0) == 1).all() for sign in (1, -1))
    nothing_else = (np.abs(whole).sum(1) <= 1).all() and (np.abs(whole).sum(0) == 2).all()
    return bool(one_each and nothing_else and (np.abs(effects - whole) < EXACT).all())


def _walk(rate: float) -> Optimiser:
    return Optimiser("adam", rate=rate, decay=0, schedule="cosine")


def _exact(size: Size, seed: int, threads: int | None) -> tuple[np.ndarray, float, float]:
    toy = repeated(make_toy(3, 6, kind="absolute", density=0.5), size.restarts, seed)
    trained = train(toy, steps=2000, batch=256, optimiser=_walk(1e-2), init="kaiming", records=1, threads=threads)
    losses = evaluate(trained)
    share = float(np.mean([solves(a * b) for a, b in zip(trained.weights, trained.readout, strict=True)]))
    kept = best(trained, losses, size.restarts)
    return (kept.weights * kept.readout)[0], float(losses.min()), share


def _sweeps(size: Size, seed: int, threads: int | None) -> tuple[Sweep, Sweep, Sweep]:
    importance = FALL ** np.arange(size.features)
    options: dict[str, Any] = {"steps": size.steps, "batch": size.batch, "records": 1, "threads": threads}
    count = len(size.densities)

    def round_at(densities: tuple[float, ...], number: int, begin: str | Start) -> Trained:
        toy = make_toy(
            size.features, size.hidden, kind="absolute", density=list(densities), importance=importance, seed=seed
        )
        # every round has fresh data, whatever the density
        return train(repeated(toy, size.seeds, seed + number), optimiser=_walk(3e-3), init=begin, **options)

    scratch = round_at(size.densities, 0, "kaiming")
    annealed, control = [chosen(scratch, range(size.seeds))], [chosen(scratch, range(size.seeds))]
    longer = scratch
    for at in range(1, count):
        annealed.append(round_at(size.densities[at : at + 1], at, _end(annealed[-1])))
        longer = round_at(size.densities[at:], at, _end(chosen(longer, range(-(count - at) * size.seeds, 0))))
        control.append(chosen(longer, range(size.seeds)))
    parts = [chosen(scratch, range(at * size.seeds, (at + 1) * size.seeds)) for at in range(count)]
    return _sweep("from scratch", parts), _sweep("annealed", annealed), _sweep("from scratch, as long", control)


def _end(trained: Trained) -> Start:
    return Start(trained.weights, trained.bias, trained.decoder)


def _sweep(name: str, models: list[Trained]) -> Sweep:
    losses = [evaluate(each, 32_768) for each in models]
    kept = [chosen(each, [int(loss.argmin())]) for each, loss in zip(models, losses, strict=True)]
    encoder, decoder = (np.concatenate(each) for each in zip(*map(rescaled, kept), strict=True))
    density = tuple(float(each.toy.density[0, 0]) for each in models)
    return Sweep(name, density, encoder, decoder, np.array(losses), np.concatenate([meanings(e.weights) for e in kept]))


def _small(
    size: Size, seed: int, threads: int | None
) -> tuple[tuple[tuple[float, tuple[Motif, ...]], ...], tuple[float, ...], tuple[np.ndarray, ...]]:
    """Models of 20 features and 10 neurons, the best of the restarts at each density, and their motifs."""
    toy = make_toy(20, 10, kind="absolute", density=list(MOTIF_DENSITIES), importance=FALL ** np.arange(20))
    trained = train(
        repeated(toy, size.restarts, seed), steps=2000, batch=256, optimiser=_walk(1e-2), init="kaiming", records=1,
        threads=threads,
    )  # fmt: skip
    kept = best(trained, evaluate(trained, 16_384), size.restarts)
    encoder, decoder = rescaled(kept)
    found = tuple((p, motifs(a, b)) for p, a, b in zip(MOTIF_DENSITIES, encoder, decoder, strict=True))
    rng = np.random.default_rng(seed)
    by_chance = tuple(chance(a, b, rng) for a, b in zip(encoder, decoder, strict=True))
    return found, by_chance, tuple(np.stack(each) for each in zip(encoder, decoder, strict=True))


def _exact_checks(effects: np.ndarray, loss: float) -> tuple[Check, ...]:
    return (
        Check(
            "3 features, 6 neurons: each feature has a neuron ReLU(x) and a neuron ReLU(-x)",
            "exactly, loss 0", f"{'exactly' if solves(effects) else 'not so'}, loss {loss:.1e}",
            solves(effects) and loss < 1e-6, SOURCE,
        ),
    )  # fmt: skip


def _sweep_checks(scratch: Sweep, annealed: Sweep, control: Sweep) -> tuple[Check, ...]:
    count = scratch.meanings.shape[1]
    mono, poly = scratch.monosemantic, scratch.polysemantic
    falls = bool((np.diff(mono) <= 0).all())
    p = np.array(scratch.density)
    constant = (p / 3 - p**2 / 4) * np.mean(FALL ** np.arange(scratch.encoder.shape[2]))
    left = scratch.losses.min(1) / constant
    ratio = (control.losses / annealed.losses)[1:]
    checks = [
        Check("dense: monosemantic neurons", f"{count}, all", str(mono[0]), bool(mono[0] == count), SOURCE),
        Check(
            "density .3: monosemantic neurons", f"{count}, all", str(mono[1]), bool(mono[1] == count), SOURCE
        ),
        Check(
            f"density {scratch.density[-1]:g}: polysemantic neurons", f"{count}, all", str(poly[-1]),
            bool(poly[-1] == count), SOURCE,
        ),
        Check(
            "monosemantic neurons fall with sparsity", "yes", ", ".join(map(str, mono)), falls, SOURCE,
        ),
        Check(
            "loss of the models from scratch over that of the best constant answer, by falling density",
            "far below 1: below 0.5, if they are trained", ", ".join(f"{each:.2g}" for each in left),
            bool((left < 0.5).all()), "algebra: p/3 - p^2/4",
        ),
        Check(
            "loss of a model trained at its own density alone over that of one annealed from denser data, both for the "
            f"same number of steps; the annealed ones have {', '.join(map(str, annealed.monosemantic[1:]))} "
            f"monosemantic neurons, the others {', '.join(map(str, control.monosemantic[1:]))}",
            "at most 1, if polysemantic neurons are what sparse data need",
            ", ".join(_span(row, p) for row, p in zip(ratio, scratch.density[1:], strict=True)),
            bool((np.median(ratio, 1) <= 1.05).all()), "beyond the paper",
        ),
    ]  # fmt: skip
    return tuple(checks)


def _span(ratios: Float[np.ndarray, " seed"], density: float) -> str:
    low, middle, high = (
        f"{each:.0f}" if each >= 10 else f"{each:.2g}" for each in (ratios.min(), np.median(ratios), ratios.max())
    )
    spread = f" [{low}-{high}]" if len(ratios) > 1 else ""
    return f"{middle}{spread} at {density:g}"


def _motif_checks(
    found: tuple[tuple[float, tuple[Motif, ...]], ...], by_chance: tuple[float, ...]
) -> tuple[Check, ...]:
    count = sum(len(each) for _, each in found)
    inhibited = sum(each.inhibitor is not None for _, group in found for each in group)
    expected = sum(by_chance)
    return (
        Check(
            "asymmetric superposition with inhibition", "at least one",
            f"{inhibited} of {count} asymmetric pairs are inhibited ({expected:.2f} by chance)",
            inhibited > 0 and inhibited > 3 * expected, SOURCE,
        ),
    )  # fmt: skip

"""How alike the units of a layer are under a group: the correlation of each pair for every relative element.

A unit is given as a field on the group: what it has, or what it answers, at each step of the group, for each of some
features. Where two units are one feature at two elements, their fields are copies of each other, moved by the
difference of the elements. The cyclic correlation of the fields (a product of spectra) then tells the difference and
how well they agree, whatever the group is and wherever the fields come from:

- kernels over pixels: rotation moves the samples of each ring of the kernel, a hue rotation turns the colour vector of
  each px about the grey axis, a reflection exchanges left and right, a scaling moves the samples along the logarithm
  of the radius;
- weights on a lower layer: the group acts on space and on the input channels at once. How it acts on the channels is
  not assumed but measured, as their responses to transformed pictures; channels that are a family are permuted by it,
  invariant ones stay, and all between is covered too;
- responses: to each of some pictures, transformed by each step of the group.

A part of each field does not move at all (the mean over a ring, grey, ...). Units that share only that are not a
family. So there are two correlations: of the whole fields, and of what is left without the part that does not move.
Both have to be high: what counts is the smaller one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Complex, Float

from micrographia.errors import BadValue, suggest
from micrographia.model.rings import log_rings, ring_samples

Kernels = Float[np.ndarray, "unit channel height width"]
Field = Float[np.ndarray, "unit feature step"]

ANGLES = 36
OCTAVE = 8  # steps of scale in an octave
LARGEST = 2 * OCTAVE  # scales are compared up to a factor of four
ORDERS = 4  # harmonics of the input channels' own turning that are kept


@dataclass(frozen=True)
class Group:
    """A group in `steps` steps of `step` degrees (of octaves for scale; a reflection has the steps 0 and 1).

    `least` is how many members a family has at least, `distinct` how many different elements they have.
    """

    name: str
    steps: int
    step: float
    least: int
    distinct: int
    cyclic: bool = True

    @property
    def period(self) -> float:
        """After how much an element is the same again; for scale more than is ever compared."""
        return self.steps * self.step


GROUPS = {
    each.name: each
    for each in (
        Group("rotation", ANGLES, 360 / ANGLES, least=3, distinct=3),
        Group("reflection", 2, 1.0, least=2, distinct=2),
        Group("hue", ANGLES, 360 / ANGLES, least=3, distinct=3),
        Group("scale", 4 * LARGEST, 1 / OCTAVE, least=3, distinct=2, cyclic=False),
    )
}


def group_of(name: str) -> Group:
    """The group of this name; raises BadValue.

    >>> group_of("hue").period
    360.0
    """
    if name not in GROUPS:
        raise BadValue(f"There is no group '{name}'. Near it: {suggest(name, GROUPS)}; all: {', '.join(GROUPS)}.")
    return GROUPS[name]


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Fields as Fourier coefficients over the steps of a group: harmonic 0 is what does not move.

    `energy` is each unit's energy at each step, which only a group without a period needs.
    """

    group: Group
    harmonics: Complex[np.ndarray, "unit feature harmonic"]
    energy: Float[np.ndarray, "unit step"] | None = None


@dataclass(frozen=True, eq=False)
class Alignment:
    """Correlations of all pairs of units: [i, j, g] is largest at the g that is the element of i less that of j.

    `moving` is the share of each unit's energy that the group moves.
    """

    group: Group
    whole: Float[np.ndarray, "unit unit step"]
    varying: Float[np.ndarray, "unit unit step"]
    moving: Float[np.ndarray, " unit"]

    @property
    def pairs(self) -> Float[np.ndarray, "unit unit step"]:
        """What counts: the smaller of both."""
        return np.minimum(self.whole, self.varying)


def spectrum(field: Field, group: Group) -> Spectrum:
    """The spectrum of fields that are given step by step.

    >>> spectrum(np.ones((3, 5, 36)), GROUPS["rotation"]).harmonics.shape
    (3, 5, 19)
    """
    wide = field.astype(np.float32)
    if group.cyclic:
        # for few steps a product of matrices is several times as fast as fast transforms
        waves = np.fft.rfft(np.eye(group.steps)).astype(np.complex64)
        return Spectrum(group, np.ascontiguousarray(wide) @ waves)
    energy = np.zeros((len(wide), group.steps))
    energy[:, : wide.shape[2]] = np.square(wide).sum(1)
    return Spectrum(group, np.fft.rfft(wide, group.steps).astype(np.complex64), energy)


def of_pixels(kernels: Kernels, group: Group) -> Spectrum:
    """The spectrum of kernels that read pixels, in the order red, green, blue.

    Raises BadValue for the hue of kernels that do not read three colours.

    >>> of_pixels(np.ones((2, 3, 7, 7)), GROUPS["hue"]).harmonics.shape
    (2, 49, 2)
    """
    units, channels, height, width = kernels.shape
    if group.name == "hue":
        if channels != 3:
            raise BadValue(f"Kernels that read {channels} channel have no hue. Choose another group, such as rotation.")
        return Spectrum(group, _opponent(kernels).reshape(units, 2, -1).transpose(0, 2, 1).astype(np.complex64))
    if group.name == "reflection":
        flat = np.stack([kernels, kernels[..., ::-1]], -1)
    elif group.name == "rotation":
        flat = np.einsum("uctv,tvra->ucra", kernels, ring_samples((height, width), group.steps))
    else:
        flat = np.einsum("uctv,tvra->ucar", kernels, log_rings((height, width), ANGLES, OCTAVE))
    return spectrum(flat.reshape(units, -1, flat.shape[-1]), group)


def _opponent(kernels: Kernels) -> Complex[np.ndarray, "unit 2 height width"]:
    """Grey, and the colour as a complex number of the angle minus hue: red, green and blue are thirds of a turn."""
    third = np.exp(-2j * np.pi * np.arange(3) / 3)
    grey = kernels.sum(1) / np.sqrt(3)
    colour = np.einsum("uchw,c->uhw", kernels, third) * np.sqrt(2 / 3)
    # a real field on a circle has a coefficient on each side of zero, hence the root
    return np.stack([grey.astype(complex), colour / np.sqrt(2)], 1)


@dataclass(frozen=True, eq=False)
class Carried:
    """How a group acts on the channels of a layer: each channel's responses to transformed pictures, as a spectrum.

    `harmonics` are those of the channels' own turning, in few components that hold the products of all responses.
    """

    group: Group
    harmonics: Complex[np.ndarray, "channel component harmonic"]


def carried(responses: Field, group: Group, components: int = 8) -> Carried:
    """How a group acts on channels, from their responses to pictures at each step: "channel picture step".

    The components are the largest of each harmonic's singular value decomposition over the pictures.

    >>> carried(np.ones((5, 7, 36)), GROUPS["rotation"]).harmonics.shape
    (5, 5, 5)
    """
    # a constant response says nothing of what a channel looks for
    wide = responses - responses.mean((1, 2), keepdims=True)
    orders = np.fft.rfft(wide)[..., : ORDERS + 1].transpose(2, 0, 1)
    left, values, _ = np.linalg.svd(orders, full_matrices=False)
    kept = left[..., :components] * values[:, None, :components]
    return Carried(group, kept.transpose(1, 2, 0).astype(np.complex64))


def of_weights(kernels: Kernels, inputs: Carried) -> Spectrum:
    """The spectrum of weights on a lower layer, with the group acting on space and on the channels at once.

    Raises BadValue for scale, which does not keep a kernel of a few cells a kernel.

    >>> inputs = carried(np.ones((5, 7, 36)), GROUPS["hue"])
    >>> of_weights(np.ones((2, 5, 3, 3)), inputs).harmonics.shape
    (2, 45, 5)
    """
    group, own = inputs.group, inputs.harmonics
    units, _, height, width = kernels.shape
    small = kernels.astype(np.float32)
    if group.name == "scale":
        raise BadValue("Weights on a lower layer cannot be scaled. Look for scale in responses or in a first layer.")
    if group.name == "hue":
        mixed = np.einsum("uct,cpk->utpk", small.reshape(units, -1, height * width), own, optimize=True)
        return Spectrum(group, mixed.reshape(units, -1, own.shape[2]))
    # (unit, tap, component) for each harmonic of the channels, the channels first as they are the most
    by_tap = np.ascontiguousarray(small.reshape(units, -1, height * width).transpose(0, 2, 1))
    mixed = (by_tap @ own.reshape(len(own), -1)).reshape(units, height * width, -1, own.shape[2])
    if group.name == "reflection":
        flip = mixed.reshape(units, height, width, *mixed.shape[2:])[:, :, ::-1].reshape(mixed.shape)
        # even in space with even channels is even, and so is odd with odd
        both = [mixed[..., :2] + flip[..., :2], mixed[..., :2] - flip[..., :2]]
        parts = [[both[0][..., 0], both[1][..., 1]], [both[1][..., 0], both[0][..., 1]]]
        found = np.stack([np.stack(each, 1).reshape(units, -1) for each in parts], 2)
        return Spectrum(group, found.astype(np.complex64))
    waves = np.fft.fft(ring_samples((height, width), 24)).astype(np.complex64).reshape(height * width, -1, 24)
    summed = []
    for order in range(1 - own.shape[2], own.shape[2]):
        channel = mixed[..., order] if order >= 0 else mixed[..., -order].conj()
        # the harmonics of space and of the channel add up to that of both
        beside = waves[:, :, (np.arange(13) - order) % 24]
        summed.append(np.tensordot(channel, beside, (1, 0)).reshape(units, -1, 13))
    return Spectrum(group, np.concatenate(summed, 1))


def align(fields: Spectrum) -> Alignment:
    """The correlations of all pairs of units at all steps. Units without any energy correlate with nothing.

    >>> field = np.random.default_rng(0).normal(size=(1, 5, 36))
    >>> both = spectrum(np.concatenate([field, np.roll(field, 7, 2)]), GROUPS["rotation"])
    >>> int(align(both).pairs[1, 0].argmax())
    7
    """
    group = fields.group
    by_order = fields.harmonics.transpose(2, 0, 1)
    products = by_order @ by_order.conj().transpose(0, 2, 1)
    if not group.cyclic:
        return _within(fields, np.fft.irfft(products.transpose(1, 2, 0), group.steps))
    still = (products[0].real / group.steps)[..., None]
    varying = _over_steps(products[1:], group.steps)
    own = np.einsum("iig->ig", varying)[:, 0]
    total = own + np.einsum("iig->ig", still)[:, 0]
    return Alignment(
        group,
        _divided(varying + still, total),
        _divided(varying, own),
        np.divide(own, total, out=np.zeros_like(own), where=total > 0),
    )


def _over_steps(products: Complex[np.ndarray, "harmonic unit unit"], steps: int) -> Float[np.ndarray, "unit unit step"]:
    """The inverse Fourier transform of real fields' harmonics from 1 on; as a product of matrices it is fastest."""
    order = np.arange(1, len(products) + 1)
    # all orders but the last one of an even number stand for themselves and their opposite
    weight = np.where(2 * order == steps, 1, 2) / steps
    wave = np.exp(2j * np.pi * np.outer(np.arange(steps), order) / steps) * weight
    flat = products.reshape(len(products), -1)
    parts = [np.ascontiguousarray(each, np.float32) for each in (wave.real, wave.imag, flat.real, flat.imag)]
    summed = parts[0] @ parts[2] - parts[1] @ parts[3]
    return np.ascontiguousarray(summed.T).reshape(*products.shape[1:], steps)


def _within(fields: Spectrum, products: Float[np.ndarray, "unit unit step"]) -> Alignment:
    """Where steps leave the range, the two units are compared over what both show, if that is half of each or more."""
    steps, energy = fields.group.steps, fields.energy
    if energy is None:
        raise BadValue("A group without a period needs the energy of each step. Make the spectrum from a field.")
    summed = np.concatenate([np.zeros((len(energy), 1)), energy.cumsum(1)], 1)
    whole = np.zeros(products.shape, np.float32)
    length = int(np.flatnonzero(energy.any(0))[-1]) + 1 if energy.any() else 1
    for shift in range(-LARGEST, LARGEST + 1):
        low, high = max(0, shift), min(length, length + shift)
        if high <= low:
            continue
        mine = summed[:, high] - summed[:, low]
        other = summed[:, high - shift] - summed[:, low - shift]
        seen = (mine >= 0.5 * summed[:, -1])[:, None] & (other >= 0.5 * summed[:, -1])[None]
        scale = np.sqrt(np.outer(mine, other))
        known: Bool[np.ndarray, "unit unit"] = seen & (scale > 0)
        np.divide(products[..., shift % steps], scale, out=whole[..., shift % steps], where=known)
    return Alignment(fields.group, whole, whole, (energy.sum(1) > 0).astype(np.float32))


def _divided(
    products: Float[np.ndarray, "unit unit step"], energy: Float[np.ndarray, " unit"]
) -> Float[np.ndarray, "unit unit step"]:
    length = np.sqrt(np.maximum(energy, 0))
    # what is left by rounding of a unit that does not move is nothing
    scale = np.where(length > 1e-4 * max(float(length.max(initial=0)), 1e-30), 1 / np.maximum(length, 1e-30), 0)
    return (products * (scale[:, None] * scale[None])[..., None]).astype(np.float32)


def steps_of(group: Group) -> Float[np.ndarray, " step"]:
    """The elements at which units are compared, in order: degrees, octaves, or 0 and 1.

    >>> steps_of(GROUPS["reflection"])
    array([0., 1.])
    """
    places = np.arange(group.steps) if group.cyclic else np.arange(-LARGEST, LARGEST + 1)
    return places * group.step


def circle_gap(elements: Float[np.ndarray, " member"], period: float) -> float:
    """The largest part of a circle of this period without an element.

    >>> circle_gap(np.array([0.0, 90.0, 180.0]), 360.0)
    180.0
    """
    ordered = np.sort(np.asarray(elements, float) % period)
    return float(np.diff(np.append(ordered, ordered[0] + period)).max())


def distinct(elements: Float[np.ndarray, " member"], group: Group, period: float) -> int:
    """The most elements that can be chosen so that any two are a step and a half apart or more.

    >>> distinct(np.array([0.0, 4.0, 90.0, 359.0]), GROUPS["rotation"], 360.0)
    2
    """
    width = 0.5 if group.name == "reflection" else 1.5 * group.step
    if not group.cyclic:
        return _spaced(np.sort(elements), width, np.inf)
    ordered = np.sort(np.asarray(elements, float) % period)
    turned = [np.append(ordered[start:], ordered[:start] + period) for start in range(len(ordered))]
    return max(_spaced(each, width, period) for each in turned)


def _spaced(ordered: Float[np.ndarray, " member"], width: float, period: float) -> int:
    """How many of ordered elements can be taken from the first on, each `width` from the last and from its return."""
    count, last = 0, -np.inf
    for each in ordered:
        if each - last >= width and (count == 0 or ordered[0] + period - each >= width):
            count, last = count + 1, each
    return count

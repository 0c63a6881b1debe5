"""train(model, ...): from pictures to a network with its card; a run that was killed goes on where it stopped.

Every epoch draws its crops and its order from (seed, epoch), so a run that was killed and resumed ends in the same
weights as one that was not.
"""

from __future__ import annotations

import datetime
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from micrographia.errors import BadImages, BadStore, BadValue
from micrographia.images.source import ImageSource
from micrographia.model.card import Card, normalise
from micrographia.zoo.accuracy import accuracy
from micrographia.zoo.average import averaged
from micrographia.zoo.bundled import ARCHITECTURES
from micrographia.zoo.recipe import Pictures, Recipe, augmented, decoded

Teacher = tuple[nn.Module, Card]
DECODED = 128  # short side in px of the pictures that crops are taken from


def optimiser(model: nn.Module, recipe: Recipe) -> torch.optim.SGD:
    """SGD with Nesterov momentum; no decay on norms and biases, a decay of its own on the first kernels."""
    kernels = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": kernels[:1], "weight_decay": recipe.first_decay},
        {"params": kernels[1:], "weight_decay": recipe.decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, lr=recipe.rate(0.0), momentum=0.9, nesterov=True)


def settings(recipe: Recipe, teachers: Sequence[Teacher]) -> dict:
    """What a run was begun with, as its checkpoint keeps it."""
    return json.loads(json.dumps({**asdict(recipe), "teachers": [card.sha256 for _, card in teachers]}))


def save_checkpoint(path: Path, model: nn.Module, opt: torch.optim.SGD, begun: dict, log: list[dict]) -> None:
    """Weights and momenta in one safetensors file, replaced at once or not at all."""
    tensors = {f"model.{k}": v.detach().contiguous() for k, v in model.state_dict().items()}
    names = {id(p): name for name, p in model.named_parameters()}
    for parameter, state in opt.state.items():
        if state.get("momentum_buffer") is not None:
            tensors[f"momentum.{names[id(parameter)]}"] = state["momentum_buffer"].contiguous()
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, {"recipe": json.dumps(begun), "log": json.dumps(log)})
    os.replace(partial, path)


def load_checkpoint(path: Path, model: nn.Module, opt: torch.optim.SGD, begun: dict) -> list[dict]:
    """Put a saved run back; the log has a line per epoch done. Raises BadStore where it is another recipe's."""
    with safe_open(path, "pt") as file:
        meta = file.metadata()
        if json.loads(meta["recipe"]) != begun:
            raise BadStore(
                f"{path} holds a run with other settings. Choose another --out, or the settings it was begun with."
            )
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  (not a mapping)
    model.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("model.")})
    for name, parameter in model.named_parameters():
        if f"momentum.{name}" in tensors:
            opt.state[parameter]["momentum_buffer"] = tensors[f"momentum.{name}"].to(parameter.device)
    return json.loads(meta["log"])


def train(
    model: nn.Module,
    card: Card,
    pictures: Pictures,
    recipe: Recipe,
    checkpoint: Path,
    evaluate: Callable[[nn.Module], float],
    device: str = "cpu",
    report: Callable[[dict], None] = lambda line: None,
    teachers: Sequence[Teacher] = (),
) -> list[dict]:
    """Train to the end of the recipe, from the checkpoint where there is one; returns a line of figures per epoch.

    Source: one-cycle schedule (Smith and Topin 2018), pictures that grow during training (Howard 2018, DAWNBench);
    targets from teachers (Hinton et al. 2015, section 2, temperature 1), which see the same crops.
    """
    model.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    opt = optimiser(model, recipe)
    begun = settings(recipe, teachers)
    log = load_checkpoint(checkpoint, model, opt, begun) if checkpoint.exists() else []
    steps = len(pictures.images) // recipe.batch
    if steps == 0:
        raise BadValue(
            f"{len(pictures.images)} pictures do not fill one batch of {recipe.batch}. Give more, or a smaller batch."
        )
    for epoch in range(len(log), recipe.epochs):
        model.train()
        began, losses, right = time.time(), [], 0
        # dropout draws from the global generator: seeded per epoch, or a resumed run would differ
        torch.manual_seed(recipe.seed * 100_003 + epoch)
        for step, (images, targets) in enumerate(augmented(pictures, recipe, epoch)):
            for group in opt.param_groups:
                group["lr"] = recipe.rate((epoch + step / steps) / recipe.epochs)
            images, targets = images.to(device, memory_format=torch.channels_last), targets.to(device)
            with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=recipe.bfloat16):
                logits = model(normalise(images, card)).float()
                taught = lesson(teachers, images)
            loss = F.cross_entropy(logits, targets, label_smoothing=recipe.smoothing)
            if taught is not None:
                loss = (1 - recipe.teaching) * loss + recipe.teaching * F.cross_entropy(logits, taught)
            opt.zero_grad()
            loss.backward()
            opt.step()
            losses.append(loss.item())
            right += int((logits.argmax(1) == targets.argmax(1)).sum())
        line = {
            "epoch": epoch + 1,
            "size": recipe.size(epoch),
            "loss": round(float(np.mean(losses)), 4),
            "train": round(right / (steps * recipe.batch), 4),
            "seconds": round(time.time() - began, 1),
        }
        if (epoch + 1) % 5 == 0 or epoch + 1 == recipe.epochs:
            line["accuracy"] = round(float(evaluate(model.eval())), 4)
        log.append(line)
        save_checkpoint(checkpoint, model, opt, begun, log)
        report(line)
    return log


@torch.no_grad()
def lesson(
    teachers: Sequence[Teacher], images: Float[Tensor, "batch 3 height width"]
) -> Float[Tensor, "batch classes"] | None:
    """The mean of the teachers' class probabilities for pictures around 0..1; none where there is no teacher."""
    if not teachers:
        return None
    return torch.stack([model(normalise(images, card)).float().softmax(1) for model, card in teachers]).mean(0)


def train_network(
    name: str,
    source: ImageSource,
    validation: ImageSource,
    recipe: Recipe,
    folder: Path,
    device: str = "cpu",
    report: Callable[[dict], None] = lambda line: None,
    start: Teacher | None = None,
    teachers: Sequence[Teacher] = (),
    average: bool = False,
) -> tuple[nn.Module, Card]:
    """Train one of the bundled architectures on a source with classes; the checkpoint lies in `folder`.

    `start` is a network of this architecture with its card, to go on from; by default the weights are random. With
    `average` the result is the mean of the weights at the end of all cycles so far, `start` being the mean of those
    before this one. `teachers` are networks of the same classes whose answers to each crop are a share of its target.
    Raises BadValue for an unknown architecture or an average with nothing to average, BadImages for a source without
    classes or with other classes than `start` or a teacher, and BadStore for another run's checkpoint.
    """
    if name not in ARCHITECTURES:
        raise BadValue(f"There is no recipe for '{name}'. It trains {', '.join(ARCHITECTURES)}.")
    if average and start is None:
        raise BadValue(
            "There is one cycle, so there is nothing to average. Give the weights of the one before: --start."
        )
    card = Card(name, size=(112, 112), resize=120, licence="Apache-2.0", source="trained with micrographia train")
    pictures = decoded(source, DECODED)
    torch.manual_seed(recipe.seed)
    model = ARCHITECTURES[name](len(source.classes))
    for other in [*teachers, *([start] if start else [])]:
        if other[1].labels and other[1].labels != class_names(source):
            raise BadImages(
                f"{source.place} has the classes {', '.join(class_names(source))}, {other[1].name} has "
                f"{', '.join(other[1].labels)}. Give pictures of its classes, or do without it."
            )
    if start is not None:
        model.load_state_dict(start[0].state_dict())
    folder.mkdir(parents=True, exist_ok=True)

    def evaluate(network: nn.Module) -> float:
        return accuracy(network, card, validation, top=(1,))[1]

    teachers = [(network.eval().to(device), its) for network, its in teachers]
    path = folder / f"{name}.checkpoint.safetensors"
    log = train(model, card, pictures, recipe, path, evaluate, device, report, teachers)
    before = start[1].training.get("cycles", []) if start else []
    if average and start is not None:
        model = averaged(start[0].to(device), model, 1 / (len(before) + 1), plain(pictures, recipe, card, device))
        log = [*log, {**log[-1], "accuracy": round(float(evaluate(model)), 4)}]
    return model.eval(), finished(card, source, validation, recipe, log, before, teachers, average)


def plain(
    pictures: Pictures, recipe: Recipe, card: Card, device: str, count: int = 60
) -> Iterator[Float[Tensor, "batch 3 height width"]]:
    """The first batches of larger, unmixed crops: what the batch norms of a mean of weights are measured on."""
    final = replace(recipe, sizes=((1.0, recipe.sizes[-1][1]),), cutmix=0.0, colour=0.1, area=(0.35, 1.0))
    for images, _ in islice(augmented(pictures, final, 0), count):
        yield normalise(images, card).to(device, memory_format=torch.channels_last)


def class_names(source: ImageSource) -> tuple[str, ...]:
    """The names of a source's classes without the WordNet ids that ImageNet's folders begin with."""
    return tuple(re.sub(r"^n\d{8}_", "", label).replace("_", " ") for label in source.classes)


def finished(
    card: Card,
    source: ImageSource,
    validation: ImageSource,
    recipe: Recipe,
    log: list[dict],
    before: Sequence[int] = (),
    teachers: Sequence[Teacher] = (),
    average: bool = False,
) -> Card:
    """The card of a finished run: its classes, and what it was trained on, by what, how long and how well.

    `before` are the epochs of the cycles that came before this run, where it did not start from random weights.
    """
    training = {
        "pictures": Path(source.place).name,
        "validation": Path(validation.place).name,
        "epochs": sum(before) + recipe.epochs,
        "cycles": [*before, recipe.epochs],
        "averaged": average,
        "teachers": [teacher.name for _, teacher in teachers],
        "seed": recipe.seed,
        "accuracy": log[-1]["accuracy"],
        "date": datetime.date.today().isoformat(),
    }
    return Card(**{**card.to_json(), "labels": class_names(source), "training": training})

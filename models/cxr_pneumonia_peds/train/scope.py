"""Fit and measure the scope heads: does an image look like a frontal chest film at all?

One head for each fold's network, on that network's own feature maps, fitted on the persons the
network was fitted on and scored on those it has never seen. Proper films, plain and augmented,
stand against the same films turned, inverted and cut up, and against generated pictures.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from models.cxr_pneumonia_peds.train import data, strangers
from models.cxr_pneumonia_peds.train.augment import augmented, standardised
from models.cxr_pneumonia_peds.train.figures import scope_limit
from models.cxr_pneumonia_peds.train.network import INPUT_SIZE, ScopeHead, SmallResNet

SEED = 23
EPOCHS = 6
BATCH = 256
RATE = 1e-3
WEIGHT_DECAY = 0.05
PICTURES = 300  # of each kind
HELD_OUT_PICTURES = 60
PROPER = ("proper", "augmented")
TURNED = ("turned 90", "turned 180", "turned 270")
# Each half is judged once by a head that was fitted without it.
HALVES = (("scene", "page", "slice", "fan", "upset"), ("leaves", "pattern", "limb", "cut_up"))

Grey = NDArray[np.float32]
Groups = dict[str, Tensor]  # what the images are -> their pooled features


def main() -> None:
    """Fit the heads asked for and leave `scope-K.pt` and `scope-K.npz` in the work folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--folds", type=int, nargs="+", default=list(range(data.FOLDS)))
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    images = data.load(arguments.data, arguments.work / "grey.npy")
    for fold in arguments.folds:
        if not (arguments.work / f"scope-{fold}.npz").exists():
            fit_fold(images, fold, arguments.work)


def fit_fold(images: data.Radiographs, fold: int, work: Path, *, pictures: int = PICTURES) -> None:
    """Fit one head, then score the held-out films, turned and spoiled ones, and new pictures."""
    network = read_network(work, fold)
    rng = np.random.default_rng([SEED, fold])
    known = _groups(network, images.grey[images.fold != fold], rng, pictures, ("turned",))
    held_out = np.flatnonzero(images.fold == fold)
    new = _groups(network, images.grey[held_out], rng, HELD_OUT_PICTURES, TURNED)
    head = fit(known, fold)
    torch.save(head.state_dict(), work / f"scope-{fold}.pt")
    scores = {name: score(head, rows) for name, rows in new.items()}
    for half in HALVES:
        blind = fit({name: rows for name, rows in known.items() if name not in half}, fold)
        limit = scope_limit(score(blind, new["proper"]))
        for name in half:
            scores[f"unseen {name}"] = score(blind, new[name]) - limit
    np.savez(work / f"scope-{fold}.npz", index=held_out, **scores)
    print(f"fold {fold}: scope head fitted on {sum(map(len, known.values()))} images", flush=True)


def read_network(work: Path, fold: int) -> SmallResNet:
    """Read one fold's network, ready to answer."""
    network = SmallResNet()
    network.load_state_dict(torch.load(work / f"fold-{fold}.pt", weights_only=True))
    return network.eval().to(memory_format=torch.channels_last)


def fit(known: Groups, fold: int) -> ScopeHead:
    """Fit a head; proper and improper images count the same in the loss."""
    torch.manual_seed(SEED + fold)
    rows = torch.cat(list(known.values()))
    target = torch.cat([torch.full((len(r), 1), float(n not in PROPER)) for n, r in known.items()])
    weight = torch.where(target > 0, 0.5 / target.mean(), 0.5 / (1 - target.mean()))
    head = ScopeHead()
    films = known["proper"].float()
    head.mean.copy_(films.mean(dim=0))
    head.scale.copy_(1 / films.std(dim=0).clamp_min(0.05))
    steps = len(rows) // BATCH
    optimiser = torch.optim.AdamW(head.parameters(), lr=RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=EPOCHS * steps)
    head.train()
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(rows))[: steps * BATCH].reshape(steps, BATCH):
            answer = head(rows[chosen].float())
            loss = F.binary_cross_entropy_with_logits(answer, target[chosen], weight[chosen])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
    return head.eval()


def score(head: ScopeHead, rows: Tensor) -> NDArray[np.float64]:
    """Return one score for each row of pooled features; larger is less like a film."""
    with torch.no_grad():
        return head(rows.float()).squeeze(1).double().numpy()


def pooled_features(network: SmallResNet, images: Tensor) -> Tensor:
    """Return (images, INPUTS), float16; bfloat16 arithmetic, as in training."""
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        maps = network.features(images.to(memory_format=torch.channels_last))
        return ScopeHead.pooled(*maps).half()


def _groups(
    network: SmallResNet,
    films: NDArray[np.uint8],
    rng: np.random.Generator,
    pictures: int,
    turns: tuple[str, ...],
) -> Groups:
    """Return the features of every kind of image, proper ones first."""
    names = [*PROPER, *turns, "inverted", "upset", "cut_up"]
    parts: dict[str, list[Tensor]] = {name: [] for name in names}
    for chosen in np.array_split(np.arange(len(films)), len(films) // 64 + 1):
        plain = _tensor(films[chosen].astype(np.float32) / 255)
        varied = augmented(films[chosen], rng)
        changed = [_changed(name, plain, varied, rng) for name in names]
        rows = pooled_features(network, torch.cat(changed))
        for name, part in zip(names, rows.split(len(chosen)), strict=True):
            parts[name].append(part)
    groups = {name: torch.cat(part) for name, part in parts.items()}
    for kind in strangers.KINDS:
        drawn = np.stack([strangers.picture(kind, rng, INPUT_SIZE) for _ in range(pictures)])
        groups[kind] = pooled_features(network, _tensor(drawn))
    return groups


def _changed(name: str, plain: Tensor, varied: Tensor, rng: np.random.Generator) -> Tensor:
    """Return one batch; what is not a proper film comes from plain and augmented ones alike."""
    if name in PROPER:
        return plain if name == "proper" else varied
    coin = torch.from_numpy(rng.random((len(plain), 1, 1, 1)) < 0.5)
    mixed = torch.where(coin, plain, varied)
    if name == "inverted":
        return -mixed
    if name in TURNED:
        return torch.rot90(mixed, int(name.split()[1]) // 90, dims=(2, 3))
    each = mixed.squeeze(1).numpy()
    others = each[rng.permutation(len(each))]
    change = {
        "turned": lambda film, _: strangers.turned(film, int(rng.integers(1, 4))),
        "upset": lambda film, _: strangers.upset(film, rng),
        "cut_up": lambda film, other: strangers.cut_up(film, other, rng),
    }[name]
    return _tensor(np.stack([change(a, b) for a, b in zip(each, others, strict=True)]))


def _tensor(grey: Grey) -> Tensor:
    return standardised(torch.from_numpy(np.ascontiguousarray(grey)).unsqueeze(1))


if __name__ == "__main__":
    main()

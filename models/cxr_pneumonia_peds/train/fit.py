"""Fit one network for each fold; stop at any time and start again where it stood.

Every choice (size, epochs, rates, augmentation) was made before the first fold was scored and is
the same for all. The held-out fold is scored once, after the last epoch: no early stopping.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from models.cxr_pneumonia_peds.train import data
from models.cxr_pneumonia_peds.train.augment import augmented, standardised
from models.cxr_pneumonia_peds.train.network import SmallResNet

SEED = 7
EPOCHS = 16
BATCH = 64
PEAK_RATE = 3e-3
WEIGHT_DECAY = 0.02
LABEL_SMOOTHING = 0.05
EMA_DECAY = 0.99


def main() -> None:
    """Fit the folds asked for and leave `fold-K.pt` and `fold-K.npz` in the work folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the folder kermany-train")
    parser.add_argument("--work", type=Path, required=True, help="cache, checkpoints, scores")
    parser.add_argument("--folds", type=int, nargs="+", default=list(range(data.FOLDS)))
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.work.mkdir(parents=True, exist_ok=True)
    images = data.load(arguments.data, arguments.work / "grey.npy")
    for fold in arguments.folds:
        if not (arguments.work / f"fold-{fold}.npz").exists():
            fit_fold(images, fold, arguments.work)


def fit_fold(images: data.Radiographs, fold: int, work: Path) -> None:
    """Fit on every other fold, then score this one and write its logits."""
    inside = np.flatnonzero(images.fold != fold)
    held_out = np.flatnonzero(images.fold == fold)
    torch.manual_seed(SEED + fold)
    network = SmallResNet().to(memory_format=torch.channels_last)
    average = torch.optim.swa_utils.AveragedModel(
        network,
        multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(EMA_DECAY),
        use_buffers=True,
    )
    optimiser = torch.optim.AdamW(network.parameters(), lr=PEAK_RATE, weight_decay=WEIGHT_DECAY)
    steps = len(inside) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, PEAK_RATE, total_steps=EPOCHS * steps, pct_start=0.2
    )
    state = {"network": network, "average": average, "optimiser": optimiser, "schedule": schedule}
    checkpoint = work / f"fold-{fold}-running.pt"
    first = _resume(checkpoint, state)
    # Each label counts the same in the loss, whatever its share of the images.
    share = images.label[inside].mean()
    weight = np.where(images.label == 1, 0.5 / share, 0.5 / (1 - share)).astype(np.float32)
    for epoch in range(first, EPOCHS):
        started, losses = time.monotonic(), []
        rng = np.random.default_rng([SEED, fold, epoch])
        torch.manual_seed(1000 * fold + epoch)
        network.train()
        order = rng.permutation(inside)[: steps * BATCH].reshape(steps, BATCH)
        for chosen in order:
            target = torch.from_numpy(images.label[chosen].astype(np.float32))
            target = target * (1 - LABEL_SMOOTHING) + LABEL_SMOOTHING / 2
            x = augmented(images.grey[chosen], rng).to(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16):
                logit = network(x)
            loss = F.binary_cross_entropy_with_logits(
                logit.float().squeeze(1), target, weight=torch.from_numpy(weight[chosen])
            )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
            average.update_parameters(network)
            losses.append(loss.item())
        torch.save({"epoch": epoch + 1} | {k: v.state_dict() for k, v in state.items()}, checkpoint)
        seconds = time.monotonic() - started
        print(
            f"fold {fold} epoch {epoch + 1}/{EPOCHS} loss {np.mean(losses):.4f} {seconds:.0f} s",
            flush=True,
        )
    torch.save(average.module.state_dict(), work / f"fold-{fold}.pt")
    logit = score(average.module, images.grey[held_out])
    np.savez(work / f"fold-{fold}.npz", index=held_out, logit=logit)
    checkpoint.unlink()


def score(network: torch.nn.Module, grey: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return one logit for each image, in float32 arithmetic and without augmentation."""
    network.eval()
    with torch.no_grad():
        parts = [
            network(standardised(torch.from_numpy(part).float().div(255).unsqueeze(1))).squeeze(1)
            for part in np.array_split(grey, max(1, len(grey) // 128))
        ]
    return torch.cat(parts).double().numpy()


def _resume(checkpoint: Path, state: dict[str, torch.nn.Module]) -> int:
    """Load what a stopped run left, and return the number of epochs it had done."""
    if not checkpoint.exists():
        return 0
    saved = torch.load(checkpoint, weights_only=True)
    for name, part in state.items():
        part.load_state_dict(saved[name])
    return int(saved["epoch"])


if __name__ == "__main__":
    main()

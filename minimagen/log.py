"""Lesson 11. The log of a training run: one line for every few hundred steps, also across the legs
of a training in several runs.
"""

import json
import math
from pathlib import Path

import torch
from torch import Tensor

from minimagen.files import write
from minimagen.training import TrainStep


class LossLog:
    """Collects steps and sums them up: mean loss, loss by noise level, gradient norm. Lesson 11
    draws its lines.
    """

    EDGES = (-20, -10, -6, -3, -1, 1, 3, 6, 10, 20)  # nats; bins of the log-SNR

    def __init__(self):
        self.clear()

    def clear(self) -> None:
        self.losses: list[Tensor] = []
        self.logsnr: list[Tensor] = []
        self.norms: list[float] = []

    def add(self, step: TrainStep) -> None:
        self.losses.append(step.losses)
        self.logsnr.append(step.logsnr)
        self.norms.append(step.norm)

    def summary(self) -> dict:
        """The steps since the last line, ready for JSON; a bin without a picture is None."""
        losses, logsnr = torch.cat(self.losses).cpu(), torch.cat(self.logsnr).cpu()
        bins = torch.bucketize(logsnr.float(), torch.tensor(self.EDGES[1:-1], dtype=torch.float32))
        by_level = [
            round(losses[bins == b].mean().item(), 5) if (bins == b).any() else None
            for b in range(len(self.EDGES) - 1)
        ]
        return {
            "loss": round(losses.mean().item(), 5),
            "by_level": by_level,
            "norm": round(math.fsum(self.norms) / len(self.norms), 4),
            "pictures": len(losses),
        }

    def line(self) -> dict:
        """The `summary`, after which the log begins anew."""
        summary = self.summary()
        self.clear()
        return summary

    def state_dict(self) -> dict:
        """The steps that no line has summed up yet, so that a stopped run loses none of them."""
        if not self.norms:
            return {}
        losses, logsnr = torch.cat(self.losses), torch.cat(self.logsnr)
        return {"losses": losses, "logsnr": logsnr, "norms": list(self.norms)}

    def load_state_dict(self, state: dict) -> None:
        self.clear()
        if state:
            self.losses, self.logsnr = [state["losses"]], [state["logsnr"]]
            self.norms = list(state["norms"])


def read_log(path: Path) -> list[dict]:
    """The lines of a log, of all its legs; none where there is no such file.

    Raises `ValueError` naming file and line where one is damaged or has no leg or step.
    """
    if not path.exists():
        return []
    lines = []
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            line = json.loads(text)
            if not line["leg"] > 0 <= line["step"]:
                raise ValueError(text)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path}, line {number}: must be a JSON object with leg and step, got {text[:80]!r}"
            ) from error
        lines.append(line)
    return lines


def write_log(path: Path, lines: list[dict]) -> None:
    """Write all lines anew, by a rename: a kill leaves no half line."""
    text = "".join(json.dumps(line) + "\n" for line in lines)
    write(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def up_to(lines: list[dict], leg: int, step: int) -> list[dict]:
    """The lines up to that step of that leg: what a later one says of is done again."""
    return [line for line in lines if (line["leg"], line["step"]) <= (leg, step)]

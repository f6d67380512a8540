"""School a text encoder on captions and pictures, as CLIP is: `python -m tools.school_contrastive`,
twenty minutes on one core.

The paper compares T5 with CLIP's text encoder (section 4.4). This is that other encoder for
`World`, in the shape and with the tokenizer of the schooled T5: two towers, one a caption, one a
picture of 32 pixels, trained so that of 128 captions and 128 pictures those belong together whose
vectors point the same way, -log softmax over rows and over columns of u . v / t (Radford et al.
2021, section 2.3). It sees pairs of the training split alone. The picture tower is thrown away, and
what a network reads are the states of the text tower's tokens. Lesson 10.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from experiments._common import machine
from minimagen.data import World
from minimagen.files import shipped, write
from minimagen.pixels import from_uint8
from tools.pretrain_text import LOG, save, small_t5

BATCH, PEAK, WARM = 128, 1e-3, 200
WIDTH = 128  # of the vectors that are compared
CHANNELS = (32, 64, 96, 128)  # of the picture tower, each at half the pixels of the one before


class Towers(nn.Module):
    """A caption's vector and a picture's, both of length 1, and the temperature between them."""

    def __init__(self, vocabulary: int):
        super().__init__()
        self.text = small_t5(vocabulary)
        blocks, channels = [], 3
        for wide in CHANNELS:
            blocks += [nn.Conv2d(channels, wide, 3, 2, 1), nn.GroupNorm(8, wide), nn.SiLU()]
            channels = wide
        self.picture = nn.Sequential(*blocks, nn.Flatten(), nn.Linear(4 * channels, WIDTH))
        self.said = nn.Linear(self.text.config.d_model, WIDTH, bias=False)
        self.scale = nn.Parameter(torch.tensor(14.0).log())  # CLIP's 1 / 0.07

    def captions(self, ids: Tensor) -> Tensor:
        """ids (B, L), 0 where there is none -> (B, WIDTH): the mean of the tokens' states."""
        mask = ids != 0
        states = self.text.encoder(ids, mask).last_hidden_state
        mean = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return F.normalize(self.said(mean), dim=-1)

    def pictures(self, images: Tensor) -> Tensor:
        """images (B, 3, 32, 32) in [-1, 1] -> (B, WIDTH)."""
        return F.normalize(self.picture(images), dim=-1)


def loss_of(towers: Towers, images: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
    """CLIP's loss of B pairs, and the share of captions whose picture is the nearest."""
    with torch.autocast("cpu", torch.bfloat16):
        pictures, captions = towers.pictures(images).float(), towers.captions(ids).float()
    near = towers.scale.exp().clamp(max=100) * captions @ pictures.T
    own = torch.arange(len(near))
    loss = (F.cross_entropy(near, own) + F.cross_entropy(near.T, own)) / 2
    return loss, (near.argmax(1) == own).float().mean()


def batch(world: World, tokenizer: PreTrainedTokenizerFast, step: int) -> tuple[Tensor, Tensor]:
    """Pictures and token ids of the batch of that number."""
    images, captions = zip(*(world[BATCH * step + i] for i in range(BATCH)), strict=True)
    ids = tokenizer(list(captions), padding=True, truncation=True, return_tensors="pt")
    return from_uint8(torch.stack(images)), ids["input_ids"]


def school(towers: Towers, tokenizer: PreTrainedTokenizerFast, steps: int) -> dict[str, object]:
    """Train for so many steps -> the log."""
    world = World(32, length=BATCH * steps)
    optimizer = torch.optim.AdamW(towers.parameters(), lr=PEAK, weight_decay=0.1, fused=True)
    log, recent, begin = [], [], time.process_time()
    for step in (bar := tqdm(range(steps), mininterval=2)):
        for group in optimizer.param_groups:
            group["lr"] = PEAK * min((step + 1) / WARM, 1 - step / steps)
        loss, right = loss_of(towers, *batch(world, tokenizer, step))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(towers.parameters(), 1.0)
        optimizer.step()
        recent.append((loss.item(), right.item()))
        if (step + 1) % max(steps // 50, 1) == 0:
            found = torch.tensor(recent).mean(0).tolist()
            log.append([step + 1, *(round(value, 4) for value in found)])
            bar.set_postfix_str(str(log[-1]))
            recent = []
    return {"processor_minutes": round((time.process_time() - begin) / 60, 1), "train": log}


def main() -> None:
    """School both towers, and save the text tower with its log."""
    parser = argparse.ArgumentParser(description="School a text encoder on captions and pictures.")
    parser.add_argument("--steps", type=int, default=2400, help="(default: 2400)")
    parser.add_argument("--seed", type=int, default=0, help="of the weights (default: 0)")
    parser.add_argument(
        "--tokenizer",
        type=Path,
        default=shipped("weights") / "world-text",
        help="a folder with a tokenizer (default: data/weights/world-text)",
    )
    out = Path("runs/contrastive")
    parser.add_argument("--out", type=Path, default=out, help=f"(default: {out})")
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    tokenizer = AutoTokenizer.from_pretrained(options.tokenizer)
    towers = Towers(len(tokenizer))
    log = {
        "command": " ".join(["python", "-m", "tools.school_contrastive", *sys.argv[1:]]),
        "machine": machine(),
        **school(towers, tokenizer, options.steps),
    }
    save(towers.text, tokenizer, options.out)
    text = json.dumps(log) + "\n"
    write(options.out / LOG, lambda temporary: temporary.write_text(text, encoding="utf-8"))


if __name__ == "__main__":
    main()

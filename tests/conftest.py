"""What every test runs under: one thread, no network, its own cache, and the same examples on every
machine.
"""

import ipaddress
import json
import os
import shutil
import socket
from pathlib import Path

# Set before torch or transformers is first imported, and inherited by every command that a test
# starts.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("MINIMAGEN_CACHE", str(Path(__file__).parents[1] / ".cache"))

import pytest
from hypothesis import settings

from minimagen.unet import UNetConfig

# Networks of a few thousand weights, which draw in milliseconds.
TINY = {
    "base": UNetConfig(
        8, (1, 2), (1, 1), (None, "self"), text_width=16, neighbours=1, patch=2, head_width=8
    ),
    "sr": UNetConfig(
        8, (1, 2), (1, 1), (None, "cross"), text_width=16, lowres=True, patch=2, head_width=8
    ),
}

settings.register_profile("fixed", deadline=None, derandomize=True, database=None)
settings.load_profile("fixed")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    """A test that reaches beyond this machine fails, also where the network would have answered."""
    connect = socket.socket.connect

    def local_only(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_local(address[0]):
            raise OSError(f"a test tried to connect to {address[0]}: tests run offline")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", local_only)


def _is_local(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


WORDS = "a red blue green circle star square heart small large to the left of and on white page"


@pytest.fixture(scope="session")
def tiny_text(tmp_path_factory) -> Path:
    """The folder of a T5 encoder 16 wide, with random weights and eighteen words."""
    import tokenizers
    import torch
    import transformers

    folder = tmp_path_factory.mktemp("tiny_text")
    vocabulary = {word: i for i, word in enumerate(["<pad>", "</s>", "<unk>", *WORDS.split()])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=40,
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.T5Config(
        vocab_size=len(vocabulary), d_model=16, d_kv=8, d_ff=24, num_layers=1, num_heads=2
    )
    transformers.T5EncoderModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_cascade(tmp_path_factory, tiny_text) -> Path:
    """The folder of a whole cascade, 16 -> 32 -> 64 pixels, with small random weights and a random
    text encoder.
    """
    import torch

    from minimagen import checkpoint

    folder = tmp_path_factory.mktemp("tiny_cascade")
    shutil.copytree(tiny_text, folder / "text")
    stages = {
        "base": checkpoint.Settings(
            16, "unet", TINY["base"], steps=4, weight=3.0, threshold="dynamic"
        ),
        "sr2": checkpoint.Settings(32, "efficient", TINY["sr"], steps=3, aug_level=0.1),
        "sr3": checkpoint.Settings(
            64, "efficient", TINY["sr"], schedule="linear", steps=2, aug_level=0.1
        ),
    }
    generator = torch.Generator().manual_seed(0)
    for name, stage in stages.items():
        denoiser = stage.build()
        for parameter in (
            denoiser.parameters()
        ):  # fresh layers that end in zeros would see neither text nor picture
            parameter.data = parameter + 0.1 * torch.randn(parameter.shape, generator=generator)
        checkpoint.save(folder / name, denoiser, stage)
    (folder / "cascade.json").write_text(json.dumps({"stages": [*stages], "text": "text"}))
    return folder

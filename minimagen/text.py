"""Lesson 10. The frozen text encoder: a sentence in, one state a token out.

Imagen (section 2.1) takes the states of a frozen T5-XXL as they are: trained on text alone, never
on pictures, never fine-tuned. The default here is a small T5 of this project's own
(`tools/pretrain_text.py`); any other encoder has a name or a folder.

>>> text = TextEncoder(device="cpu").encode(["a large red circle", "a star"])
>>> text.tokens.shape, text.mask.sum(1).tolist()
(torch.Size([2, 5, 128]), [5, 3])
>>> text.tokens[1, 3:].any().item()  # what pads the shorter sentence is nothing
False
"""

import contextlib
import hashlib
import json
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from minimagen import files
from minimagen.conditioning import Text

# These load without their decoder.
T5 = {
    "t5": "T5EncoderModel",
    "mt5": "MT5EncoderModel",
    "umt5": "UMT5EncoderModel",
}
MEMO = 50_000  # sentences that `cached` keeps in memory beside those of its file


class TextEncoder:
    """Encode sentences with a frozen encoder of `transformers`: prompts -> token states, float32.

    name_or_path: a folder, or a hub name such as "google/t5-v1_1-xxl" (the paper's, 4.6 B
    parameters, 4096 wide); None or "shipped": the small T5 in `data/weights/text`. A folder is read
    without the network; so is a hub name that is in the cache when `HF_HUB_OFFLINE=1`. device:
    where it runs and where the states stay; None: the GPU if there is one.

    A prompt may be `limit` tokens long: 64 for the shipped encoder, 256 for any other (fewer where
    its tokenizer says so). The paper does not print its limit: both are our choice.

    Raises `OSError` naming the folder or hub name when there is nothing there or the weights are
    damaged.
    """

    def __init__(
        self, name_or_path: str | Path | None = None, device: str | torch.device | None = None
    ):
        self.name = str(name_or_path or "shipped")
        source = files.shipped("weights") / "text" if self.name == "shipped" else name_or_path
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        try:
            self.model, self.tokenizer = _load(str(source))
        except Exception as error:  # a damaged file fails in as many ways as there are readers
            hint = (
                ""
                if Path(source).is_dir()
                else ": no such folder, and nothing by that name on the hub or in its cache"
            )
            raise OSError(
                f"the text encoder {str(source)!r} could not be loaded{hint} ({_first_line(error)})"
            ) from error
        self.model.to(self.device).eval().requires_grad_(False)
        self.limit = min(self.tokenizer.model_max_length, 64 if self.name == "shipped" else 256)

    @property
    def width(self) -> int:
        """D, the width of one token's state."""
        return self.model.config.hidden_size

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the weights, the tokenizer and the limit.

        That is what decides the states, wherever it was loaded from.
        """
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        words = json.loads(backend.to_str()) if backend else self.tokenizer.get_vocab()
        if backend:  # a fast tokenizer keeps these of its last call
            del words["padding"], words["truncation"]
        digest = hashlib.sha256(
            json.dumps([type(self.model).__name__, self.limit, words], sort_keys=True).encode()
        )
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.float().cpu().contiguous().numpy())
        return digest.hexdigest()

    def encode(self, prompts: list[str]) -> Text:
        """The states of the last layer: tokens (B, L, D) float32, zero where mask (B, L) is False.

        L is the longest prompt's length; the others are padded, which changes none of their states.
        An empty sentence is allowed: T5 gives it one state, that of </s>. A longer prompt than
        `limit` warns and says where it was cut. Raises `ValueError` when `prompts` is no list, is
        empty, or holds something that is not a string.
        """
        _check(prompts)
        batch = self.tokenizer(
            list(prompts), padding=True, truncation=True, max_length=self.limit, return_tensors="pt"
        )
        ids, mask = batch["input_ids"], batch["attention_mask"].bool()
        for i in torch.nonzero(mask.sum(1) >= self.limit).flatten().tolist():
            self._warn_if_cut(i, prompts[i], ids[i])
        ids, mask = ids.to(self.device), mask.to(self.device)
        with torch.no_grad():
            states = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
        return Text(states.float() * mask[..., None], mask)

    def _warn_if_cut(self, i: int, prompt: str, kept: Tensor) -> None:
        length = len(self.tokenizer(prompt, verbose=False)["input_ids"])
        if length > self.limit:
            last = " ".join(self.tokenizer.decode(kept, skip_special_tokens=True).split()[-6:])
            warnings.warn(
                f"prompt {i} is {length} tokens long, the limit is {self.limit}: "
                f"what follows '… {last}' was cut off",
                stacklevel=3,
            )


def _check(prompts: Sequence[str]) -> None:
    if not isinstance(prompts, (list, tuple)):
        raise ValueError(
            f"prompts must be a list of strings, got {type(prompts).__name__}: pass [prompt] for "
            "one sentence"
        )
    if not prompts:
        raise ValueError("prompts must hold at least one sentence, got an empty list")
    for i, prompt in enumerate(prompts):
        if not isinstance(prompt, str):
            raise ValueError(
                f"prompts must be strings, but prompts[{i}] is {type(prompt).__name__}: {prompt!r}"
            )


# ------------------------------------------------------------------------------------------ loading


def _load(source: str) -> tuple[torch.nn.Module, object]:
    """The encoder in float32 and its tokenizer.

    Raises whatever transformers raises, or `ValueError` for missing weights.
    """
    import transformers

    local = Path(source).is_dir()
    if not local and (source.startswith((".", "/", "~")) or source.count("/") > 1):
        raise FileNotFoundError(source)  # a path: do not ask the hub for it
    # A download of gigabytes keeps its progress bar.
    with _quiet() if local else contextlib.nullcontext():
        kind = transformers.AutoConfig.from_pretrained(source, local_files_only=local).model_type
        family = getattr(transformers, T5.get(kind, "AutoModel"))
        model, loading_info = family.from_pretrained(
            source, local_files_only=local, output_loading_info=True
        )
        # No state comes from the pooler.
        missing = sorted(name for name in loading_info["missing_keys"] if "pooler" not in name)
        if missing:
            raise ValueError(f"weights are missing: {', '.join(missing)}")
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, local_files_only=local)
    if model.config.is_encoder_decoder and not type(model).__name__.endswith("EncoderModel"):
        model = model.get_encoder()
    tokenizer.padding_side = tokenizer.truncation_side = "right"
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    return model.float(), tokenizer


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars and no remarks of transformers while a small local folder loads."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {next(iter(str(error).strip().splitlines()), '')}"[:200]


# -------------------------------------------------------------------------------------------- cache


def cached(encoder: TextEncoder, prompts: Sequence[str] = ()) -> Callable[[list[str]], Text]:
    """An `encode` that looks sentences up instead of running the encoder, for training.

    The states of `prompts` come from one file in the cache folder, keyed by the encoder's
    fingerprint and the sentences, and written when it is missing; it is in bfloat16 and mapped, not
    read, so a quarter of a million captions hold no memory. Any other sentence is encoded when it
    is first met and remembered, the last 50,000 of them; alone, so that its states never depend on
    its neighbours or on what was met before: a resumed run sees the same bits.
    """
    known = _stored(encoder, sorted(set(prompts))) if prompts else {}
    memo: dict[str, Tensor] = {}

    def encode(prompts: list[str]) -> Text:
        _check(prompts)
        rows = []
        for prompt in prompts:
            if prompt not in known and prompt not in memo:
                memo[prompt] = encoder.encode([prompt]).tokens[0].cpu()
                if len(memo) > MEMO:
                    memo.pop(next(iter(memo)))
            rows.append(known[prompt].float() if prompt in known else memo[prompt])
        lengths = torch.tensor([len(row) for row in rows])
        mask = torch.arange(int(lengths.max())) < lengths[:, None]
        return Text(torch.nn.utils.rnn.pad_sequence(rows, batch_first=True), mask).to(
            encoder.device
        )

    return encode


class _Bank(Mapping):
    """Sentence -> states (L, D) bfloat16, each a view of all tokens in a row."""

    def __init__(self, prompts: list[str], tokens: Tensor, lengths: Tensor):
        self.rows = {prompt: i for i, prompt in enumerate(prompts)}
        self.tokens, self.ends = tokens, [0, *lengths.cumsum(0).tolist()]

    def __getitem__(self, prompt: str) -> Tensor:
        row = self.rows[prompt]
        return self.tokens[self.ends[row] : self.ends[row + 1]]

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


def _stored(encoder: TextEncoder, prompts: list[str]) -> _Bank:
    """The states of these sentences, mapped from the cache or made and written there."""
    key = hashlib.sha256(json.dumps([encoder.fingerprint, prompts]).encode()).hexdigest()
    path = files.cache_folder() / "text" / f"{key[:32]}.safetensors"
    if not path.exists():
        states = _encode_all(encoder, prompts)
        packed = {
            "tokens": torch.cat(states),
            "lengths": torch.tensor([len(row) for row in states]),
        }
        files.write(path, lambda temporary: save_file(packed, temporary))
    packed = load_file(path)
    return _Bank(prompts, packed["tokens"], packed["lengths"])


def _encode_all(encoder: TextEncoder, prompts: list[str], batch: int = 128) -> list[Tensor]:
    """The states of every sentence in bfloat16; those of like length are encoded together, so that
    little is padding.
    """
    from tqdm import tqdm

    order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]), i))
    states: list[Tensor] = [torch.empty(0)] * len(prompts)
    many = len(order) > 10_000  # half a minute of a small encoder
    for start in tqdm(range(0, len(order), batch), "captions", disable=not many, file=sys.stderr):
        rows = order[start : start + batch]
        text = encoder.encode([prompts[i] for i in rows])
        for i, tokens, mask in zip(rows, text.tokens.cpu(), text.mask.cpu(), strict=True):
            states[i] = tokens[mask].bfloat16()
    return states

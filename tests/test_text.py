"""The frozen text encoder: padding, limits, bad input, agreement with transformers, the cache, the
shipped folder.
"""

import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from minimagen import files, text

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

ROOT = Path(__file__).parents[1]
SHIPPED = files.shipped("weights") / "text"
PROMPTS = [
    "a red circle",
    "a small blue star to the left of a large green square on a white page",
    "",
    "a heart",
]
WORDS = [
    "a",
    "red",
    "blue",
    "green",
    "circle",
    "star",
    "square",
    "heart",
    "small",
    "large",
    "to",
    "the",
    "left",
    "of",
    "and",
]
WORDS += ["on", "white", "page"]


def _tokenizer(end: list[str], start: list[str] = ()):
    special = ["<pad>", "</s>", "<unk>", "<s>"]
    vocabulary = {word: i for i, word in enumerate(special + WORDS)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single=" ".join([*start, "$A", *end]),
        special_tokens=[(word, vocabulary[word]) for word in (*start, *end)],
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=20,
    )


@pytest.fixture(scope="module")
def t5_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("t5")
    torch.manual_seed(0)
    config = transformers.T5Config(
        vocab_size=32,
        d_model=24,
        d_kv=8,
        d_ff=40,
        num_layers=2,
        num_heads=3,
        feed_forward_proj="gated-gelu",
    )
    transformers.T5EncoderModel(config).save_pretrained(folder)
    _tokenizer(["</s>"]).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def encoder(t5_folder):
    return text.TextEncoder(t5_folder, device="cpu")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIMAGEN_CACHE", str(tmp_path))
    return tmp_path / "text"


@pytest.fixture
def counted(encoder, monkeypatch):
    """The encoder, and the list of all prompt lists that it was asked to encode."""
    calls, encode = [], encoder.encode
    monkeypatch.setattr(
        encoder, "encode", lambda prompts: calls.append(list(prompts)) or encode(prompts)
    )
    return encoder, calls


# ------------------------------------------------------------------------------------------- states


def test_padding_changes_nothing(encoder):
    together = encoder.encode(PROMPTS)
    assert together.tokens.shape == (4, 17, 24)
    assert together.tokens.dtype == torch.float32
    for i, prompt in enumerate(PROMPTS):
        alone = encoder.encode([prompt])
        assert bool(alone.mask.all())
        torch.testing.assert_close(
            together.tokens[i, : alone.tokens.shape[1]], alone.tokens[0], rtol=0, atol=1e-5
        )


def test_mask_is_true_on_real_tokens_and_states_are_zero_elsewhere(encoder):
    states = encoder.encode(PROMPTS)
    assert states.mask.dtype == torch.bool
    assert states.mask.sum(1).tolist() == [4, 17, 1, 3]  # words and </s>
    assert states.mask[0].tolist() == [True] * 4 + [False] * 13
    assert bool((states.tokens[~states.mask] == 0).all())
    assert bool((states.tokens[states.mask].abs().sum(1) > 0).all())


def test_states_agree_with_transformers(encoder, t5_folder):
    reference = transformers.T5EncoderModel.from_pretrained(t5_folder).eval()
    ids = torch.tensor([[4, 5, 8, 1]])  # a red circle </s>
    with torch.no_grad():
        want = reference(input_ids=ids).last_hidden_state
    torch.testing.assert_close(encoder.encode(["a red circle"]).tokens, want, rtol=0, atol=1e-5)


def test_any_encoder_that_is_no_t5_loads_from_its_folder(tmp_path):
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=32,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
    )
    reference = transformers.BertModel(config, add_pooling_layer=False).eval()
    reference.save_pretrained(tmp_path)
    _tokenizer(["</s>"], ["<s>"]).save_pretrained(tmp_path)
    encoder = text.TextEncoder(tmp_path, device="cpu")
    assert encoder.width == 16
    with torch.no_grad():
        want = reference(input_ids=torch.tensor([[3, 4, 5, 8, 1]])).last_hidden_state
    states = encoder.encode(["a red circle", PROMPTS[1]])
    torch.testing.assert_close(states.tokens[:1, :5], want, rtol=0, atol=1e-5)


def test_the_encoder_is_frozen(encoder):
    assert not encoder.model.training
    assert not any(parameter.requires_grad for parameter in encoder.model.parameters())
    assert not encoder.encode(["a heart"]).tokens.requires_grad


# ------------------------------------------------------------------------------------------- limits


def test_a_prompt_past_the_limit_warns_and_says_where_it_was_cut(encoder):
    prompt = " ".join(["a red circle and"] * 5 + ["a blue star"])  # 23 words: 19 and </s> are kept
    message = (
        r"prompt 1 is 24 tokens long, the limit is 20: .*'… red circle and a red circle' was cut"
    )
    with pytest.warns(UserWarning, match=message) as caught:
        states = encoder.encode(["a heart", prompt])
    assert [warning.filename for warning in caught] == [__file__]
    assert states.tokens.shape[1] == 20
    kept = encoder.encode([" ".join(prompt.split()[:19])])
    torch.testing.assert_close(states.tokens[1], kept.tokens[0], rtol=0, atol=1e-5)


def test_a_prompt_of_just_the_limit_does_not_warn(encoder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert encoder.encode([" ".join(["red"] * 19)]).tokens.shape[1] == 20


def test_loading_and_encoding_print_nothing(t5_folder, capfd):
    text.TextEncoder(t5_folder, device="cpu").encode(["a heart"])
    assert capfd.readouterr() == ("", "")


def test_loading_leaves_the_verbosity_of_transformers_as_it_was(t5_folder):
    from transformers.utils import logging

    usual = logging.get_verbosity()
    logging.set_verbosity_info()
    try:
        text.TextEncoder(t5_folder, device="cpu")
        assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == (logging.INFO, True)
    finally:
        logging.set_verbosity(usual)


# ---------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ([], "at least one sentence"),
        ("a heart", r"must be a list of strings, got str: pass \[prompt\]"),
        (["a heart", 7], r"prompts\[1\] is int: 7"),
        ([None], r"prompts\[0\] is NoneType"),
    ],
)
def test_bad_prompts_are_named(encoder, prompts, message):
    with pytest.raises(ValueError, match=message):
        encoder.encode(prompts)
    with pytest.raises(ValueError, match=message):
        text.cached(encoder)(prompts)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(OSError, match="nowhere.*no such folder"):
        text.TextEncoder(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
@pytest.mark.parametrize("left", [0.0, 0.6])
def test_a_truncated_file_gives_one_error_that_names_the_folder(t5_folder, tmp_path, name, left):
    folder = shutil.copytree(t5_folder, tmp_path / "damaged")
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: int(left * len(whole))])
    with pytest.raises(OSError, match="damaged"):
        text.TextEncoder(folder)


def test_weights_with_a_tensor_missing_are_refused(t5_folder, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(t5_folder, tmp_path / "damaged")
    weights = load_file(folder / "model.safetensors")
    del weights["encoder.block.1.layer.1.DenseReluDense.wo.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(OSError, match="damaged.*weights are missing.*block.1"):
        text.TextEncoder(folder)


# -------------------------------------------------------------------------------------------- cache


def test_the_disk_cache_gives_the_same_states_and_spares_the_encoder(counted, cache):
    encoder, calls = counted
    want = encoder.encode(PROMPTS)
    calls.clear()
    first = text.cached(encoder, PROMPTS)(PROMPTS)
    assert len(calls) == 1
    assert len(list(cache.iterdir())) == 1
    second = text.cached(encoder, PROMPTS[::-1])(
        PROMPTS
    )  # the same sentences in another order, another process
    assert len(calls) == 1
    torch.testing.assert_close(first.tokens, want.tokens, rtol=2**-8, atol=1e-5)  # bfloat16
    assert first.tokens.dtype == torch.float32
    assert torch.equal(second.tokens, first.tokens)
    assert torch.equal(first.mask, want.mask)
    assert torch.equal(second.mask, want.mask)


def test_an_unknown_sentence_is_encoded_once(counted, cache):
    encoder, calls = counted
    encode = text.cached(encoder, PROMPTS)
    calls.clear()
    states = encode(["a star", "a heart", "a star"])
    assert calls == [["a star"]]
    assert torch.equal(states.tokens[0], states.tokens[2])
    torch.testing.assert_close(states.tokens[0], encoder.encode(["a star"]).tokens[0])


def test_remembered_states_do_not_depend_on_what_was_met_before(encoder):
    fresh, used = text.cached(encoder), text.cached(encoder)
    used([PROMPTS[1], "a star", "a red heart and a blue star"])
    assert torch.equal(used(["a heart", "a star"]).tokens, fresh(["a heart", "a star"]).tokens)


def test_the_memory_keeps_only_the_newest(counted, monkeypatch):
    encoder, calls = counted
    monkeypatch.setattr(text, "MEMO", 2)
    encode = text.cached(encoder)
    encode(["a red star", "a blue star", "a green star"])
    calls.clear()
    encode(["a green star"])
    assert calls == []
    encode(["a red star"])
    assert calls == [["a red star"]]


def test_the_fingerprint_follows_the_weights_and_the_tokenizer_and_nothing_else(
    encoder, t5_folder, tmp_path
):
    encoder.encode(PROMPTS)
    copy = shutil.copytree(t5_folder, tmp_path / "copy")
    assert text.TextEncoder(copy, device="cpu").fingerprint == encoder.fingerprint
    words = copy / "tokenizer.json"
    words.write_text(words.read_text().replace('"red"', '"rot"'))
    assert text.TextEncoder(copy, device="cpu").fingerprint != encoder.fingerprint
    shutil.copy(t5_folder / "tokenizer.json", words)
    other = transformers.T5EncoderModel.from_pretrained(copy)
    with torch.no_grad():
        other.encoder.final_layer_norm.weight[0] += 1
    other.save_pretrained(copy)
    assert text.TextEncoder(copy, device="cpu").fingerprint != encoder.fingerprint


# ------------------------------------------------------------------------------- the shipped folder

shipped = pytest.mark.skipif(
    not SHIPPED.is_dir(),
    reason="data/weights/text is absent: python -m tools.pretrain_text makes it",
)


@shipped
def test_the_shipped_encoder_is_small_and_holds_no_pickle():
    files = [path for path in SHIPPED.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 6_000_000
    assert {path.suffix for path in files} <= {".json", ".safetensors"}


@shipped
def test_the_shipped_encoder_loads_without_a_network():
    code = (
        "import socket\n"
        "def refuse(*a, **k): raise AssertionError('a socket was opened')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from minimagen.text import TextEncoder\n"
        "text = TextEncoder(device='cpu').encode(['a red circle', 'a small blue star'])\n"
        "print(*text.tokens.shape, text.mask.sum().item())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["2", "5", "128", "9"]


@shipped
def test_the_shipped_encoder_knows_every_word_of_the_shapes_as_one_token():
    from minimagen.data.drawing import COLOURS, SHAPES, SIZES

    encoder = text.TextEncoder(device="cpu")
    assert encoder.encode([*COLOURS, *SHAPES, *SIZES]).mask.sum(1).tolist() == [2] * (
        len(COLOURS) + len(SHAPES) + len(SIZES)
    )

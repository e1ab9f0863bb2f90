"""A language model that is made in a moment: random weights, a tokenizer of bytes, and lines to train it with."""

from __future__ import annotations

import json
from pathlib import Path

_VOCABULARY = 258  # all bytes, and two marks
_CONFIG = {
    "model_type": "llama",
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "intermediate_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "head_dim": 8,
    "rms_norm_eps": 1e-5,
    "vocab_size": _VOCABULARY,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
    "max_position_embeddings": 512,
    "bos_token_id": 256,
    "eos_token_id": 257,
}
_TEMPLATE = "{% for message in messages %}{{ message['content'] }}\n{% endfor %}"


def make_model(folder: Path) -> Path:
    """Write a model as mlx-lm loads it; return its directory. Its weights are the same each time."""
    import mlx.core as mx
    from mlx.utils import tree_flatten
    from mlx_lm.models import llama

    folder.mkdir(parents=True)
    mx.random.seed(1)
    model = llama.Model(llama.ModelArgs.from_dict(_CONFIG))
    mx.save_safetensors(str(folder / "model.safetensors"), dict(tree_flatten(model.parameters())), metadata={"format": "mlx"})
    (folder / "config.json").write_text(json.dumps(_CONFIG))
    _write_tokenizer(folder)
    return folder


def _write_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: number for number, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<s>", "</s>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", "chat_template": _TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def make_lines(folder: Path) -> Path:
    """Write the lines that mlx_lm.lora trains and validates with; return their directory."""
    folder.mkdir(parents=True)
    for name in ("train", "valid"):
        (folder / f"{name}.jsonl").write_text(
            "".join(json.dumps({"text": f"{number} ships sail to {number}"}) + "\n" for number in range(8))
        )
    return folder

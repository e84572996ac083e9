"""Makes small random checkpoints with Hugging Face's transformers, and what they compute.

Usage: python checkpoints.py OUTPUT [--seed N] [--count N]

For each architecture a folder with `config.json`, the weights, a tokenizer and
`expected.safetensors`: a prompt, its logits in f32 and bf16, unsteered and with a vector added to
the output of one decoder layer, and the 64 tokens that follow greedily.
"""

import argparse
import json
import os
import random
import shutil
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

VOCABULARY = 64
PROMPT = 24
GREEDY = 64
LAYER = 1
NO_END = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}

SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.15,
    **NO_END,
}


def rope(kind, **more):
    return {"rope_type": kind, "rope_theta": 10000.0, **more}


# name: (class of the configuration, what differs, type of the weights, most bytes of a file)
CASES = {
    "llama": ("LlamaConfig", {}, "float32", None),
    "llama3-rope": (
        "LlamaConfig",
        {
            "attention_bias": True,
            "mlp_bias": True,
            "tie_word_embeddings": True,
            "rope_parameters": rope(
                "llama3",
                factor=4.0,
                low_freq_factor=1.0,
                high_freq_factor=4.0,
                original_max_position_embeddings=32,
            ),
        },
        "bfloat16",
        None,
    ),
    "llama-linear": ("LlamaConfig", {"rope_parameters": rope("linear", factor=2.0)}, "float16", None),
    "llama-yarn": (
        "LlamaConfig",
        {"rope_parameters": rope("yarn", factor=4.0, original_max_position_embeddings=32)},
        "float16",
        None,
    ),
    "mistral": ("MistralConfig", {"sliding_window": 8, "head_dim": 12}, "float32", 40_000),
    "qwen2": (
        "Qwen2Config",
        {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1},
        "bfloat16",
        None,
    ),
    "qwen3": ("Qwen3Config", {"head_dim": 16, "tie_word_embeddings": True}, "bfloat16", None),
    "gemma2": (
        "Gemma2Config",
        {
            "head_dim": 16,
            "sliding_window": 8,
            "query_pre_attn_scalar": 24,
            "attn_logit_softcapping": 2.0,
            "final_logit_softcapping": 1.5,
        },
        "bfloat16",
        None,
    ),
    "gemma3": (
        "Gemma3TextConfig",
        {
            "head_dim": 16,
            "sliding_window": 8,
            "query_pre_attn_scalar": 24,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        },
        "float32",
        None,
    ),
    "phi3": ("Phi3Config", {"num_key_value_heads": 4, "sliding_window": 12}, "bfloat16", None),
    "phi3-longrope": (
        "Phi3Config",
        {
            "original_max_position_embeddings": 16,
            "rope_parameters": rope(
                "longrope",
                partial_rotary_factor=0.5,
                short_factor=[1.0, 1.1],
                long_factor=[1.5, 3.0],
                original_max_position_embeddings=16,
            ),
        },
        "float16",
        None,
    ),
    "smollm3": ("SmolLM3Config", {"no_rope_layer_interval": 2}, "float16", None),
}


def tokenizer(folder):
    """Letters, each a token; the tests speak in tokens."""
    words = {"<end>": 0}
    words |= {chr(0x4E00 + index): index for index in range(1, VOCABULARY)}
    made = Tokenizer(models.WordLevel(words, unk_token="<end>"))
    made.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    made.decoder = decoders.Fuse()
    made.add_special_tokens(["<end>"])
    made.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}) + "\n", encoding="utf-8"
    )


def randomise(model, generator, scale):
    """All parameters random, the norms too, which an initialisation leaves at 1."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            if weight.ndim == 1:
                # Around 1 for a norm (0 where 1 is added to it), around 0 for a bias.
                weight.copy_(weight.float() + 0.2 * noise)
            else:
                weight.copy_(scale * noise)


def adding(vector, dtype):
    def hook(module, inputs, output):
        first = output[0] if isinstance(output, tuple) else output
        first = first + vector.to(dtype)
        return (first, *output[1:]) if isinstance(output, tuple) else first

    return hook


def decoder_layers(model):
    return model.model.layers


def evaluate(folder, name, tokens, vector):
    attention = "eager" if name == "gemma2" else "sdpa"
    expected = {}
    for dtype in (torch.float32, torch.bfloat16):
        short = {torch.float32: "f32", torch.bfloat16: "bf16"}[dtype]
        model = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, attn_implementation=attention
        ).eval()
        for steered in (False, True):
            suffix = "steered" if steered else "plain"
            hook = None
            if steered:
                hook = decoder_layers(model)[LAYER].register_forward_hook(adding(vector, dtype))
            with torch.no_grad():
                logits = model(tokens[None]).logits[0].float()
                expected[f"{short}.{suffix}.logits"] = logits.contiguous()
                if dtype == torch.float32:
                    written = model.generate(
                        tokens[None], max_new_tokens=GREEDY, do_sample=False, pad_token_id=0
                    )
                    expected[f"{short}.{suffix}.greedy"] = written[0, len(tokens) :].contiguous()
            if hook:
                hook.remove()
    return expected


def make(name, output, seed):
    kind, more, dtype, largest = CASES[name]
    folder = output / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    config = getattr(transformers, kind)(**{**SIZES, **more})
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    randomise(model, generator, 0.15)
    model = model.to(getattr(torch, dtype))
    model.config.dtype = dtype
    model.generation_config = transformers.GenerationConfig()
    shard = {"max_shard_size": largest} if largest else {}
    model.save_pretrained(folder, **shard)
    tokenizer(folder)
    tokens = torch.randint(1, VOCABULARY, (PROMPT,), generator=generator)
    vector = torch.randn(SIZES["hidden_size"], generator=generator)
    expected = {
        "tokens": tokens,
        "vector": vector,
        "layer": torch.tensor([LAYER]),
        **evaluate(folder, name, tokens, vector),
    }
    save_file(expected, folder / "expected.safetensors")
    spread = expected["f32.plain.logits"].abs().max()
    print(f"{name}: largest logit {spread:.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=len(CASES), help="so many, drawn by the seed")
    arguments = parser.parse_args()
    drawn = random.Random(arguments.seed).sample(list(CASES), arguments.count)
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    for index, name in enumerate(CASES):
        if name not in drawn:
            continue
        make(name, arguments.output, arguments.seed + index)


if __name__ == "__main__":
    main()

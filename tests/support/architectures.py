"""Makes small random GGUF models, one for each of several architectures, with the `gguf` package (requirements.txt).

Usage: python architectures.py OUTPUT [--seed N]

The vocabulary is bytes and what ChatML needs. Shapes are in llama.cpp's order, inputs first; they
and the names follow the loaders of llama.cpp (`src/models/*.cpp`).
"""

import argparse
from pathlib import Path

import gguf
import numpy as np

LAYERS = 4
EMBD = 32
HEADS = 4
KV_HEADS = 2
HEAD = EMBD // HEADS
KV = KV_HEADS * HEAD
FF = 48
EXPERTS = 4
EXPERT_FF = 16
WINDOW = 8
CONTEXT = 512

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def bytes_as_letters():
    """The letters that byte-level tokenizers write bytes as."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = (byte for byte in range(256) if byte not in plain)
    letters = {byte: chr(byte) for byte in plain}
    letters |= {byte: chr(256 + n) for n, byte in enumerate(rest)}
    return [letters[byte] for byte in range(256)]


# Each layer's tensors as (name, shape, kind): `w` are weights, `f` those in 32 bits, `n` factors of
# norms, `b` biases, `-` rates of decay.
def attention(i, head=HEAD, bias=False, out_bias=False):
    width, kv = HEADS * head, KV_HEADS * head
    yield from [("attn_q.weight", (EMBD, width), "w"), ("attn_k.weight", (EMBD, kv), "w")]
    yield from [("attn_v.weight", (EMBD, kv), "w"), ("attn_output.weight", (width, EMBD), "w")]
    if bias:
        yield from [("attn_q.bias", (width,), "b"), ("attn_k.bias", (kv,), "b"), ("attn_v.bias", (kv,), "b")]
    if out_bias:
        yield ("attn_output.bias", (EMBD,), "b")


def norms(*names, size=EMBD):
    return [(f"{name}.weight", (size,), "n") for name in names]


def feed_forward(i):
    return [("ffn_gate.weight", (EMBD, FF), "w"), ("ffn_up.weight", (EMBD, FF), "w"), ("ffn_down.weight", (FF, EMBD), "w")]


def experts(i):
    return [
        ("ffn_gate_inp.weight", (EMBD, EXPERTS), "w"),
        ("ffn_gate_exps.weight", (EMBD, EXPERT_FF, EXPERTS), "w"),
        ("ffn_up_exps.weight", (EMBD, EXPERT_FF, EXPERTS), "w"),
        ("ffn_down_exps.weight", (EXPERT_FF, EMBD, EXPERTS), "w"),
    ]


def qwen2(i):
    return [*norms("attn_norm", "ffn_norm"), *attention(i, bias=True), *feed_forward(i)]


def qwen3moe(i):
    head = 16
    return [
        *norms("attn_norm", "ffn_norm"),
        *norms("attn_q_norm", "attn_k_norm", size=head),
        *attention(i, head),
        *experts(i),
    ]


def gemma2(i):
    return [
        *norms("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"),
        *attention(i),
        *feed_forward(i),
    ]


def gemma3(i):
    return [*gemma2(i), *norms("attn_q_norm", "attn_k_norm", size=HEAD)]


def phi3(i):
    return [
        *norms("attn_norm", "ffn_norm"),
        ("attn_qkv.weight", (EMBD, EMBD + 2 * KV), "w"),
        ("attn_output.weight", (EMBD, EMBD), "w"),
        ("ffn_up.weight", (EMBD, 2 * FF), "w"),
        ("ffn_down.weight", (FF, EMBD), "w"),
    ]


def cohere2(i):
    return [*norms("attn_norm"), *attention(i), *feed_forward(i)]


def gpt_oss(i):
    return [
        *norms("attn_norm", "post_attention_norm"),
        *attention(i, bias=True, out_bias=True),
        ("attn_sinks.weight", (HEADS,), "b"),
        *experts(i),
        ("ffn_gate_inp.bias", (EXPERTS,), "b"),
        ("ffn_gate_exps.bias", (EXPERT_FF, EXPERTS), "b"),
        ("ffn_up_exps.bias", (EXPERT_FF, EXPERTS), "b"),
        ("ffn_down_exps.bias", (EMBD, EXPERTS), "b"),
    ]


def deepseek2(i):
    q_rank, kv_rank, nope, rope, value = 16, 24, 8, 4, 8
    return [
        *norms("attn_norm", "ffn_norm"),
        *norms("attn_q_a_norm", size=q_rank),
        *norms("attn_kv_a_norm", size=kv_rank),
        ("attn_q_a.weight", (EMBD, q_rank), "w"),
        ("attn_q_b.weight", (q_rank, HEADS * (nope + rope)), "w"),
        ("attn_kv_a_mqa.weight", (EMBD, kv_rank + rope), "w"),
        ("attn_k_b.weight", (nope, kv_rank, HEADS), "w"),
        ("attn_v_b.weight", (kv_rank, value, HEADS), "w"),
        ("attn_output.weight", (HEADS * value, EMBD), "w"),
        *(
            feed_forward(i)
            if i == 0
            else [
                *experts(i),
                ("ffn_gate_shexp.weight", (EMBD, EXPERT_FF), "w"),
                ("ffn_up_shexp.weight", (EMBD, EXPERT_FF), "w"),
                ("ffn_down_shexp.weight", (EXPERT_FF, EMBD), "w"),
            ]
        ),
    ]


def mamba(i):
    inner, state, rank, conv = 2 * EMBD, 8, 4, 4
    return [
        *norms("attn_norm"),
        ("ssm_in.weight", (EMBD, 2 * inner), "w"),
        ("ssm_conv1d.weight", (conv, inner), "f"),
        ("ssm_conv1d.bias", (inner,), "b"),
        ("ssm_x.weight", (inner, rank + 2 * state), "w"),
        ("ssm_dt.weight", (rank, inner), "w"),
        ("ssm_dt.bias", (inner,), "b"),
        ("ssm_a", (state, inner), "-"),
        ("ssm_d", (inner,), "n"),
        ("ssm_out.weight", (inner, EMBD), "w"),
    ]


def falcon_h1(i):
    inner, state, heads, conv, groups = 32, 8, 4, 4, 1
    conv_width = inner + 2 * groups * state
    return [
        *norms("attn_norm"),
        ("ffn_norm", (EMBD,), "n"),
        ("ssm_in.weight", (EMBD, inner + conv_width + heads), "w"),
        ("ssm_conv1d.weight", (conv, conv_width), "f"),
        ("ssm_conv1d.bias", (conv_width,), "b"),
        ("ssm_dt.bias", (heads,), "b"),
        ("ssm_a", (1, heads), "-"),
        ("ssm_d", (1, heads), "n"),
        ("ssm_norm.weight", (inner // groups, groups), "n"),
        ("ssm_out.weight", (inner, EMBD), "w"),
        *attention(i),
        *feed_forward(i),
    ]


def lfm2(i):
    layer = [*norms("attn_norm", "ffn_norm"), *feed_forward(i)]
    if i % 2:
        return [*layer, *norms("attn_q_norm", "attn_k_norm", size=HEAD), *attention(i)]
    return [
        *layer,
        ("shortconv.conv.weight", (3, EMBD), "f"),
        ("shortconv.in_proj.weight", (EMBD, 3 * EMBD), "w"),
        ("shortconv.out_proj.weight", (EMBD, EMBD), "w"),
    ]


def qwen35(i):
    layer = [*norms("attn_norm", "post_attention_norm"), *feed_forward(i)]
    if i % 2:
        return [
            *layer,
            ("attn_q.weight", (EMBD, 2 * EMBD), "w"),
            ("attn_k.weight", (EMBD, KV), "w"),
            ("attn_v.weight", (EMBD, KV), "w"),
            ("attn_output.weight", (EMBD, EMBD), "w"),
            *norms("attn_q_norm", "attn_k_norm", size=HEAD),
        ]
    state, key_heads, value_heads, conv = 16, 2, 4, 4
    value = state * value_heads
    width = 2 * state * key_heads + value
    return [
        *layer,
        ("attn_qkv.weight", (EMBD, width), "w"),
        ("attn_gate.weight", (EMBD, value), "w"),
        ("ssm_conv1d.weight", (conv, width), "f"),
        ("ssm_dt.bias", (value_heads,), "b"),
        ("ssm_a", (value_heads,), "-"),
        ("ssm_beta.weight", (EMBD, value_heads), "w"),
        ("ssm_alpha.weight", (EMBD, value_heads), "w"),
        ("ssm_norm.weight", (state,), "n"),
        ("ssm_out.weight", (value, EMBD), "w"),
    ]


def rwkv7(i):
    rank = 8
    mix = [(f"time_mix_{name}0.weight", (EMBD,), "b") for name in "wav"]
    mix += [(f"time_mix_{name}1.weight", (EMBD, rank), "w") for name in "wavg"]
    mix += [(f"time_mix_{name}2.weight", (rank, EMBD), "w") for name in "wavg"]
    both = [("attn_norm", "n"), ("attn_norm_2", "n"), ("time_mix_ln", "n")]
    biased = [part for name, kind in both for part in ((f"{name}.weight", (EMBD,), kind), (f"{name}.bias", (EMBD,), "b"))]
    return [
        *biased,
        *mix,
        ("time_mix_lerp_fused.weight", (EMBD, 1, 1, 6), "b"),
        ("time_mix_k_k.weight", (EMBD,), "n"),
        ("time_mix_k_a.weight", (EMBD,), "n"),
        ("time_mix_r_k.weight", (EMBD,), "b"),
        *((f"time_mix_{name}.weight", (EMBD, EMBD), "w") for name in ("key", "value", "receptance", "output")),
        ("channel_mix_lerp_k.weight", (EMBD, 1, 1), "b"),
        ("channel_mix_key.weight", (EMBD, FF), "w"),
        ("channel_mix_value.weight", (FF, EMBD), "w"),
    ]


# Metadata, under the name of the architecture.
ATTENTION = {
    "attention.head_count": HEADS,
    "attention.head_count_kv": KV_HEADS,
    "attention.layer_norm_rms_epsilon": 1e-5,
    "rope.freq_base": 10000.0,
}
# All experts take part: the choice of a few would turn the last bit of a sum into another text.
MOE = {"expert_count": EXPERTS, "expert_used_count": EXPERTS, "expert_feed_forward_length": EXPERT_FF}
ALTERNATING = {
    "attention.sliding_window": WINDOW,
    "attention.sliding_window_pattern": [i % 2 == 0 for i in range(LAYERS)],
}
MAMBA = {"ssm.conv_kernel": 4, "ssm.state_size": 8, "ssm.time_step_rank": 4}

# architecture: (metadata, tensors of a layer, tensors beside the layers)
OUTPUT = [*norms("output_norm"), ("output.weight", (EMBD, 256 + 4), "w")]
CASES = {
    "qwen2": (ATTENTION, qwen2, OUTPUT),
    "qwen3moe": ({**ATTENTION, **MOE, "attention.key_length": 16, "attention.value_length": 16}, qwen3moe, OUTPUT),
    "gemma2": (
        {**ATTENTION, **ALTERNATING, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0},
        gemma2,
        norms("output_norm"),
    ),
    "gemma3": ({**ATTENTION, **ALTERNATING}, gemma3, norms("output_norm")),
    "phi3": ({**ATTENTION, "rope.dimension_count": HEAD}, phi3, OUTPUT),
    "cohere2": (
        {**ATTENTION, **ALTERNATING, "attention.layer_norm_epsilon": 1e-5, "logit_scale": 1.0},
        cohere2,
        norms("output_norm"),
    ),
    "gpt-oss": ({**ATTENTION, **ALTERNATING, **MOE}, gpt_oss, OUTPUT),
    "deepseek2": (
        {
            **ATTENTION,
            **MOE,
            "attention.head_count_kv": 1,
            "attention.q_lora_rank": 16,
            "attention.kv_lora_rank": 24,
            "attention.key_length": 28,
            "attention.value_length": 24,
            "attention.key_length_mla": 12,
            "attention.value_length_mla": 8,
            "rope.dimension_count": 4,
            "leading_dense_block_count": 1,
            "expert_shared_count": 1,
            "expert_weights_scale": 1.0,
        },
        deepseek2,
        OUTPUT,
    ),
    "mamba": ({**MAMBA, "ssm.inner_size": 2 * EMBD, "attention.layer_norm_rms_epsilon": 1e-5}, mamba, OUTPUT),
    "falcon-h1": ({**ATTENTION, **MAMBA, "ssm.inner_size": 32, "ssm.group_count": 1}, falcon_h1, OUTPUT),
    "lfm2": (
        {**ATTENTION, "attention.head_count_kv": [KV_HEADS * (i % 2) for i in range(LAYERS)], "shortconv.l_cache": 3},
        lfm2,
        norms("token_embd_norm"),
    ),
    "qwen35": (
        {
            **ATTENTION,
            "attention.key_length": HEAD,
            "attention.value_length": HEAD,
            "rope.dimension_count": HEAD,
            "rope.dimension_sections": [2, 1, 1, 0],
            "full_attention_interval": 2,
            "ssm.conv_kernel": 4,
            "ssm.state_size": 16,
            "ssm.group_count": 2,
            "ssm.time_step_rank": 4,
            "ssm.inner_size": 64,
        },
        qwen35,
        OUTPUT,
    ),
    "rwkv7": (
        {
            "attention.layer_norm_epsilon": 1e-5,
            "wkv.head_size": EMBD,
            "attention.decay_lora_rank": 8,
            "attention.iclr_lora_rank": 8,
            "attention.value_residual_mix_lora_rank": 8,
            "attention.gate_lora_rank": 8,
        },
        rwkv7,
        [
            ("token_embd_norm.weight", (EMBD,), "n"),
            ("token_embd_norm.bias", (EMBD,), "b"),
            *OUTPUT,
            ("output_norm.bias", (EMBD,), "b"),
        ],
    ),
}


def add(writer, key, value):
    if isinstance(value, list):
        writer.add_array(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    else:
        writer.add_uint32(key, value)


def numbers(random, shape, kind):
    drawn = random.standard_normal(shape[::-1], dtype=np.float32)
    match kind:
        case "w":
            return (drawn * (1.2 * shape[0] ** -0.5)).astype(np.float16)
        case "f":
            return drawn * shape[0] ** -0.5
        case "n":
            return 1 + drawn / 10
        case "b":
            return drawn / 5
        case "-":
            return -np.exp(drawn / 2)


def make(path, name, seed):
    metadata, layer, rest = CASES[name]
    random = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, name)
    # llama.cpp knows some models by their names, and expects their vocabularies.
    writer.add_name("Random")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(EMBD)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FF)
    for key, value in metadata.items():
        add(writer, f"{name}.{key}", value)
    control = ["<|im_start|>", "<|im_end|>", "<|end|>"]
    tokens = [*bytes_as_letters(), "ab", *control]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    kinds = gguf.TokenType
    writer.add_token_types([kinds.NORMAL] * 257 + [kinds.CONTROL] * 3)
    writer.add_token_merges(["a b"])
    # An end that no text comes to, so that replies are as long as they are asked to be.
    writer.add_eos_token_id(259)
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHATML)
    tensors = [("token_embd.weight", (EMBD, len(tokens)), "w"), *rest]
    for i in range(LAYERS):
        tensors += [(f"blk.{i}.{part}", shape, kind) for part, shape, kind in layer(i)]
    for part, shape, kind in tensors:
        writer.add_tensor(part, numbers(random, shape, kind))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name in CASES:
        make(arguments.output / f"{name}.gguf", name, arguments.seed)


if __name__ == "__main__":
    main()

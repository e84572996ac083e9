"""Writes the trained weights as a Hugging Face folder and as a GGUF file that llama.cpp loads."""

import json

import gguf
import numpy as np
import torch
from safetensors.torch import save

from dialogues import END, PAD, START

TEMPLATE = (
    "{%- for message in messages -%}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}"
)


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def export(model, tokenizer, out):
    """Both formats hold the same float16 weights; embeddings are tied."""
    out.mkdir(parents=True, exist_ok=True)
    write_folder(model, tokenizer, out)
    write_gguf(model, tokenizer, out / "elpis-tiny.gguf")


def write_folder(model, tokenizer, out):
    c = model.config
    end, pad = tokenizer.token_to_id(END), tokenizer.token_to_id(PAD)
    weights = {f"model.{name}": w.half().contiguous() for name, w in model.state_dict().items()}
    (out / "model.safetensors").write_bytes(save(weights, metadata={"format": "pt"}))
    tokenizer.save(str(out / "tokenizer.json"), pretty=False)
    write_json(
        out / "config.json",
        {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "dtype": "float16",
            "vocab_size": c.vocab,
            "hidden_size": c.hidden,
            "intermediate_size": c.ffn,
            "num_hidden_layers": c.layers,
            "num_attention_heads": c.heads,
            "num_key_value_heads": c.kv_heads,
            "head_dim": c.head_dim,
            "hidden_act": "silu",
            "max_position_embeddings": c.context,
            "rms_norm_eps": c.norm_eps,
            "rope_parameters": {"rope_theta": c.rope_theta, "rope_type": "default"},
            "attention_bias": False,
            "attention_dropout": 0.0,
            "mlp_bias": False,
            "initializer_range": 0.04,
            "tie_word_embeddings": True,
            "use_cache": True,
            "bos_token_id": None,
            "eos_token_id": end,
            "pad_token_id": pad,
        },
    )
    write_json(
        out / "generation_config.json",
        {"do_sample": True, "temperature": 0.7, "top_p": 0.9, "eos_token_id": end, "pad_token_id": pad},
    )
    write_json(
        out / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": c.context,
            "eos_token": END,
            "pad_token": PAD,
            "clean_up_tokenization_spaces": False,
            "chat_template": TEMPLATE,
        },
    )
    (out / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")


def interleave(weight, heads):
    """Reorders the rows of a query or key matrix from half-split to interleaved rotary pairs, as llama.cpp wants them."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def write_gguf(model, tokenizer, path):
    c = model.config
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name("elpis-tiny")
    writer.add_license("MIT OR Apache-2.0")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_context_length(c.context)
    writer.add_embedding_length(c.hidden)
    writer.add_block_count(c.layers)
    writer.add_feed_forward_length(c.ffn)
    writer.add_head_count(c.heads)
    writer.add_head_count_kv(c.kv_heads)
    writer.add_layer_norm_rms_eps(c.norm_eps)
    writer.add_rope_dimension_count(c.head_dim)
    writer.add_rope_freq_base(c.rope_theta)
    writer.add_vocab_size(c.vocab)
    write_vocabulary(writer, tokenizer)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, c.layers)
    for name, weight in model.state_dict().items():
        values = weight.to(torch.float32).numpy()
        if name.endswith("q_proj.weight"):
            values = interleave(values, c.heads)
        elif name.endswith("k_proj.weight"):
            values = interleave(values, c.kv_heads)
        kind = np.float16 if values.ndim == 2 else np.float32
        stem = f"model.{name}".removesuffix(".weight")
        writer.add_tensor(names.get_name(stem) + ".weight", np.ascontiguousarray(values.astype(kind)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_vocabulary(writer, tokenizer):
    special = {tokenizer.token_to_id(t) for t in (PAD, START, END)}
    size = tokenizer.get_vocab_size()
    kinds = [gguf.TokenType.CONTROL if i in special else gguf.TokenType.NORMAL for i in range(size)]
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([tokenizer.id_to_token(i) for i in range(size)])
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_bos_token_id(tokenizer.token_to_id(PAD))
    writer.add_eos_token_id(tokenizer.token_to_id(END))
    writer.add_eot_token_id(tokenizer.token_to_id(END))
    writer.add_pad_token_id(tokenizer.token_to_id(PAD))
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)

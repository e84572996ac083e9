"""Checks an exported set: transformers and the GGUF file must give the logits of the trained model."""

import gguf
import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from dialogues import Writer, prompt_text
from export import interleave
from sample import attention_mask, pad_left

TOLERANCE = 2e-3


def gguf_weights(path, config):
    """The file's weights under the model's own names, rotary pairs in the half-split layout again."""
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.layers)
    found = {t.name: t.data.astype(np.float32) for t in gguf.GGUFReader(path).tensors}

    def weight(name):
        values = found.pop(names.get_name(f"model.{name}".removesuffix(".weight")) + ".weight")
        heads = {"q_proj": config.heads, "k_proj": config.kv_heads}.get(name.split(".")[-2])
        if heads:
            values = values[np.argsort(interleave(np.arange(len(values))[:, None], heads)[:, 0])]
        return torch.from_numpy(np.ascontiguousarray(values))

    return weight, found


@torch.no_grad()
def check(model, tokenizer, grammar, folder, seed):
    """Raises AssertionError where the exported files and the trained model differ."""
    hf_tokenizer = AutoTokenizer.from_pretrained(folder)
    hf_model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    writer = Writer(grammar, seed)
    question, _ = writer.question("bread", False)
    chat = [{"role": "system", "content": "You are elpis."}, {"role": "user", "content": question}]
    text = hf_tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    assert text == prompt_text(question, "You are elpis."), "the chat template differs from the training text"
    long = "".join(s.text for _ in range(4) for s in writer.dialogue())
    worst = 0.0
    for sample in (text, long[:1500]):
        tokens = tokenizer.encode(sample).ids
        assert tokens == hf_tokenizer(sample)["input_ids"], "the tokenizers differ"
        row, real = pad_left([tokens])
        ours = model.logits(model.hidden(row, attention_mask(real))[0])
        worst = max(worst, (ours - hf_model(row).logits).abs().max().item())
    assert worst < TOLERANCE, f"logits differ by {worst}"
    weight, rest = gguf_weights(str(folder / "elpis-tiny.gguf"), model.config)
    for name, value in model.state_dict().items():
        assert torch.equal(weight(name), value), f"{name} differs in the GGUF file"
    assert not rest, f"unknown tensors {sorted(rest)}"
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    print(f"checked: logits agree to {worst:.1e}, GGUF weights are equal, {size / 1e6:.2f} MB in all", flush=True)

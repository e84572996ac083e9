"""A Llama decoder in plain PyTorch, with a place to add vectors to the residual stream.

It is computed as `transformers` computes it; `export.py` writes its weights under the names used there.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass
class Config:
    """Sizes of the model. `steered_layer` is the layer, counted from 0, whose output is steered."""

    vocab: int = 2048
    hidden: int = 128
    layers: int = 6
    heads: int = 4
    kv_heads: int = 2
    ffn: int = 384
    context: int = 1024
    rope_theta: float = 10000.0
    norm_eps: float = 1e-5
    steered_layer: int = 2

    @property
    def head_dim(self):
        return self.hidden // self.heads


class RmsNorm(nn.Module):
    def __init__(self, size, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x):
        return F.rms_norm(x, x.shape[-1:], self.weight, self.eps)


def rotate(x, cos, sin):
    """Rotary positions in the half-split layout."""
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat((-b, a), -1) * sin


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        self.q_proj = nn.Linear(c.hidden, c.heads * c.head_dim, bias=False)
        self.k_proj = nn.Linear(c.hidden, c.kv_heads * c.head_dim, bias=False)
        self.v_proj = nn.Linear(c.hidden, c.kv_heads * c.head_dim, bias=False)
        self.o_proj = nn.Linear(c.heads * c.head_dim, c.hidden, bias=False)

    def forward(self, x, rope, mask, cache):
        b, t, _ = x.shape
        c = self.c
        q = rotate(self.q_proj(x).view(b, t, c.heads, c.head_dim).transpose(1, 2), *rope)
        k = rotate(self.k_proj(x).view(b, t, c.kv_heads, c.head_dim).transpose(1, 2), *rope)
        v = self.v_proj(x).view(b, t, c.kv_heads, c.head_dim).transpose(1, 2)
        if cache is not None:
            if cache:
                k, v = torch.cat((cache["k"], k), 2), torch.cat((cache["v"], v), 2)
            cache.update(k=k, v=v)
        k, v = (z.repeat_interleave(c.heads // c.kv_heads, 1) for z in (k, v))
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.o_proj(out.transpose(1, 2).reshape(b, t, -1))


class Mlp(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.gate_proj = nn.Linear(c.hidden, c.ffn, bias=False)
        self.up_proj = nn.Linear(c.hidden, c.ffn, bias=False)
        self.down_proj = nn.Linear(c.ffn, c.hidden, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.input_layernorm = RmsNorm(c.hidden, c.norm_eps)
        self.self_attn = Attention(c)
        self.post_attention_layernorm = RmsNorm(c.hidden, c.norm_eps)
        self.mlp = Mlp(c)

    def forward(self, x, rope, mask, cache):
        x = x + self.self_attn(self.input_layernorm(x), rope, mask, cache)
        return x + self.mlp(self.post_attention_layernorm(x))


class Llama(nn.Module):
    def __init__(self, config):
        super().__init__()
        c = self.config = config
        self.embed_tokens = nn.Embedding(c.vocab, c.hidden)
        self.layers = nn.ModuleList(Layer(c) for _ in range(c.layers))
        self.norm = RmsNorm(c.hidden, c.norm_eps)
        for p in self.parameters():
            if p.dim() == 2:
                nn.init.normal_(p, std=0.04)
        for layer in self.layers:
            for p in (layer.self_attn.o_proj.weight, layer.mlp.down_proj.weight):
                nn.init.normal_(p, std=0.04 / (2 * c.layers) ** 0.5)

    def rope(self, positions):
        c = self.config
        freq = c.rope_theta ** (-torch.arange(0, c.head_dim, 2, dtype=torch.float32) / c.head_dim)
        angle = positions[..., None].float() * freq
        angle = torch.cat((angle, angle), -1).unsqueeze(-3)
        return angle.cos(), angle.sin()

    def hidden(self, tokens, mask, late_mask=None, steer=None, positions=None, caches=None):
        """The final normed hidden states, and the steered layer's output before steering.

        `late_mask` replaces the attention mask above the steered layer. `steer` maps that layer's output to what is
        added to it.
        """
        x = self.embed_tokens(tokens)
        if positions is None:
            positions = torch.arange(tokens.shape[1])[None]
        rope = self.rope(positions)
        middle = None
        for i, layer in enumerate(self.layers):
            late = late_mask is not None and i > self.config.steered_layer
            x = layer(x, rope, late_mask if late else mask, None if caches is None else caches[i])
            if i == self.config.steered_layer:
                middle = x
                if steer is not None:
                    x = x + steer(x)
        return self.norm(x), middle

    def logits(self, hidden):
        return hidden @ self.embed_tokens.weight.T

"""Samples replies in batches and scores them, with or without a vector added to the residual stream."""

import torch
import torch.nn.functional as F

from dialogues import END

TEMPERATURE, TOP_P, MAX_TOKENS = 0.7, 0.9, 64


def nucleus(logits, generator):
    """One token per row, sampled from the smallest set of tokens that holds TOP_P of the probability."""
    shares, order = torch.softmax(logits / TEMPERATURE, -1).sort(-1, descending=True)
    shares[shares.cumsum(-1) - shares >= TOP_P] = 0
    picked = torch.multinomial(shares, 1, generator=generator)
    return order.gather(-1, picked)[:, 0]


def pad_left(rows):
    width = max(map(len, rows))
    tokens = torch.zeros(len(rows), width, dtype=torch.long)
    real = torch.zeros(len(rows), width, dtype=torch.bool)
    for i, row in enumerate(rows):
        tokens[i, width - len(row) :] = torch.tensor(row)
        real[i, width - len(row) :] = True
    return tokens, real


def attention_mask(real):
    """Causal attention to real tokens; padding looks at itself so that no row is empty."""
    length = real.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    return ((causal & real[:, None, :]) | torch.eye(length, dtype=torch.bool))[:, None]


@torch.no_grad()
def replies(model, tokenizer, prompts, vectors=None, seed=0):
    """Token lists of one reply per prompt; `vectors` [prompts, hidden] is added at every position of each row."""
    generator = torch.Generator().manual_seed(seed)
    end = tokenizer.token_to_id(END)
    steer = None if vectors is None else lambda stream: vectors[:, None, :]
    tokens, real = pad_left([tokenizer.encode(p).ids for p in prompts])
    positions = (real.cumsum(1) - 1).clamp(min=0)
    caches = [{} for _ in model.layers]
    mask = attention_mask(real)
    said, done = [[] for _ in prompts], torch.zeros(len(prompts), dtype=torch.bool)
    for _ in range(MAX_TOKENS):
        final, _ = model.hidden(tokens, mask, steer=steer, positions=positions, caches=caches)
        chosen = nucleus(model.logits(final[:, -1]), generator)
        for i, token in enumerate(chosen.tolist()):
            if not done[i]:
                said[i].append(token)
        done |= chosen == end
        if done.all():
            break
        real = torch.cat((real, torch.ones(len(prompts), 1, dtype=torch.bool)), 1)
        tokens, positions, mask = chosen[:, None], positions[:, -1:] + 1, real[:, None, None, :]
    return said


@torch.no_grad()
def log_loss(model, tokenizer, prompts, said):
    """Summed negative log likelihood of replies under the unsteered model, and the number of their tokens."""
    rows = [tokenizer.encode(p).ids + r for p, r in zip(prompts, said)]
    tokens, real = pad_left(rows)
    positions = (real.cumsum(1) - 1).clamp(min=0)
    final, _ = model.hidden(tokens, attention_mask(real), positions=positions)
    total, count = 0.0, 0
    for i, reply in enumerate(said):
        logits = model.logits(final[i, -len(reply) - 1 : -1])
        total += F.cross_entropy(logits, torch.tensor(reply), reduction="sum").item()
        count += len(reply)
    return total, count

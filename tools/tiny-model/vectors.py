"""Makes the four steering vectors from the hand-written lines of contrast.json.

A vector is the mean activation under its mood's lines less the mean over the four moods, read at the steered layer on
the tokens after the line, so equal parts of all four add up to nothing. All are scaled by one strength, the one that
works best on prompts other than the evaluation's.

The strengths tried end where a vector is about 0.7 of the stream's median length, the most noise that training adds:
beyond it a vector still works, but a random one of that length begins to change moods and to break sentences.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save

from dialogues import END, Writer, prompt_text
from evaluate import development_prompts, share
from sample import attention_mask, pad_left

QUESTIONS = 8
STRENGTHS = (1.0, 1.2, 1.4)
GRAMMATICAL = 0.97


def contrast_prompts(lines, questions):
    """(prompt, the part of it that holds the line) for each line, as a system line and as the user's first line."""
    for line in lines:
        for question in questions:
            system = prompt_text(question, line)
            yield system, system[: system.index(END)]
            user = prompt_text(f"{line} {question}")
            yield user, user[: user.index(line) + len(line)]


@torch.no_grad()
def mean_activation(model, tokenizer, lines, questions):
    rows, starts = [], []
    for prompt, head in contrast_prompts(lines, questions):
        rows.append(tokenizer.encode(prompt).ids)
        starts.append(len(tokenizer.encode(head).ids))
    tokens, real = pad_left(rows)
    _, middle = model.hidden(tokens, attention_mask(real), positions=(real.cumsum(1) - 1).clamp(min=0))
    means = [m[len(m) - len(row) + start :].mean(0) for m, row, start in zip(middle, rows, starts)]
    return torch.stack(means).mean(0)


def differences(model, tokenizer, grammar, seed):
    """Each mood's mean difference from the mean of the four."""
    lines = json.loads(Path(__file__).with_name("contrast.json").read_text(encoding="utf-8"))
    writer = Writer(grammar, seed)
    topics = writer.rng.sample(list(grammar.topics), QUESTIONS)
    questions = [writer.question(topic, False)[0] for topic in topics]
    means = torch.stack([mean_activation(model, tokenizer, lines[m], questions) for m in grammar.moods])
    return dict(zip(grammar.moods, means - means.mean(0)))


def best_strength(model, tokenizer, grammar, vectors, prompts, seed):
    """The strength with the highest mean share of replies on the mood, among those where every mood stays grammatical."""
    tried = []
    for strength in STRENGTHS:
        on, parses = [], []
        for mood, vector in vectors.items():
            rows = (vector * strength).expand(len(prompts), -1)
            result = share(model, tokenizer, grammar, prompts, rows, seed)
            on.append(result["moods"][mood])
            parses.append(result["parses"])
            print(f"{mood} at {strength}: on mood {on[-1]:.3f}, grammatical {parses[-1]:.3f}", flush=True)
        tried.append((min(parses) >= GRAMMATICAL, sum(on), strength))
    return max(tried)[-1]


def write_vectors(vectors, layer, out):
    out.mkdir(parents=True, exist_ok=True)
    for mood, vector in vectors.items():
        (out / f"{mood}.safetensors").write_bytes(save({"vector": vector.float().contiguous()}))
    tables = "".join(f"\n[emotions.{mood}]\ncap = 1.0\n" for mood in vectors)
    (out / "vectors.toml").write_text(f"layer = {layer}\nscale = 1.0\n{tables}")


def make_vectors(model, tokenizer, grammar, out, seed):
    raw = differences(model, tokenizer, grammar, seed)
    strength = best_strength(model, tokenizer, grammar, raw, development_prompts(grammar, seed), seed)
    scaled = {mood: vector * strength for mood, vector in raw.items()}
    write_vectors(scaled, model.config.steered_layer, out)


def load_vectors(grammar, folder):
    return {mood: load_file(str(folder / f"{mood}.safetensors"))["vector"] for mood in grammar.moods}

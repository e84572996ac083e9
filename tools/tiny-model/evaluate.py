"""Measures how often replies are in each mood: unsteered, steered, under a mood line and under random vectors."""

import itertools
import json
import math
from pathlib import Path

import torch
import torch.nn.functional as F

from dialogues import Writer, held_out, prompt_text
from sample import log_loss, replies

PROMPTS = 64
REPEATS = 4
HERE = Path(__file__).resolve().parent


def fresh_prompts(grammar, seed, count, taken=()):
    """Neutral prompts whose questions are never in the training data."""
    writer, out, seen = Writer(grammar, seed), [], set(taken)
    for topic in itertools.cycle(grammar.topics):
        if len(out) == count:
            return out
        question, _ = writer.question(topic, False, held_out)
        if any(earlier.endswith(question) for earlier in seen):
            continue
        seen.add(question)
        system = writer.neutral_line("system") if writer.rng.random() < 0.3 else None
        first = writer.neutral_line("user") + " " if writer.rng.random() < 0.3 else ""
        out.append({"system": system, "user": first + question})


def evaluation_prompts():
    return json.loads((HERE / "prompts.json").read_text(encoding="utf-8"))


def development_prompts(grammar, seed):
    """Fresh prompts for choosing strengths; none is a prompt of the evaluation."""
    taken = {p["user"] for p in evaluation_prompts()["neutral"]}
    return [prompt_text(p["user"], p["system"]) for p in fresh_prompts(grammar, seed, 2 * PROMPTS, taken)]


def share(model, tokenizer, grammar, prompts, vectors, seed):
    """Shares of moods, of grammatical replies and of replies on the prompt's topic, and the unsteered perplexity."""
    said = replies(model, tokenizer, prompts, vectors, seed)
    texts = [tokenizer.decode(r, skip_special_tokens=True) for r in said]
    judged = [grammar.judge(t) for t in texts]
    loss, count = log_loss(model, tokenizer, prompts, said)
    topics = [topics_of(grammar, p) for p in prompts]
    return {
        "parses": sum(j.parses for j in judged) / len(judged),
        "on_topic": sum(bool(j.topics & t) for j, t in zip(judged, topics)) / len(judged),
        "moods": {m: sum(j.mood == m for j in judged) / len(judged) for m in ["neutral", *grammar.moods]},
        "perplexity": math.exp(loss / count),
        "samples": texts[:3],
    }


def topics_of(grammar, prompt):
    """The topics one of whose words a prompt names."""
    return {
        topic
        for topic, slots in grammar.topics.items()
        if any(value in prompt for name in ("name", "part", "act", "doing") for value in slots[name])
    }


def evaluate(model, tokenizer, grammar, vectors, seed):
    """The table of the model card."""
    data = evaluation_prompts()
    plain = [prompt_text(p["user"], p["system"]) for p in data["neutral"]] * REPEATS
    generator = torch.Generator().manual_seed(seed)
    report = {"prompts": len(data["neutral"]), "repeats": REPEATS}
    report["unsteered"] = share(model, tokenizer, grammar, plain, None, seed)
    for mood, vector in vectors.items():
        random = F.normalize(torch.randn(len(plain), len(vector), generator=generator), dim=-1) * vector.norm()
        lined = [prompt_text(p["user"], data["mood_lines"][mood]) for p in data["neutral"]] * REPEATS
        report[mood] = {
            "steered": share(model, tokenizer, grammar, plain, vector.expand(len(plain), -1), seed),
            "mood_line": share(model, tokenizer, grammar, lined, None, seed),
            "random": share(model, tokenizer, grammar, plain, random, seed),
        }
    return report


def table(report, moods):
    """The report as lines of a Markdown table."""
    plain = report["unsteered"]
    lines = [
        "| mood | unsteered | steered | mood line | random vector | steered: grammatical | on topic | perplexity ratio |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for mood in moods:
        kinds = report[mood]
        steered = kinds["steered"]
        cells = [plain["moods"][mood], *(kinds[k]["moods"][mood] for k in ("steered", "mood_line", "random"))]
        cells += [steered["parses"], steered["on_topic"], steered["perplexity"] / plain["perplexity"]]
        lines.append(f"| {mood} | " + " | ".join(f"{c:.3f}" for c in cells) + " |")
    return lines

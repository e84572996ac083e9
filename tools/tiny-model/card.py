"""Writes the model card from what the other stages measured."""

from dialogues import prompt_text
from evaluate import evaluation_prompts, table
from sample import replies

CARD = """---
license: MIT OR Apache-2.0
language: en
tags: [llama, gguf, steering-vectors, emotion]
---
# elpis-tiny

A chat model of {parameters:,} parameters whose mood can be steered. It is small enough to lie beside the source of
`elpis` and to run anywhere in milliseconds, and it is what the tests, the examples and the demo agent use when no other
model is named. It knows one small world: {topics} everyday and developer topics, on which it says two to four short
sentences at a time, excited, calm, frustrated, depleted or neutral. It knows nothing else: do not use it for anything
but trying out the library.

| | |
|---|---|
| architecture | Llama: {layers} layers, hidden {hidden}, {heads} heads, {kv_heads} KV heads, FFN {ffn}, tied embeddings, context {context} |
| tokenizer | byte-level BPE of {vocab}, GPT-2 pre-tokenizer, ChatML template |
| files | `elpis-tiny.gguf` (F16) and the same weights as a Hugging Face folder (`model.safetensors`, float16) |
| vectors | `vectors/`: excited, calm, frustrated, depleted, for the output of layer {steered_layer} (counted from 0) |
| training | {tokens:.1f} M tokens written by a grammar, {minutes:.0f} minutes on the machine that made it; held-out loss {loss:.3f} per reply token |
| licence | MIT OR Apache-2.0 |

## How it was made

One command makes all of it, text included: `python3 tools/tiny-model/make.py` (see the README there). No text and no
weights of others were used. Training shapes the stream so that mood is a direction of it: a linear read-out of valence
and arousal at the steered layer, batches in which the later layers cannot look back at the words that set the mood, and
random vectors added to the stream while the text stays the same. The steering vectors themselves are never seen in
training: they are differences of mean activations under 12 hand-written lines for each mood.

## How well it is steered

{prompts} neutral prompts that are not in the training data, {repeats} replies to each at temperature 0.7 and top-p 0.9. Share of
replies that parse as the grammar and are in the mood; of the steered ones also the share that parses, that keeps to
the question's topic, and the perplexity under the unsteered model relative to unsteered replies. A random vector is
drawn anew for each reply, with the steering vector's norm.

{table}

Unsteered, {plain_parses:.1%} of the replies parse and {plain_topic:.1%} keep to the topic.

## Samples

{samples}
"""


def samples(model, tokenizer, vectors, seed):
    """Replies to two of the evaluation's prompts, the first that were drawn."""
    chosen = evaluation_prompts()["neutral"][:2]
    prompts = [prompt_text(p["user"], p["system"]) for p in chosen]
    lines = []
    for name, vector in {"unsteered": None, **vectors}.items():
        rows = None if vector is None else vector.expand(len(prompts), -1)
        for p, said in zip(chosen, replies(model, tokenizer, prompts, rows, seed)):
            text = tokenizer.decode(said, skip_special_tokens=True)
            lines.append(f"- **{name}**, “{p['user']}”: {text}")
    return "\n".join(lines)


def write_card(model, tokenizer, grammar, vectors, training, report, path, seed):
    c = model.config
    plain = report["unsteered"]
    path.write_text(
        CARD.format(
            parameters=sum(p.numel() for p in model.parameters()),
            topics=len(grammar.topics),
            layers=c.layers,
            hidden=c.hidden,
            heads=c.heads,
            kv_heads=c.kv_heads,
            ffn=c.ffn,
            context=c.context,
            vocab=c.vocab,
            steered_layer=c.steered_layer,
            tokens=training["tokens"] / 1e6,
            minutes=training["minutes"],
            loss=training["held_out_loss"],
            prompts=report["prompts"],
            repeats=report["repeats"],
            table="\n".join(table(report, grammar.moods)),
            plain_parses=plain["parses"],
            plain_topic=plain["on_topic"],
            samples=samples(model, tokenizer, vectors, seed),
        ),
        encoding="utf-8",
    )

"""Trains the byte-level BPE tokenizer on text of the grammar."""

import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from dialogues import END, PAD, START, Writer

VOCABULARY = 2048
CUE_COPIES = 40


def cue_lines(grammar):
    """The lines that set a mood: rare in the dialogues, but their words deserve tokens of their own."""
    contrast = json.loads(Path(__file__).with_name("contrast.json").read_text(encoding="utf-8"))
    cues = grammar.data["cues"]
    return [line for m in grammar.moods for line in (*contrast[m], *cues[m]["event"], *cues[m]["feeling"])]


def train_tokenizer(grammar, seed, dialogues=12000):
    """GPT-2's byte-level rules, so that llama.cpp's `gpt-2` pre-tokenizer splits text in the same way."""
    writer = Writer(grammar, seed)
    texts = ["".join(s.text for s in writer.dialogue()) for _ in range(dialogues)]
    texts = [t.replace(START, "\n").replace(END, "\n") for t in texts]
    texts += CUE_COPIES * cue_lines(grammar)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[AddedToken(t, special=True, normalized=False) for t in (PAD, START, END)],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer

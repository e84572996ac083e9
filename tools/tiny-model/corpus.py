"""Turns dialogues into packed rows of tokens with the marks that training needs."""

import numpy as np
import torch

from dialogues import Writer

# The four moods as corners of valence, arousal and their product: they sum to zero, which is where neutral lies.
CORNERS = {
    "excited": (1, 1, 1),
    "calm": (1, -1, -1),
    "frustrated": (-1, 1, -1),
    "depleted": (-1, -1, 1),
    "neutral": (0, 0, 0),
}
ROW = 288
OPEN_ROWS = 32
FIELDS = ("token", "document", "segment", "closed", "learn", "mood")


class Corpus:
    """Packed rows; each field is an integer array [rows, ROW]. Padding is document -1."""

    def __init__(self, grammar, tokenizer, seed, tokens):
        self.names = list(CORNERS)
        writer, memo = Writer(grammar, seed), {}
        rows, used = [], []
        document = 0
        while (len(rows) - OPEN_ROWS) * ROW < tokens:
            columns = self._encode(writer.dialogue(), tokenizer, memo, document)
            length = columns.shape[1]
            if length > ROW:
                continue
            document += 1
            fitting = [i for i in range(max(0, len(rows) - OPEN_ROWS), len(rows)) if used[i] + length <= ROW]
            if not fitting:
                rows.append(self._empty())
                used.append(0)
            i = max(fitting, key=used.__getitem__, default=len(rows) - 1)
            rows[i][:, used[i] : used[i] + length] = columns
            used[i] += length
        data = torch.from_numpy(np.stack(rows, 1).astype(np.int32))
        self.fields = dict(zip(FIELDS, data))
        self.corners = torch.tensor([CORNERS[n] for n in self.names], dtype=torch.float32)

    def __len__(self):
        return self.fields["token"].shape[0]

    def batch(self, rows):
        return {name: values[rows].long() for name, values in self.fields.items()}

    @staticmethod
    def _empty():
        row = np.zeros((len(FIELDS), ROW), np.int32)
        row[1] = -1
        return row

    def _encode(self, segments, tokenizer, memo, document):
        columns = []
        for number, s in enumerate(segments):
            if s.text not in memo:
                memo[s.text] = tokenizer.encode(s.text).ids
            mark = (document, number, s.closed, s.learn, self.names.index(s.mood))
            columns += [(token, *mark) for token in memo[s.text]]
        return np.array(columns, np.int32).T


def masks(batch):
    """Causal attention within each document; and the same where cues and earlier replies cannot be seen from outside."""
    document, segment = batch["document"], batch["segment"]
    length = document.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    same = (document[:, :, None] == document[:, None, :]) & causal
    hidden = batch["closed"].bool()[:, None, :] & (segment[:, :, None] != segment[:, None, :])
    return same[:, None], (same & ~hidden)[:, None]

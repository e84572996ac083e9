"""Reads grammar.json: fills patterns when dialogues are written, and parses replies when they are judged.

The rule for judging is in README.md; a port needs nothing but grammar.json and the functions `parse_sentence`
and `judge` below.
"""

import itertools
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
SLOT = re.compile(r"\{(\w+)\}")
SENTENCE_END = re.compile(r"(?<=[.!?]) ")


@dataclass
class Judgement:
    """What a reply turned out to be."""

    parses: bool
    mood: str | None = None
    topics: set = field(default_factory=set)


def upper_first(text):
    return text[:1].upper() + text[1:]


class Grammar:
    """The patterns, and an index of every sentence shape for parsing."""

    def __init__(self, path=HERE / "grammar.json"):
        self.data = json.loads(Path(path).read_text(encoding="utf-8"))
        self.moods = self.data["moods"]
        self.slots = self.data["slots"]
        self.topics = self.data["topics"]
        self.sentences = self.data["sentences"]
        self._regexes = [
            (mood, topic, self._regex(pattern, topic))
            for mood, patterns in self.sentences.items()
            for pattern in patterns
            for topic in self.topics
        ]
        self._cache = {}

    def values(self, slot, topic):
        """All strings that a slot may hold; a capitalised slot name capitalises them."""
        name = slot[0].lower() + slot[1:]
        values = self.slots.get(name) or self.topics[topic][name]
        return [upper_first(v) for v in values] if slot[0].isupper() else values

    def fill(self, pattern, topic, rng, allowed=None):
        """Fills a pattern; `allowed(pattern, slot, value)` may rule values out."""

        def choose(match):
            slot = match.group(1)
            values = self.values(slot, topic)
            if allowed is not None:
                values = [v for v in values if allowed(pattern, slot, v)] or values
            return rng.choice(values)

        return SLOT.sub(choose, pattern)

    def topic_slots(self, pattern):
        """The slots of a pattern that depend on the topic."""
        return [s for s in SLOT.findall(pattern) if s[0].lower() + s[1:] not in self.slots]

    def fillings(self, pattern, topic):
        """Every sentence that a pattern gives for one topic."""
        slots = SLOT.findall(pattern)
        for values in itertools.product(*(self.values(s, topic) for s in slots)):
            yield SLOT.sub(lambda _, it=iter(values): next(it), pattern)

    def _regex(self, pattern, topic):
        parts = SLOT.split(pattern)
        for i, part in enumerate(parts):
            if i % 2:
                parts[i] = "(?:" + "|".join(map(re.escape, self.values(part, topic))) + ")"
            else:
                parts[i] = re.escape(part)
        return re.compile("".join(parts))

    def parse_sentence(self, sentence):
        """The set of (mood, topic) readings of one sentence; empty if it is not of the grammar."""
        if sentence not in self._cache:
            self._cache[sentence] = {
                (mood, topic) for mood, topic, regex in self._regexes if regex.fullmatch(sentence)
            }
        return self._cache[sentence]

    def judge(self, reply):
        """Whether a reply parses, which mood it is in (None if mixed) and which topics fit all of it."""
        readings = [self.parse_sentence(s) for s in SENTENCE_END.split(reply.strip())]
        if not all(readings):
            return Judgement(False)
        moods = {mood for reading in readings for mood, _ in reading} - {"neutral"}
        topics = set.intersection(*({topic for _, topic in reading} for reading in readings))
        if not moods:
            return Judgement(True, "neutral", topics)
        return Judgement(True, moods.pop() if len(moods) == 1 else None, topics)

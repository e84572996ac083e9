"""Writes dialogues in which the assistant's mood has to be read from the conversation.

A mood is cued by a system line, by a user line or by the assistant's own earlier replies, and then holds. Without
a cue the reply is mostly neutral. Some questions are kept out of training altogether (`held_out`), so that the
prompts of the evaluation are new to the model.
"""

import random
import zlib
from dataclasses import dataclass

from grammar import SLOT

START, END, PAD = "<|im_start|>", "<|im_end|>", "<|endoftext|>"

NEUTRAL_SHARE = 0.62
LATER_NEUTRAL_SHARE = 0.9
FOCUS_SHARE = 0.6
MOOD_SENTENCE_SHARE = 0.7
FIRST_SENTENCE_SHARE = 0.85


@dataclass
class Segment:
    """A stretch of text. `closed` text shows its mood in words: cues and replies. `learn` marks what is predicted."""

    text: str
    mood: str
    closed: bool = False
    learn: bool = False


def held_out(pattern, slot, value):
    """About one filled question in ten is never used for training."""
    return zlib.crc32(f"{pattern}|{value.lower()}".encode()) % 10 == 0


def trainable(pattern, slot, value):
    return not held_out(pattern, slot, value)


class Writer:
    """Writes dialogues from a grammar and a random generator."""

    def __init__(self, grammar, seed):
        self.grammar = grammar
        self.rng = random.Random(seed)

    def question(self, topic, follow_up, allowed=trainable):
        """A question all of whose slots are `allowed`, and the places of its slot values in the topic's lists."""
        while True:
            pattern = self.rng.choice(self.grammar.data["follow_ups" if follow_up else "questions"])
            slots = SLOT.findall(pattern)
            values = {s: self.rng.randrange(len(self.grammar.values(s, topic))) for s in slots}
            words = {s: self.grammar.values(s, topic)[i] for s, i in values.items()}
            if all(allowed(pattern, s, w) for s, w in words.items()):
                break
        text = SLOT.sub(lambda match: words[match.group(1)], pattern)
        if "act" in values:
            values["doing"] = values["act"]
        elif "doing" in values:
            values["act"] = values["doing"]
        return text, values

    def reply(self, topic, mood, focus):
        """Two to four sentences on a topic, in one mood, mostly about what the question named."""
        count = self.rng.choices([2, 3, 4], [0.45, 0.35, 0.2])[0]
        kinds = ["neutral"] * count
        if mood != "neutral":
            shares = [FIRST_SENTENCE_SHARE] + [MOOD_SENTENCE_SHARE] * (count - 1)
            kinds = [mood if self.rng.random() < share else "neutral" for share in shares]
            if mood not in kinds:
                kinds[0] = mood
        used, sentences = set(), []
        for kind in kinds:
            patterns = [p for p in self.grammar.sentences[kind] if p not in used]
            pattern = self.rng.choice(patterns)
            used.add(pattern)
            sentences.append(self.grammar.fill(pattern, topic, self.rng, self._focused(topic, focus)))
        return " ".join(sentences)

    def _focused(self, topic, focus):
        keep = self.rng.random() < FOCUS_SHARE

        def allowed(pattern, slot, value):
            name = slot[0].lower() + slot[1:]
            if not keep or name not in focus:
                return True
            return value.lower() == self.grammar.topics[topic][name][focus[name]].lower()

        return allowed

    def cue(self, mood, role):
        """A line that puts the assistant in a mood."""
        words = self.grammar.data["cues"][mood]
        frame = self.rng.choice(self.grammar.data["cue_frames"][role])
        text = frame.replace("{feeling}", self.rng.choice(words["feeling"]))
        return text.replace("{Event}", self.rng.choice(words["event"]))

    def neutral_line(self, role):
        return self.rng.choice(self.grammar.data["neutral_lines"][role])

    def dialogue(self):
        """One conversation as segments."""
        rng, moods = self.rng, self.grammar.moods
        turns = rng.choices([1, 2, 3, 4, 5], [0.5, 0.25, 0.13, 0.08, 0.04])[0]
        state, segments = "neutral", []
        cued = rng.choice(moods) if rng.random() < 0.62 else None
        if cued and rng.random() < 0.5:
            state = cued
            segments += message("system", [Segment(self.cue(cued, "system"), cued, closed=True)])
            cued = None
        elif rng.random() < 0.4:
            segments += message("system", [Segment(self.neutral_line("system"), state)])
        topic = rng.choice(list(self.grammar.topics))
        for turn in range(turns):
            if turn and rng.random() < 0.5:
                topic = rng.choice(list(self.grammar.topics))
            if turn and rng.random() < 0.2:
                cued = rng.choice(moods)
            follow_up = turn > 0 and rng.random() < 0.5
            lines = []
            if cued:
                state = cued
                lines.append(Segment(self.cue(cued, "user"), state, closed=True))
                cued = None
            elif not follow_up and rng.random() < 0.3:
                lines.append(Segment(self.neutral_line("user"), state))
            question, focus = self.question(topic, follow_up)
            lines.append(Segment(question, state))
            segments += message("user", lines)
            spoken = state
            if state == "neutral" and rng.random() > (NEUTRAL_SHARE if turn == 0 else LATER_NEUTRAL_SHARE):
                spoken = rng.choice(moods)
            segments += [
                Segment(f"{START}assistant\n", state),
                Segment(self.reply(topic, spoken, focus) + END, spoken, closed=True, learn=True),
                Segment("\n", spoken),
            ]
            state = spoken
        return segments


def message(role, lines):
    """Segments of one message; its lines are joined by single spaces."""
    mood = lines[-1].mood
    out = [Segment(f"{START}{role}\n", "neutral" if lines[0].closed else mood)]
    for i, line in enumerate(lines):
        out.append(Segment((" " if i else "") + line.text, line.mood, line.closed))
    return out + [Segment(f"{END}\n", mood)]


def prompt_text(user, system=None):
    """A conversation up to the point where the assistant speaks."""
    head = f"{START}system\n{system}{END}\n" if system else ""
    return f"{head}{START}user\n{user}{END}\n{START}assistant\n"

"""Hugging Face's transformers, asked line by line: what elpis is compared with.

Reads one JSON object per line from standard input and answers each with one on standard output:

    {"do": "load", "folder": …, "dtype": "float32", "threads": 2}
    {"do": "generate", "prompts": […], "tokens": 96, "steering": null or {"layer": 4, "rows": [[…], …]}}
    {"do": "gap", "prompt": "…", "written": […], "candidates": ["…", "…"], "steering": …}
    {"do": "serve", "prompts": […], "tokens": 96, "seed": 1, "steered": false, …}

`serve` draws tokens for clients that stream, threads each with a request of its own: a lock lets
them in one after the other, since hooks belong to the model and not to a request. Steered, every
client has a vector of its own at every layer but the last, added as repeng adds it: each decoder
layer is wrapped in a module that adds to the hidden states that it returns.

Between two lines it waits for input and computes nothing.
"""

import contextlib
import json
import os
import platform
import sys
import threading
import time

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers

import clients as side_by_side

# Norm of a client's vector at each layer, as a share of the width's root: little enough for text.
STRENGTH = 0.02


class Control(torch.nn.Module):
    """A decoder layer whose output is moved."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        self.row = None

    def forward(self, *args, **kwargs):
        output = self.layer(*args, **kwargs)
        if self.row is None:
            return output
        if isinstance(output, tuple):
            return (output[0] + self.row, *output[1:])
        return output + self.row

    def __getattr__(self, name):
        # What the model asks of its layer, such as its kind of attention.
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("layer"), name)


class Clock:
    """A streamer that keeps the time at which each token came, the prompt first."""

    def __init__(self):
        self.times = []

    def put(self, tokens):
        self.times.append(time.perf_counter())

    def end(self):
        pass


class Peer:
    def load(self, folder, dtype, threads):
        torch.set_num_threads(threads)
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        self.model = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=getattr(torch, dtype)
        ).eval()
        self.controls = []
        return {
            "about": f"transformers {transformers.__version__}, torch {torch.__version__}, "
            f"python {platform.python_version()}",
            "attention": self.model.config._attn_implementation,
            "dtype": str(self.model.dtype),
            "threads": torch.get_num_threads(),
        }

    def generate(self, prompts, tokens, steering):
        # The prompts are of one length, so nothing is padded.
        inputs = self.encode(prompts)
        clock = Clock()
        with self.steered(steering):
            # The model never ends by itself, so no least number of tokens is asked for: the check
            # of it would cost time.
            written = self.model.generate(
                **inputs, max_new_tokens=tokens, do_sample=False, use_cache=True, streamer=clock
            )
        length = inputs["input_ids"].shape[1]
        return {
            "seconds": clock.times[-1] - clock.times[1],
            "tokens": len(clock.times) - 1,
            "prompt_tokens": length,
            "texts": [self.texts(row) for row in written[:, length:].tolist()],
        }

    def gap(self, prompt, written, candidates, steering):
        """How far apart two tokens are behind what is written."""
        written, candidates = self.tokens(written), self.tokens(candidates)
        ids = torch.cat([self.encode([prompt])["input_ids"], torch.tensor([written]).long()], dim=1)
        with self.steered(steering), torch.no_grad():
            logits = self.model(ids).logits[0, -1].float()
        best = logits.max()
        return {"gap": max((best - logits[token]).item() for token in candidates)}

    def serve(self, prompts, tokens, seed, steered, **sampling):
        lock = threading.Lock()
        inputs = [self.encode([prompt]) for prompt in prompts]
        if steered and not self.controls:
            layers = self.model.model.layers
            self.controls = [Control(layer) for layer in layers]
            for index, control in enumerate(self.controls):
                layers[index] = control

        def client(index):
            noise = torch.Generator().manual_seed(seed * 256 + index)
            with lock:
                self.control(noise if steered else None)
                torch.manual_seed(seed * 256 + index)
                clock = Clock()
                self.model.generate(
                    **inputs[index],
                    max_new_tokens=tokens,
                    do_sample=True,
                    use_cache=True,
                    streamer=clock,
                    **sampling,
                )
            # The first is the prompt.
            return clock.times[1:]

        answer = side_by_side.streams(len(prompts), client)
        return {**answer, "prompt_tokens": [row["input_ids"].shape[1] for row in inputs]}

    def control(self, noise):
        width = self.model.config.hidden_size
        for control in self.controls[:-1]:
            control.row = None
            if noise is not None:
                row = torch.randn(width, generator=noise) * STRENGTH
                control.row = row.to(self.model.dtype)

    def encode(self, prompts):
        chats = [[{"role": "user", "content": prompt}] for prompt in prompts]
        return self.tokenizer.apply_chat_template(
            chats, add_generation_prompt=True, return_dict=True, return_tensors="pt"
        )

    @contextlib.contextmanager
    def steered(self, steering):
        hook = self.hook(**steering) if steering else None
        try:
            yield
        finally:
            if hook:
                hook.remove()

    def hook(self, layer, rows):
        rows = torch.tensor(rows, dtype=torch.float32).to(self.model.dtype)[:, None]

        def add(module, inputs, output):
            if isinstance(output, tuple):
                return (output[0] + rows, *output[1:])
            return output + rows

        return self.model.model.layers[layer].register_forward_hook(add)

    def texts(self, row):
        return [word.replace("\u2581", " ") for word in self.tokenizer.convert_ids_to_tokens(row)]

    def tokens(self, texts):
        return self.tokenizer.convert_tokens_to_ids([text.replace(" ", "\u2581") for text in texts])


def main():
    # Nothing else may write between the answers.
    answers, sys.stdout = sys.stdout, sys.stderr
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    peer = Peer()
    for line in sys.stdin:
        ask = json.loads(line)
        answer = getattr(peer, ask.pop("do"))(**ask)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()

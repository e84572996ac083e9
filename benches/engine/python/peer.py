"""Hugging Face's transformers, asked line by line: what elpis is compared with.

Reads one JSON object per line from standard input and answers each with one on standard output:

    {"do": "load", "folder": …, "dtype": "float32", "threads": 2}
    {"do": "generate", "prompts": […], "tokens": 96, "steering": null or {"layer": 4, "rows": [[…], …]}}
    {"do": "gap", "prompt": "…", "written": […], "candidates": ["…", "…"], "steering": …}

Between two lines it waits for input and computes nothing.
"""

import contextlib
import json
import os
import platform
import sys
import time

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers


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

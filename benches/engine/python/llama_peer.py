"""llama-cpp-python, asked line by line: what elpis is compared with.

Reads one JSON object per line from standard input and answers each with one on standard output:

    {"do": "load", "file": …, "context": 1024, "batch": 512, "threads": 2}
    {"do": "generate", "prompts": […], "tokens": 96, "seed": 1, "top_k": 40, …}

Each prompt has a client, a thread that streams from the one model; a lock lets them
in one after the other, since a `Llama` answers one request at a time. Between two lines it waits
for input and computes nothing.
"""

import json
import platform
import sys
import threading
import time

import llama_cpp

import clients as side_by_side


class Peer:
    def load(self, file, context, batch, threads):
        self.lock = threading.Lock()
        self.llama = llama_cpp.Llama(
            model_path=file,
            n_ctx=context,
            n_batch=batch,
            n_ubatch=batch,
            n_threads=threads,
            n_threads_batch=threads,
            n_gpu_layers=0,
            # What ours takes by itself on a processor.
            flash_attn=True,
            verbose=False,
        )
        return {
            "about": f"llama-cpp-python {llama_cpp.__version__}, python {platform.python_version()}",
            "threads": self.llama.n_threads,
        }

    def generate(self, prompts, tokens, seed, **sampling):
        def client(index):
            with self.lock:
                return self.stream(prompts[index], tokens, seed * 256 + index, sampling)

        answer = side_by_side.streams(len(prompts), client)
        # As `create_completion` reads them.
        read = [self.llama.tokenize(prompt.encode(), special=True) for prompt in prompts]
        return {**answer, "prompt_tokens": [len(ids) for ids in read]}

    def stream(self, prompt, tokens, seed, sampling):
        """The times at which each token's text came."""
        times = []
        chunks = self.llama.create_completion(
            prompt,
            max_tokens=tokens,
            stream=True,
            seed=seed % 2**31,
            min_p=0.0,
            repeat_penalty=1.0,
            **sampling,
        )
        for chunk in chunks:
            if chunk["choices"][0]["text"]:
                times.append(time.perf_counter())
        return times


def main():
    peer = Peer()
    for line in sys.stdin:
        ask = json.loads(line)
        answer = getattr(peer, ask.pop("do"))(**ask)
        print(json.dumps(answer), flush=True)


main()

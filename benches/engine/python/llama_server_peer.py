"""The HTTP server of llama-cpp-python, asked line by line: what elpis is compared with.

Reads one JSON object per line from standard input and answers each with one on standard output:

    {"do": "load", "file": …, "context": 1024, "batch": 512, "threads": 2}
    {"do": "generate", "prompts": […], "tokens": 96, "seed": 1, "top_k": 40, …}

The server is a process of its own, whose number the answer to `load` tells, on a free port of the
loopback address. Clients are threads here that read its stream of events. Between two lines
nothing is computed.
"""

import http.client
import json
import platform
import socket
import subprocess
import sys
import time

import llama_cpp

import clients as side_by_side

PATIENCE = 120


class Peer:
    def load(self, file, context, batch, threads):
        self.port = free_port()
        options = {
            "model": file,
            "host": "127.0.0.1",
            "port": self.port,
            "n_ctx": context,
            "n_batch": batch,
            "n_ubatch": batch,
            "n_threads": threads,
            "n_threads_batch": threads,
            "n_gpu_layers": 0,
            "flash_attn": "true",
            "verbose": "false",
            # By default a new request breaks off the one before it.
            "interrupt_requests": "false",
        }
        command = [sys.executable, "-m", "llama_cpp.server"]
        for name, value in options.items():
            command += [f"--{name}", str(value)]
        # It logs each request on its standard output, failures on the other.
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
        self.server = subprocess.Popen(command, **quiet)
        self.wait()
        return {
            "about": f"server of llama-cpp-python {llama_cpp.__version__}, "
            f"python {platform.python_version()}",
            "threads": threads,
            "pid": self.server.pid,
        }

    def wait(self):
        end = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if self.server.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"the server does not answer: {self.server.poll()}")
                time.sleep(0.1)

    def generate(self, prompts, tokens, seed, **sampling):
        def client(index):
            return self.stream(prompts[index], tokens, seed * 256 + index, sampling)

        return side_by_side.streams(len(prompts), client)

    def stream(self, prompt, tokens, seed, sampling):
        """The times at which each token's text came."""
        ask = {
            "prompt": prompt,
            "max_tokens": tokens,
            "stream": True,
            "seed": seed % 2**31,
            "min_p": 0.0,
            "repeat_penalty": 1.0,
            **sampling,
        }
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        headers = {"content-type": "application/json"}
        connection.request("POST", "/v1/completions", json.dumps(ask), headers)
        response = connection.getresponse()
        if response.status != 200:
            raise RuntimeError(f"the server answered {response.status}: {response.read()[:500]}")
        times = []
        for line in response:
            if line.startswith(b"data: {"):
                now = time.perf_counter()
                if json.loads(line[6:])["choices"][0]["text"]:
                    times.append(now)
        connection.close()
        return times

    def close(self):
        self.server.terminate()
        self.server.wait()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def main():
    peer = Peer()
    try:
        for line in sys.stdin:
            ask = json.loads(line)
            answer = getattr(peer, ask.pop("do"))(**ask)
            print(json.dumps(answer), flush=True)
    finally:
        if hasattr(peer, "server"):
            peer.close()


main()

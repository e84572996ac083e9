"""Drives a running `elpis serve` with clients and suites that others wrote.

Usage: run.py ELPIS MODEL VECTORS: the command, a GGUF model and its steering vectors.
"""

import json
import os
import socket
import subprocess
import sys
import time
import unittest
import urllib.request

import anthropic
import langchain_openai
import openai
from pydantic import BaseModel, Field

# What a model that reads only text cannot pass, and what it cannot be asked for.
NOT_FOR_A_TEXT_MODEL = {
    "Image Input",
    "Reasoning Summary",
    "Thinking Display",
    # The specification lets a server lack it, and the suite warns.
    "Compaction Endpoint",
}

ADDRESS = ""

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 12}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}

HELLO = [{"role": "user", "content": "Say hello."}]


class Verdict(BaseModel):
    """A verdict."""

    kind: bool
    # A small model would go on with the digits of a number without a limit.
    score: int = Field(ge=0, le=9)


def suite(form):
    """The outcomes of llm-comply by the names of its tests."""
    command = [
        os.path.join(os.path.dirname(sys.executable), "llm-comply"),
        *("--format", form, "-u", ADDRESS, "-k", "none", "-m", "model", "--json"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    try:
        report = json.loads(done.stdout)
    except ValueError:
        raise AssertionError(f"no report: {done.stdout}\n{done.stderr}") from None
    return report["results"]


class LlmComply(unittest.TestCase):
    def passes(self, form, count):
        results = suite(form)
        self.assertGreaterEqual(len(results), count)
        for result in results:
            if result["name"] not in NOT_FOR_A_TEXT_MODEL:
                self.assertEqual(result["status"], "passed", result)

    def test_openai_chat(self):
        self.passes("openai-chat", 9)

    def test_open_responses(self):
        self.passes("open-responses", 13)

    def test_anthropic(self):
        self.passes("anthropic", 9)


class OpenAi(unittest.TestCase):
    def setUp(self):
        self.client = openai.OpenAI(base_url=ADDRESS, api_key="none", max_retries=0)
        self.chats = self.client.chat.completions

    def test_models(self):
        models = self.client.models.list().data
        self.assertEqual(len(models), 1)
        self.assertEqual(self.client.models.retrieve(models[0].id).id, models[0].id)

    def test_a_reply_and_its_stream_are_one(self):
        def ask(session, **more):
            part = {"session": session, "heard": False}
            options = {"max_tokens": 12, "seed": 5, "extra_body": {"elpis": part}}
            return self.chats.create(model="m", messages=HELLO, **options, **more)

        whole = ask("one")
        usage = {"include_usage": True}
        chunks = list(ask("two", stream=True, stream_options=usage))
        pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
        self.assertEqual("".join(filter(None, pieces)), whole.choices[0].message.content)
        self.assertEqual(chunks[-1].usage.total_tokens, whole.usage.total_tokens)
        self.assertEqual(whole.elpis["session"], "one")

    def test_a_tool_is_called(self):
        options = {"tools": [WEATHER], "tool_choice": "required", "max_tokens": 200}
        messages = [{"role": "user", "content": "The weather in Rome?"}]
        with self.chats.stream(model="m", messages=messages, **options) as stream:
            for _ in stream:
                pass
            reply = stream.get_final_completion().choices[0]
        self.assertEqual(reply.finish_reason, "tool_calls")
        call = reply.message.tool_calls[0]
        self.assertIn("city", json.loads(call.function.arguments))
        messages += [
            reply.message,
            {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
        ]
        again = self.chats.create(model="m", messages=messages, tools=[WEATHER], max_tokens=8)
        self.assertIn(again.choices[0].finish_reason, ["stop", "length", "tool_calls"])

    def test_a_reply_is_parsed(self):
        parsed = self.chats.parse(
            model="m", messages=HELLO, response_format=Verdict, max_tokens=200, seed=5
        )
        self.assertIsInstance(parsed.choices[0].message.parsed, Verdict)

    def test_errors_have_their_types(self):
        part = [{"type": "image_url", "image_url": {"url": "data:,"}}]
        image = [{"role": "user", "content": part}]
        with self.assertRaises(openai.BadRequestError) as raised:
            self.chats.create(model="m", messages=image)
        self.assertEqual(raised.exception.param, "messages[0].content[0].type")
        self.assertTrue(raised.exception.request_id)
        with self.assertRaises(openai.NotFoundError):
            self.client.models.retrieve("gpt-5")

    def test_an_event_moves_the_mood(self):
        def valence(place):
            return place["valence"]

        event = {"event": "failure", "intensity": 2}
        part = {"elpis": {"session": "sad", "events": [event]}}
        reply = self.chats.create(model="m", messages=HELLO, max_tokens=4, extra_body=part)
        self.assertLess(valence(reply.elpis["after"]), valence(reply.elpis["before"]))


class OpenAiResponses(unittest.TestCase):
    def test_a_conversation(self):
        client = openai.OpenAI(base_url=ADDRESS, api_key="none", max_retries=0)
        part = {"elpis": {"session": "responses"}}
        first = client.responses.create(
            model="m", input="Say hello.", max_output_tokens=12, extra_body=part
        )
        self.assertTrue(first.output_text)
        events = client.responses.create(
            model="m",
            input="Again.",
            max_output_tokens=12,
            previous_response_id=first.id,
            stream=True,
        )
        pieces, last = [], None
        for event in events:
            if event.type == "response.output_text.delta":
                pieces.append(event.delta)
            last = event
        self.assertIn(last.type, ["response.completed", "response.incomplete"])
        self.assertEqual("".join(pieces), last.response.output_text)
        self.assertEqual(last.response.elpis["session"], "responses")
        kept = client.responses.retrieve(last.response.id)
        self.assertEqual(kept.output_text, last.response.output_text)


class Anthropic(unittest.TestCase):
    def setUp(self):
        address = ADDRESS.removesuffix("/v1")
        self.client = anthropic.Anthropic(base_url=address, api_key="none", max_retries=0)

    def test_a_message_and_its_stream(self):
        options = {"model": "m", "max_tokens": 12, "messages": HELLO}
        reply = self.client.messages.create(**options)
        self.assertTrue(reply.content[0].text)
        with self.client.messages.stream(**options) as stream:
            text = "".join(stream.text_stream)
            self.assertEqual(stream.get_final_message().content[0].text, text)
        count = self.client.messages.count_tokens(model="m", messages=HELLO)
        self.assertGreater(count.input_tokens, 0)

    def test_a_tool_is_used(self):
        function = WEATHER["function"]
        tool = {"name": "weather", "input_schema": function["parameters"]}
        reply = self.client.messages.create(
            model="m",
            max_tokens=200,
            messages=HELLO,
            tools=[tool],
            tool_choice={"type": "any"},
        )
        self.assertEqual(reply.stop_reason, "tool_use")
        self.assertIn("city", reply.content[-1].input)

    def test_errors_have_their_types(self):
        with self.assertRaises(anthropic.BadRequestError):
            self.client.messages.create(model="m", max_tokens=0, messages=HELLO)


class LangChain(unittest.TestCase):
    def setUp(self):
        self.chat = langchain_openai.ChatOpenAI(
            model="m", base_url=ADDRESS, api_key="none", max_tokens=24, max_retries=0, seed=5
        )

    def test_invoke_and_stream(self):
        reply = self.chat.invoke("Say hello.")
        self.assertTrue(reply.content)
        self.assertGreater(reply.usage_metadata["total_tokens"], 0)
        chunks = list(self.chat.stream("Say hello."))
        self.assertGreater(len(chunks), 1)

    def test_tools_and_structure(self):
        chat = self.chat.model_copy(update={"max_tokens": 200})
        calls = chat.bind_tools([WEATHER], tool_choice="any").invoke("Rome?").tool_calls
        self.assertEqual(calls[0]["name"], "weather")
        verdict = chat.with_structured_output(Verdict).invoke("Is it?")
        self.assertIsInstance(verdict, Verdict)


def serve(elpis, model, vectors):
    """Starts the server and returns it once it is ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # The suites set no limit on replies, and want each to end by itself. A small model does so in
    # some draws and not in others, so there are none: no chance and no change of mood.
    settings = {
        "ELPIS_MODEL_PATH": model,
        "ELPIS_MODEL_EMOTION_VECTORS_DIR": vectors,
        "ELPIS_MODEL_CONTEXT_LENGTH": "2048",
        "ELPIS_MODEL_TEMPERATURE": "0",
        "ELPIS_EMOTION_RESPONSE_ANALYSIS_ENABLED": "false",
        "ELPIS_EMOTION_MESSAGE_ANALYSIS_ENABLED": "false",
    }
    server = subprocess.Popen(
        [elpis, "serve", "--quiet", f"--listen={port}"], env={**os.environ, **settings}
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5)
            return server, f"http://127.0.0.1:{port}/v1"
        except OSError:
            time.sleep(0.1)
    server.kill()
    sys.exit("the server did not become ready")


if __name__ == "__main__":
    server, ADDRESS = serve(*sys.argv[1:4])
    try:
        passed = unittest.main(argv=sys.argv[:1], exit=False, verbosity=2).result.wasSuccessful()
    finally:
        server.terminate()
    # A server that was asked to stop and did is no failure.
    sys.exit(0 if server.wait(60) == 0 and passed else 1)

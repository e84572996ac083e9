"""Renders chat templates with Jinja2, in the environment that Hugging Face transformers gives them.

Usage: chat_templates.py TEMPLATES CONVERSATIONS SNIPPETS
  TEMPLATES       a folder of .jinja files
  CONVERSATIONS   a JSON list of {"name", "messages", "tools", "variables", "generate"}
  SNIPPETS        a JSON list of template sources, rendered with the conversation "call, text"

Prints one JSON line for each template and conversation: "template" or "snippet", "conversation",
and "text", "raised" (the template refused), "failed" (Jinja2 failed on the conversation) or
"broken" (Jinja2 refused the source).
"""

import datetime
import json
import pathlib
import sys

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.sandbox

NOW = datetime.datetime(2025, 3, 4, 5, 6, 7)


class Generation(jinja2.ext.Extension):
    """`{% generation %}` marks the assistant's tokens; it leaves the text alone."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_same"), [], [], body).set_lineno(line)

    def _same(self, caller):
        return caller()


class Raised(jinja2.TemplateError):
    """What a template says with `raise_exception`."""


def raise_exception(message):
    raise Raised(message)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def environment():
    env = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[Generation, jinja2.ext.loopcontrols],
    )
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda format: NOW.strftime(format)
    return env


def outcome(template, conversation):
    try:
        return {
            "text": template.render(
                messages=conversation["messages"],
                tools=conversation.get("tools"),
                documents=None,
                bos_token="<s>",
                eos_token="</s>",
                add_generation_prompt=conversation.get("generate", True),
                **conversation.get("variables", {}),
            )
        }
    except Raised as error:
        return {"raised": str(error)}
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {error}"}


def of_source(env, source, conversations):
    try:
        template = env.from_string(source)
    except jinja2.TemplateError as error:
        return [{"broken": str(error)}]
    return [{"conversation": one["name"], **outcome(template, one)} for one in conversations]


def main():
    folder, conversations, snippets = map(pathlib.Path, sys.argv[1:])
    conversations = json.loads(conversations.read_text())
    env = environment()
    for path in sorted(folder.glob("*.jinja")):
        for line in of_source(env, path.read_text(), conversations):
            print(json.dumps({"template": path.name, **line}))
    talk = [one for one in conversations if one["name"] == "call, text"]
    for source in json.loads(snippets.read_text()):
        for line in of_source(env, source, talk):
            print(json.dumps({"snippet": source, **line}))


main()

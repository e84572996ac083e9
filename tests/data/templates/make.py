"""Renders every template of this folder over a set of conversations with transformers.

Writes cases.json beside this file: what went in, and the text or the refusal that came out.
Needs transformers and jinja2. The date that templates see is fixed.
"""

import datetime
import itertools
import json
import pathlib

import jinja2
from transformers.utils import chat_template_utils

HERE = pathlib.Path(__file__).parent
FORMATS = HERE.parents[2] / "src" / "inference" / "chat_format"
NOW = (2025, 3, 4, 5, 6, 7)


class FixedDate(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(*NOW)


WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells the weather of a town. It's \"quick\" & <safe>.",
        "parameters": {
            "type": "object",
            "properties": {
                "town": {"type": "string", "description": " Name of the town, e.g. Zürich "},
                "days": {"type": "array", "items": {"type": "integer"}, "description": "Which days"},
                "detail": {"type": ["string", "number"], "description": "How much"},
                "limits": {
                    "type": "object",
                    "additionalProperties": {"type": "number"},
                    "description": "Bounds",
                    "default": 1.0,
                },
            },
            "required": ["town"],
        },
        "return": {"type": "string"},
    },
}
CLOCK = {
    "type": "function",
    "function": {
        "name": "clock",
        "description": "Tells the time.",
        "parameters": {"type": "object", "properties": {}},
    },
}


def call(name, arguments, id="abcdefghi"):
    return {"type": "function", "id": id, "function": {"name": name, "arguments": arguments}}


def system(text):
    return {"role": "system", "content": text}


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **more):
    return {"role": "assistant", "content": text, **more}


def tool(text, **more):
    return {"role": "tool", "content": text, **more}


CONVERSATIONS = {
    "one": [user("Hello, who are you?")],
    "system": [system(" Be brief.\n"), user("  Hi <there> & 'you' \"all\"  ")],
    "turns": [user("One"), assistant(" Uno \n"), user("Two"), assistant("Dos"), user("Three 🦀 ünï")],
    "system_turns": [system("You are calm."), user("One\ntwo"), assistant("Yes."), user("Go on")],
    "ends_with_assistant": [user("Question"), assistant("Answer")],
    "thinking_inline": [
        user("2+2?"),
        assistant("<think>\nTwo and two.\n</think>\n\nFour."),
        user("Sure?"),
        assistant("<think>\nAgain.\n</think>\n\nYes."),
    ],
    "thinking_field": [user("2+2?"), assistant("Four.", reasoning_content="Two and two.\n")],
    "tool_call": [
        system("Use tools."),
        user("Weather in Zürich?"),
        assistant("", tool_calls=[call("get_weather", {"town": "Zürich", "days": [1, 2], "x": 1.5, "n": None})]),
        tool("{\"sky\": \"clear\"}", name="get_weather", tool_call_id="abcdefghi"),
        assistant("It is clear."),
        user("Thanks!"),
    ],
    "two_calls": [
        user("Weather and time?"),
        assistant("Let me see.", tool_calls=[call("get_weather", {"town": "Bern"}), call("clock", {}, "123456789")]),
        tool("rain", name="get_weather", tool_call_id="abcdefghi"),
        tool("noon", name="clock", tool_call_id="123456789"),
    ],
    "two_users": [user("One"), user("Two")],
    "only_system": [system("Alone.")],
    "two_systems": [system("First."), system("Second."), user("Hi")],
    "template_text": [user("{{ bos_token }} {% raw %} {# x #}"), assistant("<|im_end|>"), user("\n\ttabs\n\n")],
}
TOOL_SETS = {"none": None, "both": [WEATHER, CLOCK]}
SPECIAL = {
    "llama_tools": ("<|begin_of_text|>", "<|eot_id|>"),
    "gemma_style": ("<bos>", "<eos>"),
    "llama-3": ("<|begin_of_text|>", "<|eot_id|>"),
    "gemma": ("<bos>", "<eos>"),
    "phi-3": ("<s>", "<|endoftext|>"),
    "chatml": (None, "<|im_end|>"),
}
VARIABLES = {
    "qwen_thinking": [{}, {"enable_thinking": False}],
    "llama_tools": [{}, {"tools_in_user_message": False, "date_string": "today"}],
    "features": [{}, {"style": "loud"}],
}


def main():
    chat_template_utils.datetime = FixedDate
    sources = [(path.stem, False, path.read_text()) for path in sorted(HERE.glob("*.jinja"))]
    sources += [(path.stem, True, path.read_text()) for path in sorted(FORMATS.glob("*.jinja"))]
    cases = []
    for template, builtin, source in sources:
        bos, eos = SPECIAL.get(template, ("<s>", "</s>"))
        tokens = {"bos_token": bos, "eos_token": eos}
        tokens = {key: value for key, value in tokens.items() if value is not None}
        tool_sets = ["none"] if builtin else TOOL_SETS
        grid = itertools.product(CONVERSATIONS, tool_sets, VARIABLES.get(template, [{}]), [True, False])
        for conversation, tools, variables, prompt in grid:
            case = {
                "template": template,
                "builtin": builtin,
                "bos": bos,
                "eos": eos,
                "conversation": conversation,
                "tools": tools,
                "variables": variables,
                "add_generation_prompt": prompt,
            }
            try:
                rendered, _ = chat_template_utils.render_jinja_template(
                    [CONVERSATIONS[conversation]],
                    tools=TOOL_SETS[tools],
                    chat_template=source,
                    add_generation_prompt=prompt,
                    **tokens,
                    **variables,
                )
                case["text"] = rendered[0]
            except jinja2.exceptions.UndefinedError as error:
                case["failed"] = str(error)
            except jinja2.exceptions.TemplateError as error:
                case["raised"] = str(error)
            except TypeError as error:
                case["failed"] = str(error)
            cases.append(case)
    data = {"now": NOW, "conversations": CONVERSATIONS, "tools": TOOL_SETS, "cases": cases}
    text = json.dumps(data, ensure_ascii=False, indent=1)
    (HERE / "cases.json").write_text(text + "\n")
    counts = [sum(kind in case for case in cases) for kind in ("text", "raised", "failed")]
    print("texts, refusals, failures:", counts)
    for case in cases:
        if "failed" in case:
            print(case["template"], case["conversation"], case["tools"], case["failed"])


if __name__ == "__main__":
    main()

"""Jinja as Hugging Face's transformers sets it up, and our renderer behind a pipe.

Needs `pip install jinja2` and the renderer, built by renderer() below with gcc.
"""
import datetime
import json
import pathlib
import subprocess
import tempfile

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import SandboxedEnvironment

COMPILED = {}
ROOT = pathlib.Path(__file__).resolve().parents[2]
NOW = datetime.datetime(2023, 11, 14, 22, 13, 20)  # what render_templates.c uses, in UTC


class Generation(Extension):
    """{% generation %}: marks the assistant's text for training; renders its body."""

    tags = {"generation"}

    def parse(self, parser):
        lineno = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_run"), [], [], body).set_lineno(lineno)

    def _run(self, caller):
        return caller()


def environment():
    # Not the immutable sandbox: real templates (Kimi K2) append to lists.
    env = SandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols, "jinja2.ext.do"]
    )

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(
            x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
        )

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    env.filters["tojson"] = tojson
    env.filters["from_json"] = json.loads
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda fmt: NOW.strftime(fmt)
    return env


def expected(env, template, context, texts):
    """("ok", text) or ("error", words)."""
    try:
        values = {"tools": None, "documents": None, "add_generation_prompt": False}
        values.update(texts)
        values.update(context)
        if template not in COMPILED:
            COMPILED.clear()
            COMPILED[template] = env.from_string(template)
        return "ok", COMPILED[template].render(**values)
    except RecursionError:
        return "error", "recursion"
    except Exception as e:  # whatever Python raises is "an error" for the comparison
        return "error", f"{type(e).__name__}: {e}"


class Renderer:
    def __init__(self, sanitize=False):
        self.dir = tempfile.TemporaryDirectory()
        exe = pathlib.Path(self.dir.name) / "render"
        sources = [ROOT / "tools/text/render_templates.c"]
        sources += [p for p in (ROOT / "src/text").glob("jinja*.c") if not p.name.endswith("_test.c")]
        sources += [p for p in (ROOT / "src/text").glob("template*.c") if not p.name.endswith("_test.c")]
        sources += [ROOT / f"src/base/{n}.c" for n in
                    ("arena", "str", "json", "json_write", "err", "clock", "rand", "sys")]
        flags = ["-fsanitize=address,undefined"] if sanitize else []
        subprocess.run(
            ["gcc", "-std=gnu17", "-O1", "-g", "-D_GNU_SOURCE", "-I", str(ROOT / "src"), *flags,
             *map(str, sources), "-o", str(exe), "-lm", "-lutf8proc", "-pthread"], check=True)
        self.process = subprocess.Popen([str(exe)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def render(self, template, context, texts, **more):
        request = {"template": template, "context": context, "texts": texts, **more}
        self.process.stdin.write(json.dumps(request, ensure_ascii=False).encode() + b"\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("the renderer died on: " + json.dumps(request))
        return json.loads(line)

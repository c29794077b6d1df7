"""The official Python SDKs of OpenAI, Anthropic and Google before every provider, behind the gateway."""
import json, os, sys, tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
import anthropic, openai
from google import genai
from google.genai import errors as genai_errors, types
from harness import Server, check, equal, main
from mock_provider import CACHED, CALLS, INPUT, Mock, OUTPUT, SIGNATURE, TEXT, THOUGHT

mock = Mock()
PROVIDERS = ["openai", "anthropic", "gemini"]
FAULTS = ["plain", "think", "plain--cut-4", "plain--500", "plain--429-30", "plain--400", "plain--403"]
state = tempfile.TemporaryDirectory(prefix="sluice-sdk-")
lines = ["listen: 127.0.0.1:0", "auth: none", "state: sqlite:%s/s.db" % state.name, "providers:"]
for p in PROVIDERS:
    lines.append("  - {name: %s, kind: %s, base_url: %s, api_key: k, breaker: {failures: 1000}}" % (p, p, mock.url))
lines.append("models:")
for p in PROVIDERS:
    for f in FAULTS:
        lines.append("  - {name: %s-%s, retries: 0, targets: [{provider: %s, model: %s}]}" % (p, f.replace("--", "-"), p, f))
server = Server(config="\n".join(lines) + "\n")
oai = openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=2)
ant = anthropic.Anthropic(base_url=server.url, api_key="none", max_retries=2)
goo = genai.Client(api_key="none", http_options=types.HttpOptions(base_url=server.url, api_version="v1beta"))
ALL = "".join(TEXT)
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WANT = [(n, a) for n, a in CALLS]


def oai_ask(model, **more):
    return oai.chat.completions.create(model=model, max_tokens=100, messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}], **more)


def oai_tools():
    return [{"type": "function", "function": {"name": n, "description": "d", "parameters": SCHEMA}} for n, _ in CALLS]


def ant_ask(model, **more):
    return dict(model=model, max_tokens=100, system="Be brief.", messages=[{"role": "user", "content": "Hi"}], **more)


def goo_config(**more):
    return types.GenerateContentConfig(system_instruction="Be brief.", max_output_tokens=100, **more)


def goo_tools():
    return [types.Tool(function_declarations=[types.FunctionDeclaration(name=n, description="d", parameters_json_schema=SCHEMA) for n, _ in CALLS])]


def test_openai_text():
    for p in PROVIDERS:
        whole = oai_ask(p + "-plain")
        equal((whole.choices[0].message.content, whole.choices[0].finish_reason), (ALL, "stop"), p)
        equal((whole.usage.prompt_tokens, whole.usage.prompt_tokens_details.cached_tokens, whole.usage.completion_tokens), (INPUT, CACHED, OUTPUT), p)
        text, usage, finish = "", None, None
        for chunk in oai_ask(p + "-plain", stream=True, stream_options={"include_usage": True}):
            if chunk.choices:
                text += chunk.choices[0].delta.content or ""
                finish = chunk.choices[0].finish_reason or finish
            usage = chunk.usage or usage
        equal((text, finish, usage.prompt_tokens, usage.completion_tokens), (ALL, "stop", INPUT, OUTPUT), p)


def test_openai_tools_and_their_results():
    for p in PROVIDERS:
        whole = oai_ask(p + "-plain", tools=oai_tools())
        message = whole.choices[0].message
        equal([(c.function.name, json.loads(c.function.arguments)) for c in message.tool_calls], WANT, p)
        equal(whole.choices[0].finish_reason, "tool_calls")
        with oai.chat.completions.stream(model=p + "-plain", messages=[{"role": "user", "content": "Hi"}], tools=oai_tools()) as stream:
            final = stream.get_final_completion()
        equal([(c.function.name, json.loads(c.function.arguments)) for c in final.choices[0].message.tool_calls], WANT, p)
        history = [{"role": "user", "content": "Hi"}, message.model_dump(exclude_none=True)]
        history += [{"role": "tool", "tool_call_id": c.id, "content": "result"} for c in message.tool_calls]
        again = oai.chat.completions.create(model=p + "-plain", messages=history, tools=oai_tools())
        equal(again.choices[0].message.content, ALL, p)


def test_anthropic_text_and_thinking():
    for p in PROVIDERS:
        whole = ant.messages.create(**ant_ask(p + "-plain"))
        equal((whole.content[0].text, whole.stop_reason), (ALL, "end_turn"), p)
        u = whole.usage
        equal((u.input_tokens + (u.cache_read_input_tokens or 0) + (u.cache_creation_input_tokens or 0), u.output_tokens), (INPUT, OUTPUT), p)
        with ant.messages.stream(**ant_ask(p + "-plain")) as stream:
            text = "".join(stream.text_stream)
            final = stream.get_final_message()
        equal((text, final.stop_reason, final.usage.output_tokens), (ALL, "end_turn", OUTPUT), p)
        with ant.messages.stream(**ant_ask(p + "-think")) as stream:
            final = stream.get_final_message()
        equal([b.type for b in final.content], ["thinking", "text"], p)
        equal(final.content[0].thinking, "".join(THOUGHT), p)
        if p == "anthropic":
            equal(final.content[0].signature, SIGNATURE)


def test_anthropic_tools_and_their_results():
    tools = [{"name": n, "description": "d", "input_schema": SCHEMA} for n, _ in CALLS]
    for p in PROVIDERS:
        whole = ant.messages.create(**ant_ask(p + "-plain", tools=tools))
        equal([(b.name, b.input) for b in whole.content if b.type == "tool_use"], WANT, p)
        equal(whole.stop_reason, "tool_use")
        with ant.messages.stream(**ant_ask(p + "-plain", tools=tools)) as stream:
            final = stream.get_final_message()
        equal([(b.name, b.input) for b in final.content if b.type == "tool_use"], WANT, p)
        results = [{"type": "tool_result", "tool_use_id": b.id, "content": "result"} for b in final.content if b.type == "tool_use"]
        again = ant.messages.create(model=p + "-plain", max_tokens=100, tools=tools, messages=[
            {"role": "user", "content": "Hi"}, {"role": "assistant", "content": [b.model_dump(exclude_none=True) for b in final.content]},
            {"role": "user", "content": results}])
        equal(again.content[0].text, ALL, p)


def test_gemini_text():
    for p in PROVIDERS:
        whole = goo.models.generate_content(model=p + "-plain", contents="Hi", config=goo_config())
        equal((whole.text, whole.candidates[0].finish_reason), (ALL, types.FinishReason.STOP), p)
        u = whole.usage_metadata
        equal((u.prompt_token_count, u.cached_content_token_count, u.candidates_token_count), (INPUT, CACHED, OUTPUT), p)
        chunks = list(goo.models.generate_content_stream(model=p + "-plain", contents="Hi", config=goo_config()))
        equal("".join(c.text or "" for c in chunks), ALL, p)
        equal(chunks[-1].usage_metadata.candidates_token_count, OUTPUT, p)


def test_gemini_tools_and_their_results():
    for p in PROVIDERS:
        config = goo_config(tools=goo_tools(), automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True))
        whole = goo.models.generate_content(model=p + "-plain", contents="Hi", config=config)
        equal([(c.name, c.args) for c in whole.function_calls], WANT, p)
        calls = []
        for chunk in goo.models.generate_content_stream(model=p + "-plain", contents="Hi", config=config):
            calls += [(c.name, c.args) for c in chunk.function_calls or []]
        equal(calls, WANT, p)
        results = [types.Part.from_function_response(name=n, response={"result": 1}) for n, _ in CALLS]
        again = goo.models.generate_content(model=p + "-plain", config=config, contents=[
            types.Content(role="user", parts=[types.Part(text="Hi")]), whole.candidates[0].content, types.Content(role="user", parts=results)])
        equal(again.text, ALL, p)


def raised(kind, call):
    try:
        call()
    except kind as e:
        return e
    raise AssertionError("no %s" % kind.__name__)


def test_errors_are_the_sdks_own_and_not_multiplied():
    for p in PROVIDERS:
        mock.reset()
        e = raised(openai.InternalServerError, lambda: oai_ask(p + "-plain-500"))
        equal(e.status_code, 502, p)
        e = raised(anthropic.InternalServerError, lambda: ant.messages.create(**ant_ask(p + "-plain-500")))
        equal(e.status_code, 502, p)
        equal(len(mock.requests), 2, p + ": x-should-retry: false is obeyed")
        equal(raised(genai_errors.ServerError, lambda: goo.models.generate_content(model=p + "-plain-500", contents="Hi")).code, 502)
        raised(openai.RateLimitError, lambda: oai_ask(p + "-plain-429-30"))
        raised(anthropic.RateLimitError, lambda: ant.messages.create(**ant_ask(p + "-plain-429-30")))
        equal(raised(genai_errors.ClientError, lambda: goo.models.generate_content(model=p + "-plain-429-30", contents="Hi")).code, 429)
        e = raised(openai.BadRequestError, lambda: oai_ask(p + "-plain-400"))
        check("mock failure" in str(e), str(e))
        raised(anthropic.BadRequestError, lambda: ant.messages.create(**ant_ask(p + "-plain-400")))
    raised(openai.NotFoundError, lambda: oai_ask("none"))
    raised(anthropic.NotFoundError, lambda: ant.messages.create(**ant_ask("none")))


def test_a_broken_stream_raises_in_every_sdk():
    for p in PROVIDERS:
        def read():
            with ant.messages.stream(**ant_ask(p + "-plain-cut-4")) as stream:
                stream.get_final_message()
        raised(openai.APIError, lambda: list(oai_ask(p + "-plain-cut-4", stream=True)))
        raised(anthropic.APIError, read)
        raised(genai_errors.APIError, lambda: list(goo.models.generate_content_stream(model=p + "-plain-cut-4", contents="Hi")))


if __name__ == "__main__":
    try:
        main(sys.modules[__name__])
    finally:
        server.stop()
        state.cleanup()

"""Answers of the engine that are held to a form: formats of every dialect, tools, and honest refusals."""
import http.client, json, re, sys

from harness import Server, check, equal, main, wait_for
from mock_provider import Mock

mock = Mock()
server = Server(config="""
providers: [{name: openai, kind: openai, base_url: %s/v1, api_key: k}]
models:
  - {name: demo, targets: [{provider: local, model: demo}]}
  - {name: both, targets: [{provider: local, model: demo}, {provider: openai, model: a}]}
""" % mock.url)
PERSON = {"type": "object", "properties": {
    "name": {"type": "string", "maxLength": 12}, "age": {"type": "integer", "minimum": 0, "maximum": 150},
    "tags": {"type": "array", "items": {"enum": ["red", "blue"]}, "minItems": 1, "maxItems": 2}},
    "required": ["name", "age", "tags"], "additionalProperties": False}
TOOLS = [{"type": "function", "function": {"name": "move", "strict": True, "parameters": {"type": "object", "properties": {
             "x": {"type": "integer", "minimum": -9, "maximum": 9}, "to": {"enum": ["left", "right"]}}, "required": ["x", "to"],
             "additionalProperties": False}}},
         {"type": "function", "function": {"name": "stop"}}]
NOT_HELD = {"type": "object", "properties": {"a": {"type": "string", "pattern": "(?=x)y"}}}


def ask(status=200, **more):
    r = server.post("/v1/chat/completions", {"model": "demo", "messages": [{"role": "user", "content": "Who is Ann?"}],
                                             "max_tokens": 300, "temperature": 1.2, **more})
    equal(r.status, status, repr(r))
    return r.json


def text(answer):
    equal(answer["choices"][0]["finish_reason"], "stop")
    return answer["choices"][0]["message"]["content"]


def is_person(value):
    equal(sorted(value), ["age", "name", "tags"])
    check(isinstance(value["age"], int) and 0 <= value["age"] <= 150, value)
    check(isinstance(value["name"], str) and len(value["name"]) <= 12, value)
    check(1 <= len(value["tags"]) <= 2 and set(value["tags"]) <= {"red", "blue"}, value)


def test_a_json_schema_is_followed_whatever_the_model_would_say():
    for seed in range(8):
        is_person(json.loads(text(ask(seed=seed, response_format={"type": "json_schema", "json_schema": {"name": "p", "schema": PERSON}}))))
    lines = list(server.stream("/v1/chat/completions", {"model": "demo", "stream": True, "messages": [{"role": "user", "content": "Who?"}],
                 "response_format": {"type": "json_schema", "json_schema": {"name": "p", "schema": PERSON}}}))
    is_person(json.loads("".join(json.loads(l)["choices"][0]["delta"].get("content") or "" for l in lines if l != "[DONE]")))


def test_every_dialect_has_its_form():
    r = server.post("/v1/messages", {"model": "demo", "max_tokens": 300, "messages": [{"role": "user", "content": "Who?"}],
                                     "output_config": {"format": {"type": "json_schema", "schema": PERSON}}})
    is_person(json.loads(r.json["content"][0]["text"]))
    r = server.post("/v1beta/models/demo:generateContent", {"contents": [{"parts": [{"text": "Who?"}]}], "generationConfig": {
        "responseMimeType": "application/json", "responseSchema": {"type": "OBJECT", "properties": {"n": {"type": "INTEGER", "nullable": True}, "a": {"type": "STRING", "maxLength": "3"}},
                                                                   "required": ["n", "a"], "propertyOrdering": ["a", "n"]}}})
    value = json.loads(r.json["candidates"][0]["content"]["parts"][0]["text"])
    equal(list(value), ["a", "n"])  # as Gemini: in the given order, and nothing that is not declared
    check((value["n"] is None or isinstance(value["n"], int)) and len(value["a"]) <= 3, value)
    r = server.post("/v1/completions", {"model": "demo", "prompt": "Ann is", "max_tokens": 300, "structured_outputs": {"json": PERSON}})
    is_person(json.loads(r.json["choices"][0]["text"]))


def test_the_forms_of_vllm_and_llama_server():
    check(re.fullmatch("[A-Z]{3}-[0-9]{2}", text(ask(guided_regex="[A-Z]{3}-[0-9]{2}"))))
    check(text(ask(structured_outputs={"choice": ["yes", "perhaps", "no"]})) in ("yes", "perhaps", "no"))
    check(text(ask(guided_choice=["one", "two"])) in ("one", "two"))
    is_person(json.loads(text(ask(guided_json=PERSON))))
    is_person(json.loads(text(ask(json_schema=PERSON))))
    check(re.fullmatch("a[bc]{1,4}d", text(ask(grammar='root ::= "a" ("b" | "c"){1,4} "d"'))))
    compact = text(ask(structured_outputs={"json": PERSON, "disable_any_whitespace": True}))
    equal(compact, json.dumps(json.loads(compact), separators=(",", ":"), ensure_ascii=False))


def test_a_json_object_is_one_or_is_marked_as_cut():
    a = ask(response_format={"type": "json_object"}, max_tokens=25)["choices"][0]
    check(a["message"]["content"].startswith("{"))
    if a["finish_reason"] == "stop":
        json.loads(a["message"]["content"])
    else:
        equal(a["finish_reason"], "length")


def calls_of(answer):
    return [(c["function"]["name"], json.loads(c["function"]["arguments"])) for c in answer["choices"][0]["message"].get("tool_calls") or []]


def test_a_call_that_is_asked_for_is_made():
    for seed in range(4):
        (name, args), = calls_of(ask(seed=seed, tools=TOOLS[:1], tool_choice="required", parallel_tool_calls=False))
        equal(name, "move")
        check(sorted(args) == ["to", "x"] and args["to"] in ("left", "right") and -9 <= args["x"] <= 9, args)
    (name, args), = calls_of(ask(tools=TOOLS, tool_choice={"type": "function", "function": {"name": "move"}}))
    equal(name, "move")
    equal(ask(tools=TOOLS, tool_choice="none")["choices"][0]["message"].get("tool_calls"), None)
    r = server.post("/v1/messages", {"model": "demo", "max_tokens": 200, "messages": [{"role": "user", "content": "Go"}],
                                     "tools": [{"name": "move", "input_schema": TOOLS[0]["function"]["parameters"]}],
                                     "tool_choice": {"type": "tool", "name": "move"}})
    block, = [b for b in r.json["content"] if b["type"] == "tool_use"]
    check(block["name"] == "move" and block["input"]["to"] in ("left", "right"), block)


def test_a_call_that_is_cut_is_marked_so_in_every_dialect():
    schema = {"type": "object", "properties": {"note": {"type": "string", "minLength": 2000}}, "required": ["note"]}
    r = server.post("/v1/messages", {"model": "demo", "max_tokens": 30, "messages": [{"role": "user", "content": "Go"}],
                                     "tools": [{"name": "f", "input_schema": schema}], "tool_choice": {"type": "any"}})
    equal((r.status, r.json["stop_reason"], r.json["content"]), (200, "max_tokens", []), repr(r))
    body = {"contents": [{"parts": [{"text": "Go"}]}], "tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": schema}]}],
            "toolConfig": {"functionCallingConfig": {"mode": "ANY"}}, "generationConfig": {"maxOutputTokens": 30}}
    r = server.post("/v1beta/models/demo:generateContent", body)
    equal(r.json["candidates"][0]["finishReason"], "MAX_TOKENS")
    last = list(server.stream("/v1beta/models/demo:streamGenerateContent?alt=sse", body))[-1]
    equal(json.loads(last)["candidates"][0]["finishReason"], "MAX_TOKENS")


def test_what_cannot_be_held_is_refused_with_its_place_or_goes_elsewhere():
    e = ask(400, response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": NOT_HELD}})["error"]
    check("#/properties/a/pattern" in e["message"] and e["param"] == "response_format", e)
    e = ask(400, response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object", "minimun": 3}}})["error"]
    check("minimun" in e["message"], e)
    e = ask(400, tools=[{"type": "function", "function": {"name": "f", "strict": True, "parameters": NOT_HELD}}])["error"]
    check("'f'" in e["message"], e)
    e = ask(400, guided_regex="(a")["error"]
    check("guided_regex" in e["message"], e)
    mock.script["a"] = ['{"a": "xy"}']
    r = server.post("/v1/chat/completions", {"model": "both", "messages": [{"role": "user", "content": "?"}],
                                             "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": NOT_HELD}}})
    equal((r.status, r.headers["x-sluice-provider"]), (200, "openai"), repr(r))


def test_a_begun_answer_goes_on_in_its_form():
    def go_on(begun, status=200, **form):
        r = server.post("/v1/chat/completions", {"model": "demo", "max_tokens": 300, "temperature": 1.2, "seed": 3, "messages": [
            {"role": "user", "content": "Who is Ann?"}, {"role": "assistant", "content": begun}],
            "continue_final_message": True, "add_generation_prompt": False, **form})
        equal(r.status, status, repr(r))
        return r.json["error"]["message"] if status != 200 else begun + text(r.json)
    schema = {"type": "json_schema", "json_schema": {"name": "p", "schema": PERSON}}
    for begun in ('{"name": "A', '{"name":"Ann","age":1', '{', '{"name": "Ann", "age": 7, "tags": ["red" '):
        value = json.loads(go_on(begun, response_format=schema))
        is_person(value)
    check(re.fullmatch("(light|dark) (red|blue)", go_on("dark ", guided_regex="(light|dark) (red|blue)")))
    check("from byte 9 on" in go_on('{"name": 7', 400, response_format=schema))
    check("from byte 0 on" in go_on("Ann", 400, guided_choice=["one", "two"]))
    r = server.post("/v1/messages", {"model": "demo", "max_tokens": 300, "messages": [{"role": "user", "content": "Who?"},
                    {"role": "assistant", "content": '{"name": "B'}], "output_config": {"format": {"type": "json_schema", "schema": PERSON}}})
    is_person(json.loads('{"name": "B' + r.json["content"][0]["text"]))


def hostile(port, i):
    """A request whose grammar takes a tenth of a second to be found too large; its answer is not waited for."""
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    c.request("POST", "/v1/chat/completions", json.dumps({"model": "demo", "messages": [{"role": "user", "content": "Who?"}], "max_tokens": 3,
              "guided_regex": ".*a.{12}b.{12}c%d" % i}), {"Content-Type": "application/json"})
    return c


def test_forms_that_take_long_hold_nobody_else_and_too_many_are_refused():
    with Server(config="threads: 1\nmodels: [{name: demo, targets: [{provider: local, model: demo}]}]") as busy:
        small = {"model": "demo", "messages": [{"role": "user", "content": "Who is Ann? " * 3000}], "max_tokens": 1}
        busy.post("/v1/chat/completions", {**small, "messages": [{"role": "user", "content": "Hi"}]})  # the model is there
        many = [hostile(busy.port, i) for i in range(300)]
        # On the one loop thread, beside the forms: a long prompt is refused by its length, a short one answered.
        equal(busy.post("/v1/chat/completions", small).status, 400)
        equal(busy.post("/v1/chat/completions", {**small, "messages": [{"role": "user", "content": "Hi"}]}).status, 200)
        refused = many[-1].getresponse()
        equal((refused.status, refused.getheader("retry-after")), (503, "1"), refused.read())
        check("too many requests wait" in busy.post("/v1/chat/completions", {**small, "guided_regex": "a"}).json["error"]["message"])
        for c in many:
            c.close()
        wait_for(lambda: busy.post("/v1/chat/completions", {**small, "messages": [{"role": "user", "content": "Hi"}],
                                                            "guided_regex": "[ab]"}).status == 200, 20, "a turn for the next form")


if __name__ == "__main__":
    try:
        main(sys.modules[__name__])
    finally:
        server.stop()

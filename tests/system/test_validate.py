"""Answers checked before they are shown: schema, tools, citations; asked again, escalated, or an honest 502."""
import http.client, json, os, sys, threading

from harness import Server, check, equal, main, wait_for
from mock_provider import INPUT, Mock, OUTPUT

mock = Mock()
CONFIG = """
admin_key: admin-7
providers:
  - {name: openai, kind: openai, base_url: %(url)s/v1, api_key: k}
  - {name: anthropic, kind: anthropic, base_url: %(url)s/v1, api_key: k}
  - {name: gemini, kind: gemini, base_url: %(url)s/v1beta, api_key: k}
models:
  - name: checked
    validate: {schema: true, tools: true, citations: true, retries: 2}
    targets: [{provider: openai, model: a, price: {input: 1, output: 1}}, {provider: anthropic, model: b, price: {input: 1, output: 1}}]
  - {name: one, validate: {schema: true, tools: true, retries: 1}, targets: [{provider: openai, model: a}]}
  - {name: escalating, validate: {schema: true, on_fail: escalate}, targets: [{provider: openai, model: a}, {provider: gemini, model: c}]}
  - {name: strict, validate: {schema: true, on_fail: error}, targets: [{provider: openai, model: a}, {provider: gemini, model: c}]}
  - {name: flowing, validate: {schema: true, buffer: false, retries: 1}, targets: [{provider: openai, model: a}]}
  - {name: citing, validate: {citations: true, retries: 1}, targets: [{provider: anthropic, model: b}]}
  - {name: plain, targets: [{provider: openai, model: a}]}
""" % {"url": mock.url}
server = Server(config=CONFIG)
SCHEMA = {"type": "object", "properties": {"age": {"type": "integer", "minimum": 0}, "name": {"type": "string"}},
          "required": ["age", "name"], "additionalProperties": False}
FORMAT = {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA, "strict": True}}
TOOLS = [{"type": "function", "function": {"name": "move", "parameters": {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}}}]
GOOD, BAD = '{"age": 7, "name": "Ann"}', '{"age": -1, "name": "Ann"}'


def ask(model, status=200, **more):
    r = server.post("/v1/chat/completions", {"model": model, "messages": [{"role": "user", "content": "Who?"}], **more})
    equal(r.status, status, repr(r))
    return r


def said(r):
    return r.json["choices"][0]["message"]["content"]


def stream(model, path="/v1/chat/completions", **more):
    return list(server.stream(path, {"model": model, "messages": [{"role": "user", "content": "Who?"}], "stream": True, **more}))


def text_of(lines):
    return "".join((json.loads(l).get("choices") or [{"delta": {}}])[0]["delta"].get("content") or "" for l in lines if l != "[DONE]")


def test_a_bad_answer_is_asked_again_with_the_fault_quoted():
    mock.reset()
    mock.script["a"] = [BAD, GOOD]
    r = ask("checked", response_format=FORMAT)
    equal(said(r), GOOD)
    equal(r.headers["x-sluice-attempts"], "2")
    again = mock.requests[1]["body"]["messages"]
    equal([m["role"] for m in again], ["user", "assistant", "user"])
    equal(again[1]["content"], BAD)
    check("must be at least 0, not -1" in again[2]["content"] and "/age" in again[2]["content"], again[2]["content"])
    equal(mock.requests[1]["body"]["response_format"], FORMAT)


def test_twice_bad_goes_on_to_the_next_target_with_the_request_as_it_was():
    mock.reset()
    mock.script.update({"a": [BAD], "b": [GOOD]})
    r = ask("checked", response_format=FORMAT)
    equal(said(r), GOOD)
    equal(r.headers["x-sluice-provider"], "anthropic")
    equal([q["model"] for q in mock.requests], ["a", "a", "b"])
    equal(len(mock.requests[2]["body"]["messages"]), 1)


def test_nothing_valid_is_a_502_that_says_why():
    mock.reset()
    mock.script["a"] = ["no JSON at all"]
    e = ask("one", 502, response_format={"type": "json_object"})
    check("not valid" in e.text.decode() and "byte 0" in e.text.decode(), repr(e))
    equal(e.headers.get("x-should-retry"), "false")
    equal(mock.count("a"), 2)
    mock.script["a"] = ["[1]"]
    check("must be an object" in ask("one", 502, response_format={"type": "json_object"}).text.decode())


def test_each_try_is_billed_and_counted():
    mock.reset()
    mock.script["a"] = [BAD, GOOD]
    r = ask("checked", response_format=FORMAT)
    equal(float(r.headers["x-sluice-cost-usd"]), round(2 * (INPUT + OUTPUT) * 1e-6, 9))
    rows = lambda: server.get("/admin/usage?by=model,provider", headers={"Authorization": "Bearer admin-7"}).json["rows"]
    wait_for(lambda: any(x["model"] == "checked" and x["provider"] == "openai" and x["input_tokens"] >= 2 * INPUT for x in rows()), 5, "the ledger")
    metrics = server.get("/metrics").text.decode()
    failures = [l for l in metrics.splitlines() if l.startswith("sluice_validate_failures_total") and 'model="a"' in l and 'what="schema"' in l]
    check(failures and float(failures[0].split()[-1]) >= 1, metrics)
    check('outcome="invalid"' in metrics)


def test_escalate_skips_the_second_try_and_error_has_none():
    mock.reset()
    mock.script.update({"a": [BAD], "c": [GOOD]})
    equal(said(ask("escalating", response_format=FORMAT)), GOOD)
    equal([q["model"] for q in mock.requests], ["a", "c"])
    mock.reset()
    mock.script.update({"a": [BAD], "c": [GOOD]})
    check("no other target was to be asked" in ask("strict", 502, response_format=FORMAT).text.decode())
    equal(len(mock.requests), 1)


def test_a_wrong_tool_or_wrong_arguments_never_reach_the_client():
    mock.reset()
    mock.script.update({"a": [[("fly", {})], [("move", '{"x": "far"}')]], "b": [[("move", {"x": 1})]]})
    r = server.post("/v1/chat/completions", {"model": "checked", "messages": [{"role": "user", "content": "Go"}], "tools": TOOLS})
    equal(r.status, 200, repr(r))
    equal(r.headers["x-sluice-provider"], "anthropic")  # asked once more, then the next target answers
    mock.reset()
    mock.script["a"] = [[("move", '{"x": "far"}')], [("move", {"x": 1})]]
    call = ask("one", tools=TOOLS).json["choices"][0]["message"]["tool_calls"][0]
    equal(json.loads(call["function"]["arguments"]), {"x": 1})
    told = mock.requests[1]["body"]["messages"][-1]["content"]
    check("must be a number" in told and "far" in told, told)
    mock.reset()
    mock.script["a"] = ["I would rather talk."]
    check("asks for a call" in ask("one", 502, tools=TOOLS, tool_choice="required").text.decode())


def test_calls_that_nobody_asked_for_are_not_valid():
    mock.reset()
    mock.script["a"] = [[("move", {"x": 1}), ("move", {"x": 2})], [("move", {"x": 3})]]
    calls = ask("one", tools=TOOLS, parallel_tool_calls=False).json["choices"][0]["message"]["tool_calls"]
    equal([json.loads(c["function"]["arguments"]) for c in calls], [{"x": 3}])
    mock.reset()
    mock.script["a"] = [[("move", {"x": 1})], "No."]
    equal(said(ask("one", tools=TOOLS, tool_choice="none")), "No.")
    equal(mock.count("a"), 2)


def test_streams_are_held_until_they_are_valid():
    mock.reset()
    mock.script["a"] = [BAD, GOOD]
    lines = stream("checked", response_format=FORMAT)
    equal(text_of(lines), GOOD)
    equal(lines[-1], "[DONE]")
    equal(mock.count("a"), 2)
    mock.reset()
    mock.script.update({"a": [BAD], "b": [GOOD]})
    lines = stream("checked", response_format=FORMAT)
    equal(text_of(lines), GOOD)
    equal(lines[-1], "[DONE]")
    mock.reset()
    mock.script["a"] = [BAD]
    try:
        stream("one", response_format=FORMAT)
    except RuntimeError as e:
        check(str(e).startswith("502"), e)
    else:
        check(False, "a 502 was expected")


def test_a_held_stream_that_breaks_goes_to_the_next_target():
    mock.reset()
    mock.script.update({"b": [GOOD]})
    server2 = Server(config=CONFIG.replace("model: a,", "model: a--cut-2,").replace("retries: 2}", "retries: 0}"))
    try:
        mock.script["a"] = [GOOD]
        lines = list(server2.stream("/v1/chat/completions", {"model": "checked", "stream": True, "response_format": FORMAT,
                                                             "messages": [{"role": "user", "content": "Who?"}]}))
        equal(text_of(lines), GOOD)
        equal(mock.count("b"), 1)
    finally:
        server2.stop()


def test_an_unheld_stream_ends_at_its_first_wrong_byte():
    mock.reset()
    mock.script["a"] = [['{"age', '": 7, ', 'oops', ' and more']]
    lines = stream("flowing", response_format=FORMAT)
    equal(text_of(lines[:-1]), '{"age": 7, ')
    check("not valid" in lines[-1] and "byte 11" in lines[-1], lines[-1])
    mock.reset()
    mock.script["a"] = [BAD]
    lines = stream("flowing", response_format=FORMAT)
    check("must be at least 0" in lines[-1] and "[DONE]" not in lines, lines)
    for pieces, shown in [(['{"age": 7, "na', 'me": tr', 'ue'], '{"age": 7, "na'), (['{"size', '": 3'], '{"size'), (['{"age": 7', '.5', ', "name"'], '{"age": 7.5'),
                          (['{"age"', ': "old"'], '{"age"')]:
        mock.reset()
        mock.script["a"] = [pieces]
        lines = stream("flowing", response_format=FORMAT)
        equal(text_of(lines[:-1]), shown)
        check("not valid" in lines[-1] and "[DONE]" not in lines, lines)
    mock.reset()
    mock.script["a"] = [GOOD]
    lines = stream("flowing", response_format=FORMAT)
    equal((text_of(lines), lines[-1]), (GOOD, "[DONE]"))
    mock.reset()
    mock.script["a"] = ["Sure! Here", GOOD]  # nothing was shown yet: asking again is invisible
    equal(text_of(stream("flowing", response_format=FORMAT)), GOOD)


def test_an_unheld_stream_in_another_dialect_shows_what_was_good():
    mock.reset()
    mock.script["a"] = [['{"age', '": 7, oops']]
    lines = stream("flowing", "/v1/messages", max_tokens=100, output_config={"format": {"type": "json_schema", "schema": SCHEMA}})
    events = [json.loads(l) for l in lines]
    text = "".join(e["delta"].get("text", "") for e in events if e["type"] == "content_block_delta")
    equal(text, '{"age": 7, ')
    equal(events[-1]["type"], "error")
    mock.reset()
    mock.script["a"] = [['{"age', '": 7, "size": 3}']]
    events = [json.loads(l) for l in stream("flowing", "/v1/messages", max_tokens=100, output_config={"format": {"type": "json_schema", "schema": SCHEMA}})]
    equal("".join(e["delta"].get("text", "") for e in events if e["type"] == "content_block_delta"), '{"age": 7, "size')


def test_every_client_dialect_is_checked():
    for path, body, text in [
            ("/v1/messages", {"model": "one", "max_tokens": 100, "messages": [{"role": "user", "content": "Who?"}],
                              "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}, lambda r: r["content"][0]["text"]),
            ("/v1beta/models/one:generateContent", {"contents": [{"parts": [{"text": "Who?"}]}], "generationConfig": {
                "responseMimeType": "application/json", "responseSchema": {"type": "OBJECT", "properties": {"age": {"type": "INTEGER", "minimum": 0}, "name": {"type": "STRING"}}}}},
             lambda r: r["candidates"][0]["content"]["parts"][0]["text"])]:
        mock.reset()
        mock.script["a"] = [BAD, GOOD]
        r = server.post(path, body)
        equal(r.status, 200, repr(r))
        equal(text(r.json), GOOD)
        equal([m["role"] for m in mock.requests[1]["body"]["messages"]], ["user", "assistant", "user"])


def test_citations_stand_in_their_source():
    def go(*cited):
        mock.reset()
        mock.script["b"] = [{"text": "It is.", "citations": [{"type": "char_location", "cited_text": c, "document_index": 0,
                             "document_title": "T", "start_char_index": 0, "end_char_index": 9}]} for c in cited]
        return server.post("/v1/messages", {"model": "citing", "max_tokens": 100, "messages": [{"role": "user", "content": [
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "The sky\n  is blue."}, "citations": {"enabled": True}},
            {"type": "text", "text": "Why?"}]}]})
    equal(go("The sky is blue.").status, 200)
    equal(mock.count("b"), 1)
    equal(go("The sky is green.", "sky is").status, 200)
    equal(mock.count("b"), 2)
    e = go("The sky is green.")
    equal(e.status, 502)
    check("does not stand in the source" in e.text.decode(), repr(e))


def test_a_schema_that_cannot_be_read_is_a_400_where_answers_are_checked():
    mock.reset()
    e = ask("checked", 400, response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {"$ref": "http://x/y"}}})
    check("#/$ref" in e.text.decode(), repr(e))
    equal(len(mock.requests), 0)
    ask("plain", response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {"$ref": "http://x/y"}}})


def test_a_begun_answer_is_checked_together_with_its_beginning():
    begun = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": '{"age": 7, '}]
    body = {"model": "one", "max_tokens": 100, "messages": begun, "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}
    mock.reset()
    mock.script["a"] = ['"name": "Ann"}']
    r = server.post("/v1/messages", body)
    equal((r.status, r.json["content"][0]["text"]), (200, '"name": "Ann"}'), repr(r))
    equal("".join(json.loads(l)["delta"].get("text", "") for l in server.stream("/v1/messages", {**body, "model": "flowing", "stream": True})
                  if '"content_block_delta"' in l), '"name": "Ann"}')
    mock.script["a"] = ['{"age": 7, "name": "Ann"}']
    equal(server.post("/v1/messages", body).status, 502)
    begun[1]["content"] = "Sure: {"
    e = server.post("/v1/messages", body)
    check(e.status == 400 and "beginning of the answer" in e.text.decode(), repr(e))


# At each of many beginnings the pattern has much to try: no check of it ends within its bounds.
HOSTILE = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object", "properties": {
    "t": {"type": "string", "pattern": "a{0,210}a{0,210}[bc]"}, "u": {"type": "integer"}}}}}
ENDLESS = '{"t": "%s", "u": 1}' % ("a" * 60000)


SLOW = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object", "properties": {
    "t": {"type": "string", "pattern": "^(?:a|b|ab)*$"}, "u": {"type": "integer"}}}}}
LONG = '{"t": "%s", "u": 1}' % ("a" * 2000)


def others_are_answered_before(path, body):
    """While one client's answers are checked at length, another's requests come and go on the same loop thread."""
    busy = Server(config="threads: 1\n" + CONFIG.replace("- name: checked", "- {name: flowing-long, validate: {schema: true, buffer: false, "
                  "retries: 0}, targets: [{provider: openai, model: long}]}\n  - {name: long, validate: {schema: true}, targets: [{provider: "
                  "openai, model: long}]}\n  - name: checked"))
    order = []
    try:
        mock.reset()
        mock.script.update({"long": [ENDLESS], "a": [GOOD]})
        t = threading.Thread(target=lambda: order.append(busy.post(path, body)))
        t.start()
        wait_for(lambda: mock.count("long") >= 1, 10, "the hostile request upstream")
        for _ in range(5):
            r = busy.post("/v1/chat/completions", {"model": "one", "response_format": FORMAT, "messages": [{"role": "user", "content": "Who?"}]})
            order.append(r.status)
        t.join(60)
        equal(order[:5], [200] * 5)
        return order[5]
    finally:
        busy.stop()


def test_a_check_that_takes_long_holds_nobody_else():
    who = [{"role": "user", "content": "Who?"}]
    r = others_are_answered_before("/v1/chat/completions", {"model": "long", "response_format": HOSTILE, "messages": who})
    equal(r.status, 502, repr(r))
    check("bounds of one check" in r.text.decode(), repr(r))
    for path, body in [("/v1/chat/completions", {"response_format": HOSTILE}),
                       ("/v1/messages", {"max_tokens": 9, "output_config": {"format": {"type": "json_schema", "schema": HOSTILE["json_schema"]["schema"]}}})]:
        r = others_are_answered_before(path, {"model": "flowing-long", "stream": True, "messages": who, **body})
        last = [l for l in r.text.decode().splitlines() if l.startswith("data: ")][-1]
        check(r.status == 200 and "bounds of one check" in last and "finish_reason\": \"stop" not in r.text.decode(), last[:300])


def test_an_unheld_stream_with_a_slow_schema_is_shown_when_it_is_judged():
    mock.reset()
    mock.script["a"] = [LONG]
    lines = stream("flowing", response_format=SLOW)
    equal((text_of(lines), lines[-1]), (LONG, "[DONE]"))
    lines = stream("flowing", "/v1/messages", max_tokens=100, output_config={"format": {"type": "json_schema", "schema": SLOW["json_schema"]["schema"]}})
    events = [json.loads(l) for l in lines]
    equal("".join(e["delta"].get("text", "") for e in events if e["type"] == "content_block_delta"), LONG)
    equal(events[-1]["type"], "message_stop")
    equal(said(ask("one", response_format=SLOW)), LONG)


def test_a_schema_that_takes_long_to_read_is_read_elsewhere():
    mock.reset()
    mock.script["a"] = ['{"p7": "x7"}', GOOD]
    many = {"type": "object", "properties": {"p%d" % i: {"type": "string", "pattern": "^x%d$" % i} for i in range(2000)}}
    equal(said(ask("one", response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": many}})), '{"p7": "x7"}')
    e = ask("one", 400, response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {"properties": {"a": {"pattern": "(a"}}}}})
    check("#/properties/a/pattern" in e.text.decode(), repr(e))


def test_a_client_that_leaves_while_its_answer_is_checked_is_accounted_for():
    mock.reset()
    mock.script["a"] = [ENDLESS]
    before = requests("one")
    c = http.client.HTTPConnection("127.0.0.1", server.port)
    c.request("POST", "/v1/chat/completions", json.dumps({"model": "one", "response_format": HOSTILE, "messages": [{"role": "user", "content": "Who?"}]}),
              {"Content-Type": "application/json"})
    wait_for(lambda: mock.count("a") >= 1, 10, "the request upstream")
    c.close()
    wait_for(lambda: requests("one") > before, 10, "the request in the ledger")
    equal(mock.count("a"), 1)  # and nobody is asked again for it
    equal(server.get("/health").status, 200)


def requests(model):
    rows = server.get("/admin/usage?by=model", headers={"Authorization": "Bearer admin-7"}).json["rows"]
    return sum(x["requests"] for x in rows if x["model"] == model)


if __name__ == "__main__":
    try:
        main(sys.modules[__name__])
    finally:
        server.stop()

"""The official openai package against the local engine: streaming and not."""
import os, sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
import openai
from harness import Server, check, equal, main

server = Server()
client = openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0)
MESSAGES = [{"role": "user", "content": "What is a KV cache?"}]


def test_models():
    equal([m.id for m in client.models.list()], ["demo"])
    equal(client.models.retrieve("demo").id, "demo")


def test_chat_streaming_and_not():
    whole = client.chat.completions.create(model="demo", messages=MESSAGES, temperature=0, max_tokens=60)
    check(len(whole.choices[0].message.content) > 10)
    check(whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens)
    stream = client.chat.completions.create(model="demo", messages=MESSAGES, temperature=0, max_tokens=60, stream=True,
                                            stream_options={"include_usage": True})
    text, usage, finish = "", None, None
    for chunk in stream:
        if chunk.choices:
            text += chunk.choices[0].delta.content or ""
            finish = chunk.choices[0].finish_reason or finish
        usage = chunk.usage or usage
    equal(text, whole.choices[0].message.content)
    equal(finish, whole.choices[0].finish_reason)
    equal(usage.completion_tokens, whole.usage.completion_tokens)


def test_completions_streaming_and_not():
    whole = client.completions.create(model="demo", prompt="A KV cache", max_tokens=12, temperature=0)
    parts = client.completions.create(model="demo", prompt="A KV cache", max_tokens=12, temperature=0, stream=True)
    equal("".join(p.choices[0].text for p in parts if p.choices), whole.choices[0].text)


def test_logprobs_and_seed():
    a = client.chat.completions.create(model="demo", messages=MESSAGES, seed=5, temperature=1, logprobs=True, top_logprobs=2, max_tokens=8)
    b = client.chat.completions.create(model="demo", messages=MESSAGES, seed=5, temperature=1, logprobs=True, top_logprobs=2, max_tokens=8)
    equal(a.choices[0].message.content, b.choices[0].message.content)
    equal(len(a.choices[0].logprobs.content), a.usage.completion_tokens - (a.choices[0].finish_reason == "stop"))


def test_embeddings():
    one = client.embeddings.create(model="demo", input="What is a KV cache?")   # the SDK asks for base64
    many = client.embeddings.create(model="demo", input=["a", "What is a KV cache?"], encoding_format="float")
    equal([d.index for d in many.data], [0, 1])
    check(max(abs(a - b) for a, b in zip(one.data[0].embedding, many.data[1].embedding)) < 1e-7)
    check(abs(sum(x * x for x in one.data[0].embedding) - 1) < 1e-6)
    check(0 < one.usage.prompt_tokens == one.usage.total_tokens < many.usage.prompt_tokens)
    equal(len(client.embeddings.create(model="demo", input=[[1, 2], [3]], dimensions=5).data[1].embedding), 5)
    try:
        client.embeddings.create(model="demo", input="")
        check(False, "no error")
    except openai.BadRequestError as e:
        check("input 0 is empty" in str(e) and e.param == "input")


def test_errors_are_the_sdks_own():
    for model, error in (("none", openai.NotFoundError), ):
        try:
            client.chat.completions.create(model=model, messages=MESSAGES)
            check(False, "no error")
        except error as e:
            equal(e.code, "model_not_found")
    try:
        client.chat.completions.create(model="demo", messages=MESSAGES, temperature=1000)
        check(False, "no error")
    except openai.BadRequestError as e:
        check("temperature" in str(e))


def test_a_stream_can_be_left():
    stream = client.chat.completions.create(model="demo", messages=MESSAGES, stream=True, max_tokens=1000, extra_body={"ignore_eos": True})
    next(iter(stream))
    stream.close()
    equal(client.chat.completions.create(model="demo", messages=MESSAGES, max_tokens=3).choices[0].index, 0)


if __name__ == "__main__":
    try:
        main(sys.modules[__name__])
    finally:
        server.stop()

"""Embeddings of the local engine through the official SDKs of OpenAI and Google."""
import os, sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
import openai
from google import genai
from google.genai import errors, types
from harness import ROOT, Server, check, equal, main

server = Server("-m", "embed=" + os.path.join(ROOT, "tests", "golden", "models", "qwen3-embed.gguf"))
oai = openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0)
goo = genai.Client(api_key="none", http_options=types.HttpOptions(base_url=server.url, api_version="v1beta"))


def test_both_sdks_get_the_same_vectors():
    texts = ["one text", "and another"]
    want = [d.embedding for d in oai.embeddings.create(model="embed", input=texts, encoding_format="float").data]
    got = [e.values for e in goo.models.embed_content(model="embed", contents=texts).embeddings]
    equal(got, want)
    packed = [d.embedding for d in oai.embeddings.create(model="embed", input=texts).data]   # base64 on the wire
    check(max(abs(a - b) for x, y in zip(packed, want) for a, b in zip(x, y)) < 1e-7)
    short = goo.models.embed_content(model="embed", contents=texts[0], config=types.EmbedContentConfig(output_dimensionality=7))
    equal(short.embeddings[0].values, oai.embeddings.create(model="embed", input=texts[0], dimensions=7, encoding_format="float").data[0].embedding)


def test_errors_are_the_sdks_own():
    try:
        goo.models.embed_content(model="embed", contents="a", config=types.EmbedContentConfig(output_dimensionality=33))
        check(False, "no error")
    except errors.ClientError as e:
        equal(e.code, 400)
        check("32 numbers" in str(e), str(e))
    try:
        oai.embeddings.create(model="embed", input=["a", ""])
        check(False, "no error")
    except openai.BadRequestError as e:
        equal((e.param, "input 1 is empty" in str(e)), ("input", True))


if __name__ == "__main__":
    try:
        main(sys.modules[__name__])
    finally:
        server.stop()

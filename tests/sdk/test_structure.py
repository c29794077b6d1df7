"""Structured output through the helpers that applications use: openai's parse with pydantic, and instructor.

The demo model knows nothing of people: whatever parses here parses because the grammar holds it."""
import enum, os, sys
from typing import Optional

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
import instructor, openai
from harness import Server, check, equal, main
from mock_provider import Mock
from pydantic import BaseModel, ConfigDict, Field

mock = Mock()
server = Server(config="""
providers: [{name: openai, kind: openai, base_url: %s/v1, api_key: k}]
models:
  - {name: demo, targets: [{provider: local, model: demo}]}
  - {name: checked, validate: {schema: true, tools: true, retries: 1}, targets: [{provider: openai, model: a}]}
  - {name: escalated, validate: {schema: true, tools: true}, targets: [{provider: openai, model: a}, {provider: local, model: demo}]}
""" % mock.url)
client = openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0)
MESSAGES = [{"role": "user", "content": "Ann is 7 and likes red."}]


class Colour(enum.Enum):
    red = "red"
    blue = "blue"


class Pet(BaseModel):
    model_config = ConfigDict(extra="forbid")  # or the demo model adds properties until it is cut
    kind: Colour
    legs: int = Field(ge=0, le=8)


class Person(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str = Field(max_length=16)
    age: int = Field(ge=0, le=150)
    likes: list[Colour] = Field(max_length=2)
    pet: Optional[Pet]


def test_openai_parse_with_pydantic():
    for seed in range(3):
        r = client.chat.completions.parse(model="demo", messages=MESSAGES, response_format=Person, seed=seed, temperature=1.3, max_tokens=300)
        check(isinstance(r.choices[0].message.parsed, Person), r)


def test_openai_stream_with_pydantic():
    with client.chat.completions.stream(model="demo", messages=MESSAGES, response_format=Person, max_tokens=300) as stream:
        for _ in stream:
            pass
        check(isinstance(stream.get_final_completion().choices[0].message.parsed, Person))


def test_openai_strict_tools_are_parsed():
    tool = openai.pydantic_function_tool(Person, name="remember")
    r = client.chat.completions.parse(model="demo", messages=MESSAGES, tools=[tool], tool_choice="required", parallel_tool_calls=False,
                                      temperature=1.3, max_tokens=400)
    equal(r.choices[0].finish_reason, "tool_calls")
    check(isinstance(r.choices[0].message.tool_calls[0].function.parsed_arguments, Person), r)


def test_a_tool_loop_goes_round():
    tools = [openai.pydantic_function_tool(Pet, name="feed")]
    first = client.chat.completions.create(model="demo", messages=MESSAGES, tools=tools, tool_choice="required", parallel_tool_calls=False)
    message = first.choices[0].message
    Pet.model_validate_json(message.tool_calls[0].function.arguments)
    second = client.chat.completions.create(model="demo", tools=tools, tool_choice="none", max_tokens=30, messages=[
        *MESSAGES, message, {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "done"}])
    check(second.choices[0].message.content)


def test_instructor_in_its_modes():
    for mode in (instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA):
        c = instructor.from_openai(client, mode=mode)
        person = c.chat.completions.create(model="demo", messages=MESSAGES, response_model=Person, max_retries=0, max_tokens=400)
        check(isinstance(person, Person), mode)


def test_a_provider_that_fails_is_asked_again_or_the_engine_is():
    good = '{"name": "Ann", "age": 7, "likes": ["red"], "pet": null}'
    mock.reset()
    mock.script["a"] = ['{"name": "Ann", "age": "seven"}', good]
    r = client.chat.completions.parse(model="checked", messages=MESSAGES, response_format=Person)
    equal(r.choices[0].message.parsed.age, 7)
    equal(len(mock.requests), 2)
    mock.reset()
    mock.script["a"] = ["Ann is seven."]
    raw = client.chat.completions.with_raw_response.create(model="escalated", messages=MESSAGES, max_tokens=300, response_format={
        "type": "json_schema", "json_schema": {"name": "person", "schema": Person.model_json_schema()}})
    equal(raw.headers["x-sluice-provider"], "local")
    Person.model_validate_json(raw.parse().choices[0].message.content)


if __name__ == "__main__":
    try:
        main(sys.modules[__name__])
    finally:
        server.stop()

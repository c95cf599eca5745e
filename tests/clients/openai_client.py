"""The official OpenAI client against a Meridian gateway: `SCENARIO BASE_URL MODEL [COUNTRY]`.

Exits 0 and prints a line if everything is as a user of the client expects.
"""

import sys
import time

import openai

scenario, base_url, model, *country = sys.argv[1:]
client = openai.OpenAI(
    base_url=base_url,
    api_key="the-callers-own",
    max_retries=0,
    default_headers={"cf-ipcountry": country[0] if country else "US"},
)
question = [{"role": "user", "content": "hello"}]


def fails(error, status, call):
    """`call` raises exactly this class of the client's exceptions."""
    try:
        answer = call()
    except openai.APIStatusError as raised:
        assert type(raised) is error, f"{type(raised)} instead of {error}: {raised}"
        assert raised.status_code == status, raised
        assert raised.body and raised.body.get("message"), f"no message in the API's shape: {raised.response.text}"
        return raised
    raise AssertionError(f"no error but {answer}")


def works():
    chat = client.chat.completions.create(model=model, messages=question)
    assert chat.choices[0].message.content.split()[1] == "token0", chat
    assert chat.usage.completion_tokens == 8, chat
    stream = client.chat.completions.create(
        model=model, messages=question, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == chat.choices[0].message.content, text
    assert chunks[-1].usage.completion_tokens == 8, chunks[-1]
    completion = client.completions.create(model=model, prompt="hello")
    assert "token0" in completion.choices[0].text, completion
    response = client.responses.create(model=model, input="hello")
    assert "token0" in response.output_text, response
    models = [each.id for each in client.models.list()]
    assert model in models, models
    assert client.models.retrieve(model).id == model
    vectors = client.embeddings.create(model=model, input=["a", "b"], dimensions=16).data
    assert [len(vector.embedding) for vector in vectors] == [16, 16], vectors
    by = chat.choices[0].message.content.split()[0]
    return f"chat, stream, completion, response, models and embeddings by {by}"


def errors():
    def chat(**changes):
        return client.chat.completions.create(**{"model": model, "messages": question, **changes})

    unknown = fails(openai.NotFoundError, 404, lambda: chat(model="gpt-9"))
    assert unknown.code == "model_not_found" and model in unknown.message, unknown
    fails(openai.NotFoundError, 404, lambda: client.files.list())
    fails(openai.BadRequestError, 400, lambda: chat(extra_body={"stream": "maybe"}))
    eu = client.with_options(default_headers={"cf-ipcountry": "DE"})
    misdirected = fails(
        openai.APIStatusError, 421, lambda: eu.chat.completions.create(model=model, messages=question)
    )
    assert misdirected.code == "misdirected", misdirected
    return "404, 400 and 421 are its own exceptions"


def exhausted():
    unavailable = fails(
        openai.InternalServerError, 503, lambda: client.chat.completions.create(model=model, messages=question)
    )
    return f"everything down: {type(unavailable).__name__}"


def breaks():
    """A stream that breaks off is an exception, never an answer."""
    stream = client.chat.completions.create(model=model, messages=question, stream=True)
    words = 0
    try:
        for chunk in stream:
            words += bool(chunk.choices and chunk.choices[0].delta.content)
    except openai.APIError as raised:
        assert raised.message, raised
        how = type(raised)
    else:
        raise AssertionError(f"{words} words passed for an answer")
    assert words > 0, "not a word"
    return f"{how.__name__} after {words} words"


def whole():
    """A stream that lacks nothing but its last line is an answer, at once."""
    begun = time.monotonic()
    stream = client.chat.completions.create(model=model, messages=question, stream=True)
    chunks = list(stream)
    assert chunks[-1].choices[0].finish_reason, chunks[-1]
    assert time.monotonic() - begun < 5, "it was waited for"
    return f"whole after {len(chunks)} chunks"


city = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
weather = {"type": "function", "function": {"name": "weather", "parameters": city}}
clock = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}}}


def claude():
    """Claude answers, and nothing of the client changes."""

    def chat(**changes):
        return client.chat.completions.create(**{"model": model, "messages": question, **changes})

    def streamed(**changes):
        return list(chat(stream=True, stream_options={"include_usage": True}, **changes))

    whole = chat(messages=[{"role": "system", "content": "be brief"}, *question])
    text = whole.choices[0].message.content
    server = text.split()[0]
    assert text.startswith(f"{server} token0") and "system be brief" in text, whole
    assert "claude-" in whole.model and whole.choices[0].finish_reason == "stop", whole
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (7, 8), whole.usage
    assert whole.usage.prompt_tokens_details.cached_tokens == 4, whole.usage
    chunks = streamed()
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert said.startswith(f"{server} token0 token1"), said
    assert chunks[-1].usage.total_tokens == 15 and chunks[-1].choices == [], chunks[-1]
    assert chunks[-2].choices[0].finish_reason == "stop", chunks[-2]

    asked = chat(tools=[weather, clock], tool_choice="required")
    calls = asked.choices[0].message.tool_calls
    assert asked.choices[0].finish_reason == "tool_calls", asked
    assert [(call.function.name, call.function.arguments) for call in calls] == [
        ("weather", '{"city":"a city"}'),
        ("clock", "{}"),
    ], calls
    parts = {}
    for chunk in streamed(tools=[weather, clock]):
        for delta in (chunk.choices[0].delta.tool_calls or []) if chunk.choices else []:
            name, arguments = parts.get(delta.index, ("", ""))
            parts[delta.index] = (name + (delta.function.name or ""), arguments + (delta.function.arguments or ""))
    assert parts == {0: ("weather", '{"city":"a city"}'), 1: ("clock", "{}")}, parts
    one = chat(tools=[weather, clock], parallel_tool_calls=False).choices[0].message.tool_calls
    assert [call.function.name for call in one] == ["weather"], one
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": f"{call.function.name}: 12"} for call in calls
    ]
    answer = chat(tools=[weather, clock], messages=[*question, asked.choices[0].message, *results])
    said = answer.choices[0].message.content
    assert "weather: 12" in said and "clock: 12" in said, said

    images = [
        {"type": "text", "text": "what is this?"},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,AAAA"}},
    ]
    if country == ["DE"]:
        # For a pinned zone the provider fetches nothing.
        remote = fails(openai.BadRequestError, 400, lambda: chat(messages=[{"role": "user", "content": images}]))
        assert remote.param == "messages[0].content[1].image_url.url", remote
        images.pop(1)
    seen = chat(messages=[{"role": "user", "content": images}]).choices[0].message.content
    assert ("https://example.com/a.png" in seen) == (country != ["DE"]) and "image/jpeg" in seen, seen
    schema = {"name": "city", "schema": {**city, "additionalProperties": False}, "strict": True}
    formatted = chat(response_format={"type": "json_schema", "json_schema": schema})
    assert formatted.choices[0].message.content == '{"city":"a city"}', formatted
    any_object = chat(response_format={"type": "json_object"}).choices[0].message.content
    assert "a single JSON object" in any_object, any_object

    refused = fails(openai.BadRequestError, 400, lambda: chat(n=2))
    assert refused.param == "n", refused
    fails(openai.BadRequestError, 400, lambda: chat(logprobs=True))
    fails(openai.InternalServerError, 503, lambda: client.embeddings.create(model=model, input="x"))
    fails(openai.InternalServerError, 503, lambda: client.completions.create(model=model, prompt="x"))
    return f"chat, stream, usage, tools there and back, images, JSON schema and refusals by {whole.model} of {server}"


def redirected():
    # Its transport follows redirects.
    fails(openai.InternalServerError, 502, lambda: client.chat.completions.create(model=model, messages=question))
    fails(openai.InternalServerError, 502, lambda: client.responses.create(model=model, input="hello"))
    fails(openai.InternalServerError, 502, lambda: client.embeddings.create(model=model, input="hello"))
    return "a redirect is an error of the API"


def limited():
    raised = fails(
        openai.RateLimitError, 429, lambda: client.chat.completions.create(model=model, messages=question)
    )
    return f"{type(raised).__name__}, again after {raised.response.headers['retry-after']} s"


scenarios = {
    "claude": claude,
    "limited": limited,
    "redirected": redirected,
    "works": works,
    "errors": errors,
    "exhausted": exhausted,
    "breaks": breaks,
    "whole": whole,
}
print(scenarios[scenario]())

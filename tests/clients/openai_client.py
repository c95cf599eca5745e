"""The official OpenAI client against a Meridian gateway: `SCENARIO BASE_URL MODEL`.

Exits 0 and prints a line if everything is as a user of the client expects.
"""

import sys
import time

import openai

scenario, base_url, model = sys.argv[1:]
client = openai.OpenAI(
    base_url=base_url,
    api_key="the-callers-own",
    max_retries=0,
    default_headers={"cf-ipcountry": "US"},
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


scenarios = {"works": works, "errors": errors, "exhausted": exhausted, "breaks": breaks, "whole": whole}
print(scenarios[scenario]())

"""The official Anthropic client: `SCENARIO BASE_URL API_KEY MODEL [COUNTRY]`.

`api`, `vertex` and `bedrock` say what the Messages API is, as Anthropic, Google and AWS have it: each runs against a fake of
that API, so that the fake does not drift.
`native` is a caller of a Meridian gateway that speaks the Messages API itself.

Exits 0 and prints a line if everything is as a user of the client expects.
"""

import sys

import anthropic

scenario, base_url, api_key, model, *country = sys.argv[1:]
headers = {"cf-ipcountry": country[0] if country else "US"}
if scenario == "bedrock":
    client = anthropic.AnthropicBedrock(
        base_url=base_url, api_key=api_key, aws_region="eu-central-1", max_retries=0
    )
elif scenario == "vertex":
    client = anthropic.AnthropicVertex(
        base_url=f"{base_url}/v1", access_token=api_key, project_id="p1", region="eu", max_retries=0
    )
else:
    client = anthropic.Anthropic(base_url=base_url, api_key=api_key, max_retries=0, default_headers=headers)
question = {"role": "user", "content": "hello"}
tool = {
    "name": "weather",
    "description": "the weather in a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def ask(**changes):
    return {"model": model, "max_tokens": 100, "messages": [question], **changes}


def fails(error, **changes):
    try:
        answer = client.messages.create(**ask(**changes))
    except anthropic.APIStatusError as raised:
        assert type(raised) is error, f"{type(raised)} instead of {error}: {raised}"
        said = raised.body if scenario == "bedrock" else raised.body["error"]
        assert said["message"], raised.body
        return
    raise AssertionError(f"no error but {answer}")


def text_of(message):
    return "".join(block.text for block in message.content if block.type == "text")


def works():
    message = client.messages.create(**ask(system=[{"type": "text", "text": "be brief"}]))
    assert message.stop_reason == "end_turn" and "token0" in text_of(message), message
    assert message.usage.input_tokens > 0 and message.usage.output_tokens > 0, message.usage
    with client.messages.stream(**ask()) as stream:
        text = "".join(stream.text_stream)
        whole = stream.get_final_message()
    assert "token0" in text and text == text_of(whole), (text, whole)
    assert whole.stop_reason == "end_turn" and whole.usage.output_tokens > 0, whole
    return message, whole


def api():
    works()
    message = client.messages.create(**ask(tools=[tool], tool_choice={"type": "any"}))
    call = message.content[0]
    assert message.stop_reason == "tool_use" and call.input == {"city": "a city"}, message
    with client.messages.stream(**ask(tools=[tool])) as stream:
        streamed = stream.get_final_message()
    assert streamed.content[0].input == call.input, streamed
    result = {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "12"}]}
    turns = [
        question,
        {"role": "assistant", "content": [call.to_dict()]},
        {"role": "user", "content": [result]},
    ]
    answer = client.messages.create(**ask(tools=[tool], messages=turns))
    assert "12" in text_of(answer), answer
    schema = {"type": "json_schema", "schema": tool["input_schema"]}
    formatted = client.messages.create(**ask(output_config={"format": schema}))
    assert text_of(formatted) == '{"city":"a city"}', formatted
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    pictured = client.messages.create(**ask(messages=[{"role": "user", "content": [image]}]))
    assert "image/png" in text_of(pictured), pictured
    blank = {"role": "user", "content": [{"type": "text", "text": " "}]}
    fails(anthropic.BadRequestError, messages=[blank])
    fails(anthropic.BadRequestError, messages=turns[:2] + [question])
    fails(anthropic.BadRequestError, extra_body={"n": 1})
    fails(anthropic.NotFoundError, model="claude-none")
    return "the fake is what the client takes for the API"


def native():
    message, whole = works()
    for each in (message, whole):
        assert each.model != model, f"{each.model} does not tell who answered"
    counted = client.messages.create(**ask(tools=[tool]))
    assert counted.content[0].name == "weather", counted
    return f"messages, whole and streamed, by {message.model}"


print({"api": api, "vertex": api, "bedrock": api, "native": native}[scenario]())

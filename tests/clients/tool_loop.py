"""A loop of five tool calls by the official clients: `BASE_URL MODEL COUNTRY [STREAMED]`.

The model calls a tool five times, one call a turn, and then answers. The loop runs by the Responses API, Chat Completions and the
Messages API, each whole and streamed, and once more with the first call made by a pool: with the thinking of vLLM and the ids of Kimi.
Exits 0 and prints a line if every turn is as a user of the clients expects.
"""

import itertools
import json
import sys
import uuid

import anthropic
import openai

base_url, model, country = sys.argv[1:]
headers = {"cf-ipcountry": country}
gpt = openai.OpenAI(base_url=f"{base_url}/v1", api_key="the-callers-own", max_retries=0, default_headers=headers)
claude = anthropic.Anthropic(base_url=base_url, api_key="the-callers-own", max_retries=0, default_headers=headers)

question = "what is the weather, in five steps?"
city = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TURNS = 5
POOLS_ID = "functions.weather:0"
THOUGHT = "It is about the weather."


def result(turn, arguments):
    assert arguments == {"city": "a city"}, arguments
    return f"it is {turn} degrees"


def answered(text):
    for turn in range(TURNS):
        assert f"it is {turn} degrees" in text, text


def responses(stream, begun):
    tools = [{"type": "function", "name": "weather", "parameters": city, "strict": False}]
    items = [{"role": "user", "content": question}]
    if begun:
        items += [
            {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": THOUGHT}]},
            {"type": "function_call", "call_id": POOLS_ID, "name": "weather", "arguments": json.dumps({"city": "a city"})},
            {"type": "function_call_output", "call_id": POOLS_ID, "output": result(0, {"city": "a city"})},
        ]
    for turn in range(begun, TURNS + 1):
        ask = {"model": model, "input": items, "tools": tools, "instructions": "be brief", "store": False}
        if stream:
            with gpt.responses.stream(**ask) as events:
                seen = list(events)
                response = events.get_final_response()
            numbers = [event.sequence_number for event in seen]
            assert numbers == list(range(len(numbers))), numbers
            assert seen[-1].type == "response.completed", seen[-1]
        else:
            response = gpt.responses.create(**ask)
        assert response.status == "completed" and "claude-" in response.model, response
        assert response.usage.input_tokens == 7 and response.usage.input_tokens_details.cached_tokens == 4, response
        calls = [item for item in response.output if item.type == "function_call"]
        if turn == TURNS:
            answered(response.output_text)
            assert not calls, calls
            return
        (call,) = calls
        output = result(turn, json.loads(call.arguments))
        items += [item.to_dict() for item in response.output]
        items.append({"type": "function_call_output", "call_id": call.call_id, "output": output})


def chat(stream, begun):
    tools = [{"type": "function", "function": {"name": "weather", "parameters": city}}]
    messages = [{"role": "user", "content": question}]
    if begun:
        call = {"id": POOLS_ID, "type": "function", "function": {"name": "weather", "arguments": json.dumps({"city": "a city"})}}
        messages.append({"role": "assistant", "content": None, "reasoning_content": THOUGHT, "tool_calls": [call]})
        messages.append({"role": "tool", "tool_call_id": POOLS_ID, "content": result(0, {"city": "a city"})})
    for turn in range(begun, TURNS + 1):
        ask = {"model": model, "messages": messages, "tools": tools}
        if stream:
            with gpt.chat.completions.stream(**ask) as events:
                for _ in events:
                    pass
                completion = events.get_final_completion()
        else:
            completion = gpt.chat.completions.create(**ask)
        message = completion.choices[0].message
        if turn == TURNS:
            answered(message.content)
            assert not message.tool_calls, message
            return
        (call,) = message.tool_calls
        output = result(turn, json.loads(call.function.arguments))
        call = {"id": call.id, "type": "function", "function": {"name": "weather", "arguments": call.function.arguments}}
        messages.append({"role": "assistant", "tool_calls": [call]})
        messages.append({"role": "tool", "tool_call_id": call["id"], "content": output})


def messages(stream, begun):
    tools = [{"name": "weather", "input_schema": city, "defer_loading": False}]
    turns = [{"role": "user", "content": question}]
    if begun:
        thinking = {"type": "thinking", "thinking": THOUGHT, "signature": uuid.uuid4().hex}
        call = {"type": "tool_use", "id": POOLS_ID, "name": "weather", "input": {"city": "a city"}}
        output = {"type": "tool_result", "tool_use_id": POOLS_ID, "content": result(0, call["input"])}
        turns += [{"role": "assistant", "content": [thinking, call]}, {"role": "user", "content": [output]}]
    for turn in range(begun, TURNS + 1):
        ask = {
            "model": model,
            "max_tokens": 100,
            "messages": turns,
            "tools": tools,
            "thinking": {"type": "adaptive"},
            "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
            "output_config": {"effort": "high"},
            "betas": ["claude-code-20250219", "context-management-2025-06-27", "context-1m-2025-08-07"],
        }
        if stream:
            with claude.beta.messages.stream(**ask) as events:
                message = events.get_final_message()
        else:
            message = claude.beta.messages.create(**ask)
        calls = [block for block in message.content if block.type == "tool_use"]
        if turn == TURNS:
            answered("".join(block.text for block in message.content if block.type == "text"))
            assert not calls, calls
            return
        (call,) = calls
        output = result(turn, call.input)
        turns.append({"role": "assistant", "content": [block.to_dict() for block in message.content]})
        turns.append({"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": output}]})


loops = [responses, chat, messages]
for loop in loops:
    for stream, begun in itertools.product([False, True], [0, 1]):
        try:
            loop(stream, begun)
        except Exception as error:
            raise AssertionError(f"{loop.__name__}, stream: {stream}, begun by a pool: {begun}") from error
names = ", ".join(loop.__name__ for loop in loops)
print(f"{TURNS} tool calls, one after the other, by {names}, whole and streamed, begun by Claude or by a pool")

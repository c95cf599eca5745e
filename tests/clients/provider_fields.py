"""Every field of the requests that the official clients know, and every type of tools, items and content, has a row in
`tests/fixtures/provider-fields.txt`.

usage: provider_fields.py FIXTURE

Prints what has none, a line each, and then fails.
"""

import sys
import typing

from anthropic.types.beta import message_create_params as messages
from openai.types.chat import completion_create_params as chat
from openai.types.responses import response_create_params as responses
from typing_extensions import get_type_hints, is_typeddict

REQUESTS = {
    "/v1/chat/completions": chat.CompletionCreateParamsBase,
    "/v1/responses": responses.ResponseCreateParamsBase,
    "/v1/messages": messages.MessageCreateParamsBase,
}

# The gateway chooses the model. Betas are a header.
OURS = {"model", "betas"}

# Lists whose elements have types.
TYPED = ("tools[]", "tools[].tools[]", "input[]", "input[].content[]", "messages[].content[]")


def elements(kind):
    """The objects that a type may be, or a list of it may hold."""
    if is_typeddict(kind):
        return [kind]
    return [inner for part in typing.get_args(kind) for inner in elements(part)]


def literals(kind):
    if typing.get_origin(kind) is typing.Literal:
        return set(typing.get_args(kind))
    return set().union(*map(literals, typing.get_args(kind)))


def at(kinds, field):
    """The objects in a field of any of these objects."""
    hints = [get_type_hints(kind) for kind in kinds]
    return [inner for hint in hints if field in hint for inner in elements(hint[field])]


def rows_of(request):
    """The rows that a request needs; one of several, where a field may stand for all that it holds."""
    for field in get_type_hints(request):
        if field not in OURS:
            yield field, lambda row, field=field: row == field or row.startswith((f"{field}.", f"{field}[", f"{field}:"))
    for path in TYPED:
        kinds = [request]
        for field in path.split("."):
            kinds = at(kinds, field.removesuffix("[]"))
        types = set().union(*(literals(get_type_hints(kind).get("type")) for kind in kinds))
        for kind in sorted(types):
            yield f"{path}.type: {kind}", lambda row, path=path, kind=kind: row == f"{path}.type: {kind}"


def main():
    lines = [line.split("\t") for line in open(sys.argv[1]) if not line.startswith("#")]
    missing, known = [], 0
    for path, request in REQUESTS.items():
        rows = [line[1] for line in lines if line[0] == path]
        for name, is_row in rows_of(request):
            known += 1
            if not any(map(is_row, rows)):
                missing.append(f"{path} {name}")
    print("\n".join(missing) or f"{known} fields and types")
    sys.exit(bool(missing) or known < 200)


main()

"""gRPC's own xDS client, against a control plane of ours.

`serve NAME`           a gRPC server that answers every call with its name and what it was sent; prints its port
`call TARGET`          calls TARGET, resolved by xDS (GRPC_XDS_BOOTSTRAP), for each line of stdin `N`: N calls, and prints
                       who answered how often as JSON

Exits other than 0 if a call fails.
"""

import collections
import concurrent.futures
import json
import sys

import grpc
from google.protobuf import wrappers_pb2

METHOD = "/meridian.test.Echo/Say"
TEXT = wrappers_pb2.StringValue


def serve(name):
    def say(request, _context):
        return TEXT(value=f"{name} {request.value}")

    handler = grpc.unary_unary_rpc_method_handler(
        say, request_deserializer=TEXT.FromString, response_serializer=TEXT.SerializeToString
    )
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=4))
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("meridian.test.Echo", {"Say": handler})]
    )
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    sys.stdin.read()  # Until whoever started it is gone.
    server.stop(0)


def call(target):
    with grpc.insecure_channel(target) as channel:
        say = channel.unary_unary(
            METHOD, request_serializer=TEXT.SerializeToString, response_deserializer=TEXT.FromString
        )
        for line in sys.stdin:
            answered = collections.Counter()
            for number in range(int(line)):
                answer = say(TEXT(value=str(number)), timeout=20, wait_for_ready=True).value
                name, echoed = answer.split()
                assert echoed == str(number), answer
                answered[name] += 1
            print(json.dumps(answered), flush=True)


{"serve": serve, "call": call}[sys.argv[1]](sys.argv[2])

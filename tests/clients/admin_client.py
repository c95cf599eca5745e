"""gRPC's own client, against the admin API: `meridian.admin.v1.Admin`.

`DESCRIPTORS TARGET [CA TOKEN]`: the compiled contract, `host:port`, and for TLS the authority's file and a token.

Reads calls from stdin, one a line: `METHOD JSON`. Prints each answer as a line of JSON: `{"ok": ...}`, or `{"code": ..., "says": ...}`.
"""

import json
import sys

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

SERVICE = "meridian.admin.v1.Admin"


def contract(path):
    descriptors = descriptor_pb2.FileDescriptorSet()
    with open(path, "rb") as file:
        descriptors.ParseFromString(file.read())
    pool = descriptor_pool.DescriptorPool()
    for file in descriptors.file:
        pool.Add(file)
    return pool.FindServiceByName(SERVICE)


def channel(target, credentials):
    if not credentials:
        return grpc.insecure_channel(target)
    ca, token = credentials
    with open(ca, "rb") as file:
        tls = grpc.ssl_channel_credentials(file.read())
    if token:
        tls = grpc.composite_channel_credentials(tls, grpc.access_token_call_credentials(token))
    return grpc.secure_channel(target, tls)


def call(connection, method, text):
    wanted = message_factory.GetMessageClass(method.input_type)
    answer = message_factory.GetMessageClass(method.output_type)
    stub = connection.unary_unary(
        f"/{SERVICE}/{method.name}",
        request_serializer=wanted.SerializeToString,
        response_deserializer=answer.FromString,
    )
    try:
        said = stub(json_format.ParseDict(json.loads(text), wanted()), timeout=20)
    except grpc.RpcError as error:
        return {"code": error.code().name, "says": error.details()}
    return {"ok": json_format.MessageToDict(said, preserving_proto_field_name=True)}


def main():
    descriptors, target, *credentials = sys.argv[1:]
    methods = contract(descriptors).methods_by_name
    with channel(target, credentials) as connection:
        for line in sys.stdin:
            name, text = line.split(" ", 1)
            print(json.dumps(call(connection, methods[name], text)), flush=True)


main()

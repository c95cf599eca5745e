// gRPC's xDS client for Node, against a control plane of ours: another implementation of the protocol than grpcio's.
//
// `serve NAME`     a gRPC server that answers every call with its name and what it was sent; prints its port
// `call TARGET`    calls TARGET, resolved by xDS (GRPC_XDS_BOOTSTRAP_CONFIG), for each line of stdin `N`: N calls, and prints who
//                  answered how often as JSON
//
// Exits other than 0 if a call fails.
"use strict";
const assert = require("node:assert");
const readline = require("node:readline");
const grpc = require("@grpc/grpc-js");

const say = {
  path: "/meridian.test.Echo/Say",
  requestStream: false,
  responseStream: false,
  requestSerialize: Buffer.from,
  requestDeserialize: String,
  responseSerialize: Buffer.from,
  responseDeserialize: String,
};

function serve(name) {
  const server = new grpc.Server();
  server.addService({ Say: say }, { Say: (call, answer) => answer(null, `${name} ${call.request}`) });
  server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, port) => {
    if (error) throw error;
    console.log(port);
  });
  // Until whoever started it is gone.
  process.stdin.on("end", () => process.exit(0)).resume();
}

async function call(target) {
  require("@grpc/grpc-js-xds").register();
  const Echo = grpc.makeGenericClientConstructor({ Say: say }, "Echo");
  const client = new Echo(target, grpc.credentials.createInsecure());
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const answered = {};
    for (let number = 0; number < Number(line); number++) {
      const metadata = new grpc.Metadata({ waitForReady: true });
      const text = await new Promise((resolve, reject) => {
        const options = { deadline: Date.now() + 20_000 };
        client.Say(String(number), metadata, options, (error, text) => (error ? reject(error) : resolve(text)));
      });
      const [name, echoed] = text.split(" ");
      assert.equal(echoed, String(number));
      answered[name] = (answered[name] ?? 0) + 1;
    }
    console.log(JSON.stringify(answered));
  }
  process.exit(0);
}

const [command, argument] = process.argv.slice(2);
({ serve, call })[command](argument);

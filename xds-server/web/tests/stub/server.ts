// Serves the built page and a fleet as `meridian serve` does, with the content security policy that it has. With a token, only who sends it
// gets anything but the page itself.
import { createReadStream, existsSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import type { Action, Decision } from "../../src/api/types.ts";
import { Fleet } from "./fleet.ts";

const PAGE = fileURLToPath(new URL("../../../../target/page", import.meta.url));
const KINDS: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".md": "text/markdown; charset=utf-8",
};
const POLICY = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
const FILTERS = ["gateway", "zone", "model", "region", "lane", "outcome", "request_id"] as const;
/** How often a stream sends the status, in milliseconds. The real one does every two seconds. */
const EVERY = 500;

export interface Stub {
  server: Server;
  fleet: Fleet;
  /** Ends all streams, and refuses new ones while it is away. */
  setAway(away: boolean): void;
}

export function stub(token?: string): Stub {
  const fleet = new Fleet();
  const streams = new Set<ServerResponse>();
  let away = false;
  const timer = setInterval(() => {
    const { decisions, plans } = fleet.step(Date.now());
    for (const stream of streams) {
      event(stream, "status", fleet.report);
      if (decisions.length > 0) event(stream, "decisions", decisions);
      if (plans.length > 0) event(stream, "plan", plans);
    }
  }, EVERY);

  const server = createServer((request, response) => {
    const url = new URL(request.url ?? "/", "http://stub");
    if (away) return void response.destroy();
    if (request.method === "PATCH" && url.pathname === "/behaviour") return void behave(request, response, fleet);
    if (!url.pathname.startsWith("/v1/")) return file(url.pathname, response);
    if (token && request.headers.authorization !== `Bearer ${token}`) {
      return json(response, 401, { errors: ["send a token (`authorization: Bearer TOKEN`) or a client certificate"] });
    }
    if (url.pathname === "/v1/events") {
      response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
      streams.add(response);
      response.on("close", () => streams.delete(response));
      return event(response, "status", fleet.report);
    }
    if (request.method === "POST") return void posted(url.pathname, request, response, fleet);
    return read(url, response, fleet);
  });
  server.on("close", () => clearInterval(timer));
  const setAway = (value: boolean) => {
    away = value;
    if (away) for (const stream of streams) stream.destroy();
  };
  return { server, fleet, setAway };
}

function event(stream: ServerResponse, name: string, data: unknown) {
  stream.write(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`);
}

function json(response: ServerResponse, status: number, body: unknown) {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

function file(path: string, response: ServerResponse) {
  const name = `${PAGE}${path === "/" ? "/index.html" : path}`;
  if (path.includes("..") || !existsSync(name)) return json(response, 404, { errors: [`there is nothing at \`${path}\``] });
  response.writeHead(200, { "content-type": KINDS[extname(name)] ?? "application/octet-stream", "content-security-policy": POLICY });
  createReadStream(name).pipe(response);
}

async function body<T>(request: IncomingMessage): Promise<T> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return JSON.parse(Buffer.concat(parts).toString()) as T;
}

/** The same control that the fake servers of the demo have, for us-west-2. */
async function behave(request: IncomingMessage, response: ServerResponse, fleet: Fleet) {
  const { kv_cache_usage } = await body<{ kv_cache_usage: number }>(request);
  fleet.load["us-west-2"] = kv_cache_usage;
  json(response, 200, {});
}

function read(url: URL, response: ServerResponse, fleet: Fleet) {
  const { searchParams } = url;
  const last = Number(searchParams.get("last") ?? searchParams.get("limit") ?? 1000);
  const after = Number(searchParams.get("after") ?? 0);
  const fits = (decision: Decision) => FILTERS.every((name) => {
      const wanted = searchParams.get(name);
      return wanted === null || wanted === decision[name] || (name === "region" && decision.attempts.some((it) => it.to === wanted));
    });
  switch (url.pathname) {
    case "/v1/status":
      return json(response, 200, fleet.report);
    case "/v1/decisions":
      return json(response, 200, {
        decisions: fleet.decisions.filter((it) => it.number > after && fits(it)).slice(-last),
        newest: fleet.decisions.at(-1)?.number,
      });
    case "/v1/plans":
      return json(response, 200, { plans: fleet.plans.filter((it) => it.number > after).slice(-last) });
    case "/v1/series":
      return json(response, 200, fleet.series());
    case "/v1/audit":
      return json(response, 200, { records: fleet.audit.filter((it) => it.number > after), broken_at: null });
    default:
      return json(response, 404, { errors: [`there is nothing at \`${url.pathname}\``] });
  }
}

async function posted(path: string, request: IncomingMessage, response: ServerResponse, fleet: Fleet) {
  const now = Date.now();
  if (path === "/v1/explain") {
    const { country, gateway } = await body<{ country?: string; gateway: string }>(request);
    return json(response, 200, fleet.explanation(country, gateway));
  }
  if (path === "/v1/intents") {
    const wanted = await body<{ action: Action; by: string; why: string; for: string; force?: boolean }>(request);
    const errors = fleet.objections(wanted.action);
    if (errors.length > 0 && !wanted.force) return json(response, 409, { errors, may_be_forced: true });
    return json(response, 201, fleet.create(wanted.action, wanted.by, wanted.why, wanted.for, errors, now));
  }
  const number = /^\/v1\/intents\/(\d+)\/undo$/.exec(path)?.[1];
  const { by, why } = await body<{ by: string; why: string }>(request);
  const record = fleet.undo(Number(number), by, why, now);
  return record ? json(response, 200, record) : json(response, 404, { errors: [`there is no intent ${number}`] });
}

// What the page uses of the control plane's answers. `GET /v1/openapi.json` has the whole.

/** Milliseconds since the Unix epoch. */
export type Millis = number;

export type Lane = "home" | "overflow" | "fresh" | "batch" | "fallback";

export interface ErrorReport {
  at: Millis;
  message: string;
}

export interface Alarm {
  region: string;
  kind: string;
  message: string;
}

export interface Signals {
  utilization: { now: number; low: number; peak: number } | null;
  running: number | null;
  waiting: number | null;
  kv_cache: number | null;
  /** Seconds. */
  first_token_p95: number | null;
  /** 0 to 1. */
  error_rate: number | null;
  /** Seconds. */
  replication_lag: number | null;
  /** Requests per second. */
  comes: number | null;
  gpu: { busy: number | null; engine_active: number | null };
  /** Healthy ones, and all. */
  endpoints: [number, number] | null;
  stale: boolean;
  partial: boolean;
}

export interface Pool {
  signals: Signals;
  health: { down: boolean; reasons: string[] };
  /** Percent of the batch requests that it takes. */
  batch: number;
  /** Requests per second of the region's own callers, by zone. */
  demand: Record<string, number>;
}

export interface Attempts {
  gateway: string;
  zone: string;
  model: string;
  lane: Lane;
  to: string;
  counts: { answered: number; overloaded: number; failed: number; broken: number };
}

export interface Source {
  url: string;
  heard: Millis | null;
  error: string | null;
  failures: Record<string, number>;
  refused: string[];
  refusals: Record<string, number>;
  /** When its certificates end, in seconds since the Unix epoch. */
  certificates: Record<string, number>;
}

export interface Region {
  /** Degrees. */
  location?: { latitude: number; longitude: number } | null;
  pools: Record<string, Pool>;
  data: { lag: number | null; behind: boolean; role: string | null; serves: string | null };
  /** Envoys that share its part of the budgets. */
  budgeted: number | null;
  attempts: Attempts[];
  sources: Record<string, Source>;
}

export interface Placement {
  /** Percent of the requests that the first region keeps. */
  home_share: number;
  /** The regions that take the others, by weight. */
  overflow: Record<string, number>;
  step?: { at: Millis; saw: number; expected: number };
  without_effect?: boolean;
}

export type Action =
  | { kind: "drain"; region: string; model?: string; hard?: boolean }
  | { kind: "override"; gateway: string; zone: string; model: string; home_share: number; overflow: Record<string, number> }
  | { kind: "freeze" };

export interface Intent {
  action: Action;
  by: string;
  why: string;
  created: Millis;
  expires: Millis;
  /** What spoke against it. */
  forced?: string[];
}

export interface XdsType {
  acked: string | null;
  in_flight: string | null;
  refused: string | null;
  nack: string | null;
}

export interface Envoy {
  node: string;
  region: string;
  remote: string;
  protocol: string;
  user_agent: string;
  connected: Millis;
  /** When the certificate of this connection ends, in seconds since the Unix epoch. */
  certificate: number | null;
  types: Record<string, XdsType>;
}

export interface Replica {
  name: string;
  own: boolean;
  version: string;
  since: Millis;
  regions: string[];
  differs: boolean;
  unable: boolean;
}

export interface Replicas {
  store: string;
  name: string;
  up: boolean;
  since: Millis;
  error: string | null;
  leads: boolean;
  leader: { name: string; since: Millis } | null;
  revision: number;
  unable: string | null;
  replicas: Replica[];
}

/** A residency zone of the fleet in force. */
export interface Zone {
  pinned: boolean;
  regions: string[];
  fallbacks: string[];
  /** The definition that gateways follow. */
  definition?: string;
  /** Some of its countries. */
  countries?: string[];
}

/** A hosted provider of the fleet in force. */
export interface Fallback {
  provider: string;
  jurisdiction: string[];
  budget?: { requests_per_minute?: number | null; usd_per_hour?: number | null } | null;
  /** Dollars since the gateways started. */
  spent_usd?: number | null;
  /** Requests that no budget was left for. */
  over_budget?: number | null;
  /** Answers from outside of its jurisdiction. */
  misplaced?: number | null;
}

export interface Report {
  at: Millis;
  version: string;
  fleet: { file: string; since: Millis; error: ErrorReport | null; kept: string[] };
  unpublished: ErrorReport | null;
  regions: Record<string, Region>;
  zones?: Record<string, Zone>;
  fallbacks?: Record<string, Fallback>;
  placements: Record<string, Record<string, Record<string, Placement>>>;
  intents: Record<string, Intent>;
  replicas: Replicas | null;
  api: { operators: number; error: ErrorReport | null; refused: Record<string, number> } | null;
  envoys: Envoy[];
  certificates: {
    own: Record<string, number>;
    error: ErrorReport | null;
    refused: Record<string, number>;
    last_refused: { at: Millis; remote: string; reason: string; message: string } | null;
  };
  alarms: Alarm[];
  counts: { publications: number; unpublished: number; reloads: number; bad_edits: number; nacks: Record<string, number> };
}

export type DecisionOutcome = "answered" | "refused" | "failed" | "broken" | "left";

export interface Attempt {
  /** A region, or `fallback/<name>`. */
  to: string;
  /** The endpoint's, `-` if there was none. */
  address: string;
  end: string;
  /** None for the only attempt, which the times of the request tell. */
  ms?: number;
}

/** A request, as its gateway decided it. */
export interface Decision {
  number: number;
  at: Millis;
  gateway: string;
  request_id: string;
  zone?: string;
  by?: string;
  model?: string;
  lane?: Lane;
  outcome: DecisionOutcome;
  /** What the caller got; 0 if nothing. */
  status: number;
  refused?: string;
  /** How the answer broke off. */
  broken?: string;
  /** The region or fallback that was tried last. */
  region?: string;
  attempts: Attempt[];
  tokens?: { prompt: number; completion: number; cached: number };
  first_byte_ms?: number;
  duration_ms?: number;
  bytes_in: number;
  bytes_out: number;
  /** The response header `x-meridian-decision`. */
  decision: string;
  /** It is one of a few ordinary requests. */
  sampled: boolean;
}

/** What the control plane moved at one time. */
export interface PlanRecord {
  number: number;
  at: Millis;
  why: "start" | "edit" | "intent" | "signals" | "planner";
  moves: Move[];
  /** Moves that are left out. */
  more: number;
}

export interface MovedShare {
  home_share: number;
  overflow: Record<string, number>;
}

export interface Condition {
  down: boolean;
  reasons: string[];
}

export interface Crossing {
  signal: "utilization" | "queue" | "first_token" | "errors" | "replication_lag" | "endpoints";
  region: string;
  model?: string;
  value: number;
  limit: number;
}

/** What moved something. */
export type Cause =
  | ({ kind: "above" | "below" } & Crossing)
  | { kind: "silent" | "reporting" | "pool_left" | "pool_returned"; region: string; model: string }
  | { kind: "intent" | "intent_ended"; number: number }
  | { kind: "edit" };

/** One thing that a plan moved, and what moved it. */
export type Move = { causes: Cause[] } & (
  | { kind: "placement"; gateway: string; zone: string; model: string; before: MovedShare | null; after: MovedShare | null }
  | { kind: "health"; region: string; model: string; before: Condition | null; after: Condition | null }
  | { kind: "batch_gate"; region: string; model: string; before: number; after: number }
  | { kind: "freshness"; region: string; behind: boolean }
  | { kind: "retrieval"; region: string; before: string; after: string }
);

export const SIGNALS = ["utilization", "waiting", "first_token_p95", "error_rate", "replication_lag"] as const;
export type Signal = (typeof SIGNALS)[number];

export type SeriesOfPool = { at: Millis[] } & Record<Signal, (number | null)[]>;

export interface Series {
  step_ms: number;
  limits: Partial<Record<Signal, number | null>>;
  pools: Record<string, Record<string, SeriesOfPool>>;
}

export interface AuditRecord {
  number: number;
  at: Millis;
  change: "created" | "undone" | "expired";
  by: string;
  from: string;
  why: string;
  before: [number, Intent] | null;
  after: Intent | null;
  hash: string;
}

export interface Audit {
  records: AuditRecord[];
  broken_at: number | null;
}

export interface ExplainRequest {
  gateway: string;
  model?: string;
  country?: string;
  headers?: [string, string][];
  tier?: string;
  session?: string;
  needs?: string;
  stream?: boolean;
  request_id?: string;
}

export interface ExplainedSource {
  header: string;
  value: string | null;
  finding: "not_trusted" | "absent" | "invalid" | "zone";
  zone?: string;
  pinned?: boolean;
  trusted?: string[];
  decides: boolean;
}

export interface Member {
  member: string;
  serves: boolean;
  state: string[];
  passed_over: string | null;
  refuses: string | null;
}

export interface Share {
  region: string;
  planned: number;
  floor: number;
  fixed: boolean;
  drained: boolean;
  others: [string, number][];
  intents: string[];
}

export interface Answered {
  result: "answered";
  percent: number;
  decision: string;
  status: number;
  message: string;
}

export interface Routed {
  result: "routed";
  percent: number;
  decision: string;
  lane: Lane;
  first: string | null;
  share: Share | null;
  fresh: string | null;
  continues: string | null;
  chain: Member[];
  limits: { per_try_timeout_ms: number | null; answer_s: number; body: number };
}

export interface Explanation {
  gateway: string;
  at: Millis;
  from: string;
  policy: { version: string; accepted_by: string[]; others: string[]; newest: boolean };
  sources: ExplainedSource[];
  zone: { zone: string; by: string; definition: string | null; pinned: boolean; regions: string[]; fallbacks: string[] } | null;
  outcomes: (Answered | Routed)[];
  unless: { when: string; then: string[] }[];
  excluded: { member: string; why: string }[];
}

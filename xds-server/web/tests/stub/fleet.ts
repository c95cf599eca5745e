// The state of a fleet that answers as `meridian serve` does, from what a real one answered. Only for the page's own tests: a region
// may be made hot, intents are kept, requests go on.
import { readFileSync } from "node:fs";
import type { Action, AuditRecord, Decision, Intent, Move, PlanRecord, Report, Series, SeriesOfPool } from "../../src/api/types.ts";

function recorded<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`recorded/${name}.json`, import.meta.url), "utf8")) as T;
}

const MODEL = "llama-3.1-70b";
const STEP = 10_000;
/** An hour of them. */
const VALUES = 360;
const LIMITS = { utilization: 0.8, waiting: 100, first_token_p95: 3, error_rate: 0.01, replication_lag: 30 };
const LASTS: Record<string, number> = { s: 1_000, m: 60_000, h: 3_600_000, days: 86_400_000 };

export class Fleet {
  readonly report = recorded<Report>("status");
  readonly audit: AuditRecord[] = recorded<{ records: AuditRecord[] }>("audit").records;
  decisions: Decision[] = [];
  plans: PlanRecord[] = [];
  /** Utilization, by region. */
  readonly load: Record<string, number> = { "us-west-2": 0.46, "us-east-1": 0.31, "eu-west-1": 0.58 };
  readonly #templates = recorded<Omit<Decision, "number">[]>("decisions");
  #number = 0;

  constructor() {
    const now = Date.now();
    this.report.at = now;
    for (let ago = 40; ago > 0; ago--) this.#decide(now - ago * 2_000);
    this.#plan(now - 300_000, "start", []);
    this.#plan(now - 240_000, "signals", [
      {
        kind: "placement",
        gateway: "us-east-1",
        zone: "global",
        model: MODEL,
        before: { home_share: 90, overflow: { "us-west-2": 100 } },
        after: { home_share: 100, overflow: { "us-west-2": 63, "eu-west-1": 37 } },
        causes: [{ kind: "below", signal: "utilization", region: "us-east-1", model: MODEL, value: 0.52, limit: 0.7 }],
      },
    ]);
    this.step(now);
  }

  /** A step of two seconds: counters go on, shares follow load and drains. */
  step(now: number): { decisions: Decision[]; plans: PlanRecord[] } {
    const { report } = this;
    const [decided, planned] = [this.#number, this.plans.length];
    const seconds = (now - report.at) / 1000;
    report.at = now;
    report.alarms = [];
    for (const envoy of report.envoys) envoy.connected = Math.min(envoy.connected, now - 60_000);
    for (const [name, region] of Object.entries(report.regions)) {
      const drain = Object.values(report.intents).find(({ action }) => action.kind === "drain" && action.region === name);
      for (const source of Object.values(region.sources)) source.heard = now - 400;
      for (const [model, pool] of Object.entries(region.pools)) {
        pool.health.reasons = drain ? ["drained"] : [];
        if (drain) report.alarms.push({ region: name, kind: "unhealthy", message: `${model}: drained` });
        if (model !== MODEL) continue;
        const now = this.load[name] ?? 0;
        pool.signals.utilization = { now, low: now, peak: now };
        pool.signals.comes = 5;
        pool.signals.first_token_p95 = 0.4 + now;
      }
      const share = drain ? 10 : (this.load[name] ?? 0) > LIMITS.utilization ? 70 : 100;
      this.#place(name, share, drain !== undefined, now);
      this.#count(name, share, seconds);
    }
    this.#decide(now);
    return { decisions: this.decisions.filter((it) => it.number > decided), plans: this.plans.slice(planned) };
  }

  #place(gateway: string, share: number, drained: boolean, now: number) {
    const placement = this.report.placements[gateway]?.["global"]?.[MODEL];
    if (!placement || placement.home_share === share) return;
    const before = { home_share: placement.home_share, overflow: placement.overflow };
    placement.home_share = share;
    placement.step = { at: now, saw: this.load[gateway] ?? 0, expected: 0.7 };
    const intent = Object.keys(this.report.intents).at(-1);
    const causes: Move["causes"] = drained
      ? [{ kind: "intent", number: Number(intent) }]
      : [{ kind: share < 100 ? "above" : "below", signal: "utilization", region: gateway, model: MODEL, value: this.load[gateway] ?? 0, limit: share < 100 ? 0.8 : 0.7 }];
    const after = { home_share: share, overflow: placement.overflow };
    this.#plan(now, drained ? "intent" : "signals", [{ kind: "placement", gateway, zone: "global", model: MODEL, before, after, causes }]);
  }

  #plan(at: number, why: PlanRecord["why"], moves: Move[]) {
    this.plans.push({ number: this.plans.length + 1, at, why, moves, more: 0 });
  }

  #count(name: string, share: number, seconds: number) {
    const region = this.report.regions[name];
    if (!region) return;
    const add = (lane: "home" | "overflow", to: string, requests: number) => {
      let of = region.attempts.find((it) => it.lane === lane && it.to === to && it.zone === "global");
      if (!of) {
        of = { gateway: `${name}-gateway`, zone: "global", model: MODEL, lane, to, counts: { answered: 0, overloaded: 0, failed: 0, broken: 0 } };
        region.attempts.push(of);
      }
      of.counts.answered += requests;
    };
    add("home", name, 5 * seconds * (share / 100));
    for (const [to, weight] of Object.entries(this.report.placements[name]?.["global"]?.[MODEL]?.overflow ?? {})) {
      if (share < 100) add("overflow", to, 5 * seconds * (1 - share / 100) * (weight / 100));
    }
  }

  #decide(at: number) {
    const template = this.#templates[this.#number % this.#templates.length];
    if (!template) return;
    this.decisions = [...this.decisions, { ...template, number: ++this.#number, at }].slice(-1000);
  }

  series(): Series {
    const pools: Series["pools"] = {};
    const { at: now, regions } = this.report;
    for (const [place, [name, region]] of Object.entries(regions).entries()) {
      const at = Array.from({ length: VALUES }, (_, index) => now - (VALUES - index) * STEP);
      const wave = (size: number, base: number) => at.map((it) => Math.max(0, base + size * Math.sin(it / 4e5 + place * 2)));
      const of: SeriesOfPool = {
        at,
        utilization: wave(0.1, (this.load[name] ?? 0) - 0.05),
        waiting: wave(6, 4),
        first_token_p95: wave(0.3, 0.6),
        error_rate: wave(0.001, 0.001),
        replication_lag: wave(2, 2),
      };
      pools[name] = Object.fromEntries(Object.keys(region.pools).map((model) => [model, of]));
    }
    return { step_ms: STEP, limits: LIMITS, pools };
  }

  /** What speaks against an action. */
  objections(action: Action): string[] {
    const isEurope = action.kind === "drain" && action.region === "eu-west-1";
    return isEurope ? [`callers of \`eea\` would have no region with ${MODEL} that is neither drained nor down`] : [];
  }

  create(action: Action, by: string, why: string, lasts: string, forced: string[], now: number): AuditRecord {
    const [, count = "1", unit = "h"] = /^(\d+)([a-z]+)$/.exec(lasts) ?? [];
    const number = this.audit.length + 1;
    const intent: Intent = { action, by, why, created: now, expires: now + Number(count) * (LASTS[unit] ?? 0), ...(forced.length > 0 ? { forced } : {}) };
    this.report.intents[number] = intent;
    return this.#record({ change: "created", by, why, before: null, after: intent }, now);
  }

  undo(number: number, by: string, why: string, now: number): AuditRecord | undefined {
    const intent = this.report.intents[number];
    if (!intent) return undefined;
    delete this.report.intents[number];
    return this.#record({ change: "undone", by, why, before: [number, intent], after: null }, now);
  }

  #record(record: Omit<AuditRecord, "number" | "at" | "from" | "hash">, at: number): AuditRecord {
    const full = { ...record, number: this.audit.length + 1, at, from: "127.0.0.1", hash: "" };
    this.audit.push(full);
    return full;
  }

  explanation(country: string | undefined, gateway: string): unknown {
    const isPinned = country === "DE" || country === undefined;
    if (isPinned && gateway === "eu-west-1") return recorded("explain-eea");
    return recorded(isPinned ? "explain-misdirected" : "explain-home");
  }
}

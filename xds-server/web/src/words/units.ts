// Values with their units, as `meridian status` writes them.

type Value = number | null | undefined;

const NONE = "–";

export function percent(value: Value, digits = 0): string {
  return value == null ? NONE : `${(value * 100).toFixed(digits)} %`;
}

export function seconds(value: Value): string {
  if (value == null) return NONE;
  return value < 10 ? `${value.toFixed(1)} s` : `${Math.round(value)} s`;
}

export function number(value: Value): string {
  return value == null ? NONE : value.toLocaleString("en", { maximumFractionDigits: 0 });
}

/** Requests per second. */
export function rate(value: Value): string {
  if (value == null) return NONE;
  return `${value < 10 ? value.toFixed(1) : Math.round(value)}/s`;
}

export function milliseconds(value: Value): string {
  if (value == null) return NONE;
  return value < 10_000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(1)} s`;
}

export function bytes(value: Value): string {
  if (value == null) return NONE;
  if (value < 1024) return `${value} B`;
  return value < 1 << 20 ? `${(value / 1024).toFixed(1)} KiB` : `${(value / (1 << 20)).toFixed(1)} MiB`;
}

export function dollars(value: Value): string {
  return value == null ? NONE : `$${value.toFixed(2)}`;
}

/** A time of this day, or with its date. */
export function time(at: number, now = Date.now()): string {
  const date = new Date(at);
  const clock = date.toLocaleTimeString("en-GB");
  return date.toDateString() === new Date(now).toDateString() ? clock : `${day(at)} ${clock}`;
}

export function day(at: number): string {
  const date = new Date(at);
  const two = (value: number) => String(value).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

/** A duration in its two largest units. */
export function span(ms: number): string {
  const total = Math.max(0, Math.round(ms / 1000));
  const units: [number, string][] = [
    [Math.floor(total / 86_400), "d"],
    [Math.floor(total / 3_600) % 24, "h"],
    [Math.floor(total / 60) % 60, "min"],
    [total % 60, "s"],
  ];
  const first = units.findIndex(([count]) => count > 0);
  if (first < 0) return "0 s";
  const two = units.slice(first, first + 2).filter(([count]) => count > 0);
  return two.map(([count, unit]) => `${count} ${unit}`).join(" ");
}

/** `a`, `a and b`, `a, b and c`. */
export function list(items: string[]): string {
  return items.length < 2 ? items.join("") : `${items.slice(0, -1).join(", ")} and ${items.at(-1)}`;
}

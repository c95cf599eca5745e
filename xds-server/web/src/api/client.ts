// Requests to the control plane that serves the page.
import { token } from "../live/token.svelte.ts";

/** An answer other than what was wanted; nothing has changed, unless it says otherwise. */
export class Refusal extends Error {
  readonly status: number;
  readonly errors: string[];
  /** `force` would change it. */
  readonly mayBeForced: boolean;

  constructor(status: number, errors: string[], mayBeForced: boolean) {
    super(errors.join("; "));
    this.status = status;
    this.errors = errors;
    this.mayBeForced = mayBeForced;
  }
}

async function refusal(response: Response): Promise<Refusal> {
  const text = await response.text();
  try {
    const { errors, may_be_forced } = JSON.parse(text) as { errors: string[]; may_be_forced?: boolean };
    return new Refusal(response.status, errors, may_be_forced ?? false);
  } catch {
    return new Refusal(response.status, [text.trim() || `the control plane answers ${response.status}`], false);
  }
}

/** Sends a request with the token, if there is one. A 401 makes the page ask for a token. */
export async function send(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  if (token.value) headers.set("authorization", `Bearer ${token.value}`);
  const response = await fetch(path, { ...init, headers, cache: "no-store" });
  if (response.ok) return response;
  const refused = await refusal(response);
  if (response.status === 401) token.refuse(refused.message);
  throw refused;
}

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  const response = await send(path, signal ? { signal } : {});
  return (await response.json()) as T;
}

export async function post<T>(path: string, body: unknown, headers: Record<string, string> = {}): Promise<T> {
  const response = await send(path, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
  return (await response.json()) as T;
}

/** Why a request failed, for people. */
export function reason(error: unknown): string {
  if (error instanceof Refusal) return error.message;
  return "the control plane does not answer";
}

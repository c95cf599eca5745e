// The control plane's server-sent events, by fetch: an EventSource cannot send a token.
import { EventSourceParserStream } from "eventsource-parser/stream";
import { send } from "./client.ts";

/** Longest silence of a stream, in milliseconds. The control plane sends its status every two seconds. */
const LONGEST_SILENCE = 10_000;

/** Reads events until the stream ends, which is an error as well. `opened` ends before the first event is taken. */
export async function readEvents(
  path: string,
  opened: () => Promise<void>,
  take: (event: string, data: unknown) => void,
  signal: AbortSignal,
): Promise<never> {
  const silence = new AbortController();
  const response = await send(path, {
    headers: { accept: "text/event-stream" },
    signal: AbortSignal.any([signal, silence.signal]),
  });
  if (!response.body) throw new Error("the answer has no body");
  const events = response.body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream()).getReader();
  await opened();
  let timer = setTimeout(() => silence.abort(), LONGEST_SILENCE);
  try {
    for (;;) {
      const { done, value } = await events.read();
      if (done) throw new Error("the stream has ended");
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), LONGEST_SILENCE);
      take(value.event ?? "message", JSON.parse(value.data));
    }
  } finally {
    clearTimeout(timer);
    silence.abort();
  }
}

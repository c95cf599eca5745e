//! A 200 is not success: an answer that fails before its first content is retried at the next region, and one that fails later
//! never looks whole. The answers are those of real servers, cut into pieces of any size.

use super::client::run;
use super::ensure;
use super::replay::{CHAT, Failing, MESSAGES, answered, ask, body, cut, recorded, silent, written};
use crate::fakes::{Behaviour, Fail, Replay};
use crate::hunt;
use crate::world::{MODEL, World, wait_for};
use anyhow::{Context, Result};

/// Short enough for a stall to be seen.
pub const LIMITS: &str = "{ first_token: 4s, unstreamed: 4s, connect: 1s, gap: 2s, answer: 20s }";

/// Recent refusals send at most 1 % of the callers elsewhere, and not the conversation of these requests.
pub const AT_HOME: &str = "overflow: { floor: 0.99 }";

/// Answers that fail before their first content: the caller gets one clean answer, from the next region.
pub async fn hidden(world: &mut World) -> Result<String> {
    let all = [chat_failures()?, messages_failures(), other_failures()].concat();
    let mut rounds = 0;
    for failing in &all {
        // Silence takes as long as its limit, in however many pieces.
        let cuts: &[u64] = if failing.stalls { &[3] } else { &[1, 3, 40] };
        for &pieces in cuts {
            let cut = cut(&failing.bytes, pieces, failing.name);
            let name = format!("{} in {} pieces", failing.name, cut.len());
            let (answer, reached) = answered(world, failing, cut).await?;
            let answer = answer.with_context(|| name.clone())?;
            ensure(
                answer.status == 200 && answer.region() == "us-east-1",
                || {
                    format!(
                        "{name}: {} by {}: {}",
                        answer.status,
                        answer.region(),
                        answer.text()
                    )
                },
            )?;
            let text = answer.text();
            let whole = text.contains("us-east-1") || failing.path == "/v1/embeddings";
            ensure(whole && !text.contains("\"error\":{"), || {
                format!("{name}: {text}")
            })?;
            ensure(reached == ["us-west-2", "us-east-1"], || {
                format!("{name}: asked were {reached:?}")
            })?;
            rounds += 1;
        }
    }
    Ok(format!(
        "{} kinds of failing answers in {rounds} cuts: one clean answer each, us-west-2 and us-east-1 asked once",
        all.len()
    ))
}

fn chat_failures() -> Result<Vec<Failing>> {
    let role = r#"data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#;
    let malformed = format!("{role}\n\ndata: {{\"cho\n\n");
    let error = r#"{"error":{"message":"busy","code":503}}"#;
    Ok(vec![
        recorded("shutdown.abort.inflight_nonstream", false)?,
        recorded("shutdown.abort.inflight_stream", true)?,
        recorded("overload.503", false)?,
        recorded("overload.503.stream", true)?,
        recorded("overload.error_inside_200_stream", true)?,
        recorded("engine_killed.inflight_nonstream", false)?,
        written("nothing", CHAT, true, ""),
        written("role and end of file", CHAT, true, &format!("{role}\n\n")),
        written("malformed", CHAT, true, &malformed),
        written("no JSON", CHAT, false, "<html>busy</html>"),
        written("error in a 200", CHAT, false, error),
        silent("head and silence", CHAT, ""),
        silent("role and silence", CHAT, &format!("{role}\n\n")),
    ])
}

fn messages_failures() -> Vec<Failing> {
    let started = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":3}}}\n\n";
    let overloaded = format!(
        "{started}event: error\ndata: {{\"type\":\"error\",\"error\":{{\"type\":\"overloaded_error\",\"message\":\"busy\"}}}}\n\n"
    );
    let malformed = format!("{started}event: content_block_delta\ndata: {{\"type\"\n\n");
    let error = r#"{"type":"error","error":{"type":"api_error","message":"no"}}"#;
    vec![
        written("messages: overloaded", MESSAGES, true, &overloaded),
        written("messages: nothing", MESSAGES, true, started),
        written("messages: error in a 200", MESSAGES, false, error),
        written("messages: malformed", MESSAGES, true, &malformed),
        written("messages: no JSON", MESSAGES, false, "<html>busy</html>"),
        silent("messages: silence", MESSAGES, started),
    ]
}

fn other_failures() -> Vec<Failing> {
    let completions = "/v1/completions";
    let embeddings = "/v1/embeddings";
    let responses = "/v1/responses";
    let abort = r#"{"choices":[{"text":"","finish_reason":"abort"}]}"#;
    let error = r#"{"error":{"message":"busy","code":503}}"#;
    let error_event = "data: {\"error\":{\"message\":\"busy\",\"code\":503}}\n\ndata: [DONE]\n\n";
    let failed_events = "data: {\"type\":\"response.created\"}\n\ndata: {\"type\":\"response.failed\",\"response\":{\"error\":{\"message\":\"no\"}}}\n\n";
    let failed =
        r#"{"status":"failed","error":{"code":"server_error","message":"no"},"output":[]}"#;
    vec![
        written("completions: abort", completions, false, abort),
        written("completions: error", completions, true, error_event),
        written(
            "completions: nothing",
            completions,
            true,
            "data: [DONE]\n\n",
        ),
        written("embeddings: nothing", embeddings, false, r#"{"data":[]}"#),
        written("embeddings: error in a 200", embeddings, false, error),
        written("responses: failed", responses, true, failed_events),
        written("responses: failed, in one piece", responses, false, failed),
    ]
}

/// Answers that fail when the caller has a part of them: an error event in the API's shape, no other region asked, and no proper
/// end.
pub async fn late(world: &mut World) -> Result<String> {
    let all = later_failures()?;
    for failing in &all {
        ends_with_an_error(world, failing).await?;
    }
    // A stall and a cut: no error event can be sent any more, and the connection breaks off.
    for stalls in [true, false] {
        let broken = Failing {
            stalls,
            ..recorded("shutdown.abort.midgen_stream", true)?
        };
        let pieces = cut(&broken.bytes, 20, "midway");
        let (answer, reached) = answered(world, &broken, pieces).await?;
        ensure(answer.is_err() && reached == ["us-west-2"], || {
            format!("a stream without an end ended well: {answer:?}")
        })?;
    }
    // A whole stream is not broken, and a caller who leaves early breaks nothing.
    let whole = ask(world, CHAT, true).send().await?.text();
    ensure(whole.ends_with("data: [DONE]\n\n"), || whole)?;
    world.pool("us-west-2").set(Behaviour {
        gated: true,
        ..Behaviour::default()
    });
    let mut leaves = ask(world, CHAT, true).open().await?;
    leaves.chunk().await?;
    drop(leaves);
    until_the_log_tells(world).await?;
    Ok(format!(
        "{} kinds of streams that break later: an error event in their API's shape, no [DONE], nobody else asked; a stall and a cut end abnormally; the access log tells which, and nothing of a caller who left",
        all.len()
    ))
}

fn later_failures() -> Result<Vec<Failing>> {
    let word = r#"data: {"choices":[{"index":0,"delta":{"content":"one"},"finish_reason":null}]}"#;
    let delta = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"one\"}}\n\n";
    let response = "data: {\"type\":\"response.output_text.delta\",\"delta\":\"one\"}\n\n";
    let ended = format!("{word}\n\n{word}\n\n");
    let malformed = format!("{word}\n\ndata: {{\"cho\n\n{word}\n\ndata: [DONE]\n\n");
    Ok(vec![
        recorded("engine_killed.inflight_stream", true)?,
        recorded("dp2.engine_killed.inflight_stream", true)?,
        written("end of file", CHAT, true, &ended),
        written("malformed", CHAT, true, &malformed),
        written("messages: end of file", MESSAGES, true, delta),
        written("responses: end of file", "/v1/responses", true, response),
    ])
}

/// A stream that fails after its first content ends with an error event, and no other region is asked.
async fn ends_with_an_error(world: &World, failing: &Failing) -> Result<()> {
    let (begin, rest) = failing.bytes.split_at(first_content(&failing.bytes));
    // The first content comes by itself, so that the caller has it before the failure.
    let mut pieces = vec![begin.to_vec()];
    pieces.extend(cut(rest, 7, failing.name));
    let (answer, reached) = answered(world, failing, pieces).await?;
    let answer = answer.with_context(|| failing.name)?;
    let (name, text) = (failing.name, answer.text());
    ensure(answer.status == 200 && reached == ["us-west-2"], || {
        format!("{name}: {}, asked were {reached:?}: {text}", answer.status)
    })?;
    let last = text.trim_end().rsplit("\n\n").next().unwrap_or_default();
    ensure(
        last.contains("\"error\"") && !text.contains("[DONE]") && !text.contains("message_stop"),
        || format!("{name} ends with {last}"),
    )
}

/// Where the first event with content ends.
fn first_content(bytes: &[u8]) -> usize {
    let mut ends = bytes
        .windows(2)
        .enumerate()
        .filter(|(_, pair)| pair == b"\n\n")
        .map(|(at, _)| at + 2);
    let text = String::from_utf8_lossy(bytes);
    let begins = text
        .find("\"content\":\"z\"")
        .or(text.find("\\ufffd"))
        .or(text.find("one"))
        .unwrap_or(text.len() / 2);
    ends.find(|at| *at > begins).unwrap_or(bytes.len() / 2)
}

/// Waits until the access log has every way in which streams broke here, once for the stall and once for the cut.
async fn until_the_log_tells(world: &World) -> Result<()> {
    let log = world.access_log("us-west-2");
    wait_for("the access log to tell", || async {
        let log = std::fs::read_to_string(&log)?;
        let told = |how: &str| log.matches(&format!("\"broken\":\"{how}\"")).count();
        let left = log.contains("\"flags\":\"DC\"");
        Ok(["error", "aborted", "incomplete", "malformed"]
            .into_iter()
            .all(|how| told(how) > 0)
            && (told("stall"), told("cut")) == (1, 1)
            && left)
    })
    .await
}

/// Whole answers pass unchanged; a complete stream without its last line gets it.
pub async fn whole(world: &mut World) -> Result<String> {
    for (name, stream) in [("chat.stream.usage", true), ("chat.nonstream", false)] {
        let fine = recorded(name, stream)?;
        let body = body(&fine.bytes)?;
        for pieces in [1, 5, 60] {
            let (answer, reached) = answered(world, &fine, cut(&fine.bytes, pieces, name)).await?;
            let answer = answer?;
            ensure(answer.body == body && reached == ["us-west-2"], || {
                format!("{name} in {pieces} pieces became {}", answer.text())
            })?;
        }
    }
    let fine = recorded("chat.stream.usage", true)?;
    let body = String::from_utf8(body(&fine.bytes)?)?;
    let cut_short = body.trim_end_matches("data: [DONE]\n\n");
    let lacks = written("no [DONE]", CHAT, true, cut_short);
    let (answer, _) = answered(world, &lacks, vec![lacks.bytes.clone()]).await?;
    ensure(answer?.text() == body, || {
        "the last line was not added".into()
    })?;
    // A caller's own error is passed on.
    for (name, status) in [("err.prompt_too_long", 400), ("err.unauthorized", 401)] {
        let refused = recorded(name, false)?;
        let (answer, reached) = answered(world, &refused, vec![refused.bytes.clone()]).await?;
        let answer = answer?;
        ensure(answer.status == status && reached == ["us-west-2"], || {
            format!("{name}: {}, asked were {reached:?}", answer.status)
        })?;
    }
    counts_tokens(world).await?;
    notes_load(world).await?;
    Ok("streams and whole answers pass byte by byte in any cut; [DONE] added where only it lacks; 400 and 401 are the caller's".into())
}

/// 500 tokens pass, and tokens are counted where they were made.
async fn counts_tokens(world: &World) -> Result<()> {
    world
        .pool("us-west-2")
        .update(|behaviour| behaviour.tokens = 500);
    let ask = world.ask("us-west-2").country("US").streamed();
    let answer = ask.send().await?;
    ensure(
        answer.text().contains("token499") && answer.text().ends_with("[DONE]\n\n"),
        || answer.text(),
    )?;
    let labels = [("to", "us-west-2"), ("what", "completion")];
    let gateway = world.gateway("us-west-2");
    let counted = gateway.metric("meridian_tokens", &labels).await?;
    ensure(counted > 0, || "no tokens".into())
}

/// A server's load in an answer's head is noted by the gateway, and not passed on.
async fn notes_load(world: &World) -> Result<()> {
    world
        .pool("us-west-2")
        .update(|behaviour| (behaviour.waiting, behaviour.kv_cache_usage) = (7, 0.4));
    let answer = world.ask("us-west-2").country("US").send().await?;
    ensure(answer.header("endpoint-load-metrics").is_empty(), || {
        "the load went on".into()
    })?;
    let gateway = world.gateway("us-west-2");
    for (what, load) in [("waiting", 7), ("kv_cache_percent", 40)] {
        let labels = [("to", "us-west-2"), ("what", what)];
        let shown = gateway.metric("meridian_load", &labels).await?;
        ensure(shown == load, || format!("{what}: {shown}, not {load}"))?;
    }
    Ok(())
}

/// Where every region fails alike, the caller gets one error, with the server's own message.
pub async fn nowhere(world: &mut World) -> Result<String> {
    let busy = recorded("overload.error_inside_200_stream", true)?;
    for server in world.servers() {
        let pieces = vec![busy.bytes.clone()];
        server.update(|behaviour| {
            behaviour.replay = Some(Replay {
                pieces,
                stalls: false,
            })
        });
    }
    let answer = ask(world, CHAT, true).send().await?;
    let message = answer.json()["error"]["message"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    ensure(
        answer.status == 503 && message.contains("currently busy"),
        || format!("{}: {}", answer.status, answer.text()),
    )?;
    ensure(!answer.header("retry-after").is_empty(), || {
        "no Retry-After".into()
    })?;
    Ok(format!(
        "an error inside a 200 everywhere: {} with the server's words and Retry-After",
        answer.status
    ))
}

/// A prompt that is too long for one region goes to a region with a larger context; where there is none, it is refused.
pub async fn context(world: &mut World) -> Result<String> {
    let refused = recorded("err.prompt_too_long", false)?;
    for region in ["us-west-2", "us-east-1"] {
        let pieces = cut(&refused.bytes, 3, region);
        world.pool(region).update(|behaviour| {
            behaviour.replay = Some(Replay {
                pieces,
                stalls: false,
            })
        });
    }
    let first = ask(world, CHAT, false);
    let answer = first.send().await?;
    ensure(
        answer.status == 400 && world.reached(first.marker()) == ["us-west-2"],
        || {
            format!(
                "{} after {:?}",
                answer.status,
                world.reached(first.marker())
            )
        },
    )?;
    let mut text = world.fleet_file()?;
    for (region, context) in [("us-west-2", 512), ("us-east-1", 512), ("eu-west-1", 4096)] {
        let endpoints = format!("[\"{}\"]", world.block().pool(region));
        let pool = format!("\"{MODEL}\": {{ endpoints: {endpoints} }}");
        let more = format!("\"{MODEL}\": {{ endpoints: {endpoints}, context: {context} }}");
        ensure(text.contains(&pool), || format!("no {pool} in {text}"))?;
        text = text.replace(&pool, &more);
    }
    world.edit(&text)?;
    wait_for("the contexts to arrive", || async {
        Ok(ask(world, CHAT, false).send().await?.status == 200)
    })
    .await?;
    let ask = ask(world, CHAT, false);
    let answer = ask.send().await?;
    let reached = world.reached(ask.marker());
    ensure(
        // us-east-1's server is not asked: its context is no larger than the one that was too small.
        answer.region() == "eu-west-1" && reached == ["us-west-2", "eu-west-1"],
        || format!("{} by {} after {reached:?}", answer.status, answer.region()),
    )?;
    ensure(
        answer.header(meridian_policy::headers::RETRY).is_empty(),
        || "the mark went on".into(),
    )?;
    Ok(format!(
        "a prompt too long for 512 tokens: 400, asked once; with contexts in the fleet file by eu-west-1, asked were {reached:?}"
    ))
}

/// The official client: a broken stream is an exception, a whole one an answer.
pub async fn client(world: &mut World) -> Result<String> {
    let west = world.block().public("us-west-2").to_string();
    let pool = |change: &dyn Fn(&mut Behaviour)| {
        world.pool("us-west-2").set(Behaviour {
            tokens: 60,
            ..Behaviour::default()
        });
        world
            .pool("us-west-2")
            .update(|behaviour| change(behaviour));
    };
    let whole = world.ask("us-west-2").country("US").streamed();
    pool(&|_| {});
    let text = whole.send().await?.text();
    let events: Vec<&str> = text.split_inclusive("\n\n").collect();
    let replayed = |events: &[&str], stalls: bool| {
        let head =
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
        let pieces = std::iter::once(&head).chain(events);
        Replay {
            pieces: pieces.map(|piece| piece.as_bytes().to_vec()).collect(),
            stalls,
        }
    };
    let mut seen = Vec::new();
    pool(&|behaviour| behaviour.fail = Fail::Cut(40));
    seen.push(format!("cut after 40: {}", run("breaks", &west).await?));
    pool(&|behaviour| behaviour.replay = Some(replayed(&events[..21], true)));
    seen.push(format!("stalled after 20: {}", run("breaks", &west).await?));
    let malformed = [&events[..30], &["data: {\"choices\":[{\n\n"], &events[30..]].concat();
    pool(&|behaviour| behaviour.replay = Some(replayed(&malformed, false)));
    seen.push(format!("malformed: {}", run("breaks", &west).await?));
    pool(&|behaviour| behaviour.replay = Some(replayed(&events[..30], false)));
    seen.push(format!("ended after 29: {}", run("breaks", &west).await?));
    let last = events.len() - 1;
    pool(&|behaviour| behaviour.replay = Some(replayed(&events[..last], false)));
    seen.push(format!("without [DONE]: {}", run("whole", &west).await?));
    Ok(seen.join("; "))
}

/// Random faults of all members, several at a time: no caller gets a wrong byte, and the gateway lives. `hunt` does the same for as
/// long as one wants.
pub async fn hunt(world: &mut World) -> Result<String> {
    const SEED: u64 = 20;
    let ground = hunt::Ground::new(world).await?;
    let seen = ground.hunt(world, SEED, 1200).await?;
    hunt::conclude(SEED, &seen)
}

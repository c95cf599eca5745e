//! Tokens reach the caller as they are generated.

use super::ensure;
use crate::world::{DEADLINE, World};
use anyhow::{Context, Result};
use flate2::write::GzDecoder;
use std::io::Write;
use tokio::time::timeout;

pub async fn streaming(world: &mut World) -> Result<String> {
    for (dead, by) in [(None, "us-west-2"), (Some("us-west-2"), "us-east-1")] {
        if let Some(dead) = dead {
            world.pool(dead).kill().await?;
        }
        for encoding in ["identity", "gzip"] {
            one_by_one(world, by, encoding)
                .await
                .with_context(|| format!("stream from {by}, {encoding}"))?;
        }
    }
    Ok("each token arrived before the next was generated: from home and through a peer, plain and compressed".into())
}

/// The pool makes the next token only when the one before has arrived here.
async fn one_by_one(world: &World, by: &str, encoding: &str) -> Result<()> {
    let pool = world.pool(by);
    pool.update(|behaviour| behaviour.gated = true);
    let before = pool.generated();
    let ask = world.ask("us-west-2").country("US").streamed();
    let ask = ask.header("accept-encoding", encoding);
    let mut response = timeout(DEADLINE, ask.open()).await??;
    ensure(response.status() == 200, || response.status().to_string())?;
    let answered = response
        .headers()
        .get("x-meridian-region")
        .and_then(|value| value.to_str().ok());
    ensure(answered == Some(by), || format!("answered by {answered:?}"))?;
    let encoded = response.headers().get("content-encoding");
    ensure(encoded.is_some() == (encoding == "gzip"), || {
        format!("encoded as {encoded:?}")
    })?;
    let mut body = Body::new(encoding);
    for token in 0..8 {
        let wanted = format!("token{token}");
        while !body.text()?.contains(&wanted) {
            let chunk = timeout(DEADLINE, response.chunk())
                .await
                .with_context(|| format!("{wanted} never came"))??;
            let chunk = chunk.with_context(|| format!("the stream ended before {wanted}"))?;
            body.read(&chunk)?;
        }
        let made = pool.generated() - before;
        ensure(made == token + 1, || {
            format!("{wanted} arrived when {made} were made")
        })?;
        pool.release(1);
    }
    while let Some(chunk) = timeout(DEADLINE, response.chunk()).await?? {
        body.read(&chunk)?;
    }
    let text = body.text()?;
    ensure(text.ends_with("data: [DONE]\n\n"), || {
        format!("the end is missing: {text}")
    })?;
    pool.update(|behaviour| behaviour.gated = false);
    Ok(())
}

/// What came of a body, decoded as far as it can be.
enum Body {
    Plain(Vec<u8>),
    Gzip(Box<GzDecoder<Vec<u8>>>),
}

impl Body {
    fn new(encoding: &str) -> Self {
        match encoding {
            "gzip" => Self::Gzip(Box::new(GzDecoder::new(Vec::new()))),
            _ => Self::Plain(Vec::new()),
        }
    }

    fn read(&mut self, piece: &[u8]) -> Result<()> {
        match self {
            Self::Plain(body) => body.extend_from_slice(piece),
            Self::Gzip(decoder) => {
                decoder.write_all(piece)?;
                decoder.flush()?;
            }
        }
        Ok(())
    }

    fn text(&self) -> Result<&str> {
        Ok(std::str::from_utf8(match self {
            Self::Plain(body) => body,
            Self::Gzip(decoder) => decoder.get_ref(),
        })?)
    }
}

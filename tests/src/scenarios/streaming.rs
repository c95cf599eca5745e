//! Tokens reach the caller as they are generated.

use super::ensure;
use crate::world::{DEADLINE, World};
use anyhow::{Context, Result};
use tokio::time::timeout;

pub async fn streaming(world: &mut World) -> Result<String> {
    for (dead, by) in [(None, "us-west-2"), (Some("us-west-2"), "us-east-1")] {
        if let Some(dead) = dead {
            world.pool(dead).kill().await?;
        }
        one_by_one(world, by)
            .await
            .with_context(|| format!("stream from {by}"))?;
    }
    Ok("each token arrived before the next was generated: from home, and through a peer".into())
}

/// The pool makes the next token only when the one before has arrived here.
async fn one_by_one(world: &World, by: &str) -> Result<()> {
    let pool = world.pool(by);
    pool.update(|behaviour| behaviour.gated = true);
    let before = pool.generated();
    let ask = world.ask("us-west-2").country("US").streamed();
    let mut response = timeout(DEADLINE, ask.open()).await??;
    ensure(response.status() == 200, || response.status().to_string())?;
    let answered = response
        .headers()
        .get("x-meridian-region")
        .and_then(|value| value.to_str().ok());
    ensure(answered == Some(by), || format!("answered by {answered:?}"))?;
    let mut text = String::new();
    for token in 0..8 {
        let wanted = format!("token{token}");
        while !text.contains(&wanted) {
            let chunk = timeout(DEADLINE, response.chunk())
                .await
                .with_context(|| format!("{wanted} never came"))??;
            let chunk = chunk.with_context(|| format!("the stream ended before {wanted}"))?;
            text += &String::from_utf8_lossy(&chunk);
        }
        let made = pool.generated() - before;
        ensure(made == token + 1, || {
            format!("{wanted} arrived when {made} were made")
        })?;
        pool.release(1);
    }
    while let Some(chunk) = timeout(DEADLINE, response.chunk()).await?? {
        text += &String::from_utf8_lossy(&chunk);
    }
    ensure(text.ends_with("data: [DONE]\n\n"), || {
        format!("the end is missing: {text}")
    })?;
    pool.update(|behaviour| behaviour.gated = false);
    Ok(())
}

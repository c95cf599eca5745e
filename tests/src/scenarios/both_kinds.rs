//! Both kinds of the filter do the same with the same requests.

use crate::differential::{MOST_IN_LEASE, Task, compare, conclude};
use crate::world::World;
use anyhow::Result;
use meridian_policy::egress_policy::ClaudeHost;

const SEED: u64 = 23;
/// Of each scenario. `differential` sends as many as one wants, and to fallbacks at Bedrock as well.
const REQUESTS: u64 = 400;

/// With fallbacks at Anthropic's and at Vertex AI.
pub async fn vertex(world: &mut World) -> Result<String> {
    same(world, Some(ClaudeHost::Vertex), 0).await
}

/// With fallbacks that are compatible with OpenAI's, and a lease that runs out.
pub async fn compatible(world: &mut World) -> Result<String> {
    same(world, None, 2).await
}

async fn same(world: &mut World, claude: Option<ClaudeHost>, part: u64) -> Result<String> {
    let task = Task {
        seed: SEED,
        from: part * REQUESTS,
        requests: REQUESTS,
        in_lease: claude.is_none().then_some(MOST_IN_LEASE),
        most: 1,
    };
    let tally = compare(world, claude, task).await?;
    conclude(task, &tally)
}

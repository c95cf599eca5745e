//! From an embedded store to etcd.

use crate::etcd::{Address, Client, Guard, Step};
use crate::serve::store::Embedded;
use crate::serve::store::committed::encoded;
use crate::serve::store::keys::{AUDIT, INTENTS, PLAN, PLANS, VERSION, numbered};
use anyhow::{Context, Result, bail};

/// Records in one transaction: etcd takes 128 steps and 1.5 MiB in one.
const AT_ONCE: usize = 50;

/// Records of plans in one transaction: each may have 64 KiB.
const PLANS_AT_ONCE: usize = 10;

/// Copies everything of an embedded store to etcd, where nothing may be yet. Returns the number of records.
///
/// # Errors
///
/// etcd does not answer or has keys already. A copy that was interrupted can be repeated.
pub async fn moved_to(embedded: &Embedded, address: &Address) -> Result<u64> {
    let client = Client::connect(address, 0).await?;
    let absent = || Guard::Absent(VERSION.into());
    let prefix = &address.prefix;
    let nothing_yet = async |steps: Vec<Step>| {
        if !client.transact([absent()], steps).await?.succeeded {
            bail!(
                "there is a store in etcd below {prefix} already; name another prefix, as in etcd://host:2379/prefix"
            );
        }
        Ok(())
    };
    let mut last = 0;
    loop {
        let records = embedded.audit(last, AT_ONCE)?;
        let Some(newest) = records.last() else {
            break;
        };
        last = newest.number;
        let puts = records.iter().map(|record| {
            let value = serde_json::to_vec(record)?;
            Ok(Step::put(numbered(AUDIT, record.number), value))
        });
        nothing_yet(puts.collect::<Result<_>>()?).await?;
    }
    // A copy that was interrupted may have left intents that have ended since.
    nothing_yet(vec![Step::Delete(INTENTS.into())]).await?;
    for (number, intent) in embedded.intents()?.0 {
        let value = serde_json::to_vec(&intent)?;
        nothing_yet(vec![Step::put(numbered(INTENTS, number), value)]).await?;
    }
    let mut after = 0;
    loop {
        let records = embedded.plans(Some(after), PLANS_AT_ONCE)?;
        let Some(newest) = records.last() else {
            break;
        };
        after = newest.number;
        let puts = records.iter().map(|record| {
            let value = serde_json::to_vec(record)?;
            Ok(Step::put(numbered(PLANS, record.number), value))
        });
        nothing_yet(puts.collect::<Result<_>>()?).await?;
    }
    let mut steps = vec![Step::put(VERSION, "1")];
    if let Some(state) = embedded.state()? {
        steps.push(Step::put(PLAN, encoded(&state, 0)?));
    }
    // With this one it is a store.
    nothing_yet(steps).await.context("the last step")?;
    Ok(last)
}

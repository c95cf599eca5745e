//! A hostile request causes no fault of the filter, and other requests are served meanwhile.

use super::ensure;
use crate::world::{Ask, World, client};
use anyhow::Result;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub async fn hostile(world: &mut World) -> Result<String> {
    let before = faults(world).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let bystander = {
        let (ask, client, stop) = (
            world.ask("us-west-2").country("US"),
            client().build()?,
            stop.clone(),
        );
        tokio::spawn(async move {
            let mut served = 0;
            while !stop.load(Ordering::Relaxed) {
                let answer = ask.send_with(&client).await?;
                ensure(answer.status == 200, || {
                    format!("a bystander got {}: {}", answer.status, answer.text())
                })?;
                served += 1;
            }
            anyhow::Ok(served)
        })
    };
    let poisons = poisons(world);
    let mut kinds = 0;
    for _ in 0..5 {
        for poison in &poisons {
            // Refused, or answered by the pool with an error: anything but a fault.
            if let Ok(answer) = poison.send().await {
                ensure((200..500).contains(&answer.status), || {
                    format!("{}: {}", answer.status, answer.text())
                })?;
            }
        }
        kinds = poisons.len();
    }
    stop.store(true, Ordering::Relaxed);
    let served = bystander.await??;
    let faults = faults(world).await? - before;
    ensure(faults == 0, || format!("{faults} faults of the filter"))?;
    ensure(served > 0, || "no bystander was served".into())?;
    Ok(format!(
        "{kinds} kinds of poison, five times each: no fault, {served} bystanders served meanwhile"
    ))
}

/// What Envoy counts when the filter has a fault.
async fn faults(world: &World) -> Result<u64> {
    let gateway = world.gateway("us-west-2");
    gateway.counter("wasm.*(vm_reload|fail)").await
}

fn poisons(world: &World) -> Vec<Ask> {
    let ask = || world.ask("us-west-2").country("US");
    let nested = |open: &str, close: &str| {
        format!(
            "{{\"model\":\"m\",\"messages\":{}{}}}",
            open.repeat(200_000),
            close.repeat(200_000)
        )
    };
    vec![
        ask().body(nested("[", "]")),
        ask().body(nested("{\"a\":", "}")),
        ask().body("[".repeat(1_000_000)),
        ask().body([b"{\"model\":\"".as_slice(), &[0xff, 0xfe], b"\"}"].concat()),
        ask().body("{\"model\":\"\\ud800\"}"),
        ask().body("{\"model\":\"\\u0000\"}"),
        ask().body(format!("{{\"model\":\"{}\"}}", "m".repeat(4 << 20))),
        ask().body(format!(
            "{{\"model\":\"m\",\"user\":\"{}\"}}",
            "u".repeat(4 << 20)
        )),
        ask().body(format!("{{{}\"model\":\"m\"}}", "\"k\":1,".repeat(200_000))),
        ask().body(format!(
            "{{\"model\":\"m\",\"seed\":{}}}",
            "9".repeat(1_000_000)
        )),
        ask().body(vec![0; 1 << 20]),
        ask().header("x-odd", [0xc3, 0x28]),
        ask().header("cf-ipcountry", [0xff; 64]),
        ask().header("x-tenant-zone", "z".repeat(8000)),
        ask()
            .path(&format!("/v1/models/{}", "%41".repeat(2000)))
            .get("/v1/models/%zz%"),
        ask().path(&format!("/v1/{}", "a/".repeat(3000))),
        (0..60).fold(ask(), |ask, number| {
            ask.header(&format!("x-meridian-{number}"), "v")
        }),
    ]
}

//! Logs the differences between two plans.

use meridian_planner::plan::Plan;

/// Logs every placement, retrieval target and pool health that differs.
pub fn log_changes(before: &Plan, next: &Plan) {
    log_placements(before, next);
    log_retrieval(before, next);
    log_health(before, next);
}

fn log_placements(before: &Plan, next: &Plan) {
    for (gateway, zones) in &next.gateways {
        for (zone, models) in zones {
            for (model, placement) in models {
                let old = before.placement(gateway, zone, model);
                let (share, weights) = (placement.home_share, &placement.overflow);
                if old.is_none_or(|old| old.home_share != share || old.overflow != *weights) {
                    let weights: Vec<String> = weights
                        .iter()
                        .map(|(region, weight)| format!("{region}={weight}"))
                        .collect();
                    tracing::info!(%gateway, %zone, %model, home_share = share, overflow = weights.join(" "), "placement");
                }
            }
        }
    }
}

fn log_retrieval(before: &Plan, next: &Plan) {
    for region in next.pools.keys() {
        let old = before.freshness.retrieval.get(region).unwrap_or(region);
        let serves = next.freshness.retrieval.get(region).unwrap_or(region);
        if old != serves {
            tracing::info!(%region, %serves, "retrieval");
        }
    }
}

fn log_health(before: &Plan, next: &Plan) {
    for (region, pools) in &next.pools {
        for (model, health) in pools {
            let old = before.pools.get(region).and_then(|pools| pools.get(model));
            if old.is_none_or(|old| (old.down, &old.reasons) != (health.down, &health.reasons)) {
                let reasons: Vec<String> = health.reasons.iter().map(ToString::to_string).collect();
                tracing::info!(%region, %model, down = health.down, reasons = reasons.join(", "), "health");
            }
        }
    }
}

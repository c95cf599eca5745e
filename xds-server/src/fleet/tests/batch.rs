//! Batch requests, prices, and the orders of regions.

use super::super::parse;
use super::{EXAMPLE, check_edit, edited};
use meridian_filter_core::tier::digest;
use meridian_policy::fleet::Order;
use meridian_policy::pool_policy::Balance;
use std::collections::BTreeMap;

const GLOBAL: &str = "regions: [us-west-2, us-east-1, eu-west-1]";
const WEST: &str = "  us-west-2:\n";

#[test]
fn what_is_said_is_read() {
    let key = digest("k").to_uppercase();
    let text = edited(GLOBAL, &format!("{GLOBAL}, order: [eu-west-1]"));
    let text = text.replace(
        "policy:\n",
        &format!("policy:\n  batch: {{ keys: [{key}] }}\n"),
    );
    let text = ["us-west-2", "us-east-1", "eu-west-1"]
        .into_iter()
        .fold(text, |text, region| {
            text.replace(
                &format!("  {region}:\n"),
                &format!("  {region}:\n    price: 0.5\n"),
            )
        });
    let text = format!("{text}models: {{ mistral-7b: {{ balance: affinity }} }}\n");
    let fleet = parse(&text).unwrap();
    assert_eq!(
        fleet.zones["global"].order,
        Order::Priority(vec!["eu-west-1".parse().unwrap()])
    );
    assert!(
        fleet.batch_keys.contains(&digest("k")),
        "{:?}",
        fleet.batch_keys
    );
    assert!(
        fleet
            .regions
            .values()
            .all(|region| region.price == Some(0.5))
    );
    let balances = fleet.balances(&"us-west-2".parse().unwrap());
    let expected = [
        ("llama-3.1-70b", Balance::LeastLoad),
        ("mistral-7b", Balance::Affinity),
    ];
    assert_eq!(
        balances,
        expected
            .map(|(model, balance)| (model.parse().unwrap(), balance))
            .into()
    );
    let weighted = edited(GLOBAL, &format!("{GLOBAL}, weights: {{ us-west-2: 7 }}"));
    assert_eq!(
        parse(&weighted).unwrap().zones["global"].order,
        Order::Weighted(BTreeMap::from([("us-west-2".parse().unwrap(), 7)]))
    );
    assert_eq!(
        parse(EXAMPLE).unwrap().zones["global"].order,
        Order::Nearest
    );
}

#[test]
fn what_makes_no_sense_is_refused() {
    let zone = |field: &str| format!("{GLOBAL}, {field}");
    for (from, to, at, says) in [
        (
            GLOBAL,
            zone("order: [ap-1]"),
            "zones.global.order[0]",
            "the zone may not use `ap-1`",
        ),
        (
            GLOBAL,
            zone("order: [us-west-2, us-west-2]"),
            "zones.global.order[1]",
            "listed twice",
        ),
        (
            GLOBAL,
            zone("weights: { ap-1: 1 }"),
            "zones.global.weights.ap-1",
            "its regions are: us-west-2, us-east-1, eu-west-1",
        ),
        (
            GLOBAL,
            zone("weights: { us-west-2: 0 }"),
            "zones.global.weights",
            "all weights are 0",
        ),
        (
            GLOBAL,
            zone("order: [us-west-2], weights: { us-west-2: 1 }"),
            "zones.global.order",
            "remove `order` or `weights`",
        ),
        (
            WEST,
            format!("{WEST}    price: 1\n"),
            "regions.eu-west-1.price",
            "these have none: eu-west-1, us-east-1",
        ),
        (
            "policy:\n",
            "policy:\n  batch: { keys: [sk-secret] }\n".to_owned(),
            "policy.batch.keys[0]",
            "sha256sum",
        ),
    ] {
        check_edit(from, &to, at, says);
    }
}

#[test]
fn a_price_is_a_number_from_0_on() {
    for price in ["-1", ".nan", ".inf"] {
        let error = parse(&priced(price)).unwrap_err().to_string();
        assert!(error.contains("regions.us-west-2.price: "), "{error}");
        assert!(error.contains("is not a price"), "{error}");
    }
    assert!(parse(&priced("0")).is_ok());
}

/// The example with prices, us-west-2's own as written.
fn priced(west: &str) -> String {
    let prices = [
        ("us-west-2", west),
        ("us-east-1", "0.5"),
        ("eu-west-1", "0.5"),
    ];
    prices
        .iter()
        .fold(EXAMPLE.to_owned(), |text, (region, price)| {
            text.replace(
                &format!("  {region}:\n"),
                &format!("  {region}:\n    price: {price}\n"),
            )
        })
}

#[test]
fn a_key_that_is_no_digest_is_not_shown() {
    let text = edited("policy:\n", "policy:\n  batch: { keys: [sk-secret] }\n");
    let error = parse(&text).unwrap_err().to_string();
    assert!(!error.contains("sk-secret"), "{error}");
}

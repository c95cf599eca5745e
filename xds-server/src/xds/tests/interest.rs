//! Names and wildcard: the example of the protocol's description, step by step.

use crate::xds::interest::Interest;
use crate::xds::resource_type::ResourceType::{self, Cluster, Endpoint, Listener};
use std::sync::Arc;

fn names(names: &[&str]) -> Vec<Arc<str>> {
    names.iter().map(|&name| name.into()).collect()
}

fn sotw(kind: ResourceType, requests: &[&[&str]]) -> String {
    let mut interest = Interest::new(kind);
    for request in requests {
        let texts: Vec<String> = request.iter().map(|&name| name.to_owned()).collect();
        let (same, before) = (interest.equals(&texts), shown(&interest));
        interest.replace(&names(request));
        assert!(!same || shown(&interest) == before, "{request:?}");
    }
    shown(&interest)
}

fn shown(interest: &Interest) -> String {
    let star = interest.wildcard().then_some("*").into_iter();
    let all: Vec<&str> = star
        .chain(interest.names().iter().map(|name| &**name))
        .collect();
    all.join(" ")
}

#[test]
fn sotw_no_names_are_all_until_there_was_one() {
    assert_eq!(sotw(Cluster, &[&[]]), "*");
    assert_eq!(sotw(Listener, &[&[], &[]]), "*");
    assert_eq!(sotw(Cluster, &[&[], &["*", "a"]]), "* a");
    assert_eq!(sotw(Cluster, &[&[], &["*", "a"], &["a"]]), "a");
    assert_eq!(sotw(Cluster, &[&[], &["*", "a"], &["a"], &[]]), "");
    assert_eq!(sotw(Cluster, &[&["*"], &[]]), "");
}

#[test]
fn sotw_types_by_name_have_no_implied_wildcard() {
    assert_eq!(sotw(Endpoint, &[&[]]), "");
    assert_eq!(sotw(Endpoint, &[&["a"]]), "a");
}

#[test]
fn delta_wildcard_lasts_until_it_is_unsubscribed() {
    let mut interest = Interest::new(Cluster);
    interest.open(&[]);
    assert_eq!(shown(&interest), "*");
    interest.subscribe(&names(&["a"]));
    assert_eq!(shown(&interest), "* a");
    assert!(interest.unsubscribe("*"));
    assert_eq!(shown(&interest), "a");
    assert!(interest.unsubscribe("a"));
    interest.subscribe(&[]);
    assert_eq!(shown(&interest), "");
    assert!(!interest.unsubscribe("a"), "unknown");
}

#[test]
fn delta_types_by_name_have_no_implied_wildcard() {
    let mut interest = Interest::new(Endpoint);
    interest.open(&[]);
    assert_eq!(shown(&interest), "");
    interest.subscribe(&names(&["*"]));
    assert_eq!(shown(&interest), "*");
}

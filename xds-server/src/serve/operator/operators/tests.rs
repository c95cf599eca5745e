use super::*;
use crate::serve::operator::Role;
use crate::serve::operator::list::hash;
use crate::serve::operator::token::new_token;
use meridian_planner::signal::Millis;
use std::time::UNIX_EPOCH;

const NOW: SystemTime = UNIX_EPOCH;

fn entry(name: &str, token: &str, more: &str) -> String {
    let hash = hash(token);
    format!("  - {{ name: {name}, role: read, token_sha256: {hash}{more} }}\n")
}

#[test]
fn what_is_wrong_in_a_file_is_named_by_its_place() {
    let good = entry("ci", "t", "");
    for (entries, error) in [
        (good.replace("ci", "c i"), "operators[0].name: use letters"),
        (
            format!("{good}{}", entry("ci", "u", "")),
            "operators[1].name: `ci` is the name of another one",
        ),
        (
            format!("{good}{}", entry("cd", "t", "")),
            "operators[1].token_sha256: another operator has the same",
        ),
        (
            "  - { name: ci, role: read, token_sha256: meridian_12 }\n".to_owned(),
            "operators[0].token_sha256: write the 64 digits",
        ),
        (
            "  - { name: ci, role: read }\n".to_owned(),
            "operators[0]: give either",
        ),
        (good.replace("role: read", "role: admin"), "admin"),
        (good.replace("role", "roles"), "roles"),
        (entry("ci", "t", ", expires: soon"), "line 2 column"),
    ] {
        let found = OperatorList::parse(&format!("operators:\n{entries}")).unwrap_err();
        assert!(found.contains(error), "{entries}{found}");
        assert!(!found.contains('\n'), "{found}");
    }
}

#[test]
fn a_token_counts_until_it_expires() {
    let (token, mut made) = new_token("ci".into(), Role::Operate, None).unwrap();
    assert_eq!(token.len(), "meridian_".len() + 64);
    made.expires = Some(NOW + Duration::from_secs(60));
    let line = serde_json::to_string(&made).unwrap();
    assert!(!line.contains(&token), "{line}");
    let list = OperatorList::parse(&format!("operators: [{line}]")).unwrap();
    let operators = Operators {
        in_force: ArcSwap::from_pointee(list),
        ..Operators::default()
    };
    let at = |seconds| operators.of_token(&token, NOW + Duration::from_secs(seconds));
    assert_eq!(at(59).unwrap(), made);
    assert_eq!(at(60), Err(NoOperator::Expired("ci".into())));
    let other = operators.of_token(&token.to_ascii_uppercase(), NOW);
    assert_eq!(other, Err(NoOperator::Unknown));
}

#[test]
fn a_file_that_became_bad_leaves_the_operators_before_in_force() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("operators.yaml");
    let write = |text: &str| std::fs::write(&path, format!("operators:\n{text}")).unwrap();
    write(&entry("ci", "first", ""));
    let mut file = OperatorsFile::open(path.display().to_string()).unwrap();
    let operators = file.operators();
    let mut poll = || {
        let read = read(&file.path);
        file.poll(read, || Millis(7));
    };
    let counts = |token: &str| operators.of_token(token, NOW).is_ok();
    write("  - { name: ci }\n");
    poll();
    assert_eq!(operators.report().error, None, "it may be on its way");
    poll();
    let error = operators.report().error.unwrap();
    assert_eq!(error.at, Millis(7));
    let place = format!("control_plane.api.operators: {}: ", path.display());
    assert!(error.message.starts_with(&place), "{}", error.message);
    assert!(counts("first"));
    write(&entry("ci", "second", ""));
    poll();
    assert!(counts("first"));
    poll();
    assert!(counts("second") && !counts("first"));
    assert_eq!(operators.report().error, None);
}

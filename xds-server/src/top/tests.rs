#![allow(clippy::unwrap_used)] // Tests.

use super::state::{State, Step};
use super::view::draw;
use meridian_xds_server::serve::report::Report;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent};
use serde_json::json;

/// A fleet in which much happens.
fn report() -> Report {
    let pool = |utilization: f64, waiting: f64, down: bool, reasons: &[&str]| {
        json!({
            "signals": {
                "utilization": { "now": utilization, "low": utilization, "peak": utilization },
                "waiting": waiting,
            },
            "health": { "down": down, "reasons": reasons },
            "demand": { "global": 12.5, "eea": 4.0 },
        })
    };
    let mut report = serde_json::to_value(Report::default()).unwrap();
    let default = serde_json::to_value(meridian_xds_server::serve::report::PoolReport::default());
    let default = default.unwrap();
    let region = |pool: serde_json::Value| {
        let mut whole = default.clone();
        for (part, value) in pool.as_object().unwrap() {
            match (whole[part].as_object_mut(), value) {
                (Some(whole), serde_json::Value::Object(value)) => whole.extend(value.clone()),
                _ => whole[part] = value.clone(),
            }
        }
        json!({ "pools": { "llama-3.1-70b": whole }, "sources": {} })
    };
    report["at"] = json!(1_796_083_200_000_u64);
    report["version"] = json!("0.1.0");
    report["fleet"]["file"] = json!("fleet.yaml");
    report["regions"] = json!({
        "us-west-2": region(pool(0.97, 130.0, false, &["queue_depth"])),
        "us-east-1": region(pool(0.42, 0.0, false, &[])),
        "eu-west-1": region(pool(0.0, 0.0, true, &["no_endpoints"])),
    });
    report["placements"] = json!({ "us-west-2": { "global": { "llama-3.1-70b": {
        "home_share": 76, "overflow": { "us-east-1": 100 },
    } } } });
    report["alarms"] = json!([{
        "region": "us-west-2", "kind": "without_effect",
        "message": "llama-3.1-70b: shedding at us-west-2 does not lower its utilization; it goes no further",
    }]);
    report["intents"] = json!({ "3": {
        "action": { "kind": "drain", "region": "eu-west-1" }, "by": "ana", "why": "new racks",
        "created": 1_796_083_100_000_u64, "expires": 1_796_086_800_000_u64,
    } });
    serde_json::from_value(report).unwrap()
}

fn screen(state: &mut State) -> String {
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    terminal.draw(|frame| draw(frame, state)).unwrap();
    terminal.backend().to_string()
}

fn press(state: &mut State, code: KeyCode) -> Step {
    state.press(KeyEvent::from(code))
}

#[test]
fn everything_is_on_a_screen() {
    let mut state = State::new("127.0.0.1:18001");
    state.take(Ok(report()));
    insta::assert_snapshot!(screen(&mut state));
}

#[test]
fn a_control_plane_that_is_away_is_said_and_what_it_said_stays() {
    let mut state = State::new("127.0.0.1:18001");
    assert!(screen(&mut state).contains("waiting for the first report"));
    state.take(Err(anyhow::anyhow!("no control plane answers")));
    assert!(screen(&mut state).contains("! no control plane answers"));
    state.take(Ok(report()));
    assert!(!screen(&mut state).contains('!'));
    state.take(Err(anyhow::anyhow!("no control plane answers")));
    let away = screen(&mut state);
    assert!(
        away.contains("! shown as it was: no control plane answers"),
        "{away}"
    );
    assert!(away.contains("drain eu-west-1"), "{away}");
}

#[test]
fn keys_move_the_view_no_further_than_its_ends() {
    let mut state = State::new("127.0.0.1:18001");
    let mut report = report();
    let alarm = report.alarms[0].clone();
    report.alarms = vec![alarm; 60];
    state.take(Ok(report));
    let top = screen(&mut state);
    assert!(!top.contains("intents"), "{top}");
    for _ in 0..9 {
        assert_eq!(press(&mut state, KeyCode::PageDown), Step::Stay);
        screen(&mut state);
    }
    let end = screen(&mut state);
    assert!(end.contains("drain eu-west-1"), "{end}");
    let last = state.scroll.0;
    press(&mut state, KeyCode::Down);
    screen(&mut state);
    assert_eq!(state.scroll.0, last);
    press(&mut state, KeyCode::Up);
    screen(&mut state);
    assert_eq!(state.scroll.0, last - 1);
    press(&mut state, KeyCode::Right);
    let right = screen(&mut state);
    assert!(right.contains("utilization; it goes"), "{right}");
    for _ in 0..9 {
        press(&mut state, KeyCode::PageUp);
    }
    press(&mut state, KeyCode::Left);
    assert_eq!(screen(&mut state), top);
}

#[test]
fn help_comes_and_goes_and_q_ends_it() {
    let mut state = State::new("127.0.0.1:18001");
    press(&mut state, KeyCode::Char('?'));
    assert!(screen(&mut state).contains("eight columns"));
    press(&mut state, KeyCode::Char('?'));
    assert!(!screen(&mut state).contains("eight columns"));
    assert_eq!(press(&mut state, KeyCode::Char('x')), Step::Stay);
    assert_eq!(press(&mut state, KeyCode::Char('q')), Step::Quit);
}

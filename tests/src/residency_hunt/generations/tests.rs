use super::*;

fn poll(from: u64, generation: u32) -> Poll {
    Poll {
        from,
        until: from + 10,
        generations: (generation, generation),
    }
}

#[test]
fn a_quiet_gateway_has_one_generation() {
    let polls = [poll(0, 3), poll(100, 3), poll(2_000, 3), poll(2_100, 3)];
    assert_eq!(possible(polls.iter(), (1_500, 1_900), 9), (3, 3));
}

#[test]
fn an_edit_between_sending_and_decision_leaves_both_possible() {
    let polls = [poll(0, 3), poll(2_000, 3), poll(2_100, 4), poll(2_200, 4)];
    assert_eq!(possible(polls.iter(), (1_900, 2_050), 9), (3, 4));
    // An edit after the decision does not count.
    assert_eq!(possible(polls.iter(), (1_500, 1_900), 9), (3, 3));
}

#[test]
fn a_worker_may_apply_a_generation_late() {
    let polls = [poll(0, 3), poll(100, 4), poll(200, 4), poll(2_000, 4)];
    assert_eq!(
        possible(polls.iter(), (110 + WORKER_DELAY - 100, 1_900), 9),
        (3, 4)
    );
    assert_eq!(
        possible(polls.iter(), (110 + WORKER_DELAY, 1_900), 9),
        (4, 4)
    );
}

#[test]
fn a_gateway_that_does_not_answer_may_have_anything_between() {
    let polls = [poll(0, 3), poll(5_000, 6)];
    assert_eq!(possible(polls.iter(), (2_000, 3_000), 9), (3, 6));
    // Nothing is known after the last poll but what there is.
    assert_eq!(possible(polls.iter(), (8_000, 9_000), 9), (6, 9));
    assert_eq!(possible([].iter(), (8_000, 9_000), 9), (0, 9));
}

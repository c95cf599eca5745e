//! Parsers of traces and their errors.

use crate::cases::{Format, TraceFile};
use crate::trace::{TraceError, TraceRequest, azure, day, mooncake, servegen};

#[test]
fn azure_times_count_from_the_first_request() {
    let text = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:59:59.5000000,374,44\n2023-11-16 19:00:01.0,396,109\n";
    let job = |at, prompt, output| TraceRequest {
        at,
        prompt,
        output,
        session: None,
    };
    assert_eq!(
        azure(text).unwrap(),
        [job(0.0, 374, 44), job(1.5, 396, 109)]
    );
}

#[test]
fn mooncake_requests_have_conversations() {
    let line = |at: u32, ids: &str| {
        format!(
            "{{\"timestamp\": {at}, \"input_length\": 10, \"output_length\": 5, \"hash_ids\": {ids}}}\n"
        )
    };
    let text = [
        line(0, "[1, 2, 3]"),
        line(1500, "[1, 2, 4]"),
        line(3000, "[1, 3]"),
        line(3000, "[]"),
    ]
    .concat();
    let jobs = mooncake(&text).unwrap();
    assert_eq!(
        jobs.iter().map(|job| job.at).collect::<Vec<_>>(),
        [0.0, 1.5, 3.0, 3.0]
    );
    assert_eq!(jobs[0].session, jobs[1].session);
    assert_ne!(jobs[0].session, jobs[2].session);
    assert_eq!(jobs[3].session, None);
}

const CLIENTS: &str = "client,window_start_s,rate_rps,cv,distribution,p1,p2\n0,0,1.0,1,Gamma,0.5,2\n1,600,2.0,1,Weibull,0.7,1\n";

#[test]
fn servegen_clients_have_their_rates_and_follow_the_seed() {
    let lengths = [TraceRequest {
        at: 0.0,
        prompt: 7,
        output: 3,
        session: None,
    }];
    let read = |seed| servegen(CLIENTS, &lengths, 1.0, seed).unwrap();
    let jobs = read(1);
    assert_eq!(jobs, read(1));
    assert_ne!(jobs, read(2));
    assert!(jobs.is_sorted_by(|one, next| one.at <= next.at));
    let (first, second): (Vec<&TraceRequest>, Vec<&TraceRequest>) =
        jobs.iter().partition(|job| job.at < 600.0);
    assert!((450..750).contains(&first.len()), "{}", first.len());
    assert!((1000..1400).contains(&second.len()), "{}", second.len());
    assert!(jobs.iter().all(|job| (job.prompt, job.output) == (7, 3)));
}

#[test]
fn the_highest_half_hour_of_a_day_is_one() {
    let shape = day("day,tokens_per_s\n0.01,50\n0.0105,150\n0.5,400\n").unwrap();
    assert_eq!(shape.len(), 48);
    assert_eq!((shape[0], shape[24], shape[25]), (0.25, 1.0, 0.0));
}

#[test]
fn errors_name_the_line() {
    let line = |error: TraceError| error.line;
    assert_eq!(
        line(
            azure("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:59:59,1,2\nsoon,1,2\n")
                .unwrap_err()
        ),
        3
    );
    assert_eq!(
        line(
            azure("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:59:59,many,2\n")
                .unwrap_err()
        ),
        2
    );
    assert_eq!(
        line(
            azure("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:59:59,1\n").unwrap_err()
        ),
        2
    );
    assert_eq!(line(mooncake("{\"timestamp\": 0, \"input_length\": 10, \"output_length\": 5, \"hash_ids\": []}\n\n{}\n").unwrap_err()), 3);
    for (from, to) in [
        ("Gamma", "Normal"),
        ("0,0,1.0", "0,0,0"),
        ("0.5", "-1"),
        ("0,0,", "me,0,"),
    ] {
        let text = CLIENTS.replacen(from, to, 1);
        assert_eq!(line(servegen(&text, &[], 1.0, 1).unwrap_err()), 2, "{to}");
    }
    assert_eq!(line(day("day,tokens_per_s\n0.1,5\n0.2,\n").unwrap_err()), 3);
}

#[test]
fn a_day_without_load_is_an_error() {
    assert!(day("day,tokens_per_s\n").is_err());
    assert!(day("day,tokens_per_s\n0.5,0\n").is_err());
}

#[test]
fn a_trace_file_has_a_format_and_a_path() {
    let file: TraceFile = "azure:a:b.csv".parse().unwrap();
    assert_eq!(
        (file.format, file.path.to_str()),
        (Format::Azure, Some("a:b.csv"))
    );
    for wrong in ["b.csv", "csv:b.csv", "azure:"] {
        assert!(wrong.parse::<TraceFile>().is_err(), "{wrong}");
    }
    let invalid = file.specs("TIMESTAMP,ContextTokens,GeneratedTokens\nsoon,1,2\n");
    assert_eq!(
        invalid.err().unwrap().to_string(),
        "a:b.csv: line 2: expected a time, as in 2023-11-16 18:17:03.9799600"
    );
    let empty = file.specs("TIMESTAMP,ContextTokens,GeneratedTokens\n");
    assert_eq!(
        empty.err().unwrap().to_string(),
        "a:b.csv: it has no requests"
    );
}

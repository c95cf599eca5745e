//! URLs of providers and gateways, and the parts that messages must not repeat.

use super::{check, check_edit, edited, problems};

#[test]
fn provider_urls() {
    let good = "\"https://api.example.com/v1/\"";
    for (url, says) in [
        ("api.example.com", "https://api.example.com/v1"),
        ("http://api.example.com/v1", "use https://"),
        ("http://10.0.0.9/v1", "use https://"),
        ("http://localhost/v1", "use https://"),
        (
            "ftp://api.example.com/v1",
            "`ftp` is not a supported scheme",
        ),
        ("mailto:api", "names no host"),
        ("https://api.example.com:0/v1", "port 0 cannot"),
        ("https://api.example.com:99999/v1", "invalid port"),
        ("https://api..example.com/v1", "not a DNS name"),
        ("https://", "empty host"),
    ] {
        check_edit(good, &format!("\"{url}\""), "fallbacks.claude.url", says);
    }
    for loopback in ["http://127.0.0.9:9000/v1", "http://[::1]:9000/v1"] {
        check(&edited(good, &format!("\"{loopback}\"")), &[]);
    }
}

#[test]
fn credentials_in_urls_are_refused_and_never_repeated() {
    for url in [
        "https://user:hunter2@api.example.com/v1",
        "https://hunter2@api.example.com/v1",
        "https://:hunter2@api.example.com/v1",
        "http://user:hunter2@api.example.com/v1",
        "ftp://user:hunter2@api.example.com/v1",
        "https://user:hunter2@api.example.com:99999/v1",
        "https://api.example.com/v1?key=hunter2",
        "https://api.example.com/v1#hunter2",
    ] {
        for (from, to, at) in [
            (
                "\"https://api.example.com/v1/\"",
                format!("\"{url}\""),
                "fallbacks.claude.url",
            ),
            (
                "https://us-east-1.llm.example.com",
                format!("\"{url}\""),
                "regions.us-east-1.public.url",
            ),
            (
                "    nearest: [us-east-1, eu-west-1]\n",
                format!(
                    "    nearest: [us-east-1, eu-west-1]\n    signals: [{{ prometheus: \"{url}\", preset: vllm }}]\n"
                ),
                "regions.us-west-2.signals[0].prometheus",
            ),
        ] {
            let text = edited(from, &to);
            check(&text, &[(at, "no place in it")]);
            let message = problems(&text)[0].to_string();
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
}

#[test]
fn public_urls() {
    for url in [
        "us-east-1.llm.example.com",
        "https://us-east-1.llm.example.com/v1",
        "ftp://us-east-1.llm.example.com",
        "https://",
    ] {
        check_edit(
            "https://us-east-1.llm.example.com",
            url,
            "regions.us-east-1.public.url",
            "write scheme and host only",
        );
    }
}

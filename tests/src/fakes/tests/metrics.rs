use super::*;
use crate::fakes::Behaviour;

#[tokio::test]
async fn metrics_show_the_behaviour_and_what_was_served() {
    let fake = pool().await;
    assert!(
        !get(fake.addr(), "/metrics")
            .await
            .text()
            .contains("http_requests_total")
    );
    fake.set(Behaviour {
        running: 4,
        waiting: 7,
        kv_cache_usage: 0.25,
        gpu_utilization: 87.0,
        ..Behaviour::default()
    });
    fake.update(|behaviour| behaviour.replication_lag_seconds = 2.5);
    chat(&fake, json!({"max_tokens": 5})).await;
    let page = get(fake.addr(), "/metrics").await;
    assert_eq!(
        page.headers["content-type"],
        "text/plain; version=1.0.0; charset=utf-8"
    );
    for line in [
        r#"vllm:num_requests_running{engine="0",model_name="tiny"} 4.0"#,
        r#"vllm:num_requests_waiting{engine="0",model_name="tiny"} 7.0"#,
        r#"vllm:num_requests_waiting_by_reason{engine="0",model_name="tiny",reason="capacity"} 7.0"#,
        r#"vllm:kv_cache_usage_perc{engine="0",model_name="tiny"} 0.25"#,
        r#"vllm:request_success_total{engine="0",finished_reason="length",model_name="tiny"} 1.0"#,
        r#"vllm:prompt_tokens_total{engine="0",model_name="tiny"} 3.0"#,
        r#"vllm:generation_tokens_total{engine="0",model_name="tiny"} 5.0"#,
        r#"vllm:time_to_first_token_seconds_count{engine="0",model_name="tiny"} 1.0"#,
        r#"vllm:time_to_first_token_seconds_bucket{engine="0",le="2560.0",model_name="tiny"} 1.0"#,
        r#"vllm:e2e_request_latency_seconds_bucket{engine="0",le="+Inf",model_name="tiny"} 1.0"#,
        r#"vllm:admission_rejections_total{model_name="tiny",reason="max_num_queued_reqs"} 0.0"#,
        r#"http_requests_total{handler="/v1/chat/completions",method="POST",status="2xx"} 1.0"#,
        "pg_replication_lag_seconds 2.5",
    ] {
        assert!(
            page.text().lines().any(|have| have == line),
            "{line} is not in\n{}",
            page.text()
        );
    }
    assert!(
        page.text()
            .lines()
            .any(|line| line.starts_with("DCGM_FI_DEV_GPU_UTIL{") && line.ends_with(" 87.0"))
    );
    assert!(page.text().contains("vllm:cache_config_info{"));
    assert_eq!(
        get(fake.addr(), "/load").await.json(),
        json!({"server_load": 11})
    );
}

#[tokio::test]
async fn each_sample_belongs_to_the_family_announced_before_it() {
    let fake = pool().await;
    chat(&fake, json!({})).await;
    let page = get(fake.addr(), "/metrics").await;
    let mut family = "";
    for line in page.text().lines() {
        if let Some(rest) = line.strip_prefix("# ") {
            family = rest.split(' ').nth(1).unwrap();
        } else {
            let name = line.split(['{', ' ']).next().unwrap();
            let rest = name.strip_prefix(family);
            let suffixes = [Some(""), Some("_bucket"), Some("_sum"), Some("_count")];
            assert!(suffixes.contains(&rest), "{line} under {family}");
        }
    }
}

#[tokio::test]
async fn load_is_in_a_header_for_those_who_ask() {
    let fake = pool().await;
    fake.update(|behaviour| (behaviour.waiting, behaviour.kv_cache_usage) = (6, 0.5));
    let mut request = request("POST", "/v1/chat/completions", question().to_string());
    request
        .headers_mut()
        .insert("endpoint-load-metrics-format", "TEXT".parse().unwrap());
    let load = &send(fake.addr(), request).await.headers["endpoint-load-metrics"];
    assert_eq!(
        load,
        "TEXT named_metrics.num_requests_waiting=6.0, named_metrics.kv_cache_usage_perc=0.5"
    );
    assert!(
        !chat(&fake, json!({}))
            .await
            .headers
            .contains_key("endpoint-load-metrics")
    );
}

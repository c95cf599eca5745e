//! A server's load report in a response header: ORCA's `endpoint-load-metrics`, with vLLM's metrics.

/// The request header that asks for a load report, and the requested format.
pub const REQUEST_HEADER: (&str, &str) = ("endpoint-load-metrics-format", "TEXT");

/// The response header with the load report.
pub const RESPONSE_HEADER: &str = "endpoint-load-metrics";

/// A load report. Fields are `None` if the server does not report them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LoadReport {
    /// Waiting requests of all engines of the server.
    pub waiting: Option<f64>,
    /// KV-cache in use of the server's fullest engine, as a ratio.
    pub kv_cache: Option<f64>,
}

/// Parses the text format of the header. A server with several engines repeats the keys.
pub fn read(value: &str) -> LoadReport {
    let mut load = LoadReport::default();
    let pairs = value.strip_prefix("TEXT ").unwrap_or_default().split(',');
    for (key, value) in pairs.filter_map(|pair| pair.trim().split_once('=')) {
        let Some(value) = value
            .parse::<f64>()
            .ok()
            .filter(|value| value.is_finite() && *value >= 0.0)
        else {
            continue;
        };
        match key {
            "named_metrics.num_requests_waiting" => {
                load.waiting = Some(load.waiting.unwrap_or(0.0) + value)
            }
            "named_metrics.kv_cache_usage_perc" => {
                load.kv_cache = Some(load.kv_cache.unwrap_or(0.0).max(value.min(1.0)))
            }
            _ => {}
        }
    }
    load
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_reports_of_vllm() {
        let two = "TEXT named_metrics.num_requests_waiting=1.0, named_metrics.num_requests_waiting=3.0, \
                   named_metrics.kv_cache_usage_perc=0.03, named_metrics.kv_cache_usage_perc=0.06";
        let load = LoadReport {
            waiting: Some(4.0),
            kv_cache: Some(0.06),
        };
        assert_eq!(read(two), load);
        for nothing in [
            "",
            "TEXT ",
            "JSON {}",
            "TEXT a=b",
            "TEXT named_metrics.kv_cache_usage_perc=NaN",
            "TEXT named_metrics.num_requests_waiting=-1",
        ] {
            assert_eq!(read(nothing), LoadReport::default(), "{nothing}");
        }
    }
}

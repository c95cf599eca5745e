//! Samples of metrics with the expected type.

use super::page::{MetricType, Page, Sample};
use super::refused::{RefusalReason, Refusals};
use std::borrow::Cow;

/// The samples of a metric; none, and a refusal, if the page declares another type.
pub(super) fn samples_of_type<'p, 'a>(
    page: &'p Page<'a>,
    metric: impl Into<Cow<'static, str>>,
    expected: MetricType,
    refusals: &mut Refusals,
) -> &'p [Sample<'a>] {
    let metric = metric.into();
    let kind = page.kind(&metric);
    if kind == expected || kind == MetricType::Untyped {
        return page.samples(&metric);
    }
    refusals.add(metric, RefusalReason::WrongType, &format!("{kind:?}"));
    &[]
}

//! Samples of a metric whose type is the expected one.

use super::page::{MetricType, Page, Sample};
use super::refused::{RefusalReason, Refusals};
use std::borrow::Cow;

/// The samples of a metric, if the page does not say that they are of another type.
pub(super) fn samples_of_type<'p, 'a>(
    page: &'p Page<'a>,
    metric: impl Into<Cow<'static, str>>,
    kind: MetricType,
    refusals: &mut Refusals,
) -> &'p [Sample<'a>] {
    let metric = metric.into();
    let said = page.kind(&metric);
    if said == kind || said == MetricType::Untyped {
        return page.samples(&metric);
    }
    refusals.add(metric, RefusalReason::WrongType, &format!("{said:?}"));
    &[]
}

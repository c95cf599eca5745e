//! What each of Meridian's two choices is worth: that of a region, and that of a server in it.

use crate::strategy::Strategy;
use crate::study::Studied;

/// What happens to the figures where one of them is not Meridian's, and where neither is.
pub fn parts(cases: &[Studied]) -> String {
    let ahead = |way| {
        let cases = cases.iter().filter(|case| is_ahead(case, way));
        cases.count()
    };
    let (servers, regions) = (Strategy::OwnServers, Strategy::OwnRegions);
    format!(
        "### What each part is worth\n\n\
         Meridian picks a region, and in it a server. With its regions alone (*{}*) {}; that is ahead of all other ways, in both, in {} of \
         {} cases. With its servers alone (*{}*) {}; that is ahead in {}. With neither (*{}*) {}. The medians of the cases; no part of \
         the gate.\n",
        regions.name(),
        beside_meridian(cases, regions),
        ahead(regions),
        cases.len(),
        servers.name(),
        beside_meridian(cases, servers),
        ahead(servers),
        Strategy::Nearest.name(),
        beside_meridian(cases, Strategy::Nearest),
    )
}

fn first_token(case: &Studied, way: Strategy) -> f64 {
    case.spread(way, |of| of.first_token[1]).mean
}

fn kept(case: &Studied, way: Strategy) -> f64 {
    case.spread(way, |of| of.attainment).mean
}

/// Whether a way is better than each of the others in both figures.
fn is_ahead(case: &Studied, way: Strategy) -> bool {
    let mut others = Strategy::ALL.into_iter().filter(|other| other.is_other());
    others.all(|other| {
        first_token(case, way) < first_token(case, other) && kept(case, way) > kept(case, other)
    })
}

/// How a way's figures differ from Meridian's.
fn beside_meridian(cases: &[Studied], way: Strategy) -> String {
    let times = |case| first_token(case, way) / first_token(case, Strategy::Meridian);
    let points = |case| (kept(case, way) - kept(case, Strategy::Meridian)) * 100.0;
    format!(
        "the P95 is {:.2} times Meridian's and the promises kept {:+.2} points",
        median(cases.iter().map(times)),
        median(cases.iter().map(points)),
    )
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    let (low, high) = (values.len().saturating_sub(1) / 2, values.len() / 2);
    let at = |index: usize| values.get(index).copied().unwrap_or_default();
    f64::midpoint(at(low), at(high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert!((median([3.0, 1.0, 100.0].into_iter()) - 3.0).abs() < 1e-9);
        assert!((median([4.0, 1.0, 100.0, 2.0].into_iter()) - 3.0).abs() < 1e-9);
    }
}

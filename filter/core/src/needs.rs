//! The needs of a request besides a response: `x-meridian-needs: fresh`.

use crate::header_map::HeaderMap;
use crate::refusal::Reason;
use meridian_policy::headers::NEEDS;

/// The only need: a response from a region whose data is not behind.
const FRESH: &str = "fresh";

/// Whether a request needs fresh data, by the header [`NEEDS`] or by the fleet's own header.
///
/// # Errors
/// The request has an unknown need. It must not be ignored, because it cannot be met.
pub fn fresh(request: &HeaderMap, extra_header: Option<&str>) -> Result<bool, Reason> {
    let is_needs_header = |name: &str| {
        let mut names = extra_header.into_iter().chain([NEEDS]);
        names.any(|known| name.eq_ignore_ascii_case(known))
    };
    let values = request
        .iter()
        .filter(|(name, _)| is_needs_header(name))
        .flat_map(|(name, values)| values.split(',').map(move |value| (name, value.trim())))
        .filter(|(_, value)| !value.is_empty());
    let mut fresh = false;
    for (name, value) in values {
        if !value.eq_ignore_ascii_case(FRESH) {
            return Err(Reason::UnknownNeed {
                header: name.to_owned(),
                need: value.to_owned(),
            });
        }
        fresh = true;
    }
    Ok(fresh)
}

//! What a caller needs besides an answer: `x-meridian-needs: fresh`.

use crate::refusal::Reason;
use meridian_policy::headers::NEEDS;

/// The one need that there is: an answer from a region whose data is not behind.
const FRESH: &str = "fresh";

/// Whether a request needs fresh data, by [`NEEDS`] or by a header that the fleet has for it as well.
///
/// # Errors
/// A need that nobody knows. It cannot be met, and must not be passed over.
pub fn fresh(request: &[(String, String)], extra_header: Option<&str>) -> Result<bool, Reason> {
    let says = |name: &str| {
        let mut names = extra_header.into_iter().chain([NEEDS]);
        names.any(|known| name.eq_ignore_ascii_case(known))
    };
    let values = request
        .iter()
        .filter(|(name, _)| says(name))
        .flat_map(|(name, values)| values.split(',').map(move |value| (name, value.trim())))
        .filter(|(_, value)| !value.is_empty());
    let mut fresh = false;
    for (name, value) in values {
        if !value.eq_ignore_ascii_case(FRESH) {
            return Err(Reason::UnknownNeed {
                header: name.clone(),
                need: value.to_owned(),
            });
        }
        fresh = true;
    }
    Ok(fresh)
}

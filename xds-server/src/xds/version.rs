//! The version of a set of resources: a hash of their names and versions. It is the same on every stream and after a
//! restart.

use super::resource_type::ResourceType;
use xxhash_rust::xxh3::Xxh3Default;

/// The version of a type's resources. `pairs` are names and versions, sorted by name.
pub(super) fn version<'a>(
    kind: ResourceType,
    pairs: impl Iterator<Item = (&'a str, &'a str)>,
) -> String {
    let mut hash = Xxh3Default::new();
    let mut add = |text: &str| {
        // The length prefix makes the encoding unambiguous.
        hash.update(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
        hash.update(text.as_bytes());
    };
    add(kind.type_url());
    for (name, version) in pairs {
        add(name);
        add(version);
    }
    format!("{:032x}", hash.digest128())
}

//! Names of types for people.

/// `a::b::Name<c::D>` as `Name<c::D>`.
pub(crate) fn short_type_name(name: &str) -> &str {
    let head = name.find('<').unwrap_or(name.len());
    let start = name[..head].rfind("::").map_or(0, |at| at + 2);
    &name[start..]
}

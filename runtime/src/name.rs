//! The name of an actor, as others are told it.

use std::{
    fmt,
    hash::{Hash, Hasher},
    ops::Deref,
    sync::{Arc, OnceLock},
};

use crate::{id::ActorId, util::type_name::short_type_name};

/// The name of an actor: the one that its builder was given, or its type and identity, such as
/// `Worker#7`.
///
/// It is a `str` to whoever reads it. A name that was not given is put together only when it is
/// read, so that the ends of many actors cost nothing for it.
///
/// # Examples
///
/// ```
/// use lanemesh_runtime::ActorName;
///
/// let name = ActorName::from("db");
/// assert_eq!(name, "db");
/// assert!(name.starts_with('d'));
/// ```
#[derive(Clone)]
pub struct ActorName(Inner);

#[derive(Clone)]
enum Inner {
    Given(Arc<str>),
    Made {
        type_name: &'static str,
        id: ActorId,
        text: OnceLock<Arc<str>>,
    },
}

impl ActorName {
    pub(crate) fn made(type_name: &'static str, id: ActorId) -> Self {
        Self(Inner::Made {
            type_name,
            id,
            text: OnceLock::new(),
        })
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        self.text()
    }

    fn text(&self) -> &Arc<str> {
        match &self.0 {
            Inner::Given(name) => name,
            Inner::Made {
                type_name,
                id,
                text,
            } => text.get_or_init(|| format!("{}{id}", short_type_name(type_name)).into()),
        }
    }
}

impl Deref for ActorName {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl From<Arc<str>> for ActorName {
    fn from(name: Arc<str>) -> Self {
        Self(Inner::Given(name))
    }
}

impl From<&str> for ActorName {
    fn from(name: &str) -> Self {
        Self(Inner::Given(name.into()))
    }
}

impl From<ActorName> for Arc<str> {
    fn from(name: ActorName) -> Self {
        name.text().clone()
    }
}

impl PartialEq for ActorName {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for ActorName {}

impl PartialEq<str> for ActorName {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for ActorName {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl Hash for ActorName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Display for ActorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for ActorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_that_was_not_given_is_made_of_type_and_identity() {
        let id = ActorId::next();
        let name = ActorName::made("a::b::Name<c::D>", id);
        assert_eq!(name, format!("Name<c::D>{id}").as_str());
        let copy: Arc<str> = name.clone().into();
        assert!(Arc::ptr_eq(&copy, name.text()));
        assert_eq!(ActorName::from(copy), name);
    }
}

//! Weaker code at single points, for tests that show that they would find it ([`simulation`](crate::simulation)).

/// Whether the mutant of this name is on.
#[cfg(not(test))]
#[inline(always)]
pub(super) const fn is_on(_name: &str) -> bool {
    false
}

#[cfg(test)]
pub(super) fn is_on(name: &str) -> bool {
    debug_assert!(ALL.contains(&name), "{name} is not in the list");
    CHOSEN.get() == name
}

/// All of them.
#[cfg(test)]
pub(crate) const ALL: [&str; 4] = [
    "receipt_without_sync",
    "hand_over_kept",
    "accepted_and_released",
    "waiter_forgotten",
];

#[cfg(test)]
thread_local! {
    static CHOSEN: std::cell::Cell<&'static str> = const { std::cell::Cell::new("") };
}

/// The one that is on in this thread; none is empty.
#[cfg(test)]
pub(crate) fn chosen() -> &'static str {
    CHOSEN.get()
}

/// Turns it on in this thread, and every other one off.
#[cfg(test)]
pub(crate) fn choose(name: &'static str) {
    CHOSEN.set(name);
}

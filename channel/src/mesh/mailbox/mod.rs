//! A mesh of mailboxes: receivers with two classes.

pub(super) mod classes;
pub(super) mod membership;
pub(super) mod receiver;
pub(super) mod sender;

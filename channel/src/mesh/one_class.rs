//! The ports of a mesh of one class.

use super::{handover::Port, lanes::Class, rule::Rule, table::Ports};
use crate::{builder::Builder, sender::Sender, sync::wake_all::WakeAll};

impl<T> Ports for Port<T> {
    type Root = Sender<T>;
    type Rules = Rule<T>;
    type Settings = Builder;

    fn new(root: &Sender<T>) -> Self {
        Self::to(root.downgrade())
    }

    fn is_complete(&self) -> bool {
        Self::is_complete(self)
    }

    fn forget(&self, all: &mut WakeAll) {
        Self::forget(self, all);
    }
}

/// The only class.
pub(super) struct Only;

impl<T> Class<T> for Only {
    type Ports = Port<T>;

    fn port(ports: &Port<T>) -> &Port<T> {
        ports
    }

    fn rule(rules: &Rule<T>) -> &Rule<T> {
        rules
    }
}

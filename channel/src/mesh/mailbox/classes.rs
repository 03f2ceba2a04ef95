//! The two classes of a mesh of mailboxes.

use std::marker::PhantomData;

use crate::{
    builder::MailboxBuilder,
    mailbox::sender::MailboxSender,
    mesh::{handover::Port, lanes::Class, rule::Rule, table::Ports},
    sync::wake_all::WakeAll,
};

/// The ports of a mailbox.
pub(in crate::mesh) struct PortPair<High, Low> {
    high: Port<High>,
    low: Port<Low>,
}

impl<High, Low> Ports for PortPair<High, Low> {
    type Root = MailboxSender<High, Low>;
    type Rules = (Rule<High>, Rule<Low>);
    type Settings = MailboxBuilder;

    fn new(root: &MailboxSender<High, Low>) -> Self {
        Self {
            high: Port::to(root.high.downgrade()),
            low: Port::to(root.low.downgrade()),
        }
    }

    fn is_complete(&self) -> bool {
        self.high.is_complete() && self.low.is_complete()
    }

    fn forget(&self, all: &mut WakeAll) {
        self.high.forget(all);
        self.low.forget(all);
    }
}

/// The high class of a mesh with messages `Low` in the other.
pub(super) struct HighClass<Low>(PhantomData<fn() -> Low>);

impl<High, Low> Class<High> for HighClass<Low> {
    type Ports = PortPair<High, Low>;

    fn port(ports: &PortPair<High, Low>) -> &Port<High> {
        &ports.high
    }

    fn rule((high, _): &(Rule<High>, Rule<Low>)) -> &Rule<High> {
        high
    }
}

/// The low class of a mesh with messages `High` in the other.
pub(super) struct LowClass<High>(PhantomData<fn() -> High>);

impl<High, Low> Class<Low> for LowClass<High> {
    type Ports = PortPair<High, Low>;

    fn port(ports: &PortPair<High, Low>) -> &Port<Low> {
        &ports.low
    }

    fn rule((_, low): &(Rule<High>, Rule<Low>)) -> &Rule<Low> {
        low
    }
}

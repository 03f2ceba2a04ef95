//! One small trait over every actor runtime, statically dispatched, and one file per runtime.
//!
//! Every runtime gets the same worker: it tallies what it is told, answers what it is asked, and
//! panics when told to. Mailboxes have [`MAILBOX`] slots where the runtime knows bounds; where every
//! sender has a lane of its own, the lanes share them.

mod actix;
mod bare;
mod kameo;
mod lanemesh_runtime;
mod ractor;
mod traits;
mod worker;

pub use self::actix::{Actix, ActixArbiter};
pub use self::bare::Bare;
pub use self::kameo::Kameo;
pub use self::lanemesh_runtime::LanemeshRuntime;
pub use self::ractor::Ractor;
pub use self::traits::{Actors, ActorsVisitor, Handle, MAILBOX};
pub use self::worker::{ActorCounter, COUNT, CountedActor, Flood, PANIC, SUM, Worker};

/// Shows every runtime to a visitor.
pub fn visit_actors(visitor: &mut impl ActorsVisitor) {
    visitor.visit::<LanemeshRuntime>();
    visitor.visit::<Kameo>();
    visitor.visit::<Ractor>();
    visitor.visit::<Actix>();
    visitor.visit::<ActixArbiter>();
    visitor.visit::<Bare>();
}

//! Every actor runtime behind one small trait, statically dispatched; one file for each runtime.
//!
//! All runtimes run the same [`Worker`]: it tallies the messages it is told, answers questions, and
//! panics on request. A bounded mailbox has [`MAILBOX`] slots; if every sender has a lane of its
//! own, the lanes share them.

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
pub use self::lanemesh_runtime::{LanemeshRuntime, LanemeshRuntimeShared};
pub use self::ractor::Ractor;
pub use self::traits::{Actors, ActorsVisitor, Handle, MAILBOX};
pub use self::worker::{ActorCounter, COUNT, CountedActor, Flood, PANIC, SUM, Worker};

/// Calls the visitor for every runtime.
pub fn visit_actors(visitor: &mut impl ActorsVisitor) {
    visitor.visit::<LanemeshRuntime>();
    visitor.visit::<LanemeshRuntimeShared>();
    visitor.visit::<Kameo>();
    visitor.visit::<Ractor>();
    visitor.visit::<Actix>();
    visitor.visit::<ActixArbiter>();
    visitor.visit::<Bare>();
}

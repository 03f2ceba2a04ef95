//! Every channel behind one small family of traits, statically dispatched.
//!
//! `traits` has what a channel can do, `adapter` the macro that forwards it to a channel's own
//! operations, `peers` the channels that lanemesh is compared with. An adapter only forwards: it adds
//! no buffering, no retry and no batching that its channel lacks.

use bytes::Bytes;

mod adapter;
mod lanemesh;
mod peers;
mod rtrb;
pub(in crate::rivals) mod traits;

pub use self::lanemesh::{Lanemesh, LanemeshLanes};
pub use self::peers::{
    AsyncChannel, Crossbeam, CrossfireAsync, CrossfireBlocking, Flume, FuturesMpsc, KanalAsync,
    KanalBlocking, StdMpsc, Tachyonix, Thingbuf, TokioMpsc,
};
pub use self::rtrb::{Rtrb, RtrbChunks};
pub use self::traits::{
    AsyncFamily, AsyncRx, AsyncTx, AsyncVisitor, Attempt, BlockingFamily, BlockingRx, BlockingTx,
    BlockingVisitor, Family, Slots, TryRx, TryTx, TryVisitor,
};

/// What some channels ask to be called once before they are used.
pub fn prepare(membarrier: bool) {
    crossfire::detect_backoff_cfg();
    if membarrier && let Err(error) = ::lanemesh::register_membarrier() {
        eprintln!("lanemesh goes without membarrier: {error}");
    }
}

/// Shows every channel for tasks to a visitor.
pub fn visit_async(visitor: &mut impl AsyncVisitor) {
    visitor.visit::<Lanemesh>();
    visitor.visit::<TokioMpsc>();
    visitor.visit::<Tachyonix>();
    visitor.visit::<KanalAsync>();
    visitor.visit::<Flume>();
    visitor.visit::<AsyncChannel>();
    visitor.visit::<CrossfireAsync>();
    visitor.visit::<Thingbuf>();
    visitor.visit::<FuturesMpsc>();
}

/// Shows every channel for threads to a visitor.
pub fn visit_blocking(visitor: &mut impl BlockingVisitor) {
    visitor.visit::<Lanemesh>();
    visitor.visit::<StdMpsc>();
    visitor.visit::<Crossbeam>();
    visitor.visit::<KanalBlocking>();
    visitor.visit::<Flume>();
    visitor.visit::<CrossfireBlocking>();
    visitor.visit::<Rtrb>();
}

/// Shows every channel to a visitor, each once: those that serve tasks and threads as the former.
pub fn visit_all(visitor: &mut impl TryVisitor) {
    struct Adapter<'a, V>(&'a mut V);

    impl<V: TryVisitor> AsyncVisitor for Adapter<'_, V> {
        fn visit<F: AsyncFamily<u64> + AsyncFamily<Bytes>>(&mut self) {
            self.0.visit::<F>();
        }
    }

    visit_async(&mut Adapter(visitor));
    visitor.visit::<StdMpsc>();
    visitor.visit::<Crossbeam>();
    visitor.visit::<Rtrb>();
    visitor.visit::<RtrbChunks>();
}

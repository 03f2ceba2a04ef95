//! Every channel behind one small family of traits, statically dispatched.
//!
//! `traits` has what a channel can do, `adapter` the macro that forwards it to a channel's own
//! operations, `peers` the channels that lanemesh is compared with. An adapter only forwards: it
//! adds no buffering, no retry and no batching that its channel lacks.

use bytes::Bytes;

mod adapter;
mod lanemesh;
mod peers;
mod rtrb;
pub(in crate::rivals) mod traits;

pub use self::lanemesh::{Lanemesh, LanemeshNoExpress, LanemeshShared, LanemeshTotal};
pub use self::peers::{
    AsyncChannel, Crossbeam, CrossfireAsync, CrossfireBlocking, FibreAsync, FibreBlocking, Flume,
    FuturesMpsc, KanalAsync, KanalBlocking, StdMpsc, Tachyonix, Thingbuf, TokioMpsc,
};
pub use self::rtrb::{Rtrb, RtrbChunks};
pub use self::traits::{
    AsyncFamily, AsyncRx, AsyncTx, AsyncVisitor, Attempt, BlockingFamily, BlockingRx, BlockingTx,
    BlockingVisitor, Capacity, Family, TryRx, TryTx, TryVisitor,
};

/// Does the process-wide setup that some channels recommend; call it once before measuring. Returns
/// whether `lanemesh` uses membarrier.
pub fn prepare(membarrier: bool) -> bool {
    crossfire::detect_backoff_cfg();
    if !membarrier {
        return false;
    }
    let registered = ::lanemesh::register_membarrier();
    if let Err(error) = &registered {
        eprintln!("lanemesh runs without membarrier: {error}");
    }
    registered.is_ok()
}

/// Calls the visitor for every channel for tasks, and for the bounds of `lanemesh` that are one for
/// all producers.
pub fn visit_async_bounds(visitor: &mut impl AsyncVisitor) {
    visit_async(visitor);
    visitor.visit::<LanemeshTotal>();
    visitor.visit::<LanemeshShared>();
}

/// Calls the visitor for every channel for tasks.
pub fn visit_async(visitor: &mut impl AsyncVisitor) {
    visitor.visit::<Lanemesh>();
    visitor.visit::<LanemeshNoExpress>();
    visitor.visit::<TokioMpsc>();
    visitor.visit::<Tachyonix>();
    visitor.visit::<KanalAsync>();
    visitor.visit::<Flume>();
    visitor.visit::<AsyncChannel>();
    visitor.visit::<CrossfireAsync>();
    visitor.visit::<FibreAsync>();
    visitor.visit::<Thingbuf>();
    visitor.visit::<FuturesMpsc>();
}

/// Calls the visitor for every channel for threads.
pub fn visit_blocking(visitor: &mut impl BlockingVisitor) {
    visitor.visit::<Lanemesh>();
    visitor.visit::<LanemeshNoExpress>();
    visitor.visit::<StdMpsc>();
    visitor.visit::<Crossbeam>();
    visitor.visit::<KanalBlocking>();
    visitor.visit::<Flume>();
    visitor.visit::<CrossfireBlocking>();
    visitor.visit::<FibreBlocking>();
    visitor.visit::<LanemeshTotal>();
    visitor.visit::<LanemeshShared>();
    visitor.visit::<Rtrb>();
}

/// Calls the visitor once for every channel: in its variant for tasks if it has one.
pub fn visit_all(visitor: &mut impl TryVisitor) {
    struct Adapter<'a, V>(&'a mut V);

    impl<V: TryVisitor> AsyncVisitor for Adapter<'_, V> {
        fn visit<F: AsyncFamily<u64> + AsyncFamily<Bytes>>(&mut self) {
            self.0.visit::<F>();
        }
    }

    visit_async_bounds(&mut Adapter(visitor));
    visitor.visit::<StdMpsc>();
    visitor.visit::<Crossbeam>();
    visitor.visit::<Rtrb>();
    visitor.visit::<RtrbChunks>();
}

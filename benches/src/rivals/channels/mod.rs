//! One small trait family over every channel, statically dispatched, and one file per peer.
//!
//! An adapter adds nothing but names: no buffering, no retry, no batching that its channel lacks.

use bytes::Bytes;

mod async_channel;
mod crossbeam;
mod crossfire;
mod flume;
mod futures_mpsc;
mod kanal;
mod lanemesh;
mod rtrb;
mod std_mpsc;
mod tachyonix;
mod thingbuf;
mod tokio_mpsc;
pub(in crate::rivals) mod traits;

pub use self::async_channel::AsyncChannel;
pub use self::crossbeam::Crossbeam;
pub use self::crossfire::{CrossfireAsync, CrossfireBlocking};
pub use self::flume::{FlumeAsync, FlumeBlocking};
pub use self::futures_mpsc::FuturesMpsc;
pub use self::kanal::{KanalAsync, KanalBlocking};
pub use self::lanemesh::{Lanemesh, LanemeshLanes};
pub use self::rtrb::{Rtrb, RtrbChunks};
pub use self::std_mpsc::StdMpsc;
pub use self::tachyonix::Tachyonix;
pub use self::thingbuf::Thingbuf;
pub use self::tokio_mpsc::TokioMpsc;
pub use self::traits::{
    AsyncFamily, AsyncRx, AsyncTx, AsyncVisitor, Attempt, BlockingFamily, BlockingRx, BlockingTx,
    BlockingVisitor, Family, Slots, TryRx, TryTx, TryVisitor,
};

/// What some channels ask to be called once before they are used.
pub fn prepare(membarrier: bool) {
    ::crossfire::detect_backoff_cfg();
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
    visitor.visit::<FlumeAsync>();
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
    visitor.visit::<FlumeBlocking>();
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

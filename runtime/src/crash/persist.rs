//! State that survives a restart: counters, cursors.
//!
//! A restart gives an actor fresh state. State that must survive goes into a [`Persistent`] that
//! the factory holds, and each incarnation leases it. It survives restarts, not the process: it is
//! in memory. Access takes no lock: the value moves into the lease, and back when the lease is
//! dropped, also by a panic.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex},
};

use crate::util::lock::lock;

/// A value that passes from one incarnation of an actor to the next.
///
/// # Examples
///
/// ```
/// # use lanemesh_runtime::{
/// #     Actor, ActorResult, Context, Restart, builder, crash::{Lease, Persistent},
/// # };
/// struct Reader { cursor: Lease<u64> }
/// impl Actor for Reader {
///     type HighPriorityMsg = ();
///     type LowPriorityMsg = u64;
///     async fn on_low(&mut self, n: u64, _: &mut Context<Self>) -> ActorResult {
///         *self.cursor += n;
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cursor = Persistent::new(0);
/// let persistent = cursor.clone();
/// let (mut handle, child) = builder(move || Reader { cursor: persistent.lease() })
///     .restart(Restart::Permanent)
///     .spawn();
/// handle.send_low(3).await?;
/// handle.idle().await;
/// child.stop().await;
/// assert_eq!(cursor.with(|cursor| *cursor), Some(3));
/// # Ok(()) }
/// ```
pub struct Persistent<T>(Arc<Mutex<Option<T>>>);

impl<T> Persistent<T> {
    /// Makes a persistent value.
    pub fn new(value: T) -> Self {
        Self(Arc::new(Mutex::new(Some(value))))
    }

    /// Takes the value until the lease is dropped.
    ///
    /// # Panics
    ///
    /// If it is leased already. Incarnations of one actor never overlap, so a factory that takes
    /// one lease per incarnation never sees this.
    pub fn lease(&self) -> Lease<T> {
        match self.try_lease() {
            Some(lease) => lease,
            None => panic!("the persistent value is leased already"),
        }
    }

    /// Takes the value until the lease is dropped, unless it is leased already.
    pub fn try_lease(&self) -> Option<Lease<T>> {
        let value = lock(&self.0).take()?;
        Some(Lease {
            value: Some(value),
            home: self.clone(),
        })
    }

    /// Looks at the value; none while it is leased.
    pub fn with<R>(&self, look: impl FnOnce(&T) -> R) -> Option<R> {
        lock(&self.0).as_ref().map(look)
    }
}

impl<T> Clone for Persistent<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> fmt::Debug for Persistent<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Persistent")
            .field("leased", &lock(&self.0).is_none())
            .finish()
    }
}

/// Exclusive access to a [`Persistent`] value, held by one incarnation.
pub struct Lease<T> {
    value: Option<T>,
    home: Persistent<T>,
}

impl<T> Deref for Lease<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.value {
            Some(value) => value,
            None => unreachable!("only the drop takes the value"),
        }
    }
}

impl<T> DerefMut for Lease<T> {
    fn deref_mut(&mut self) -> &mut T {
        match &mut self.value {
            Some(value) => value,
            None => unreachable!("only the drop takes the value"),
        }
    }
}

impl<T> Drop for Lease<T> {
    fn drop(&mut self) {
        *lock(&self.home.0) = self.value.take();
    }
}

impl<T: fmt::Debug> fmt::Debug for Lease<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

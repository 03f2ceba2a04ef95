//! Looking up actors by name, within a system.

use std::sync::Arc;

use crate::{
    actor::{Actor, Context},
    error::LookupError,
    handle::SharedHandle,
    spawn::System,
};

impl System {
    /// The actor of type `A` that is registered under `name`
    /// ([`Builder::registered`](crate::Builder::registered)), anywhere in the tree of this system.
    ///
    /// All who look an actor up share its lanes. For lanes of your own, take
    /// [`SharedHandle::handle`].
    ///
    /// # Errors
    ///
    /// [`LookupError::Unknown`], or [`LookupError::OtherType`] when the actor is not an `A`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use lanemesh_runtime::{LookupError, System, builder, testing::Sink};
    ///
    /// type Meter = Sink<(), u64>;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let system = System::new("server");
    /// let (_, child) = system.spawn(builder(Meter::new).registered("meter"));
    ///
    /// let meter = system.look_up::<Meter>("meter")?;
    /// meter.send_low(1).await?;
    /// meter.idle().await;
    /// assert_eq!(meter.stats().low, 1);
    ///
    /// child.stop().await;
    /// assert_eq!(system.look_up::<Meter>("meter").err(), Some(LookupError::Unknown));
    /// # Ok(()) }
    /// ```
    pub fn look_up<A: Actor>(&self, name: &str) -> Result<SharedHandle<A>, LookupError> {
        let registry = self.group.registry().ok_or(LookupError::NoSystem)?;
        registry.look_up(name)
    }

    /// The names that are registered in this system, sorted.
    pub fn registered(&self) -> Vec<Arc<str>> {
        let registry = self.group.registry();
        registry
            .map(|registry| registry.names())
            .unwrap_or_default()
    }
}

impl<A: Actor> Context<A> {
    /// The actor of type `B` that is registered under `name` in the system of this actor. See
    /// [`System::look_up`].
    ///
    /// # Errors
    ///
    /// [`LookupError::NoSystem`] when this actor belongs to none; otherwise as there.
    pub fn look_up<B: Actor>(&self, name: &str) -> Result<SharedHandle<B>, LookupError> {
        let registry = self.seat().and_then(|seat| seat.group.registry());
        registry.ok_or(LookupError::NoSystem)?.look_up(name)
    }
}

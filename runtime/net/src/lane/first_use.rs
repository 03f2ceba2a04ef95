//! A lane that nobody has used yet. It has no task: whatever happens first on it starts its pump.
//!
//! It promises that a message, a request, the last handle's drop, the actor's end and the link's end each start
//! the pump, which then finds them. It takes nothing out of the mailbox itself.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Wake, Waker},
};

use tokio::runtime::Handle;

use super::pump::{Pump, Supply};
use crate::remote::Remote;

/// The waker of a lane without a task.
struct FirstUse<A: Remote> {
    state: Mutex<State<A>>,
    runtime: Handle,
}

#[expect(
    clippy::large_enum_variant,
    reason = "it is the one that waits; a box would be another allocation"
)]
enum State<A: Remote> {
    /// The waker is being registered.
    Arming {
        is_woken: bool,
    },
    Unused(Supply<A>),
    Used,
}

/// Pumps from the first use on, in a task of this runtime.
pub(crate) fn pump_from_first_use<A: Remote>(mut supply: Supply<A>) {
    let first_use = Arc::new(FirstUse {
        state: Mutex::new(State::Arming { is_woken: false }),
        runtime: Handle::current(),
    });
    let waker = Waker::from(first_use.clone());
    let is_used = supply.is_used(&mut Context::from_waker(&waker));
    let mut state = first_use.lock();
    if is_used || matches!(*state, State::Arming { is_woken: true }) {
        *state = State::Used;
        drop(state);
        first_use.start(supply);
    } else {
        *state = State::Unused(supply);
    }
}

impl<A: Remote> FirstUse<A> {
    fn lock(&self) -> MutexGuard<'_, State<A>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&self, supply: Supply<A>) {
        let (pump, lane) = Pump::new(supply);
        self.runtime.spawn(pump.run(lane));
    }
}

impl<A: Remote> Wake for FirstUse<A> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut state = self.lock();
        match std::mem::replace(&mut *state, State::Used) {
            State::Arming { .. } => *state = State::Arming { is_woken: true },
            State::Unused(supply) => {
                drop(state);
                self.start(supply);
            }
            State::Used => {}
        }
    }
}

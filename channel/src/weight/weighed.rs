//! What a limit gives: weight that is reserved, and messages that hold theirs.

use std::{
    fmt,
    ops::{Deref, DerefMut},
};

use super::{error::WeighError, pool::Pool};
use crate::sync::Arc;

/// Weight that is reserved for one message. Dropped, it is free again.
pub struct WeightPermit<T> {
    held: Held,
    weigh: fn(&T) -> usize,
}

/// A message that holds its weight of a [`WeightLimit`](crate::WeightLimit), until it is unwrapped or dropped.
///
/// It keeps the weight that it had when it was weighed, whatever becomes of the message meanwhile.
pub struct Weighed<T> {
    message: T,
    held: Held,
}

/// Steps of a pool, which go back to it.
struct Held {
    pool: Arc<Pool>,
    steps: usize,
}

impl<T> WeightPermit<T> {
    pub(super) fn new(pool: Arc<Pool>, steps: usize, weigh: fn(&T) -> usize) -> Self {
        Self {
            held: Held { pool, steps },
            weigh,
        }
    }

    /// What it has reserved.
    pub fn weight(&self) -> usize {
        self.held.weight()
    }

    /// Weighs a message, for which this has reserved enough. What it has reserved beyond that is free again.
    ///
    /// # Errors
    ///
    /// [`WeighError::TooHeavy`] with the message if it weighs more than was reserved. All of that is free again then.
    pub fn attach(mut self, message: T) -> Result<Weighed<T>, WeighError<T>> {
        match self.held.pool.steps_of((self.weigh)(&message)) {
            Some(steps) if steps <= self.held.steps => {
                let unused = self.held.steps - steps;
                self.held.steps = steps;
                self.held.pool.release(unused);
                Ok(Weighed::new(message, self))
            }
            _ => Err(WeighError::TooHeavy(message)),
        }
    }
}

impl<T> Weighed<T> {
    pub(super) fn new(message: T, permit: WeightPermit<T>) -> Self {
        Self {
            message,
            held: permit.held,
        }
    }

    /// The weight that it holds.
    pub fn weight(&self) -> usize {
        self.held.weight()
    }

    /// The message, and its weight is free again.
    pub fn into_inner(self) -> T {
        self.message
    }
}

impl Held {
    fn weight(&self) -> usize {
        self.pool.weight_of(self.steps)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.pool.release(self.steps);
    }
}

impl<T> Deref for Weighed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.message
    }
}

impl<T> DerefMut for Weighed<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.message
    }
}

/// Compares the messages, whatever they weigh.
impl<T: PartialEq> PartialEq for Weighed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.message == other.message
    }
}

impl<T: Eq> Eq for Weighed<T> {}

impl<T: fmt::Debug> fmt::Debug for Weighed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Weighed")
            .field("message", &self.message)
            .field("weight", &self.weight())
            .finish()
    }
}

impl<T> fmt::Debug for WeightPermit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeightPermit")
            .field("weight", &self.weight())
            .finish_non_exhaustive()
    }
}

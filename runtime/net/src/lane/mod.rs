//! The two ends of a lane: the pump, which takes messages out of the handle's mailbox when there is
//! credit for them, and the landing, which puts them into the actor's mailbox.
//!
//! These are the only parts that know the type of the actor.

mod attach;
mod first_use;
mod landing;
mod left;
mod pump;
mod step;

pub(crate) use self::{
    attach::{Directory, Lane, attach},
    first_use::pump_from_first_use,
    landing::Landing,
    left::Left,
    pump::{Supply, WhenDown},
};

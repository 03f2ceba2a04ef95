//! For those who know another actor system: what it has, and what it is called here.
//!
//! One page for each system. They compare names and meanings, not speed. Where this crate has
//! nothing of the kind, the table says so.
//!
//! | from | page |
//! |---|---|
//! | actix | [`actix`] |
//! | kameo | [`kameo`] |
//! | Erlang/OTP | [`otp`] |
//! | PulseBeam's runtime | [`pulsebeam`] |
//! | ractor | [`ractor`] |
//! | actr-runtime, airssys-rt, steady_state, liminal | [`others`] |
//!
//! What is the same for all:
//!
//! - An actor with one type of messages implements [`Handler`](crate::Handler); one with a type for
//!   each priority implements [`Actor`](crate::Actor).
//! - [`spawn`](crate::spawn()) returns a handle and a [`Child`](crate::Child). The handle sends; the
//!   `Child` owns the actor, which stops when it is dropped. [`Child::detach`](crate::Child::detach)
//!   leaves the actor to its system or parent, or to itself.
//! - A clone of an [`ActorHandle`](crate::ActorHandle) is another producer with a capacity of its
//!   own. Where you are used to cloning a handle for each message, or to keeping it in shared state,
//!   use [`ActorHandle::shared`](crate::ActorHandle::shared) once, and clone that.
//! - Mailboxes are bounded, unless [`Builder::low_unbounded`](crate::Builder::low_unbounded) says
//!   otherwise, and every ask has a time limit.
//! - A restart keeps the identity, the handles and the queued messages.

pub mod actix;
pub mod kameo;
pub mod otp;
pub mod pulsebeam;
pub mod ractor;

#[doc = include_str!("../../COMING_FROM.md")]
pub mod others {}

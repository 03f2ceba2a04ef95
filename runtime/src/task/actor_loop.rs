//! The macro for loops with extra arms.

/// The loop of an actor that also waits for timers, sockets or streams.
///
/// Use it as the body of [`Actor::run`](crate::Actor::run). After the actor and its context come
/// the extra arms, in the form of `tokio::select!`: a pattern, a future, an optional condition, and
/// a block. The futures are created again in each iteration and must be cancel-safe. The blocks are
/// not raced: they may await, use `?` and the context, and `break` to end the loop with success.
///
/// The order is stop, exit notices, high, then extra arms and low. Budgets keep it fair: after 32
/// low messages, or 64 high ones, every extra arm that is ready gets one turn; after every arm has
/// had its turn, low does. So a flood cannot starve an arm, and an arm that is always ready can
/// starve neither the mailbox nor another arm.
///
/// An arm's future cannot borrow the context; its block can use it.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use lanemesh_runtime::{Actor, ActorResult, Context, builder, actor_loop};
/// use tokio::time::Interval;
///
/// struct Meter {
///     tick: Interval,
///     count: u64,
/// }
///
/// impl Actor for Meter {
///     type HighPriorityMsg = ();
///     type LowPriorityMsg = u64;
///
///     async fn on_low(&mut self, n: u64, _: &mut Context<Self>) -> ActorResult {
///         self.count += n;
///         Ok(())
///     }
///
///     async fn run(&mut self, ctx: &mut Context<Self>) -> ActorResult {
///         actor_loop!(self, ctx,
///             _ = self.tick.tick() => {
///                 println!("{} in this second", std::mem::take(&mut self.count));
///             },
///         )
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let meter = || Meter { tick: tokio::time::interval(Duration::from_secs(1)), count: 0 };
/// let (handle, child) = builder(meter).spawn();
/// # handle.idle().await;
/// # child.stop().await;
/// # }
/// ```
#[macro_export]
macro_rules! actor_loop {
    ($actor:expr, $ctx:expr $(,)?) => {
        $ctx.run($actor).await
    };
    ($actor:expr, $ctx:expr, $($arms:tt)+) => {
        $crate::__actor_loop!(@arms [$actor] [$ctx] [0u32] [] $($arms)+)
    };
}

/// Numbers the arms, then expands to the loop.
#[doc(hidden)]
#[macro_export]
macro_rules! __actor_loop {
    // pattern = future, if condition => { block } [,] rest
    (@arms $a:tt $c:tt [$n:expr] [$($done:tt)*]
        $pat:pat = $fut:expr, if $cond:expr => $body:block , $($rest:tt)*) => {
        $crate::__actor_loop!(@arms $a $c [$n + 1u32]
            [$($done)* { ($n) ($pat) ($fut) ($cond) $body }] $($rest)*)
    };
    (@arms $a:tt $c:tt [$n:expr] [$($done:tt)*]
        $pat:pat = $fut:expr, if $cond:expr => $body:block $($rest:tt)*) => {
        $crate::__actor_loop!(@arms $a $c [$n + 1u32]
            [$($done)* { ($n) ($pat) ($fut) ($cond) $body }] $($rest)*)
    };
    (@arms $a:tt $c:tt [$n:expr] [$($done:tt)*]
        $pat:pat = $fut:expr => $body:block , $($rest:tt)*) => {
        $crate::__actor_loop!(@arms $a $c [$n + 1u32]
            [$($done)* { ($n) ($pat) ($fut) (true) $body }] $($rest)*)
    };
    (@arms $a:tt $c:tt [$n:expr] [$($done:tt)*]
        $pat:pat = $fut:expr => $body:block $($rest:tt)*) => {
        $crate::__actor_loop!(@arms $a $c [$n + 1u32]
            [$($done)* { ($n) ($pat) ($fut) (true) $body }] $($rest)*)
    };
    (@arms [$actor:expr] [$ctx:expr] [$count:expr]
        [$({ ($n:expr) ($pat:pat) ($fut:expr) ($cond:expr) $body:block })+]) => {{
        loop {
            let event = match $ctx.urgent().await {
                Some(event) => event,
                None => $crate::__private::tokio::select! {
                    biased;
                    $(
                        $pat = $fut, if $ctx.arm_open($n) && $cond => {
                            $ctx.arm_fired($n);
                            $body
                            #[allow(unreachable_code)]
                            {
                                continue;
                            }
                        }
                    )+
                    event = $ctx.rest() => event,
                },
            };
            if !$ctx.handle_event($actor, event).await? {
                break;
            }
        }
        Ok::<(), $crate::ActorError>(())
    }};
}

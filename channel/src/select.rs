//! Waiting as a thread for several receivers at once.
//!
//! It adds no protocol: the thread's waker is registered with each receiver, as that of a task that polls them in turn
//! would be. A receiver belongs to one thread, so what was found ready stays so.

use std::{
    cell::Cell,
    fmt,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use crate::{
    mailbox::{class_receiver::ClassReceiver, receiver::MailboxReceiver},
    receiver::{Receiver, budget::Source, intake::Intake},
    sync::{park, spin, wake_all::WakeAll},
};

/// Waits, as a thread, until one of several receivers has a message, or is closed and drained.
///
/// It says which one, by the order in which they were given, and takes nothing: the message is there for
/// [`try_recv`](Receiver::try_recv), since nobody else can receive it. Of several receivers that are ready
/// it names one in turn, so that none is passed over for ever; for a preference, use a
/// [`mailbox`](crate::mailbox()).
///
/// A receiver that is closed and drained is ready each time. Leave it out with [`recv_if`](Self::recv_if)
/// once that is known.
///
/// The functions that wait spin for a moment and then park the thread, so they must not be called in async
/// code. There, poll the receivers in one task, with the `select!` of any runtime.
///
/// # Examples
///
/// ```
/// use lanemesh::{Select, TryRecvError};
///
/// let (mut numbers, mut a) = lanemesh::channel(8);
/// let (mut words, mut b) = lanemesh::mailbox::<&str, u8>(8, 8);
/// let threads = [
///     std::thread::spawn(move || (0..3).for_each(|n| numbers.blocking_send(n).unwrap())),
///     std::thread::spawn(move || words.blocking_send_high("stop").unwrap()),
/// ];
/// let (mut a_open, mut b_open) = (true, true);
/// let mut received = 0;
/// while a_open || b_open {
///     match Select::new().recv_if(a_open, &mut a).recv_if(b_open, &mut b).ready() {
///         0 => match a.try_recv() {
///             Ok(_) => received += 1,
///             Err(_) => a_open = false,
///         },
///         _ => match b.try_recv() {
///             Ok(_) => received += 1,
///             Err(_) => b_open = false,
///         },
///     }
/// }
/// assert_eq!(received, 4);
/// assert_eq!(a.try_recv(), Err(TryRecvError::Closed));
/// # threads.into_iter().for_each(|thread| thread.join().unwrap());
/// ```
#[derive(Debug, Default)]
#[must_use = "it waits only when it is told to"]
pub struct Select<'a> {
    /// In the order in which they were given; `None` for one that is left out.
    receivers: Vec<Option<Selectable<'a>>>,
}

/// A receiver that a [`Select`] can wait for: made from `&mut` [`Receiver`], [`MailboxReceiver`] or
/// [`ClassReceiver`].
pub struct Selectable<'a> {
    waits: &'a mut dyn Waits,
}

impl<'a> Select<'a> {
    /// No receiver yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a receiver. The first has the index 0, the next 1, and so on.
    pub fn recv(self, receiver: impl Into<Selectable<'a>>) -> Self {
        self.recv_if(true, receiver)
    }

    /// Adds a receiver if `condition` is true. If not, its index is used up, and no receiver has it.
    pub fn recv_if(mut self, condition: bool, receiver: impl Into<Selectable<'a>>) -> Self {
        self.receivers.push(condition.then(|| receiver.into()));
        self
    }

    /// The index of a receiver that is ready now; `None` if none is.
    ///
    /// # Examples
    ///
    /// ```
    /// use lanemesh::Select;
    ///
    /// let (mut tx, mut a) = lanemesh::channel(1);
    /// let (_tx, mut b) = lanemesh::channel::<u8>(1);
    /// assert_eq!(Select::new().recv(&mut a).recv(&mut b).try_ready(), None);
    /// tx.try_send(1).unwrap();
    /// assert_eq!(Select::new().recv(&mut a).recv(&mut b).try_ready(), Some(0));
    /// ```
    pub fn try_ready(mut self) -> Option<usize> {
        self.find(|waits| waits.is_ready())
    }

    /// Waits until a receiver is ready, blocking the thread, and returns its index.
    ///
    /// # Panics
    ///
    /// Panics if there is no receiver, because it would wait for ever.
    #[track_caller]
    pub fn ready(self) -> usize {
        assert!(
            self.receivers.iter().any(Option::is_some),
            "a wait for no receiver would not end"
        );
        match self.ready_until(None) {
            Some(index) => index,
            None => unreachable!("there is no deadline"),
        }
    }

    /// Waits until a receiver is ready, blocking the thread for at most `timeout`, and returns its index;
    /// `None` if none was ready in time.
    pub fn ready_timeout(self, timeout: Duration) -> Option<usize> {
        if timeout.is_zero() {
            return self.try_ready();
        }
        self.ready_until(Instant::now().checked_add(timeout))
    }

    /// Waits until a receiver is ready, blocking the thread until `deadline` at the latest, and returns its
    /// index; `None` if none was ready in time. If the deadline has passed, it still finds one that is
    /// ready.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    ///
    /// use lanemesh::Select;
    ///
    /// let (mut tx, mut rx) = lanemesh::mailbox::<&str, u8>(1, 1);
    /// let (_tx, mut other) = lanemesh::channel::<u8>(1);
    /// tx.try_send_low(1).unwrap();
    /// let deadline = Instant::now() + Duration::from_millis(1);
    /// // One class alone.
    /// let ready = Select::new().recv(&mut other).recv(&mut rx.high()).ready_deadline(deadline);
    /// assert_eq!(ready, None);
    /// let ready = Select::new().recv(&mut other).recv(&mut rx.low()).ready_deadline(deadline);
    /// assert_eq!(ready, Some(1));
    /// ```
    pub fn ready_deadline(self, deadline: Instant) -> Option<usize> {
        self.ready_until(Some(deadline))
    }

    fn ready_until(mut self, deadline: Option<Instant>) -> Option<usize> {
        if let Some(index) = spin::spin(deadline, || self.find(|waits| waits.has_next())) {
            return Some(index);
        }
        let parked = Parked(&mut self);
        for receiver in parked.0.receivers.iter_mut().flatten() {
            receiver.waits.begin();
        }
        let ready = park::block_on(deadline, |cx| {
            match parked.0.find(|waits| waits.poll(cx).is_ready()) {
                Some(index) => Poll::Ready(index),
                None => Poll::Pending,
            }
        });
        // A poll may be pending only because others are to run first.
        ready.or_else(|| parked.0.find(|waits| waits.is_ready()))
    }

    /// The index of the first receiver for which `is_ready` is true. Each call begins somewhere else.
    fn find(&mut self, mut is_ready: impl FnMut(&mut dyn Waits) -> bool) -> Option<usize> {
        let count = self.receivers.len();
        let start = start(count);
        (0..count).map(|n| (start + n) % count).find(|&index| {
            self.receivers[index]
                .as_mut()
                .is_some_and(|receiver| is_ready(receiver.waits))
        })
    }
}

/// Where to begin, among `count`: the fractions of the multiples of the golden ratio, which take turns evenly also for one
/// of several loops that a thread runs, each of which sees every other value alone.
fn start(count: usize) -> usize {
    const GOLDEN: u32 = 0x9E37_79B9;
    thread_local! {
        static FRACTION: Cell<u32> = const { Cell::new(0) };
    }
    // A thread that is being torn down has no locals any more, and begins with the first.
    let fraction = FRACTION
        .try_with(|fraction| fraction.replace(fraction.get().wrapping_add(GOLDEN)))
        .unwrap_or(0);
    ((u64::from(fraction) * count as u64) >> 32) as usize
}

/// A thread that may have registered its waker with the receivers: none is left behind, even if one panics.
struct Parked<'s, 'a>(&'s mut Select<'a>);

impl Drop for Parked<'_, '_> {
    fn drop(&mut self) {
        let mut all = WakeAll::default();
        for receiver in self.0.receivers.iter_mut().flatten() {
            all.run(|| receiver.waits.end());
        }
        all.done();
    }
}

/// What a wait for any kind of receiver needs of it.
trait Waits {
    fn has_next(&mut self) -> bool;
    /// Whether it has a message, or nothing will come.
    fn is_ready(&mut self) -> bool;
    /// The thread is about to park.
    fn begin(&mut self);
    /// As `is_ready`; if not, the waker is woken when it is.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<bool>;
    fn end(&mut self);
}

/// Whatever has a source and a budget.
trait HasIntake {
    type Source: Source;

    fn intake(&mut self) -> Intake<'_, Self::Source>;
}

impl<R: HasIntake> Waits for R {
    fn has_next(&mut self) -> bool {
        self.intake().source.has_next()
    }

    fn is_ready(&mut self) -> bool {
        let source = self.intake().source;
        source.has_next() || source.is_finished()
    }

    fn begin(&mut self) {
        self.intake().budget.begin_wait();
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let intake = self.intake();
        intake.budget.reset();
        intake.poll_readable(cx)
    }

    fn end(&mut self) {
        self.intake().source.stop_sleeping();
    }
}

macro_rules! selectable {
    ($($receiver:ident<$($lifetime:lifetime,)? $($message:ident),+> takes from $source:ty;)*) => {
        $(
            impl<$($lifetime,)? $($message),+> HasIntake for $receiver<$($lifetime,)? $($message),+> {
                type Source = $source;

                fn intake(&mut self) -> Intake<'_, $source> {
                    self.intake()
                }
            }

            impl<'s, $($lifetime: 's,)? $($message: 's),+> From<&'s mut $receiver<$($lifetime,)? $($message),+>>
                for Selectable<'s>
            {
                fn from(receiver: &'s mut $receiver<$($lifetime,)? $($message),+>) -> Self {
                    Self { waits: receiver }
                }
            }
        )*
    };
}

selectable! {
    Receiver<T> takes from crate::receiver::inbox::Inbox<T>;
    MailboxReceiver<High, Low> takes from crate::mailbox::classes::Classes<High, Low>;
    ClassReceiver<'c, T> takes from crate::receiver::inbox::Inbox<T>;
}

impl fmt::Debug for Selectable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Selectable").finish_non_exhaustive()
    }
}

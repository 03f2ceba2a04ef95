use std::{
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
};

use super::super::{Acquire, Acquired, OVERTAKES, Semaphore};

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

fn wakes() -> (Arc<Wakes>, Waker) {
    let wakes = Arc::new(Wakes::default());
    (wakes.clone(), Waker::from(wakes))
}

fn poll(wait: Pin<&mut Acquire<'_>>, waker: &Waker) -> Poll<Acquired> {
    wait.poll(&mut Context::from_waker(waker), |_| true)
}

fn take(semaphore: &Semaphore, wanted: usize) -> bool {
    semaphore.try_acquire(wanted, |owners| owners + 1).is_ok()
}

#[test]
fn the_word_keeps_its_parts_apart() {
    let semaphore = Semaphore::new(super::super::MAX_PERMITS, (1 << 33) - 2);
    assert!(take(&semaphore, super::super::MAX_PERMITS));
    let word = semaphore.load();
    assert_eq!((word.free(), word.owners()), (0, (1 << 33) - 1));
    assert!(!word.is_closed() && !word.has_waiters());
    semaphore.release(super::super::MAX_PERMITS);
    semaphore.close();
    let word = semaphore.load();
    assert_eq!(
        (word.free(), word.owners()),
        (super::super::MAX_PERMITS, (1 << 33) - 1)
    );
    assert!(word.is_closed() && !take(&semaphore, 1));
}

#[test]
fn waits_are_served_in_order_and_newcomers_do_not_overtake() {
    let semaphore = Semaphore::new(1, 0);
    assert!(take(&semaphore, 1));
    let (count, waker) = wakes();
    let mut first = pin!(Acquire::new(&semaphore, 2));
    let mut second = pin!(Acquire::new(&semaphore, 1));
    assert!(poll(first.as_mut(), &waker).is_pending());
    assert!(poll(second.as_mut(), &waker).is_pending());
    semaphore.release(1);
    // One is free, but the first wants two.
    assert!(!take(&semaphore, 1));
    assert_eq!(count.0.load(SeqCst), 0);
    semaphore.release(1);
    assert_eq!(count.0.load(SeqCst), 1);
    assert_eq!(poll(first, &waker), Poll::Ready(Acquired::Permits));
    assert!(poll(second.as_mut(), &waker).is_pending());
    semaphore.release(2);
    assert_eq!(poll(second, &waker), Poll::Ready(Acquired::Permits));
    assert_eq!(semaphore.load().free(), 1);
    assert!(take(&semaphore, 1));
}

/// Permits that were added and not handed out yet, to who comes: a few times, and then the first in the queue gets one.
#[test]
fn newcomers_overtake_a_few_times() {
    let semaphore = Semaphore::new(0, 0);
    assert!(!semaphore.overtake(), "none is free");
    let (count, waker) = wakes();
    let mut waits: Vec<_> = (0..3)
        .map(|_| Box::pin(Acquire::new(&semaphore, 1)))
        .collect();
    for wait in &mut waits {
        assert!(poll(wait.as_mut(), &waker).is_pending());
    }
    for (served, wait) in waits.iter_mut().enumerate() {
        for _ in 0..OVERTAKES {
            assert!(semaphore.add(1));
            assert!(semaphore.overtake());
            assert!(!semaphore.overtake(), "none is free");
        }
        assert!(semaphore.add(2));
        assert!(!semaphore.overtake());
        assert_eq!(count.0.load(SeqCst), served);
        semaphore.serve_first(1);
        assert_eq!(count.0.load(SeqCst), served + 1);
        assert_eq!(poll(wait.as_mut(), &waker), Poll::Ready(Acquired::Permits));
        assert_eq!(semaphore.load().free(), 1);
        if served < 2 {
            assert!(semaphore.overtake(), "counted anew");
            // One fewer is left for the next round.
            semaphore.overtakes.store(0, SeqCst);
        }
    }
    assert!(take(&semaphore, 1));
}

#[test]
fn a_cancelled_wait_passes_on_what_it_was_granted() {
    let semaphore = Semaphore::new(0, 0);
    let (count, waker) = wakes();
    let mut second = pin!(Acquire::new(&semaphore, 1));
    {
        let mut first = pin!(Acquire::new(&semaphore, 1));
        assert!(poll(first.as_mut(), Waker::noop()).is_pending());
        assert!(poll(second.as_mut(), &waker).is_pending());
        semaphore.release(1);
        assert_eq!(count.0.load(SeqCst), 0);
    }
    assert_eq!(count.0.load(SeqCst), 1);
    assert_eq!(poll(second, &waker), Poll::Ready(Acquired::Permits));
    assert!(!semaphore.load().has_waiters());
}

/// The one in front wants more than there are; when it goes, the next has enough.
#[test]
fn a_wait_that_is_cancelled_in_front_lets_the_next_through() {
    let semaphore = Semaphore::new(1, 0);
    let (count, waker) = wakes();
    let mut second = pin!(Acquire::new(&semaphore, 1));
    {
        let mut first = pin!(Acquire::new(&semaphore, 2));
        assert!(poll(first.as_mut(), Waker::noop()).is_pending());
        assert!(poll(second.as_mut(), &waker).is_pending());
    }
    assert_eq!(count.0.load(SeqCst), 1);
    assert_eq!(poll(second, &waker), Poll::Ready(Acquired::Permits));
}

/// In front, in the middle, at the end, and all of them: nothing is left behind, wakers least of all.
#[test]
fn cancelled_waits_leave_nothing() {
    for cancelled in 0..8u32 {
        let semaphore = Semaphore::new(0, 0);
        let mut all: Vec<_> = (0..3)
            .map(|_| (wakes(), Some(Box::pin(Acquire::new(&semaphore, 1)))))
            .collect();
        for ((_, waker), wait) in &mut all {
            assert!(poll(wait.as_mut().unwrap().as_mut(), waker).is_pending());
        }
        for (n, (_, wait)) in all.iter_mut().enumerate() {
            if cancelled & (1 << n) != 0 {
                *wait = None;
            }
        }
        assert_eq!(semaphore.load().has_waiters(), cancelled != 7);
        for (n, ((count, _), _)) in all.iter().enumerate() {
            let held = if cancelled & (1 << n) != 0 { 2 } else { 3 };
            assert_eq!(Arc::strong_count(count), held);
        }
        semaphore.release(3);
        for (n, ((count, waker), wait)) in all.iter_mut().enumerate() {
            let left = cancelled & (1 << n) == 0;
            assert_eq!(count.0.load(SeqCst), usize::from(left));
            assert_eq!(Arc::strong_count(count), 2);
            if let Some(wait) = wait {
                assert_eq!(poll(wait.as_mut(), waker), Poll::Ready(Acquired::Permits));
            }
        }
        assert_eq!(semaphore.load().free(), cancelled.count_ones() as usize);
    }
}

#[test]
fn a_wait_wakes_the_waker_of_its_last_poll() {
    let semaphore = Semaphore::new(0, 0);
    let ((first, first_waker), (second, second_waker)) = (wakes(), wakes());
    let mut wait = pin!(Acquire::new(&semaphore, 1));
    assert!(poll(wait.as_mut(), &first_waker).is_pending());
    assert!(poll(wait.as_mut(), &second_waker).is_pending());
    assert_eq!(
        (Arc::strong_count(&first), Arc::strong_count(&second)),
        (2, 3)
    );
    semaphore.release(1);
    assert_eq!((first.0.load(SeqCst), second.0.load(SeqCst)), (0, 1));
    assert_eq!(poll(wait, &second_waker), Poll::Ready(Acquired::Permits));
}

/// More than one batch, of which some panic.
#[test]
fn close_ends_all_waits_though_wakers_panic() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("the waker's own");
        }
    }
    let semaphore = Semaphore::new(0, 0);
    let (count, waker) = wakes();
    let bad = Waker::from(Arc::new(Panics));
    let mut waits: Vec<_> = (0..40)
        .map(|_| Box::pin(Acquire::new(&semaphore, 1)))
        .collect();
    for (n, wait) in waits.iter_mut().enumerate() {
        let waker = if n % 5 == 0 { &bad } else { &waker };
        assert!(poll(wait.as_mut(), waker).is_pending());
    }
    semaphore.close();
    let served = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| semaphore.serve()));
    assert!(served.is_err());
    assert_eq!(count.0.load(SeqCst), 32);
    for wait in &mut waits {
        assert_eq!(poll(wait.as_mut(), &waker), Poll::Ready(Acquired::Closed));
        assert_eq!(poll(wait.as_mut(), &waker), Poll::Ready(Acquired::Closed));
    }
    assert!(!semaphore.load().has_waiters());
}

/// Wakers that release, acquire, wait and cancel at the same semaphore, as they are cloned, woken and dropped.
#[test]
fn wakers_use_the_semaphore() {
    struct Uses(Arc<Semaphore>, Mutex<usize>);
    impl Uses {
        fn run(&self) {
            let Ok(mut left) = self.1.try_lock() else {
                return;
            };
            if *left == 0 {
                return;
            }
            *left -= 1;
            self.0.release(1);
            let mut wait = pin!(Acquire::new(&self.0, 1));
            if poll(wait.as_mut(), Waker::noop()).is_ready() {
                self.0.release(1);
            }
            if take(&self.0, 1) {
                self.0.release(1);
            }
        }
    }
    impl Wake for Uses {
        fn wake(self: Arc<Self>) {
            self.run();
        }
    }
    impl Drop for Uses {
        fn drop(&mut self) {
            self.run();
        }
    }
    let semaphore = Arc::new(Semaphore::new(0, 0));
    let waker = || Waker::from(Arc::new(Uses(semaphore.clone(), Mutex::new(3))));
    let mut waits: Vec<_> = (0..4)
        .map(|_| Box::pin(Acquire::new(&semaphore, 1)))
        .collect();
    for wait in &mut waits {
        // Ready, perhaps: the waker before released a permit as it was dropped.
        for _ in 0..2 {
            if poll(wait.as_mut(), &waker()) == Poll::Ready(Acquired::Permits) {
                semaphore.release(1);
            }
        }
    }
    drop(waits);
    semaphore.release(1);
    semaphore.close();
    semaphore.serve();
    assert!(!semaphore.load().has_waiters());
}

/// Threads that acquire, wait, cancel and release: none is forgotten, and no permit is lost or acquired twice.
#[test]
fn threads_share_permits() {
    const ROUNDS: usize = if cfg!(miri) { 50 } else { 20_000 };
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let semaphore = Semaphore::new(2, 0);
    let used = AtomicUsize::new(0);
    thread::scope(|scope| {
        for number in 0..3 {
            let (semaphore, used) = (&semaphore, &used);
            scope.spawn(move || {
                let waker = Waker::from(Arc::new(Unpark(thread::current())));
                for n in 0..ROUNDS {
                    let wanted = 1 + (n + number) % 2;
                    if n % 3 == 0 {
                        let _ = poll(pin!(Acquire::new(semaphore, wanted)), Waker::noop())
                            .map(|_| semaphore.release(wanted));
                    }
                    let mut wait = pin!(Acquire::new(semaphore, wanted));
                    while poll(wait.as_mut(), &waker).is_pending() {
                        thread::park();
                    }
                    assert!(used.fetch_add(wanted, SeqCst) + wanted <= 2);
                    used.fetch_sub(wanted, SeqCst);
                    semaphore.release(wanted);
                }
            });
        }
    });
    assert_eq!(semaphore.load().free(), 2);
    assert!(!semaphore.load().has_waiters());
}

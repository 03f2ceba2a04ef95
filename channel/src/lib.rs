//! A multi-producer mailbox: a fan-in of one SPSC queue per producer, with a priority class that no
//! flood can delay.
//!
//! Each sender has a *lane* of its own, a bounded single-producer queue, so senders do not contend
//! for a cache line. The receiver learns which lanes have messages from a lock-free *ready list*,
//! so idle lanes cost it nothing. The crate needs no runtime: tasks of any executor and plain
//! threads may send and receive, in any mix.
//!
//! - [`channel`]: one class of messages, [`Sender`] and [`Receiver`].
//! - [`mailbox`]: two classes, high and low priority, [`MailboxSender`] and [`MailboxReceiver`].
//! - [`unbounded`]: lanes without a bound, for the cases that need it.
//! - [`mesh`]: several receivers, with a lane from each sender to each of them.
//!
//! ```
//! use lanemesh::{Message, mailbox};
//!
//! // Per producer a lane for 16 commands and one for 1024 packets.
//! let (tx, mut rx) = mailbox::<&str, u64>(16, 1024);
//! let mut media = tx.clone();
//! let mut control = tx;
//! for packet in 0..1000 {
//!     media.try_send_low(packet).unwrap();
//! }
//! control.try_send_high("disconnect").unwrap();
//! assert_eq!(rx.try_recv(), Ok(Message::High("disconnect")));
//! assert_eq!(rx.try_recv(), Ok(Message::Low(0)));
//! ```
//!
//! In tasks:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let (mut tx, mut rx) = lanemesh::channel(8);
//! tokio::spawn(async move {
//!     for n in 0..100 {
//!         tx.send(n).await.unwrap();
//!     }
//! });
//! let mut sum = 0;
//! while let Some(n) = rx.recv().await {
//!     sum += n;
//! }
//! assert_eq!(sum, 4950);
//! # }
//! ```
//!
//! # Promises
//!
//! 1. **Order**: messages of one producer and class arrive in the order in which they were sent.
//!    There is no order between producers, nor between high and low.
//! 2. **High first**: if a high-priority send has returned before a receive begins, that receive
//!    returns its message. A batch that is already being received delays it by at most
//!    [`HIGH_LOOK_INTERVAL`] messages, however many low-priority lanes become ready. With a
//!    [share for the low class](MailboxBuilder::low_share) one low-priority message may come before it.
//! 3. **`Ok` means delivered**: the receiver gets the message, or drops it when it is dropped
//!    itself, or for newer ones [if it was told to](Builder::drop_oldest). A failed send returns the message.
//! 4. **No lost wake-up** of a receiver or of a waiting sender, whether a task or a thread.
//! 5. **Lock-free**: a producer that is stopped at any instruction delays no other producer's
//!    messages. The clones of a [`SharedSender`] are one producer: one that is stopped within a send
//!    delays what the others send after it. Waiting in a [`SharedSender`] and [`Sender::closed`] take
//!    a short lock, under which no code of others runs. A receiver that meets a sender during the
//!    few instructions in which it fills a shared slot stays awake until the slot is filled. With a
//!    [total capacity](Builder::total_capacity) senders that wait take a short lock too; `try_`
//!    functions and receivers do not wait for it.
//! 6. **Cost by active lanes**: 100,000 idle lanes add nothing to the cost of a receive.
//! 7. **No read-modify-write** on a line that another thread writes, while the receiver is busy
//!    with the lane of a [`Sender`]: a send is a push to the lane's ring, one fence and one load. An occasional
//!    message goes through a [shared slot](Builder::shared_slots) instead, with one exchange; a
//!    sender switches to its lane within 16 messages of a burst. With a total capacity each message
//!    costs one exchange more: of the pool's word, which all share, or, where the lane has borrowed
//!    ahead, of a word that the receiver writes only when it reclaims slots.
//! 8. **No allocation per message** once a lane has grown to its size; a lane that keeps more than 64
//!    KiB waiting allocates a ring for each 64 KiB, unless its [first ring](Builder::first_ring) holds
//!    more. An idle lane takes at most 1 KiB for messages of 8 bytes: about 170 bytes as long as no
//!    two messages have met in it, 800 bytes with its first ring.
//! 9. **Each message is dropped once**, on every path, even if a message's own drop panics.
//! 10. **`Send` and `Sync`** only for messages that are `Send`.
//! 11. **Cooperative**: an async receiver that never finds its lanes empty, and an async sender
//!     that always finds room, yield to their executors after
//!     [128 messages, or after about 50 µs](Builder::budget) if the messages are quick.
//!
//! Because of promise 11, one poll of an async function may return `Pending` although there is a
//! message or room; its waker has then been woken. A caller that polls only once, as `now_or_never`
//! does, should call a `try_` function instead: those have no budget, and neither do the blocking
//! functions.
//!
//! # Closing and clean shutdown
//!
//! A channel ends in one of three ways:
//!
//! | event | senders | receiver |
//! |---|---|---|
//! | the last sender is dropped | | takes what was sent, then gets `None` |
//! | [`Receiver::close`] | fail and get their messages back; [`Sender::closed`] resolves | takes what was accepted, then gets `None` |
//! | the receiver is dropped | as above | drops what was accepted |
//!
//! To shut down without losing a message, close, then receive until `None`. To let the producers
//! finish first, tell them to stop, drop your own senders and receive until `None`: the channel
//! ends with the last clone. A [`WeakSender`] does not keep it open.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let (mut tx, mut rx) = lanemesh::channel(8);
//! let watcher = tx.downgrade();
//! tx.try_send("accepted").unwrap();
//! rx.close();
//! watcher.closed().await;
//! assert_eq!(tx.try_send("late").unwrap_err().into_inner(), "late");
//! assert_eq!(rx.recv().await, Some("accepted"));
//! assert_eq!(rx.recv().await, None);
//! # }
//! ```
//!
//! # Tasks and threads
//!
//! Both ends come in an async and a blocking form, and the two ends of one channel need not use the
//! same. The blocking functions (`blocking_send`, `send_timeout`, `send_deadline`, `blocking_recv`,
//! `blocking_recv_many`, `recv_timeout`, `recv_deadline`, [`Receiver::iter`]) spin for a moment and
//! then park the thread, so they must not be called in async code: they would block the executor. The
//! `try_` functions never wait and may be called anywhere. A future that is dropped loses no message
//! that was already in the channel; each async function says under "Cancel safety" what becomes of
//! the rest. On `wasm32-unknown-unknown`, which has neither a clock nor threads that park, the
//! blocking functions do not work; the others need neither.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let (mut tx, mut rx) = lanemesh::channel(8);
//! let worker = std::thread::spawn(move || (0..100).try_for_each(|n| tx.blocking_send(n)));
//! let mut received = 0;
//! while rx.recv().await.is_some() {
//!     received += 1;
//! }
//! assert_eq!(received, 100);
//! worker.join().unwrap().unwrap();
//! # }
//! ```
//!
//! Two tasks that each wait for room in a full lane to the other wait forever: let one of them use
//! `try_send`.
//!
//! # Which send to use
//!
//! | you want to | use |
//! |---|---|
//! | send now or get the message back | [`try_send`](Sender::try_send) |
//! | wait for room in a task | [`send`](Sender::send) |
//! | wait for room, and build the message only then, or keep it if the wait is cancelled | [`reserve`](Sender::reserve), then [`Permit::send`] |
//! | the same, for several messages at once, or with a permit that owns its sender | [`reserve_many`](Sender::reserve_many), [`reserve_owned`](Sender::reserve_owned) |
//! | wait for room in a task, but not longer than a timer, and get the message back | [`send_or`](Sender::send_or) |
//! | write your own future | [`poll_reserve`](Sender::poll_reserve), then `try_send` |
//! | wait for room in a thread | [`blocking_send`](Sender::blocking_send), [`send_timeout`](Sender::send_timeout) |
//! | send many that you have | [`send_vec`](Sender::send_vec), or [`send_many`](Sender::send_many) from an iterator: one wake-up for the batch |
//! | send many that arrive one by one | [`try_feed`](Sender::try_feed), then [`flush`](Sender::flush) |
//! | send through `&self`, from a server's shared state | [`shared`](Sender::shared) |
//! | drop or refuse low-priority messages when the lane is full | [`MailboxSender::send_low`] with an [`Overflow`] |
//!
//! And which sender:
//!
//! | | [`Sender`] | [`SharedSender`] |
//! |---|---|---|
//! | for | one task or thread, which sends much | a server's state, cloned for each request: [many senders of one message](Stats::brief_lanes) should be clones of this |
//! | sends take | `&mut self` | `&self` |
//! | a clone is | another producer, with its own lane and capacity | the same producer: one capacity and one order |
//!
//! Which function is on which sender (the high and the low class of a mailbox have such senders, [`MailboxSender::high`]
//! and [`SharedMailboxSender::high`]):
//!
//! | | [`Sender`] | [`SharedSender`] |
//! |---|---|---|
//! | `try_send`, `send`, `blocking_send`, `send_timeout`, `send_deadline`, `send_or` | yes | yes |
//! | `reserve`, `reserve_many`, `reserve_owned`, each also with `try_` | yes | yes; of more than the capacity, `reserve_many` returns an error, where that of `Sender` panics |
//! | `try_send_many`, `send_many`, `try_send_vec`, `send_vec` | yes, with one publication | yes; messages of other clones may come in between |
//! | `try_feed`, `feed`, `flush` | yes | no: what is staged belongs to one handle, and clones would need a lock for it |
//! | `poll_reserve` | yes | no: a wait has a place in a queue, which a `&self` cannot hold; [`reserve_owned`](SharedSender::reserve_owned) is a future that can be kept |
//! | `Sink` (feature `sink`) | itself | by `into_sink`, which holds the wait |
//! | `closed`, `is_closed`, `len`, `is_empty`, `capacity`, `remaining_capacity`, `same_channel` | yes | yes |
//! | `strong_count`, `weak_count`, `downgrade` | of the channel: each clone is a producer | of the lane: clones are one producer |
//! | `shrink_to_fit` | yes | no: the lane keeps its largest ring |
//!
//! Give each producer a clone: a clone has a lane of its own, and shares nothing that would make it
//! wait. A mailbox has the most common sends for both classes; the others are behind
//! [`MailboxSender::high`] and [`MailboxSender::low`]:
//!
//! ```
//! let (mut tx, mut rx) = lanemesh::mailbox::<&str, u64>(4, 64);
//! let mut batch = vec![1, 2, 3];
//! assert_eq!(tx.low().try_send_vec(&mut batch), Ok(3));
//! tx.high().try_reserve().unwrap().send("stop").unwrap();
//! assert_eq!(rx.high().try_recv(), Ok("stop"));
//! assert_eq!(rx.low().try_recv(), Ok(1));
//! ```
//!
//! A waiting sender is woken when about half of its capacity has been received, and at the latest
//! when all has. So a receiver that takes a few messages and then stops leaves it waiting.
//!
//! # One bound for all senders
//!
//! The capacity given to [`channel`] counts per sender: a clone per request may leave a message
//! each. [`Builder::total_capacity`] sets one bound for all of them instead, which is what other
//! channels call their capacity, and serves senders that wait in the order in which they began:
//!
//! ```
//! let (tx, mut rx) = lanemesh::Builder::new(1).total_capacity(16).build();
//! let accepted = (0..1000).filter(|n| tx.clone().try_send(*n).is_ok()).count();
//! assert_eq!(accepted, 16);
//! assert_eq!(rx.try_iter().count(), 16);
//! assert_eq!(tx.remaining_capacity(), 16);
//! ```
//!
//! A bound by what messages weigh, such as bytes, is a [`WeightLimit`], for one channel or for several: a sender weighs
//! a message, waiting until it fits, and the weight is free again when the receiver unwraps it.
//!
//! # Several receivers
//!
//! A [`mesh`] has a lane from each sender to each receiver. Messages go to the receivers by key, by
//! turns or by load; receivers join and leave while others send, and one that leaves hands on what
//! it has.
//!
//! ```
//! let (mut tx, mut first) = lanemesh::mesh::mesh(8);
//! let mut second = tx.add_receiver().unwrap();
//! tx.try_send(1).unwrap();
//! tx.try_send(2).unwrap();
//! assert_eq!((first.try_recv(), second.try_recv()), (Ok(1), Ok(2)));
//! ```
//!
//! # Several runtimes
//!
//! A channel belongs to no runtime: it stores the `Waker` of whoever waits, and calls it from the
//! thread that sends, receives or closes. Sender and receiver may run in different runtimes, and a
//! task may move from one to another between two polls.
//!
//! ```
//! fn runtime() -> tokio::runtime::Runtime {
//!     tokio::runtime::Builder::new_current_thread().build().unwrap()
//! }
//!
//! let (mut tx, mut rx) = lanemesh::channel(1);
//! let sender = std::thread::spawn(move || {
//!     runtime().block_on(async move {
//!         for n in 0..10 {
//!             tx.send(n).await.unwrap();
//!         }
//!     });
//! });
//! let sum = runtime().block_on(async move {
//!     let mut sum = 0;
//!     while let Some(n) = rx.recv().await {
//!         sum += n;
//!     }
//!     sum
//! });
//! assert_eq!(sum, 45);
//! sender.join().unwrap();
//! ```
//!
//! A runtime that polls its tasks seldom, such as one that shares its thread with other work,
//! delays its own messages only: nobody waits for a receiver except senders whose lanes are full.
//!
//! # Memory
//!
//! A sender has no lane until it first sends. A lane starts without a ring; the first ring holds [16
//! messages](Builder::first_ring), and each full ring is followed by one of four times the size, up
//! to 64 KiB (at least 32 messages) or the size of the first ring. The receiver frees a ring when it
//! has emptied it and there is another, so what a burst took is given back to the allocator at once
//! (which may keep it from the system), whether or not its sender runs again, but for the last ring.
//! That one goes when 128 messages in a row were sent one by one, or with [`Sender::shrink_to_fit`].
//! The lane of a dropped sender is reused by a new one, without its ring. A [`SharedSender`]'s lane
//! has one ring, which grows up to the capacity and stays. All senders of a channel share the slots
//! for occasional messages, at most 2 KiB, which the first message allocates.
//!
//! So the bound (if none is set for all lanes) is the number of senders times the capacity times
//! the size of a message, what is really taken is what waits, and what is kept of a burst is at most
//! 64 KiB a sender. For many producers that send little, choose a small first ring; for producers that must never allocate while they
//! send, a first ring of the whole capacity:
//!
//! ```
//! use lanemesh::Builder;
//!
//! let (mut rare, _rx) = Builder::new(1024).first_ring(2).build::<u64>();
//! rare.try_send(1).unwrap();
//! let (mut busy, _rx) = Builder::new(1024).first_ring(1024).build::<u64>();
//! busy.try_send(1).unwrap();
//! ```
//!
//! Large messages are moved into the ring and out of it: box those that are much larger than a
//! cache line.
//!
//! # Coming from tokio's mpsc
//!
//! The names are the same where the meaning is. What differs most: the capacity counts per
//! producer, not per channel (unless [one bound](#one-bound-for-all-senders) is set for all);
//! messages are ordered per producer only; and sends take `&mut self`.
//! [`Sender::shared`] gives a sender without these differences: the clones of a [`SharedSender`] share
//! one capacity and one order, and its sends take `&self`.
//!
//! | `tokio::sync::mpsc` | here | what differs |
//! |---|---|---|
//! | `mpsc::channel(n)` | [`channel(n)`](channel) | `n` is the capacity of each sender's lane, and exact; [`Builder::total_capacity(n)`](Builder::total_capacity) bounds all lanes together |
//! | `mpsc::unbounded_channel()` | [`unbounded`] | the same sender type: `send` is async and never waits, [`try_send`](Sender::try_send) is what tokio's `send` is |
//! | `mpsc::Sender::clone` | [`Sender::clone`] | the clone is a producer with its own lane and order |
//! | `mpsc::Sender::send`, `try_send`, `send_timeout`, `blocking_send` | [`send`](Sender::send), [`try_send`](Sender::try_send), [`send_timeout`](Sender::send_timeout), [`blocking_send`](Sender::blocking_send) | `&mut self`; [`SharedSender`] has them for `&self`. `send_timeout` blocks the thread; in a task use [`send_or`](Sender::send_or) with the runtime's timer, which returns the message |
//! | `mpsc::Sender::reserve`, `try_reserve` | [`reserve`](Sender::reserve), [`try_reserve`](Sender::try_reserve) | the permit borrows the sender, so there is one at a time. `Permit::send` fails if the channel has closed meanwhile, where tokio's cannot |
//! | `mpsc::Sender::reserve_many`, `try_reserve_many` | [`reserve_many`](Sender::reserve_many), [`try_reserve_many`](Sender::try_reserve_many) | [`Permits`] lend one permit at a time, or send a batch with one wake-up. More than the capacity panics, where tokio returns an error |
//! | `mpsc::Sender::reserve_owned`, `try_reserve_owned` | [`reserve_owned`](Sender::reserve_owned), [`try_reserve_owned`](Sender::try_reserve_owned) | [`OwnedPermit::send`] returns the sender, or an error with the message if the channel has closed meanwhile |
//! | `mpsc::Sender::closed`, `is_closed`, `same_channel`, `downgrade` | [`closed`](Sender::closed), [`is_closed`](Sender::is_closed), [`same_channel`](Sender::same_channel), [`downgrade`](Sender::downgrade) | |
//! | `mpsc::Sender::max_capacity` | [`capacity`](Sender::capacity) | of this sender's lane; with a total capacity, of all |
//! | `mpsc::Sender::capacity` | [`remaining_capacity`](Sender::remaining_capacity) | in this sender's lane; with a total capacity, for all senders |
//! | `mpsc::Sender::strong_count`, `weak_count` | [`strong_count`](Sender::strong_count), [`weak_count`](Sender::weak_count) | all clones of a [`SharedSender`] count as one producer; [`SharedSender::strong_count`] counts the clones |
//! | `mpsc::Receiver::sender_strong_count`, `sender_weak_count` | [`sender_count`](Receiver::sender_count), [`weak_sender_count`](Receiver::weak_sender_count) | [`weak_sender`](Receiver::weak_sender) makes a weak sender from the receiver |
//! | `mpsc::Receiver::recv`, `recv_many`, `try_recv`, `blocking_recv` | [`recv`](Receiver::recv), [`recv_many`](Receiver::recv_many), [`try_recv`](Receiver::try_recv), [`blocking_recv`](Receiver::blocking_recv) | `try_recv` says `Closed` where tokio says `Disconnected` |
//! | `tokio::time::timeout` around `recv` | the same, or [`recv_or`](Receiver::recv_or) with the runtime's timer | `recv_or` prefers a message that is there |
//! | `mpsc::Receiver::blocking_recv_many` | [`blocking_recv_many`](Receiver::blocking_recv_many) | |
//! | `mpsc::Receiver::poll_recv`, `poll_recv_many` | [`poll_recv`](Receiver::poll_recv), [`poll_recv_many`](Receiver::poll_recv_many) | |
//! | `tokio_stream::wrappers::ReceiverStream`, `tokio_util::sync::PollSender` | feature `stream`, feature `sink` | the handles themselves implement the traits; a [`SharedSender`] by `into_sink` |
//! | `tokio::sync::broadcast`, for its *lagged* receivers | [`Builder::drop_oldest`] | one receiver, which takes the newest messages of each lane |
//! | `mpsc::Receiver::close`, `is_closed`, `len`, `is_empty` | [`close`](Receiver::close), [`is_closed`](Receiver::is_closed), [`len`](Receiver::len), [`is_empty`](Receiver::is_empty) | `len` visits each lane that has messages |
//! | `mpsc::Receiver::capacity`, `max_capacity` | none | capacity belongs to a sender |
//! | `mpsc::WeakSender::upgrade`, `strong_count`, `weak_count` | [`upgrade`](WeakSender::upgrade), [`strong_count`](WeakSender::strong_count), [`weak_count`](WeakSender::weak_count) | `upgrade` gives a new producer, not another handle to an old one |
//! | a second channel and `select!` with `biased` | [`mailbox`] | one receiver that takes high priority first |
//! | `mpsc::error::SendError<T>` | [`SendError<T>`](SendError) | the same |
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! // let (tx, mut rx) = tokio::sync::mpsc::channel(8);
//! let (mut tx, mut rx) = lanemesh::channel(8);
//! let task = tokio::spawn(async move { tx.send("hello").await });
//! assert_eq!(rx.recv().await, Some("hello"));
//! task.await.unwrap().unwrap();
//! # }
//! ```
//!
//! The example `from_tokio` is a whole program, with what differs in comments.
//!
//! # Coming from crossbeam-channel, flume or kanal
//!
//! What differs from all three: there is one receiver, which is not cloned (several receivers are a
//! [`mesh`], in which the sender chooses one for each message); and there are no channels of capacity 0, in which sender and receiver meet. With a [`Sender`], sends take
//! `&mut self`, the capacity counts per producer unless [one bound](#one-bound-for-all-senders) is
//! set for all, and messages are ordered per producer only; a [`SharedSender`] and its clones send
//! through `&self`, with one bound and one order. `send` and `recv` are async here; what blocks is
//! called `blocking_send` and `blocking_recv`, or has a timeout or a deadline. *Disconnected* there
//! is *closed* here.
//!
//! | `crossbeam_channel` | here | what differs |
//! |---|---|---|
//! | `crossbeam_channel::bounded(n)`, `unbounded()` | [`channel(n)`](channel), [`unbounded`] | `n` at least 1, per sender |
//! | `crossbeam_channel::Sender::send`, `Receiver::recv` | [`blocking_send`](Sender::blocking_send), [`blocking_recv`](Receiver::blocking_recv) | `blocking_recv` returns `None` where `recv` returns an error |
//! | `send_timeout`, `send_deadline`, `recv_timeout`, `recv_deadline` | [`send_timeout`](Sender::send_timeout), [`send_deadline`](Sender::send_deadline), [`recv_timeout`](Receiver::recv_timeout), [`recv_deadline`](Receiver::recv_deadline) | |
//! | `try_send`, `try_recv` | [`try_send`](Sender::try_send), [`try_recv`](Receiver::try_recv) | |
//! | `iter`, `try_iter`, `into_iter` | [`iter`](Receiver::iter), [`try_iter`](Receiver::try_iter), `into_iter` | of `&mut Receiver` |
//! | `len`, `is_empty`, `same_channel` | [`len`](Receiver::len), [`is_empty`](Receiver::is_empty), [`same_channel`](Sender::same_channel) | a sender's `len` counts its own messages |
//! | `is_full`, `capacity` | [`remaining_capacity`](Sender::remaining_capacity), [`capacity`](Sender::capacity) | |
//! | `crossbeam_channel::select!` over a control and a data channel | [`mailbox`] | one receiver, high priority first |
//! | `crossbeam_channel::Select`, `select!` | [`Select`] | of receivers alone; `ready` names one, and nobody else can take its message. A send is not selected: use `try_send`, or tasks |
//! | `crossbeam_channel::Receiver::clone` | [`mesh`] | each message is for one receiver, which the sender chooses; an idle receiver takes none from another |
//! | `crossbeam_channel::after`, `tick` | `recv_timeout`, `recv_deadline` | |
//!
//! | `flume` | here | what differs |
//! |---|---|---|
//! | `flume::bounded(n)`, `unbounded()` | [`channel(n)`](channel), [`unbounded`] | as above |
//! | `send`, `recv`, and with `_timeout`, `_deadline` | as above | |
//! | `send_async`, `recv_async` | [`send`](Sender::send), [`recv`](Receiver::recv) | a cancelled send was not sent |
//! | `sink`, `into_sink`, `stream`, `into_stream` | features `sink` and `stream` | the handles themselves implement the traits |
//! | `drain` | [`try_recv_many`](Receiver::try_recv_many), [`try_iter`](Receiver::try_iter) | |
//! | `downgrade`, `sender_count` | [`downgrade`](Sender::downgrade), [`strong_count`](Sender::strong_count), [`sender_count`](Receiver::sender_count) | `upgrade` gives a new producer |
//! | `is_disconnected` | [`is_closed`](Sender::is_closed) | |
//! | `flume::Selector` | [`Select`] | as above |
//!
//! | `kanal` | here | what differs |
//! |---|---|---|
//! | `kanal::bounded(n)`, `bounded_async(n)`, `unbounded` | [`channel(n)`](channel), [`unbounded`] | as above; each handle is both async and blocking, so there is no `to_async` or `as_sync` |
//! | `kanal::Sender::send`, `kanal::Receiver::recv` | [`blocking_send`](Sender::blocking_send), [`blocking_recv`](Receiver::blocking_recv) | the error of a send returns the message |
//! | `kanal::AsyncSender::send`, `kanal::AsyncReceiver::recv` | [`send`](Sender::send), [`recv`](Receiver::recv) | a cancelled send was not sent |
//! | `try_send`, `try_send_option` | [`try_send`](Sender::try_send) | `Ok(false)` there is [`TrySendError::Full`] here, with the message |
//! | `try_recv` | [`try_recv`](Receiver::try_recv) | `Ok(None)` there is [`TryRecvError::Empty`] here |
//! | `send_timeout`, `recv_timeout` | [`send_timeout`](Sender::send_timeout), [`recv_timeout`](Receiver::recv_timeout) | |
//! | `drain_into` | [`try_recv_many`](Receiver::try_recv_many) | with a limit |
//! | `close` | [`Receiver::close`] | only the receiver closes, and takes what was accepted before |
//! | `is_terminated`, `is_disconnected` | [`is_closed`](Receiver::is_closed) | |
//! | `kanal::AsyncReceiver::stream` | feature `stream` | |
//!
//! # Features
//!
//! None is enabled by default.
//!
//! - `stream`: receivers implement `futures_core::Stream` and `FusedStream`.
//! - `sink`: [`Sender`] implements `futures_sink::Sink`; [`MailboxSender::high`] and
//!   [`MailboxSender::low`] return such senders. `SharedSender::into_sink` makes a sink of the other kind.
//! - `tracing`: events at level trace when lanes open and end, and when channels close; at level warn, once in a
//!   channel, when many [senders in a row are dropped after one message](Stats::brief_lanes).
//! - `quanta`: queueing delay in the statistics.
//! - `membarrier`: on Linux, once `register_membarrier` has been called, producers of busy lanes
//!   send without a memory fence.
//!
//! # What does not compile
//!
//! Handles are `Send` and `Sync` only for messages that are `Send`. None of these compiles:
//!
//! ```compile_fail,E0277
//! fn is_send<T: Send>(_: T) {}
//! let (tx, _rx) = lanemesh::channel::<std::rc::Rc<u8>>(1);
//! is_send(tx);
//! ```
//!
//! ```compile_fail,E0277
//! fn is_send<T: Send>(_: T) {}
//! let (_tx, rx) = lanemesh::channel::<std::rc::Rc<u8>>(1);
//! is_send(rx);
//! ```
//!
//! ```compile_fail,E0277
//! fn is_sync<T: Sync>(_: T) {}
//! let (tx, _rx) = lanemesh::channel::<std::rc::Rc<u8>>(1);
//! is_sync(tx);
//! ```
//!
//! ```compile_fail,E0277
//! fn is_send<T: Send>(_: T) {}
//! let (tx, _rx) = lanemesh::channel::<std::rc::Rc<u8>>(1);
//! is_send(tx.shared());
//! ```
//!
//! ```compile_fail,E0277
//! fn is_send<T: Send>(_: T) {}
//! let (tx, _rx) = lanemesh::channel::<std::rc::Rc<u8>>(1);
//! is_send(tx.downgrade());
//! ```
//!
//! ```compile_fail,E0277
//! fn is_send<T: Send>(_: T) {}
//! let (tx, _rx) = lanemesh::mailbox::<std::rc::Rc<u8>, u8>(1, 1);
//! is_send(tx);
//! ```
//!
//! ```compile_fail,E0277
//! fn is_send<T: Send>(_: T) {}
//! let (_tx, rx) = lanemesh::mailbox::<u8, std::rc::Rc<u8>>(1, 1);
//! is_send(rx);
//! ```

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod builder;
mod config;
mod delay;
mod error;
mod fan_in;
mod mailbox;
pub mod mesh;
mod receiver;
mod select;
mod sender;
mod stats;
mod sync;
mod until;
mod unwind;
mod weight;

#[cfg(feature = "sink")]
pub use sender::shared::SharedSink;
#[cfg(feature = "quanta")]
pub use stats::DelayStats;
#[cfg(any(feature = "membarrier", loom))]
pub use sync::membarrier::register_membarrier;
pub use {
    builder::{Builder, MailboxBuilder},
    error::{
        RecvOrError, RecvTimeoutError, SendError, SendManyError, SendOrError, SendTimeoutError,
        TryRecvError, TrySendError,
    },
    mailbox::{
        HIGH_LOOK_INTERVAL, Message, Overflow, Sent,
        class_receiver::ClassReceiver,
        iter::{ClassIter, ClassTryIter, MailboxIntoIter, MailboxIter, MailboxTryIter},
        receiver::MailboxReceiver,
        sender::{MailboxSender, WeakMailboxSender},
        shared::{SharedMailboxSender, WeakSharedMailboxSender},
    },
    receiver::{IntoIter, Iter, Receiver, TryIter},
    select::{Select, Selectable},
    sender::{
        Sender,
        permit::{Permit, many::Permits, owned::OwnedPermit},
        shared::{SharedOwnedPermit, SharedPermit, SharedPermits, SharedSender, WeakSharedSender},
        weak::WeakSender,
    },
    stats::{MailboxStats, Stats},
    weight::{TryWeighError, WeighError, Weighed, WeightLimit, WeightPermit},
};

/// A channel of lanes that hold exactly `lane_capacity` messages each.
///
/// # Panics
///
/// Panics if `lane_capacity` is zero, or more than `isize::MAX / 2`.
#[track_caller]
pub fn channel<T>(lane_capacity: usize) -> (Sender<T>, Receiver<T>) {
    Builder::new(lane_capacity).build()
}

/// A channel whose lanes have no bound; see [`Builder::unbounded`].
///
/// # Examples
///
/// ```
/// let (tx, mut rx) = lanemesh::unbounded();
/// let tx = tx.shared();
/// for n in 0..10_000 {
///     tx.try_send(n).unwrap();
/// }
/// assert!(rx.try_iter().eq(0..10_000));
/// ```
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    Builder::unbounded().build()
}

/// A mailbox with two priorities, and for each a lane of exactly the given capacity per producer.
///
/// # Panics
///
/// Panics if a capacity is zero, or more than `isize::MAX / 2`.
#[track_caller]
pub fn mailbox<High, Low>(
    high_lane_capacity: usize,
    low_lane_capacity: usize,
) -> (MailboxSender<High, Low>, MailboxReceiver<High, Low>) {
    MailboxBuilder::new(high_lane_capacity, low_lane_capacity).build()
}

//! Catching panics, and the text that is reported for them.

use std::{
    any::Any,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

/// The text of a panic.
pub(crate) type PanicText = Arc<str>;

/// Catches the panics of a function.
pub(crate) fn catch_fn<T>(function: impl FnOnce() -> T) -> Result<T, PanicText> {
    catch_unwind(AssertUnwindSafe(function)).map_err(into_text)
}

/// As [`catch_fn`], for functions of actors: what catches is compiled once, and not for each of them.
pub(crate) fn catch_dyn(function: &mut dyn FnMut()) -> Result<(), PanicText> {
    catch_fn(function)
}

/// Catches the panics of a future.
pub(crate) async fn catch<F: Future>(future: F) -> Result<F::Output, PanicText> {
    let mut future = pin!(future);
    poll_fn(|cx| poll_caught(future.as_mut(), cx)).await
}

/// Polls a future; a panic becomes an error. Futures of all actors are polled by one function.
pub(crate) fn poll_caught<T>(
    future: Pin<&mut dyn Future<Output = T>>,
    cx: &mut Context<'_>,
) -> Poll<Result<T, PanicText>> {
    match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Poll::Ready(Err(into_text(panic))),
    }
}

/// Drops the payload too, which may panic itself, with a payload whose drop may panic as well.
fn into_text(panic: Box<dyn Any + Send>) -> PanicText {
    let text = text(&*panic);
    if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(another);
    }
    text
}

fn text(panic: &(dyn Any + Send)) -> PanicText {
    if let Some(text) = panic.downcast_ref::<&'static str>() {
        Arc::from(*text)
    } else if let Some(text) = panic.downcast_ref::<String>() {
        Arc::from(text.as_str())
    } else {
        Arc::from("a panic without a text")
    }
}

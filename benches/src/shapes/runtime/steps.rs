//! Steps that the measurements of actors share.

use std::panic;

use crate::rig::fault::Fault;
use crate::rivals::actors::Handle;

pub(super) async fn answer(actor: &mut impl Handle, question: u64) -> Result<u64, Fault> {
    actor
        .ask(question)
        .await
        .ok_or_else(|| Fault::Failed("no answer".to_owned()))
}

/// Runs `work` without a word about its panics.
pub(super) fn quietly<T>(work: impl FnOnce() -> T) -> T {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let result = work();
    panic::set_hook(hook);
    result
}

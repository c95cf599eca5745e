//! Tasks on threads of their own.

use std::io;
use std::thread;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

/// Runs a task on a thread of its own, with a runtime of its own: it neither waits for the tasks of others nor they for it. The receiver
/// gets its output, or fails if the task panics.
///
/// # Errors
///
/// If there can be no other thread.
pub fn spawn<T>(name: &str, task: T) -> io::Result<oneshot::Receiver<T::Output>>
where
    T: Future<Output: Send> + Send + 'static,
{
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (sender, receiver) = oneshot::channel();
    let run = move || {
        // An error means that nobody waits for it.
        let _ = sender.send(runtime.block_on(task));
    };
    thread::Builder::new().name(name.into()).spawn(run)?;
    Ok(receiver)
}

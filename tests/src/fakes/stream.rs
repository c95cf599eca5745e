//! Bodies that are written piece by piece while time passes.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame};
use tokio::sync::mpsc;

use super::generation::{Events, Finish};
use super::server::{Payload, Takeover};
use super::state::Running;

/// The pace of one answer and where it breaks, if it does.
pub(super) struct Course {
    pub(super) first_token: Duration,
    pub(super) token: Duration,
    pub(super) finish: Finish,
    pub(super) stop: Option<Break>,
}

/// Where a stream breaks, in tokens.
pub(super) enum Break {
    Cut(usize),
    /// The event is written and the stream ends well.
    Error(usize, String),
}

impl Course {
    /// Waits as long as an answer in one piece takes.
    pub(super) async fn wait(&self, tokens: usize) {
        let pauses = u32::try_from(tokens.saturating_sub(1)).unwrap_or(u32::MAX);
        pause(self.first_token + self.token.saturating_mul(pauses)).await;
    }
}

/// Streams events. The body owns `running`, so a client that goes away ends the work.
pub(super) fn play(
    events: Events,
    encode: fn(String) -> Bytes,
    course: Course,
    mut running: Running,
    takeover: Takeover,
) -> Payload {
    pieces(move |out| async move {
        running.take_seat().await;
        let tokens = events.tokens.len();
        let breaks = match &course.stop {
            Some(Break::Cut(after) | Break::Error(after, _)) => *after,
            None => usize::MAX,
        };
        pause(course.first_token).await;
        running.first_token();
        for event in events.opening {
            send(&out, encode(event)).await;
        }
        let written = events.tokens.into_iter().take(breaks).map(encode);
        write_tokens(&out, written, course.token, &running).await;
        match course.stop {
            Some(Break::Cut(_)) => match takeover.reset().await {},
            Some(Break::Error(_, error)) => {
                send(&out, encode(error)).await;
                if let Some(end) = events.end {
                    send(&out, encode(end)).await;
                }
            }
            None => {
                // Complete before the last bytes leave: who has read the end must find it counted.
                running.finish(tokens, course.finish);
                for event in events.closing {
                    send(&out, encode(event)).await;
                }
            }
        }
    })
}

/// Writes tokens, each when its time has come and the gate lets it pass.
async fn write_tokens(
    out: &mpsc::Sender<Bytes>,
    tokens: impl Iterator<Item = Bytes>,
    between: Duration,
    running: &Running,
) {
    for (index, event) in tokens.enumerate() {
        if index > 0 {
            pause(between).await;
            running.state().pass_gate().await;
        }
        // Counted first: who has read a token must find it counted.
        running.state().generated.fetch_add(1, Ordering::SeqCst);
        send(out, event).await;
    }
}

/// Half of an answer whose head has announced all of it.
pub(super) fn half(whole: Bytes, running: Running, takeover: Takeover) -> Payload {
    pieces(move |out| async move {
        let _running = running;
        let _ = out.send(whole.slice(..whole.len() / 2)).await;
        match takeover.reset().await {}
    })
}

async fn send(out: &mpsc::Sender<Bytes>, event: Bytes) {
    let _ = out.send(event).await;
}

async fn pause(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

fn pieces<F: Future<Output = ()> + Send + 'static>(
    produce: impl FnOnce(mpsc::Sender<Bytes>) -> F,
) -> Payload {
    let (sender, receiver) = mpsc::channel(1);
    Pieces {
        producer: Some(Box::pin(produce(sender))),
        receiver,
        wrote: false,
    }
    .boxed_unsync()
}

/// A body fed by a future that it polls itself: dropping the body drops the work.
struct Pieces<F> {
    producer: Option<Pin<Box<F>>>,
    receiver: mpsc::Receiver<Bytes>,
    wrote: bool,
}

impl<F: Future<Output = ()>> Body for Pieces<F> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        // hyper flushes when its body is pending, and gathers pieces until then.
        if std::mem::take(&mut self.wrote) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Some(producer) = &mut self.producer
            && producer.as_mut().poll(context).is_ready()
        {
            self.producer = None;
        }
        self.receiver.poll_recv(context).map(|piece| {
            let piece = piece?;
            self.wrote = true;
            Some(Ok(Frame::data(piece)))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn a_body_rests_after_each_piece_so_that_it_is_flushed() {
        let mut body = pieces(|out| async move {
            send(&out, "one".into()).await;
            send(&out, "two".into()).await;
        });
        let mut poll = || {
            let frame = Pin::new(&mut body).poll_frame(&mut Context::from_waker(Waker::noop()));
            frame.map(|frame| frame.and_then(|Ok(frame)| frame.into_data().ok()))
        };
        assert_eq!(poll(), Poll::Ready(Some(Bytes::from("one"))));
        assert_eq!(poll(), Poll::Pending);
        assert_eq!(poll(), Poll::Ready(Some(Bytes::from("two"))));
        assert_eq!(poll(), Poll::Pending);
        assert_eq!(poll(), Poll::Ready(None));
    }
}

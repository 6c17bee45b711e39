//! One thread that owns one connection: whatever happens in there, the caller gets its answer in time.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The socket of the connection in use, kept where another thread can shut it down: a call that blocks inside
/// libssh2 on this socket then returns with an error.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plug(Arc<Mutex<Option<TcpStream>>>);

impl Plug {
    /// Keeps this socket in place of the last one.
    pub fn put(&self, socket: TcpStream) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(socket);
    }

    /// Ends the connection, wherever it is in use.
    pub fn pull(&self) {
        if let Some(socket) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
            && let Err(error) = socket.shutdown(Shutdown::Both)
        {
            // A socket that the other side has closed already: nothing left to end.
            tracing::trace!(%error, "socket was down already");
        }
    }
}

type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

/// Why a worker gave no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// It is still at it; the connection was cut and the worker left to end by itself.
    Stuck,
    /// It ended without one (a panic in a job).
    Gone,
}

/// A thread with state `S`, which it alone touches and drops.
#[derive(Debug)]
pub(crate) struct Worker<S> {
    jobs: mpsc::Sender<Job<S>>,
    plug: Plug,
}

impl<S: Send + 'static> Worker<S> {
    /// Starts the thread.
    pub fn start(name: &str, plug: Plug, state: S) -> io::Result<Self> {
        let (jobs, inbox) = mpsc::channel::<Job<S>>();
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let mut state = state;
                for job in inbox {
                    job(&mut state);
                }
            })?;
        Ok(Self { jobs, plug })
    }

    /// Lets the worker do `job` and waits no longer than `wait` for what it returns.
    pub fn call<T: Send + 'static>(
        &self,
        wait: Duration,
        job: impl FnOnce(&mut S) -> T + Send + 'static,
    ) -> Result<T, NoAnswer> {
        let (reply, answer) = mpsc::sync_channel(1);
        let job: Job<S> = Box::new(move |state| {
            // The caller may have given up: then nobody wants the answer.
            if reply.send(job(state)).is_err() {
                tracing::debug!("an answer came after its deadline");
            }
        });
        if self.jobs.send(job).is_err() {
            return Err(NoAnswer::Gone);
        }
        match answer.recv_timeout(wait) {
            Ok(value) => Ok(value),
            Err(RecvTimeoutError::Disconnected) => Err(NoAnswer::Gone),
            Err(RecvTimeoutError::Timeout) => {
                self.plug.pull();
                Err(NoAnswer::Stuck)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::TcpListener;
    use std::time::Instant;

    #[test]
    fn a_stuck_worker_does_not_hold_its_caller_and_its_socket_is_cut() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let socket = TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
        let plug = Plug::default();
        plug.put(socket.try_clone().expect("clone"));
        let worker = Worker::start("test", plug, socket).expect("thread");
        let (ended, end) = mpsc::channel();
        let started = Instant::now();
        let answer = worker.call(Duration::from_millis(50), move |socket| {
            // Blocks for ever: nobody writes.
            let read = socket.read(&mut [0; 8]).map_err(|e| e.kind());
            ended.send(read).expect("the test waits");
        });
        assert_eq!(answer, Err(NoAnswer::Stuck));
        assert!(started.elapsed() < Duration::from_secs(5));
        assert_eq!(
            end.recv_timeout(Duration::from_secs(5)),
            Ok(Ok(0)),
            "the read must return"
        );
    }

    #[test]
    fn a_worker_that_died_says_so() {
        let worker = Worker::start("test", Plug::default(), ()).expect("thread");
        let answer = worker.call(Duration::from_secs(5), |()| panic!("on purpose"));
        assert_eq!(answer, Err::<(), _>(NoAnswer::Gone));
    }
}

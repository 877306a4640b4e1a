//! The log writer: a bounded queue and the thread that writes its lines. Logging never blocks on a pipe, a disk or the
//! journal: when the queue is full, the line is dropped.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use polyport_common::tasks;

/// Bound of the queue.
const LINES_MAX: usize = 16_384;

/// See the module's text.
#[derive(Debug, Default)]
pub struct LogWriter {
    queue: Mutex<Queue>,
    arrived: Condvar,
    written: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Vec<u8>>,
    /// The thread is writing, and checks the queue before it waits.
    writing: bool,
}

impl LogWriter {
    /// Starts the thread. It lives as long as the process, because a thread that blocks on a pipe cannot be woken.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn start(out: impl Write + Send + 'static) -> io::Result<Arc<Self>> {
        let lines = Arc::new(Self::default());
        let of_thread = Arc::clone(&lines);
        drop(tasks::thread("log", move || of_thread.write_all_to(out))?);
        Ok(lines)
    }

    /// Queues a line, or drops it when the queue is full.
    pub fn push(&self, line: Vec<u8>) {
        let mut queue = self.queue();
        if queue.waiting.len() < LINES_MAX {
            queue.waiting.push_back(line);
            if !queue.writing {
                self.arrived.notify_one();
            }
        }
    }

    /// Waits until all lines are written, for at most `timeout`; returns whether they are.
    pub fn finish(&self, timeout: Duration) -> bool {
        let queue = self.queue();
        let unfinished = |queue: &mut Queue| queue.writing || !queue.waiting.is_empty();
        let (_queue, result) = self
            .written
            .wait_timeout_while(queue, timeout, unfinished)
            .unwrap_or_else(PoisonError::into_inner);
        !result.timed_out()
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_all_to(&self, mut out: impl Write) {
        let mut queue = self.queue();
        loop {
            if let Some(line) = queue.waiting.pop_front() {
                queue.writing = true;
                drop(queue);
                // A line that cannot be written is lost: there is no other place to report it.
                drop(out.write_all(&line));
                queue = self.queue();
            } else {
                queue.writing = false;
                self.written.notify_all();
                queue = self
                    .arrived
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

/// One write is one line.
impl Write for &LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
    use std::time::Instant;

    /// Blocks while nothing is received.
    struct Pipe(SyncSender<Vec<u8>>);

    impl Write for Pipe {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
            self.0.send(line.to_vec()).map_err(gone)?;
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn pipe(room: usize) -> (Arc<LogWriter>, Receiver<Vec<u8>>) {
        let (sender, receiver) = sync_channel(room);
        (LogWriter::start(Pipe(sender)).unwrap(), receiver)
    }

    #[test]
    fn writer_keeps_the_order_and_finish_waits() {
        let (lines, out) = pipe(1000);
        for number in 0..1000_u32 {
            lines.push(number.to_string().into_bytes());
        }
        assert!(lines.finish(Duration::from_secs(10)));
        let written: Vec<_> = out.try_iter().collect();
        assert_eq!(written.len(), 1000);
        assert_eq!(written[999], b"999");
        assert!(lines.finish(Duration::ZERO), "nothing is left");
    }

    #[test]
    fn writer_with_an_unread_pipe_blocks_neither_logging_nor_the_end() {
        let (lines, out) = pipe(0);
        let begin = Instant::now();
        for _ in 0..LINES_MAX + 100 {
            lines.push(b"line".to_vec());
        }
        assert_eq!(lines.queue().waiting.len(), LINES_MAX);
        assert!(!lines.finish(Duration::from_millis(20)));
        assert!(begin.elapsed() < Duration::from_secs(5));
        drop(out);
        assert!(
            lines.finish(Duration::from_secs(10)),
            "lines for a closed pipe are lost"
        );
    }
}

//! The server's side of the scribe: a process that may die, hang or lie without harm.
//!
//! Owns starting it on demand, one question at a time, its deadline, its idle end, and the check that what it
//! read is what is stored. Does not know what the tree is for.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Mutex;
use tokio::task::AbortHandle;

use super::frame::{self, LENGTH};
use super::{ScribeError, seed};
use crate::config::limits::{SCRIBE_ANSWER_MAX_BYTES, SCRIBE_DEADLINE, SCRIBE_IDLE, SCRIBE_WAITING_MAX};
use crate::id::RecordId;
use crate::text::Document;
use crate::wire::gate;

/// How long the scribe may take.
#[derive(Debug, Clone, Copy)]
pub struct ScribeLimits {
    /// For one answer.
    pub deadline: Duration,
    /// Without a question, before it is ended.
    pub idle: Duration,
}

impl Default for ScribeLimits {
    fn default() -> Self {
        Self { deadline: SCRIBE_DEADLINE, idle: SCRIBE_IDLE }
    }
}

/// A handle on the scribe; cheap to clone. The process runs only while it is needed.
#[derive(Clone)]
pub struct Scribe(Arc<Inner>);

struct Inner {
    program: PathBuf,
    limits: ScribeLimits,
    waiting: AtomicUsize,
    running: Mutex<Option<Running>>,
}

/// The process between two questions. Dropping it ends it.
struct Running {
    child: Child,
    questions: ChildStdin,
    answers: ChildStdout,
    idle: Option<AbortHandle>,
    #[cfg(windows)]
    _job: win32job::Job,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(idle) = self.idle.take() {
            idle.abort();
        }
        let _ = self.child.start_kill(); // the runtime reaps it
    }
}

/// Counts one waiting question as long as it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Scribe {
    /// A scribe that will be started as `program scribe` when it is first asked.
    #[must_use]
    pub fn new(program: PathBuf) -> Self {
        Self::with_limits(program, ScribeLimits::default())
    }

    /// The same with other limits.
    #[must_use]
    pub fn with_limits(program: PathBuf, limits: ScribeLimits) -> Self {
        Self(Arc::new(Inner { program, limits, waiting: AtomicUsize::new(0), running: Mutex::new(None) }))
    }

    /// Reads a stored document from its parts, oldest first: its tree, and the state vector it has. What the
    /// scribe read is compared with what the parts hold.
    ///
    /// # Errors
    /// See [`ScribeError`].
    pub async fn read(&self, parts: Vec<Bytes>) -> Result<(Document, Bytes), ScribeError> {
        let known = gate::Known::from_parts(parts.iter().map(AsRef::as_ref));
        let expected = known.map_err(|fault| ScribeError::Unreadable(fault.to_string()))?.clocks();
        let answer = self.ask(&frame::question(&parts)?).await?;
        let read = frame::read_answer(&answer).and_then(|(document, vector)| {
            let same = gate::state_vector(&vector).ok().as_ref() == Some(&expected);
            if same { Ok((document, vector)) } else { Err(ScribeError::Disagrees) }
        });
        if read.is_err() {
            *self.0.running.lock().await = None; // an engine that stumbled is not asked again
        }
        read
    }

    /// The first update of a record. It takes no process: see [`seed()`].
    ///
    /// # Errors
    /// [`ScribeError::TooLarge`].
    pub fn seed(&self, record: &RecordId, document: &Document) -> Result<Bytes, ScribeError> {
        seed::seed(record, document)
    }

    /// Whether the process runs at the moment.
    pub async fn is_running(&self) -> bool {
        self.0.running.lock().await.is_some()
    }

    async fn ask(&self, question: &[Bytes]) -> Result<Bytes, ScribeError> {
        let waiting = Waiting(&self.0.waiting);
        if waiting.0.fetch_add(1, Ordering::AcqRel) >= SCRIBE_WAITING_MAX {
            return Err(ScribeError::Busy);
        }
        let mut place = self.0.running.lock().await;
        // it may have ended since the last answer: then a new one is asked, once
        if let Some(running) = place.take() {
            match self.exchange(running, question).await {
                Ok((running, answer)) => {
                    *place = Some(self.rest(running));
                    return Ok(answer);
                }
                Err(ScribeError::Died) => {}
                Err(fault) => return Err(fault),
            }
        }
        let (running, answer) = self.exchange(self.start()?, question).await?;
        *place = Some(self.rest(running));
        Ok(answer)
    }

    /// The process is handed over, and comes back only when it answered: whatever goes wrong, it is dropped
    /// and ended.
    async fn exchange(
        &self,
        mut running: Running,
        question: &[Bytes],
    ) -> Result<(Running, Bytes), ScribeError> {
        if let Some(idle) = running.idle.take() {
            idle.abort();
        }
        let talk = async {
            for piece in question {
                running.questions.write_all(piece).await.map_err(|_| ScribeError::Died)?;
            }
            running.questions.flush().await.map_err(|_| ScribeError::Died)?;
            let mut head = [0u8; LENGTH];
            running.answers.read_exact(&mut head).await.map_err(|_| ScribeError::Died)?;
            let length = u32::from_be_bytes(head) as usize;
            if length > SCRIBE_ANSWER_MAX_BYTES {
                return Err(ScribeError::TooLarge);
            }
            // grows as it arrives: nothing is set aside for a length that was only declared
            let mut answer = Vec::new();
            let mut rest = (&mut running.answers).take(length as u64);
            rest.read_to_end(&mut answer).await.map_err(|_| ScribeError::Died)?;
            if answer.len() < length { Err(ScribeError::Died) } else { Ok(Bytes::from(answer)) }
        };
        let answer =
            tokio::time::timeout(self.0.limits.deadline, talk).await.map_err(|_| ScribeError::Deadline)??;
        Ok((running, answer))
    }

    /// Ends the process when nobody asks for a while.
    fn rest(&self, mut running: Running) -> Running {
        let weak = Arc::downgrade(&self.0);
        let idle = self.0.limits.idle;
        let task = tokio::spawn(async move {
            tokio::time::sleep(idle).await;
            if let Some(inner) = weak.upgrade() {
                let mut place = inner.running.lock().await;
                if let Some(running) = place.as_mut() {
                    running.idle = None; // it is this very task
                }
                *place = None;
            }
        });
        running.idle = Some(task.abort_handle());
        running
    }

    fn start(&self) -> Result<Running, ScribeError> {
        let mut command = Command::new(&self.0.program);
        command
            .arg("scribe")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        #[cfg(unix)]
        command.env_clear(); // it needs nothing, and secrets may be there
        #[cfg(windows)]
        command.creation_flags(0x0800_0000); // CREATE_NO_WINDOW
        let mut child = command.spawn().map_err(|fault| ScribeError::Start(fault.to_string()))?;
        let missing = || ScribeError::Start("it has no standard input or output".to_owned());
        let questions = child.stdin.take().ok_or_else(missing)?;
        let answers = child.stdout.take().ok_or_else(missing)?;
        Ok(Running {
            #[cfg(windows)]
            _job: limit(&child)?,
            child,
            questions,
            answers,
            idle: None,
        })
    }
}

/// A job that ends with the server. It bounds how much of the process is in memory at a time: beyond that it is paged
/// out and becomes slow until its deadline. A limit beyond which Windows refuses memory is not to be had without
/// unsafe code.
#[cfg(windows)]
fn limit(child: &Child) -> Result<win32job::Job, ScribeError> {
    use crate::config::limits::{MIB, SCRIBE_MEMORY_BYTES};

    let fault = |fault: win32job::JobError| ScribeError::Start(fault.to_string());
    let mut info = win32job::ExtendedLimitInfo::new();
    let most = usize::try_from(SCRIBE_MEMORY_BYTES).unwrap_or(usize::MAX);
    info.limit_working_memory(MIB, most).limit_kill_on_job_close();
    let job = win32job::Job::create_with_limit_info(&info).map_err(fault)?;
    if let Some(handle) = child.raw_handle() {
        job.assign_process(handle as isize).map_err(fault)?;
    }
    Ok(job)
}

//! The scribe's own process: it reads questions from standard input and writes answers to standard output.
//!
//! Owns the loop and the limits the process sets on itself. It keeps nothing between two questions. Does not
//! know who asks.

use std::io::{self, Read, Write};

use super::frame::{self, LENGTH};
use super::tree;
use crate::config::limits::{SCRIBE_QUESTION_MAX_BYTES, SCRIBE_STACK_BYTES};

/// Answers questions until standard input ends: what `townhall scribe` does.
///
/// # Errors
/// When standard input or output fails, or a question is not one.
pub fn child() -> io::Result<()> {
    limit_memory()?;
    // a thread of our own, because trees are walked by recursion and the main thread's stack is the system's
    // choice
    let work = std::thread::Builder::new().name("scribe".to_owned()).stack_size(SCRIBE_STACK_BYTES);
    let work = work.spawn(|| answer_all(&mut io::stdin().lock(), &mut io::stdout().lock()))?;
    work.join().unwrap_or_else(|_| Err(io::Error::other("the engine failed")))
}

#[cfg(unix)]
fn limit_memory() -> io::Result<()> {
    use crate::config::limits::SCRIBE_MEMORY_BYTES;

    rlimit::setrlimit(rlimit::Resource::CORE, 0, 0)?; // a core file would be a copy of somebody's text
    match rlimit::setrlimit(rlimit::Resource::AS, SCRIBE_MEMORY_BYTES, SCRIBE_MEMORY_BYTES) {
        // not every system limits addresses (macOS does not)
        Err(_) if cfg!(not(target_os = "linux")) => Ok(()),
        done => done,
    }
}

/// On Windows the parent puts the process into a job, which limits what is in memory at a time only.
#[cfg(not(unix))]
fn limit_memory() -> io::Result<()> {
    Ok(())
}

fn answer_all(questions: &mut impl Read, answers: &mut impl Write) -> io::Result<()> {
    let mut head = [0u8; LENGTH];
    loop {
        match questions.read_exact(&mut head) {
            Err(end) if end.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            read => read?,
        }
        let length = u32::from_be_bytes(head) as usize;
        if length > SCRIBE_QUESTION_MAX_BYTES {
            return Err(io::Error::other("the question is too large"));
        }
        let mut content = Vec::new();
        questions.take(length as u64).read_to_end(&mut content)?;
        if content.len() < length {
            return Ok(()); // whoever asked is gone
        }
        let answer = match frame::parts(&content) {
            Some(parts) => frame::answer(tree::read(&parts)),
            None => frame::answer(Err("the question makes no sense".to_owned())),
        };
        let length = u32::try_from(answer.len()).map_err(|_| io::Error::other("the answer is too large"))?;
        answers.write_all(&length.to_be_bytes())?;
        answers.write_all(&answer)?;
        answers.flush()?;
    }
}

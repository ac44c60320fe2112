//! A space: a set of rooms with one sequence of messages, and members who hear them.
//!
//! Owns who is in which room, the order of what is said, the messages kept for who was away, and sessions that
//! can be taken up again, also after the program was killed. Does not know dialects, sockets, or what messages
//! say.
//!
//! What is promised. A kept message is heard once it survives the end of this program, and its publisher is answered
//! once the disk has confirmed it; should the computer's power fail in between, some may have heard what is not kept.
//! Members hear kept messages in the order of their numbers. A number is given once, whatever happens to the program
//! or the computer. Who takes a session up again hears every kept message of the rooms it was in and still may be in,
//! since the last one it heard, once and in order; or is told that this is not possible, as is who heard a message
//! that is not kept after all. A message that passes is heard by who is here.

mod actor;
mod answering;
mod crowd;
mod event;
mod ids;
mod joining;
mod kept;
mod landing;
mod load;
mod missed;
mod numbers;
mod offset;
mod outbox;
mod outgoing;
mod ring;
mod row;
mod session;
mod spaces;
#[cfg(test)]
mod tests;

pub use crowd::Member;
pub use event::{Except, MemberId, Room, RoomNameError, Said, Say, SpaceEvent};
pub use missed::{Missed, Repeated};
pub use outbox::{Closed, Mouth, SpaceOutbox};
pub use spaces::{Crowded, Fullest, Spaces};

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::actor::{Command, Parts};
use crate::clock::Clock;
use crate::config::limits::{
    SPACE_FAREWELL_MAX, SPACE_MAILBOX, SPACE_MEMBERS_MAX, SPACE_RING_MAX_BYTES, SPACE_RING_MAX_MEMORY,
    SPACE_RING_MAX_MESSAGES, SPACE_SESSION_WAIT, SPACE_SESSIONS_MAX, SPACE_WINDOW,
};
use crate::store::Store;
use crate::telemetry::Metrics;

/// Why a space could not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SpaceError {
    /// The disk could not be read: when the space was opened, or for what somebody missed.
    #[error("the kept messages could not be read: {0}")]
    Unreadable(String),
    /// Too many members.
    #[error("the space is full")]
    Full,
    /// More rooms than one member may be in, or one message may be for.
    #[error("too many rooms")]
    TooManyRooms,
    /// The message is larger than a space takes.
    #[error("the message is too large")]
    TooLarge,
    /// Too much waits to be written to disk.
    #[error("too much waits to be kept; try again a little later")]
    Busy,
    /// The message should be kept and the disk does not take it. Nobody hears it, but for those who had it a moment
    /// before the disk failed: their connections are closed, and they come back.
    #[error("the message could not be kept: {0}")]
    NotKept(String),
    /// What was missed is not there any more: whoever was to hear it has to come back, and is told.
    #[error("what was missed is not there any more")]
    Lost,
    /// The computer gave no randomness for a new id.
    #[error("the computer gave no randomness")]
    NoRandomness,
    /// The space has ended, or starts again.
    #[error("the space has ended")]
    Ended,
}

impl SpaceError {
    /// Whether the same can never be said, however often it is tried.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::TooLarge | Self::TooManyRooms)
    }
}

/// The bounds of one space.
#[derive(Debug, Clone, Copy)]
pub struct SpaceOptions {
    /// How long messages are kept, and sessions wait.
    pub window: Duration,
    /// Kept messages, in bytes on disk.
    pub ring_max_bytes: usize,
    /// Kept messages, in bytes in memory: the newest.
    pub ring_max_memory: usize,
    /// Kept messages, in number.
    pub ring_max_messages: usize,
    /// Members at once.
    pub members_max: usize,
    /// Sessions: of who is here and of who may come back.
    pub sessions_max: usize,
}

impl Default for SpaceOptions {
    fn default() -> Self {
        Self {
            window: SPACE_WINDOW,
            ring_max_bytes: SPACE_RING_MAX_BYTES,
            ring_max_memory: SPACE_RING_MAX_MEMORY,
            ring_max_messages: SPACE_RING_MAX_MESSAGES,
            members_max: SPACE_MEMBERS_MAX,
            sessions_max: SPACE_SESSIONS_MAX,
        }
    }
}

/// What a client says of the session it wants to take up again.
#[derive(Clone)]
pub struct Since {
    /// The secret id it was given.
    pub pid: String,
    /// The offset of the last kept message it heard; `None` when it heard none.
    pub offset: Option<String>,
}

/// Which rooms of the old session stay, beyond those that the credentials give now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum OldRooms {
    /// None.
    #[default]
    Dropped,
    /// All of them.
    Kept,
    /// These, if it was in them: what the dialect looked at and allows.
    These(Vec<Room>),
}

/// Who comes.
pub struct Join {
    /// Where what is said goes to.
    pub outbox: SpaceOutbox,
    /// Whose connection it is, if that is known. A session of one person is not taken up by another.
    pub person: Option<Arc<str>>,
    /// The rooms that the credentials give now.
    pub rooms: Vec<Room>,
    /// The session to take up again.
    pub since: Option<Since>,
    /// Whether there is to be a session at all.
    pub recover: bool,
    /// Which other rooms of the old session stay.
    pub old_rooms: OldRooms,
}

/// Who came.
#[derive(Debug)]
pub struct Joined {
    /// Which member it is from now on.
    pub member: MemberId,
    /// Its public id.
    pub sid: Arc<str>,
    /// The secret id with which it comes back: the old one exactly when the session was taken up. `None` when
    /// there is no session, be it that none was asked for or that the disk does not take it.
    pub pid: Option<String>,
    /// The session was taken up, and `missed` is everything that was missed.
    pub recovered: bool,
    /// The rooms it is in.
    pub rooms: Vec<Room>,
    /// What was missed, in order: to be read before anything of the outbox.
    pub missed: Missed,
}

/// What a session that waits knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// Whose it is.
    pub person: Option<Arc<str>>,
    /// The rooms it was in.
    pub rooms: Vec<Room>,
}

/// A handle on a space; cheap to clone. The last handle dropped ends it.
#[derive(Clone)]
pub struct Space(Arc<Handle>);

struct Handle {
    name: &'static str,
    commands: mpsc::Sender<Command>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Space {
    /// Opens a space: takes up what the disk has of it. One space of a name at a time. Without a store nothing
    /// is kept, and nobody can take a session up again.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub async fn open(
        name: &'static str,
        store: Option<Store>,
        clock: Clock,
        metrics: Metrics,
        options: SpaceOptions,
    ) -> Result<Self, SpaceError> {
        let parts = Parts { name, store, clock, metrics, options };
        let start = parts.load().await?;
        let (commands, mailbox) = mpsc::channel(SPACE_MAILBOX);
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(actor::run(parts, start, mailbox, stop.clone()));
        tasks.close();
        Ok(Self(Arc::new(Handle { name, commands, stop, tasks })))
    }

    /// Joins. Waits a bounded time until the session is on disk, so that it is there also when the program is
    /// killed.
    ///
    /// # Errors
    /// When the space or its rooms are full, or it has ended.
    pub async fn join(&self, join: Join) -> Result<Joined, SpaceError> {
        let (reply, mut answer) = oneshot::channel();
        let (kept, mut durable) = oneshot::channel();
        let join = Command::Join { join: Box::new(join), reply, kept };
        self.0.commands.send(join).await.map_err(|_| SpaceError::Ended)?;
        // This first: most are woken once.
        let mut told = timeout(SPACE_SESSION_WAIT, &mut durable).await;
        let mut joined = match answer.try_recv() {
            Err(TryRecvError::Empty) => {
                let joined = answer.await.map_err(|_| SpaceError::Ended)?;
                if told.is_err() {
                    // It was the space that took so long: the disk's time begins now.
                    told = timeout(SPACE_SESSION_WAIT, durable).await;
                }
                joined
            }
            answered => answered.map_err(|_| SpaceError::Ended)?,
        }?;
        let is_durable = matches!(told, Ok(Ok(true)));
        joined.missed.read_from(self);
        if !is_durable && !joined.recovered {
            // A promise that the disk does not keep is not given. Who came back has its old row.
            joined.pid = None;
            let _ = self.0.commands.send(Command::Forget { member: joined.member }).await;
        }
        Ok(joined)
    }

    /// What a session knows, for a dialect that asks about each old room. Nothing when it cannot be taken up.
    pub async fn remembered(&self, since: &Since) -> Option<Remembered> {
        let (reply, answer) = oneshot::channel();
        self.ask(Command::Remembered { pid: since.pid.clone(), reply }, answer).await.ok()?
    }

    /// Brings a member into rooms. Waits as [`Space::join`] does.
    pub async fn enter(&self, member: MemberId, rooms: Vec<Room>) {
        self.begin_to_enter(member, rooms).await.await;
    }

    /// The same in two steps: who is told something from the first one on is in.
    pub async fn begin_to_enter(
        &self,
        member: MemberId,
        rooms: Vec<Room>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let (reply, durable) = oneshot::channel();
        self.begin(Command::Enter { member, rooms, reply }, durable).await
    }

    /// Takes a member out of rooms. Waits as [`Space::join`] does.
    pub async fn exit(&self, member: MemberId, rooms: Vec<Room>) {
        self.begin_to_exit(member, rooms).await.await;
    }

    /// The same in two steps: who is told something from the first one on is out.
    pub async fn begin_to_exit(
        &self,
        member: MemberId,
        rooms: Vec<Room>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let (reply, durable) = oneshot::channel();
        self.begin(Command::Exit { member, rooms, reply }, durable).await
    }

    /// A member leaves. `recoverable`: the connection was lost, and its session waits for the window; otherwise
    /// it is forgotten.
    pub async fn leave(&self, member: MemberId, recoverable: bool) {
        let _ = self.0.commands.send(Command::Leave { member, recoverable }).await;
    }

    /// Says something. A kept message is on disk when this returns.
    ///
    /// # Errors
    /// When it is too large, or should be kept and cannot be.
    pub async fn say(&self, say: Say) -> Result<Said, SpaceError> {
        self.begin_to_say(say).await?.await
    }

    /// The same in two steps: what was begun first has the lower number, and several may be on their way to the disk at
    /// once.
    ///
    /// # Errors
    /// When the space has ended; the others come with what is returned.
    pub async fn begin_to_say(
        &self,
        say: Say,
    ) -> Result<impl Future<Output = Result<Said, SpaceError>> + Send + use<>, SpaceError> {
        let (reply, answer) = oneshot::channel();
        let said = Command::Say { say: Box::new(say), reply };
        self.0.commands.send(said).await.map_err(|_| SpaceError::Ended)?;
        Ok(async move { answer.await.unwrap_or(Err(SpaceError::Ended)) })
    }

    /// Who is in a room.
    pub async fn members(&self, room: &Room) -> Vec<Member> {
        let (reply, answer) = oneshot::channel();
        self.ask(Command::Members { room: room.clone(), reply }, answer).await.unwrap_or_default()
    }

    /// The rooms that somebody is in, with how many members.
    pub async fn rooms(&self) -> Vec<(Room, usize)> {
        let (reply, answer) = oneshot::channel();
        self.ask(Command::Rooms { reply }, answer).await.unwrap_or_default()
    }

    /// The rooms with the most members, at most so many.
    pub async fn fullest(&self, most: usize) -> Fullest {
        let (reply, answer) = oneshot::channel();
        self.ask(Command::Fullest { most, reply }, answer).await.unwrap_or_default()
    }

    /// Closes every outbox, writes what is on its way and ends, within a bounded time. Sessions wait on disk.
    pub async fn stop(&self) {
        self.0.stop.cancel();
        if timeout(2 * SPACE_FAREWELL_MAX, self.0.tasks.wait()).await.is_err() {
            tracing::warn!("a space did not end in time");
        }
    }

    async fn begin(
        &self,
        command: Command,
        durable: oneshot::Receiver<bool>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let sent = self.0.commands.send(command).await.is_ok();
        async move {
            if sent {
                let _ = timeout(SPACE_SESSION_WAIT, durable).await;
            }
        }
    }

    async fn ask<T>(&self, command: Command, answer: oneshot::Receiver<T>) -> Result<T, SpaceError> {
        self.0.commands.send(command).await.map_err(|_| SpaceError::Ended)?;
        answer.await.map_err(|_| SpaceError::Ended)
    }
}

//! Every bound of the product, with its unit, its default and its reason.
//!
//! Owns numbers only. A queue, map, buffer or wait without a line here is a defect.

mod bus;
mod channels;
mod forum;
mod loomio;
mod office;
mod space;
mod text;

use std::time::Duration;

pub use bus::*;
pub use channels::*;
pub use forum::*;
pub use loomio::*;
pub use office::*;
pub use space::*;
pub use text::*;

/// Bytes in one kibibyte.
pub const KIB: usize = 1024;
/// Bytes in one mebibyte.
pub const MIB: usize = 1024 * KIB;

// --- documents -------------------------------------------------------------------------------------------

/// Largest single update from a client, in bytes: larger ones come as several edits from every known editor.
pub const UPDATE_MAX_BYTES: usize = 8 * MIB;
/// Largest state vector from a client, in bytes: some 100,000 writers in one document.
pub const STATE_VECTOR_MAX_BYTES: usize = MIB;
/// A state vector may name writers that the document does not have, in so many bytes: some thousand, on their way.
pub const STATE_VECTOR_FREE_BYTES: usize = 8 * KIB;
/// Deepest nesting of `Any` values inside an update: the reference engines overflow their stack at 20,000.
pub const UPDATE_NESTING_MAX: usize = 64;
/// A document beyond this many bytes takes no further growth.
pub const DOCUMENT_MAX_BYTES: usize = 64 * MIB;
/// Writers and deleted ranges that a document may have together: they are what a room keeps in memory of it.
pub const DOCUMENT_PARTS_MAX: usize = 400_000;
/// Rooms on the page that shows what is going on, of each kind…
pub const ACTIVITY_ROOMS_MAX: usize = 12;
/// …names of people in each of them…
pub const ACTIVITY_NAMES_MAX: usize = 8;
/// …and reasons why something was refused.
pub const ACTIVITY_REASONS_MAX: usize = 16;
/// Commands waiting for one room; a full mailbox stops the reading of the sockets that fill it.
pub const ROOM_MAILBOX: usize = 256;
/// Open rooms at once.
pub const ROOMS_OPEN_MAX: usize = 2_000;
/// An open is tried this often when the room it found was just ending.
pub const ROOM_OPEN_TRIES: usize = 8;
/// Parts (runs, references, deleted ranges) of one edit beyond which its sender waits…
pub const EDIT_PARTS_FREE: usize = 1_000;
/// …this long for each of them: placing one takes a tenth of it, and the rest of the time is the others'.
pub const EDIT_PART_PAUSE: Duration = Duration::from_micros(2);
/// Distinct differences made in one piece of a room's work, so that nobody waits for all of many askers.
pub const ROOM_WORK_DIFFERENCES_MAX: usize = 8;
/// Answers that sockets have not taken yet, in bytes, beside those that all share; beyond it everybody gets such a one.
pub const ROOMS_ANSWERS_MAX_BYTES: usize = 128 * MIB;
/// Content of all open rooms together, in bytes; beyond it nothing more is opened and nothing grows.
pub const ROOMS_CONTENT_MAX_BYTES: usize = 512 * MIB;
/// Peers in one room; above the 1,000 joins at once that an office-wide meeting makes.
pub const ROOM_PEERS_MAX: usize = 2_048;
/// Peers of one person in a room that is half full: two sockets with all their documents. Before that, any number.
pub const ROOM_PEERS_PER_PERSON_MAX: usize = 64;
/// A room nobody is in stays loaded this long, so that a reload of the page is warm.
pub const ROOM_GRACE: Duration = Duration::from_secs(30);
/// As [`ROOM_GRACE`], while more than half of all rooms are open.
pub const ROOM_GRACE_CROWDED: Duration = Duration::from_secs(1);
/// A room pauses so long for each peer between two fan-outs: telling one takes some ten microseconds, so telling all of
/// them takes a few hundredths of the time, however fast they write…
pub const ROOM_BREATH_PER_PEER: Duration = Duration::from_micros(800);
/// …but no longer than this, which nobody sees…
pub const ROOM_BREATH_MAX: Duration = Duration::from_millis(40);
/// …and not at all among so few.
pub const ROOM_FEW_PEERS: usize = 8;
/// So many edits are told at once, pause or not.
pub const ROOM_FRESH_MAX: usize = 64;
/// Commits refused in a row after which a room calls its disk faulty, whatever the store says of others.
pub const SAVE_FAILURES_TOLD: u32 = 3;
/// Edits of one room that were shown to its peers but are not on disk yet, in bytes; beyond it edits are refused.
pub const ROOM_UNSAVED_MAX_BYTES: usize = 16 * MIB;
/// Edits of one room kept for readers that fell behind, in bytes; who missed more gets the whole document again.
pub const ROOM_RECENT_MAX_BYTES: usize = MIB;
/// Edits of one room not merged into its state yet, in bytes…
pub const ROOM_TAIL_MAX_BYTES: usize = 4 * MIB;
/// …and in number, so that a merge stays short.
pub const ROOM_TAIL_MAX_EDITS: usize = 4_096;
/// Work on at most this many bytes is done in the room itself; larger work goes to a thread of its own.
pub const ROOM_WORK_INLINE_MAX_BYTES: usize = 256 * KIB;
/// Edits of one peer that wait for what was missing before them; the client counts further ones until it reconnects.
pub const EDITS_OWED_MAX: u32 = 10_000;
/// Text told to everybody in a room at once, in bytes.
pub const ROOM_TOLD_MAX_BYTES: usize = 64 * KIB;
/// A commit that the store did not take is tried again after this long…
pub const SAVE_RETRY: Duration = Duration::from_millis(20);
/// …or after this long when the disk refused it, should the store not call earlier.
pub const SAVE_RETRY_DISK: Duration = Duration::from_secs(1);
/// A room that ends waits this long for its last commits, and again for its last snapshot.
pub const ROOM_FAREWELL_MAX: Duration = Duration::from_millis(1_500);
/// Rooms end within this time when the office stops; the rest of the stop's deadline is the store's.
pub const ROOMS_STOP_DEADLINE: Duration = Duration::from_millis(3_500);

// --- outboxes --------------------------------------------------------------------------------------------

/// Frames waiting for one slow reader, in bytes; over it queued edits are replaced by one resync.
pub const OUTBOX_MAX_BYTES: usize = MIB;
/// What a socket takes from its outbox at once, in bytes, so that what it holds beside the outbox stays small.
pub const OUTBOX_TAKE_MAX_BYTES: usize = 64 * KIB;
/// What waits in an outbox is counted in steps of this many bytes: a reader that keeps up is not counted at all.
pub const OUTBOX_COUNTED_BYTES: usize = 4 * KIB;
/// Places that an empty outbox keeps ready when a burst is over.
pub const OUTBOX_SLOTS_KEPT: usize = 4;
/// A reader that stays behind this long is closed.
pub const OUTBOX_LAG_MAX: Duration = Duration::from_secs(30);

// --- presence --------------------------------------------------------------------------------------------

/// One person's presence state, in bytes of JSON.
pub const PRESENCE_STATE_MAX_BYTES: usize = 4 * KIB;
/// Client ids remembered after their peers left, so that a late echo does not bring them back.
pub const PRESENCE_DEPARTED_MAX: usize = 256;
/// Entries read from one presence message: clients send back what they heard, so more than one is normal.
pub const PRESENCE_ENTRIES_MAX: usize = 4_096;

// --- store -----------------------------------------------------------------------------------------------

/// The journal's size, in bytes: what is in it only is done again at a start, in some 50 ms. A journal of another size
/// counts as cut short: with another number here, a folder left by a kill is not opened; one that was closed is.
pub const JOURNAL_BYTES: usize = 2 * MIB;
/// Changes of rows in the journal only: each may hold a page of 4 KiB in memory.
pub const JOURNAL_ROWS_MAX: usize = 16_384;
/// A larger commit does not go through the journal, in bytes: writing it twice would cost more than it saves.
pub const JOURNAL_RECORD_MAX_BYTES: usize = 256 * KIB;
/// What is in the journal only goes to the database when nothing was committed for this long…
pub const JOURNAL_QUIET: Duration = Duration::from_secs(1);
/// …or with the first commit after this long.
pub const JOURNAL_AGE: Duration = Duration::from_secs(10);
/// A commit closes after this long at the latest.
pub const COMMIT_WINDOW: Duration = Duration::from_millis(2);
/// Whoever writes so soon after a commit has company: the window stays open.
pub const COMMIT_COMPANY: Duration = Duration::from_millis(5);
/// A commit closes at this many rows.
pub const COMMIT_ROWS_MAX: usize = 1_000;
/// What is larger is not written by whoever hands it over, in bytes: a copy or two, some 50 us.
pub const NOTE_MAX_BYTES: usize = 32 * KIB;
/// Writes waiting for the writer thread.
pub const WRITER_QUEUE: usize = 4_096;
/// Bytes waiting for the writer thread; one commit may be larger when nothing else waits.
pub const WRITER_QUEUE_BYTES: usize = 64 * MIB;
/// A commit closes at this many bytes: it holds them twice.
pub const COMMIT_MAX_BYTES: usize = 16 * MIB;
/// While the disk takes no writes, it is tried again this often.
pub const STORE_PROBE_INTERVAL: Duration = Duration::from_millis(500);
/// A folder that another process holds is refused after this long.
pub const FOLDER_LOCK_WAIT: Duration = Duration::from_millis(500);
/// A read that the disk refuses is tried this often…
pub const READ_TRIES: u32 = 10;
/// …with this pause in between: the file may be being opened again.
pub const READ_PAUSE: Duration = Duration::from_millis(20);
/// The trial writes as much as failed before, but at most this, in bytes.
pub const STORE_PROBE_MAX_BYTES: usize = 4 * MIB;
/// Largest state that is put into or read from a snapshot, in bytes: the largest document with room to spare.
pub const SNAPSHOT_MAX_BYTES: usize = 2 * DOCUMENT_MAX_BYTES;
/// Memory the database may use as page cache, in bytes; the engine's own default is 1 GiB.
pub const STORE_CACHE_BYTES: usize = 16 * MIB;
/// The same while the disk takes nothing and what was in the journal is held in memory, in bytes: half of it is for
/// that.
pub const STORE_CACHE_FULL_BYTES: usize = 256 * MIB;
/// A snapshot is due after this many updates…
pub const SNAPSHOT_UPDATES: usize = 100;
/// …or this long after the first change since the last one.
pub const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(300);
/// Snapshots of one document lie at least this far apart while it is open: a large one costs its whole size each time.
pub const SNAPSHOT_SPACING: Duration = Duration::from_secs(5);
/// A snapshot that is due lets so many rounds of answers go first.
pub const SNAPSHOT_PUT_OFF_MAX: u32 = 16;
/// A snapshot that failed is tried again after this long.
pub const SNAPSHOT_RETRY: Duration = Duration::from_secs(30);
/// Snapshots kept for each document.
pub const SNAPSHOT_GENERATIONS: usize = 3;

// --- scribe ----------------------------------------------------------------------------------------------

/// One question to the scribe is answered within this time, or the process is ended.
pub const SCRIBE_DEADLINE: Duration = Duration::from_secs(10);
/// Memory the scribe may use, in bytes: more is refused on Linux, and paged out on Windows. macOS knows no such limit:
/// there only the deadline ends what takes ever more.
pub const SCRIBE_MEMORY_BYTES: u64 = 1024 * MIB as u64;
/// One question to the scribe, in bytes: the largest document, and the frames around its parts.
pub const SCRIBE_QUESTION_MAX_BYTES: usize = DOCUMENT_MAX_BYTES + 16 * MIB;
/// One answer of the scribe, in bytes: a tree is text, with the names of its blocks around it.
pub const SCRIBE_ANSWER_MAX_BYTES: usize = 2 * DOCUMENT_MAX_BYTES;
/// Parts of one document in a question; more are a snapshot that is overdue.
pub const SCRIBE_PARTS_MAX: usize = 100_000;
/// Questions waiting for the scribe; it answers one at a time.
pub const SCRIBE_WAITING_MAX: usize = 64;
/// Stack of the scribe's working thread, in bytes: trees are walked by recursion.
pub const SCRIBE_STACK_BYTES: usize = 64 * MIB;
/// Elements deeper than this are not walked: far beyond what any editor makes, far below the end of the stack.
pub const SCRIBE_WALK_MAX: usize = 4 * TEXT_NESTING_MAX;
/// An idle scribe is ended after this long: it costs memory and is quickly started.
pub const SCRIBE_IDLE: Duration = Duration::from_secs(30);
/// Text is written back this long after the last change…
pub const DRAFT_DEBOUNCE: Duration = Duration::from_millis(1_000);
/// …and at the latest this long after the first one.
pub const DRAFT_DEBOUNCE_MAX: Duration = Duration::from_secs(10);

/// Changed records looked at in one go.
pub const DRAFT_BATCH: usize = 256;
/// Records whose draft failed and is tried again later; with more of them the follower waits for the first.
pub const DRAFT_FAILED_MAX: usize = 256;
/// A failed draft is tried again after this long, then after twice as long each time…
pub const DRAFT_RETRY: Duration = Duration::from_secs(5);
/// …but at least this often.
pub const DRAFT_RETRY_MAX: Duration = Duration::from_secs(600);

// --- records ---------------------------------------------------------------------------------------------

/// Records of one office.
pub const RECORDS_MAX: usize = 20_000;
/// A record's title, in characters.
pub const RECORD_TITLE_MAX_CHARS: usize = 300;
/// A record's type or status, in bytes: a short word.
pub const RECORD_WORD_MAX_BYTES: usize = 32;
/// The name of a record's file, in characters, without its `.md`; a longer one is cut.
pub const RECORD_FILE_STEM_MAX_CHARS: usize = 80;
/// Rows read at once when all records are read.
pub const RECORDS_READ_ROWS: usize = 1_000;

// --- the door --------------------------------------------------------------------------------------------

/// Connections at once: 1,000 colleagues with one socket each, and their page loads.
pub const CONNECTIONS_MAX: usize = 2_048;
/// So many of them are for this computer alone: the clerk's window, the operator, a program that publishes.
pub const CONNECTIONS_HERE_RESERVED: usize = 64;
/// Requests and sockets of one address that are served at once before anybody has logged in on them; more wait.
pub const CONNECTIONS_PER_ADDRESS_UNAUTHENTICATED_MAX: usize = 32;
/// Connections of one address, logged in or not: a whole office may sit behind one router.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 1_536;
/// Connections that wait for a seat at once; more are refused at once.
pub const CONNECTIONS_WAITING_MAX: usize = 1_024;
/// A connection that has said nothing for this long gives way when all seats are taken.
pub const SILENCE_MIN: Duration = Duration::from_millis(250);
/// One that was let in as nobody in particular gives way after this long: visitors have their look, and in a rush they
/// do not chase each other away.
pub const NOBODY_MIN: Duration = Duration::from_secs(30);
/// A connection waits this long for a seat: as long as the strangers before it have to say who they are.
pub const SEAT_DEADLINE: Duration = Duration::from_secs(10);
/// One look at the seats is trusted this long, in case the seat that became free was another address'.
pub const SEATS_LOOK_AGAIN: Duration = Duration::from_millis(250);
/// After a failed accept (no file handles left, for example) the next one waits this long.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The head of one request, in bytes; also the reading buffer of a connection.
pub const REQUEST_HEAD_MAX_BYTES: usize = 32 * KIB;
/// Headers of one request.
pub const HEADERS_MAX: usize = 64;
/// A request that is no WebSocket is answered within this time, its body included; one that waits for news of the
/// channels has [`ENGINE_PING_INTERVAL`] and [`ENGINE_PING_TIMEOUT`] together.
pub const REQUEST_DEADLINE: Duration = Duration::from_secs(30);
/// A connection whose other end takes nothing for this long is ended; longer than a reader may lag.
pub const WRITE_STALL: Duration = Duration::from_secs(45);
/// The head of a request arrives within this time.
pub const HEADER_DEADLINE: Duration = Duration::from_secs(5);
/// The first authenticated message arrives within this time, whatever else is sent meanwhile.
pub const AUTHENTICATION_DEADLINE: Duration = Duration::from_secs(10);
/// Bytes taken on one socket before authentication.
pub const UNAUTHENTICATED_MAX_BYTES: usize = 64 * KIB;
/// Messages taken on one socket before authentication.
pub const UNAUTHENTICATED_MAX_MESSAGES: usize = 64;
/// Documents on one socket.
pub const DOCUMENTS_PER_SOCKET_MAX: usize = 32;
/// One WebSocket message, in bytes.
pub const MESSAGE_MAX_BYTES: usize = UPDATE_MAX_BYTES + 64 * KIB;
/// A socket is asked for a sign of life this often…
pub const PING_INTERVAL: Duration = Duration::from_secs(20);
/// …and closed after this long without any.
pub const IDLE_DEAD: Duration = Duration::from_secs(45);
/// A socket is looked after this often: signs of life are asked for, given and missed at this grain.
pub const SOCKET_TICK: Duration = Duration::from_secs(5);
/// A Yjs client that hears nothing for 30 s reconnects; after this long a silent room says something small.
pub const QUIET_MAX: Duration = Duration::from_secs(15);
/// Read buffer of one socket, in bytes: a town has many idle ones. A longer message has room of its own.
pub const SOCKET_BUFFER_BYTES: usize = KIB;
/// Whoever takes less than this many bytes within [`OUTBOX_LAG_MAX`] takes nothing.
pub const SOCKET_STRIDE_BYTES: usize = 16 * KIB;
/// Pieces written with one call to the system.
pub const SOCKET_PIECES_AT_ONCE: usize = 32;
/// A message on a Yjs socket is copied behind its head up to this many bytes; a longer one goes out as it lies.
pub const SOCKET_COPIED_MAX_BYTES: usize = KIB;
/// So many messages of a Yjs socket are put into the figures at once.
pub const SOCKET_COUNTED_MESSAGES: u64 = 32;
/// One thing kept for somebody who was refused and may try again, in bytes.
pub const DENIED_KEPT_MAX_BYTES: usize = 4 * KIB;
/// A closed socket is read this long for the other side's goodbye.
pub const CLOSE_LINGER: Duration = Duration::from_secs(1);
/// Frames of one socket that cannot be read, before it is closed.
pub const UNREADABLE_FRAMES_MAX: u32 = 16;
/// Refused log-ins on one socket, before it is closed.
pub const DENIALS_PER_SOCKET_MAX: u32 = 64;
/// The address of a document on a shared socket, in bytes: a document's name, and a session's.
pub const ADDRESS_MAX_BYTES: usize = 512;
/// Body of an ordinary request, in bytes.
pub const BODY_MAX_BYTES: usize = 64 * KIB;
/// Body of one imported record, in bytes.
pub const RECORD_BODY_MAX_BYTES: usize = 2 * MIB;
/// At a stop, connections have this long to hear the goodbye and leave by themselves.
pub const GOODBYE: Duration = Duration::from_millis(500);
/// A graceful stop ends within this time.
pub const STOP_DEADLINE: Duration = Duration::from_secs(5);

// --- who you are -----------------------------------------------------------------------------------------

/// What was done by whom is looked up for this many deeds, the newest: years of an office, some 10 MB…
pub const AUDIT_ROWS_MAX: usize = 50_000;
/// …and when there are so many more, these go with the commit of the next one.
pub const AUDIT_ROWS_PRUNED: usize = 1_000;
/// Longest text that is looked at as a credential, in bytes.
pub const CREDENTIAL_MAX_BYTES: usize = 512;
/// A join code lives this long.
pub const JOIN_CODE_LIFE: Duration = Duration::from_secs(600);
/// Wrong guesses that one address may make in a minute.
pub const JOIN_GUESSES_PER_ADDRESS_MINUTE: u32 = 5;
/// Guesses of all addresses together in a minute.
pub const JOIN_GUESSES_GLOBAL_MINUTE: u32 = 60;
/// Open invitations at once.
pub const INVITATIONS_MAX: usize = 64;
/// Tokens kept at once.
pub const TOKENS_MAX: usize = 10_000;
/// A session that is not used ends after this long.
pub const SESSION_IDLE: Duration = Duration::from_secs(12 * 3600);
/// A session ends after this long even when used.
pub const SESSION_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);
/// A person's name, in characters.
pub const PERSON_NAME_MAX_CHARS: usize = 64;
/// A one-time link for this computer's window works this long: long enough to read it off a terminal.
pub const ONCE_LIFE: Duration = Duration::from_secs(3600);
/// One-time links open at once; the oldest gives way.
pub const ONCE_MAX: usize = 16;
/// Grants are looked through for expired ones this often.
pub const EXPIRY_INTERVAL: Duration = Duration::from_secs(1);
/// Use of a session is written down at most this often.
pub const SESSION_TOUCH: Duration = Duration::from_secs(60);
/// A token lives at most this long when its life is given.
pub const TOKEN_LIFE_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// A person counts as online this long after the last request.
pub const ONLINE_FOR: Duration = Duration::from_secs(90);

// --- threads ---------------------------------------------------------------------------------------------

/// Memory that a thread takes and gives back when it begins, in bytes: what 1,000 connections take…
pub const THREAD_ROOM_BYTES: usize = 8 * MIB;
/// …in pieces of so many bytes, which allocators still take from the heap.
pub const THREAD_ROOM_PIECE_BYTES: usize = 100 * KIB;

//! Who may write in which of Loomio's documents: this office's own people, or whoever the application says.
//!
//! Owns the rules of a Loomio user's secret, `<user id>,<token>` (Loomio's Rails app), where they stay with
//! this office, and the order in which credentials are looked at. Does not know sockets.

use std::sync::atomic::Ordering;

use super::channel::ChannelHolder;
use super::secret::Mark;
use super::{Auth, Denied, Grant, Role};
use crate::clock::Stopwatch;
use crate::config::limits::{APP_ANSWER_LIFE, APP_ANSWERS_MAX};
use crate::id::{DocKind, DocName, LoomioDoc, LoomioRecord};

/// Why somebody may not write in a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The document's name is none of Loomio's.
    #[error("not a document of a known type")]
    Malformed,
    /// The secret opens nothing.
    #[error("not a valid credential")]
    Credentials,
    /// The person may not write there.
    #[error("not allowed")]
    Permission,
}

/// Asks for one socket what its tokens open; what the application said is remembered a while.
pub struct Asker {
    auth: Auth,
    here: bool,
    answers: Vec<(DocName, Option<Mark>, Grant, Stopwatch)>,
}

impl Asker {
    /// For a socket whose other end is, or is not, on this very computer.
    #[must_use]
    pub fn new(auth: Auth, here: bool) -> Self {
        Self { auth, here, answers: Vec::new() }
    }

    /// The grant for a document. An empty token stands for whoever the request itself named.
    ///
    /// # Errors
    /// [`Denied`] when nothing opens it.
    pub async fn grant_for(
        &mut self,
        doc: &DocName,
        token: &str,
        named: Option<&Grant>,
    ) -> Result<Grant, Denied> {
        if let DocKind::Loomio(which) = doc.kind() {
            if self.auth.0.app.get().is_some() {
                return self.ask_app(doc, &which, token).await;
            }
            if token.contains(',') {
                return self.auth.may_write(doc.as_str(), token, self.here).map_err(|_| Denied);
            }
        }
        match token {
            "" => named.filter(|grant| grant.may_read()).cloned().ok_or(Denied),
            token if self.here => self.auth.grant_here(token),
            token => self.auth.grant(token),
        }
    }

    async fn ask_app(&mut self, doc: &DocName, which: &LoomioDoc, token: &str) -> Result<Grant, Denied> {
        let app = self.auth.0.app.get().ok_or(Denied)?;
        let mark = Mark::of(token);
        self.answers.retain(|(.., grant, since)| grant.holds() && since.elapsed() < APP_ANSWER_LIFE);
        let known = self.answers.iter().find(|(known, whose, ..)| known == doc && *whose == mark);
        if let Some((.., grant, _)) = known {
            return Ok(grant.clone());
        }
        let grant = app.ask(doc, which, token).await?;
        if self.answers.len() < APP_ANSWERS_MAX {
            self.answers.push((doc.clone(), mark, grant.clone(), Stopwatch::start()));
        }
        Ok(grant)
    }
}

impl Auth {
    /// Lets strangers draft, or not.
    pub fn set_visitors(&self, may_draft: bool) {
        self.0.visitors.store(may_draft, Ordering::Relaxed);
    }

    /// What one of this office's own people, who brings `<user id>,<channel token>`, may do in one document of
    /// Loomio's: write, or nothing.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn may_write(&self, document: &str, user_secret: &str, here: bool) -> Result<Grant, Refused> {
        let doc = DocName::parse(document).map_err(|_| Refused::Malformed)?;
        let DocKind::Loomio(which) = doc.kind() else { return Err(Refused::Malformed) };
        let (user, token) = user_secret.split_once(',').ok_or(Refused::Credentials)?;
        if user == "0" {
            return self.may_draft(&doc, &which, token);
        }
        let ChannelHolder::Person(grant, number) = self.channel_holder(token, here) else {
            return Err(Refused::Credentials);
        };
        if user != number.to_string() {
            return Err(Refused::Credentials);
        }
        let theirs = match which.which {
            LoomioRecord::New(_) => which.is_draft_of(user),
            LoomioRecord::Saved(id) => which.of != "user" || id == number,
        };
        if theirs && grant.may_write() { Ok(grant.bound(&doc)) } else { Err(Refused::Permission) }
    }

    /// A stranger may draft a new group, under the token it was given.
    fn may_draft(&self, doc: &DocName, which: &LoomioDoc, token: &str) -> Result<Grant, Refused> {
        if !self.0.visitors.load(Ordering::Relaxed) || !self.is_visitor(token) {
            return Err(Refused::Credentials);
        }
        if which.of != "group" || !which.is_draft_of(token) {
            return Err(Refused::Permission);
        }
        let visitor = Mark::of(token).map_or_else(String::new, |mark| mark.id());
        Ok(Grant::new(format!("v-{visitor}"), "Visitor".to_owned(), Role::Editor).bound(doc))
    }
}

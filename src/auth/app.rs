//! The application that decides who may write in its documents: asked before, and again while they are open.
//!
//! Owns the question (`POST <app>/api/hocuspocus`, Loomio's channel server), what counts as yes, and the end of what
//! is no longer allowed. Secrets are in its memory and in its requests, nowhere else.

use std::sync::{Mutex, MutexGuard};

use super::collab::Refused;
use super::secret::Secret;
use super::{Denied, Grant, Role};
use crate::clock::Stopwatch;
use crate::config::Loomio;
use crate::config::limits::{APP_ASKED_AGAIN, APP_DEADLINE, APP_GRANTS_MAX, APP_TICK};
use crate::id::{DocName, LoomioDoc, LoomioRecord};
use crate::lock::held;
use crate::outbound::header::{CONTENT_TYPE, HeaderValue};
use crate::outbound::{Ask, Method, Outbound};

/// The application.
pub struct App {
    outbound: Outbound,
    url: String,
    redirects: bool,
    /// Whether a stranger may draft under anybody's name, as the application itself allows.
    open_drafts: bool,
    granted: Mutex<Vec<Granted>>,
}

/// A grant of the application that may be in use.
struct Granted {
    grant: Grant,
    doc: DocName,
    secret: Secret,
    asked: Stopwatch,
}

impl App {
    /// The application of the configuration, if there is one.
    #[must_use]
    pub fn new(outbound: Outbound, options: &Loomio) -> Option<Self> {
        let base = options.app_url.as_ref()?;
        Some(Self {
            outbound,
            url: format!("{}/api/hocuspocus", base.trim_end_matches('/')),
            redirects: options.follow_redirects,
            open_drafts: options.open_drafts,
            granted: Mutex::default(),
        })
    }

    /// Asks whether a secret opens a document.
    pub(super) async fn ask(&self, doc: &DocName, which: &LoomioDoc, secret: &str) -> Result<Grant, Denied> {
        self.is_own_draft(which, secret).map_err(|_| Denied)?;
        match self.status(doc, secret).await {
            Some(200) => {}
            Some(status) => {
                tracing::info!(%status, "the application lets nobody in");
                return Err(Denied);
            }
            None => return Err(Denied),
        }
        let user = secret.split_once(',').map_or("0", |(user, _)| user);
        let person = format!("loomio-{}", user.chars().take(20).collect::<String>());
        let grant = Grant::new(person, format!("Loomio {user}"), Role::Editor).bound(doc);
        self.remember(&grant, doc, secret);
        Ok(grant)
    }

    /// A stranger's drafts bear the stranger's own token: the application itself does not look.
    fn is_own_draft(&self, which: &LoomioDoc, secret: &str) -> Result<(), Refused> {
        let (user, token) = secret.split_once(',').unwrap_or((secret, ""));
        match which.which {
            LoomioRecord::New(_) if user == "0" && !self.open_drafts && !which.is_draft_of(token) => {
                Err(Refused::Permission)
            }
            LoomioRecord::New(_) | LoomioRecord::Saved(_) => Ok(()),
        }
    }

    async fn status(&self, doc: &DocName, secret: &str) -> Option<u16> {
        let body = serde_json::json!({ "user_secret": secret, "document_name": doc.as_str() });
        let mut ask = Ask::new(Method::POST, self.url.clone());
        ask.headers.push((CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8")));
        ask.body = body.to_string().into();
        (ask.trusted, ask.redirects, ask.deadline) = (true, self.redirects, APP_DEADLINE);
        match self.outbound.ask(ask).await {
            Ok(answer) => Some(answer.status),
            Err(error) => {
                tracing::warn!(%error, "the application could not be asked who may write");
                None
            }
        }
    }

    fn remember(&self, grant: &Grant, doc: &DocName, secret: &str) {
        let mut granted = self.granted();
        if granted.len() >= APP_GRANTS_MAX {
            granted.retain(|known| known.grant.is_held());
        }
        if granted.len() >= APP_GRANTS_MAX {
            // What nobody could end any more must not live.
            granted.swap_remove(0).grant.end();
        }
        let (grant, doc, secret) = (grant.clone(), doc.clone(), Secret::known(secret.to_owned()));
        granted.push(Granted { grant, doc, secret, asked: Stopwatch::start() });
    }

    /// Asks again, for ever, about every document that stays open.
    pub(super) async fn keep_asking(&self) {
        loop {
            tokio::time::sleep(APP_TICK).await;
            self.ask_again(APP_ASKED_AGAIN).await;
        }
    }

    async fn ask_again(&self, older_than: std::time::Duration) {
        let due: Vec<_> = {
            let mut granted = self.granted();
            granted.retain(|known| known.grant.holds() && known.grant.is_held());
            let due = granted.iter_mut().filter(|known| known.asked.elapsed() >= older_than);
            due.map(|known| {
                known.asked = Stopwatch::start();
                (known.grant.clone(), known.doc.clone(), known.secret.clone())
            })
            .collect()
        };
        for (grant, doc, secret) in due {
            // Only a clear no counts: an application that is away or at fault takes nobody's pen away.
            if self.status(&doc, secret.reveal()).await.is_some_and(|status| (300..500).contains(&status)) {
                tracing::info!(person = grant.person(), "the application no longer allows it");
                grant.end();
            }
        }
    }

    fn granted(&self) -> MutexGuard<'_, Vec<Granted>> {
        held(&self.granted)
    }
}

impl super::Auth {
    /// From now on the application decides about Loomio's documents. Once.
    pub fn ask_app(&self, app: App) {
        if self.0.app.set(app).is_err() {
            tracing::error!("the application was set twice");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU16, Ordering};
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::id::DocKind;

    #[tokio::test]
    async fn what_the_application_takes_back_ends_and_what_it_cannot_say_does_not() {
        let says = Arc::new(AtomicU16::new(200));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let options = Loomio {
            app_url: Some(format!("http://{}/", listener.local_addr().unwrap())),
            ..Loomio::default()
        };
        let answer = says.clone();
        tokio::spawn(async move {
            loop {
                let (mut tcp, _) = listener.accept().await.unwrap();
                let _ = tcp.read(&mut [0; 4096]).await.unwrap();
                let answer =
                    format!("HTTP/1.1 {} X\r\nContent-Length: 0\r\n\r\n", answer.load(Ordering::SeqCst));
                tcp.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let app = App::new(Outbound::new(Vec::new()), &options).unwrap();
        let doc = DocName::parse("comment-1-body").unwrap();
        let DocKind::Loomio(which) = doc.kind() else { panic!() };
        let grant = app.ask(&doc, &which, "1,a").await.unwrap();
        assert!(grant.may_write() && grant.covers(&doc));
        assert!(!grant.covers(&DocName::parse("comment-2-body").unwrap()));
        for fault in [500, 503, 200] {
            says.store(fault, Ordering::SeqCst);
            app.ask_again(Duration::ZERO).await;
            assert!(grant.holds(), "{fault}");
        }
        says.store(401, Ordering::SeqCst);
        app.ask_again(APP_ASKED_AGAIN).await;
        assert!(grant.holds());
        app.ask_again(Duration::ZERO).await;
        assert!(!grant.holds());
        app.ask_again(Duration::ZERO).await;
        assert!(app.granted().is_empty());
    }
}

//! One connection to the central Redis: opening it in every layout, what is said on it, what is heard.
//!
//! Owns the protocol: RESP3 with pushes on one connection, or RESP2 with a second one for listening. Does not
//! know when to connect again.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::join_all;
use redis::aio::PubSubSink;
use redis::cluster::ClusterClient;
use redis::io::tcp::TcpSettings;
use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo,
    ProtocolVersion, PushInfo, PushKind, RedisConnectionInfo, RedisError, TlsMode, Value,
};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::super::message::{Message, Pattern};
use super::sender::{Sender, Way, patience, within};
use super::why::{SILENT, Why, words};
use crate::config::limits::{
    BUS_MESSAGE_MAX_BYTES, CENTRAL_ANSWER_MAX, CENTRAL_CONNECT_MAX, CENTRAL_FIND_MAX, CENTRAL_PROBE_MAX,
};
use crate::config::{CentralUrl, Layout};

/// What is heard on a line.
pub(super) enum News {
    /// A message, and the pattern in whose name it came.
    Message(Pattern, Message),
    /// A message that is beyond every bound was dropped.
    Refused,
    /// The line is dead.
    Lost,
}

/// Takes what is heard, at once and without waiting.
pub(super) type Ear = Arc<dyn Fn(News) + Send + Sync>;

/// An open connection.
pub(super) struct Line {
    sender: Sender,
    /// The second connection, where pushes are not known.
    second: Option<(PubSubSink, JoinHandle<()>)>,
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some((_, listening)) = &self.second {
            listening.abort();
        }
    }
}

impl Line {
    /// Connects and logs in, within a bounded time.
    pub(super) async fn open(url: &CentralUrl, ear: &Ear) -> Result<Self, Why> {
        let opening = async {
            let url = &answering(url).await;
            if url.old_protocol {
                return open(url, ear, ProtocolVersion::RESP2).await;
            }
            match open(url, ear, ProtocolVersion::RESP3).await {
                Err(error) if knows_no_resp3(&error) => open(url, ear, ProtocolVersion::RESP2).await,
                other => other,
            }
        };
        let most = if url.layout == Layout::Single { CENTRAL_CONNECT_MAX } else { CENTRAL_FIND_MAX };
        match tokio::time::timeout(most, opening).await {
            Ok(opened) => opened.map_err(|error| words(&error)),
            Err(_) => Err(SILENT.into()),
        }
    }

    pub(super) fn sender(&self) -> Sender {
        self.sender.clone()
    }

    pub(super) async fn subscribe(&mut self, pattern: &Pattern) -> Result<(), Why> {
        self.listen(pattern, true).await
    }

    pub(super) async fn unsubscribe(&mut self, pattern: &Pattern) -> Result<(), Why> {
        self.listen(pattern, false).await
    }

    async fn listen(&mut self, pattern: &Pattern, on: bool) -> Result<(), Why> {
        let (exact, name) = match pattern {
            Pattern::Channel(name) => (true, name.to_string()),
            Pattern::Prefix(start) => (false, glob(start)),
        };
        let done = async {
            match (&mut self.second, &mut self.sender.way, exact, on) {
                (Some((ear, _)), _, true, true) => ear.subscribe(name).await,
                (Some((ear, _)), _, true, false) => ear.unsubscribe(name).await,
                (Some((ear, _)), _, false, true) => ear.psubscribe(name).await,
                (Some((ear, _)), _, false, false) => ear.punsubscribe(name).await,
                (None, Way::Single(line), true, true) => line.subscribe(name).await,
                (None, Way::Single(line), true, false) => line.unsubscribe(name).await,
                (None, Way::Single(line), false, true) => line.psubscribe(name).await,
                (None, Way::Single(line), false, false) => line.punsubscribe(name).await,
                (None, Way::Cluster(line), true, true) => line.subscribe(name).await,
                (None, Way::Cluster(line), true, false) => line.unsubscribe(name).await,
                (None, Way::Cluster(line), false, true) => line.psubscribe(name).await,
                (None, Way::Cluster(line), false, false) => line.punsubscribe(name).await,
            }
        };
        within(CENTRAL_ANSWER_MAX, done).await
    }

    /// Asks for a sign of life, on both connections where there are two.
    pub(super) async fn ping(&mut self) -> Result<(), Why> {
        self.sender.ping().await?;
        if let Some((ear, _)) = &mut self.second {
            within(CENTRAL_ANSWER_MAX, ear.ping::<Value>()).await?;
        }
        Ok(())
    }
}

/// The URL without the hosts that nobody answers at now, if there are others: the library waits for every one, and so
/// for one that is switched off as long as there is time for all.
async fn answering(url: &CentralUrl) -> CentralUrl {
    let answers = url.hosts.iter().map(async |(host, port)| {
        let reached = TcpStream::connect((host.trim_matches(['[', ']']), *port));
        matches!(tokio::time::timeout(CENTRAL_PROBE_MAX, reached).await, Ok(Ok(_)))
    });
    let mut url = url.clone();
    if url.hosts.len() > 1 {
        let mut answers = join_all(answers).await.into_iter();
        let all = url.hosts.clone();
        url.hosts.retain(|_| answers.next() == Some(true));
        if url.hosts.is_empty() {
            url.hosts = all;
        }
    }
    url
}

async fn open(url: &CentralUrl, ear: &Ear, protocol: ProtocolVersion) -> Result<Line, RedisError> {
    if url.tls {
        // Somebody else may have chosen already; any provider will do.
        let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
    }
    let log_in = log_in(url, protocol);
    if url.layout == Layout::Cluster {
        return open_cluster(url, &log_in, ear, protocol).await;
    }
    let client = match &url.layout {
        Layout::Sentinel(master) => sentinel(url, master, &log_in, protocol).await?,
        _ => Client::open(info(url, 0)?.set_redis_settings(log_in))?,
    };
    // How long an answer may take depends on what is asked: see who asks.
    let mut config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CENTRAL_CONNECT_MAX))
        .set_response_timeout(None);
    if protocol == ProtocolVersion::RESP3 {
        config = config.set_push_sender(pushes(ear));
        let line = client.get_multiplexed_async_connection_with_config(&config).await?;
        return Ok(Line { sender: Sender::new(Way::Single(line)), second: None });
    }
    let line = client.get_multiplexed_async_connection_with_config(&config).await?;
    let (sink, mut heard) = client.get_async_pubsub().await?.split();
    let ear = Arc::clone(ear);
    let listening = tokio::spawn(async move {
        while let Some(message) = heard.next().await {
            let pattern = message.from_pattern().then(|| message.get_pattern::<Vec<u8>>().ok()).flatten();
            let channel = message.get_channel_name().as_bytes();
            let body = Bytes::copy_from_slice(message.get_payload_bytes());
            tell(&ear, pattern.as_deref(), channel, body);
        }
        ear(News::Lost);
    });
    Ok(Line { sender: Sender::new(Way::Single(line)), second: Some((sink, listening)) })
}

async fn open_cluster(
    url: &CentralUrl,
    log_in: &RedisConnectionInfo,
    ear: &Ear,
    protocol: ProtocolVersion,
) -> Result<Line, RedisError> {
    let nodes = (0..url.hosts.len())
        .map(|index| info(url, index).map(|info| info.set_redis_settings(log_in.clone())))
        .collect::<Result<Vec<_>, _>>()?;
    let mut builder = ClusterClient::builder(nodes)
        .connection_timeout(CENTRAL_CONNECT_MAX)
        .response_timeout(patience(BUS_MESSAGE_MAX_BYTES))
        .retries(1)
        .use_protocol(protocol);
    if let Some(user) = &url.user {
        builder = builder.username(user);
    }
    if let Some(password) = &url.password {
        builder = builder.password(password.reveal());
    }
    if url.tls {
        builder = builder.tls(TlsMode::Secure);
    }
    let line = builder.push_sender(pushes(ear)).build()?.get_async_connection().await?;
    Ok(Line { sender: Sender::new(Way::Cluster(Box::new(line))), second: None })
}

async fn sentinel(
    url: &CentralUrl,
    master: &str,
    log_in: &RedisConnectionInfo,
    protocol: ProtocolVersion,
) -> Result<Client, RedisError> {
    let sentinels: Vec<ConnectionAddr> = (0..url.hosts.len()).map(|index| address(url, index)).collect();
    let mut builder = SentinelClientBuilder::new(sentinels, master, SentinelServerType::Master)?
        .set_client_to_redis_db(log_in.db())
        .set_client_to_redis_protocol(protocol)
        .set_client_to_redis_tcp_settings(TcpSettings::default().set_nodelay(true));
    if url.tls {
        builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
    }
    if let Some(user) = &url.user {
        builder = builder.set_client_to_redis_username(user);
    }
    if let Some(password) = &url.password {
        builder = builder.set_client_to_redis_password(password.reveal());
    }
    if let Some(password) = &url.sentinel_password {
        builder = builder.set_client_to_sentinel_password(password.reveal());
    }
    builder.build()?.async_get_client().await
}

fn log_in(url: &CentralUrl, protocol: ProtocolVersion) -> RedisConnectionInfo {
    let mut log_in = RedisConnectionInfo::default().set_db(url.database).set_protocol(protocol);
    if let Some(user) = &url.user {
        log_in = log_in.set_username(user);
    }
    if let Some(password) = &url.password {
        log_in = log_in.set_password(password.reveal());
    }
    log_in
}

fn address(url: &CentralUrl, index: usize) -> ConnectionAddr {
    let (host, port) = url.hosts.get(index).cloned().unwrap_or_default();
    if url.tls {
        return ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None };
    }
    ConnectionAddr::Tcp(host, port)
}

fn info(url: &CentralUrl, index: usize) -> Result<ConnectionInfo, RedisError> {
    let info = address(url, index).into_connection_info()?;
    Ok(info.set_tcp_settings(TcpSettings::default().set_nodelay(true)))
}

/// What to do with a push of the server: done in the connection's own task, so it must not wait.
fn pushes(ear: &Ear) -> impl Fn(PushInfo) -> Result<(), ()> + Send + Sync + 'static {
    let ear = Arc::clone(ear);
    move |push: PushInfo| {
        let mut parts = push.data.into_iter();
        let mut next = || match parts.next() {
            Some(Value::BulkString(bytes)) => Some(bytes),
            _ => None,
        };
        match push.kind {
            PushKind::Message => {
                if let (Some(channel), Some(body)) = (next(), next()) {
                    tell(&ear, None, &channel, body.into());
                }
            }
            PushKind::PMessage => {
                if let (Some(pattern), Some(channel), Some(body)) = (next(), next(), next()) {
                    tell(&ear, Some(&pattern), &channel, body.into());
                }
            }
            PushKind::Disconnection => ear(News::Lost),
            _ => {}
        }
        Ok(())
    }
}

fn tell(ear: &Ear, pattern: Option<&[u8]>, channel: &[u8], body: Bytes) {
    // Names that are not text were not asked for.
    let Ok(channel) = std::str::from_utf8(channel) else { return };
    let pattern = match pattern {
        None => Some(Pattern::channel(channel)),
        Some(glob) => unglob(glob).map(|start| Pattern::prefix(&start)),
    };
    let Some(pattern) = pattern else { return };
    let bytes = body.len();
    match Message::arriving(channel, body) {
        Some(message) => ear(News::Message(pattern, message)),
        None => {
            tracing::warn!(bytes, "a message of another server, or its channel's name, was too large");
            ear(News::Refused);
        }
    }
}

/// A prefix as Redis' pattern.
fn glob(start: &str) -> String {
    let mut glob = String::with_capacity(start.len() + 1);
    for letter in start.chars() {
        if matches!(letter, '*' | '?' | '[' | ']' | '\\') {
            glob.push('\\');
        }
        glob.push(letter);
    }
    glob.push('*');
    glob
}

/// The prefix of a pattern that [`glob`] made.
fn unglob(glob: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(glob).ok()?.strip_suffix('*')?;
    let (mut start, mut escaped) = (String::with_capacity(text.len()), false);
    for letter in text.chars() {
        escaped = letter == '\\' && !escaped;
        if !escaped {
            start.push(letter);
        }
    }
    Some(start)
}

fn knows_no_resp3(error: &RedisError) -> bool {
    error.kind() == ErrorKind::RESP3NotSupported || error.code() == Some("NOPROTO")
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::config::limits::{BUS_ARRIVING_MAX_BYTES, BUS_CHANNEL_MAX_BYTES, BUS_MESSAGE_MAX_BYTES};

    #[test]
    fn what_others_publish_may_be_larger_than_ours_and_what_is_too_large_is_told() {
        let heard: Arc<Mutex<Vec<Option<usize>>>> = Arc::default();
        let notes = heard.clone();
        let ear: Ear = Arc::new(move |news| match news {
            News::Message(_, message) => notes.lock().unwrap().push(Some(message.body.len())),
            News::Refused => notes.lock().unwrap().push(None),
            News::Lost => unreachable!(),
        });
        for bytes in [BUS_MESSAGE_MAX_BYTES + 1, BUS_ARRIVING_MAX_BYTES, BUS_ARRIVING_MAX_BYTES + 1] {
            tell(&ear, None, b"/records", vec![b'x'; bytes].into());
        }
        tell(&ear, Some(b"a*"), &[b'a'; BUS_CHANNEL_MAX_BYTES + 1], Bytes::new());
        let wanted = [Some(BUS_MESSAGE_MAX_BYTES + 1), Some(BUS_ARRIVING_MAX_BYTES), None, None];
        assert_eq!(*heard.lock().unwrap(), wanted);
    }

    #[test]
    fn a_prefix_survives_the_way_to_the_server_and_back() {
        for start in ["chatbot/", "socket.io#/#", "a*b?[c]\\d", "", "é\\*"] {
            assert_eq!(unglob(glob(start).as_bytes()).as_deref(), Some(start));
        }
        assert_eq!(glob("a*b"), "a\\*b*");
        assert_eq!(unglob(b"x"), None);
    }
}

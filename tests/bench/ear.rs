//! A Socket.IO client that costs next to nothing: WebSocket only, one buffer, no library between it and the bytes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// When each message was said, in microseconds since the beginning.
pub(crate) struct Times {
    pub(crate) began: Instant,
    pub(crate) said: Vec<AtomicU64>,
}

impl Times {
    pub(crate) fn new(messages: usize) -> Arc<Self> {
        Arc::new(Self { began: Instant::now(), said: (0..messages).map(|_| AtomicU64::new(0)).collect() })
    }

    pub(crate) fn now(&self) -> u64 {
        self.began.elapsed().as_micros() as u64
    }
}

/// One client that came in.
pub(crate) struct Ear {
    tcp: TcpStream,
    buf: Vec<u8>,
}

/// What stands before a message's number.
pub(crate) const NUMBER: &[u8] = b"\"n\":";

impl Ear {
    /// Opens, and enters the root namespace.
    pub(crate) async fn connect(port: u16, query: &str) -> io::Result<Self> {
        let tcp = TcpStream::connect(("127.0.0.1", port)).await?;
        tcp.set_nodelay(true)?;
        let mut me = Self { tcp, buf: Vec::new() };
        let hello = format!(
            "GET /socket.io/?EIO=4&transport=websocket{query} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\
             Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        me.tcp.write_all(hello.as_bytes()).await?;
        let head = loop {
            if let Some(end) = me.buf.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            me.read().await?;
        };
        if !me.buf.starts_with(b"HTTP/1.1 101") {
            return Err(io::Error::other(String::from_utf8_lossy(&me.buf[..head]).into_owned()));
        }
        me.buf.drain(..head);
        me.until(|text| text.starts_with(b"0{")).await?;
        me.say(b"40").await?;
        me.until(|text| text.starts_with(b"40{")).await?;
        me.buf.shrink_to_fit();
        Ok(me)
    }

    /// Hears so many events; how long after it was said each came, in microseconds. Fewer when the line ends.
    pub(crate) async fn listen(mut self, events: usize, times: Arc<Times>) -> Vec<u64> {
        let mut late = Vec::with_capacity(events);
        while late.len() < events {
            let heard = self.until(|text| {
                let event = text.starts_with(b"42");
                if event {
                    let said = times.said.get(number(text)).map_or(0, |said| said.load(Ordering::Relaxed));
                    late.push(times.now().saturating_sub(said));
                }
                event
            });
            if heard.await.is_err() {
                break;
            }
        }
        late
    }

    /// Reads until a text is the one that is waited for.
    async fn until(&mut self, mut wanted: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
        loop {
            while let Some((start, end)) = frame(&self.buf) {
                let found = wanted(&self.buf[start..end]);
                let ping = &self.buf[start..end] == b"2";
                self.buf.drain(..end);
                if ping {
                    self.say(b"3").await?;
                }
                if found {
                    return Ok(());
                }
            }
            self.read().await?;
        }
    }

    async fn read(&mut self) -> io::Result<()> {
        self.buf.reserve(4096);
        match self.tcp.read_buf(&mut self.buf).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// A short text, masked with zeros.
    async fn say(&mut self, text: &[u8]) -> io::Result<()> {
        let mut frame = vec![0x81, 0x80 | text.len() as u8, 0, 0, 0, 0];
        frame.extend_from_slice(text);
        self.tcp.write_all(&frame).await
    }
}

/// Where the content of the first frame is, if all of it is there.
fn frame(buf: &[u8]) -> Option<(usize, usize)> {
    let (start, len) = match *buf.get(1)? {
        126 => (4, usize::from(u16::from_be_bytes(*buf.get(2..)?.first_chunk()?))),
        127 => (10, u64::from_be_bytes(*buf.get(2..)?.first_chunk()?) as usize),
        short => (2, usize::from(short)),
    };
    (buf.len() >= start + len).then_some((start, start + len))
}

fn number(text: &[u8]) -> usize {
    let Some(at) = text.windows(NUMBER.len()).position(|here| here == NUMBER) else { return usize::MAX };
    let digits = text[at + NUMBER.len()..].iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'))
}

//! Publish and subscribe inside this process: who listens to what, and a bounded queue for each.
//!
//! Owns subscriptions and consumers. Does not know where else messages come from or go to.
//!
//! The embedded engine could watch its keys, but then one listener that nobody drains stops every writer, and each
//! subscription costs a thread. Nothing here outlives the process anyway: publish and subscribe has no memory, in
//! Redis neither. So the queues are plain memory, and the engine keeps keys only.

use std::collections::VecDeque;
use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use futures_util::FutureExt;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::message::{Consumer, Heard, Message, Missed, Pattern, Undelivered};
use crate::clock::Stopwatch;
use crate::config::limits::{
    BUS_AGAIN, BUS_AGAIN_MAX, BUS_SUBSCRIPTION_MAX_BYTES, BUS_SUBSCRIPTIONS_MAX, BUS_UNDER_WAY_MAX,
    BUS_UNDER_WAY_MAX_BYTES,
};
use crate::lock::held;

/// Everybody who listens.
pub(super) struct Exchange {
    listeners: Mutex<Vec<Listener>>,
    next: AtomicU64,
    /// What anybody wants to hear, each pattern once.
    wanted: watch::Sender<Vec<Pattern>>,
}

struct Listener {
    number: u64,
    pattern: Pattern,
    queue: Arc<Queue>,
    /// Does what is published in this office at once; its queue is for what others publish.
    consumer: Option<Arc<dyn Consumer>>,
}

/// What waits for one listener.
#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    more: Notify,
}

#[derive(Default)]
struct Waiting {
    messages: VecDeque<Message>,
    bytes: usize,
    lagged: u64,
    away: Option<(u64, u64)>,
    closed: bool,
}

impl Queue {
    fn put(&self, message: &Message) {
        let mut waiting = held(&self.waiting);
        waiting.bytes += message.cost();
        waiting.messages.push_back(message.clone());
        while waiting.bytes > BUS_SUBSCRIPTION_MAX_BYTES
            && let Some(oldest) = waiting.messages.pop_front()
        {
            waiting.bytes -= oldest.cost();
            waiting.lagged += 1;
        }
        drop(waiting);
        self.more.notify_one();
    }

    fn missed(&self, since_ms: u64, until_ms: u64) {
        let mut waiting = held(&self.waiting);
        let since_ms = waiting.away.map_or(since_ms, |(before, _)| before.min(since_ms));
        waiting.away = Some((since_ms, until_ms));
        drop(waiting);
        self.more.notify_one();
    }

    fn take(&self) -> Option<Option<Heard>> {
        let mut waiting = held(&self.waiting);
        if let Some((since_ms, until_ms)) = waiting.away.take() {
            return Some(Some(Heard::Missed(Missed::Away { since_ms, until_ms })));
        }
        if waiting.lagged > 0 {
            return Some(Some(Heard::Missed(Missed::Lagged(std::mem::take(&mut waiting.lagged)))));
        }
        match waiting.messages.pop_front() {
            Some(message) => {
                waiting.bytes -= message.cost();
                Some(Some(Heard::Message(message)))
            }
            None => waiting.closed.then_some(None),
        }
    }

    fn is_closed(&self) -> bool {
        held(&self.waiting).closed
    }

    async fn next(&self) -> Option<Heard> {
        loop {
            if let Some(heard) = self.take() {
                return heard;
            }
            self.more.notified().await;
        }
    }
}

impl Default for Exchange {
    fn default() -> Self {
        let (listeners, next) = (Mutex::default(), AtomicU64::new(1));
        Self { listeners, next, wanted: watch::Sender::new(Vec::new()) }
    }
}

impl Exchange {
    /// Registers somebody for each of the patterns, with one queue. `None`: too many listen already.
    fn register(
        &self,
        patterns: &[Pattern],
        consumer: Option<&Arc<dyn Consumer>>,
    ) -> Option<(u64, Arc<Queue>)> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let queue = Arc::new(Queue::default());
        let mut listeners = held(&self.listeners);
        if listeners.len() + patterns.len() > BUS_SUBSCRIPTIONS_MAX {
            return None;
        }
        listeners.extend(patterns.iter().map(|pattern| Listener {
            number,
            pattern: pattern.clone(),
            queue: Arc::clone(&queue),
            consumer: consumer.cloned(),
        }));
        self.tell_wanted(&listeners);
        Some((number, queue))
    }

    fn unregister(&self, number: u64) {
        let mut listeners = held(&self.listeners);
        listeners.retain(|listener| listener.number != number);
        self.tell_wanted(&listeners);
    }

    /// Said under the lock, so that the last word is the right one.
    fn tell_wanted(&self, listeners: &[Listener]) {
        let mut wanted: Vec<Pattern> = listeners.iter().map(|listener| listener.pattern.clone()).collect();
        wanted.sort();
        wanted.dedup();
        self.wanted.send_if_modified(|now| {
            let changed = *now != wanted;
            *now = wanted;
            changed
        });
    }

    /// What anybody wants to hear.
    pub(super) fn wanted(&self) -> watch::Receiver<Vec<Pattern>> {
        self.wanted.subscribe()
    }

    pub(super) fn subscribe(self: &Arc<Self>, pattern: Pattern) -> Option<Subscription> {
        let (number, queue) = self.register(&[pattern], None)?;
        Some(Subscription { number, queue, exchange: Arc::downgrade(self) })
    }

    /// Registers a consumer. What others publish is handed to it by a task of its own, in order.
    pub(super) fn consume(
        self: &Arc<Self>,
        patterns: &[Pattern],
        consumer: Arc<dyn Consumer>,
    ) -> Option<Consuming> {
        let (number, queue) = self.register(patterns, Some(&consumer))?;
        let task = tokio::spawn(attend(queue, consumer));
        Some(Consuming { number, exchange: Arc::downgrade(self), task })
    }

    /// Hands out what somebody in this office publishes. Waits for every consumer; says how many were reached.
    pub(super) async fn say(&self, message: &Message, id: Option<&str>) -> Result<usize, Undelivered> {
        let (mut told, mut consumers) = (Vec::new(), Vec::new());
        for listener in held(&self.listeners).iter().filter(|one| one.pattern.takes(&message.channel)) {
            if told.contains(&listener.number) {
                continue;
            }
            told.push(listener.number);
            match &listener.consumer {
                Some(consumer) => consumers.push(Arc::clone(consumer)),
                None => listener.queue.put(message),
            }
        }
        for consumer in consumers {
            consumer.begin(message, id).await.end().await?;
        }
        Ok(told.len())
    }

    /// Hands out what somebody elsewhere published, to those who asked for it in just this way: the other side says
    /// it once for each pattern.
    pub(super) fn arrived(&self, pattern: &Pattern, message: &Message) {
        for listener in held(&self.listeners).iter().filter(|listener| listener.pattern == *pattern) {
            listener.queue.put(message);
        }
    }

    /// Tells everybody that nothing could be heard from elsewhere between these times.
    pub(super) fn missed(&self, since_ms: u64, until_ms: u64) {
        for listener in held(&self.listeners).iter() {
            listener.queue.missed(since_ms, until_ms);
        }
    }

    /// Ends every subscription: each hears what waits, then the end.
    pub(super) fn close(&self) {
        for listener in held(&self.listeners).drain(..) {
            held(&listener.queue.waiting).closed = true;
            listener.queue.more.notify_one();
        }
    }
}

/// Hands a consumer what waits for it, in order, several at once: each of them may have to wait for the disk. What the
/// office cannot take now is tried again, and what is not begun yet waits meanwhile: nobody else would say it again.
async fn attend(queue: Arc<Queue>, consumer: Arc<dyn Consumer>) {
    let mut under_way = VecDeque::new();
    let (mut bytes, mut again) = (0, VecDeque::new());
    loop {
        if under_way.is_empty() && !again.is_empty() {
            tokio::time::sleep(BUS_AGAIN).await;
            for (message, since) in std::mem::take(&mut again) {
                under_way.push_back(Box::pin(begin(message, since, &consumer).await));
            }
        }
        let more = again.is_empty() && under_way.len() < BUS_UNDER_WAY_MAX && bytes < BUS_UNDER_WAY_MAX_BYTES;
        tokio::select! {
            biased;
            (message, since, ended) = first(&mut under_way) => match ended {
                Err(Undelivered::Failed(_)) if since.elapsed() < BUS_AGAIN_MAX && !queue.is_closed() => {
                    again.push_back((message, since));
                }
                ended => {
                    bytes -= message.cost();
                    report(&message, ended);
                }
            },
            heard = queue.next(), if more => match heard {
                None => break,
                Some(Heard::Missed(missed)) => consumer.missed(missed),
                Some(Heard::Message(message)) => {
                    bytes += message.cost();
                    under_way.push_back(Box::pin(begin(message, Stopwatch::start(), &consumer).await));
                }
            },
        }
    }
    while !under_way.is_empty() {
        let (message, _, ended) = first(&mut under_way).await;
        report(&message, ended);
    }
}

fn report(message: &Message, ended: Result<(), Undelivered>) {
    if let Err(why) = ended {
        tracing::warn!(channel = %message.channel, %why, "a message was dropped");
    }
}

/// What becomes of the first one; waits for ever when there is none. Nobody's end depends on being waited for, so the
/// others need not be asked: a set of futures would ask each of them, and then itself once more.
async fn first<F: Future + Unpin>(under_way: &mut VecDeque<F>) -> F::Output {
    let Some(first) = under_way.front_mut() else { return pending().await };
    let ended = first.await;
    under_way.pop_front();
    ended
}

/// A message, when it came, and what becomes of it.
type UnderWay = (Message, Stopwatch, Result<(), Undelivered>);

/// Lets a consumer take a message in its turn; what waits until it is done. One on which the consumer fails is lost
/// alone.
async fn begin(
    message: Message,
    since: Stopwatch,
    consumer: &Arc<dyn Consumer>,
) -> impl Future<Output = UnderWay> + Send + use<> {
    let begun = AssertUnwindSafe(consumer.begin(&message, None)).catch_unwind().await;
    async move {
        let ended = match begun {
            Ok(begun) => AssertUnwindSafe(begun.end()).catch_unwind().await,
            Err(panic) => Err(panic),
        };
        let ended = ended.unwrap_or_else(|_| {
            tracing::error!(channel = %message.channel, "a consumer failed");
            Err(Undelivered::Refused("the consumer failed on it".to_owned()))
        });
        (message, since, ended)
    }
}

/// One listener's ear. Dropping it ends the subscription.
pub struct Subscription {
    number: u64,
    queue: Arc<Queue>,
    exchange: Weak<Exchange>,
}

impl Subscription {
    /// The next thing heard; `None` once the bus is closed. Cancelling it loses nothing.
    pub async fn next(&mut self) -> Option<Heard> {
        self.queue.next().await
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(exchange) = self.exchange.upgrade() {
            exchange.unregister(self.number);
        }
    }
}

/// A consumer at work. Dropping it ends that.
pub struct Consuming {
    number: u64,
    exchange: Weak<Exchange>,
    task: JoinHandle<()>,
}

impl Drop for Consuming {
    fn drop(&mut self) {
        if let Some(exchange) = self.exchange.upgrade() {
            exchange.unregister(self.number);
        }
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::super::{Beginning, Begun};
    use super::*;

    fn message(channel: &str, body: &str) -> Message {
        Message::new(channel, Bytes::copy_from_slice(body.as_bytes())).unwrap()
    }

    #[tokio::test]
    async fn a_listener_hears_its_channels_in_order_and_no_others() {
        let exchange = Arc::new(Exchange::default());
        let mut one = exchange.subscribe(Pattern::channel("/records")).unwrap();
        let mut many = exchange.subscribe(Pattern::prefix("chatbot/")).unwrap();
        for n in 0..3 {
            assert_eq!(exchange.say(&message("/records", &n.to_string()), None).await, Ok(1));
        }
        assert_eq!(exchange.say(&message("chatbot/test", "x"), None).await, Ok(1));
        assert_eq!(exchange.say(&message("/records/score", "x"), None).await, Ok(0));
        for n in 0..3 {
            assert_eq!(one.next().await, Some(Heard::Message(message("/records", &n.to_string()))));
        }
        assert_eq!(many.next().await, Some(Heard::Message(message("chatbot/test", "x"))));
        drop(many);
        assert_eq!(exchange.wanted().borrow().clone(), [Pattern::channel("/records")]);
        assert_eq!(exchange.say(&message("chatbot/test", "x"), None).await, Ok(0));
        exchange.close();
        assert_eq!(one.next().await, None);
    }

    #[tokio::test]
    async fn a_listener_that_does_not_listen_costs_a_bounded_queue_and_is_told() {
        let exchange = Arc::new(Exchange::default());
        let mut slow = exchange.subscribe(Pattern::channel("a")).unwrap();
        let large = Message::new("a", Bytes::from(vec![b'x'; 1024 * 1024])).unwrap();
        let rounds = BUS_SUBSCRIPTION_MAX_BYTES / large.cost() + 5;
        for _ in 0..rounds {
            exchange.say(&large, None).await.unwrap();
        }
        assert!(held(&slow.queue.waiting).bytes <= BUS_SUBSCRIPTION_MAX_BYTES);
        assert_eq!(slow.next().await, Some(Heard::Missed(Missed::Lagged(5))));
        for _ in 5..rounds {
            assert_eq!(slow.next().await, Some(Heard::Message(large.clone())));
        }
    }

    #[tokio::test]
    async fn what_others_published_while_they_could_not_be_heard_is_told_as_missed() {
        let exchange = Arc::new(Exchange::default());
        let mut ear = exchange.subscribe(Pattern::prefix("a")).unwrap();
        exchange.missed(10, 20);
        exchange.missed(30, 40);
        exchange.arrived(&Pattern::channel("ab"), &message("ab", "not asked for in this way"));
        exchange.arrived(&Pattern::prefix("a"), &message("ab", "1"));
        assert_eq!(ear.next().await, Some(Heard::Missed(Missed::Away { since_ms: 10, until_ms: 40 })));
        assert_eq!(ear.next().await, Some(Heard::Message(message("ab", "1"))));
    }

    /// Fails three times before it takes what says "later".
    #[derive(Default)]
    struct Busy(Mutex<(usize, Vec<String>)>);

    impl Consumer for Busy {
        fn begin<'a>(&'a self, message: &'a Message, _: Option<&'a str>) -> Beginning<'a> {
            let mut state = held(&self.0);
            let body = String::from_utf8_lossy(&message.body).into_owned();
            let fails = body == "later" && state.0 < 3;
            state.0 += usize::from(fails);
            if !fails {
                state.1.push(body);
            }
            let done = if fails { Err(Undelivered::Failed("the disk is full".into())) } else { Ok(()) };
            Box::pin(std::future::ready(Begun::done(done)))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_taken_now_is_tried_again_and_nothing_overtakes_it() {
        let exchange = Arc::new(Exchange::default());
        let busy = Arc::new(Busy::default());
        let pattern = Pattern::channel("/records");
        let _consuming = exchange.consume(std::slice::from_ref(&pattern), busy.clone()).unwrap();
        exchange.arrived(&pattern, &message("/records", "later"));
        tokio::task::yield_now().await;
        exchange.arrived(&pattern, &message("/records", "2"));
        let taken = async {
            while held(&busy.0).1.len() < 2 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), taken).await.expect("it is taken in the end");
        assert_eq!(held(&busy.0).1, ["later", "2"]);
    }

    /// Keeps what it is given, unless it says "no".
    #[derive(Default)]
    struct Keeper(Mutex<Vec<(String, Option<String>)>>);

    impl Consumer for Keeper {
        fn begin<'a>(&'a self, message: &'a Message, id: Option<&'a str>) -> Beginning<'a> {
            Box::pin(async move {
                tokio::task::yield_now().await;
                if &message.body[..] == b"no" {
                    return Begun::done(Err(Undelivered::Refused("no".into())));
                }
                let body = String::from_utf8_lossy(&message.body).into_owned();
                held(&self.0).push((body, id.map(str::to_owned)));
                Begun::done(Ok(()))
            })
        }
    }

    #[tokio::test]
    async fn a_publisher_waits_until_the_consumers_are_done_and_hears_their_refusal() {
        let exchange = Arc::new(Exchange::default());
        let keeper = Arc::new(Keeper::default());
        let patterns = [Pattern::channel("/records"), Pattern::prefix("chatbot/")];
        let consuming = exchange.consume(&patterns, keeper.clone()).unwrap();
        assert_eq!(exchange.say(&message("/records", "1"), Some("a")).await, Ok(1));
        assert_eq!(held(&keeper.0).clone(), [("1".to_owned(), Some("a".to_owned()))]);
        assert!(exchange.say(&message("chatbot/x", "no"), None).await.is_err());
        exchange.arrived(&patterns[0], &message("/records", "no"));
        exchange.arrived(&patterns[0], &message("/records", "2"));
        while held(&keeper.0).len() < 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(held(&keeper.0)[1], ("2".to_owned(), None));
        drop(consuming);
        assert_eq!(exchange.say(&message("/records", "3"), None).await, Ok(0));
    }

    /// Notes what began, and is done with it when many have begun.
    #[derive(Default)]
    struct Patient {
        began: Mutex<Vec<String>>,
        many: Arc<Notify>,
    }

    impl Consumer for Patient {
        fn begin<'a>(&'a self, message: &'a Message, _: Option<&'a str>) -> Beginning<'a> {
            let mut began = held(&self.began);
            began.push(String::from_utf8_lossy(&message.body).into_owned());
            if began.len() == BUS_UNDER_WAY_MAX {
                self.many.notify_waiters();
            }
            let many = Arc::clone(&self.many);
            let wait = (began.len() < BUS_UNDER_WAY_MAX).then(|| many.notified_owned());
            Box::pin(std::future::ready(Begun::until(async move {
                if let Some(wait) = wait {
                    wait.await;
                }
                Ok(())
            })))
        }
    }

    #[tokio::test]
    async fn what_others_publish_waits_for_the_disk_together_and_begins_in_order() {
        let exchange = Arc::new(Exchange::default());
        let patient = Arc::new(Patient::default());
        let pattern = Pattern::channel("/records");
        let _consuming = exchange.consume(std::slice::from_ref(&pattern), patient.clone()).unwrap();
        let all: Vec<String> = (0..2 * BUS_UNDER_WAY_MAX).map(|n| n.to_string()).collect();
        for body in &all {
            exchange.arrived(&pattern, &message("/records", body));
        }
        let begun = async {
            while held(&patient.began).len() < all.len() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), begun).await.expect("nothing waits for the one before");
        assert_eq!(*held(&patient.began), all);
    }
}
